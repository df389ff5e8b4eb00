/* recover.c - which checkpoint the job continues from, agreed in MPI_Init, and its restoration in belay_recover. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mpi/checkpoint.h"
#include "mpi/log.h"
#include "mpi/redundancy.h"
#include "recovery/past.h"
#include "store/whole.h"
#include "util/clock.h"

static int resuming; /* some rank has a checkpoint to restore */

typedef struct candidate { /* what rank 0 tells about the next line to try */
    int rc;                /* BELAY_OK, BELAY_ERR_NONE: from the start, or an error that ends the job */
    uint32_t checkpoint;
    double compute_s;
} candidate;

static void note(void *context, const char *sentence)
{
    (void)context;
    bl_say("%s", sentence);
}

/* Without a commit record snapshots are nothing to a coordinated job; but they may be all that another kind of job has. */
static int other_protocol(bl_error *err)
{
    int found = 0;
    char protocol[16] = "";
    for (uint32_t rank = 0; rank < (uint32_t)bl_rt.ranks && !found; rank++) {
        uint32_t *numbers;
        size_t count;
        bl_reader *reader;
        const bl_snapshot *s;
        bl_error ignored;
        if (bl_snapshot_list(bl_rt.store, rank, &numbers, &count, &ignored)) continue;
        if (count && bl_snapshot_open(bl_rt.store, rank, numbers[count - 1], NULL, &reader, &s, &ignored) == BELAY_OK) {
            found = bl_snapshot_alone(s->protocol);
            memcpy(protocol, s->protocol, sizeof protocol);
            bl_snapshot_close(reader);
        }
        free(numbers);
    }
    if (!found) return BELAY_ERR_NONE;
    return bl_fail(err, BELAY_ERR_REFUSED, "%s holds a job with %s checkpoints: go on with checkpoint=%s, or start anew with --fresh",
                   bl_store_dir(bl_rt.store), protocol, protocol);
}

static candidate propose(uint32_t below, bl_digest **digests, bl_error *err)
{
    bl_commit_record record = { 0 };
    candidate c = { 0 };
    c.rc = bl_commit_newest(bl_rt.store, below, &record, note, NULL, err);
    if (c.rc == BELAY_ERR_NONE && bl_rt.incarnation > 0) c.rc = other_protocol(err);
    if (c.rc == BELAY_OK) {
        c.checkpoint = record.checkpoint;
        c.compute_s = record.compute_s;
        *digests = record.digests;
        record.digests = NULL;
        bl_commit_clear(&record);
    }
    return c;
}

int bl_open_and_verify(uint32_t checkpoint, const bl_digest *digest, bl_error *err)
{
    int rc = bl_snapshot_open(bl_rt.store, (uint32_t)bl_rt.rank, checkpoint, digest, &bl_rt.reader, &bl_rt.restore, err);
    if (rc == BELAY_OK) rc = bl_snapshot_verify(bl_rt.reader, err);
    return rc;
}

void bl_give_up_snapshot(uint32_t checkpoint, const bl_error *why)
{
    char where[BL_PATH_MAX] = "";
    bl_error err = { 0, "" };
    int rc = bl_snapshot_quarantine(bl_rt.store, (uint32_t)bl_rt.rank, checkpoint, where, sizeof where, &err);
    bl_say("rank %d: checkpoint %" PRIu32 " cannot be used: %s%s%s", bl_rt.rank, checkpoint, why->text,
           rc == BELAY_OK ? "; kept as " : "", rc == BELAY_OK ? where : "");
}

void bl_close_reader(void)
{
    if (bl_rt.reader) bl_snapshot_close(bl_rt.reader);
    bl_rt.reader = NULL;
    bl_rt.restore = NULL;
}

static int anybody(int mine)
{
    int all;
    PMPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_MAX, bl_rt.private_comm);
    return all;
}

