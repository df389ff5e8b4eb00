#include "store/seal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store/hash.h"
#include "store/internal.h"

enum { CHUNK = 1 << 16 };

typedef struct footer { char magic[8]; uint64_t count, low, high; } footer; /* after `count` ranges; the last bytes */

static const char magic[8] = "BLYSEAL\n";

static int hash_bytes(XXH3_state_t *state, int fd, uint64_t from, uint64_t to)
{
    char chunk[CHUNK];
    for (uint64_t size; from < to; from += size) {
        size = to - from < CHUNK ? to - from : CHUNK;
        if (bl_read_all(fd, chunk, (size_t)size, from) != 0)
            return -1;
        (void)XXH3_128bits_update(state, chunk, (size_t)size);
    }
    return 0;
}

/* What lies between the ranges, and the ranges themselves. */
static int hash_rest(XXH3_state_t *state, int fd, uint64_t size, const bl_range *bulk, size_t count, footer *f)
{
    uint64_t at = 0;
    (void)XXH3_128bits_reset(state);
    for (size_t i = 0; i < count; i++) {
        if (hash_bytes(state, fd, at, bulk[i].offset) != 0)
            return -1;
        at = bulk[i].offset + bulk[i].bytes;
    }
    if (hash_bytes(state, fd, at, size) != 0)
        return -1;
    if (count > 0)
        (void)XXH3_128bits_update(state, bulk, count * sizeof *bulk);
    memcpy(f->magic, magic, sizeof magic);
    f->count = count;
    (void)XXH3_128bits_update(state, f, offsetof(footer, low));
    XXH128_hash_t hash = XXH3_128bits_digest(state);
    f->low = hash.low64;
    f->high = hash.high64;
    return 0;
}

static int make_footer(int fd, uint64_t size, const bl_range *bulk, size_t count, footer *f)
{
    XXH3_state_t *state = XXH3_createState();
    errno = ENOMEM;
    int bad = state ? hash_rest(state, fd, size, bulk, count, f) : -1;
    XXH3_freeState(state);
    return bad;
}

static int by_offset(const void *a, const void *b)
{
    uint64_t x = ((const bl_range *)a)->offset, y = ((const bl_range *)b)->offset;
    return (x > y) - (x < y);
}

int bl_seal_write(int fd, uint64_t size, bl_range *bulk, size_t count)
{
    footer f;
    if (count > 1)
        qsort(bulk, count, sizeof *bulk, by_offset);
    if (make_footer(fd, size, bulk, count, &f) != 0 || bl_write_all(fd, bulk, count * sizeof *bulk, size) != 0)
        return -1;
    return bl_write_all(fd, &f, sizeof f, size + count * sizeof *bulk);
}

static bool good_ranges(const bl_range *bulk, uint64_t count, uint64_t size)
{
    uint64_t at = 0;
    for (uint64_t i = 0; i < count; i++) {
        if (bulk[i].offset < at || bulk[i].offset > size || bulk[i].bytes > size - bulk[i].offset)
            return false;
        at = bulk[i].offset + bulk[i].bytes;
    }
    return true;
}

static const char *check_ranges(int fd, uint64_t size, const footer *said, bl_range *bulk)
{
    footer is;
    uint64_t bytes = said->count * sizeof *bulk;
    if (bl_read_all(fd, bulk, (size_t)bytes, size - bytes) != 0)
        return errno ? strerror(errno) : "the file ends before its seal";
    if (!good_ranges(bulk, said->count, size - bytes))
        return "its seal is altered";
    if (make_footer(fd, size - bytes, bulk, (size_t)said->count, &is) != 0)
        return errno ? strerror(errno) : "the file ends before its seal";
    return is.low == said->low && is.high == said->high ? NULL : "its metadata does not match its seal";
}

const char *bl_seal_check(int fd, uint64_t size)
{
    footer f;
    if (size < sizeof f)
        return "it is truncated";
    size -= sizeof f;
    if (bl_read_all(fd, &f, sizeof f, size) != 0)
        return errno ? strerror(errno) : "the file ends before its seal";
    if (memcmp(f.magic, magic, sizeof magic) != 0)
        return "it is truncated, or no snapshot: the seal at its end is missing";
    if (f.count > BL_VARS_MAX || f.count * sizeof(bl_range) > size)
        return "its seal is altered";
    bl_range *bulk = malloc((size_t)(f.count + 1) * sizeof *bulk);
    const char *wrong = bulk ? check_ranges(fd, size, &f, bulk) : "no memory for its seal";
    free(bulk);
    return wrong;
}
