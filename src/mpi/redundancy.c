#include "mpi/redundancy.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "protocol/groups.h"
#include "store/parity.h"

enum { CHUNK_MOST = 256 << 10, CHUNK_LEAST = 16 << 10, BUFFERS_MOST = 16 << 20 }; /* small: what is in the caches is not fetched again */

typedef struct level {
    MPI_Comm comm;           /* of the group */
    uint32_t protected;      /* the newest checkpoint of this level that is whole on all ranks; 0: none */
} level;

static struct redundancy {
    level level[BL_LEVELS_MAX];
    unsigned levels;
    uint64_t committed;      /* in this incarnation */
    int promised;            /* of a checkpoint that was tried at this restart there is parity, or nothing at all */
    int there;               /* of the last that was tried */
    uint32_t *domain;        /* [ranks] */
    char *buffers;           /* [buffer_bytes] they stay: new memory costs more than what is done in it */
    size_t buffer_bytes;
} red;

static uint32_t ranks(void)
{
    return (uint32_t)bl_rt.ranks;
}

/* --- beginning --- */

/* Of a node: its lowest rank. */
static int find_domains(bl_error *err)
{
    uint32_t mine = (uint32_t)bl_rt.rank;
    red.domain = malloc(sizeof *red.domain * ranks());
    if (!red.domain) return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %d ranks", bl_rt.ranks);
    if (bl_rt.settings.failure_domain) {
        mine /= bl_rt.settings.failure_domain;
    } else {
        MPI_Comm node;
        PMPI_Comm_split_type(bl_rt.private_comm, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node);
        PMPI_Bcast(&mine, 1, MPI_UINT32_T, 0, node);
        PMPI_Comm_free(&node);
    }
    PMPI_Allgather(&mine, 1, MPI_UINT32_T, red.domain, 1, MPI_UINT32_T, bl_rt.private_comm);
    return BELAY_OK;
}

static int form_groups(bl_error *err)
{
    uint32_t *room = malloc(2 * sizeof *room * ranks()), groups;
    int rc = room ? BELAY_OK : bl_fail(err, BELAY_ERR_MEMORY, "out of memory for %d ranks", bl_rt.ranks);
    for (unsigned k = 0; rc == BELAY_OK && k < bl_rt.settings.levels; k++) {
        const bl_level *l = &bl_rt.settings.level[k];
        rc = bl_groups_form(ranks(), red.domain, l->members, l->parity, room, room + ranks(), &groups, err);
        if (rc) break;
        PMPI_Comm_split(bl_rt.private_comm, (int)room[ranks() + (uint32_t)bl_rt.rank], bl_rt.rank, &red.level[red.levels].comm);
        bl_comm_owned(red.level[red.levels++].comm);
    }
    free(room);
    return rc;
}

/* %h and %d; the setting has been checked. */
static void expand(const char *pattern, char path[BL_PATH_MAX])
{
    char host[256] = "";
    size_t used = 0;
    gethostname(host, sizeof host - 1);
    for (; *pattern && used + sizeof host < BL_PATH_MAX; pattern++) {
        if (*pattern != '%') path[used++] = *pattern;
        else if (*++pattern == '%') path[used++] = '%';
        else if (*pattern == 'h') used += (size_t)snprintf(path + used, BL_PATH_MAX - used, "%s", host);
        else used += (size_t)snprintf(path + used, BL_PATH_MAX - used, "%" PRIu32, red.domain[bl_rt.rank]);
    }
    path[used] = '\0';
}

static int use_local_dir(bl_error *err)
{
    char path[BL_PATH_MAX];
    uint32_t highest = 0, most;
    if (!bl_rt.settings.local_dir[0]) return BELAY_OK;
    expand(bl_rt.settings.local_dir, path);
    int rc = bl_store_use_local(bl_rt.store, (uint32_t)bl_rt.rank, path, err);
    if (rc == BELAY_OK) rc = bl_rank_highest(bl_rt.store, (uint32_t)bl_rt.rank, &highest, err);
    PMPI_Allreduce(&highest, &most, 1, MPI_UINT32_T, MPI_MAX, bl_rt.private_comm);
    if (most >= bl_rt.next_checkpoint) bl_rt.next_checkpoint = most + 1; /* no name is used twice */
    return rc;
}