/* Collective: what is missing or damaged of a committed checkpoint is made again, if its redundancy allows. */
static int mend(uint32_t checkpoint, const bl_digest *digest, int rc, int *given_up, bl_error *err)
{
    *given_up = rc == BELAY_ERR_DAMAGED || rc == BELAY_ERR_FOREIGN;
    if (*given_up) {
        bl_close_reader();
        bl_give_up_snapshot(checkpoint, err);
    }
    if (!bl_redundancy_mend(checkpoint, rc == BELAY_OK)) return rc;
    return bl_open_and_verify(checkpoint, digest, err);
}

/* Tries one committed checkpoint on all ranks.  Returns the worst code of all ranks: the same on each. */
static int try_line(const candidate *c, bl_digest *digests, bl_error *err)
{
    bl_digest mine = { 0, 0 };
    PMPI_Scatter(digests, 2, MPI_UINT64_T, &mine, 2, MPI_UINT64_T, 0, bl_rt.private_comm);
    bl_redundancy_fetch(c->checkpoint);
    int rc = bl_open_and_verify(c->checkpoint, &mine, err), worst, given_up = 0;
    if (anybody(bl_past_survivable(rc)) || bl_rt.settings.levels) rc = mend(c->checkpoint, &mine, rc, &given_up, err);
    /* Codes are negative; one that is not survivable counts as worse than any damage. */
    int badness = rc == BELAY_OK ? 0 : bl_past_survivable(rc) ? 1 : 2;
    PMPI_Allreduce(&badness, &worst, 1, MPI_INT, MPI_MAX, bl_rt.private_comm);
    if (badness == 1) {
        bl_close_reader();
        if (!given_up) bl_give_up_snapshot(c->checkpoint, err);
    }
    if (badness == 2) {
        err->code = rc;
        bl_end_job(err);
    }
    if (worst) bl_close_reader();
    else bl_redundancy_restored(c->checkpoint, mine);
    return worst ? BELAY_ERR_DAMAGED : BELAY_OK;
}

/* What a node has may come back with it, and then nothing is lost: so it is not begun anew over that. */
static void nothing_to_restore(uint32_t newest, bl_error *err)
{
    if (bl_rt.rank) return;
    bl_fail(err, BELAY_ERR_REFUSED, "no checkpoint in %s can be restored (checkpoint %" PRIu32 " is the newest), since more nodes are missing than its redundancy makes up for; "
            "when they are back start the job again, or start it anew with --fresh", bl_rt.settings.dir, newest);
    bl_end_job(err);
}

/* Their records must not count among the `keep` newest: that would retire the one we are falling back to. */
static void give_up_records(uint32_t from, uint32_t below, bl_error *err)
{
    uint32_t *numbers;
    size_t count;
    if (bl_rt.rank || from == UINT32_MAX) return;
    int rc = bl_commit_list(bl_rt.store, &numbers, &count, err);
    for (size_t k = 0; rc == BELAY_OK && k < count; k++)
        if (numbers[k] <= from && numbers[k] > below) rc = bl_commit_quarantine(bl_rt.store, numbers[k], err);
    if (rc) bl_end_job(err);
    free(numbers);
}

