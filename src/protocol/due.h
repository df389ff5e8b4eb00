/* due.h - which safe point becomes a checkpoint, agreed without a blocking collective per safe point.
 *
 * Pure: it is told the time and the outcome of reductions.
 *
 * Every K safe points needs no agreement: all ranks count alike.  A time, a measured optimum or a signal is something
 * only one rank may see, so it is agreed in rounds.  A round opens at one safe point with a nonblocking reduction (MAX)
 * of everybody's wishes and closes at a later one, the same on every rank, where its outcome holds for all.  A rank
 * that closes a round waits only for ranks that have not reached the safe point where it was *opened*; as no message may
 * cross a safe point, such a rank never waits for the closer, so this cannot deadlock.
 *
 * Rounds are about BL_DUE_ROUND_S long, at most BL_DUE_ROUND_POINTS safe points, so that they cost nothing and a program
 * whose steps suddenly become slow is still heard after that many of them.
 */
#ifndef BL_PROTOCOL_DUE_H
#define BL_PROTOCOL_DUE_H

#include <stdint.h>

#define BL_DUE_ROUND_S 0.02
enum { BL_DUE_ROUND_POINTS = 256 };
#define BL_DUE_FIRST_S 60.0 /* every=auto: the first checkpoint, whose cost is the measurement */

enum bl_due_kind { BL_DUE_NEVER, BL_DUE_POINTS, BL_DUE_SECONDS, BL_DUE_AUTO };
enum bl_wish { BL_WISH_NONE, BL_WISH_CHECKPOINT, BL_WISH_STOP }; /* stop: checkpoint, then end cleanly */

typedef struct bl_ballot {     /* what a round reduces: component-wise MAX over the ranks */
    int64_t wish;              /* enum bl_wish */
    int64_t step_ns;           /* mean time between safe points */
    int64_t period_ns;         /* every=auto: optimum from the cost this rank saw; the slowest rank's counts */
    int64_t writing;           /* 1: its part of the checkpoint before is not written yet; not for bl_due_at to set */
} bl_ballot;

typedef struct bl_due {
    enum bl_due_kind kind;
    uint64_t points;
    double period_s, mtbf_s;   /* the period is agreed ... */
    double wanted_s;           /* ... in rounds, from what every=auto makes of this rank's cost */
    uint64_t next;             /* the safe point at which bl_due_at has to be asked; before it nothing is due */
    uint64_t round_opened, round_closes;
    uint64_t resumed_at;       /* a safe point that is a checkpoint already */
    int round_open;
    int64_t opened_ns, checkpoint_ns;
} bl_due;

/* `first`: number of the first safe point this incarnation will pass; `resumed`: it is the one restored, so nothing is
 * due there.  `now_ns` of a monotonic clock. */
void bl_due_init(bl_due *due, enum bl_due_kind kind, uint64_t points, double period_s, double mtbf_s, uint64_t first,
                 int resumed, int64_t now_ns);

/* At safe point due->next.  If a round is open and closes here (bl_due_closes), the driver first completes the reduction
 * and passes its outcome; else `outcome` is NULL.  Returns whether to checkpoint here, and fills *ballot: the driver
 * opens the next round with it, at this safe point and after the checkpoint, if there is one. */
int bl_due_closes(const bl_due *due, uint64_t safe_point);
enum bl_wish bl_due_at(bl_due *due, uint64_t safe_point, int64_t now_ns, const bl_ballot *outcome, enum bl_wish asked,
                       bl_ballot *ballot);

/* A checkpoint was committed, or given up, at `now_ns` after holding this rank up for `held_s`. */
void bl_due_done(bl_due *due, int64_t now_ns, double held_s, int committed);

/* The optimum time between checkpoints, s, for a checkpoint that costs `cost_s` on a job that fails every `mtbf_s`:
 * Daly's higher-order estimate, FGCS 22 (2006), eq. 37; never below the cost itself. */
double bl_due_optimum(double cost_s, double mtbf_s);

#endif
