#include "store/internal.h"
#include "store/hash.h"

#include <string.h>

#ifdef HAVE_XXH3_128BITS_DISPATCH
#include <immintrin.h>

__attribute__((target("avx"))) static void clean(void)
{
    _mm256_zeroupper();
}

void bl_hash_clean(void)
{
    if (__builtin_cpu_supports("avx")) clean();
}
#endif

static const char digits[] = "0123456789abcdef";

bl_digest bl_digest_of(const void *bytes, size_t size)
{
    XXH128_hash_t hash = XXH3_128bits(size ? bytes : "", size);
    return (bl_digest){ .low = hash.low64, .high = hash.high64 };
}

bool bl_digest_equal(bl_digest a, bl_digest b)
{
    return a.low == b.low && a.high == b.high;
}

/* High half first: the canonical notation of xxh128sum. */
void bl_digest_text(bl_digest digest, char text[BL_HEX + 1])
{
    for (int i = 0; i < BL_HEX; i++) {
        uint64_t half = i < 16 ? digest.high : digest.low;
        text[i] = digits[half >> (60 - 4 * (i % 16)) & 15];
    }
    text[BL_HEX] = '\0';
}

bool bl_digest_parse(const char *text, bl_digest *digest)
{
    uint64_t half[2] = { 0, 0 };
    for (int i = 0; i < BL_HEX; i++) {
        const char *digit = text[i] ? strchr(digits, text[i]) : NULL;
        if (!digit)
            return false;
        half[i / 16] = half[i / 16] << 4 | (uint64_t)(digit - digits);
    }
    *digest = (bl_digest){ .low = half[1], .high = half[0] };
    return true;
}
