/* runtime.h - everything the interposed library keeps in a process, in one struct; and what every wrapper does.
 *
 * Below MPI_THREAD_MULTIPLE one thread at a time calls MPI, and nothing here locks.  Under it, one lock is held while
 * something is counted and over the calls that do not wait (MPI_Isend, MPI_Test ...), so that what is counted, its order,
 * and the handles of requests are never out of step with MPI; it is not held while a thread waits in MPI.
 */
#ifndef BL_MPI_RUNTIME_H
#define BL_MPI_RUNTIME_H

#include <mpi.h>
#include <stddef.h>
#include <stdint.h>

#include "belay.h"
#include "protocol/due.h"
#include "store/live.h"
#include "store/store.h"
#include "util/settings.h"

enum bl_call {            /* every intercepted call, generated from calls.def */
#define CALL(name) BL_CALL_##name,
#include "mpi/calls.inc"
#undef CALL
    BL_CALLS
};
const char *bl_call_name(enum bl_call call);

/* Where the counter of (communicator, peer, tag) is: a direct-mapped cache in front of the live table, one for sends and
 * one for deliveries.  The first is emptied when an interval begins that others have to be told of (ride.c). */
enum bl_direction { BL_SENT, BL_RECEIVED };
typedef struct bl_way {
    MPI_Comm handle;
    int peer, tag;        /* peer: rank in comm */
    struct bl_comm *comm;
    bl_live_slot *slot;
} bl_way;
enum { BL_WAYS = 512 };

typedef struct bl_comm {  /* a communicator the program uses; kept after MPI_Comm_free while requests refer to it */
    MPI_Comm handle;      /* MPI_COMM_NULL once freed */
    MPI_Comm before;      /* what the program calls it since a recovery in which this rank stayed; else MPI_COMM_NULL */
    uint8_t freed;        /* by the program; kept for a rank that goes back alone, and makes it again */
    uint64_t id;          /* the same on all members, and again after a restart */
    uint64_t members;     /* the ranks, as a hash */
    int size;             /* of the local group */
    int peers;            /* of the group that ranks in sends and receives refer to: the remote one of an intercommunicator */
    int *world;           /* [peers] rank in MPI_COMM_WORLD, -1 if not in it; NULL: the identity */
    int *local;           /* intercommunicator: [size] the local group's; else NULL */
    int foreign;          /* some of either group are not in MPI_COMM_WORLD */
    int wanted;           /* by a request; set and looked at when a communicator is freed */
    bl_live_collective *collective;
    MPI_Errhandler handler; /* that the program has set, or its parent had; 0: none */
    struct bl_comm *shadow; /* logging: the same ranks, for what collectives are made of; NULL: none */
} bl_comm;
enum { BL_COMM_WAYS = 64, BL_OWN_COMMS = 16 };

enum bl_request_kind { BL_REQ_SEND, BL_REQ_RECV, BL_REQ_COLLECTIVE, BL_REQ_MESSAGE };

typedef struct bl_request {
    uint64_t key;         /* the handle's bits; 0: free */
    bl_comm *comm;
    union {
        bl_live_slot *slot; /* that its message is counted in; NULL: none, or known from the status only */
        MPI_Comm *newcomm;  /* MPI_Comm_idup: where the handle of `comm` will be */
    };
    uint64_t number;      /* of the call that made it */
    int peer, tag;
    uint8_t kind, active, persistent, cancelled, wants_status;
    uint8_t plain;        /* its completion is one more in slot->received (of a send: in bl_rt.nowhere), and the end of it */
    uint8_t counted;      /* MPI_Request_get_status has shown its message to the program already */
    uint8_t call;         /* enum bl_call */
} bl_request;
_Static_assert(BL_CALLS <= UINT8_MAX + 1, "bl_request has a byte for it");
enum { BL_RECENT = 1024 };

enum bl_counting { BL_COUNTING_NOT, BL_COUNTING_ALONE, BL_COUNTING_LOCKED, BL_COUNTING_CARRIED, BL_COUNTING_LOGGED };

