/* h5file.h - HDF5 files through a driver of our own, and HDF5's error text.
 *
 * HDF5's own driver ends in a segmentation fault when the disk is full (a failed flush leaves its cache half closed).
 * Here the first failed write is remembered, later ones are dropped and reported as done, HDF5 closes a file that is
 * thrown away afterwards, and the error is the system's own.  Reading refuses to go beyond the end of the file.
 */
#ifndef BL_STORE_H5FILE_H
#define BL_STORE_H5FILE_H

#include <hdf5.h>
#if H5_VERSION_GE(1, 14, 0)
#include <H5FDdevelop.h>
#endif
#include <stdbool.h>
#include <stdint.h>

#include "store/store.h"

enum { BL_WHY = 128 }; /* bytes of a reason */

typedef struct bl_h5file {
    H5FD_t driver;      /* HDF5 knows this part only */
    hid_t id;           /* -1 once HDF5 is done with it */
    int fd;             /* ours to close */
    bool durable;       /* start writing back early, sync at the end */
    uint64_t size;      /* bytes in the file now */
    haddr_t end;        /* HDF5's idea of the end of what it allocated */
    bool stuck;         /* HDF5 could not close it */
    int error;          /* errno of the first failed write or read */
    uint64_t rate;      /* bytes/s it is written at, 0: as fast as it goes; of `written` since `began_ns` */
    uint64_t written, began_ns;
} bl_h5file;

/* Runs body(context) with HDF5's error printing off in this thread, and puts it back. */
int bl_h5_quietly(int (*body)(void *context), void *context);
/* The innermost entry of HDF5's error stack; call it right after the failure. */
const char *bl_h5_text(char text[BL_WHY]);

/* Both are called inside bl_h5_quietly; what they open is given back with bl_h5_free.  A file that is no good is
 * BELAY_ERR_DAMAGED with the reason in `why` and *err untouched: the caller knows what the file was to be. */
int bl_h5_create(const char *path, bool durable, bl_h5file **file, bl_error *err);
int bl_h5_open(const char *path, bl_h5file **file, char why[BL_WHY], bl_error *err);
/* Ends HDF5's part (the descriptor stays open); -1 with file->error or HDF5's error text set. */
int bl_h5_close(bl_h5file *file);
int bl_h5_sync(bl_h5file *file);
void bl_h5_free(bl_h5file *file);

#endif
