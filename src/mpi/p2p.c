/* p2p.c - the wrappers that calls.def calls special: receives, completions, probes, persistent starts, and the ends of
 * communicators.  A send is dated when it is started, a delivery when its completion becomes visible to the program. */
#include <string.h>

#include "mpi/runtime.h"

#define WANTED(status, own) ((status) == MPI_STATUS_IGNORE ? &(own) : (status))

/* A message longer than its buffer is an error, and delivered. */
static int delivered(int rc)
{
    return rc == MPI_SUCCESS || rc == MPI_ERR_TRUNCATE;
}

BELAY_API int MPI_Recv(void *buf, int count, MPI_Datatype datatype, int source, int tag, MPI_Comm comm, MPI_Status *status)
{
    if (!bl_enter()) return PMPI_Recv(buf, count, datatype, source, tag, comm, status);
    MPI_Status own, *s = WANTED(status, own);
    bl_wait_begin();
    int rc = PMPI_Recv(buf, count, datatype, source, tag, comm, s);
    bl_wait_end();
    if (delivered(rc)) bl_received(comm, s);
    bl_leave();
    return rc;
}

static BL_APART int receive_rarely(void *buf, int count, MPI_Datatype datatype, int source, int tag, MPI_Comm comm,
                                   MPI_Request *request)
{
    if (bl_to_nobody(source) || !bl_enter()) return PMPI_Irecv(buf, count, datatype, source, tag, comm, request);
    int rc = PMPI_Irecv(buf, count, datatype, source, tag, comm, request);
    if (rc == MPI_SUCCESS) bl_request_made(*request, BL_REQ_RECV, BL_CALL_Irecv, comm, source, tag, 0);
    bl_leave();
    return rc;
}

BELAY_API int MPI_Irecv(void *buf, int count, MPI_Datatype datatype, int source, int tag, MPI_Comm comm, MPI_Request *request)
{
    if (bl_rarely(source)) return receive_rarely(buf, count, datatype, source, tag, comm, request);
    bl_count_call();
    int rc = PMPI_Irecv(buf, count, datatype, source, tag, comm, request);
    return rc == MPI_SUCCESS ? bl_receive_made(*request, comm, source, tag) : rc;
}

BELAY_API int MPI_Sendrecv(const void *sendbuf, int sendcount, MPI_Datatype sendtype, int dest, int sendtag, void *recvbuf,
                           int recvcount, MPI_Datatype recvtype, int source, int recvtag, MPI_Comm comm, MPI_Status *status)
{
    if (!bl_enter())
        return PMPI_Sendrecv(sendbuf, sendcount, sendtype, dest, sendtag, recvbuf, recvcount, recvtype, source, recvtag,
                             comm, status);
    MPI_Status own, *s = WANTED(status, own);
    bl_sent(comm, dest, sendtag);
    bl_wait_begin();
    int rc = PMPI_Sendrecv(sendbuf, sendcount, sendtype, dest, sendtag, recvbuf, recvcount, recvtype, source, recvtag,
                           comm, s);
    bl_wait_end();
    if (delivered(rc)) bl_received(comm, s);
    bl_leave();
    return rc;
}

BELAY_API int MPI_Sendrecv_replace(void *buf, int count, MPI_Datatype datatype, int dest, int sendtag, int source,
                                   int recvtag, MPI_Comm comm, MPI_Status *status)
{
    if (!bl_enter())
        return PMPI_Sendrecv_replace(buf, count, datatype, dest, sendtag, source, recvtag, comm, status);
    MPI_Status own, *s = WANTED(status, own);
    bl_sent(comm, dest, sendtag);
    bl_wait_begin();
    int rc = PMPI_Sendrecv_replace(buf, count, datatype, dest, sendtag, source, recvtag, comm, s);
    bl_wait_end();
    if (delivered(rc)) bl_received(comm, s);
    bl_leave();
    return rc;
}

/* --- matched probes --- */

BELAY_API int MPI_Mprobe(int source, int tag, MPI_Comm comm, MPI_Message *message, MPI_Status *status)
{
    if (!bl_enter()) return PMPI_Mprobe(source, tag, comm, message, status);
    MPI_Status own, *s = WANTED(status, own);
    bl_wait_begin();
    int rc = PMPI_Mprobe(source, tag, comm, message, s);
    bl_wait_end();
    if (rc == MPI_SUCCESS) bl_message_made(*message, BL_CALL_Mprobe, comm, s);
    bl_leave();
    return rc;
}