typedef struct bl_object { /* a window or a file, collective on a communicator that may be freed before it */
    uintptr_t handle;
    bl_comm *comm;
    int starting;         /* ranks of `group` a window's access epoch waits for; -1: none */
    int exposing;         /* the same of its exposure epoch */
    int *group, *exposed; /* [starting], [exposing]: ranks in comm */
} bl_object;

typedef struct bl_runtime {
    int off;              /* BELAY_OFF, or spawned: every belay_* call succeeds and does nothing */
    int on;               /* between MPI_Init and MPI_Finalize, and not switched off */
    int counting;         /* enum bl_counting: what the wrappers do */
    int locked;           /* MPI_THREAD_MULTIPLE: what is counted is counted under the lock */
    int several;          /* it is on some rank: ids of communicators do not follow from the order of calls alone */
    int rank, ranks;
    MPI_Comm world;       /* what MPI_COMM_WORLD is for the program: without spare ranks, and after a recovery in the job another one */
    MPI_Errhandler errors; /* of communicators, when the job recovers by itself (injob.c); else 0 */
    uint8_t local;        /* after a death this rank may stay in the call it is in, and only the dead one goes back (local.c) */
    uint8_t moved;        /* it has: communicators have other handles than the program knows */
    uint8_t completing, hurt; /* in a call of MPI whose caller looks at `hurt`: it has found a rank dead */
    uint64_t calls_until; /* kill at this wrapped call; UINT64_MAX: never */
    bl_live live;
    bl_live_slot nowhere; /* what counts for nothing is counted in */
    bl_way way[2][BL_WAYS];
    enum bl_piggyback piggyback;

    bl_comm **comm;           /* [comms] */
    unsigned comms, comm_room;
    bl_comm *comm_way[BL_COMM_WAYS];
    struct bl_comm_series *series; /* how many communicators there were with the same members; comms.c */
    unsigned series_count, series_room;
    int folded;               /* said that tags are counted together */
    unsigned freed_comms, freed_room;
    bl_comm **freed_comm;     /* [freed_comms] that requests refer to */
    bl_request recent[BL_RECENT]; /* direct-mapped, in front of the table below; a key is in one of the two */
    uint32_t displaced;       /* nonpersistent requests that found their place in it taken */
    bl_request *request;      /* open addressing, grown when half full */
    uint32_t request_slots, request_used;
    uint64_t active;          /* requests and matched messages that are not completed */
    uint64_t wanting;         /* requests that cannot be counted without their status: wildcards and cancelled ones */
    MPI_Request shared;       /* the one handle MPI gives to all requests that are complete when made */
    int nobody;               /* MPI_PROC_NULL, while requests with it are counted and are the shared one */
    uint64_t shared_many;     /* of them the program has still to complete */
    bl_request shared_first;  /* the oldest of those */
    MPI_Status *statuses;     /* scratch for ..._IGNORE */
    MPI_Request *handles;     /* scratch: handles before a completion */
    int scratch;
    struct bl_waiting *waiting; /* what threads wait for; waits.c */
    const char *refused;      /* a call after which the transitless check is not exact */
    bl_object *object;        /* [objects] windows and files */
    unsigned objects, object_room;
    unsigned outputs;         /* files opened for writing that were named */

    /* safe points and checkpoints */
    uint64_t attention;       /* first safe point at which anything has to be looked at */
    uint64_t kill_step;
    bl_due due;
    bl_ballot vote, outcome;
    MPI_Request round;
    uint64_t taken_at;        /* the safe point of the last checkpoint, or attempt; async-late=skip */
    int late;                 /* as far as all ranks know it is being written; the same on all */
    uint32_t skipped;         /* the checkpoint it was said for that the next one is left out */
    MPI_Comm private_comm;    /* protocol messages and agreement rounds; the program never sees it */
    MPI_Comm own[BL_OWN_COMMS]; /* [owns] our communicators: this one and those of other files */
    unsigned owns;
    volatile int asked;       /* enum bl_wish, set by SIGUSR1 */
    uint32_t next_checkpoint; /* number of the next attempt */
    struct bl_drive *drive;   /* what taking a checkpoint needs; checkpoint.c */
    uint32_t checkpoint;      /* last committed, or restored */
    uint32_t line_index;      /* checkpoint=induced: the highest index on the line all restarted from; 0: from the start */
    double compute_s, compute_base_s;
    int64_t compute_since_ns; /* monotonic; 0: before the first safe point */
    double blocked_s;

    /* recovery */
    bl_reader *reader;        /* the snapshot chosen in MPI_Init; NULL: fresh start */
    const bl_snapshot *restore;
    int recovered;            /* belay_recover was called */

    bl_store *store;
    bl_settings settings;
    uint32_t incarnation;
    int supervised;           /* started by `belay run` */
    int thread_level;
    int process;              /* getpid() of this rank, which a child that writes is not */
    uint64_t points_armed;    /* bit set of enum bl_point with a kill */
    uint32_t point_passed[BL_POINTS];
    uint64_t fired;           /* bit set of settings.kill: they have happened since mpirun was started */

    bl_variable *variable;
    unsigned variables, variable_room, variable_at;
    bl_error last;            /* of the last failed belay_* call */
} bl_runtime;

