/* ahead.h - a table read by a thread of its own, some blocks ahead of who works on its rows. */
#ifndef BL_STORE_AHEAD_H
#define BL_STORE_AHEAD_H

#include <stddef.h>

#include "util/error.h"

typedef struct bl_ahead bl_ahead;

/* The next rows, at most `room`; *count 0 at the end.  Called from the thread, once at a time. */
typedef int bl_ahead_read(void *context, void *rows, size_t room, size_t *count, bl_error *err);

/* NULL: there is no memory or no thread; the caller reads by itself then. */
bl_ahead *bl_ahead_start(bl_ahead_read *read, void *context, size_t row_bytes);

/* Copies the next rows, at most `room`; *count 0 at the end.  What `read` says goes wrong comes after the rows before it. */
int bl_ahead_take(bl_ahead *ahead, void *rows, size_t room, size_t *count, bl_error *err);

/* Waits for the thread, wherever it is; NULL is fine. */
void bl_ahead_stop(bl_ahead *ahead);

#endif
