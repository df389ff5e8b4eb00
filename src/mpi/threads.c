/* threads.c - what the wrappers do under MPI_THREAD_MULTIPLE: one lock, never held while a thread waits in MPI.
 *
 * A thread that waits is an obstacle to a checkpoint, like a request that is not completed: what it sends or receives is
 * counted on one side of the safe point and happens on the other. */
#include <pthread.h>
#include <sched.h>
#include <time.h>

#include "mpi/log.h"

static pthread_mutex_t lock; /* recursive: MPI calls the program back (error handlers, attributes), and that calls MPI */

int bl_threads_init(bl_error *err)
{
    pthread_mutexattr_t kind;
    int failed = pthread_mutexattr_init(&kind) || pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_RECURSIVE) ||
                 pthread_mutex_init(&lock, &kind);
    if (failed) return bl_fail(err, BELAY_ERR_SYSTEM, "no lock for MPI_THREAD_MULTIPLE");
    pthread_mutexattr_destroy(&kind);
    bl_rt.wanting++; /* another thread may cancel what this one waits for: every status is looked at */
    return BELAY_OK;
}

void bl_lock(void)
{
    pthread_mutex_lock(&lock);
}

void bl_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

int bl_enter_locked(void)
{
    if (bl_rt.counting == BL_COUNTING_NOT) return 0;
    if (bl_rt.counting == BL_COUNTING_LOGGED) {
        bl_log_entered();
        return BL_ENTERED_LOGGED;
    }
    if (bl_rt.locked) bl_lock();
    bl_count_call();
    return BL_ENTERED;
}

/* With several threads a wait is a test again and again: a handle that MPI gives back may be another thread's next request
 * at once, so MPI must not do that before the table knows. */
void bl_let_others(unsigned turn)
{
    bl_wait_begin();
    if (turn < 200) sched_yield(); /* what is waited for is often a moment away */
    else nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
    bl_wait_end();
}

void bl_wait_begin_locked(void)
{
    bl_rt.active++;
    bl_unlock();
}

void bl_wait_end_locked(void)
{
    bl_lock();
    bl_rt.active--;
}
