/* launch.c - mpirun's command line and environment. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "run/internal.h"

extern char **environ;

int bl_find_mpirun(bl_options *options, bl_error *err)
{
    static char found[PATH_MAX];
    if (options->mpirun) {
        if (strchr(options->mpirun, '/') && access(options->mpirun, X_OK))
            return bl_fail_errno(err, "--mpirun %s", options->mpirun);
        return BELAY_OK;
    }
    const char *path = getenv("PATH");
    for (const char *p = path ? path : "/usr/bin:/bin"; *p;) {
        size_t span = strcspn(p, ":");
        if (span && snprintf(found, sizeof found, "%.*s/mpirun", (int)span, p) < (int)sizeof found && !access(found, X_OK)) {
            options->mpirun = found;
            return BELAY_OK;
        }
        p += span;
        if (*p == ':') p++;
    }
    return bl_fail(err, BELAY_ERR_NONE, "mpirun is not in PATH: install openmpi-bin, or name it with --mpirun PATH");
}

/* libbelay.so beside this program: installed (bin/../lib), in a build tree (./src/mpi/.libs), else where it was
 * configured to go. */
int bl_find_library(char *library, size_t size, bl_error *err)
{
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length > 0) {
        self[length] = '\0';
        *strrchr(self, '/') = '\0';
        static const char *const places[] = { "../lib/libbelay.so", "src/mpi/.libs/libbelay.so", "../src/mpi/.libs/libbelay.so" };
        for (size_t i = 0; i < sizeof places / sizeof *places; i++)
            if (snprintf(library, size, "%s/%s", self, places[i]) < (int)size && !access(library, R_OK)) return BELAY_OK;
    }
    if (snprintf(library, size, "%s/libbelay.so", BL_LIBDIR) < (int)size && !access(library, R_OK)) return BELAY_OK;
    return bl_fail(err, BELAY_ERR_NONE, "--preload: libbelay.so is neither beside this program nor in %s", BL_LIBDIR);
}

static void set_kills(const bl_settings *settings)
{
    char list[BL_KILLS_MAX * 64] = "";
    for (unsigned i = 0; i < settings->kills; i++) {
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s", i ? "," : "");
        bl_kill_format(&settings->kill[i], list + strlen(list), (unsigned)(sizeof list - strlen(list)));
    }
    setenv("BELAY_KILL", list, 1);
}

/* A node that goes without closing its connections mpirun would miss after 8 minutes only; who has set these knows better. */
static void set_keepalive(void)
{
    static const char *const setting[][2] = { { "time", "10" }, { "intvl", "5" }, { "probes", "3" } };
    static const char *const runtime[] = { "OMPI", "PRTE" }; /* of Open MPI 4 and 5 */
    char name[64];
    for (size_t i = 0; i < sizeof setting / sizeof *setting; i++)
        for (size_t r = 0; r < sizeof runtime / sizeof *runtime; r++) {
            snprintf(name, sizeof name, "%s_MCA_oob_tcp_keepalive_%s", runtime[r], setting[i][0]);
            setenv(name, setting[i][1], 0);
        }
}

static void set_environment(const bl_options *o, uint32_t incarnation)
{
    char number[16];
    snprintf(number, sizeof number, "%" PRIu32, incarnation);
    setenv("BELAY_INCARNATION", number, 1);
    setenv("BELAY_DIR", o->settings.dir, 1);
    set_kills(&o->settings);
    set_keepalive();
    if (o->json) setenv("BELAY_VERBOSE", "0", 1);
    if (geteuid() == 0) {
        setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
        setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    }
}

/* So that a death is not the end of the job (Open MPI 5): errors instead of an abort; also that of a process that was started
 * later; MPI_Finalize without the dead; and the transport that can do it. */
static const char *const injob[] = { "--with-ft", "ulfm", "--prtemca", "state_base_recoverable", "1", "--mca", "async_mpi_finalize", "1",
                                     "--mca", "pml", "ob1" };