extern bl_runtime bl_rt;

MPI_Comm bl_comm_moved(MPI_Comm comm);
MPI_Comm bl_comm_at_first(MPI_Comm comm); /* what has the attributes that the program has set: they stay where they are */

/* A wrapper's communicator, as it is now. */
static inline MPI_Comm bl_now(MPI_Comm comm)
{
    if (comm == MPI_COMM_WORLD) return bl_rt.world;
    return __builtin_expect(bl_rt.moved, 0) ? bl_comm_moved(comm) : comm;
}

/* --- init.c --- */
void bl_count_no_more(void);  /* from here on the wrappers only call MPI */
void bl_begin(void);          /* MPI is initialised; collective */
void bl_release(void);        /* memory and files of this incarnation */

/* --- errors and messages (report.c) --- */
void bl_say(const char *format, ...) __attribute__((format(printf, 1, 2)));   /* "belay: ..." on standard error */
int bl_failed(int code, const bl_error *err);        /* remembers and prints "belay: rank 3: ..."; returns code */
void bl_end_job(const bl_error *err) __attribute__((noreturn)); /* prints, marks the rank REFUSED, aborts the job */
void bl_end_if_replaced(void);        /* another process is this rank in a later incarnation: says so and ends, alone */

/* --- fault injection (inject.c) --- */
void bl_inject_arm(void);
void bl_inject_call(void);
void bl_inject_step(uint64_t safe_point);
void bl_inject_point(enum bl_point point);
static inline void bl_point(enum bl_point point)
{
    if (__builtin_expect((bl_rt.points_armed >> point) & 1, 0)) bl_inject_point(point);
}

/* A part of a wrapper that the frequent case must not pay for with saved registers. */
#define BL_APART __attribute__((noinline))

/* --- every wrapper begins with bl_enter (the call's number, the fault that may sit on it, the lock if there is one) and
 * ends with bl_leave; while it may wait in MPI it is between bl_wait_begin and bl_wait_end (threads.c) --- */
int bl_threads_init(bl_error *err);
int bl_enter_locked(void);
void bl_lock(void);
void bl_unlock(void);
void bl_let_others(unsigned turn); /* between two looks at what is waited for; `turn` counts from 0 */
void bl_wait_begin_locked(void);
void bl_wait_end_locked(void);

static inline void bl_count_call(void)
{
    if (__builtin_expect(++bl_rt.live.header->calls == bl_rt.calls_until, 0)) bl_inject_call();
}

enum { BL_ENTERED = 1, BL_ENTERED_LOGGED };

/* 0: nothing is counted, the wrapper only calls MPI.  BL_ENTERED_LOGGED: what the call shows is an event (log.h). */
static inline int bl_enter(void)
{
    if (__builtin_expect(bl_rt.counting != BL_COUNTING_ALONE, 0)) return bl_enter_locked();
    bl_count_call();
    return BL_ENTERED;
}

