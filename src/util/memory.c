#include "util/memory.h"

#include <stdint.h>
#include <sys/mman.h>

enum { SMALL_PAGE = 4096, LARGE_PAGE = 1 << 21 };

void bl_memory_large(void *array, size_t bytes)
{
#ifdef MADV_HUGEPAGE
    size_t skip = (SMALL_PAGE - (uintptr_t)array % SMALL_PAGE) % SMALL_PAGE;
    if (bytes > 2 * (size_t)LARGE_PAGE)
        (void)madvise((char *)array + skip, (bytes - skip) / SMALL_PAGE * SMALL_PAGE, MADV_HUGEPAGE);
#else
    (void)array;
    (void)bytes;
#endif
}
