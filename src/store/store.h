/* store.h - stable storage: one job directory, its snapshots, commit records and live tables.
 *
 *   belay.d/
 *     job.json                            what ran; rewritten (atomically) once per incarnation
 *     incarnation                         the running incarnation; locked while anything is published
 *     commit/000012.a  commit/000012.b    mirrored commit records of checkpoint 12
 *     rank-00003/ckpt-000012.h5           CP[3](12)
 *     rank-00003/live-0001                counters of incarnation 1, memory-mapped (live.h)
 *     quarantine/                         what did not verify, kept for a person to look at
 *
 * A checkpoint exists when its commit record says so.  Nothing named by a commit record is ever touched; everything is
 * written under a temporary name, synced as `stable` asks, verified, renamed, and its directory synced.  Everything read
 * back is untrusted: every function answers damage with an error code and one sentence, never a crash.
 * Not thread-safe: one thread uses a bl_store at a time.
 */
#ifndef BL_STORE_STORE_H
#define BL_STORE_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "util/error.h"

enum { BL_FORMAT = 1 };       /* version of everything on disk; a reader refuses a newer one */
enum { BL_NAME_MAX = 63 };    /* bytes in the name of a protected variable, without the NUL */
enum { BL_DIMS_MAX = 8 };     /* dimensions of a protected variable */
enum { BL_VARS_MAX = 4096 };  /* protected variables per rank */
enum { BL_RANKS_MAX = 1 << 20 };

enum bl_stable {
    BL_STABLE_PROCESS, /* survives the death of processes: page cache, no fsync */
    BL_STABLE_POWER    /* survives loss of power: fdatasync of files, fsync of directories */
};

typedef struct bl_digest { uint64_t low, high; } bl_digest;   /* xxh3-128 */

typedef struct bl_job {
    char id[17];            /* 16 hex digits, random, made when the job directory is */
    uint32_t ranks;
    uint32_t incarnation;   /* 0 for the first start */
    char program[256];      /* argv[0], for people */
    char state[16];         /* "running", "finished", "stopped" (asked to), "failed" (given up) */
    int64_t started_ns;     /* CLOCK_REALTIME at the start of this incarnation */
} bl_job;

typedef struct bl_store bl_store;

/* --- the job directory --- */

/* Creates `dir` with a fresh job in it (parents exist; the directory may exist if empty), state "running". */
int bl_store_create(const char *dir, uint32_t ranks, const char *program, enum bl_stable stable, bl_store **store, bl_error *err);

/* Opens an existing job directory.  BELAY_ERR_NONE when there is none (no directory or no job.json in it).
 * A reader (belay ls ...) never writes; a writer also passes the incarnation it belongs to with bl_store_join. */
int bl_store_open(const char *dir, enum bl_stable stable, bl_store **store, bl_error *err);
void bl_store_close(bl_store *store);
/* Snapshots are written at most at so many bytes/s; 0: as fast as it goes. */
void bl_store_rate(bl_store *store, uint64_t rate);
/* May two threads use two stores at a time?  That is for HDF5 to say. */
int bl_store_threads(void);
/* Calls body(context) while no other thread is inside HDF5, which a child of fork could not use otherwise; body may use it.  Not
 * at all if HDF5 is out of memory. */
void bl_store_alone(void (*body)(void *context), void *context);

const bl_job *bl_store_job(const bl_store *store);
const char *bl_store_dir(const bl_store *store);

/* Starts the next incarnation under the exclusive lock: job.json and `incarnation` are rewritten, state "running"; from
 * then on every publication by an older incarnation answers BELAY_ERR_STALE.  The store belongs to it afterwards. */
int bl_store_next_incarnation(bl_store *store, bl_error *err);

/* This process acts for `incarnation`; BELAY_ERR_STALE if a newer one has begun. */
int bl_store_join(bl_store *store, uint32_t incarnation, bl_error *err);

/* The incarnation that runs, which ranks that recover in the job have begun by themselves. */
int bl_store_running(bl_store *store, uint32_t *incarnation, bl_error *err);

/* The snapshots of `rank` are in `dir`, a directory of its node, from now on; rank-RRRRR/place in the job directory says so to
 * everybody.  After bl_store_join. */
int bl_store_use_local(bl_store *store, uint32_t rank, const char *dir, bl_error *err);

/* The directory that the snapshots of a rank are in. */
void bl_rank_directory(const bl_store *store, uint32_t rank, char *path, size_t size);
/* For an injected kill: removes what is in that directory, that of other ranks of the node included. */
void bl_store_lose_local(const bl_store *store);

/* Rewrites the state in job.json (fenced: BELAY_ERR_STALE for an older incarnation). */
int bl_store_set_state(bl_store *store, const char *state, bl_error *err);

