/* totals.h - what the live table of this rank says, for programs that know what they have done.  The table is read from its
 * file, as `belay line` does after a death. */
#ifndef TESTS_MPI_TOTALS_H
#define TESTS_MPI_TOTALS_H

#include <inttypes.h>
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <belay.h>

#include "store/live.h"

static int rank, ranks, next, before, incarnation;
static const char *way;

typedef struct totals { uint64_t sent, received, collectives, channels, bytes; } totals;

static void fail(const char *what)
{
    printf("%s rank %d: WRONG: %s\n", way, rank, what);
    fflush(stdout);
    MPI_Abort(MPI_COMM_WORLD, 9);
}

/* After MPI_Init; also the call of belay_recover. */
static void totals_begin(void)
{
    belay_status status;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    next = (rank + 1) % ranks;
    before = (rank + ranks - 1) % ranks;
    belay_recover(&status);
    incarnation = status.incarnation;
}

static bl_live read_live(void)
{
    bl_store *store;
    bl_live live;
    bl_error err = { 0, "" };
    if (bl_store_open(getenv("BELAY_DIR"), BL_STABLE_PROCESS, &store, &err)) fail(err.text);
    if (bl_live_read(store, (uint32_t)rank, (uint32_t)incarnation, &live, &err)) fail(err.text);
    bl_store_close(store);
    return live;
}

static totals read_totals(void)
{
    bl_live live = read_live();
    totals t = { 0 };
    for (uint32_t i = 0; i < live.header->channel_slots; i++) {
        t.sent += live.slot[i].sent;
        t.received += live.slot[i].received;
        t.channels += live.slot[i].comm != 0;
    }
    for (uint32_t i = 0; i < live.header->collective_slots; i++) t.collectives += live.collective[i].started;
    t.bytes = live.header->channel_slots * sizeof *live.slot;
    bl_live_free(&live);
    return t;
}

static void expect(totals was, uint64_t sent, uint64_t received, uint64_t collectives)
{
    char text[200];
    totals now = read_totals();
    snprintf(text, sizeof text, "counted %" PRIu64 " sent, %" PRIu64 " received, %" PRIu64 " collectives; done %" PRIu64 ", %" PRIu64 ", %" PRIu64,
             now.sent - was.sent, now.received - was.received, now.collectives - was.collectives, sent, received, collectives);
    if (now.sent - was.sent != sent || now.received - was.received != received || now.collectives - was.collectives != collectives)
        fail(text);
}

/* The only channel with `peer`, a rank in MPI_COMM_WORLD, and `tag`, be the communicator what it may; .comm is 0 if none. */
static bl_live_slot channel(int peer, int tag)
{
    bl_live live = read_live();
    bl_live_slot found = { 0 };
    for (uint32_t i = 0; i < live.header->channel_slots; i++) {
        const bl_live_slot *slot = &live.slot[i];
        if (!slot->comm || slot->peer != peer || slot->tag != tag) continue;
        if (found.comm) fail("two channels with one tag");
        found = *slot;
    }
    bl_live_free(&live);
    return found;
}

#endif