/* The same of calls that send or receive a message: 0 also when carry.c or logged.c does it all, through bl_under. */
static inline int bl_enter_message(void)
{
    if (__builtin_expect(bl_rt.counting != BL_COUNTING_ALONE, 0))
        return bl_rt.counting >= BL_COUNTING_CARRIED ? 0 : bl_enter_locked();
    bl_count_call();
    return 1;
}

static inline void bl_leave(void)
{
    if (__builtin_expect(bl_rt.locked, 0)) bl_unlock();
}

static inline void bl_wait_begin(void)
{
    if (__builtin_expect(bl_rt.locked, 0)) bl_wait_begin_locked();
}

static inline void bl_wait_end(void)
{
    if (__builtin_expect(bl_rt.locked, 0)) bl_wait_end_locked();
}

/* --- communicators and counters (comms.c) --- */
int bl_comms_init(bl_error *err);
void bl_comms_free(void);
void bl_comm_own(MPI_Comm from, MPI_Comm *comm); /* collective: a copy for ourselves, on which an error is the end, or leads to a recovery */
void bl_comm_owned(MPI_Comm comm);               /* one that was made from such a one */
void bl_comm_disown(MPI_Comm *comm);             /* collective: frees it */
bl_comm *bl_comm_find(MPI_Comm comm);        /* registers one it has not seen; NULL when out of memory */
void bl_comm_made(MPI_Comm comm, MPI_Comm parent, int tag); /* after a creating call; MPI_COMM_NULL is fine */
void bl_comm_bridged(MPI_Comm comm, MPI_Comm local); /* after MPI_Intercomm_create */
bl_comm *bl_comm_copied(MPI_Comm parent);    /* what MPI_Comm_idup makes, before it has a handle; NULL when out of memory */
void bl_comm_named(bl_comm *comm, MPI_Comm handle); /* now it has */
void bl_comm_freed(MPI_Comm comm);           /* before MPI frees it */
uint64_t bl_comm_next_id(const int *world, int size); /* of the next communicator with these members; NULL: of all ranks */
void bl_comm_moves(bl_comm *comm, MPI_Comm handle);   /* in a recovery: this is it now */
void bl_comm_text(MPI_Comm comm, char *text, size_t size); /* "MPI_COMM_WORLD", or the communicator's name */
int bl_comm_world_rank(const bl_comm *comm, int peer);     /* -1: not in MPI_COMM_WORLD */
bl_live_slot *bl_comm_slot(const bl_comm *comm, int peer, int tag); /* NULL: invalid peer, or no room (then refused) */
bl_live_slot *bl_comm_slot_by_id(uint64_t id, int world, int tag); /* NULL: no room; says nothing about it */
bl_live_slot *bl_way_find(enum bl_direction direction, MPI_Comm comm, int peer, int tag);

static inline bl_comm *bl_comm_of(MPI_Comm comm)
{
    bl_comm *seen = bl_rt.comm_way[((uintptr_t)comm >> 4) & (BL_COMM_WAYS - 1)];
    return __builtin_expect(seen && seen->handle == comm, 1) ? seen : bl_comm_find(comm);
}

static inline bl_way *bl_way_of(enum bl_direction direction, MPI_Comm comm, int peer, int tag)
{
    uint32_t mixed = (uint32_t)((uintptr_t)comm >> 4) + (uint32_t)peer * 5u + (uint32_t)tag * 9u;
    return &bl_rt.way[direction][mixed & (BL_WAYS - 1)];
}

static inline int bl_way_leads(const bl_way *way, MPI_Comm comm, int peer, int tag)
{
    return __builtin_expect(way->handle == comm && way->peer == peer && way->tag == tag && way->slot, 1) != 0;
}