/* Gives a finished file its name, unless this store's incarnation was replaced (BELAY_ERR_STALE); after any error `from` is gone. */
int bl_store_publish(const bl_store *store, const char *from, const char *to, bl_error *err);

/* `hook` is called just before a finished file (a snapshot, the mirror of a commit record) gets its final name: the place
 * where a death leaves the most behind, for fault injection. */
void bl_store_before_rename(bl_store *store, void (*hook)(void));

/* --- snapshots --- */

enum bl_type {
    BL_TYPE_BYTES,   /* opaque bytes, element size given */
    BL_TYPE_I8, BL_TYPE_I16, BL_TYPE_I32, BL_TYPE_I64,
    BL_TYPE_U8, BL_TYPE_U16, BL_TYPE_U32, BL_TYPE_U64,
    BL_TYPE_F32, BL_TYPE_F64,
    BL_TYPE_C32, BL_TYPE_C64 /* complex of two floats / doubles: compound {r, i}, as h5py reads it */
};

typedef struct bl_share {        /* where a variable is in an array that all ranks have together; elements, [dims] used */
    uint64_t whole[BL_DIMS_MAX];/* of the array of all */
    uint64_t offset[BL_DIMS_MAX], count[BL_DIMS_MAX]; /* what this rank has of it, disjoint from what others have */
    uint64_t first[BL_DIMS_MAX];/* where that begins in the variable: what is around it is ghost cells */
} bl_share;

typedef struct bl_variable {
    char name[BL_NAME_MAX + 1]; /* [A-Za-z0-9_.-]+, not "." or ".." */
    enum bl_type type;
    uint32_t element;           /* bytes per element */
    int dims;                   /* 0 (scalar) to BL_DIMS_MAX */
    uint64_t shape[BL_DIMS_MAX];/* elements, C order; a 0 makes an empty variable */
    void *data;                 /* the application's memory; NULL only when empty */
    int is_part;                /* `part` says of what */
    bl_share part;
} bl_variable;

/* Is the part inside the array, and inside the variable? */
int bl_share_fits(const bl_variable *variable);

uint64_t bl_variable_bytes(const bl_variable *variable);

typedef struct bl_channel {     /* cumulative since the start of this incarnation */
    uint64_t comm;              /* global communicator id */
    int32_t peer;               /* rank in MPI_COMM_WORLD */
    int32_t tag;                /* BL_TAG_FOLDED: all tags beyond the table's capacity together */
    uint64_t sent, received;    /* messages to / from the peer */
} bl_channel;
enum { BL_TAG_FOLDED = INT32_MIN };

typedef struct bl_collectives { /* collectives started on one communicator since the start of this incarnation */
    uint64_t comm;
    uint64_t started;
    uint32_t size;              /* members */
    uint32_t reserved;
} bl_collectives;

typedef struct bl_dependency { uint32_t source, source_interval, interval; } bl_dependency;

typedef struct bl_snapshot {    /* everything about CP[rank](checkpoint) but the data */
    uint32_t rank, ranks, checkpoint, incarnation;
    uint32_t line_base;         /* the checkpoint this incarnation resumed from (0: from the start) */
    uint64_t safe_point;        /* ordinal of the safe point it was taken at, from 0 */
    int64_t time_ns;            /* CLOCK_REALTIME when it was taken */
    double compute_s;           /* seconds of useful work of the job up to here, over all incarnations */
    char protocol[16];          /* "coordinated", ... */
    uint32_t index;             /* induced: what messages carry from here on; 0: none */
    uint32_t forced;            /* induced: 1: because of a message, 0: when it was due */
    const bl_variable *variables;       size_t nvariables;
    const bl_channel *channels;         size_t nchannels;
    const bl_collectives *collectives;  size_t ncollectives;
    const bl_dependency *dependencies;  size_t ndependencies; /* of the interval that ends here */
} bl_snapshot;

/* Writes rank-RRRRR/ckpt-NNNNNN.h5 by the recipe of doc/format.md and returns its digest: xxh3-128 over the sorted
 * (name, type, shape, checksum) of everything in the file; so whoever holds the digest holds the contents.
 * Durable as `stable` asks when it returns.  Fenced.  BELAY_ERR_SYSTEM leaves no file behind. */
int bl_snapshot_write(bl_store *store, const bl_snapshot *snapshot, bl_digest *digest, bl_error *err);

/* Of a writer that was killed: what it has left of the file under its temporary name. */
void bl_snapshot_drop(bl_store *store, uint32_t rank, uint32_t checkpoint);

/* Opens and checks structure and origin (job, rank, ranks, checkpoint, format) but not the bulk data.  The returned
 * snapshot is owned by the handle; data pointers are NULL.  `expect` (may be NULL): the digest the commit record names. */
