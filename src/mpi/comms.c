/* comms.c - communicators: an id all members agree on without a message, and where a message's counter is. */
#include <stdlib.h>
#include <string.h>
#include <stdio.h>

#include "mpi/checkpoint.h"
#include "mpi/log.h"
#include "mpi/ride.h"
#include "store/hash.h"

struct bl_comm_series { uint64_t members; uint64_t made; };

enum { WORLD_ID = 1 };

/* An array `room` long that doubles; 0 on success. */
static int grow(void **array, unsigned *room, size_t element)
{
    unsigned wanted = *room ? 2 * *room : 16;
    void *bigger = realloc(*array, wanted * element);
    if (!bigger) return -1;
    *array = bigger;
    *room = wanted;
    return 0;
}

/* All members of a communicator take part in making it, and make those with the same members in the same order; so
 * (members, how many of them there were before) names it, on every member alike and again after a restart. */
static uint64_t made_before(uint64_t members)
{
    for (unsigned i = 0; i < bl_rt.series_count; i++)
        if (bl_rt.series[i].members == members) return bl_rt.series[i].made;
    return 0;
}

static uint64_t next_in_series(uint64_t members)
{
    for (unsigned i = 0; i < bl_rt.series_count; i++)
        if (bl_rt.series[i].members == members) return ++bl_rt.series[i].made;
    if (bl_rt.series_count == bl_rt.series_room &&
        grow((void **)&bl_rt.series, &bl_rt.series_room, sizeof *bl_rt.series)) return 0;
    bl_rt.series[bl_rt.series_count++] = (struct bl_comm_series){ members, 1 };
    return 1;
}

static int *world_ranks(MPI_Group group, int size)
{
    MPI_Group world;
    int *own = malloc(2 * sizeof(int) * (size_t)(size ? size : 1)), *result = own ? own + size : NULL;
    if (!own) return NULL;
    for (int i = 0; i < size; i++) own[i] = i;
    PMPI_Comm_group(bl_rt.world, &world);
    PMPI_Group_translate_ranks(group, size, own, world, result);
    PMPI_Group_free(&world);
    for (int i = 0; i < size; i++) own[i] = result[i] == MPI_UNDEFINED ? -1 : result[i];
    return own;
}

static uint64_t hash_ranks(const int *ranks, int size)
{
    return XXH3_64bits(ranks, sizeof(int) * (size_t)size);
}

/* Both sides of an intercommunicator have to find the same id: the sides are taken in the order of their hashes. */
static uint64_t hash_sides(uint64_t a, uint64_t b)
{
    uint64_t sides[2] = { a < b ? a : b, a < b ? b : a };
    return XXH3_64bits(sides, sizeof sides);
}

static int has_foreign(const int *world, int size)
{
    for (int i = 0; world && i < size; i++)
        if (world[i] < 0) return 1;
    return 0;
}

/* The first communicator of all ranks is MPI_COMM_WORLD itself, with an id a person recognises. */
static uint64_t id_of(uint64_t members, uint64_t nth)
{
    return nth == 1 && members == WORLD_ID ? WORLD_ID : hash_sides(members, nth);
}

static uint64_t members_as(const int *world, int size)
{
    int i = 0;
    while (world && i < size && world[i] == i) i++;
    if (!world || (i == size && size == bl_rt.ranks)) return WORLD_ID;
    uint64_t members = hash_ranks(world, size);
    return members > WORLD_ID ? members : members + 2;
}

uint64_t bl_comm_next_id(const int *world, int size)
{
    uint64_t members = members_as(world, size);
    return id_of(members, made_before(members) + 1);
}

static MPI_Comm shadow_of = MPI_COMM_NULL; /* whose shadow is being registered */

/* A replay is alone: its communicators have the members that they had. */
static uint64_t members_replayed(bl_comm *c, MPI_Comm handle)
{
    if (!bl_replay_members(shadow_of != MPI_COMM_NULL ? shadow_of : handle, &c->size, &c->world)) return 0;
    c->peers = c->size;
    if (!c->world) return WORLD_ID;
    uint64_t members = hash_ranks(c->world, c->size);
    return members > WORLD_ID ? members : members + 2;
}

