/* seal.h - the end of a snapshot file: a checksum of everything but the bulk, looked at before HDF5 sees the file.
 *
 * HDF5 notices damaged metadata most of the time, but it leaks, complains when the program ends, and has crashed on it.
 * With the seal right, what HDF5 parses is what HDF5 wrote.
 */
#ifndef BL_STORE_SEAL_H
#define BL_STORE_SEAL_H

#include <stddef.h>
#include <stdint.h>

enum { BL_BULK_MIN = 4096 }; /* a variable of at least so many bytes is left to its own checksum */

typedef struct bl_range { uint64_t offset, bytes; } bl_range;

/* Appends the seal to the `size` bytes that HDF5 left; sorts `bulk`.  0, or -1 with errno. */
int bl_seal_write(int fd, uint64_t size, bl_range *bulk, size_t count);
/* NULL when the seal of a file of `size` bytes is right, else what is wrong with the file. */
const char *bl_seal_check(int fd, uint64_t size);

#endif