static inline bl_live_slot *bl_slot(enum bl_direction direction, MPI_Comm comm, int peer, int tag)
{
    const bl_way *way = bl_way_of(direction, comm, peer, tag);
    return bl_way_leads(way, comm, peer, tag) ? way->slot : bl_way_find(direction, comm, peer, tag);
}

static inline void bl_sent(MPI_Comm comm, int dest, int tag)
{
    if (dest == MPI_PROC_NULL) return;
    bl_live_slot *slot = bl_slot(BL_SENT, comm, dest, tag);
    if (slot) slot->sent++;
}

static inline void bl_received(MPI_Comm comm, const MPI_Status *status)
{
    if (status->MPI_SOURCE < 0) return; /* MPI_PROC_NULL, or an empty status */
    bl_live_slot *slot = bl_slot(BL_RECEIVED, comm, status->MPI_SOURCE, status->MPI_TAG);
    if (slot) slot->received++;
}

void bl_induced_collective(bl_comm *comm); /* induced.c: before a collective, or one that nobody can be told before */
void bl_induced_unseen(const char *call);

static inline void bl_collective(MPI_Comm comm)
{
    bl_comm *known = bl_comm_of(comm);
    if (!known || !known->collective) return;
    if (__builtin_expect(bl_rt.counting == BL_COUNTING_CARRIED, 0)) bl_induced_collective(known);
    known->collective->started++;
}

static inline void bl_icollective(MPI_Comm comm, const char *call)
{
    bl_comm *known = bl_comm_of(comm);
    if (__builtin_expect(bl_rt.counting == BL_COUNTING_CARRIED, 0)) bl_induced_unseen(call);
    if (known && known->collective) known->collective->started++;
}

/* --- windows, files, info objects, refusals (objects.c) --- */
void bl_refuse(const char *call, MPI_Comm comm);     /* no checkpoint after it; said once, by rank 0 of comm */
void bl_window_made(MPI_Win window, MPI_Comm comm);
void bl_file_collective(MPI_File file);
void bl_objects_want_comms(void);
void bl_objects_free(void);
MPI_Info bl_info_kept(MPI_Info info);                /* without what would void the order that counting rests on */
void bl_info_done(MPI_Info kept, MPI_Info info);

/* --- requests (requests.c) --- */
void bl_requests_withdraw(unsigned count, MPI_Request *posted); /* persistent receives of ours */
void bl_request_vanished(MPI_Request handle); /* MPI has taken it, and a rank is dead */
void bl_requests_each(void (*visit)(bl_request *request)); /* which takes none out, and brings none in */
void bl_requests_find(MPI_Request handle, void (*visit)(bl_request *request));
MPI_Comm bl_request_comm(MPI_Request handle);
int bl_request_active(MPI_Request handle);
int bl_request_receives(MPI_Request handle);  /* an active one that is a receive, and not shown to the program */
int bl_requests_settle(void);                /* when communicators are revoked: 1: MPI has nothing to do any more for any of the program's
                                                sends and receives, and there is nothing else */
void bl_requests_abandon(void);              /* when all communicators are revoked: MPI has nothing of the program's memory any more */
void bl_request_enter(uint64_t key, enum bl_request_kind kind, enum bl_call call, MPI_Comm comm, int peer, int tag,
                      int persistent);
int bl_request_started(MPI_Request request);      /* a persistent one, before MPI starts it; 1: it was not under way */
void bl_request_not_started(MPI_Request request); /* it was not, and MPI has said why */
int bl_request_leave(uint64_t key, MPI_Status *status); /* MPI_SUCCESS, or what carry.c found wrong with the message */
void bl_request_shared_enter(enum bl_request_kind kind, enum bl_call call, MPI_Comm comm, int peer, int tag);
void bl_request_freed(MPI_Request handle);
int bl_request_seen(MPI_Request handle, MPI_Status *status);
void bl_request_idup(MPI_Request request, bl_comm *comm, MPI_Comm *newcomm);
void bl_request_cancelled(MPI_Request handle);
void bl_request_looked_at(MPI_Request handle);       /* its status is, when it completes */
void bl_request_renamed(MPI_Request from, MPI_Request to);
void bl_message_made(MPI_Message message, enum bl_call call, MPI_Comm comm, const MPI_Status *status);
void bl_message_enter(MPI_Message message, enum bl_call call, MPI_Comm comm, const MPI_Status *status); /* counts nothing */
void bl_message_gone(MPI_Message message);
void bl_request_take(MPI_Request handle, bl_request *taken);
void bl_request_finish(bl_request *taken, MPI_Status *status);
void bl_request_return(const bl_request *taken);
int bl_scratch_grow(int count);
const bl_request *bl_request_outstanding(void); /* the oldest active one, NULL if none */
void bl_requests_want_comms(void);            /* sets `wanted` of every communicator that a request refers to */
void bl_requests_free(void);

