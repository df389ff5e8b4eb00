/* belay.h - keep an MPI job alive.
 *
 * Belay saves what you tell it to save, at places you choose, and restores it when the job comes back after a rank
 * died.  Three calls are enough:
 *
 *     #include <mpi.h>
 *     #include <belay.h>
 *
 *     int main(int argc, char **argv)
 *     {
 *         int step = 0;
 *         MPI_Init(&argc, &argv);                            // Belay starts here, by itself
 *         belay_protect("step", &step, 1, MPI_INT);          // what to save ...
 *         belay_protect("grid", grid, cells, MPI_DOUBLE);
 *         belay_recover(NULL);                               // ... restore it, if there is something to restore
 *         for (; step < steps; step++) {
 *             belay_checkpoint(NULL);                        // a safe point: saves when a checkpoint is due
 *             exchange_halo(grid);
 *             relax(grid);
 *         }
 *         MPI_Finalize();
 *     }
 *
 * and `belay run -n 4 --every 30s ./program` starts it, watches it and brings it back.  After a failure the program
 * starts again from main(); belay_recover fills the protected variables from the newest checkpoint that is complete
 * and verifies on every rank, so the loop goes on where it was.
 *
 * THE RULES
 *   - Between MPI_Init and MPI_Finalize, one call at a time.  Under MPI_THREAD_MULTIPLE any thread may make it, but at a
 *     safe point no other may be inside an MPI call or change protected variables; a thread that waits in MPI counts as
 *     an outstanding request.
 *   - Every rank of MPI_COMM_WORLD protects its own variables (names and sizes may differ between ranks), then every
 *     rank calls belay_recover once, then safe points.
 *   - Safe points are collective in the loose sense: every rank passes the same ones in the same order, but nobody
 *     waits for the others until a checkpoint is due.  They are numbered from 0, as a time loop numbers its steps.
 *   - At a safe point no message of yours may be under way: every send has been received, every request completed by a
 *     Wait or Test, and all members of a communicator have made the same collective calls on it.  When a checkpoint is
 *     due Belay verifies this.  If it does not hold there is no checkpoint: the call returns BELAY_ERR_PENDING and one
 *     line says which rank, which call, and what to do.
 *     That is checkpoint=coordinated, the default.  With checkpoint=independent or =induced every rank saves at safe points
 *     of its own and nobody waits: then messages may be under way, and only your own requests have to be completed.  With
 *     =induced a rank that receives before it sends after a safe point can be saved whenever a message asks for it; nothing
 *     may be under way at belay_recover, and every safe point copies the protected variables.
 *   - State that is not protected starts anew after a failure: open files, random number generators, communicators
 *     (create them before belay_recover, as at the first start).
 *
 * ERRORS.  Every function returns BELAY_OK or a negative enum belay_code.  Belay also prints one line on standard error
 * the first time a thing fails, so ignoring the result is not silent.  If belay_recover cannot restore what is there
 * (variables differ), the job is ended rather than continued from the wrong state, unless BELAY_ERRORS=return is set.
 *
 * SETTINGS are BELAY_* environment variables, lines of the file that BELAY_SETTINGS names, or flags of `belay run`;
 * `belay run --help` lists them with their defaults.  With BELAY_OFF set in the environment nothing is followed or saved
 * and every function succeeds without doing anything.
 */
#ifndef BELAY_H
#define BELAY_H

#include <stddef.h>
#include <stdint.h>
#include <mpi.h>

#include "belay_codes.h"

#define BELAY_VERSION_MAJOR 0
#define BELAY_VERSION_MINOR 1
#define BELAY_VERSION_PATCH 0

enum {
    BELAY_MAX_NAME = 63,       /* bytes of a variable's name */
    BELAY_MAX_DIMS = 8,        /* dimensions of an array */
    BELAY_MAX_VARIABLES = 4096 /* protected variables of one rank */
};