/* Heartbeats of MPI's own.  Not by its thread, which would not suspect a rank that is busy: with Open MPI 5.0.7 jobs with it did not end. */
static size_t watch_for_silence(const bl_settings *s, char **argv)
{
    static char timeout[32], period[32];
    const char *const words[] = { "--mca", "mpi_ft_detector", "true", "--mca", "mpi_ft_detector_timeout", timeout, "--mca", "mpi_ft_detector_period", period };
    if (s->suspect_s <= 0) return 0;
    snprintf(timeout, sizeof timeout, "%g", s->suspect_s);
    snprintf(period, sizeof period, "%g", s->suspect_s / 4); /* it wants less than a third */
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) argv[i] = (char *)(uintptr_t)words[i];
    return sizeof words / sizeof *words;
}

/* Room for mpirun, its options, one -x per variable, the program and its arguments. */
static char **command(const bl_options *o, const char *library)
{
    size_t variables = 0, arguments = 0, n = 0;
    for (char **e = environ; *e; e++) variables += !strncmp(*e, "BELAY_", 6);
    while (o->program[arguments]) arguments++;
    char **argv = calloc(48 + o->mpirun_args + 2 * variables + arguments, sizeof *argv);
    static char ranks[16], preload[PATH_MAX + 16], search[2 * PATH_MAX];
    if (!argv) return NULL;
    snprintf(ranks, sizeof ranks, "%" PRIu32, bl_processes(o));
    argv[n++] = (char *)(uintptr_t)o->mpirun;
    if (o->nodes.count) { /* their slots are meant: Open MPI 5 takes --oversubscribe as leave to put all ranks on the first */
        argv[n++] = "--host";
        argv[n++] = bl_nodes_list(&o->nodes);
        if (!argv[n - 1]) return NULL;
    } else {
        argv[n++] = "--oversubscribe";
    }
    argv[n++] = "-n";
    argv[n++] = ranks;
    for (size_t i = 0; bl_settings_injob(&o->settings) && i < sizeof injob / sizeof *injob; i++) argv[n++] = (char *)(uintptr_t)injob[i];
    if (bl_settings_injob(&o->settings)) n += watch_for_silence(&o->settings, argv + n);
    for (char **e = environ; *e; e++) {
        if (strncmp(*e, "BELAY_", 6)) continue;
        argv[n++] = "-x";
        argv[n++] = strndup(*e, strcspn(*e, "="));
    }
    if (o->preload) {
        snprintf(preload, sizeof preload, "LD_PRELOAD=%s", strpbrk(library, " \t") ? strrchr(library, '/') + 1 : library);
        argv[n++] = "-x";
        argv[n++] = preload;
    }
    if (o->preload && strpbrk(library, " \t")) { /* LD_PRELOAD ends a name at a space, LD_LIBRARY_PATH does not */
        const char *old = getenv("LD_LIBRARY_PATH");
        snprintf(search, sizeof search, "LD_LIBRARY_PATH=%.*s%s%s", (int)(strrchr(library, '/') - library), library,
                 old ? ":" : "", old ? old : "");
        argv[n++] = "-x";
        argv[n++] = search;
    }
    for (unsigned i = 0; i < o->mpirun_args; i++) argv[n++] = (char *)(uintptr_t)o->mpirun_arg[i];
    for (size_t i = 0; i < arguments; i++) argv[n++] = o->program[i];
    return argv;
}

/* In the child.  A group of its own: Ctrl-C reaches us alone, and we decide.  If we die, mpirun is told to end. */
static void become(char **argv)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (isatty(STDIN_FILENO)) { /* a background group that reads the terminal would be stopped */
        int null = open("/dev/null", O_RDONLY);
        if (null >= 0) dup2(null, STDIN_FILENO);
    }
    execvp(argv[0], argv);
    fprintf(stderr, "belay: cannot start %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

pid_t bl_launch(const bl_options *options, uint32_t incarnation, bl_error *err)
{
    char library[PATH_MAX] = "";
    if (options->preload && bl_find_library(library, sizeof library, err)) return -1;
    if (strchr(library, ':')) {
        bl_fail(err, BELAY_ERR_REFUSED, "--preload: the loader cannot preload %s: its path has a colon", library);
        return -1;
    }
    set_environment(options, incarnation);
    char **argv = command(options, library);
    if (!argv) {
        bl_fail(err, BELAY_ERR_MEMORY, "out of memory");
        return -1;
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) become(argv);
    if (pid < 0) bl_fail_errno(err, "cannot start %s", argv[0]);
    free(argv);
    return pid;
}