int bl_redundancy_init(bl_error *err)
{
    if (!bl_rt.settings.levels && !bl_rt.settings.local_dir[0]) return BELAY_OK;
    int rc = find_domains(err);
    if (rc == BELAY_OK) rc = form_groups(err);
    if (rc) { /* all ranks have found the same */
        if (bl_rt.rank) PMPI_Barrier(bl_rt.private_comm); /* rank 0 ends the job */
        return rc;
    }
    return use_local_dir(err);
}

void bl_redundancy_free(void)
{
    for (unsigned k = 0; k < red.levels; k++) bl_comm_disown(&red.level[k].comm);
    free(red.domain);
    free(red.buffers);
    memset(&red, 0, sizeof red);
}

/* --- a group makes what is missing of its files; ranks of `comm` are the members in order --- */

typedef struct stripe {
    uint32_t targets, target[BL_ERASURE_PARITY]; /* members whose symbol is missing */
    uint32_t source[BL_ERASURE_MEMBERS];
    uint8_t coefficient[BL_ERASURE_MEMBERS];     /* for us, when we are one of the targets */
    uint8_t is_source, is_target;
    char *in, *out;                              /* [segments][chunk], [chunk] */
    MPI_Request *coming;                         /* [segments] */
} stripe;

typedef struct exchange {
    MPI_Comm comm;
    const bl_parity *parity;
    bl_symbols *symbols;
    stripe stripe[BL_ERASURE_MEMBERS];
    size_t chunk;
    char *buffers, *sum;
    MPI_Request *request;                        /* all receives, then all sends */
    uint32_t receives, sends;
    int rc;
    bl_error *err;
} exchange;

static uint32_t segments_of(const exchange *x)
{
    return x->parity->code.members - x->parity->code.parity;
}

/* Who makes what of what; -1 when too much is missing, for all members alike. */
static int plan(exchange *x, const uint8_t *has_snapshot, const uint8_t *has_parity)
{
    const bl_erasure *code = &x->parity->code;
    for (uint32_t s = 0; s < code->members; s++) {
        stripe *p = &x->stripe[s];
        uint8_t available[BL_ERASURE_MEMBERS], others[BL_ERASURE_MEMBERS];
        uint32_t index;
        for (uint32_t m = 0; m < code->members; m++) {
            available[m] = bl_erasure_is_parity(code, s, m, &index) ? has_parity[m] : has_snapshot[m];
            if (available[m]) continue;
            if (p->targets == code->parity) return -1;
            p->target[p->targets++] = m;
        }
        for (uint32_t t = 0; t < p->targets; t++) {
            int ours = p->target[t] == x->parity->me;
            if (bl_erasure_solve(code, s, available, p->target[t], p->source, ours ? p->coefficient : others)) return -1;
            p->is_target |= (uint8_t)ours;
        }
        for (uint32_t i = 0; p->targets && i < segments_of(x); i++) p->is_source |= p->source[i] == x->parity->me;
        x->receives += p->is_target ? segments_of(x) : 0;
        x->sends += p->is_source ? p->targets : 0;
    }
    return 0;
}

static int make_room(exchange *x)
{
    uint32_t buffers = x->receives + x->sends + 1, used = 1, request = 0;
    x->chunk = BUFFERS_MOST / buffers / BL_ERASURE_ALIGN * BL_ERASURE_ALIGN;
    if (x->chunk > CHUNK_MOST) x->chunk = CHUNK_MOST;
    if (x->chunk < CHUNK_LEAST) x->chunk = CHUNK_LEAST;
    /* The least that members would choose for themselves has to be everybody's. */
    uint64_t mine = x->chunk, least;
    PMPI_Allreduce(&mine, &least, 1, MPI_UINT64_T, MPI_MIN, x->comm);
    x->chunk = (size_t)least;
    if (red.buffer_bytes < buffers * x->chunk) {
        free(red.buffers);
        red.buffers = malloc(buffers * x->chunk);
        red.buffer_bytes = red.buffers ? buffers * x->chunk : 0;
    }
    x->buffers = red.buffers;
    x->request = malloc((x->receives + x->sends + 1) * sizeof *x->request);
    if (!x->buffers || !x->request) return -1;
    x->sum = x->buffers;
    for (uint32_t s = 0; s < x->parity->code.members; s++) {
        stripe *p = &x->stripe[s];
        p->in = x->buffers + used * x->chunk;
        p->coming = x->request + request;
        if (p->is_target) used += segments_of(x), request += segments_of(x);
        p->out = x->buffers + used * x->chunk;
        if (p->is_source) used++;
    }
    return 0;
}