BELAY_API int MPI_Improbe(int source, int tag, MPI_Comm comm, int *flag, MPI_Message *message, MPI_Status *status)
{
    if (!bl_enter()) return PMPI_Improbe(source, tag, comm, flag, message, status);
    MPI_Status own, *s = WANTED(status, own);
    int rc = PMPI_Improbe(source, tag, comm, flag, message, s);
    if (rc == MPI_SUCCESS && *flag) bl_message_made(*message, BL_CALL_Improbe, comm, s);
    bl_leave();
    return rc;
}

BELAY_API int MPI_Mrecv(void *buf, int count, MPI_Datatype datatype, MPI_Message *message, MPI_Status *status)
{
    if (!bl_enter()) return PMPI_Mrecv(buf, count, datatype, message, status);
    bl_message_gone(*message);
    bl_wait_begin();
    int rc = PMPI_Mrecv(buf, count, datatype, message, status);
    bl_wait_end();
    bl_leave();
    return rc;
}

BELAY_API int MPI_Imrecv(void *buf, int count, MPI_Datatype datatype, MPI_Message *message, MPI_Request *request)
{
    if (!bl_enter()) return PMPI_Imrecv(buf, count, datatype, message, request);
    bl_message_gone(*message);
    int rc = PMPI_Imrecv(buf, count, datatype, message, request);
    /* Counted at the probe: this request is only outstanding, of no communicator. */
    if (rc == MPI_SUCCESS) bl_request_made(*request, BL_REQ_MESSAGE, BL_CALL_Imrecv, MPI_COMM_NULL, 0, 0, 0);
    bl_leave();
    return rc;
}

/* --- persistent requests --- */

BELAY_API int MPI_Start(MPI_Request *request)
{
    if (!bl_enter()) return PMPI_Start(request);
    int rc = PMPI_Start(request);
    if (rc == MPI_SUCCESS) bl_request_started(*request);
    bl_leave();
    return rc;
}

BELAY_API int MPI_Startall(int count, MPI_Request requests[])
{
    if (!bl_enter()) return PMPI_Startall(count, requests);
    int rc = PMPI_Startall(count, requests);
    for (int i = 0; rc == MPI_SUCCESS && i < count; i++) bl_request_started(requests[i]);
    bl_leave();
    return rc;
}

/* --- completions: MPI clears the handles, so they are read before; statuses cost MPI time, so they are asked for only
 * when a request needs its own to be counted --- */

static MPI_Status *wanted_all(MPI_Status *statuses)
{
    return statuses == MPI_STATUSES_IGNORE && bl_rt.wanting ? bl_rt.statuses : statuses;
}

static void completed(int index, MPI_Status *statuses, int at)
{
    bl_request_completed(bl_rt.handles[index], statuses == MPI_STATUSES_IGNORE ? MPI_STATUS_IGNORE : &statuses[at]);
}

static int among(MPI_Request handle, int count, const MPI_Request *requests)
{
    for (int i = 0; i < count; i++)
        if (requests[i] == handle) return 1;
    return 0;
}

/* With an error too MPI takes the handles of what is complete.  `step`: from one's status to the next's. */
static int failed(int rc, int handles, int count, const MPI_Request *requests, MPI_Status *statuses, int step)
{
    for (int i = 0; i < handles; i++)
        if (!among(bl_rt.handles[i], count, requests)) completed(i, statuses, i * step);
    return rc;
}

static int test_one(MPI_Request *request, int *flag, MPI_Status *status)
{
    MPI_Status own, *s = bl_rt.wanting ? WANTED(status, own) : status;
    MPI_Request handle = *request;
    int rc = PMPI_Test(request, flag, s);
    if (rc == MPI_SUCCESS ? *flag : *request != handle) bl_request_completed(handle, s);
    return rc;
}

static void remember(int count, const MPI_Request *requests)
{
    if (count > 0) memcpy(bl_rt.handles, requests, sizeof *requests * (size_t)count);
}

