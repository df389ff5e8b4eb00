/* text.h - how the tool speaks: sizes, times, counts, rank lists and tables, for a person who has just been woken up.
 *
 * The bl_text functions return a small string by value, so that a call stands where it is printed:
 *     printf("%s\n", bl_text_size(bytes).s);
 */
#ifndef BL_TOOL_TEXT_H
#define BL_TOOL_TEXT_H

#include <stdint.h>
#include <stdio.h>

#include "util/error.h"

typedef struct bl_text { char s[256]; } bl_text;

bl_text bl_text_number(uint64_t number);                    /* 10,000 */
bl_text bl_text_count(uint64_t number, const char *noun);   /* 1 message, 12 messages, no messages */
bl_text bl_text_size(uint64_t bytes);                       /* 1.5 GiB */
bl_text bl_text_seconds(double seconds);                    /* 0.4 s, 3 min 20 s, 2 d 4 h; "?" for what is no duration */
bl_text bl_text_time(int64_t time_ns);                      /* 2026-11-22 03:12:45, local time; "?" for 0 */
bl_text bl_text_age(int64_t time_ns);                       /* 3 min 20 s ago */

/* What comes from a file goes to a terminal or into JSON only as printable ASCII. */
bl_text bl_text_clean(const char *text);

/* The same for a whole sentence, in place; it may name a path in UTF-8, so only control characters go. */
const char *bl_text_wash(char *sentence);

/* The ranks with in[rank] != 0: "rank 3", "ranks 0, 2-5, 9 and 17 more". */
bl_text bl_text_ranks(const uint8_t *in, uint32_t ranks);

/* An aligned table.  `columns` is one letter per column, l or r; cells are added row by row.  Out of memory is kept until
 * bl_table_print, which also frees the table. */
enum { BL_TABLE_COLUMNS = 8 };
typedef struct bl_table {
    const char *columns;
    char (*cell)[128];
    size_t cells, room;
    int failed;
} bl_table;

void bl_table_cell(bl_table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
int bl_table_print(bl_table *table, const char *indent, bl_error *err);

#endif
