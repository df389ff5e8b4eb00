#include "config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "run/internal.h"

static void help(void)
{
    printf("usage: belay run -n RANKS [options] [--] PROGRAM [ARGUMENTS]\n\n"
           "Starts PROGRAM under mpirun, watches it, and brings it back from its newest checkpoint when a rank dies.\n\n"
           "  -n, --np RANKS          number of ranks\n"
           "  -H, --host LIST         NODE[:SLOTS],...: nodes to use; those that are not needed are spare\n"
           "  --hostfile FILE         the same from a file, a line `NODE slots=N` each\n"
           "  --mpirun PATH           mpirun to use (else the one in PATH)\n"
           "  --mpirun-arg ARG        pass ARG on to mpirun; repeatable\n"
           "  --preload               put libbelay into a program that is not linked with it\n"
           "  --fresh                 start anew even if the directory holds an unfinished job\n"
           "  --json                  events as JSON objects, one a line, on standard error\n"
           "  --quiet                 errors only (verbose=0)\n"
           "  --help\n\n"
           "settings (flag, BELAY_* variable, or line of the file BELAY_SETTINGS names; default in brackets):\n");
    for (unsigned i = 0; i < bl_setting_count; i++) {
        const bl_setting *s = &bl_setting_table[i];
        char flag[80];
        snprintf(flag, sizeof flag, "--%s %s", s->name, s->value);
        printf("  %-28s  %s [%s]\n", flag, s->help, *s->fallback ? s->fallback : "none");
    }
    printf("\nsignals: SIGUSR1, SIGTERM or SIGINT: checkpoint now, then stop cleanly; TERM or INT again: end at once.\n"
           "exit status: the program's; 1 given up or refused, 2 usage, 75 stopped on request, 128+N ended by signal N.\n");
}

static int usage(const char *format, const char *what)
{
    fprintf(stderr, "belay: ");
    fprintf(stderr, format, what);
    fprintf(stderr, "; `belay run --help` tells more\n");
    return 2;
}

static int is_setting(const char *name)
{
    for (unsigned i = 0; i < bl_setting_count; i++)
        if (!strcmp(bl_setting_table[i].name, name)) return 1;
    return 0;
}

/* --kill is repeatable: kills add up to one list. */
static int add_kill(bl_settings *settings, const char *text, bl_error *err)
{
    bl_settings one;
    memset(&one, 0, sizeof one);
    int rc = bl_settings_set(&one, "kill", text, "--kill", err);
    if (rc) return rc;
    if (settings->kills + one.kills > BL_KILLS_MAX)
        return bl_fail(err, BELAY_ERR_ARG, "--kill: more than %d kills", BL_KILLS_MAX);
    memcpy(&settings->kill[settings->kills], one.kill, one.kills * sizeof *one.kill);
    settings->kills += one.kills;
    return BELAY_OK;
}

static int set(bl_settings *settings, const char *name, const char *value)
{
    bl_error err = { 0, "" };
    char flag[64], variable[64];
    snprintf(flag, sizeof flag, "--%.50s", name);
    int rc = !strcmp(name, "kill") ? add_kill(settings, value, &err) : bl_settings_set(settings, name, value, flag, &err);
    if (rc) {
        fprintf(stderr, "belay: %s\n", err.text);
        return 2;
    }
    if (!strcmp(name, "kill")) return 0; /* handed over per incarnation: a kill happens once */
    bl_setting_variable(name, variable, sizeof variable);
    setenv(variable, value, 1);
    return 0;
}

static int parse_ranks(const char *text, uint32_t *ranks)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno || *end || end == text || *text == '-' || value < 1 || value > BL_RANKS_MAX) return usage("'%s' is not a number of ranks", text);
    *ranks = (uint32_t)value;
    return 0;
}

/* One option with a value; 0, or the exit status. */
static int take_value(bl_options *o, const char *name, const char *value)
{
    bl_error err = { 0, "" };
    if (!strcmp(name, "n") || !strcmp(name, "np")) return parse_ranks(value, &o->ranks);
    if (!strcmp(name, "H") || !strcmp(name, "host")) return bl_nodes_parse(&o->nodes, value, &err) ? usage("%s", err.text) : 0;
    if (!strcmp(name, "hostfile")) return bl_nodes_read(&o->nodes, value, &err) ? usage("%s", err.text) : 0;
    if (!strcmp(name, "mpirun")) {
        o->mpirun = value;
        return 0;
    }
    if (!strcmp(name, "mpirun-arg")) {
        if (o->mpirun_args == BL_MPIRUN_ARGS_MAX) return usage("too many --mpirun-arg%s", "");
        o->mpirun_arg[o->mpirun_args++] = value;
        return 0;
    }
    return set(&o->settings, name, value);
}

