#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "run/internal.h"
#include "util/clock.h"

/* Pairs of a name and a value's kind: 'i' int64_t, 'd' double, 's' const char * (may be NULL). */
static json_t *value_of(int kind, va_list args)
{
    if (kind == 'i') return json_integer(va_arg(args, int64_t));
    if (kind == 'd') return json_real(va_arg(args, double));
    const char *text = va_arg(args, const char *);
    return text ? json_string(text) : json_null();
}

void bl_event(const bl_events *events, const char *kind, const char *text, ...)
{
    if (!events->json) {
        if (text) fprintf(stderr, "belay: %s\n", text);
        return;
    }
    json_t *object = json_pack("{s:s,s:f}", "event", kind, "time", bl_seconds(bl_now_ns()));
    if (text) json_object_set_new(object, "text", json_string(text));
    va_list args;
    va_start(args, text);
    for (const char *name = va_arg(args, const char *); name; name = va_arg(args, const char *)) {
        int type = va_arg(args, int);
        json_object_set_new(object, name, value_of(type, args));
    }
    va_end(args);
    char *line = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(15));
    if (line) fprintf(stderr, "%s\n", line);
    free(line);
    json_decref(object);
}