/* Room in statuses and handles; 0 on success. */
static inline int bl_scratch(int count)
{
    return __builtin_expect(count <= bl_rt.scratch, 1) ? 0 : bl_scratch_grow(count);
}

static inline uint64_t bl_request_key(MPI_Request request)
{
    return (uint64_t)(uintptr_t)request;
}

/* MPI takes requests one after the other from pools, some 100 bytes apart: neighbours there are neighbours here, and do not
 * meet as they would by chance. */
static inline bl_request *bl_request_place(uint64_t key)
{
    return &bl_rt.recent[(key >> 8) & (BL_RECENT - 1)];
}

static inline void bl_request_made(MPI_Request request, enum bl_request_kind kind, enum bl_call call, MPI_Comm comm, int peer,
                                   int tag, int persistent)
{
    if (request != bl_rt.shared) bl_request_enter(bl_request_key(request), kind, call, comm, peer, tag, persistent);
    else if (bl_rt.shared_many++ == 0) bl_request_shared_enter(kind, call, comm, peer, tag);
}

/* A wrapper that makes a request is in two parts: what is frequent, with the channel at hand and as few registers to keep as
 * can be; and what is rare, which is whole. */
static inline bl_way *bl_way_at_hand(enum bl_direction direction, MPI_Comm comm, int peer, int tag)
{
    bl_way *way = bl_way_of(direction, comm, peer, tag);
    __asm__("" : "+r"(way)); /* one register: gcc would keep two numbers it can be made of */
    return __builtin_expect(bl_rt.counting == BL_COUNTING_ALONE && bl_way_leads(way, comm, peer, tag), 1) ? way : NULL;
}

/* 0, and nothing is counted: a fault sits on this call, which makes it a rare one. */
static inline int bl_count_frequent(void)
{
    uint64_t calls = bl_rt.live.header->calls + 1;
    if (__builtin_expect(calls == bl_rt.calls_until, 0)) return 0;
    bl_rt.live.header->calls = calls;
    return 1;
}

int bl_request_made_apart(MPI_Request request, const bl_way *way, enum bl_request_kind kind, enum bl_call call);

/* MPI_SUCCESS.  A send is often complete when made, and then the shared one. */
static inline int bl_request_made_on(MPI_Request request, const bl_way *way, enum bl_request_kind kind, enum bl_call call)
{
    uint64_t key = bl_request_key(request);
    bl_request *r = bl_request_place(key);
    if (kind == BL_REQ_SEND && request == bl_rt.shared && bl_rt.shared_many) {
        bl_rt.shared_many++;
        return MPI_SUCCESS;
    }
    if (__builtin_expect(r->key || bl_rt.displaced || request == bl_rt.shared, 0)) return bl_request_made_apart(request, way, kind, call);
    r->key = key;
    r->comm = way->comm;
    r->slot = kind == BL_REQ_RECV ? way->slot : &bl_rt.nowhere; /* a send was counted when it was started */
    r->number = bl_rt.live.header->calls;
    r->peer = way->peer;
    r->tag = way->tag;
    r->kind = (uint8_t)kind; /* from here on one store */
    r->active = 1;
    r->persistent = 0;
    r->cancelled = 0;
    r->wants_status = 0;
    r->plain = 1;
    r->counted = 0;
    r->call = (uint8_t)call;
    bl_rt.active++;
    return MPI_SUCCESS;
}

