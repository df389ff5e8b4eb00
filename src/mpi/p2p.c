/* p2p.c - the wrappers that calls.def calls special: receives, completions, probes, persistent starts, and the ends of
 * communicators.  A send is dated when it is started, a delivery when its completion becomes visible to the program. */
#include <string.h>

#include "mpi/carry.h"
#include "mpi/checkpoint.h"
#include "mpi/injob.h"
#include "mpi/log.h"

#define WANTED(status, own) ((status) == MPI_STATUS_IGNORE ? &(own) : (status))

/* A message longer than its buffer is an error, and delivered. */
static int delivered(int rc)
{
    return rc == MPI_SUCCESS || rc == MPI_ERR_TRUNCATE;
}

BELAY_API int MPI_Recv(void *buf, int count, MPI_Datatype datatype, int source, int tag, MPI_Comm comm, MPI_Status *status)
{
    comm = bl_now(comm);
    if (!bl_enter_message()) return bl_under->Recv(buf, count, datatype, source, tag, comm, status);
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
    if (bl_to_nobody(source)) return PMPI_Irecv(buf, count, datatype, source, tag, comm, request);
    if (!bl_enter_message()) return bl_under->Irecv(buf, count, datatype, source, tag, comm, request);
    int rc = PMPI_Irecv(buf, count, datatype, source, tag, comm, request);
    if (rc == MPI_SUCCESS) bl_request_made(*request, BL_REQ_RECV, BL_CALL_Irecv, comm, source, tag, 0);
    bl_leave();
    return rc;
}

BELAY_API int MPI_Irecv(void *buf, int count, MPI_Datatype datatype, int source, int tag, MPI_Comm comm, MPI_Request *request)
{
    comm = bl_now(comm);
    const bl_way *way = bl_way_at_hand(BL_RECEIVED, comm, source, tag);
    if (!way || !bl_count_frequent()) return receive_rarely(buf, count, datatype, source, tag, comm, request);
    int rc = PMPI_Irecv(buf, count, datatype, source, tag, comm, request);
    return rc == MPI_SUCCESS ? bl_request_made_on(*request, way, BL_REQ_RECV, BL_CALL_Irecv) : rc;
}

