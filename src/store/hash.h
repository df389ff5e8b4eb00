/* hash.h - xxHash, in the widest variant that the processor has where the library can choose: as compiled for any x86-64 it runs
 * at 5 GB/s, with AVX2 or AVX-512 at the speed of memory.  The values are the same.
 */
#ifndef BL_STORE_HASH_H
#define BL_STORE_HASH_H

#include "config.h"

#include <xxhash.h>
#ifdef HAVE_XXH3_128BITS_DISPATCH
#include <xxh_x86dispatch.h>
#endif

#endif