static uint64_t members_of(bl_comm *c, MPI_Comm handle)
{
    int inter, relation;
    MPI_Group group;
    if (bl_replaying) return members_replayed(c, handle);
    PMPI_Comm_test_inter(handle, &inter);
    PMPI_Comm_size(handle, &c->size);
    c->peers = c->size;
    if (!inter) {
        PMPI_Comm_compare(handle, bl_rt.world, &relation);
        if (relation == MPI_IDENT || relation == MPI_CONGRUENT) return WORLD_ID;
    }
    PMPI_Comm_group(handle, &group);
    int *own = world_ranks(group, c->size);
    PMPI_Group_free(&group);
    if (!own) return 0;
    uint64_t members = hash_ranks(own, c->size);
    c->world = own;
    if (inter) {
        c->local = own;
        PMPI_Comm_remote_size(handle, &c->peers);
        PMPI_Comm_remote_group(handle, &group);
        c->world = world_ranks(group, c->peers);
        PMPI_Group_free(&group);
        if (!c->world) return 0;
        members = hash_sides(members, hash_ranks(c->world, c->peers));
    }
    return members > WORLD_ID ? members : members + 2;
}

/* An id never comes back, so rows are only ever added, in order; a program that makes and frees communicators for ever gets
 * those of freed ones when no other is left. */
static bl_live_collective *collective_row(uint64_t id, uint32_t size)
{
    bl_live_header *h = bl_rt.live.header;
    bl_live_collective *row = NULL;
    /* Restored with the counters of an independent checkpoint: the counting goes on. */
    for (uint32_t i = 0; i < h->collectives; i++) {
        if (bl_rt.live.collective[i].comm != id) continue;
        bl_rt.live.collective[i].freed = 0;
        return &bl_rt.live.collective[i];
    }
    if (h->collectives < h->collective_slots) row = &bl_rt.live.collective[h->collectives++];
    for (uint32_t i = 0; !row && i < h->collective_slots; i++)
        if (bl_rt.live.collective[i].freed) row = &bl_rt.live.collective[i];
    if (row && row->comm && bl_settings_alone(&bl_rt.settings)) /* its count may be needed to find a line */
        bl_rt.refused = "more communicators than are counted one by one";
    if (row) *row = (bl_live_collective){ .comm = id, .size = size };
    else bl_rt.refused = "more communicators than the live table holds";
    return row;
}

static void destroy(bl_comm *c)
{
    free(c->world);
    if (c->local != c->world) free(c->local);
    free(c);
}

/* `origin`: 0, or the id of the communicator that several threads may be making others from at the same time as we are from
 * this one; on one communicator MPI has them do it one after the other. */
static int give_id(bl_comm *c, uint64_t origin)
{
    uint64_t nth = c->members ? next_in_series(origin ? hash_sides(c->members, origin) : c->members) : 0;
    if (!nth) {
        bl_rt.refused = "out of memory for communicators";
        return -1;
    }
    c->id = origin ? hash_sides(hash_sides(c->members, origin), nth) : id_of(c->members, nth);
    c->collective = collective_row(c->id, (uint32_t)c->size);
    return 0;
}

static bl_comm *known(MPI_Comm handle)
{
    for (unsigned i = 0; i < bl_rt.comms; i++)
        if (bl_rt.comm[i]->handle == handle) return bl_rt.comm[i];
    return NULL;
}

static int room_for_one(void)
{
    return bl_rt.comms < bl_rt.comm_room || !grow((void **)&bl_rt.comm, &bl_rt.comm_room, sizeof *bl_rt.comm);
}

