/* replay.c - `belay replay`: starts a program as one rank of a job again, alone; the library does the rest (src/mpi/replay.c). */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run/internal.h"
#include "run/run.h"

static const char usage_text[] =
    "usage: belay replay RANK [options] [--] PROGRAM [ARGUMENTS]\n\n"
    "Runs PROGRAM as rank RANK of a job that ran with message logging, from its newest checkpoint to where it ended:\n"
    "one ordinary process, no mpirun and no other ranks.  What it receives comes from the journals, what it sends is\n"
    "compared with what it sent, and nothing is written, so the job directory may be a copy on another machine.\n\n"
    "  --from CP     from this checkpoint of the rank; 0: from the start (default: its newest)\n"
    "  --to N        stop at its N-th MPI call since its first safe point (default: where the rank ended)\n"
    "  --gdb         under gdb, which stops at the safe point of the checkpoint, where the replay ends, and where the program\n"
    "                sends something else than it did\n"
    "  --preload     put libbelay into a program that is not linked with it\n"
    "  --dir DIR     the job directory (default: BELAY_DIR, or belay.d)\n"
    "  --help\n\n"
    "exit status: 0 the replay came to where the rank ended, or to call N; 1 it differs, or cannot be made; 2 wrong usage or\n"
    "no such directory; else the program's.\n";

typedef struct request {
    uint32_t rank;
    const char *from, *to, *dir;
    int gdb, preload;
    char **program;
} request;

static int complain(const bl_error *err, int status)
{
    fprintf(stderr, "belay replay: %s\n", err->text);
    return status;
}

static int is_number(const char *text)
{
    char *end;
    errno = 0;
    (void)strtoull(text, &end, 10);
    return !errno && *text >= '0' && *text <= '9' && !*end;
}

