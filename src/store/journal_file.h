/* journal_file.h - what the writer and the reader of journals share; nobody outside src/store includes it. */
#ifndef BL_STORE_JOURNAL_FILE_H
#define BL_STORE_JOURNAL_FILE_H

#include "store/internal.h"
#include "store/journal.h"

#define BL_JOURNAL_MAGIC "BLYJRNL\n"

typedef struct bl_journal_head { /* 128 bytes, the records behind it */
    char magic[8];
    uint32_t format, rank;
    char job[24];
    uint32_t incarnation, number;
    char name[BL_JOURNAL_NAME + 1];
    uint64_t bytes, first;       /* of the file; position of the first record */
    uint64_t reserved[5];
    uint64_t sum;                /* xxh3-64 of what is before it */
} bl_journal_head;

typedef struct bl_journal_name { uint32_t incarnation, number; } bl_journal_name;

void bl_journal_path(const bl_store *store, uint32_t rank, uint32_t incarnation, const char *name, uint32_t number, char path[BL_PATH]);
bool bl_journal_name_of(const char *entry, const char *name, bl_journal_name *parsed); /* false: another file */

#endif