static int test_all(int count, MPI_Request requests[], int *flag, MPI_Status statuses[])
{
    if (bl_scratch(count)) return PMPI_Testall(count, requests, flag, statuses);
    remember(count, requests);
    MPI_Status *s = wanted_all(statuses);
    int rc = PMPI_Testall(count, requests, flag, s);
    if (rc != MPI_SUCCESS) return failed(rc, count, count, requests, s, 1);
    for (int i = 0; *flag && i < count; i++) completed(i, s, i);
    return rc;
}

static int test_any(int count, MPI_Request requests[], int *index, int *flag, MPI_Status *status)
{
    if (bl_scratch(count)) return PMPI_Testany(count, requests, index, flag, status);
    remember(count, requests);
    MPI_Status own, *s = bl_rt.wanting ? WANTED(status, own) : status;
    int rc = PMPI_Testany(count, requests, index, flag, s);
    if (rc != MPI_SUCCESS) return failed(rc, count, count, requests, s, 0);
    if (*flag && *index != MPI_UNDEFINED) bl_request_completed(bl_rt.handles[*index], s);
    return rc;
}

typedef int some_call(int, MPI_Request[], int *, int[], MPI_Status[]);

static int some(some_call *call, int incount, MPI_Request requests[], int *outcount, int indices[], MPI_Status statuses[])
{
    if (bl_scratch(incount)) return call(incount, requests, outcount, indices, statuses);
    remember(incount, requests);
    MPI_Status *s = wanted_all(statuses);
    int rc = call(incount, requests, outcount, indices, s);
    for (int i = 0; (rc == MPI_SUCCESS || rc == MPI_ERR_IN_STATUS) && *outcount != MPI_UNDEFINED && i < *outcount; i++)
        completed(indices[i], s, i);
    return rc;
}

/* With several threads MPI waits without the lock: waits.c. */
BELAY_API int MPI_Wait(MPI_Request *request, MPI_Status *status)
{
    if (!bl_enter()) return PMPI_Wait(request, status);
    int rc;
    if (bl_rt.locked) {
        rc = bl_wait(request, status);
    } else {
        MPI_Status own, *s = bl_rt.wanting ? WANTED(status, own) : status;
        MPI_Request handle = *request;
        rc = PMPI_Wait(request, s);
        if (rc == MPI_SUCCESS || *request != handle) bl_request_completed(handle, s);
    }
    bl_leave();
    return rc;
}

BELAY_API int MPI_Test(MPI_Request *request, int *flag, MPI_Status *status)
{
    if (!bl_enter()) return PMPI_Test(request, flag, status);
    int rc = test_one(request, flag, status);
    bl_leave();
    return rc;
}

static int wait_all_with_statuses(int count, MPI_Request requests[], MPI_Status statuses[])
{
    MPI_Status *s = wanted_all(statuses);
    remember(count, requests);
    int rc = PMPI_Waitall(count, requests, s);
    if (rc != MPI_SUCCESS) return failed(rc, count, count, requests, s, 1);
    for (int i = 0; i < count; i++) completed(i, s, i);
    return rc;
}

static int wait_all(int count, MPI_Request requests[], MPI_Status statuses[])
{
    if (bl_scratch(count)) return PMPI_Waitall(count, requests, statuses);
    if (bl_rt.wanting) return wait_all_with_statuses(count, requests, statuses);
    int kept = 0;
    MPI_Request *handles = bl_rt.handles, common = bl_rt.shared;
    for (int i = 0; i < count; i++)
        if (requests[i] != common) handles[kept++] = requests[i];
    int rc = PMPI_Waitall(count, requests, statuses);
    if (kept < count) bl_shared_completed((uint64_t)(count - kept));
    if (rc != MPI_SUCCESS) return failed(rc, kept, count, requests, MPI_STATUSES_IGNORE, 1);
    bl_requests_ended(kept, handles);
    return rc;
}

BELAY_API int MPI_Waitall(int count, MPI_Request requests[], MPI_Status statuses[])
{
    if (!bl_enter()) return PMPI_Waitall(count, requests, statuses);
    if (!bl_rt.locked) return wait_all(count, requests, statuses);
    int rc = bl_wait_all(count, requests, statuses);
    bl_leave();
    return rc;
}

BELAY_API int MPI_Testall(int count, MPI_Request requests[], int *flag, MPI_Status statuses[])
{
    if (!bl_enter()) return PMPI_Testall(count, requests, flag, statuses);
    int rc = test_all(count, requests, flag, statuses);
    bl_leave();
    return rc;
}