static int choose(bl_error *err)
{
    uint32_t below = UINT32_MAX, newest = UINT32_MAX; /* newest: of those that could not be restored */
    for (;;) {
        bl_digest *digests = NULL;
        candidate c = { 0 };
        if (bl_rt.rank == 0) c = propose(below, &digests, err);
        PMPI_Bcast(&c, (int)sizeof c, MPI_BYTE, 0, bl_rt.private_comm);
        if (c.rc == BELAY_ERR_NONE) { /* from the start */
            if (newest != UINT32_MAX && bl_rt.settings.local_dir[0] && bl_redundancy_promised()) {
                nothing_to_restore(newest, err);
                PMPI_Barrier(bl_rt.private_comm); /* rank 0 ends the job */
            }
            give_up_records(newest, 0, err);
            if (newest != UINT32_MAX && bl_rt.rank == 0) bl_say("no checkpoint can be restored: from the start");
            return BELAY_OK;
        }
        if (c.rc != BELAY_OK) {
            if (bl_rt.rank == 0) bl_end_job(err);
            PMPI_Barrier(bl_rt.private_comm); /* rank 0 ends the job */
            return c.rc;
        }
        int rc = try_line(&c, digests, err);
        free(digests);
        if (rc == BELAY_OK) {
            bl_rt.checkpoint = c.checkpoint;
            give_up_records(newest, c.checkpoint, err);
            bl_rt.compute_base_s = bl_rt.compute_s = c.compute_s;
            return BELAY_OK;
        }
        below = c.checkpoint;
        if (newest == UINT32_MAX) newest = c.checkpoint;
        if (bl_rt.rank == 0) bl_say("falling back to the checkpoint before %" PRIu32, c.checkpoint);
    }
}

int bl_recovery_choose(bl_error *err)
{
    int rc = bl_settings_alone(&bl_rt.settings) ? bl_independent_choose(err) : choose(err);
    int mine = bl_rt.restore != NULL;
    if (bl_rejoining) resuming = mine;
    else if (rc == BELAY_OK) PMPI_Allreduce(&mine, &resuming, 1, MPI_INT, MPI_MAX, bl_rt.private_comm);
    return rc;
}

static const bl_variable *saved(const char *name)
{
    if (!bl_rt.restore) return NULL;
    for (size_t i = 0; i < bl_rt.restore->nvariables; i++)
        if (!strcmp(bl_rt.restore->variables[i].name, name)) return &bl_rt.restore->variables[i];
    return NULL;
}

int belay_saved_shape(const char *name, int *dims, size_t shape[BELAY_MAX_DIMS])
{
    const bl_variable *v = bl_rt.on && name ? saved(name) : NULL;
    if (!v) return BELAY_ERR_NONE;
    *dims = v->dims;
    for (int d = 0; d < v->dims; d++) shape[d] = (size_t)v->shape[d];
    return BELAY_OK;
}

static void describe(const bl_variable *v, char *text, size_t size)
{
    static const char *const names[] = { "bytes", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
                                         "float32", "float64", "complex64", "complex128" };
    size_t used = (size_t)snprintf(text, size, "%s[", names[v->type]);
    for (int d = 0; d < v->dims && used < size; d++)
        used += (size_t)snprintf(text + used, size - used, "%s%" PRIu64, d ? "," : "", v->shape[d]);
    if (used < size) snprintf(text + used, size - used, "]");
}

static int same(const bl_variable *a, const bl_variable *b)
{
    if (bl_file_of(a->name)) return a->type == b->type && a->dims == b->dims; /* of any length */
    if (a->type != b->type || a->element != b->element || a->dims != b->dims) return 0;
    for (int d = 0; d < a->dims; d++)
        if (a->shape[d] != b->shape[d]) return 0;
    return 1;
}

static void add(bl_error *err, const char *sentence)
{
    size_t used = strlen(err->text);
    snprintf(err->text + used, sizeof err->text - used, "%s%s", used ? "; " : "", sentence);
}

