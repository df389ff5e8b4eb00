/* report.c - what is printed, and the end of a job that cannot go on. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mpi/log.h"
#include "store/start.h"

/* One write() per line, so that lines of different ranks do not mix. */
static void write_line(const char *line)
{
    char text[1200];
    int length = snprintf(text, sizeof text, "belay: %s\n", line);
    if (length >= (int)sizeof text) {
        length = sizeof text - 1;
        text[length - 1] = '\n';
    }
    if (write(STDERR_FILENO, text, (size_t)length) < 0) return; /* nobody listens: nothing better to do */
}

void bl_say(const char *format, ...)
{
    char line[1100];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    write_line(line);
}

int bl_failed(int code, const bl_error *err)
{
    int repeated = bl_rt.last.code == code && !strcmp(bl_rt.last.text, err->text);
    bl_rt.last = *err;
    bl_rt.last.code = code;
    if (!repeated) bl_say("rank %d: %s", bl_rt.rank, err->text);
    return code;
}

/* Not only the incarnation is newer: of who stays or goes back in the job that is so too, for a while.  Another process is this rank. */
static int is_replaced(bl_live_header *by)
{
    uint32_t running = 0;
    if (!bl_rt.store || !bl_rt.live.header || bl_store_running(bl_rt.store, &running, NULL)) return 0;
    for (uint32_t i = bl_rt.incarnation + 1; i <= running; i++)
        if (bl_live_read_header(bl_rt.store, (uint32_t)bl_rt.rank, i, by, NULL) == BELAY_OK && (by->pid != getpid() || !bl_live_here(by))) return 1;
    return 0;
}

/* Without an abort, which in the mpirun that both are in would end the other too; and as who was killed: the exit status of a process
 * that has one is that of the job for mpirun. */
static void end_alone(void) __attribute__((noreturn));
static void end_alone(void)
{
    kill(getpid(), SIGKILL);
    _exit(1);
}

void bl_end_if_replaced(void)
{
    bl_live_header by;
    if (!is_replaced(&by)) return;
    bl_say("rank %d of incarnation %u was replaced while it was stopped or slow (by process %d on %s): it ends itself", bl_rt.rank,
           (unsigned)bl_rt.incarnation, (int)by.pid, by.host);
    end_alone();
}

void bl_end_job(const bl_error *err)
{
    if (bl_replaying) bl_replay_failed(err);
    bl_end_if_replaced();
    bl_say("rank %d: %s", bl_rt.rank, err->text);
    bl_count_no_more();
    if (bl_rt.live.header) bl_rt.live.header->state = BL_LIVE_REFUSED;
    if (err->code == BELAY_ERR_STALE) end_alone(); /* the new incarnation must not be disturbed, not even by an abort */
    PMPI_Abort(MPI_COMM_WORLD, 1);
    _exit(1);
}
