/* memory.h - large arrays on large pages: 10^8 dependencies are read in no order, and with small pages half of the time
 * goes into finding them.  A hint; where the system knows none, or does not follow it, only the time differs. */
#ifndef BL_LINE_MEMORY_H
#define BL_LINE_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

enum { BL_MEMORY_PAGE = 4096, BL_MEMORY_LARGE = 1 << 21 };

static inline void bl_memory_large(void *array, size_t bytes)
{
#ifdef MADV_HUGEPAGE
    size_t skip = BL_MEMORY_PAGE - (uintptr_t)array % BL_MEMORY_PAGE;
    if (bytes > 2 * (size_t)BL_MEMORY_LARGE)
        (void)madvise((char *)array + skip, (bytes - skip) / BL_MEMORY_PAGE * BL_MEMORY_PAGE, MADV_HUGEPAGE);
#else
    (void)array;
    (void)bytes;
#endif
}

#endif
