/* json.h - the little that job.json and the commit records share. */
#ifndef BL_STORE_JSON_H
#define BL_STORE_JSON_H

#include <jansson.h>
#include <stdbool.h>

/* An integer member within [min, max]. */
bool bl_json_number(const json_t *root, const char *key, json_int_t min, json_int_t max, json_int_t *value);
/* The text as it goes to disk, ending in a newline; malloc'ed.  Takes `root`, which may be NULL: then NULL. */
char *bl_json_text(json_t *root);

#endif
