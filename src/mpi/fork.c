/* fork.c - async=fork: a child of this process, which has the state as it is now, writes it.
 *
 * The program must not notice the child.  fork() is needed, since other threads may hold malloc's locks and only it takes them; but
 * its child is one that wait() returns and SIGCHLD announces.  So a helper calls it: a process that shares our memory, stands in for
 * the calling thread, which sleeps meanwhile as in vfork, sends no signal when it ends, and is not found by a plain wait(); the
 * child is an orphan from then on.  A pidfd tells that it has ended.
 *
 * The child makes no MPI call, keeps no descriptor (a socket that stays open would hide the death of this rank from its peers) and
 * takes no signal; it ends when this rank does, and is what the kernel ends first when memory runs out.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mpi/fork.h"
#include "mpi/runtime.h"

enum { STACK = 2 << 20, RANK = STDERR_FILENO + 1 }; /* the helper's stack, and the child's; its one descriptor: of this rank */

typedef struct order {
    void (*body)(void);
    int process, error;
} order;

static int rank_process = -1; /* pidfd of this process, for its children */

static int open_process(pid_t process)
{
    return (int)syscall(SYS_pidfd_open, process, 0);
}

static int close_from(int first)
{
    return (int)syscall(SYS_close_range, first, ~0u, 0);
}

int bl_fork_init(bl_error *err)
{
    int process = open_process(getpid());
    if (process < 0 || close_from(-1)) /* of none */
        return bl_fail_errno(err, "a child that ends with its rank and keeps no descriptor needs Linux 5.9");
    rank_process = fcntl(process, F_DUPFD_CLOEXEC, RANK); /* a program may have closed its standard output */
    close(process);
    return rank_process < 0 ? bl_fail_errno(err, "no descriptor is left for the processes that write") : BELAY_OK;
}

void bl_fork_free(void)
{
    if (rank_process >= 0) close(rank_process);
    rank_process = -1;
}

/* --- the child --- */

/* Of our threads only the one that called fork is there: nobody uses what is closed here. */
static int keep_rank_only(void)
{
    int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(rank_process, RANK) < 0) return -1;
    for (int fd = 0; fd < RANK; fd++)
        if (dup2(null, fd) < 0) return -1;
    return close_from(RANK + 1);
}

static void *end_with_rank(void *unused)
{
    struct pollfd rank = { .fd = RANK, .events = POLLIN };
    (void)unused;
    while (poll(&rank, 1, -1) <= 0) continue;
    kill(getpid(), SIGKILL);
    return NULL;
}

/* Rather than the rank: it costs a checkpoint. */
static void be_ended_first(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    ssize_t unused = write(fd, "1000", 4);
    (void)unused;
    close(fd);
}

static void __attribute__((noreturn)) in_child(const order *o)
{
    pthread_t watch;
    prctl(PR_SET_NAME, "belay-writer");
    if (keep_rank_only() || pthread_create(&watch, NULL, end_with_rank, NULL)) _exit(1);
    be_ended_first();
    o->body();
    _exit(0);
}

/* --- the helper, and who waits for it --- */

/* The kernel must not take a child away before it has been looked at, as it does for a program that ignores SIGCHLD. */
static int help(void *argument)
{
    order *o = argument;
    struct sigaction fallback = { .sa_handler = SIG_DFL };
    sigaction(SIGCHLD, &fallback, NULL);
    pid_t child = fork();
    if (child == 0) in_child(o);
    o->process = child < 0 ? -1 : open_process(child);
    o->error = o->process < 0 ? errno : 0;
    if (child > 0 && o->process < 0) kill(child, SIGKILL);
    _exit(0);
}

static int clone_helper(order *o, char *stack)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t helper = clone(help, stack + STACK, CLONE_VM | CLONE_VFORK | CLONE_FILES, o);
    int error = helper < 0 ? errno : 0;
    while (helper > 0 && waitpid(helper, NULL, (int)__WCLONE) < 0 && errno == EINTR) continue;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

static void have_child(void *order_of)
{
    order *o = order_of;
    char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    int error = stack == MAP_FAILED ? errno : clone_helper(o, stack);
    if (error) o->error = error; /* else it is what the helper has found */
    if (stack != MAP_FAILED) munmap(stack, STACK);
}

int bl_fork(void (*body)(void), int *process)
{
    order o = { .body = body, .process = -1 };
    bl_store_alone(have_child, &o);
    *process = o.process;
    if (o.process >= 0) fcntl(o.process, F_SETFD, FD_CLOEXEC);
    errno = o.error ? o.error : EAGAIN; /* nothing said: the helper was killed */
    return o.process >= 0 ? 0 : -1;
}

int bl_fork_ended(int process)
{
    return poll(&(struct pollfd){ .fd = process, .events = POLLIN }, 1, 0) > 0;
}

void bl_fork_end(int process)
{
    (void)syscall(SYS_pidfd_send_signal, process, SIGKILL, NULL, 0);
}
