/* counters DIR RANKS - what the checkpoints of a job say was sent and received, as the programs of this folder print what is
 * true: "truth: rank R checkpoint C: COLLECTIVES SENT... RECEIVED...", SENT and RECEIVED once for each peer. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/store.h"

enum { MOST = 64, CHECKPOINTS = 1000 };

static void print(uint32_t rank, uint32_t ranks, uint32_t checkpoint, const bl_snapshot *s)
{
    uint64_t sent[MOST] = { 0 }, received[MOST] = { 0 }, collectives = 0;
    for (size_t i = 0; i < s->nchannels; i++) {
        sent[s->channels[i].peer % MOST] += s->channels[i].sent;
        received[s->channels[i].peer % MOST] += s->channels[i].received;
    }
    for (size_t i = 0; i < s->ncollectives; i++) collectives += s->collectives[i].started;
    printf("truth: rank %" PRIu32 " checkpoint %" PRIu32 ": %" PRIu64, rank, checkpoint, collectives);
    for (uint32_t r = 0; r < ranks; r++) printf(" %" PRIu64, sent[r]);
    for (uint32_t r = 0; r < ranks; r++) printf(" %" PRIu64, received[r]);
    printf("\n");
}

int main(int argc, char **argv)
{
    uint32_t ranks = argc == 3 ? (uint32_t)atoi(argv[2]) : 0;
    bl_store *store;
    bl_error err = { 0, "" };
    if (!ranks || ranks > MOST || bl_store_open(argv[1], BL_STABLE_PROCESS, &store, &err)) {
        fprintf(stderr, "counters DIR RANKS: %s\n", err.text);
        return 2;
    }
    for (uint32_t rank = 0; rank < ranks; rank++) {
        for (uint32_t checkpoint = 1; checkpoint < CHECKPOINTS; checkpoint++) {
            bl_reader *reader;
            const bl_snapshot *snapshot;
            if (bl_snapshot_open(store, rank, checkpoint, NULL, &reader, &snapshot, &err)) continue; /* not one that is kept */
            print(rank, ranks, checkpoint, snapshot);
            bl_snapshot_close(reader);
        }
    }
    bl_store_close(store);
    return 0;
}
