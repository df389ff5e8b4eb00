/* memory.h - a hint to the system about a large array that is read in no order. */
#ifndef BL_UTIL_MEMORY_H
#define BL_UTIL_MEMORY_H

#include <stddef.h>

/* Asks for large pages under what malloc gave; before the first touch, or only what is touched later gains.  Of 10^8
 * dependencies on small pages half of the time goes into finding them.  Where the system knows no such pages, or does not
 * follow, only the time differs; small arrays are left alone. */
void bl_memory_large(void *array, size_t bytes);

#endif
