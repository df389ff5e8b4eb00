#include "util/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void set_text(bl_error *err, int code, const char *format, va_list args)
{
    err->code = code;
    vsnprintf(err->text, sizeof err->text, format, args);
}

int bl_fail(bl_error *err, int code, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        set_text(err, code, format, args);
        va_end(args);
    }
    return code;
}

static const char *advice(int number)
{
    switch (number) {
    case ENOSPC: return "; free some space, or choose another directory with --dir";
    case EDQUOT: return "; the quota is used up: free some space, or choose another directory with --dir";
    case EACCES:
    case EPERM:
    case EROFS: return "; make it writable, or choose another directory with --dir";
    default: return "";
    }
}

int bl_fail_errno(bl_error *err, const char *format, ...)
{
    int number = errno;
    if (err) {
        va_list args;
        va_start(args, format);
        set_text(err, BELAY_ERR_SYSTEM, format, args);
        va_end(args);
        size_t used = strlen(err->text);
        snprintf(err->text + used, sizeof err->text - used, ": %s%s", strerror(number), advice(number));
    }
    return BELAY_ERR_SYSTEM;
}

const char *bl_code_name(int code)
{
    switch (code) {
    case BELAY_OK: return "success";
    case BELAY_ERR_ARG: return "wrong use of a call";
    case BELAY_ERR_SYSTEM: return "system error";
    case BELAY_ERR_DAMAGED: return "damaged file";
    case BELAY_ERR_FORMAT: return "file of a newer version";
    case BELAY_ERR_FOREIGN: return "file of another job or rank";
    case BELAY_ERR_STALE: return "replaced incarnation";
    case BELAY_ERR_NONE: return "nothing there";
    case BELAY_ERR_MISMATCH: return "protected variables differ from the checkpoint";
    case BELAY_ERR_PENDING: return "messages in transit";
    case BELAY_ERR_REFUSED: return "not supported";
    case BELAY_ERR_MEMORY: return "limit or memory exhausted";
    case BELAY_ERR_ABORTED: return "checkpoint given up";
    case BELAY_ERR_INTERNAL: return "defect in Belay";
    default: return "unknown code";
    }
}