/* What a wrapper does first that makes a request: with MPI_PROC_NULL it is the shared one, known before MPI is asked, so if
 * it is one more of several the wrapper has done its work and jumps to MPI.  (An erroneous call is counted too; MPI promises
 * nothing after one.) */
static inline int bl_to_nobody(int peer)
{
    if (peer != bl_rt.nobody || !bl_rt.shared_many || !bl_count_frequent()) return 0;
    bl_rt.shared_many++;
    return 1;
}

static inline void bl_shared_completed(uint64_t many)
{
    if (many < bl_rt.shared_many) bl_rt.shared_many -= many;
    else if (bl_rt.shared_many) {
        bl_rt.shared_many = 0;
        bl_rt.active--;
    }
}

/* `handle`: as before the completing call, not the shared one.  The status is looked at only while bl_rt.wanting. */
static inline int bl_request_ended(MPI_Request handle, MPI_Status *status)
{
    uint64_t key = bl_request_key(handle);
    bl_request *r = bl_request_place(key);
    if (__builtin_expect(r->key == key && r->plain, 1)) {
        r->slot->received++;
        r->key = 0;
        bl_rt.active--;
        return MPI_SUCCESS;
    }
    return bl_request_leave(key, status);
}

/* `count` of them, where no status is looked at.  What is one and the same for many is added once: a window of messages is
 * often of one channel. */
static inline void bl_requests_ended(int count, const MPI_Request *handles)
{
    const MPI_Request common = bl_rt.shared;
    bl_live_slot *slot = NULL;
    uint64_t received = 0, ended = 0, shared = 0;
    for (int i = 0; i < count; i++) {
        if (handles[i] == common) {
            shared++;
            continue;
        }
        uint64_t key = bl_request_key(handles[i]);
        bl_request *r = bl_request_place(key);
        if (__builtin_expect(r->key != key || !r->plain, 0)) {
            bl_request_leave(key, MPI_STATUS_IGNORE);
            continue;
        }
        if (r->slot != slot) {
            if (slot) slot->received += received;
            slot = r->slot;
            received = 0;
        }
        r->key = 0;
        received++;
        ended++;
    }
    if (slot) slot->received += received;
    bl_rt.active -= ended;
    if (shared) bl_shared_completed(shared);
}

static inline int bl_request_completed(MPI_Request handle, MPI_Status *status)
{
    if (handle != bl_rt.shared) return bl_request_ended(handle, status);
    bl_shared_completed(1);
    return MPI_SUCCESS;
}

/* --- waits under MPI_THREAD_MULTIPLE (waits.c); with the lock held, which they leave while MPI waits --- */
int bl_wait(MPI_Request *request, MPI_Status *status);
int bl_wait_all(int count, MPI_Request requests[], MPI_Status statuses[]);
int bl_wait_any(int count, MPI_Request requests[], int *index, MPI_Status *status);
int bl_wait_some(int count, MPI_Request requests[], int *outcount, int indices[], MPI_Status statuses[]);
void bl_waits_want_comms(void);
void bl_waits_free(void);

/* --- safe points (checkpoint.c), recovery (recover.c), variables (variables.c) --- */
int bl_safe_points_init(bl_error *err);
void bl_safe_points_free(void);
int bl_recovery_choose(bl_error *err);        /* in MPI_Init: agree on the newest line that verifies everywhere */
int bl_variable_find(const char *name);

/* --- files.c: variables that are files --- */
const char *bl_file_of(const char *name);          /* its path; NULL: a variable in memory */
int bl_file_remember(const char *name, const char *path); /* 0; -1: out of memory */
void bl_file_forget(const char *name);
int bl_files_map(bl_error *err);                   /* their contents are there as data, until bl_files_unmap */
void bl_files_unmap(void);
int bl_file_write_back(const char *path, const void *data, size_t bytes, bl_error *err);
void bl_files_free(void);

#endif