static void note(exchange *x, int rc)
{
    if (x->rc == BELAY_OK) x->rc = rc; /* the others still wait for what we have to send */
}

static void one_chunk(exchange *x, uint64_t at)
{
    const bl_erasure *code = &x->parity->code;
    size_t bytes = code->segment - at < x->chunk ? (size_t)(code->segment - at) : x->chunk;
    MPI_Request *sending = x->request + x->receives;
    bl_error ignored, *err = x->rc == BELAY_OK ? x->err : &ignored;
    for (uint32_t s = 0; s < code->members; s++)
        for (uint32_t i = 0; x->stripe[s].is_target && i < segments_of(x); i++)
            PMPI_Irecv(x->stripe[s].in + i * x->chunk, (int)bytes, MPI_BYTE, (int)x->stripe[s].source[i], (int)s, x->comm, &x->stripe[s].coming[i]);
    for (uint32_t s = 0; s < code->members; s++) {
        stripe *p = &x->stripe[s];
        if (!p->is_source) continue;
        note(x, bl_symbols_get(x->symbols, s, at, p->out, bytes, err));
        for (uint32_t t = 0; t < p->targets; t++) PMPI_Isend(p->out, (int)bytes, MPI_BYTE, (int)p->target[t], (int)s, x->comm, sending++);
    }
    for (uint32_t s = 0; s < code->members; s++) {
        stripe *p = &x->stripe[s];
        if (!p->is_target) continue;
        const char *sum = p->in; /* of one symbol, as it is */
        if (segments_of(x) > 1 || p->coefficient[0] != 1) {
            memset(x->sum, 0, bytes);
            sum = x->sum;
        }
        for (uint32_t i = 0; i < segments_of(x); i++) {
            PMPI_Wait(&p->coming[i], MPI_STATUS_IGNORE);
            if (sum == x->sum) bl_erasure_add(p->coefficient[i], p->in + i * x->chunk, x->sum, bytes);
        }
        note(x, bl_symbols_put(x->symbols, s, at, sum, bytes, x->rc == BELAY_OK ? x->err : &ignored));
    }
    PMPI_Waitall((int)x->sends, x->request + x->receives, MPI_STATUSES_IGNORE);
}

static int all_of(MPI_Comm comm, int good)
{
    int all;
    PMPI_Allreduce(&good, &all, 1, MPI_INT, MPI_MIN, comm);
    return all;
}

static int elsewhere(bl_error *err)
{
    return bl_fail(err, BELAY_ERR_SYSTEM, "another rank of its group could not do its part");
}

/* Collective in `comm`. */
static int make_missing(MPI_Comm comm, const bl_parity *parity, const uint8_t *has_snapshot, const uint8_t *has_parity, bl_error *err)
{
    exchange *x = calloc(1, sizeof *x);
    if (!all_of(comm, x != NULL)) {
        free(x);
        return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for parity");
    }
    x->comm = comm;
    x->parity = parity;
    x->err = err;
    int rc = BELAY_OK;
    if (plan(x, has_snapshot, has_parity))
        rc = bl_fail(err, BELAY_ERR_DAMAGED, "more is lost in its group than the %" PRIu32 " its parity makes up for", parity->code.parity);
    if (rc == BELAY_OK && !all_of(comm, make_room(x) == 0)) rc = bl_fail(err, BELAY_ERR_MEMORY, "out of memory for parity");
    if (rc == BELAY_OK) rc = bl_symbols_open(bl_rt.store, parity, !has_snapshot[parity->me], !has_parity[parity->me], &x->symbols, err);
    if (!all_of(comm, rc == BELAY_OK)) {
        if (rc == BELAY_OK) rc = elsewhere(err);
    } else {
        for (uint64_t at = 0; at < parity->code.segment; at += x->chunk) one_chunk(x, at);
        rc = x->rc;
        if (!all_of(comm, rc == BELAY_OK) && rc == BELAY_OK) rc = elsewhere(err);
    }
    if (x->symbols && rc == BELAY_OK) rc = bl_symbols_finish(x->symbols, err);
    else if (x->symbols) bl_symbols_cancel(x->symbols);
    if (!all_of(comm, rc == BELAY_OK) && rc == BELAY_OK) rc = elsewhere(err);
    free(x->request);
    free(x);
    return rc;
}

/* --- after a commit --- */

