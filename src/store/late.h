/* late.h - one rank's late messages: what it was sent before a recovery line and received after it, kept for the restart.
 *
 *     rank-00003/late-000012              what rank 3 was delivered late after CP[3](12); late-000000: after its start
 *
 * The receiver appends a message before its program sees it.  After a failure the messages that are in transit across the
 * line are sent again from here, so the line needs no more than that there is no orphan.  A file only grows; a record that
 * does not verify ends it, as what follows cannot be trusted, and a tail that a death tore off was never delivered.
 */
#ifndef BL_STORE_LATE_H
#define BL_STORE_LATE_H

#include <stdint.h>

#include "store/store.h"

#define BL_LATE_BYTES_MAX ((uint64_t)INT32_MAX) /* of one message: what MPI_Pack can count */

typedef struct bl_late_message {
    uint64_t comm;
    uint32_t source;    /* rank of the sender in MPI_COMM_WORLD */
    int32_t tag;
    uint64_t number;    /* it is the number-th of channel (comm, source -> this rank, tag), from 1, as bl_channel.received counts */
    uint64_t bytes;
    const void *data;   /* MPI_PACKED; NULL where the contents were not asked for, or there are none */
} bl_late_message;

/* --- the running rank --- */

typedef struct bl_late bl_late;

/* What is delivered from now on follows CP[rank](checkpoint); 0: the start.  The file is made when the first message comes;
 * one that is there is appended to, after what was torn off at its end is cut; BELAY_ERR_DAMAGED when it is worse than that. */
int bl_late_open(bl_store *store, uint32_t rank, uint32_t checkpoint, bl_late **late, bl_error *err);
/* On return the message is there for a restart, as `stable` asks.  Fenced.  After an error nothing was added, and the next
 * message may be tried. */
int bl_late_append(bl_late *late, const bl_late_message *message, bl_error *err);
void bl_late_close(bl_late *late); /* NULL is fine */

/* --- after a death --- */

/* BELAY_OK: go on; anything else ends the reading and is its answer. */
typedef int bl_late_visit(void *context, const bl_late_message *message, bl_error *err);

/* Every good record of a rank, oldest file first; the data are verified in any case, and with `with_data` handed over, valid
 * during the call.  A file of another job or rank (BELAY_ERR_FOREIGN), or of a newer format, is refused by name; damage ends
 * its file, not the reading.  No files: BELAY_OK. */
int bl_late_read(bl_store *store, uint32_t rank, int with_data, bl_late_visit *visit, void *context, bl_error *err);

typedef struct bl_late_file {
    uint32_t checkpoint;
    uint64_t records, bytes; /* good records, and all their data */
    uint64_t size, good;     /* bytes of the file; bytes up to the end of the last good record */
    const char *wrong;       /* why it ends at `good`; NULL when that is its end */
    int torn;                /* what follows is only the beginning of a record: a death during an append leaves this */
} bl_late_file;
typedef int bl_late_file_visit(void *context, const bl_late_file *file, bl_error *err);
/* The same with a call at the end of each file.  `visit` may be NULL. */
int bl_late_scan(bl_store *store, uint32_t rank, int with_data, bl_late_visit *visit, bl_late_file_visit *end, void *context,
                 bl_error *err);

/* Nonzero: the message is still needed. */
typedef int bl_late_wanted(void *context, const bl_late_message *message);

/* A restart from CP[rank](checkpoint): the wanted messages (asked without data) become late-<checkpoint>, each once, and no
 * other late file of the rank remains; one that is damaged goes to quarantine/.  A death on the way leaves every wanted message in some file; on return it is done as
 * `stable` asks.  Fenced.  No rank may go on before all ranks have done this: until then undone messages may still be found
 * under numbers that new ones would get. */
int bl_late_settle(bl_store *store, uint32_t rank, uint32_t checkpoint, bl_late_wanted *wanted, void *context, bl_error *err);

/* Garbage while the job runs: removes the late files before late-<checkpoint> in which no message is wanted, that is, has a
 * number beyond what CP[rank](checkpoint) of the line has received; damaged ones stay.  Not forced: what comes back goes again.  Fenced. */
int bl_late_remove_before(bl_store *store, uint32_t rank, uint32_t checkpoint, bl_late_wanted *wanted, void *context,
                          uint32_t *removed, bl_error *err);

#endif