#if defined(__GNUC__)
#define BELAY_API __attribute__((visibility("default")))
#else
#define BELAY_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- What to save ------------------------------------------------------------------------------------------------
 *
 * A protected variable is memory of yours that Belay reads at a checkpoint and fills at recovery.  It becomes an HDF5
 * dataset /state/<name> with its type and shape, so h5dump, h5py and ParaView read it.
 *
 * Names: letters, digits, '_', '.', '-'; at most BELAY_MAX_NAME.  Protecting a name again replaces pointer, type and
 * shape: that is how an array that was reallocated or resized between checkpoints is announced.  Belay keeps the
 * pointer, not a copy: the memory stays yours and has to stay valid until it is unprotected or MPI_Finalize.
 *
 * Types: the predefined MPI types that have an HDF5 counterpart (C and Fortran integers, reals, complex, MPI_BYTE,
 * MPI_CHAR, MPI_C_BOOL, ...).  Anything else - structs, derived types - with belay_protect_bytes.
 *
 * Errors: BELAY_ERR_ARG (name, type, count, NULL pointer), BELAY_ERR_MEMORY (more than BELAY_MAX_VARIABLES).
 */

/* `count` elements at `data`, as a one-dimensional dataset. */
BELAY_API int belay_protect(const char *name, void *data, size_t count, MPI_Datatype type);

/* A contiguous array of `dims` dimensions, shape[0] the slowest (C order): shape[0] * ... * shape[dims-1] elements. */
BELAY_API int belay_protect_array(const char *name, void *data, int dims, const size_t shape[], MPI_Datatype type);

/* `bytes` bytes whose meaning is yours. */
BELAY_API int belay_protect_bytes(const char *name, void *data, size_t bytes);

/* A file of this rank's own, which the program writes itself, at `path`: closed whenever a checkpoint is taken, it is saved with the
 * variables and under the same rules (commit, redundancy, falling back), as /state/<name>, bytes; belay_recover writes it back, first
 * under the name `path`.belay-tmp.  A file that is not there when a checkpoint is taken makes belay_checkpoint answer
 * BELAY_ERR_SYSTEM, and there is none.  Not with checkpoint=induced, which copies the state at every safe point (BELAY_ERR_REFUSED). */
BELAY_API int belay_protect_file(const char *name, const char *path);

/* The variable `name`, protected before, is this rank's part of an array that all ranks have together: of its whole[0..dims-1]
 * elements (the variable's number of dimensions, C order) this rank has the count[] from offset[] on, and no other rank has any of
 * them.  In the variable they begin at first[]: what is around them is ghost cells.  first and count NULL: the variable is all of it.
 * So `belay view` makes one array of the checkpoints of all ranks, and a job of another number of ranks can go on from them (the
 * setting `from`): it describes its own parts in the same way, and ghost cells stay as the program has initialised them.
 * Protecting the variable again forgets it.  Errors: BELAY_ERR_ARG: no such variable, a part that does not fit into the whole or
 * into the variable. */
BELAY_API int belay_part(const char *name, const size_t whole[], const size_t offset[], const size_t first[], const size_t count[]);

/* Forgets the variable; later checkpoints do not contain it.  BELAY_ERR_ARG if there is none of that name. */
BELAY_API int belay_unprotect(const char *name);

/* ---- Recovery in the job -------------------------------------------------------------------------------------------
 *
 * Runs `program`, which is all of the program that uses MPI, from before MPI_Init to after MPI_Finalize, and returns what it returns:
 *
 *     static int program(int argc, char **argv) { MPI_Init(&argc, &argv); ... MPI_Finalize(); return 0; }
 *     int main(int argc, char **argv) { return belay_main(program, argc, argv); }
 *
 * With recovery=injob, or with spares, the processes of the other ranks stay when a rank dies: each leaves the MPI call it is in (by
 * longjmp), `program` is called again, with the arguments it had at first, and goes on from belay_recover, as after a new start
 * but without one.  With message logging they stay in the call they are in, and only a rank that cannot goes back so.
 * Everywhere else it is called once.  MPI_Init may also be called before belay_main.
 * What the program has to know: what is static keeps its value, so static variables are to be set in `program` or protected; what was
 * allocated is lost unless a static variable still points to it, so that it is freed or used again (not freed before MPI_Finalize, in
 * which a recovery may begin); files that were open stay open; communicators, windows, files of MPI and requests are gone, and are made
 * again as at the first start; destructors of C++ do not run, and allocatables of Fortran are not freed.
 * Errors: BELAY_ERR_ARG: `program` is NULL, or it was called twice; exit status 1 when there is no memory for the arguments. */
BELAY_API int belay_main(int (*program)(int argc, char **argv), int argc, char **argv);

/* ---- Restore -----------------------------------------------------------------------------------------------------*/