static const bl_level *setting_of(unsigned k)
{
    return &bl_rt.settings.level[k];
}

/* Of the levels whose turn it is, the one whose turn is rarest; -1: none. */
static int whose_turn(uint64_t ordinal)
{
    int chosen = -1;
    for (unsigned k = 0; k < red.levels; k++)
        if (ordinal % setting_of(k)->every == 0 && (chosen < 0 || setting_of(k)->every >= setting_of((unsigned)chosen)->every)) chosen = (int)k;
    return chosen;
}

static int make_parity(unsigned k, uint32_t checkpoint, bl_digest digest, bl_error *err)
{
    uint8_t has_snapshot[BL_ERASURE_MEMBERS], has_parity[BL_ERASURE_MEMBERS] = { 0 };
    bl_parity *p = calloc(1, sizeof *p);
    int members, me, rc;
    MPI_Comm comm = red.level[k].comm;
    bl_parity_member mine = { .rank = (uint32_t)bl_rt.rank, .digest = digest };
    rc = p ? bl_snapshot_size(bl_rt.store, mine.rank, checkpoint, &mine.bytes, err) : bl_fail(err, BELAY_ERR_MEMORY, "out of memory for parity");
    if (!all_of(comm, rc == BELAY_OK)) {
        free(p);
        return rc ? rc : elsewhere(err);
    }
    PMPI_Comm_size(comm, &members);
    PMPI_Comm_rank(comm, &me);
    PMPI_Allgather(&mine, (int)sizeof mine, MPI_BYTE, p->member, (int)sizeof mine, MPI_BYTE, comm);
    uint64_t longest = 0;
    for (int m = 0; m < members; m++)
        if (p->member[m].bytes > longest) longest = p->member[m].bytes;
    p->checkpoint = checkpoint;
    p->me = (uint32_t)me;
    p->code = (bl_erasure){ (uint32_t)members, setting_of(k)->parity, bl_erasure_segment((uint32_t)members, setting_of(k)->parity, longest) };
    memset(has_snapshot, 1, sizeof has_snapshot);
    rc = make_missing(comm, p, has_snapshot, has_parity, err);
    free(p);
    return rc;
}

static void protect(unsigned k, uint32_t checkpoint, bl_digest digest)
{
    bl_error err = { 0, "" };
    int rc = make_parity(k, checkpoint, digest, &err);
    if (rc == BELAY_ERR_STALE) bl_end_job(&err);
    if (rc) bl_say("rank %d: checkpoint %" PRIu32 " has no redundancy: %s; the last one that has stays", bl_rt.rank, checkpoint, err.text);
    if (all_of(bl_rt.private_comm, rc == BELAY_OK)) red.level[k].protected = checkpoint;
}

void bl_redundancy_protect(uint32_t checkpoint, bl_digest digest)
{
    int k = whose_turn(++red.committed);
    if (k >= 0) protect((unsigned)k, checkpoint, digest);
}

uint32_t bl_redundancy_oldest(void)
{
    uint32_t oldest = UINT32_MAX;
    for (unsigned k = 0; k < red.levels; k++)
        if (red.level[k].protected && red.level[k].protected < oldest) oldest = red.level[k].protected;
    return oldest;
}

int bl_redundancy_promised(void)
{
    return red.promised;
}

void bl_redundancy_restored(uint32_t checkpoint, bl_digest digest)
{
    unsigned usual = 0;
    for (unsigned k = 1; k < red.levels; k++)
        if (setting_of(k)->every < setting_of(usual)->every) usual = k;
    if (red.levels && !red.there) protect(usual, checkpoint, digest);
    for (unsigned k = 0; k < red.levels && red.there; k++) red.level[k].protected = checkpoint; /* what older ones protect is not needed any more */
}

/* --- at a restart: what has to come from another node --- */

enum { TAG_BYTES, TAG_DATA, TAG_DONE };