static bl_comm *register_comm(MPI_Comm handle, uint64_t origin)
{
    bl_comm *c = room_for_one() ? calloc(1, sizeof *c) : NULL;
    if (!c) return NULL;
    c->handle = handle;
    c->before = MPI_COMM_NULL;
    c->members = members_of(c, handle);
    c->foreign = has_foreign(c->world, c->peers) || has_foreign(c->local, c->size);
    if (give_id(c, origin)) {
        destroy(c);
        return NULL;
    }
    bl_rt.comm[bl_rt.comms++] = c;
    if (bl_rt.recovered) bl_resend_on(c);
    return c;
}

bl_comm *bl_comm_find(MPI_Comm handle)
{
    if (handle == MPI_COMM_NULL) return NULL; /* the program's error: MPI will say so */
    bl_comm *c = known(handle);
    if (!c) c = register_comm(handle, 0);
    if (c) bl_rt.comm_way[((uintptr_t)handle >> 4) & (BL_COMM_WAYS - 1)] = c;
    return c;
}

/* MPI tells calls on one communicator at once apart by their tags, where they have one. */
static uint64_t origin_of(MPI_Comm parent, int tag)
{
    const bl_comm *c = bl_rt.several && parent != MPI_COMM_NULL ? bl_comm_of(parent) : NULL;
    return !c ? 0 : tag ? hash_sides(c->id, (uint64_t)tag) : c->id;
}

static MPI_Errhandler ours(void)
{
    return bl_rt.errors ? bl_rt.errors : MPI_ERRORS_ARE_FATAL;
}

/* What collectives are made of with message logging.  All members are here. */
static void give_shadow(bl_comm *c)
{
    MPI_Comm handle;
    if (!c || c->local || bl_rt.settings.logging == BL_LOGGING_NONE) return;
    if (bl_rejoining && c->size > 1) handle = bl_local_comm_of(bl_comm_next_id(c->world, c->size));
    else PMPI_Comm_dup(c->handle, &handle);
    PMPI_Comm_set_errhandler(handle, ours());
    shadow_of = c->handle;
    c->shadow = register_comm(handle, 0);
    shadow_of = MPI_COMM_NULL;
}

void bl_comm_made(MPI_Comm comm, MPI_Comm parent, int tag)
{
    if (comm != MPI_COMM_NULL && !known(comm)) {
        bl_comm *c = register_comm(comm, origin_of(parent, tag));
        const bl_comm *p = bl_rt.errors && parent != MPI_COMM_NULL ? known(parent) : NULL;
        if (c && p) c->handler = p->handler;
        give_shadow(c);
    }
    if (bl_rt.settings.logging != BL_LOGGING_NONE) bl_log_comm(comm == MPI_COMM_NULL ? NULL : known(comm));
}

/* Each side was made from a communicator of its own; with several threads it has to learn the other's, the only id that
 * takes a message. */
void bl_comm_bridged(MPI_Comm comm, MPI_Comm local)
{
    uint64_t own = origin_of(local, 0), other = 0;
    if (bl_rt.several) {
        bl_wait_begin();
        PMPI_Allreduce(&own, &other, 1, MPI_UINT64_T, MPI_MAX, comm);
        bl_wait_end();
    }
    if (!known(comm)) register_comm(comm, bl_rt.several ? hash_sides(own, other) : 0);
    if (bl_rt.settings.logging != BL_LOGGING_NONE) bl_log_unlogged("MPI_Intercomm_create");
}

static int *copy_of(const int *ranks, int size)
{
    int *copy = malloc(sizeof *copy * (size_t)(size ? size : 1));
    if (copy) memcpy(copy, ranks, sizeof *copy * (size_t)size);
    return copy;
}

bl_comm *bl_comm_copied(MPI_Comm parent)
{
    const bl_comm *p = bl_comm_of(parent);
    bl_comm *c = p ? calloc(1, sizeof *c) : NULL;
    if (!c) return NULL;
    *c = (bl_comm){ .handle = MPI_COMM_NULL, .before = MPI_COMM_NULL, .members = p->members, .size = p->size, .peers = p->peers,
                    .foreign = p->foreign };
    if (p->world) c->world = copy_of(p->world, p->peers);
    if (p->local) c->local = copy_of(p->local, p->size);
    if ((p->world && !c->world) || (p->local && !c->local) || give_id(c, origin_of(parent, 0))) {
        destroy(c);
        return NULL;
    }
    return c;
}

