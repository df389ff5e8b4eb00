/* late_file.h - what a late file consists of, for who appends to it and who settles it (doc/format.md says it in prose). */
#ifndef BL_STORE_LATE_FILE_H
#define BL_STORE_LATE_FILE_H

#include "store/internal.h"
#include "store/late.h"

enum { BL_LATE_CHUNK = 1 << 16 };

typedef struct bl_late_head {   /* of a file; these 64 bytes are the same in every format */
    char magic[8];              /* "BLYLATE\n" */
    uint32_t format, rank;
    char job[24];
    uint32_t checkpoint, incarnation;
    uint64_t low, high;         /* xxh3-128 of what precedes */
} bl_late_head;

typedef struct bl_late_record { /* followed by its data */
    uint64_t comm, number, bytes;
    uint32_t source;
    int32_t tag;
    uint64_t low, high;         /* xxh3-128 of the data */
    uint64_t sum;               /* xxh3-64 of what precedes; seed: head.low + the record's offset in the file */
} bl_late_record;

bl_late_head bl_late_make_head(const bl_store *store, uint32_t rank, uint32_t checkpoint);
uint64_t bl_late_sum(const bl_late_record *record, uint64_t seed, uint64_t offset);
void bl_late_path(const bl_store *store, uint32_t rank, uint32_t checkpoint, char path[BL_PATH]);
int bl_late_list(const bl_store *store, uint32_t rank, bl_numbers *list, bl_error *err); /* free list->at */

enum bl_late_how { BL_LATE_HEADERS, BL_LATE_VERIFY, BL_LATE_HAND_OVER }; /* what is done with the data */

typedef struct bl_late_reading {
    bl_store *store;
    uint32_t rank;
    enum bl_late_how how;
    bl_late_visit *visit;
    void *context;
    int fd;
    char path[BL_PATH];
    uint64_t seed, offset;      /* of the record that is visited */
    bl_late_record record;
    char *data;                 /* freed by bl_late_scan_files */
    size_t room;
    bl_late_file file;
} bl_late_reading;

int bl_late_scan_file(bl_late_reading *reading, uint32_t checkpoint, bl_error *err);
int bl_late_scan_files(bl_late_reading *reading, bl_late_file_visit *end, bl_error *err);

#endif