static void send_file(int to, const char *name)
{
    bl_error err = { 0, "" };
    uint64_t bytes = 0;
    char *chunk = malloc(CHUNK_MOST);
    int fd = chunk ? bl_local_open(bl_rt.store, (uint32_t)to, name, &bytes, &err) : -1, good = fd >= 0, kept;
    if (!good) bytes = 0;
    PMPI_Send(&bytes, 1, MPI_UINT64_T, to, TAG_BYTES, bl_rt.private_comm);
    for (uint64_t at = 0; at < bytes; at += CHUNK_MOST) {
        size_t part = bytes - at < CHUNK_MOST ? (size_t)(bytes - at) : CHUNK_MOST, there = 0;
        for (ssize_t n = 1; n > 0 && there < part; there += (size_t)(n > 0 ? n : 0)) n = pread(fd, chunk + there, part - there, (off_t)(at + there));
        good &= there == part;
        PMPI_Send(chunk, (int)part, MPI_BYTE, to, TAG_DATA, bl_rt.private_comm);
    }
    PMPI_Send(&good, 1, MPI_INT, to, TAG_DONE, bl_rt.private_comm);
    PMPI_Recv(&kept, 1, MPI_INT, to, TAG_DONE, bl_rt.private_comm, MPI_STATUS_IGNORE);
    if (kept) bl_local_remove(bl_rt.store, (uint32_t)to, name);
    if (fd >= 0) close(fd);
    free(chunk);
}

static void receive_file(int from, const char *name)
{
    bl_error err = { 0, "" };
    uint64_t bytes;
    char *chunk = malloc(CHUNK_MOST);
    int fd = chunk ? bl_local_create(bl_rt.store, name, &err) : -1, good = fd >= 0, theirs;
    PMPI_Recv(&bytes, 1, MPI_UINT64_T, from, TAG_BYTES, bl_rt.private_comm, MPI_STATUS_IGNORE);
    if (bytes && !chunk) {
        bl_fail(&err, BELAY_ERR_MEMORY, "out of memory for what comes from another node");
        bl_end_job(&err);
    }
    for (uint64_t at = 0; at < bytes; at += CHUNK_MOST) {
        size_t part = bytes - at < CHUNK_MOST ? (size_t)(bytes - at) : CHUNK_MOST, there = 0;
        PMPI_Recv(chunk, (int)part, MPI_BYTE, from, TAG_DATA, bl_rt.private_comm, MPI_STATUS_IGNORE);
        for (ssize_t n = 1; good && n > 0 && there < part; there += (size_t)(n > 0 ? n : 0)) n = pwrite(fd, chunk + there, part - there, (off_t)(at + there));
        good &= there == part;
    }
    PMPI_Recv(&theirs, 1, MPI_INT, from, TAG_DONE, bl_rt.private_comm, MPI_STATUS_IGNORE);
    good &= theirs;
    if (fd >= 0 && bl_local_keep(bl_rt.store, name, fd, good, &err)) good = 0;
    if (err.text[0]) bl_say("rank %d: %s", bl_rt.rank, err.text);
    if (good && bl_rt.settings.verbose) bl_say("rank %d: %s brought from where rank %d runs", bl_rt.rank, name, from);
    PMPI_Send(&good, 1, MPI_INT, from, TAG_DONE, bl_rt.private_comm);
    free(chunk);
}

/* One file of each rank, from the lowest rank that sees it on its node. */
static void bring(const char *name)
{
    int *room = malloc(2 * sizeof *room * ranks()), *have = room, *holder = room + ranks();
    if (!all_of(bl_rt.private_comm, room != NULL)) {
        free(room);
        return; /* it will be missing */
    }
    int mine = bl_local_has(bl_rt.store, (uint32_t)bl_rt.rank, name);
    for (int r = 0; r < bl_rt.ranks; r++) holder[r] = bl_local_has(bl_rt.store, (uint32_t)r, name) ? bl_rt.rank : INT_MAX;
    PMPI_Allgather(&mine, 1, MPI_INT, have, 1, MPI_INT, bl_rt.private_comm);
    PMPI_Allreduce(MPI_IN_PLACE, holder, bl_rt.ranks, MPI_INT, MPI_MIN, bl_rt.private_comm);
    for (int r = 0; r < bl_rt.ranks; r++) {
        if (have[r] || holder[r] == INT_MAX) continue;
        if (holder[r] == bl_rt.rank) send_file(r, name);
        if (r == bl_rt.rank) receive_file(holder[r], name);
    }
    free(room);
}

void bl_redundancy_fetch(uint32_t checkpoint)
{
    char name[32];
    if (!bl_rt.settings.local_dir[0]) return;
    snprintf(name, sizeof name, "ckpt-%06" PRIu32 ".h5", checkpoint);
    bring(name);
    snprintf(name, sizeof name, "parity-%06" PRIu32, checkpoint);
    bring(name);
}

/* --- at a restart: what has to be made again --- */

