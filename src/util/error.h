/* error.h - an error goes up as a code of belay_codes.h, with its sentence set once where it happened. */
#ifndef BL_UTIL_ERROR_H
#define BL_UTIL_ERROR_H

#include "belay_codes.h"

typedef struct bl_error {
    int code;        /* enum belay_code; BELAY_OK when nothing failed */
    char text[768];  /* one line, no newline: what failed, where (path, rank), what the user can do */
} bl_error;

/* Sets *err (which may be NULL) and returns `code`, so that `return bl_fail(err, ...)` reads well. */
int bl_fail(bl_error *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* As bl_fail, with ": <strerror(errno)>" appended; ENOSPC, EDQUOT, EACCES and EROFS add what to do. */
int bl_fail_errno(bl_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The short name of a code, e.g. "damaged file". */
const char *bl_code_name(int code);

#endif
