#include "store/json.h"

#include <stdlib.h>
#include <string.h>

bool bl_json_number(const json_t *root, const char *key, json_int_t min, json_int_t max, json_int_t *value)
{
    const json_t *found = json_object_get(root, key);
    *value = json_integer_value(found);
    return json_is_integer(found) && *value >= min && *value <= max;
}

char *bl_json_text(json_t *root)
{
    enum { FLAGS = JSON_INDENT(2) | JSON_PRESERVE_ORDER };
    size_t size = root ? json_dumpb(root, NULL, 0, FLAGS) : 0;
    char *text = size ? malloc(size + 2) : NULL;
    if (text) {
        (void)json_dumpb(root, text, size, FLAGS);
        memcpy(text + size, "\n", 2);
    }
    json_decref(root);
    return text;
}
