#include "store/parity.h"
#include "tool/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/start.h"
#include "tool/text.h"
#include "tool/tool.h"
#include "util/settings.h"

/* The place of `number` in the ascending list: the first entry that is not smaller. */
static size_t place(const bl_view *view, uint32_t number)
{
    size_t low = 0, high = view->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (view->checkpoint[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bl_view_checkpoint *bl_view_find(const bl_view *view, uint32_t number)
{
    size_t k = place(view, number);
    return k < view->count && view->checkpoint[k].number == number ? &view->checkpoint[k] : NULL;
}

static int entry_of(bl_view *view, uint32_t number, bl_view_checkpoint **entry, bl_error *err)
{
    *entry = bl_view_find(view, number);
    if (*entry)
        return BELAY_OK;
    if (view->count == BL_VIEW_CHECKPOINTS_MAX)
        return bl_fail(err, BELAY_ERR_MEMORY, "%s holds more than %d checkpoints", bl_store_dir(view->store),
                       BL_VIEW_CHECKPOINTS_MAX);
    if (view->count == view->room) {
        size_t room = view->room ? 2 * view->room : 16;
        void *grown = realloc(view->checkpoint, room * sizeof *view->checkpoint);
        if (!grown)
            return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for the list of checkpoints");
        view->checkpoint = grown;
        view->room = room;
    }
    size_t k = place(view, number);
    *entry = &view->checkpoint[k];
    memmove(*entry + 1, *entry, (view->count++ - k) * sizeof **entry);
    **entry = (bl_view_checkpoint){.number = number, .state = BL_VIEW_INCOMPLETE};
    return BELAY_OK;
}

/* Anything but a regular file (a pipe would block) counts as not there. */
static FILE *open_copy(const bl_view *view, uint32_t number, char half)
{
    char path[BL_PATH_MAX + 64];
    struct stat status;
    snprintf(path, sizeof path, "%s/commit/%06u.%c", bl_store_dir(view->store), number, half);
    return lstat(path, &status) == 0 && S_ISREG(status.st_mode) ? fopen(path, "rb") : NULL;
}

/* bl_commit_read takes the good copy of two; whether both are there and equal only the bytes tell. */
static bool copies_differ(const bl_view *view, uint32_t number)
{
    FILE *copy[2] = {open_copy(view, number, 'a'), open_copy(view, number, 'b')};
    bool differ = !copy[0] || !copy[1];
    while (!differ) {
        char block[2][4096];
        size_t size[2];
        for (int k = 0; k < 2; k++)
            size[k] = fread(block[k], 1, sizeof block[k], copy[k]);
        differ = size[0] != size[1] || memcmp(block[0], block[1], size[0]) != 0 || ferror(copy[0]) || ferror(copy[1]);
        if (size[0] < sizeof block[0])
            break;
    }
    for (int k = 0; k < 2; k++)
        if (copy[k])
            fclose(copy[k]);
    return differ;
}

static void read_record(const bl_view *view, bl_view_checkpoint *c)
{
    bl_error err = {0, ""};
    int rc = bl_commit_read(view->store, c->number, &c->record, &err);
    if (rc == BELAY_OK && c->record.ranks != view->job->ranks) {
        rc = bl_fail(&err, BELAY_ERR_FOREIGN, "the record of checkpoint %u is of a job with %u ranks, this one has %u",
                     c->number, c->record.ranks, view->job->ranks);
        bl_commit_clear(&c->record);
    }
    if (rc != BELAY_OK) {
        c->state = BL_VIEW_DAMAGED;
        snprintf(c->note, sizeof c->note, "%.500s", bl_text_wash(err.text));
        return;
    }
    c->state = c->record.decision == BL_COMMITTED ? BL_VIEW_GOOD : BL_VIEW_ABORTED;
    c->copies_differ = copies_differ(view, c->number);
}

static int load_records(bl_view *view, bl_error *err)
{
    uint32_t *number = NULL;
    size_t count = 0;
    int rc = bl_commit_list(view->store, &number, &count, err);
    for (size_t k = 0; rc == BELAY_OK && k < count; k++) {
        bl_view_checkpoint *entry;
        rc = entry_of(view, number[k], &entry, err);
        if (rc == BELAY_OK)
            read_record(view, entry);
    }
    free(number);
    return rc;
}

static int add_file(bl_view *view, uint32_t rank, uint32_t number, uint64_t bytes, bl_error *err)
{
    if (view->files == view->file_room) {
        size_t room = view->file_room ? 2 * view->file_room : 64;
        void *grown = realloc(view->file, room * sizeof *view->file);
        if (!grown)
            return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for the list of snapshots");
        view->file = grown;
        view->file_room = room;
    }
    view->file[view->files++] = (bl_view_file){rank, number, bytes};
    return BELAY_OK;
}

static int note_file(void *context, enum bl_file kind, uint32_t rank, uint32_t number, const char *path, uint64_t bytes,
                     bl_error *err)
{
    bl_view *view = context;
    bl_view_checkpoint *entry;
    int rc = BELAY_OK;
    (void)path;
    switch (kind) {
    case BL_FILE_SNAPSHOT:
        rc = add_file(view, rank, number, bytes, err);
        if (rc == BELAY_OK)
            rc = entry_of(view, number, &entry, err);
        if (rc == BELAY_OK) {
            entry->present++;
            entry->bytes += bytes;
        }
        break;
    case BL_FILE_PARITY:
        rc = entry_of(view, number, &entry, err);
        if (rc == BELAY_OK) {
            entry->parities++;
            entry->bytes += bytes;
        }
        break;
    case BL_FILE_TABLE:
        view->tables++;
        if (number > view->newest_table)
            view->newest_table = number;
        break;
    case BL_FILE_LATE:
        view->lates++;
        view->late_bytes += bytes;
        break;
    case BL_FILE_TEMPORARY: view->temporaries++; break;
    case BL_FILE_QUARANTINED: view->quarantined++; break;
    }
    return rc;
}

static int by_place(const void *a, const void *b)
{
    const bl_view_file *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

/* Whether the snapshots are checkpoints by themselves: the first one that can be read says it, and where records are
 * they count. */
static bool is_independent(bl_view *view)
{
    for (size_t k = 0; k < view->count; k++)
        if (view->checkpoint[k].state != BL_VIEW_INCOMPLETE)
            return false;
    for (size_t k = 0; k < view->files; k++) {
        bl_reader *reader;
        const bl_snapshot *snapshot;
        bl_error err;
        if (bl_snapshot_open(view->store, view->file[k].rank, view->file[k].number, NULL, &reader, &snapshot, &err) != BELAY_OK)
            continue;
        bool alone = bl_snapshot_alone(snapshot->protocol);
        memcpy(view->protocol, snapshot->protocol, sizeof view->protocol);
        bl_snapshot_close(reader);
        return alone;
    }
    return false;
}

int bl_view_load(const char *dir, bl_view *view, bl_error *err)
{
    *view = (bl_view){0};
    int rc = bl_store_open(dir, BL_STABLE_PROCESS, &view->store, err);
    if (rc != BELAY_OK)
        return rc;
    view->job = bl_store_job(view->store);
    rc = load_records(view, err);
    if (rc == BELAY_OK)
        rc = bl_scan(view->store, note_file, view, err);
    if (rc != BELAY_OK) {
        bl_view_free(view);
        return rc;
    }
    if (view->files > 1)
        qsort(view->file, view->files, sizeof *view->file, by_place);
    view->independent = is_independent(view);
    for (size_t k = 0; k < view->count; k++) {
        bl_view_checkpoint *c = &view->checkpoint[k];
        c->rebuildable = c->state == BL_VIEW_GOOD && c->present < view->job->ranks && c->parities > 0 && bl_parity_covers(view->store, c->number);
    }
    return BELAY_OK;
}

void bl_view_free(bl_view *view)
{
    for (size_t k = 0; k < view->count; k++)
        bl_commit_clear(&view->checkpoint[k].record);
    free(view->checkpoint);
    free(view->file);
    bl_store_close(view->store);
    *view = (bl_view){0};
}

const bl_view_checkpoint *bl_view_restart(const bl_view *view)
{
    for (size_t k = view->count; k-- > 0;)
        if (view->checkpoint[k].state == BL_VIEW_GOOD && (view->checkpoint[k].present == view->job->ranks || view->checkpoint[k].rebuildable))
            return &view->checkpoint[k];
    return NULL;
}

/* The first file that is not before (rank, number). */
static size_t file_place(const bl_view *view, uint32_t rank, uint32_t number)
{
    size_t low = 0, high = view->files;
    const bl_view_file key = {rank, number, 0};
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (by_place(&view->file[middle], &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void bl_view_files(const bl_view *view, uint32_t rank, size_t *from, size_t *end)
{
    *from = file_place(view, rank, 0);
    *end = file_place(view, rank + 1, 0);
}

int bl_view_named_file(const bl_view *view, uint32_t rank, const char *word, const bl_view_file **file, bl_error *err)
{
    const char *dir = bl_store_dir(view->store);
    size_t from, end;
    uint32_t number = 0;
    *file = NULL;
    if (word && !bl_parse_u32(word, UINT32_MAX - 1, &number))
        return bl_fail(err, BELAY_ERR_ARG, "'%.40s' is not a checkpoint number", word);
    bl_view_files(view, rank, &from, &end);
    size_t at = word ? file_place(view, rank, number) : end - 1;
    if (from == end)
        return bl_fail(err, BELAY_ERR_NONE, "rank %u has no checkpoint yet in %s", rank, dir);
    if (at >= end || (word && view->file[at].number != number))
        return bl_fail(err, BELAY_ERR_NONE, "rank %u has no checkpoint %u in %s; belay ls lists them", rank, number, dir);
    *file = &view->file[at];
    return BELAY_OK;
}

int bl_view_named(const bl_view *view, const char *word, const bl_view_checkpoint **checkpoint, bl_error *err)
{
    const char *dir = bl_store_dir(view->store);
    *checkpoint = NULL;
    if (word) {
        uint32_t number;
        if (!bl_parse_u32(word, UINT32_MAX - 1, &number))
            return bl_fail(err, BELAY_ERR_ARG, "'%.40s' is not a checkpoint number", word);
        *checkpoint = bl_view_find(view, number);
        return *checkpoint ? BELAY_OK
                           : bl_fail(err, BELAY_ERR_NONE, "%s has no checkpoint %u; belay ls lists them", dir, number);
    }
    for (size_t k = 0; k < view->count; k++)
        if (view->checkpoint[k].state == BL_VIEW_GOOD)
            *checkpoint = &view->checkpoint[k];
    return *checkpoint ? BELAY_OK : bl_fail(err, BELAY_ERR_NONE, "%s has no committed checkpoint yet", dir);
}

const char *bl_view_state_name(enum bl_view_state state)
{
    switch (state) {
    case BL_VIEW_GOOD: return "good";
    case BL_VIEW_ABORTED: return "aborted";
    case BL_VIEW_INCOMPLETE: return "incomplete";
    case BL_VIEW_DAMAGED: return "damaged";
    }
    return "unknown";
}

static bool may_run(const bl_live_header *header)
{
    return header->state == BL_LIVE_STARTED || header->state == BL_LIVE_FINALIZING;
}

enum bl_alive bl_view_alive(const bl_view *view, bl_live_header *who)
{
    char here[64] = "";
    enum bl_alive answer = BL_ALIVE_NO;
    gethostname(here, sizeof here - 1);
    if (strcmp(view->job->state, "running") != 0)
        return BL_ALIVE_NO;
    for (uint32_t rank = 0; rank < view->job->ranks && answer != BL_ALIVE_HERE; rank++) {
        bl_live live;
        bl_error err;
        if (bl_live_read(view->store, rank, view->job->incarnation, &live, &err) != BELAY_OK)
            continue;
        bool local = strncmp(live.header->host, here, sizeof here) == 0;
        if (may_run(live.header) && (local ? bl_live_alive(live.header) : answer == BL_ALIVE_NO)) {
            answer = local ? BL_ALIVE_HERE : BL_ALIVE_ELSEWHERE;
            *who = *live.header;
        }
        bl_live_free(&live);
    }
    return answer;
}
