/* logging.h - the journals that logging.c holds open for the others. */
#ifndef BL_MPI_LOGGING_H
#define BL_MPI_LOGGING_H

#include "store/journal.h"

struct bl_logging {
    bl_journal *sent, *events;
    int prologue;            /* before the first safe point: both are one journal, which only `belay replay` reads */
    uint64_t between;        /* hash of what was sent from belay_recover on, before the first safe point */
    uint64_t between_bytes;
    int unsaid;              /* calls have shown nothing since the last event: what the live table alone knows */
    uint64_t cut_at;         /* where the events after the checkpoint being taken begin */
    uint32_t rides;          /* bytes behind each message: logging=optimistic and causal (depend.h); 0: nothing */
};
extern struct bl_logging bl_logging;

/* There is no room, or the disk says no: waits for room, with one warning; ends the job when none comes.  0: of the prologue
 * there will be no more. */
int bl_log_wait_for_room(bl_journal *journal);

static inline void bl_log_append(bl_journal *journal, const bl_record *record, const void *payload)
{
    while (__builtin_expect(!journal || bl_journal_append(journal, record, payload) != 0, 0))
        if (!bl_log_wait_for_room(journal)) return;
}

int bl_log_poll(void);      /* now and then: what others say they do not need any more; 1: a rank is dead */

void bl_log_force(void);
void bl_log_say_clock(void);

/* The rules of the protocols, and the one place where they are kept.  Pessimistic: what the program has seen is stable before
 * anybody can depend on it; an event in the mapped journal survives the process as it is, to survive a loss of power it is forced.
 * Optimistic and causal: it is in the journal, and what is sent says that it depends on it. */
static inline void bl_log_before_send(void)
{
    if (!bl_rt.settings.stable_power) return;
    if (bl_logging.rides) bl_log_say_clock();
    else bl_log_force();
}

#endif