typedef struct bl_reader bl_reader;
int bl_snapshot_open(bl_store *store, uint32_t rank, uint32_t checkpoint, const bl_digest *expect,
                     bl_reader **reader, const bl_snapshot **snapshot, bl_error *err);
/* Reads all data once and compares every checksum; touches no application memory. */
int bl_snapshot_verify(bl_reader *reader, bl_error *err);
/* Reads variable `name` into `data` (exactly its bytes). */
int bl_snapshot_read(bl_reader *reader, const char *name, void *data, bl_error *err);
void bl_snapshot_close(bl_reader *reader);

/* The checksum of a variable's data; BELAY_ERR_NONE. */
int bl_snapshot_sum(const bl_reader *reader, const char *name, bl_digest *sum);

/* Is that the protocol of snapshots that each rank takes on its own, without commit records? */
int bl_snapshot_alone(const char *protocol);

/* Moves a snapshot that did not verify to quarantine/ (never deletes); path for the message in `where` (may be NULL). */
int bl_snapshot_quarantine(bl_store *store, uint32_t rank, uint32_t checkpoint, char *where, size_t size, bl_error *err);

/* --- commit records --- */

enum bl_decision { BL_UNDECIDED, BL_COMMITTED, BL_ABORTED };

typedef struct bl_commit_record {
    enum bl_decision decision;
    uint32_t checkpoint, incarnation, ranks;
    uint64_t safe_point;
    int64_t time_ns;
    double compute_s;           /* as in the snapshot, of rank 0 */
    bl_digest *digests;         /* [ranks] of a committed checkpoint, else NULL; malloc'ed by bl_commit_read */
} bl_commit_record;

/* Decides, once for ever: publishes the record unless one is there already (exclusive link()), then mirrors it.  On
 * return *actual is what was decided, by us or by whoever was first.  Fenced.  Forced as `stable` asks. */
int bl_commit_decide(bl_store *store, const bl_commit_record *record, enum bl_decision *actual, bl_error *err);

/* Two-disk rules: equal, fine; one bad or missing, the good one counts; both good but different, main (.a) wins; both bad,
 * BELAY_ERR_DAMAGED; neither there, BELAY_ERR_NONE.  Reads only; bl_commit_repair makes the copies equal again. */
int bl_commit_read(bl_store *store, uint32_t checkpoint, bl_commit_record *record, bl_error *err);
int bl_commit_repair(bl_store *store, uint32_t checkpoint, bl_error *err);
void bl_commit_clear(bl_commit_record *record);

/* All checkpoint numbers with any record file, ascending; *numbers is malloc'ed. */
int bl_commit_list(bl_store *store, uint32_t **numbers, size_t *count, bl_error *err);

/* The highest checkpoint number for which anything (record, snapshot, temporary or quarantined file) exists; 0 if none.
 * New checkpoints take the next number, so no name is ever used twice. */
int bl_store_highest(bl_store *store, uint32_t *checkpoint, bl_error *err);

/* The same of the files of one rank, where it keeps them. */
int bl_rank_highest(const bl_store *store, uint32_t rank, uint32_t *checkpoint, bl_error *err);

/* The newest committed checkpoint below `below` (UINT32_MAX: any) whose record is good; BELAY_ERR_NONE if there is none,
 * that is: restart from the beginning.  Damaged records on the way are described in `err` text by the caller's `note`. */
typedef void bl_note(void *context, const char *sentence); /* may be NULL */
int bl_commit_newest(bl_store *store, uint32_t below, bl_commit_record *record, bl_note *note, void *context, bl_error *err);

/* Moves both copies of the record of a checkpoint that cannot be restored to quarantine/, so that it no longer counts
 * among those that are kept. */
int bl_commit_quarantine(bl_store *store, uint32_t checkpoint, bl_error *err);

/* --- garbage --- */

/* Removes the record of `checkpoint` (mirror first, then main), then, by the caller's next call, its snapshots. */
int bl_commit_remove(bl_store *store, uint32_t checkpoint, bl_error *err);
int bl_snapshot_remove(bl_store *store, uint32_t rank, uint32_t checkpoint, bl_error *err);
/* Removes every snapshot of a rank above `last`, newest first; when it returns none of them comes back, as `stable` asks. */
int bl_snapshot_forget(bl_store *store, uint32_t rank, uint32_t last, bl_error *err);
/* Snapshot numbers present for a rank, ascending (temporaries and quarantine excluded); malloc'ed. */
int bl_snapshot_list(bl_store *store, uint32_t rank, uint32_t **numbers, size_t *count, bl_error *err);

#endif
