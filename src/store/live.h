/* live.h - one rank's live table: its message counters, kept in a memory-mapped file so that they survive `kill -9`.
 *
 * The wrappers count straight into the mapping: a store to memory per message, no system call.  After a death
 * `belay line` reads the tables and knows what every rank had sent and received in the interval that was cut short.
 */
#ifndef BL_STORE_LIVE_H
#define BL_STORE_LIVE_H

#include <stddef.h>
#include <stdint.h>

#include "store/store.h"

enum { BL_LIVE_CHANNELS = 1 << 14, BL_LIVE_COLLECTIVES = 1 << 10 }; /* slots; powers of two; fuller than 3/4 folds tags */

enum bl_live_state {            /* how the process stands, or last stood */
    BL_LIVE_STARTED = 1,        /* inside or after MPI_Init */
    BL_LIVE_FINALIZING,         /* inside MPI_Finalize */
    BL_LIVE_FINISHED,           /* MPI_Finalize returned: the only proof of completion */
    BL_LIVE_EXITED,             /* left through exit() without MPI_Finalize */
    BL_LIVE_ABORTED,            /* called MPI_Abort; `code` is its argument */
    BL_LIVE_KILLED,             /* killed by an injected fault; `code` is 1 + the index of the --kill */
    BL_LIVE_STOPPED,            /* checkpointed and ended because it was asked to */
    BL_LIVE_REFUSED             /* the library ended the job with a reason it printed */
};

typedef struct bl_live_header {
    char magic[8];              /* "BLYLIVE\n" */
    uint32_t format, header_bytes;
    char job[24];
    uint32_t rank, ranks, incarnation;
    uint32_t channel_slots, collective_slots;
    uint32_t base;              /* checkpoint this incarnation resumed from */
    int32_t pid;
    int32_t code;
    char host[64];
    int64_t started_ns;         /* CLOCK_REALTIME */
    /* changing: each field is written by its own aligned store, by the rank alone */
    uint32_t state;             /* enum bl_live_state */
    uint32_t checkpoint;        /* last committed here */
    uint32_t channels, collectives; /* slots in use */
    uint64_t safe_point;        /* ordinal of the last safe point entered; UINT64_MAX before the first */
    uint64_t checkpoint_safe_point; /* of `checkpoint`; stays known when the checkpoint has been retired */
    uint64_t calls;             /* wrapped MPI calls so far */
    int64_t first_step_ns;      /* CLOCK_REALTIME of the first safe point; 0 before */
    int64_t safe_point_ns;      /* CLOCK_REALTIME of about the last safe point (updated now and then) */
    int64_t checkpoint_ns;      /* CLOCK_REALTIME of the last committed checkpoint, or of the restore */
    double compute_base_s;      /* useful work of the job up to where this incarnation resumed */
    uint64_t clock_base;        /* message logging: `calls` less the clock of the rank, which goes on from its checkpoint's */
    uint32_t logged;            /* 1: it does, from the first safe point on */
    uint32_t between;           /* a hash of what was sent from belay_recover to there */
} bl_live_header;

typedef struct bl_live_slot {   /* 48 bytes; comm == 0: free.  at_*: the counters at the last committed checkpoint */
    uint64_t comm;
    int32_t peer, tag;
    uint64_t sent, received;
    uint64_t at_sent, at_received;
} bl_live_slot;

typedef struct bl_live_collective { /* 32 bytes */
    uint64_t comm, started, at_started;
    uint32_t size, freed;             /* freed: the communicator is gone, its row may be used again */
} bl_live_collective;

typedef struct bl_live {
    bl_live_header *header;
    bl_live_slot *slot;               /* [channel_slots] open addressing by bl_live_hash */
    bl_live_collective *collective;   /* [collective_slots] */
    size_t bytes;                     /* of the mapping */
} bl_live;

/* Makes (or replaces) rank-RRRRR/live-IIII and maps it; only touched pages cost memory. */
int bl_live_create(bl_store *store, uint32_t rank, bl_live *live, bl_error *err);
void bl_live_unmap(bl_live *live);

/* The table goes on as that of the incarnation the store now belongs to, at the same address; what it was stays in the file of the
 * one before. */
int bl_live_go_on(bl_store *store, bl_live *live, bl_error *err);

/* Reads the table of a (possibly dead) rank into memory of its own, checking magic, sizes and origin.  Free with
 * bl_live_free.  A table of a running rank is a snapshot of a moving thing. */
int bl_live_read(bl_store *store, uint32_t rank, uint32_t incarnation, bl_live *live, bl_error *err);
void bl_live_free(bl_live *live);

/* The header alone: one small read, for who asks often or asks many ranks. */
int bl_live_read_header(bl_store *store, uint32_t rank, uint32_t incarnation, bl_live_header *header, bl_error *err);
/* The mean of the job up to now; 0: not known yet. */
double bl_live_seconds_a_safe_point(const bl_live_header *header);

static inline uint32_t bl_live_hash(uint64_t comm, int32_t peer, int32_t tag)
{
    uint64_t h = comm ^ ((uint64_t)(uint32_t)peer << 32) ^ (uint32_t)tag;
    h *= 0x9e3779b97f4a7c15u;
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9u;
    return (uint32_t)(h >> 32);
}

#endif
