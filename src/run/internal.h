/* internal.h - what the files of src/run share. */
#ifndef BL_RUN_INTERNAL_H
#define BL_RUN_INTERNAL_H

#include <signal.h>
#include <stdint.h>
#include <sys/types.h>

#include "store/live.h"
#include "store/start.h"
#include "store/store.h"
#include "util/settings.h"

enum { BL_MPIRUN_ARGS_MAX = 64, BL_SAME_PLACE_MAX = 3 };

/* --- nodes.c: those a job may use, and which of them answer --- */
typedef struct bl_node bl_node;
typedef struct bl_nodes {
    bl_node *node;               /* [count] in the order in which they are used */
    unsigned count;              /* 0: none was named, mpirun chooses */
} bl_nodes;
int bl_nodes_parse(bl_nodes *nodes, const char *list, bl_error *err); /* NODE[:SLOTS],...; adds to what is there */
int bl_nodes_read(bl_nodes *nodes, const char *path, bl_error *err);  /* a hostfile */
uint32_t bl_nodes_use(bl_nodes *nodes, uint32_t processes); /* the first that are not lost and have room; returns their slots, too few if there are no more */
char *bl_nodes_list(const bl_nodes *nodes);      /* those in use, for mpirun; freed by the caller; NULL: no memory */
/* Some of them, for a sentence; return how many there are. */
unsigned bl_nodes_name_used(const bl_nodes *nodes, char *text, size_t size);
unsigned bl_nodes_name_lost(const bl_nodes *nodes, char *text, size_t size); /* by the last look */

typedef struct bl_options {
    bl_settings settings;
    bl_nodes nodes;
    uint32_t ranks;
    int json, fresh, preload;
    const char *mpirun;
    const char *mpirun_arg[BL_MPIRUN_ARGS_MAX];
    unsigned mpirun_args;
    char **program;              /* NULL-terminated */
} bl_options;

enum { BL_OPTIONS_RUN = -1 };    /* otherwise: the exit status with which `belay run` is over */
int bl_options_parse(int argc, char **argv, bl_options *options);

static inline uint32_t bl_processes(const bl_options *o)
{
    return o->ranks + o->settings.spares;
}

/* Asks the nodes in use, and others in place of those that do not answer, which are not used again; takes some seconds.  Returns as
 * bl_nodes_use. */
uint32_t bl_nodes_look(bl_options *options);

/* --- events.c: what a person reads, or with --json a program --- */
typedef struct bl_events { int json; } bl_events;
/* `pairs`: name, json_pack format-like: bl_event(e, "death", text, "rank", 'i', 2, "signal", ... , NULL) */
void bl_event(const bl_events *events, const char *kind, const char *text, ...);

/* --- watch.c: mpirun from fork to the end of its last process; of it one incarnation, or, when ranks recover in the job, several --- */
typedef struct bl_watch {
    int status;                  /* of mpirun, as waitpid gives it */
    int64_t started_ns, ended_ns;/* realtime */
    int64_t first_dead;          /* rank whose process was seen to end first, before mpirun did; -1: none was seen */
    int64_t first_dead_ns;
    int asked;                   /* signal that asked us to stop; 0: none */
    int forced;                  /* the job was ended by us: asked twice, the grace was over, or no recovery in the job */
    uint32_t next;               /* mpirun goes on: this incarnation has been begun in the job; 0: mpirun has ended */
} bl_watch;
typedef struct bl_watcher bl_watcher;
int bl_watch_begin(bl_store *store, const bl_options *options, const bl_events *events, bl_watcher **watcher, bl_error *err); /* starts mpirun */
void bl_watch_incarnation(bl_watcher *watcher, bl_watch *watch); /* that of the store, to its end */
void bl_watch_end(bl_watcher *watcher);          /* also of an mpirun that goes on, which is ended */
int bl_watch_init(bl_error *err); /* once: signals, and orphans become our children */

/* --- launch.c --- */
pid_t bl_launch(const bl_options *options, uint32_t incarnation, bl_error *err); /* of mpirun */
int bl_find_library(char *library, size_t size, bl_error *err); /* for --preload */
int bl_find_mpirun(bl_options *options, bl_error *err);

/* --- postmortem.c: how an incarnation ended --- */
enum bl_end {
    BL_END_FINISHED,  /* every rank returned from MPI_Finalize */
    BL_END_STOPPED,   /* every rank stopped after a checkpoint, as asked */
    BL_END_REFUSED,   /* the library ended the job and said why */
    BL_END_ABSENT,    /* no rank was seen: mpirun or the program did not start, or Belay is not in the program */
    BL_END_DEATH      /* a rank died */
};
typedef struct bl_postmortem {
    enum bl_end end;
    int64_t rank;                /* that died first; -1: unknown */
    uint32_t state;              /* enum bl_live_state of it */
    int32_t code;
    uint64_t safe_point, calls;  /* of it, or the furthest of all when it is unknown */
    int64_t work_from_ns;        /* since when its work is lost if there is no newer checkpoint */
    int64_t died_ns;
    uint64_t fired;              /* bit set of --kill entries that have happened */
} bl_postmortem;
void bl_postmortem_of(bl_store *store, const bl_options *options, const bl_watch *watch, bl_postmortem *p);
void bl_postmortem_text(const bl_postmortem *p, const bl_options *options, char *text, size_t size);

/* --- own.c: independent checkpoints --- */
/* [ranks] who stayed where it was when `next` was begun in the job; NULL: nobody.  Freed by the caller. */
uint8_t *bl_own_stayed(bl_store *store, uint32_t incarnation, uint32_t next);
/* Tells it; seconds of lost work.  stayed: NULL: nobody has.  *logged_s gets what it would have been with message logging added. */
double bl_own_line(bl_store *store, const bl_events *events, const bl_postmortem *dead, const uint8_t *stayed, double *logged_s);
typedef struct bl_collector { int64_t next_ns; } bl_collector;
void bl_own_collect(bl_store *store, bl_collector *collector); /* now and then: removes what no line can need any more */

#endif