static int take_flag(bl_options *o, const char *name)
{
    if (!strcmp(name, "json")) o->json = 1;
    else if (!strcmp(name, "fresh")) o->fresh = 1;
    else if (!strcmp(name, "preload")) o->preload = 1;
    else if (!strcmp(name, "quiet")) return set(&o->settings, "verbose", "0") ? 2 : 1;
    else return 0;
    return 1;
}

/* Without ULFM a death is answered by starting all ranks again. */
static int fall_to_relaunch(bl_options *o)
{
#ifdef BL_HAVE_ULFM
    (void)o;
    return 0;
#else
    if (!bl_settings_injob(&o->settings)) return 0;
    if (o->settings.recovery == BL_RECOVERY_INJOB)
        return usage("recovery=injob needs an MPI with ULFM (Open MPI 5), and the one Belay was built with has none%s; use recovery=relaunch", "");
    if (o->settings.verbose)
        fprintf(stderr, "belay: the MPI here has no ULFM: no spares are started, and after a death all ranks are started again (recovery=relaunch)\n");
    int rc = set(&o->settings, "suspect", "never");
    return rc ? rc : set(&o->settings, "spares", "0");
#endif
}

static const char *const short_options[] = { "n", "np", "H", NULL };
static const char *const long_options[] = { "np", "host", "hostfile", "mpirun", "mpirun-arg", NULL };
static const char *const mpirun_nodes[] = { "-H", "-host", "--host", "-hostfile", "--hostfile", "-machinefile", "--machinefile",
                                            "-default-hostfile", "--default-hostfile", NULL };

static int is_one_of(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (!strcmp(name, *names)) return 1;
    return 0;
}

static int check_nodes(bl_options *o)
{
    char text[160];
    if (!o->nodes.count) return 0;
    for (unsigned i = 0; i < o->mpirun_args; i++)
        if (is_one_of(o->mpirun_arg[i], mpirun_nodes)) return usage("--mpirun-arg %s names nodes too: name them in one place", o->mpirun_arg[i]);
    uint32_t room = bl_nodes_use(&o->nodes, bl_processes(o));
    if (room >= bl_processes(o)) return 0;
    snprintf(text, sizeof text, "the nodes have %" PRIu32 " slots for %" PRIu32 " processes: write more nodes, or NODE:SLOTS", room, bl_processes(o));
    return usage("%s", text);
}

int bl_options_parse(int argc, char **argv, bl_options *o)
{
    bl_error err = { 0, "" };
    memset(o, 0, sizeof *o);
    for (int k = 1; k < argc && argv[k][0] == '-' && strcmp(argv[k], "--"); k++) {
        if (strcmp(argv[k], "--help") && strcmp(argv[k], "-h")) continue;
        help();
        return 0;
    }
    if (bl_settings_load(&o->settings, &err)) {
        fprintf(stderr, "belay: %s\n", err.text);
        return 2;
    }
    int i = 1;
    for (; i < argc && argv[i][0] == '-'; i++) {
        if (!strcmp(argv[i], "--")) {
            i++;
            break;
        }
        char name[64];
        const char *text = argv[i] + (argv[i][1] == '-' ? 2 : 1), *equals = strchr(text, '=');
        int shorted = argv[i][1] != '-';
        snprintf(name, sizeof name, "%.*s", equals ? (int)(equals - text) : (int)strlen(text), text);
        if (!equals && !shorted) {
            int taken = take_flag(o, name);
            if (taken == 2) return 2;
            if (taken) continue;
        }
        int known = shorted ? is_one_of(name, short_options) : is_one_of(name, long_options) || is_setting(name);
        if (!known) return usage("there is no option %s", argv[i]);
        const char *value = equals ? equals + 1 : i + 1 < argc ? argv[++i] : NULL;
        if (!value) return usage("%s needs a value", argv[i]);
        int rc = take_value(o, name, value);
        if (rc) return rc;
    }
    if (bl_settings_agree(&o->settings, &err)) return usage("%s", err.text);
    if (fall_to_relaunch(o)) return 2;
    o->program = argv + i;
    if (!o->ranks) return usage("how many ranks? Use -n RANKS%s", "");
    if (i == argc) return usage("which program?%s", "");
    if (check_nodes(o)) return 2;
    for (unsigned k = 0; k < o->settings.kills; k++) {
        if (o->settings.kill[k].rank < o->ranks) continue;
        char text[96];
        bl_kill_format(&o->settings.kill[k], text, sizeof text);
        return usage("--kill %s: there is no such rank", text);
    }
    return BL_OPTIONS_RUN;
}