static int parse(int argc, char **argv, request *r, bl_error *err)
{
    static const struct option options[] = {
        { "from", required_argument, NULL, 'f' }, { "to", required_argument, NULL, 't' }, { "gdb", no_argument, NULL, 'g' },
        { "preload", no_argument, NULL, 'p' },    { "dir", required_argument, NULL, 'd' }, { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    int letter, ranked = 0;
    opterr = 0;
    optind = 1;
    for (;;) {
        letter = getopt_long(argc, argv, "+:h", options, NULL);
        if (letter == -1 && !ranked && optind < argc && is_number(argv[optind]) && strlen(argv[optind]) < 8) { /* RANK, options behind it */
            r->rank = (uint32_t)atoi(argv[optind++]);
            ranked = 1;
            continue;
        }
        if (letter == -1) break;
        switch (letter) {
        case 'f': r->from = optarg; break;
        case 't': r->to = optarg; break;
        case 'g': r->gdb = 1; break;
        case 'p': r->preload = 1; break;
        case 'd': r->dir = optarg; break;
        case 'h': return BELAY_ERR_NONE;
        case ':': return bl_fail(err, BELAY_ERR_ARG, "%.80s needs a value; see belay replay --help", argv[optind - 1]);
        default: return bl_fail(err, BELAY_ERR_ARG, "there is no option %.80s; see belay replay --help", argv[optind - 1]);
        }
    }
    if (!ranked) return bl_fail(err, BELAY_ERR_ARG, "which rank? usage: belay replay RANK [options] [--] PROGRAM [ARGUMENTS]");
    if (r->from && !is_number(r->from)) return bl_fail(err, BELAY_ERR_ARG, "--from '%.40s' is not the number of a checkpoint", r->from);
    if (r->to && (!is_number(r->to) || !strcmp(r->to, "0"))) return bl_fail(err, BELAY_ERR_ARG, "--to '%.40s' is not the number of a call, from 1 on", r->to);
    if (optind == argc) return bl_fail(err, BELAY_ERR_ARG, "which program? usage: belay replay RANK [options] [--] PROGRAM [ARGUMENTS]");
    r->program = argv + optind;
    return BELAY_OK;
}

static int look_at_job(const request *r, bl_error *err)
{
    bl_store *store;
    int rc = bl_store_open(r->dir, BL_STABLE_PROCESS, &store, err);
    if (rc) return rc;
    if (r->rank >= bl_store_job(store)->ranks)
        rc = bl_fail(err, BELAY_ERR_ARG, "%s holds a job of %" PRIu32 " ranks, 0 to %" PRIu32, r->dir, bl_store_job(store)->ranks,
                     bl_store_job(store)->ranks - 1);
    bl_store_close(store);
    return rc;
}

static void set_or_not(const char *variable, const char *value)
{
    if (value) setenv(variable, value, 1);
    else unsetenv(variable);
}

static void set_environment(const request *r)
{
    char rank[16], dir[PATH_MAX];
    snprintf(rank, sizeof rank, "%" PRIu32, r->rank);
    setenv("BELAY_REPLAY", rank, 1);
    set_or_not("BELAY_REPLAY_FROM", r->from);
    set_or_not("BELAY_REPLAY_TO", r->to);
    set_or_not("BELAY_REPLAY_DEBUGGER", r->gdb ? "1" : NULL);
    setenv("BELAY_DIR", realpath(r->dir, dir) ? dir : r->dir, 1);
    setenv("OMPI_MCA_ess_singleton_isolated", "1", 0); /* Open MPI starts no daemon for a process that is alone */
    unsetenv("BELAY_INCARNATION");
    unsetenv("BELAY_KILL");
    unsetenv("BELAY_OFF");
}

/* Room for gdb's words, then the program's. */
static char **command(const request *r, const char *library)
{
    size_t words = 0, n = 0;
    static char preload[PATH_MAX + 48];
    while (r->program[words]) words++;
    char **argv = calloc(words + 14, sizeof *argv);
    if (!argv) return NULL;
    if (r->gdb) {
        argv[n++] = "gdb";
        argv[n++] = "-q";
        if (r->preload) {
            snprintf(preload, sizeof preload, "set environment LD_PRELOAD %s", library);
            argv[n++] = "-ex";
            argv[n++] = preload;
        }
        argv[n++] = "-ex";
        argv[n++] = "run";
        argv[n++] = "-ex";
        argv[n++] = "frame function belay_checkpoint";
        argv[n++] = "-ex";
        argv[n++] = "finish";
        argv[n++] = "--args";
    } else if (r->preload) {
        setenv("LD_PRELOAD", library, 1);
    }
    memcpy(argv + n, r->program, words * sizeof *argv);
    return argv;
}

int bl_replay_main(int argc, char **argv)
{
    static bl_settings settings; /* static for its size only */
    bl_error err = { 0, "" };
    char library[PATH_MAX] = "";
    request r = { 0 };
    int rc = parse(argc, argv, &r, &err);
    if (rc == BELAY_ERR_NONE) {
        fputs(usage_text, stdout);
        return 0;
    }
    if (rc == BELAY_OK && !r.dir) {
        rc = bl_settings_load(&settings, &err);
        r.dir = settings.dir;
    }
    if (rc == BELAY_OK) rc = look_at_job(&r, &err);
    if (rc) return complain(&err, 2);
    if (r.preload && bl_find_library(library, sizeof library, &err)) return complain(&err, 1);
    if (strpbrk(library, " \t:")) {
        bl_fail(&err, BELAY_ERR_REFUSED, "--preload: the loader cannot preload %s: its path has a space or a colon", library);
        return complain(&err, 1);
    }
    set_environment(&r);
    char **words = command(&r, library);
    if (!words) {
        bl_fail(&err, BELAY_ERR_MEMORY, "out of memory");
        return complain(&err, 1);
    }
    fflush(NULL);
    execvp(words[0], words);
    bl_fail_errno(&err, "cannot start %s", words[0]);
    free(words);
    return complain(&err, 1);
}
