/* journal.h - a journal of one rank: records appended to memory-mapped segments, so that they survive `kill -9` as they are.
 *
 *   rank-00003/journal-0001-sent-000002     segment 2 of the journal "sent" of incarnation 1
 *
 * A record exists from one aligned store on, its mark, which is made when all the rest of it is there; a death at any
 * instruction leaves it whole or absent.  Marks and checksums are seeded with the place of the record, so that what a
 * segment that is used again has still in it is never taken for a record.  doc/format.md has the layout.
 *
 * stable=process: nothing is forced.  stable=power: bl_journal_stable forces what was appended so far.
 * Not thread-safe: one thread appends; another may call bl_journal_force meanwhile.
 */
#ifndef BL_STORE_JOURNAL_H
#define BL_STORE_JOURNAL_H

#include <string.h>

#include "store/hash.h"
#include "store/store.h"

typedef struct bl_record {
    uint64_t a, b;               /* the writer's */
    int32_t c, d;
    uint32_t kind, number;       /* the writer's; kind: never 0 */
    uint64_t bytes;              /* of the payload behind it; at most BL_PAYLOAD_MAX */
} bl_record;
/* Kinds of records: doc/format.md says what is in them. */
enum bl_event { BL_EVENT_MATCHED = 1, BL_EVENT_FLAG, BL_EVENT_INDEX, BL_EVENT_SOME, BL_EVENT_PROBED, BL_EVENT_VALUE,
                BL_EVENT_CHECKPOINT, BL_EVENT_SENT, BL_EVENT_CLOCK, BL_EVENT_COMM, BL_EVENT_BEGUN, BL_EVENT_UNLOGGED,
                BL_EVENT_NEEDS, BL_EVENT_HELD };
#define BL_PAYLOAD_MAX (UINT64_C(1) << 40)
enum { BL_JOURNAL_NAME = 15 };   /* bytes of a journal's name, a to z */

typedef struct bl_entry_head {   /* 56 bytes, the payload behind it, then to a multiple of 8 */
    uint64_t mark;               /* of its place; anything else: no record */
    uint64_t check;              /* xxh3-64 of record and payload, seeded with the mark */
    bl_record record;
} bl_entry_head;

typedef struct bl_journal {      /* only the functions of this header look inside */
    char *at, *end;              /* of the open segment: where the next record goes, and its end */
    uint64_t mark;               /* of a record at `at` */
    struct bl_journal_more *more;
} bl_journal;

/* Segments are made under the fence: an incarnation that was replaced gets BELAY_ERR_STALE.  `budget`: bytes that its segments
 * may take together. */
int bl_journal_create(bl_store *store, uint32_t rank, const char *name, uint64_t budget, bl_journal **journal, bl_error *err);
void bl_journal_close(bl_journal *journal);

int bl_journal_next_segment(bl_journal *journal, const bl_record *head); /* 0; -1: as bl_journal_begin's NULL */
int bl_journal_error(const bl_journal *journal, bl_error *err); /* BELAY_OK: none */

static inline uint64_t bl_entry_size(uint64_t bytes)
{
    return sizeof(bl_entry_head) + ((bytes + 7) & ~UINT64_C(7));
}

static inline uint64_t bl_entry_check(const bl_record *record, const void *payload, uint64_t mark)
{
    uint64_t sum = XXH3_64bits_withSeed(record, sizeof *record, mark);
    return record->bytes ? XXH3_64bits_withSeed(payload, record->bytes, sum) : sum;
}

/* Room for a payload of head->bytes, to be filled; what was begun and not committed is given up.  NULL: no room within the
 * budget, or bl_journal_error says what. */
static inline char *bl_journal_begin(bl_journal *j, const bl_record *head)
{
    if (__builtin_expect(head->bytes > BL_PAYLOAD_MAX || bl_entry_size(head->bytes) > (uint64_t)(j->end - j->at), 0) &&
        bl_journal_next_segment(j, head))
        return NULL;
    return j->at + sizeof(bl_entry_head);
}

/* `head`: as it was begun with; `payload`: its contents, in the journal or where they were copied from. */
static inline void bl_journal_commit(bl_journal *j, const bl_record *head, const void *payload)
{
    bl_entry_head *e = (bl_entry_head *)(void *)j->at;
    uint64_t mark = j->mark + (uint64_t)(j->at - j->end) * 2; /* odd: never 0 */
    e->record = *head;
    e->check = bl_entry_check(head, payload, mark);
    __atomic_store_n(&e->mark, mark, __ATOMIC_RELEASE);
    j->at += bl_entry_size(head->bytes);
}

/* 0; or -1, as bl_journal_begin's NULL.  The sum is made of what is in the caches already: to read what was just written to a
 * line that is not would wait for it. */
static inline int bl_journal_append(bl_journal *j, const bl_record *head, const void *payload)
{
    char *to = bl_journal_begin(j, head);
    if (!to) return -1;
    if (head->bytes) memcpy(to, payload, head->bytes);
    bl_journal_commit(j, head, payload);
    return 0;
}

int bl_journal_stable(bl_journal *journal, bl_error *err);
int bl_journal_force(bl_journal *journal, bl_error *err);  /* the same, by any thread, while another appends */
void bl_journal_lose(bl_journal *journal);                 /* for an injected kill: what was not forced is spoilt, as a loss of power may */
uint64_t bl_journal_position(const bl_journal *journal);   /* of the next record; grows */
uint64_t bl_journal_bytes(const bl_journal *journal);      /* that its segments take */
int bl_journal_over(const bl_journal *journal);            /* more than three quarters of the budget */

/* No record before `position` will be needed: the segments before it are used again, or removed. */
int bl_journal_retire(bl_journal *journal, uint64_t position, bl_error *err);
/* The same of all segments of incarnations before this one. */
int bl_journal_retire_before(bl_store *store, uint32_t rank, const char *name, uint32_t incarnation, bl_error *err);

/* --- after a failure, before this store's incarnation has written its own --- */
typedef struct bl_journal_place { uint32_t incarnation, number; uint64_t at; } bl_journal_place; /* segment, and byte in its file */
/* What is behind `end` in its incarnation is taken away (NULL: nothing), the rest of that incarnation forced. */
int bl_journal_settle(bl_store *store, uint32_t rank, const char *name, uint32_t incarnation, const bl_journal_place *end, bl_error *err);
/* Incarnations after this one, and before this store's, go: they came to nothing. */
int bl_journal_forget_after(bl_store *store, uint32_t rank, const char *name, uint32_t incarnation, bl_error *err);

/* --- reading: all incarnations of a journal, in order --- */
typedef struct bl_journal_reader bl_journal_reader;
/* BELAY_ERR_NONE when there is none.  The files are mapped; nobody shortens the files of a journal. */
int bl_journal_read_open(bl_store *store, uint32_t rank, const char *name, bl_journal_reader **reader, bl_error *err);
/* 1: the next record; 0: there is no other; -1: it is damaged.  What a death has left unfinished at the end of an incarnation
 * is where that ends.  Payloads stay until the reader is closed. */
int bl_journal_next(bl_journal_reader *reader, bl_record *record, const char **payload, bl_error *err);
uint32_t bl_journal_read_oldest(const bl_journal_reader *reader);      /* incarnation there is a segment of */
uint32_t bl_journal_read_incarnation(const bl_journal_reader *reader); /* of the record just read */
bl_journal_place bl_journal_read_place(const bl_journal_reader *reader); /* of the record just read */
void bl_journal_read_close(bl_journal_reader *reader);

#endif