/* Names every variable that is missing, extra or different; number of them. */
static int compare(bl_error *err)
{
    char line[400], here[120], there[120];
    int differences = 0;
    err->text[0] = '\0';
    for (size_t i = 0; i < bl_rt.restore->nvariables; i++) {
        const bl_variable *v = &bl_rt.restore->variables[i];
        int at = bl_variable_find(v->name);
        if (at >= 0 && same(v, &bl_rt.variable[at])) continue;
        describe(v, there, sizeof there);
        if (at < 0) {
            snprintf(line, sizeof line, "'%s' %s is in the checkpoint but not protected", v->name, there);
        } else {
            describe(&bl_rt.variable[at], here, sizeof here);
            snprintf(line, sizeof line, "'%s' is %s here but %s in the checkpoint", v->name, here, there);
        }
        add(err, line);
        differences++;
    }
    for (unsigned i = 0; i < bl_rt.variables; i++) {
        if (saved(bl_rt.variable[i].name)) continue;
        snprintf(line, sizeof line, "'%s' is protected but not in the checkpoint", bl_rt.variable[i].name);
        add(err, line);
        differences++;
    }
    if (differences) {
        char all[sizeof err->text];
        strcpy(all, err->text);
        bl_fail(err, BELAY_ERR_MISMATCH, "checkpoint %" PRIu32 " of %s does not fit this program: %.600s",
                bl_rt.restore->checkpoint, bl_store_dir(bl_rt.store), all);
    }
    return differences;
}

static int restore_file(const char *name, const char *path, bl_error *err)
{
    size_t bytes = (size_t)bl_variable_bytes(saved(name));
    char *data = malloc(bytes + 1);
    if (!data) return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for the %zu bytes of file '%s'", bytes, name);
    int rc = bl_snapshot_read(bl_rt.reader, name, data, err);
    if (rc == BELAY_OK) rc = bl_file_write_back(path, data, bytes, err);
    free(data);
    return rc;
}

static int restore(bl_error *err)
{
    for (unsigned i = 0; i < bl_rt.variables; i++) {
        const char *name = bl_rt.variable[i].name, *path = bl_file_of(name);
        int rc = path ? restore_file(name, path, err) : bl_snapshot_read(bl_rt.reader, name, bl_rt.variable[i].data, err);
        if (rc) return rc;
    }
    return BELAY_OK;
}

static int agree(int mine)
{
    int all;
    if (bl_rejoining) return mine;
    PMPI_Allreduce(&mine, &all, 1, MPI_INT, MPI_MAX, bl_rt.private_comm);
    return all;
}

/* Someone cannot restore.  By default the job ends here; a rank that has nothing to say waits for the one that has. */
static int cannot_restore(int mine, bl_error *err)
{
    if (!bl_rt.settings.errors_return) {
        if (mine) bl_end_job(err);
        PMPI_Barrier(bl_rt.private_comm);
    }
    if (mine) return bl_failed(err->code, err);
    bl_fail(err, BELAY_ERR_MISMATCH, "another rank cannot restore checkpoint %" PRIu32, bl_rt.checkpoint);
    return bl_failed(BELAY_ERR_MISMATCH, err);
}

static void resume_counting(void)
{
    bl_live_header *h = bl_rt.live.header;
    h->safe_point = bl_rt.restore->safe_point - 1; /* UINT64_MAX when it was the first */
    h->checkpoint_safe_point = bl_rt.restore->safe_point;
    h->checkpoint_ns = bl_now_ns();
}

/* Of independent checkpoints every rank has its own; `belay run` has said the line. */
static void tell_resumed(const belay_status *s)
{
    if (bl_rt.rank == 0 && bl_rt.settings.verbose && bl_rt.settings.protocol == BL_PROTOCOL_COORDINATED)
        bl_say("resumed from checkpoint %d at safe point %" PRIu64, s->checkpoint, s->safe_point);
}

/* --- from the checkpoint of another job --- */

/* Fills the variables from one of its checkpoints; the worst code of all ranks. */
static int fill_from(const bl_whole *w, bl_error *err)
{
    int rc = BELAY_OK;
    for (unsigned i = 0; rc == BELAY_OK && i < bl_rt.variables; i++)
        rc = bl_file_of(bl_rt.variable[i].name) ? bl_fail(err, BELAY_ERR_MISMATCH, "'%s' is a file of one rank: with another number of ranks it has no owner; leave it out with belay_unprotect", bl_rt.variable[i].name)
                                                : bl_whole_read(w, &bl_rt.variable[i], err);
    int badness = rc == BELAY_OK ? 0 : bl_past_survivable(rc) ? 1 : 2, worst = anybody(badness);
    if (badness && badness == worst) bl_say("rank %d: %s", bl_rt.rank, err->text);
    return worst == 0 ? BELAY_OK : worst == 1 ? BELAY_ERR_DAMAGED : BELAY_ERR_MISMATCH;
}