/* Whatever members of the group know what the group is tell it to the others: 1 when somebody does. */
static int learn(MPI_Comm comm, bl_parity *parity, int knows)
{
    int members, me, first;
    PMPI_Comm_size(comm, &members);
    PMPI_Comm_rank(comm, &me);
    int mine = knows ? me : INT_MAX;
    PMPI_Allreduce(&mine, &first, 1, MPI_INT, MPI_MIN, comm);
    if (first == INT_MAX) return 0;
    bl_parity *theirs = malloc(sizeof *theirs);
    if (!all_of(comm, theirs != NULL)) {
        free(theirs);
        return 0;
    }
    if (me == first) *theirs = *parity;
    PMPI_Bcast(theirs, (int)sizeof *theirs, MPI_BYTE, first, comm);
    int same = !knows || bl_parity_agree(parity, theirs);
    *parity = *theirs;
    parity->me = (uint32_t)me;
    free(theirs);
    return all_of(comm, same && parity->code.members == (uint32_t)members && parity->member[me].rank == (uint32_t)bl_rt.rank);
}

static int mend_group(MPI_Comm comm, bl_parity *parity, int knows, int good)
{
    uint8_t mine[2] = { (uint8_t)good, (uint8_t)knows }, all[2 * BL_ERASURE_MEMBERS], has_snapshot[BL_ERASURE_MEMBERS], has_parity[BL_ERASURE_MEMBERS];
    bl_error err = { 0, "" };
    if (!learn(comm, parity, knows) || all_of(comm, good && knows)) return 0;
    if (knows && bl_parity_verify(bl_rt.store, (uint32_t)bl_rt.rank, parity->checkpoint, &err)) {
        bl_say("rank %d: %s", bl_rt.rank, err.text);
        mine[1] = 0;
    }
    PMPI_Allgather(mine, 2, MPI_UINT8_T, all, 2, MPI_UINT8_T, comm);
    for (uint32_t m = 0; m < parity->code.members; m++) {
        has_snapshot[m] = all[2 * m];
        has_parity[m] = all[2 * m + 1];
    }
    int rc = make_missing(comm, parity, has_snapshot, has_parity, &err);
    if (rc && !mine[0]) bl_say("rank %d: its snapshot of checkpoint %" PRIu32 " cannot be made again: %s", bl_rt.rank, parity->checkpoint, err.text);
    if (rc == BELAY_OK && (!mine[0] || !mine[1]) && bl_rt.settings.verbose)
        bl_say("rank %d: %s of checkpoint %" PRIu32 " made again from the %" PRIu32 " others of its group", bl_rt.rank,
               mine[0] ? "parity" : mine[1] ? "snapshot" : "snapshot and parity", parity->checkpoint, parity->code.members - 1);
    return rc == BELAY_OK && !mine[0];
}

int bl_redundancy_mend(uint32_t checkpoint, int good)
{
    bl_parity *parity = calloc(1, sizeof *parity);
    int *group = calloc(ranks(), sizeof *group), made = 0;
    bl_error err = { 0, "" };
    MPI_Comm comm;
    if (!all_of(bl_rt.private_comm, parity && group)) {
        free(parity);
        free(group);
        return 0;
    }
    int rc = bl_parity_read(bl_rt.store, (uint32_t)bl_rt.rank, checkpoint, parity, &err), knows = rc == BELAY_OK;
    if (rc && rc != BELAY_ERR_NONE) bl_say("rank %d: %s", bl_rt.rank, err.text);
    for (uint32_t m = 0; knows && m < parity->code.members; m++) group[parity->member[m].rank] = (int)parity->member[0].rank + 1;
    PMPI_Allreduce(MPI_IN_PLACE, group, bl_rt.ranks, MPI_INT, MPI_MAX, bl_rt.private_comm);
    red.there = 0;
    for (int r = 0; r < bl_rt.ranks; r++) red.there |= group[r] != 0;
    red.promised |= red.there || all_of(bl_rt.private_comm, !good);
    PMPI_Comm_split(bl_rt.private_comm, group[bl_rt.rank] ? group[bl_rt.rank] : MPI_UNDEFINED, bl_rt.rank, &comm);
    bl_comm_owned(comm);
    if (comm != MPI_COMM_NULL) {
        made = mend_group(comm, parity, knows, good);
        bl_comm_disown(&comm);
    }
    free(parity);
    free(group);
    return made;
}