void bl_comm_named(bl_comm *c, MPI_Comm handle)
{
    c->handle = handle;
    if (room_for_one()) {
        bl_rt.comm[bl_rt.comms++] = c;
        if (bl_rt.recovered) bl_resend_on(c);
        return;
    }
    bl_rt.refused = "out of memory for communicators";
    destroy(c);
}

MPI_Comm bl_comm_moved(MPI_Comm comm)
{
    for (unsigned i = 0; i < bl_rt.comms; i++)
        if (bl_rt.comm[i]->before == comm && comm != MPI_COMM_NULL) return bl_rt.comm[i]->handle;
    return comm;
}

MPI_Comm bl_comm_at_first(MPI_Comm comm)
{
    if (comm != MPI_COMM_WORLD) return comm;
    for (unsigned i = 0; bl_rt.moved && i < bl_rt.comms; i++)
        if (bl_rt.comm[i]->handle == bl_rt.world) return bl_rt.comm[i]->before;
    return bl_rt.world;
}

void bl_comm_moves(bl_comm *c, MPI_Comm handle)
{
    if (c->before == MPI_COMM_NULL && !c->freed) c->before = c->handle;
    c->handle = handle;
    memset(bl_rt.comm_way, 0, sizeof bl_rt.comm_way);
    memset(bl_rt.way, 0, sizeof bl_rt.way);
    bl_rt.moved = 1;
}

/* A receive from anybody has to translate its source when it completes, be the communicator freed or not. */
static void destroy_unwanted(void)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < bl_rt.freed_comms; i++) bl_rt.freed_comm[i]->wanted = 0;
    bl_requests_want_comms();
    bl_objects_want_comms();
    for (unsigned i = 0; i < bl_rt.freed_comms; i++) {
        bl_comm *c = bl_rt.freed_comm[i];
        if (c->wanted) bl_rt.freed_comm[kept++] = c;
        else destroy(c);
    }
    bl_rt.freed_comms = kept;
}

void bl_comm_freed(MPI_Comm handle)
{
    for (unsigned i = 0; i < bl_rt.comms; i++) {
        bl_comm *c = bl_rt.comm[i];
        if (c->handle != handle) continue;
        if (bl_rt.local) {
            c->freed = 1;
            c->before = MPI_COMM_NULL;
            if (c->collective) c->collective->freed = 1;
            return;
        }
        if (bl_rt.freed_comms == bl_rt.freed_room &&
            grow((void **)&bl_rt.freed_comm, &bl_rt.freed_room, sizeof *bl_rt.freed_comm)) {
            bl_rt.refused = "out of memory for communicators";
            return;
        }
        bl_rt.comm[i] = bl_rt.comm[--bl_rt.comms];
        MPI_Comm shadow = c->shadow ? c->shadow->handle : MPI_COMM_NULL;
        memset(bl_rt.comm_way, 0, sizeof bl_rt.comm_way);
        memset(bl_rt.way, 0, sizeof bl_rt.way); /* the handle may come back for another communicator */
        c->handle = MPI_COMM_NULL;
        if (c->collective) c->collective->freed = 1;
        bl_rt.freed_comm[bl_rt.freed_comms++] = c;
        destroy_unwanted();
        if (shadow == MPI_COMM_NULL) return;
        bl_comm_freed(shadow);
        PMPI_Comm_free(&shadow);
        return;
    }
}

int bl_comms_init(bl_error *err)
{
    if (!bl_comm_find(bl_rt.world) || !bl_comm_find(MPI_COMM_SELF))
        return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for the table of communicators");
    give_shadow(bl_comm_find(bl_rt.world));
    give_shadow(bl_comm_find(MPI_COMM_SELF));
    return BELAY_OK;
}