static void begin_from(belay_status *s)
{
    uint32_t below = UINT32_MAX, checkpoint;
    for (;;) {
        bl_error err = { 0, "" };
        bl_whole w;
        int rc = bl_whole_open(bl_rt.settings.from, below, &w, &err);
        if (anybody(rc != BELAY_OK)) {
            if (rc) bl_end_job(&err);
            PMPI_Barrier(bl_rt.private_comm); /* another rank ends the job */
        }
        rc = fill_from(&w, &err);
        s->safe_point = w.safe_point;
        s->checkpoint = (int)(checkpoint = w.record.checkpoint);
        bl_whole_close(&w);
        if (rc == BELAY_OK) break;
        if (rc != BELAY_ERR_DAMAGED) { /* what does not fit does not fit an older one either */
            bl_fail(&err, BELAY_ERR_REFUSED, "checkpoint %" PRIu32 " of %s cannot be restored here; the reason is above", checkpoint, bl_rt.settings.from);
            if (bl_rt.rank == 0) bl_end_job(&err);
            PMPI_Barrier(bl_rt.private_comm);
        }
        below = checkpoint;
    }
    s->resumed = 1;
    bl_rt.live.header->safe_point = s->safe_point - 1;
    bl_rt.live.header->checkpoint_safe_point = s->safe_point;
    bl_rt.live.header->checkpoint_ns = bl_now_ns();
    if (bl_rt.rank == 0 && bl_rt.settings.verbose) bl_say("begins with checkpoint %d of %s, at safe point %" PRIu64, s->checkpoint, bl_rt.settings.from, s->safe_point);
}

int belay_recover(belay_status *status)
{
    bl_error err = { 0, "" };
    if (bl_rt.off) {
        if (status) *status = (belay_status){ 0 };
        return BELAY_OK;
    }
    if (!bl_rt.on || bl_rt.recovered) {
        bl_fail(&err, BELAY_ERR_ARG, bl_rt.on ? "belay_recover was called twice"
                                              : "belay_recover: call it between MPI_Init and MPI_Finalize");
        return bl_failed(BELAY_ERR_ARG, &err);
    }
    belay_status s = { .ranks = bl_rt.ranks, .incarnation = (int)bl_rt.incarnation };
    if (resuming || (bl_replaying && bl_rt.restore)) {
        bl_point(BL_POINT_recover);
        int mine = bl_rt.restore && compare(&err) != 0;
        if (agree(mine)) return cannot_restore(mine, &err);
        mine = bl_rt.restore && restore(&err) != BELAY_OK;
        if (agree(mine)) {
            bl_rt.settings.errors_return = 0; /* the variables are half overwritten: nobody can go on from here */
            return cannot_restore(mine, &err);
        }
        if (bl_rt.restore) {
            resume_counting();
            s.resumed = 1;
            s.checkpoint = (int)bl_rt.restore->checkpoint;
            s.safe_point = bl_rt.restore->safe_point;
        }
        tell_resumed(&s);
        bl_point(BL_POINT_restored);
    }
    if (!resuming && bl_rt.settings.from[0] && !bl_replaying) begin_from(&s);
    if (bl_rt.settings.protocol == BL_PROTOCOL_INDUCED) bl_resend(&err);
    if (!bl_log_alone() && bl_rt.settings.logging != BL_LOGGING_NONE) bl_log_begin(&err);
    bl_stage_prepare();
    bl_rt.attention = bl_rt.live.header->safe_point + 1;
    bl_rt.recovered = 1;
    if (status) *status = s;
    return BELAY_OK;
}