typedef struct belay_status {
    int resumed;            /* 1: this incarnation continues from a checkpoint; 0: it started fresh */
    int checkpoint;         /* number of that checkpoint, or of the one just taken; 0: none */
    int taken;              /* belay_checkpoint: 1 when a checkpoint was committed at this call; with async its state
                             * is that of an earlier safe point */
    int ranks;              /* ranks of the job */
    int incarnation;        /* how often the job has been started before */
    uint64_t safe_point;    /* number of this safe point; at recovery: of the one the job continues from */
    double blocked_seconds; /* belay_checkpoint: time this call held the program up, s */
} belay_status;

/* The shape a variable of this rank has in the checkpoint that belay_recover is going to restore, so that an array
 * whose size changes can be allocated and protected with the right one.  *dims gets the number of dimensions (0: a
 * scalar, also for opaque bytes: one dimension), shape[0..*dims-1] the elements.  Local; before belay_recover.
 * BELAY_ERR_NONE: the job starts fresh, or the checkpoint has no such variable. */
BELAY_API int belay_saved_shape(const char *name, int *dims, size_t shape[BELAY_MAX_DIMS]);

/* Restores all protected variables if there is something to restore.  Collective over MPI_COMM_WORLD, once, after the
 * variables have been protected and before the first safe point.  `status` may be NULL.
 * Nothing is overwritten before all ranks have found every variable with the same type and shape and all data of all
 * ranks has been compared with its checksum; missing, extra and differing variables are named.
 * Errors: BELAY_ERR_MISMATCH, BELAY_ERR_SYSTEM, BELAY_ERR_ARG (called twice). */
BELAY_API int belay_recover(belay_status *status);

/* ---- Safe points -------------------------------------------------------------------------------------------------
 *
 * A safe point at which nothing is due costs a few nanoseconds.  Which safe point becomes a checkpoint follows from the
 * setting `every`: a number of safe points (10), a time (30s, 5m, 2h), `auto` (Young/Daly from the measured cost and
 * the setting mtbf) or `never`; and SIGUSR1 to `belay run` asks for one and a clean stop.
 *
 * BELAY_OK: go on (status->taken says whether a checkpoint was made).  BELAY_ERR_PENDING: one was due and is not there,
 * because messages are in transit or requests outstanding.  BELAY_ERR_ABORTED: another rank could not take its part.
 * BELAY_ERR_SYSTEM: this rank could not write.  After each of these the program can go on, the previous checkpoint
 * stands, and the next safe point at which one is due tries again. */
BELAY_API int belay_checkpoint(belay_status *status);

/* ---- Message logging ---------------------------------------------------------------------------------------------
 *
 * With logging=pessimistic a rank that goes on after a failure does again what it did since its checkpoint, and what it
 * receives, and what its tests and probes find, is what it was.  So it must send again what it sent: which is so unless
 * it depends on something that Belay does not see.
 *
 * Ranks go on from different steps.  So belay_checkpoint has to stand at the beginning of the loop, where the program comes to
 * from belay_recover: what is sent between the two is sent by all ranks at every start, and may not depend on what was restored
 * (a barrier, say; other than at the first start is found out and ends the job).  At a rank's first safe point nothing may be
 * under way, and no checkpoint is taken before all ranks have come to theirs. */

/* Say that `value`, of `size` bytes, has just been found in a way that may give something else the next time: random
 * numbers, the time (MPI_Wtime is seen to), input.  When the call is repeated after a failure, *value becomes what it
 * was.  Local, any number of times, in the same order each time.  Without message logging, and before the first safe point, it
 * does nothing.  BELAY_ERR_ARG: `value` is NULL. */
BELAY_API int belay_nondeterministic(void *value, size_t size);

/* ---- Errors and version ------------------------------------------------------------------------------------------*/

/* The name of a code, e.g. "messages in transit".  A static string. */
BELAY_API const char *belay_strerror(int code);

/* The sentence of the last failed belay_* call of this process: what failed, where, what to do.  "" when none failed.
 * Valid until the next belay_* call. */
BELAY_API const char *belay_error_text(void);

/* "0.1.0": of the library that runs, which may differ from BELAY_VERSION_* it was compiled with.  A static string. */
BELAY_API const char *belay_version(void);

#ifdef __cplusplus
}
#endif

#endif
