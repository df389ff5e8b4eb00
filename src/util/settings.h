/* settings.h - the settings, one table: name, default, what it means.  A setting `commit-timeout` is the flag
 * --commit-timeout of `belay run`, the variable BELAY_COMMIT_TIMEOUT and the line `commit-timeout = ...` of the file
 * BELAY_SETTINGS names.  A flag wins over a variable, a variable over the file.  All input is untrusted.
 */
#ifndef BL_UTIL_SETTINGS_H
#define BL_UTIL_SETTINGS_H

#include <stdint.h>
#include <stdio.h>

#include "util/error.h"
#include "util/kill.h"

enum { BL_PATH_MAX = 4096, BL_KILLS_MAX = 64, BL_EVERIES_MAX = 64, BL_LEVELS_MAX = 4 };

enum bl_every_kind { BL_EVERY_NEVER, BL_EVERY_POINTS, BL_EVERY_SECONDS, BL_EVERY_AUTO };

typedef struct bl_every {
    enum bl_every_kind kind;
    uint64_t points; /* BL_EVERY_POINTS */
    double seconds;  /* BL_EVERY_SECONDS */
} bl_every;

enum bl_protocol { BL_PROTOCOL_COORDINATED, BL_PROTOCOL_INDEPENDENT, BL_PROTOCOL_INDUCED };
enum bl_logging_protocol { BL_LOGGING_NONE, BL_LOGGING_PESSIMISTIC, BL_LOGGING_OPTIMISTIC, BL_LOGGING_CAUSAL };
enum bl_recovery { BL_RECOVERY_AUTO, BL_RECOVERY_RELAUNCH, BL_RECOVERY_INJOB };
enum bl_async { BL_ASYNC_OFF, BL_ASYNC_STAGE, BL_ASYNC_FORK, BL_ASYNC_AUTO };
enum bl_piggyback { BL_PIGGYBACK_IMPLICIT, BL_PIGGYBACK_MARKER, BL_PIGGYBACK_HEADER };

typedef struct bl_level { /* of redundancy: groups of so many ranks, of which `parity` may be lost; each `every`-th checkpoint */
    unsigned members, parity, every;
} bl_level;

typedef struct bl_settings {
    char dir[BL_PATH_MAX];
    enum bl_protocol protocol;
    enum bl_piggyback piggyback;    /* as set; bl_settings_piggyback is what is done */
    enum bl_logging_protocol logging;
    bl_level level[BL_LEVELS_MAX];
    unsigned levels;
    enum bl_recovery recovery;
    unsigned spares;                /* processes started besides the ranks, which wait to take the place of a dead one */
    double suspect_s;               /* a rank that MPI hears nothing from for so long is taken for dead; 0: never */
    char from[BL_PATH_MAX];         /* "": nothing; a job directory whose checkpoint this job begins with */
    enum bl_async async;            /* as set; what is done is for stage.c to say */
    uint64_t async_rate;            /* bytes/s of a rank's thread or process that writes; 0: as fast as it can */
    int async_skip;                 /* async-late: 0 wait, 1 skip */
    unsigned failure_domain;        /* so many ranks after one another are lost together; 0: those of a node */
    char local_dir[BL_PATH_MAX];    /* "": snapshots are in the job directory */
    uint64_t log_budget;            /* bytes of each of a rank's journals */
    unsigned log_failures;          /* causal: so many ranks may be lost with their unforced journals at once */
    bl_every every[BL_EVERIES_MAX]; /* of rank r: [r % everies] */
    unsigned everies;
    double jitter;            /* 0 to 0.9 of a period */
    double mtbf_s;
    int stable_power;         /* stable: 0 process, 1 power */
    unsigned keep;            /* committed checkpoints that stay */
    unsigned max_restarts;
    double grace_s;           /* after a request to stop, before the job is ended without a checkpoint */
    double align_timeout_s;   /* a rank waits this long at its safe point for the others */
    double commit_timeout_s;  /* a rank waits this long for the decision before it asks and then decides itself */
    int verbose;              /* 0: errors only, 1: a line per event */
    int errors_return;        /* errors: 0 fatal, 1 return */
    bl_kill kill[BL_KILLS_MAX];
    unsigned kills;
} bl_settings;

/* One row of the table; for --help, the README's check and the man page. */
typedef struct bl_setting {
    const char *name, *value, *fallback, *help;
    int (*set)(bl_settings *settings, const struct bl_setting *row, const char *text, bl_error *err);
} bl_setting;

extern const bl_setting bl_setting_table[];
extern const unsigned bl_setting_count;

/* The table's defaults, then the file, then the environment.  BELAY_ERR_ARG or BELAY_ERR_REFUSED with a sentence that
 * names the variable or the line. */
int bl_settings_load(bl_settings *settings, bl_error *err);

/* NULL, or why nothing is written while the program goes on with these, whatever is asked for. */
const char *bl_settings_no_async(const bl_settings *settings);

/* Do they make sense together?  BELAY_ERR_REFUSED with the reason; asked when all are set. */
int bl_settings_agree(const bl_settings *settings, bl_error *err);

/* "none", "pessimistic", ... */
const char *bl_logging_name(enum bl_logging_protocol logging);
int bl_is_logging(const char *protocol); /* is it one of those that log messages? */

/* "off", "stage", ... */
const char *bl_async_name(enum bl_async async);

/* Induced checkpoints need to be told, so implicit is marker with them. */
enum bl_piggyback bl_settings_piggyback(const bl_settings *settings);

/* Every rank checkpoints on its own, and the line is found after a failure. */
static inline int bl_settings_alone(const bl_settings *settings)
{
    return settings->protocol != BL_PROTOCOL_COORDINATED;
}

/* After a death the ranks that live stay, if MPI can do that: asked for, or there are spares and nothing else is asked for. */
static inline int bl_settings_injob(const bl_settings *settings)
{
    return settings->recovery == BL_RECOVERY_INJOB || (settings->recovery == BL_RECOVERY_AUTO && settings->spares);
}

bl_every bl_settings_every(const bl_settings *settings, uint32_t rank);

/* Sets one by name; `origin` ("--every", "BELAY_EVERY") goes into the sentence. */
int bl_settings_set(bl_settings *settings, const char *name, const char *text, const char *origin, bl_error *err);

/* "BELAY_COMMIT_TIMEOUT" of "commit-timeout". */
void bl_setting_variable(const char *name, char *variable, size_t size);

/* "90", "30s", "1.5m", "2h", "1d" in seconds. */
int bl_parse_duration(const char *text, double *seconds);

#endif
