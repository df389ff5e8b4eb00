/* hash.h - xxHash, in the widest variant that the processor has where the library can choose: as compiled for any x86-64 it runs
 * at 5 GB/s, with AVX2 or AVX-512 at the speed of memory.  The values are the same.
 *
 * Some of these variants return with the upper halves of the vector registers in use (xxHash 0.8.1), and then whatever the
 * program computes with SSE takes seven times as long, until somebody cleans up: so that is done here.
 */
#ifndef BL_STORE_HASH_H
#define BL_STORE_HASH_H

#include "config.h"

#include <xxhash.h>
#ifdef HAVE_XXH3_128BITS_DISPATCH
#include <xxh_x86dispatch.h>

enum { BL_HASH_SHORT = 240 }; /* bytes: up to here no vectors are used */

void bl_hash_clean(void); /* digest.c */

static inline XXH64_hash_t bl_hash_64(const void *data, size_t bytes, XXH64_hash_t seed)
{
    XXH64_hash_t hash = XXH3_64bits_withSeed_dispatch(data, bytes, seed);
    if (bytes > BL_HASH_SHORT) bl_hash_clean();
    return hash;
}

static inline XXH128_hash_t bl_hash_128(const void *data, size_t bytes)
{
    XXH128_hash_t hash = XXH3_128bits_dispatch(data, bytes);
    if (bytes > BL_HASH_SHORT) bl_hash_clean();
    return hash;
}

static inline XXH_errorcode bl_hash_128_update(XXH3_state_t *state, const void *data, size_t bytes)
{
    XXH_errorcode code = XXH3_128bits_update_dispatch(state, data, bytes);
    bl_hash_clean();
    return code;
}

#undef XXH3_64bits
#undef XXH3_64bits_withSeed
#undef XXH3_128bits
#undef XXH3_128bits_update
#define XXH3_64bits(data, bytes) bl_hash_64(data, bytes, 0)
#define XXH3_64bits_withSeed bl_hash_64
#define XXH3_128bits bl_hash_128
#define XXH3_128bits_update bl_hash_128_update
#endif

#endif
