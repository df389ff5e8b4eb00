/* waits.c - MPI_Wait, MPI_Waitall, MPI_Waitany and MPI_Waitsome under MPI_THREAD_MULTIPLE.  The lock is not held while MPI
 * waits, and a handle that MPI gives back there may at once be another thread's next request: so what is waited for leaves
 * the table before, and what was not completed comes back to it.  Persistent requests keep their handles, and their place. */
#include <stdlib.h>
#include <string.h>

#include "mpi/runtime.h"

struct bl_waiting {       /* of one thread; there are as many as have ever waited at once */
    struct bl_waiting *next;
    int count, room;      /* count 0: free */
    MPI_Request *handles; /* [count] as they were */
    MPI_Status *statuses; /* [count] for ..._IGNORE */
    bl_request *taken;    /* [count] key 0: none, or stayed in the table */
};

static int make_room(struct bl_waiting *w, int count)
{
    int room = w->room ? w->room : 16;
    while (room < count) room *= 2;
    void *handles = realloc(w->handles, sizeof *w->handles * (size_t)room);
    if (handles) w->handles = handles;
    void *statuses = realloc(w->statuses, sizeof *w->statuses * (size_t)room);
    if (statuses) w->statuses = statuses;
    void *taken = realloc(w->taken, sizeof *w->taken * (size_t)room);
    if (taken) w->taken = taken;
    if (!handles || !statuses || !taken) return -1;
    w->room = room;
    return 0;
}

static struct bl_waiting *free_one(void)
{
    struct bl_waiting *w = bl_rt.waiting;
    while (w && w->count) w = w->next;
    if (w || !(w = calloc(1, sizeof *w))) return w;
    w->next = bl_rt.waiting;
    return bl_rt.waiting = w;
}

/* Leaves the lock, too.  NULL: there is no memory, and nothing was taken. */
static struct bl_waiting *begin(int count, const MPI_Request requests[])
{
    struct bl_waiting *w = count > 0 ? free_one() : NULL;
    if (w && (count <= w->room || make_room(w, count) == 0)) {
        w->count = count;
        memcpy(w->handles, requests, sizeof *requests * (size_t)count);
        for (int i = 0; i < count; i++) bl_request_take(requests[i], &w->taken[i]);
    } else {
        if (count > 0) bl_rt.refused = "out of memory for requests";
        w = NULL;
    }
    bl_wait_begin();
    return w;
}

static void complete(struct bl_waiting *w, int i, MPI_Status *status)
{
    if (w->taken[i].key) bl_request_finish(&w->taken[i], status);
    else bl_request_completed(w->handles[i], status);
    w->handles[i] = MPI_REQUEST_NULL;
}

/* `w->handles` are those that were not completed.  With an error MPI has taken the handles of what is complete all the same;
 * `step`: from one's status to the next's. */
static void end(struct bl_waiting *w, int rc, const MPI_Request requests[], MPI_Status *statuses, int step)
{
    for (int i = 0; i < w->count; i++) {
        if (w->handles[i] == MPI_REQUEST_NULL) continue;
        if (rc != MPI_SUCCESS && requests[i] == MPI_REQUEST_NULL) complete(w, i, &statuses[i * step]);
        else if (w->taken[i].key) bl_request_return(&w->taken[i]);
    }
    w->count = 0;
}

int bl_wait(MPI_Request *request, MPI_Status *status)
{
    struct bl_waiting *w = begin(1, request);
    MPI_Status own, *s = status == MPI_STATUS_IGNORE ? &own : status;
    int rc = PMPI_Wait(request, s);
    bl_wait_end();
    if (!w) return rc;
    if (rc == MPI_SUCCESS) complete(w, 0, s);
    end(w, rc, request, s, 0);
    return rc;
}

int bl_wait_all(int count, MPI_Request requests[], MPI_Status statuses[])
{
    struct bl_waiting *w = begin(count, requests);
    MPI_Status *s = w && statuses == MPI_STATUSES_IGNORE ? w->statuses : statuses;
    int rc = PMPI_Waitall(count, requests, s);
    bl_wait_end();
    if (!w) return rc;
    for (int i = 0; rc == MPI_SUCCESS && i < count; i++) complete(w, i, &s[i]);
    end(w, rc, requests, s, 1);
    return rc;
}

int bl_wait_any(int count, MPI_Request requests[], int *index, MPI_Status *status)
{
    struct bl_waiting *w = begin(count, requests);
    MPI_Status own, *s = status == MPI_STATUS_IGNORE ? &own : status;
    int rc = PMPI_Waitany(count, requests, index, s);
    bl_wait_end();
    if (!w) return rc;
    if (rc == MPI_SUCCESS && *index != MPI_UNDEFINED) complete(w, *index, s);
    end(w, rc, requests, s, 0);
    return rc;
}

int bl_wait_some(int count, MPI_Request requests[], int *outcount, int indices[], MPI_Status statuses[])
{
    struct bl_waiting *w = begin(count, requests);
    MPI_Status *s = w && statuses == MPI_STATUSES_IGNORE ? w->statuses : statuses;
    int rc = PMPI_Waitsome(count, requests, outcount, indices, s);
    bl_wait_end();
    if (!w) return rc;
    int said = (rc == MPI_SUCCESS || rc == MPI_ERR_IN_STATUS) && *outcount != MPI_UNDEFINED;
    for (int i = 0; said && i < *outcount; i++) complete(w, indices[i], &s[i]);
    end(w, MPI_SUCCESS, requests, s, 0);
    return rc;
}

void bl_waits_want_comms(void)
{
    for (const struct bl_waiting *w = bl_rt.waiting; w; w = w->next)
        for (int i = 0; i < w->count; i++)
            if (w->taken[i].key && w->taken[i].comm) w->taken[i].comm->wanted = 1;
}

void bl_waits_free(void)
{
    while (bl_rt.waiting) {
        struct bl_waiting *w = bl_rt.waiting;
        bl_rt.waiting = w->next;
        free(w->handles);
        free(w->statuses);
        free(w->taken);
        free(w);
    }
}
