/* maps.c - which memory a child of fork has as it was: what is private and anonymous.
 *
 * Of shared memory the child would see what is written later, by this rank or another; of a mapped file what the file has become; a
 * page of hugetlbfs it may lose.  What the program keeps from children (MADV_DONTFORK, MADV_WIPEONFORK) is for the child to find
 * out, from /proc/self/smaps: the kernel takes long to make that.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mpi/fork.h"

static int add(bl_maps *maps, bl_span span)
{
    if (maps->spans && maps->span[maps->spans - 1].to == span.from) {
        maps->span[maps->spans - 1].to = span.to;
        return 1;
    }
    if (maps->spans == maps->room) {
        size_t room = maps->room ? 2 * maps->room : 256;
        bl_span *grown = realloc(maps->span, room * sizeof *grown);
        if (!grown) return 0;
        maps->span = grown;
        maps->room = room;
    }
    maps->span[maps->spans++] = span;
    return 1;
}

/* "from-to perms offset device inode path" */
static int parse(const char *line, bl_span *span, int *own)
{
    char shared = 's';
    uint64_t inode = 0;
    if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*3c%c %*s %*s %" SCNu64, &span->from, &span->to, &shared, &inode) != 4) return 0;
    *own = shared == 'p' && inode == 0;
    return 1;
}

static int wiped(const char *line)
{
    return !strncmp(line, "VmFlags:", 8) && strstr(line, " wf");
}

/* The flags of a mapping come last of what smaps says of it. */
static void take_back(bl_maps *maps, bl_span span)
{
    bl_span *last = &maps->span[maps->spans - 1];
    last->to = span.from;
    if (last->from == last->to) maps->spans--;
}

void bl_maps_read(bl_maps *maps, const char *path)
{
    char *line = NULL;
    size_t room = 0;
    bl_span span;
    int own = 0;
    maps->spans = 0;
    FILE *file = fopen(path, "re");
    while (file && getline(&line, &room, file) > 0) {
        if (parse(line, &span, &own) && own) own = add(maps, span);
        else if (own && wiped(line)) take_back(maps, span);
    }
    free(line);
    if (file) fclose(file);
}

static const bl_span *find(const bl_maps *maps, uintptr_t at)
{
    size_t low = 0, high = maps->spans;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (maps->span[middle].to <= at) low = middle + 1;
        else high = middle;
    }
    return low < maps->spans ? &maps->span[low] : NULL;
}

int bl_maps_have(const bl_maps *maps, const void *data, size_t bytes)
{
    uintptr_t at = (uintptr_t)data;
    const bl_span *span = find(maps, at);
    return bytes == 0 || (span && span->from <= at && bytes <= span->to - at);
}

void bl_maps_free(bl_maps *maps)
{
    free(maps->span);
    *maps = (bl_maps){ .span = NULL };
}