BELAY_API int MPI_Sendrecv(const void *sendbuf, int sendcount, MPI_Datatype sendtype, int dest, int sendtag, void *recvbuf,
                           int recvcount, MPI_Datatype recvtype, int source, int recvtag, MPI_Comm comm, MPI_Status *status)
{
    comm = bl_now(comm);
    if (!bl_enter_message())
        return bl_under->Sendrecv(sendbuf, sendcount, sendtype, dest, sendtag, recvbuf, recvcount, recvtype, source, recvtag,
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
    comm = bl_now(comm);
    if (!bl_enter_message())
        return bl_under->Sendrecv_replace(buf, count, datatype, dest, sendtag, source, recvtag, comm, status);
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
    comm = bl_now(comm);
    if (!bl_enter_message()) return bl_under->Mprobe(source, tag, comm, message, status);
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
    comm = bl_now(comm);
    if (!bl_enter_message()) return bl_under->Improbe(source, tag, comm, flag, message, status);
    MPI_Status own, *s = WANTED(status, own);
    int rc = PMPI_Improbe(source, tag, comm, flag, message, s);
    if (rc == MPI_SUCCESS && *flag) bl_message_made(*message, BL_CALL_Improbe, comm, s);
    bl_leave();
    return rc;
}

BELAY_API int MPI_Mrecv(void *buf, int count, MPI_Datatype datatype, MPI_Message *message, MPI_Status *status)
{
    if (!bl_enter_message()) return bl_under->Mrecv(buf, count, datatype, message, status);
    bl_message_gone(*message);
    bl_wait_begin();
    int rc = PMPI_Mrecv(buf, count, datatype, message, status);
    bl_wait_end();
    bl_leave();
    return rc;
}

BELAY_API int MPI_Imrecv(void *buf, int count, MPI_Datatype datatype, MPI_Message *message, MPI_Request *request)
{
    if (!bl_enter_message()) return bl_under->Imrecv(buf, count, datatype, message, request);
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
    if (!bl_enter_message()) return bl_under->Start(request);
    int counted = bl_request_started(*request); /* before, as any send: whoever has received it finds it sent */
    int rc = PMPI_Start(request);
    if (rc != MPI_SUCCESS && counted) bl_request_not_started(*request);
    bl_leave();
    return rc;
}

BELAY_API int MPI_Startall(int count, MPI_Request requests[])
{
    if (!bl_enter_message()) return bl_under->Startall(count, requests);
    for (int i = 0; i < count; i++) bl_request_started(requests[i]);
    int rc = PMPI_Startall(count, requests); /* after an error MPI says nothing of which it has started */
    bl_leave();
    return rc;
}

/* --- completions: MPI clears the handles, so they are read before; statuses cost MPI time, so they are asked for only
 * when a request needs its own to be counted --- */

/* A rank is dead, and which requests MPI has taken is known when it has returned; so bl_rt.completing is set before. */
static int returned(int rc)
{
    bl_rt.completing = 0;
    return rc;
}

/* `count` handles, some of which MPI has taken, without the program having seen anything of them.  Comes back in a rank that stays:
 * what was received is received again, out of a journal, and the call is to be made again. */
static void died(int count, const MPI_Request *handles, MPI_Request *requests)
{
    for (int i = 0; i < count; i++) {
        if (handles[i] == requests[i]) continue;
        MPI_Status none = { .MPI_SOURCE = MPI_ANY_SOURCE };
        if (!bl_rt.local) bl_request_vanished(handles[i]);
        else if (!bl_log_taken(handles[i], &requests[i])) bl_request_completed(handles[i], &none); /* a send is in the journal */
    }
    if (!bl_rt.local) bl_injob_go_back();
    bl_injob_mend();
    bl_log_swap(count, requests);
}

static MPI_Status *wanted_all(MPI_Status *statuses)
{
    return statuses == MPI_STATUSES_IGNORE && bl_rt.wanting ? bl_rt.statuses : statuses;
}

static int carried(void)
{
    return bl_rt.counting == BL_COUNTING_CARRIED;
}

/* bl_rt.handles are complete: `count` of them, those at `indices` (NULL: the first). */
static int completed(int count, const int *indices, MPI_Status *statuses)
{
    int rc = MPI_SUCCESS;
    if (carried()) bl_carry_several(count, indices, statuses);
    for (int i = 0; i < count; i++) {
        MPI_Status *s = statuses == MPI_STATUSES_IGNORE ? MPI_STATUS_IGNORE : &statuses[i];
        if (rc) s->MPI_ERROR = MPI_SUCCESS; /* looked at, since another one failed */
        if (bl_request_completed(bl_rt.handles[indices ? indices[i] : i], s) == MPI_SUCCESS) continue;
        for (int k = 0; rc == MPI_SUCCESS && k < i; k++) statuses[k].MPI_ERROR = MPI_SUCCESS;
        rc = MPI_ERR_IN_STATUS;
    }
    return rc;
}

/* It ended with an error, in which MPI has taken a handle that is not persistent: the message is no less delivered. */
static void broken(MPI_Request handle, int taken, MPI_Status *status)
{
    if (carried()) bl_carry_failed(handle, status);
    else if (taken) bl_request_completed(handle, status);
}

/* Some ended with an error, and the statuses say which: contents of the others are still to be put away, when that is ours. */
static void partly_completed(int count, const int *indices, MPI_Status *statuses)
{
    if (carried()) bl_carry_several(count, indices, statuses);
    for (int i = 0; i < count; i++) {
        MPI_Request handle = bl_rt.handles[indices ? indices[i] : i];
        if (statuses[i].MPI_ERROR == MPI_ERR_PENDING || handle == MPI_REQUEST_NULL) continue;
        if (statuses[i].MPI_ERROR != MPI_SUCCESS) broken(handle, 1, &statuses[i]);
        else if (bl_request_completed(handle, &statuses[i])) statuses[i].MPI_ERROR = MPI_ERR_TRUNCATE;
    }
}

static int among(MPI_Request handle, int count, const MPI_Request *requests)
{
    for (int i = 0; i < count; i++)
        if (requests[i] == handle) return 1;
    return 0;
}

/* `handles` of bl_rt.handles were waited for. */
static int failed(int rc, int handles, int count, const MPI_Request *requests, MPI_Status *statuses)
{
    if (carried() && rc == MPI_ERR_IN_STATUS) partly_completed(handles, NULL, statuses);
    for (int i = 0; !carried() && i < handles; i++)
        if (!among(bl_rt.handles[i], count, requests))
            bl_request_completed(bl_rt.handles[i], statuses == MPI_STATUSES_IGNORE ? MPI_STATUS_IGNORE : &statuses[i]);
    return rc;
}

/* One of bl_rt.handles, or none, MPI_UNDEFINED; after an error it may be anything. */
static int any_completed(int rc, int count, int index, const MPI_Request *requests, MPI_Status *status)
{
    int one = index >= 0 && index < count;
    if (rc == MPI_SUCCESS) return one ? bl_request_completed(bl_rt.handles[index], status) : rc;
    if (carried() && one) bl_carry_failed(bl_rt.handles[index], status);
    for (int i = 0; !carried() && i < count; i++)
        if (!among(bl_rt.handles[i], count, requests)) bl_request_completed(bl_rt.handles[i], status);
    return rc;
}

static int test_one(MPI_Request *request, int *flag, MPI_Status *status)
{
    MPI_Status own, *s = bl_rt.wanting ? WANTED(status, own) : status;
    MPI_Request handle = *request;
    bl_rt.completing = 1;
    int rc = returned(PMPI_Test(request, flag, s));
    if (rc == MPI_SUCCESS) return *flag ? bl_request_completed(handle, s) : rc;
    if (bl_rt.hurt) {
        died(1, &handle, request);
        return test_one(request, flag, status);
    }
    broken(handle, *request != handle, s);
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
    bl_rt.completing = 1;
    int rc = returned(PMPI_Testall(count, requests, flag, s));
    if (bl_rt.hurt) {
        died(count, bl_rt.handles, requests);
        return test_all(count, requests, flag, statuses);
    }
    if (rc != MPI_SUCCESS) return failed(rc, count, count, requests, s);
    return *flag ? completed(count, NULL, s) : rc;
}

static int test_any(int count, MPI_Request requests[], int *index, int *flag, MPI_Status *status)
{
    if (bl_scratch(count)) return PMPI_Testany(count, requests, index, flag, status);
    remember(count, requests);
    MPI_Status own, *s = bl_rt.wanting ? WANTED(status, own) : status;
    bl_rt.completing = 1;
    int rc = returned(PMPI_Testany(count, requests, index, flag, s));
    if (bl_rt.hurt) {
        died(count, bl_rt.handles, requests);
        return test_any(count, requests, index, flag, status);
    }
    return rc == MPI_SUCCESS && !*flag ? rc : any_completed(rc, count, *index, requests, s);
}

typedef int some_call(int, MPI_Request[], int *, int[], MPI_Status[]);

static int some(some_call *call, int incount, MPI_Request requests[], int *outcount, int indices[], MPI_Status statuses[])
{
    if (bl_scratch(incount)) return call(incount, requests, outcount, indices, statuses);
    remember(incount, requests);
    MPI_Status *s = wanted_all(statuses);
    bl_rt.completing = 1;
    int rc = returned(call(incount, requests, outcount, indices, s));
    if (bl_rt.hurt) {
        died(incount, bl_rt.handles, requests);
        return some(call, incount, requests, outcount, indices, statuses);
    }
    if (*outcount == MPI_UNDEFINED) return rc;
    if (rc == MPI_SUCCESS) return completed(*outcount, indices, s);
    if (rc == MPI_ERR_IN_STATUS) partly_completed(*outcount, indices, s);
    return rc;
}

/* With several threads MPI waits without the lock (waits.c); but where contents have to be put away before the handle is
 * another thread's, a wait is a test again and again. */
static int tested(MPI_Request *request, MPI_Status *status)
{
    int rc, flag = 0;
    for (unsigned turn = 0; (rc = test_one(request, &flag, status)) == MPI_SUCCESS && !flag; turn++) bl_let_others(turn);
    return rc;
}

static int tested_all(int count, MPI_Request requests[], MPI_Status statuses[])
{
    int rc, flag = 0;
    for (unsigned turn = 0; (rc = test_all(count, requests, &flag, statuses)) == MPI_SUCCESS && !flag; turn++) bl_let_others(turn);
    return rc;
}

static int tested_any(int count, MPI_Request requests[], int *index, MPI_Status *status)
{
    int rc, flag = 0;
    for (unsigned turn = 0; (rc = test_any(count, requests, index, &flag, status)) == MPI_SUCCESS && !flag; turn++) bl_let_others(turn);
    return rc;
}

static int tested_some(int incount, MPI_Request requests[], int *outcount, int indices[], MPI_Status statuses[])
{
    int rc;
    for (unsigned turn = 0; (rc = some(PMPI_Testsome, incount, requests, outcount, indices, statuses)) == MPI_SUCCESS && *outcount == 0; turn++)
        bl_let_others(turn);
    return rc;
}

static int wait_one(MPI_Request *request, MPI_Status *status)
{
    if (bl_log_alone() && bl_log_held(1, request)) bl_log_unknown();
    MPI_Status own, *s = bl_rt.wanting ? WANTED(status, own) : status;
    MPI_Request handle = *request;
    bl_rt.completing = 1;
    int rc = returned(PMPI_Wait(request, s));
    if (rc == MPI_SUCCESS) return bl_request_completed(handle, s);
    if (bl_rt.hurt) {
        died(1, &handle, request);
        return wait_one(request, status);
    }
    broken(handle, *request != handle, s);
    return rc;
}

BELAY_API int MPI_Wait(MPI_Request *request, MPI_Status *status)
{
    int how = bl_enter(), rc;
    if (!how) return PMPI_Wait(request, status);
    if (how == BL_ENTERED_LOGGED) bl_log_swap(1, request);
    if (bl_rt.locked) rc = carried() ? tested(request, status) : bl_wait(request, status);
    else rc = wait_one(request, status);
    bl_leave();
    return rc;
}

/* --- the same with message logging: which of several is complete, and whether one is, is an event --- */

static enum bl_how outcome_of(enum bl_event event, bl_seen *seen)
{
    enum bl_how how = bl_outcome_of(event, bl_log_clock(), seen);
    if (bl_log_alone() && how == BL_OPEN) bl_log_unknown();
    return how;
}

static enum bl_how event_of(enum bl_event event, bl_seen *seen, int count, MPI_Request *requests)
{
    bl_log_swap(count, requests);
    return outcome_of(event, seen);
}

static void log_event(enum bl_event event, int value, const void *payload, size_t bytes)
{
    bl_outcome_log(event, bl_log_clock(), value, 0, payload, bytes);
}

static int logged_test(MPI_Request *request, int *flag, MPI_Status *status)
{
    bl_seen seen;
    enum bl_how how = event_of(BL_EVENT_FLAG, &seen, 1, request);
    *flag = how == BL_KNOWN;
    if (how == BL_NOTHING) return MPI_SUCCESS;
    if (how == BL_KNOWN) return wait_one(request, status);
    int rc = test_one(request, flag, status);
    if (*flag) log_event(BL_EVENT_FLAG, 0, NULL, 0);
    else bl_outcome_nothing();
    return rc;
}

static int wait_all(int count, MPI_Request requests[], MPI_Status statuses[]);

static int logged_test_all(int count, MPI_Request requests[], int *flag, MPI_Status statuses[])
{
    bl_seen seen;
    enum bl_how how = event_of(BL_EVENT_FLAG, &seen, count, requests);
    *flag = how == BL_KNOWN;
    if (how == BL_NOTHING) return MPI_SUCCESS;
    if (how == BL_KNOWN) return wait_all(count, requests, statuses);
    int rc = test_all(count, requests, flag, statuses);
    if (*flag) log_event(BL_EVENT_FLAG, 0, NULL, 0);
    else bl_outcome_nothing();
    return rc;
}

static void empty_status(MPI_Status *status)
{
    if (status == MPI_STATUS_IGNORE) return;
    MPI_Request none = MPI_REQUEST_NULL;
    PMPI_Wait(&none, status);
}

/* It is known to complete, or to have been complete for us all along. */
static int finish_one(int index, MPI_Request requests[], MPI_Status *status)
{
    if (index >= 0) return wait_one(&requests[index], status);
    empty_status(status);
    return MPI_SUCCESS;
}

static int wait_any(int count, MPI_Request requests[], int *index, MPI_Status *status);

/* flag: NULL of MPI_Waitany. */
static int logged_any(int count, MPI_Request requests[], int *index, int *flag, MPI_Status *status)
{
    bl_seen seen = { 0 };
    int done = 1, ready = -1, rc;
    enum bl_how how = event_of(BL_EVENT_INDEX, &seen, count, requests);
    if (flag) *flag = how == BL_KNOWN;
    if (how == BL_NOTHING && flag) {
        *index = MPI_UNDEFINED;
        return MPI_SUCCESS;
    }
    if (how == BL_KNOWN) *index = seen.c < 0 || seen.c >= count ? MPI_UNDEFINED : seen.c;
    else ready = bl_log_ready(count, requests);
    if (ready >= 0) *index = ready;
    if (how == BL_KNOWN || ready >= 0) {
        if (ready >= 0) log_event(BL_EVENT_INDEX, ready, NULL, 0);
        if (flag) *flag = 1;
        return finish_one(*index == MPI_UNDEFINED ? -1 : *index, requests, status);
    }
    rc = flag ? test_any(count, requests, index, &done, status) : wait_any(count, requests, index, status);
    if (flag) *flag = done;
    if (done) log_event(BL_EVENT_INDEX, *index == MPI_UNDEFINED ? -1 : *index, NULL, 0);
    else bl_outcome_nothing();
    return rc;
}

static int finish_some(const bl_seen *seen, int incount, MPI_Request requests[], int *outcount, int indices[], MPI_Status statuses[])
{
    int rc = MPI_SUCCESS;
    *outcount = seen->c < 0 ? MPI_UNDEFINED : seen->c;
    for (int i = 0; i < seen->c && rc == MPI_SUCCESS; i++) {
        memcpy(&indices[i], seen->payload + (size_t)i * sizeof *indices, sizeof *indices);
        if (indices[i] < 0 || indices[i] >= incount) bl_log_end_job("the journal names request %d of %d", indices[i], incount);
        rc = wait_one(&requests[indices[i]], statuses == MPI_STATUSES_IGNORE ? MPI_STATUS_IGNORE : &statuses[i]);
    }
    return rc;
}

static int logged_some(some_call *call, int incount, MPI_Request requests[], int *outcount, int indices[], MPI_Status statuses[])
{
    bl_seen seen = { 0 };
    enum bl_how how = event_of(BL_EVENT_SOME, &seen, incount, requests);
    int ready = how == BL_OPEN ? bl_log_ready(incount, requests) : -1, rc = MPI_SUCCESS;
    *outcount = 0;
    if (how == BL_NOTHING) return rc;
    if (how == BL_KNOWN) {
        if (seen.c > incount || (seen.c > 0 && seen.bytes != (uint64_t)seen.c * sizeof *indices)) bl_log_end_job("the journal names %d requests of %d", seen.c, incount);
        return finish_some(&seen, incount, requests, outcount, indices, statuses);
    }
    if (ready >= 0) {
        *outcount = 1;
        indices[0] = ready;
        rc = wait_one(&requests[ready], statuses == MPI_STATUSES_IGNORE ? MPI_STATUS_IGNORE : &statuses[0]);
    } else {
        rc = some(call, incount, requests, outcount, indices, statuses);
    }
    if (*outcount == MPI_UNDEFINED) log_event(BL_EVENT_SOME, -1, NULL, 0);
    else if (*outcount > 0) log_event(BL_EVENT_SOME, *outcount, indices, (size_t)*outcount * sizeof *indices);
    else bl_outcome_nothing();
    return rc;
}

/* The program keeps the handle that it has. */
static int logged_status(MPI_Request request, int *flag, MPI_Status *status)
{
    bl_seen seen;
    MPI_Status own, *s = WANTED(status, own);
    MPI_Request inner = bl_log_inner(request);
    enum bl_how how = outcome_of(BL_EVENT_FLAG, &seen);
    int rc = MPI_SUCCESS;
    *flag = 0;
    if (how == BL_NOTHING) return rc;
    if (bl_log_alone() && bl_log_held(1, &request)) bl_log_unknown();
    for (unsigned turn = 0; rc == MPI_SUCCESS && !*flag && (how == BL_KNOWN || turn == 0); turn++) {
        if (turn > 0) bl_pause_briefly(turn);
        rc = PMPI_Request_get_status(inner, flag, s);
        if (!*flag || !bl_rt.local || !bl_injob_hurt(bl_request_comm(request))) continue; /* complete, and perhaps in error: MPI does not say */
        bl_injob_mend();
        inner = bl_log_inner(request);
        *flag = 0;
    }
    if (!*flag) bl_outcome_nothing();
    if (rc == MPI_SUCCESS && *flag) rc = bl_request_seen(request, s);
    if (*flag && how != BL_KNOWN) log_event(BL_EVENT_FLAG, 0, NULL, 0);
    return rc;
}

BELAY_API int MPI_Test(MPI_Request *request, int *flag, MPI_Status *status)
{
    int how = bl_enter();
    if (!how) return PMPI_Test(request, flag, status);
    int rc = how == BL_ENTERED_LOGGED ? logged_test(request, flag, status) : test_one(request, flag, status);
    bl_leave();
    return rc;
}

static int wait_all_with_statuses(int count, MPI_Request requests[], MPI_Status statuses[])
{
    MPI_Status *s = wanted_all(statuses);
    remember(count, requests);
    bl_rt.completing = 1;
    int rc = returned(PMPI_Waitall(count, requests, s));
    if (bl_rt.hurt) {
        died(count, bl_rt.handles, requests);
        return wait_all(count, requests, statuses);
    }
    return rc == MPI_SUCCESS ? completed(count, NULL, s) : failed(rc, count, count, requests, s);
}

static int wait_all(int count, MPI_Request requests[], MPI_Status statuses[])
{
    if (bl_log_alone() && bl_log_held(count, requests)) bl_log_unknown();
    if (bl_scratch(count)) return PMPI_Waitall(count, requests, statuses);
    if (bl_rt.wanting) return wait_all_with_statuses(count, requests, statuses);
    remember(count, requests);
    bl_rt.completing = 1;
    int rc = returned(PMPI_Waitall(count, requests, statuses));
    if (bl_rt.hurt) {
        died(count, bl_rt.handles, requests);
        return wait_all(count, requests, statuses);
    }
    if (rc != MPI_SUCCESS) return failed(rc, count, count, requests, MPI_STATUSES_IGNORE);
    bl_requests_ended(count, bl_rt.handles);
    return rc;
}

BELAY_API int MPI_Waitall(int count, MPI_Request requests[], MPI_Status statuses[])
{
    int how = bl_enter();
    if (!how) return PMPI_Waitall(count, requests, statuses);
    if (how == BL_ENTERED_LOGGED) bl_log_swap(count, requests);
    if (!bl_rt.locked) return wait_all(count, requests, statuses);
    int rc = carried() ? tested_all(count, requests, statuses) : bl_wait_all(count, requests, statuses);
    bl_leave();
    return rc;
}

BELAY_API int MPI_Testall(int count, MPI_Request requests[], int *flag, MPI_Status statuses[])
{
    int how = bl_enter();
    if (!how) return PMPI_Testall(count, requests, flag, statuses);
    int rc = how == BL_ENTERED_LOGGED ? logged_test_all(count, requests, flag, statuses) : test_all(count, requests, flag, statuses);
    bl_leave();
    return rc;
}

static int wait_any(int count, MPI_Request requests[], int *index, MPI_Status *status)
{
    if (bl_scratch(count)) return PMPI_Waitany(count, requests, index, status);
    remember(count, requests);
    MPI_Status own, *s = bl_rt.wanting ? WANTED(status, own) : status;
    bl_rt.completing = 1;
    int rc = returned(PMPI_Waitany(count, requests, index, s));
    if (bl_rt.hurt) {
        died(count, bl_rt.handles, requests);
        return wait_any(count, requests, index, status);
    }
    return any_completed(rc, count, *index, requests, s);
}

BELAY_API int MPI_Waitany(int count, MPI_Request requests[], int *index, MPI_Status *status)
{
    int how = bl_enter();
    if (!how) return PMPI_Waitany(count, requests, index, status);
    if (how == BL_ENTERED_LOGGED) return logged_any(count, requests, index, NULL, status);
    if (!bl_rt.locked) return wait_any(count, requests, index, status);
    int rc = carried() ? tested_any(count, requests, index, status) : bl_wait_any(count, requests, index, status);
    bl_leave();
    return rc;
}

BELAY_API int MPI_Testany(int count, MPI_Request requests[], int *index, int *flag, MPI_Status *status)
{
    int how = bl_enter();
    if (!how) return PMPI_Testany(count, requests, index, flag, status);
    int rc = how == BL_ENTERED_LOGGED ? logged_any(count, requests, index, flag, status) : test_any(count, requests, index, flag, status);
    bl_leave();
    return rc;
}

BELAY_API int MPI_Waitsome(int incount, MPI_Request requests[], int *outcount, int indices[], MPI_Status statuses[])
{
    int how = bl_enter();
    if (!how) return PMPI_Waitsome(incount, requests, outcount, indices, statuses);
    if (how == BL_ENTERED_LOGGED) return logged_some(PMPI_Waitsome, incount, requests, outcount, indices, statuses);
    if (!bl_rt.locked) return some(PMPI_Waitsome, incount, requests, outcount, indices, statuses);
    int rc = carried() ? tested_some(incount, requests, outcount, indices, statuses)
                       : bl_wait_some(incount, requests, outcount, indices, statuses);
    bl_leave();
    return rc;
}

BELAY_API int MPI_Testsome(int incount, MPI_Request requests[], int *outcount, int indices[], MPI_Status statuses[])
{
    int how = bl_enter();
    if (!how) return PMPI_Testsome(incount, requests, outcount, indices, statuses);
    if (how == BL_ENTERED_LOGGED) return logged_some(PMPI_Testsome, incount, requests, outcount, indices, statuses);
    int rc = some(PMPI_Testsome, incount, requests, outcount, indices, statuses);
    bl_leave();
    return rc;
}

/* What it shows is delivered, though MPI keeps the request. */
BELAY_API int MPI_Request_get_status(MPI_Request request, int *flag, MPI_Status *status)
{
    int how = bl_enter();
    if (!how) return PMPI_Request_get_status(request, flag, status);
    if (how == BL_ENTERED_LOGGED) return logged_status(request, flag, status);
    MPI_Status own, *s = WANTED(status, own);
    int rc = PMPI_Request_get_status(request, flag, s);
    if (rc == MPI_SUCCESS && *flag) rc = bl_request_seen(request, s);
    bl_leave();
    return rc;
}

BELAY_API int MPI_Request_free(MPI_Request *request)
{
    if (!bl_enter()) return PMPI_Request_free(request);
    if (bl_rt.settings.logging != BL_LOGGING_NONE) {
        bl_log_swap(1, request);
        bl_log_request_freed(*request);
    }
    bl_request_freed(*request);
    int rc = carried() && bl_carry_freed(request) ? MPI_SUCCESS : PMPI_Request_free(request);
    bl_leave();
    return rc;
}

BELAY_API int MPI_Cancel(MPI_Request *request)
{
    int how = bl_enter();
    if (!how) return PMPI_Cancel(request);
    if (how == BL_ENTERED_LOGGED) bl_log_unlogged("MPI_Cancel");
    bl_request_cancelled(*request);
    int rc = PMPI_Cancel(request);
    bl_leave();
    return rc;
}

/* What has a type or a buffer of the program's may be with carry.c. */
BELAY_API int MPI_Type_free(MPI_Datatype *type)
{
    if (!bl_enter()) return PMPI_Type_free(type);
    if (carried()) bl_carry_type_freed(*type);
    if (bl_rt.local) bl_log_type_freed(*type);
    int rc = PMPI_Type_free(type);
    bl_leave();
    return rc;
}

BELAY_API int MPI_Buffer_detach(void *buffer, int *size)
{
    if (!bl_enter()) return PMPI_Buffer_detach(buffer, size);
    for (unsigned turn = 0; carried() && bl_carry_buffered(); turn++) bl_let_others(turn);
    bl_wait_begin();
    int rc = PMPI_Buffer_detach(buffer, size);
    bl_wait_end();
    bl_leave();
    return rc;
}

/* --- communicators --- */

/* The new handle may not be asked anything before the request is complete, but what it is called is known here. */
BELAY_API int MPI_Comm_idup(MPI_Comm comm, MPI_Comm *newcomm, MPI_Request *request)
{
    comm = bl_now(comm);
    int how = bl_enter();
    if (!how) return PMPI_Comm_idup(comm, newcomm, request);
    if (how == BL_ENTERED_LOGGED) bl_log_unlogged("MPI_Comm_idup");
    int rc = PMPI_Comm_idup(comm, newcomm, request);
    bl_comm *made = rc == MPI_SUCCESS ? bl_comm_copied(comm) : NULL;
    if (made) bl_request_idup(*request, made, newcomm);
    bl_leave();
    return rc;
}

BELAY_API int MPI_Comm_free(MPI_Comm *comm)
{
    if (!bl_enter()) return PMPI_Comm_free(comm);
    bl_comm_freed(bl_now(*comm));
    if (bl_rt.local && *comm != MPI_COMM_NULL) { /* it stays, for who may have to make it again */
        *comm = MPI_COMM_NULL;
        bl_leave();
        return MPI_SUCCESS;
    }
    bl_wait_begin();
    int rc = PMPI_Comm_free(comm);
    bl_wait_end();
    bl_leave();
    return rc;
}

BELAY_API int MPI_Comm_disconnect(MPI_Comm *comm)
{
    int how = bl_enter();
    if (!how) return PMPI_Comm_disconnect(comm);
    if (how == BL_ENTERED_LOGGED) bl_log_unlogged("MPI_Comm_disconnect");
    bl_comm_freed(*comm);
    bl_wait_begin();
    int rc = PMPI_Comm_disconnect(comm);
    bl_wait_end();
    bl_leave();
    return rc;
}
