#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tool/view.h"
#include "util/settings.h"

typedef struct scan {
    bl_found *found;
    void *context;
    uint32_t rank;
    char path[BL_PATH_MAX + 512];
} scan;

/* The digits after `prefix` up to `suffix`, nothing else: "ckpt-000012.h5" is 12. */
static bool numbered(const char *name, const char *prefix, const char *suffix, uint32_t *number)
{
    size_t length = strlen(prefix);
    if (strncmp(name, prefix, length) != 0)
        return false;
    const char *digits = name + length;
    size_t count = strspn(digits, "0123456789");
    if (count == 0 || count > 9 || strcmp(digits + count, suffix) != 0)
        return false;
    *number = (uint32_t)strtoul(digits, NULL, 10);
    return true;
}

/* "ckpt-000012.h5.tmp-0003": a temporary of incarnation 3. */
static bool temporary(const char *name, uint32_t *incarnation)
{
    const char *mark = strstr(name, ".tmp-");
    *incarnation = mark ? (uint32_t)strtoul(mark + 5, NULL, 10) : 0;
    return mark != NULL;
}

static bool classify(const char *name, bool quarantine, enum bl_file *kind, uint32_t *number)
{
    *number = 0;
    if (quarantine)
        *kind = BL_FILE_QUARANTINED;
    else if (numbered(name, "ckpt-", ".h5", number))
        *kind = BL_FILE_SNAPSHOT;
    else if (numbered(name, "parity-", "", number))
        *kind = BL_FILE_PARITY;
    else if (numbered(name, "live-", "", number))
        *kind = BL_FILE_TABLE;
    else if (numbered(name, "late-", "", number))
        *kind = BL_FILE_LATE;
    else if (temporary(name, number))
        *kind = BL_FILE_TEMPORARY;
    else
        return false;
    return true;
}

static int scan_folder(scan *s, bool quarantine, bl_error *err)
{
    size_t base = strlen(s->path);
    DIR *folder = opendir(s->path);
    if (!folder)
        return errno == ENOENT ? BELAY_OK : bl_fail_errno(err, "cannot list %s", s->path);
    int rc = BELAY_OK;
    const struct dirent *entry;
    while (rc == BELAY_OK && (entry = readdir(folder))) {
        enum bl_file kind;
        uint32_t number;
        struct stat status;
        snprintf(s->path + base, sizeof s->path - base, "/%s", entry->d_name);
        if (classify(entry->d_name, quarantine, &kind, &number) && lstat(s->path, &status) == 0 &&
            S_ISREG(status.st_mode))
            rc = s->found(s->context, kind, s->rank, number, s->path, (uint64_t)status.st_size, err);
    }
    closedir(folder);
    return rc;
}

/* Where the node of a rank keeps its snapshots, if not in the job directory: those, and what was put aside there. */
static int scan_local(scan *s, const bl_store *store, bl_error *err)
{
    char here[sizeof s->path];
    snprintf(here, sizeof here, "%s/rank-%05u", bl_store_dir(store), s->rank);
    bl_rank_directory(store, s->rank, s->path, sizeof s->path);
    if (strcmp(here, s->path) == 0)
        return BELAY_OK;
    int rc = scan_folder(s, false, err);
    char *end = strrchr(s->path, '/');
    snprintf(end, sizeof s->path - (size_t)(end - s->path), "/quarantine");
    bool first = true; /* of the ranks that share it */
    for (uint32_t rank = 0; first && rank < s->rank; rank++) {
        bl_rank_directory(store, rank, here, sizeof here);
        first = strncmp(here, s->path, (size_t)(end - s->path)) != 0 || strchr(here + (end - s->path) + 1, '/');
    }
    return rc == BELAY_OK && first ? scan_folder(s, true, err) : rc;
}

int bl_scan(const bl_store *store, bl_found *found, void *context, bl_error *err)
{
    scan s = {.found = found, .context = context};
    const char *dir = bl_store_dir(store);
    int rc = BELAY_OK;
    for (uint32_t rank = 0; rc == BELAY_OK && rank < bl_store_job(store)->ranks; rank++) {
        s.rank = rank;
        snprintf(s.path, sizeof s.path, "%s/rank-%05u", dir, rank);
        rc = scan_folder(&s, false, err);
        if (rc == BELAY_OK)
            rc = scan_local(&s, store, err);
    }
    static const char *const other[] = {"", "/commit", "/quarantine"};
    for (size_t k = 0; rc == BELAY_OK && k < sizeof other / sizeof *other; k++) {
        s.rank = 0;
        snprintf(s.path, sizeof s.path, "%s%s", dir, other[k]);
        rc = scan_folder(&s, k == 2, err);
    }
    return rc;
}