void bl_comms_free(void)
{
    for (unsigned i = 0; i < bl_rt.comms; i++) destroy(bl_rt.comm[i]);
    for (unsigned i = 0; i < bl_rt.freed_comms; i++) destroy(bl_rt.freed_comm[i]);
    free(bl_rt.comm);
    free(bl_rt.freed_comm);
    free(bl_rt.series);
}

void bl_comm_owned(MPI_Comm comm)
{
    if (comm != MPI_COMM_NULL && bl_rt.owns < BL_OWN_COMMS) bl_rt.own[bl_rt.owns++] = comm;
}

void bl_comm_own(MPI_Comm from, MPI_Comm *comm)
{
    PMPI_Comm_dup(from, comm);
    PMPI_Comm_set_errhandler(*comm, ours());
    bl_comm_owned(*comm);
}

void bl_comm_disown(MPI_Comm *comm)
{
    for (unsigned i = 0; i < bl_rt.owns; i++)
        if (bl_rt.own[i] == *comm) bl_rt.own[i--] = bl_rt.own[--bl_rt.owns];
    PMPI_Comm_free(comm);
}

int bl_comm_world_rank(const bl_comm *c, int peer)
{
    if (peer < 0 || peer >= c->peers) return -1;
    return c->world ? c->world[peer] : peer;
}

void bl_comm_text(MPI_Comm comm, char *text, size_t size)
{
    char name[MPI_MAX_OBJECT_NAME];
    int length = 0;
    if (comm == MPI_COMM_NULL || PMPI_Comm_get_name(comm, name, &length) != MPI_SUCCESS || length == 0)
        snprintf(text, size, "an unnamed communicator");
    else
        snprintf(text, size, "%s", name);
}

static bl_live_slot *probe(uint64_t id, int peer, int tag, int insert)
{
    uint32_t mask = bl_rt.live.header->channel_slots - 1;
    for (uint32_t i = bl_live_hash(id, peer, tag), probes = 0; probes <= mask; i++, probes++) {
        bl_live_slot *slot = &bl_rt.live.slot[i & mask];
        if (slot->comm == id && slot->peer == peer && slot->tag == tag) return slot;
        if (slot->comm) continue;
        if (!insert) return NULL;
        slot->peer = peer;
        slot->tag = tag;
        slot->comm = id;
        bl_rt.live.header->channels++;
        return slot;
    }
    return NULL;
}

bl_live_slot *bl_comm_slot(const bl_comm *c, int peer, int tag)
{
    int world = bl_comm_world_rank(c, peer);
    if (world < 0) return NULL;
    const bl_live_header *h = bl_rt.live.header;
    int roomy = h->channels < h->channel_slots / 4 * 3;
    bl_live_slot *slot = probe(c->id, world, tag, roomy);
    if (slot || roomy) return slot;
    /* A program that uses ever new tags: from here on they are counted together, per communicator and peer. */
    if (!bl_rt.folded) {
        bl_rt.folded = 1;
        if (bl_rt.settings.verbose)
            bl_say("rank %d: more than %u (communicator, peer, tag) channels: further tags are counted together",
                   bl_rt.rank, h->channel_slots / 4 * 3);
    }
    slot = probe(c->id, world, BL_TAG_FOLDED, 1);
    if (!slot) bl_rt.refused = "more peers than the live table holds";
    return slot;
}

bl_live_slot *bl_comm_slot_by_id(uint64_t id, int world, int tag)
{
    const bl_live_header *h = bl_rt.live.header;
    return probe(id, world, tag, h->channels < h->channel_slots / 4 * 3);
}

bl_live_slot *bl_way_find(enum bl_direction direction, MPI_Comm comm, int peer, int tag)
{
    bl_comm *c = bl_comm_of(comm);
    bl_live_slot *slot = c ? bl_comm_slot(c, peer, tag) : NULL;
    if (slot && direction == BL_SENT && bl_rt.piggyback == BL_PIGGYBACK_MARKER) bl_ride_first(slot);
    if (slot) *bl_way_of(direction, comm, peer, tag) = (bl_way){ comm, peer, tag, c, slot };
    return slot;
}