static int wait_any(int count, MPI_Request requests[], int *index, MPI_Status *status)
{
    if (bl_scratch(count)) return PMPI_Waitany(count, requests, index, status);
    remember(count, requests);
    MPI_Status own, *s = bl_rt.wanting ? WANTED(status, own) : status;
    int rc = PMPI_Waitany(count, requests, index, s);
    if (rc != MPI_SUCCESS) return failed(rc, count, count, requests, s, 0);
    if (*index != MPI_UNDEFINED) bl_request_completed(bl_rt.handles[*index], s);
    return rc;
}

BELAY_API int MPI_Waitany(int count, MPI_Request requests[], int *index, MPI_Status *status)
{
    if (!bl_enter()) return PMPI_Waitany(count, requests, index, status);
    if (!bl_rt.locked) return wait_any(count, requests, index, status);
    int rc = bl_wait_any(count, requests, index, status);
    bl_leave();
    return rc;
}

BELAY_API int MPI_Testany(int count, MPI_Request requests[], int *index, int *flag, MPI_Status *status)
{
    if (!bl_enter()) return PMPI_Testany(count, requests, index, flag, status);
    int rc = test_any(count, requests, index, flag, status);
    bl_leave();
    return rc;
}

BELAY_API int MPI_Waitsome(int incount, MPI_Request requests[], int *outcount, int indices[], MPI_Status statuses[])
{
    if (!bl_enter()) return PMPI_Waitsome(incount, requests, outcount, indices, statuses);
    if (!bl_rt.locked) return some(PMPI_Waitsome, incount, requests, outcount, indices, statuses);
    int rc = bl_wait_some(incount, requests, outcount, indices, statuses);
    bl_leave();
    return rc;
}

BELAY_API int MPI_Testsome(int incount, MPI_Request requests[], int *outcount, int indices[], MPI_Status statuses[])
{
    if (!bl_enter()) return PMPI_Testsome(incount, requests, outcount, indices, statuses);
    int rc = some(PMPI_Testsome, incount, requests, outcount, indices, statuses);
    bl_leave();
    return rc;
}

/* What it shows is delivered, though MPI keeps the request. */
BELAY_API int MPI_Request_get_status(MPI_Request request, int *flag, MPI_Status *status)
{
    if (!bl_enter()) return PMPI_Request_get_status(request, flag, status);
    MPI_Status own, *s = WANTED(status, own);
    int rc = PMPI_Request_get_status(request, flag, s);
    if (rc == MPI_SUCCESS && *flag) bl_request_seen(request, s);
    bl_leave();
    return rc;
}

BELAY_API int MPI_Request_free(MPI_Request *request)
{
    if (!bl_enter()) return PMPI_Request_free(request);
    bl_request_freed(*request);
    int rc = PMPI_Request_free(request);
    bl_leave();
    return rc;
}

BELAY_API int MPI_Cancel(MPI_Request *request)
{
    if (!bl_enter()) return PMPI_Cancel(request);
    bl_request_cancelled(*request);
    int rc = PMPI_Cancel(request);
    bl_leave();
    return rc;
}

/* --- communicators --- */

/* The new handle may not be asked anything before the request is complete, but what it is called is known here. */
BELAY_API int MPI_Comm_idup(MPI_Comm comm, MPI_Comm *newcomm, MPI_Request *request)
{
    if (!bl_enter()) return PMPI_Comm_idup(comm, newcomm, request);
    int rc = PMPI_Comm_idup(comm, newcomm, request);
    bl_comm *made = rc == MPI_SUCCESS ? bl_comm_copied(comm) : NULL;
    if (made) bl_request_idup(*request, made, newcomm);
    bl_leave();
    return rc;
}

BELAY_API int MPI_Comm_free(MPI_Comm *comm)
{
    if (!bl_enter()) return PMPI_Comm_free(comm);
    bl_comm_freed(*comm);
    bl_wait_begin();
    int rc = PMPI_Comm_free(comm);
    bl_wait_end();
    bl_leave();
    return rc;
}

BELAY_API int MPI_Comm_disconnect(MPI_Comm *comm)
{
    if (!bl_enter()) return PMPI_Comm_disconnect(comm);
    bl_comm_freed(*comm);
    bl_wait_begin();
    int rc = PMPI_Comm_disconnect(comm);
    bl_wait_end();
    bl_leave();
    return rc;
}
