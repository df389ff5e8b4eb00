#include "tool/tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool/text.h"

int bl_exit_of(const bl_error *err)
{
    return err->code == BELAY_ERR_ARG || err->code == BELAY_ERR_NONE ? BL_EXIT_USAGE : BL_EXIT_BAD;
}

bool bl_parse_u32(const char *text, uint32_t most, uint32_t *value)
{
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 10 || text[digits])
        return false;
    unsigned long long number = strtoull(text, NULL, 10);
    *value = (uint32_t)number;
    return number <= most;
}

json_t *bl_json_sentence(const char *sentence)
{
    json_t *text = json_string(sentence);
    return text ? text : json_string(bl_text_clean(sentence).s);
}

int bl_print_json(json_t *value, bl_error *err)
{
    if (!value)
        return bl_fail(err, BELAY_ERR_MEMORY, "out of memory for JSON");
    int rc = json_dumpf(value, stdout, JSON_INDENT(1));
    json_decref(value);
    putchar('\n');
    return rc == 0 ? BELAY_OK : bl_fail(err, BELAY_ERR_SYSTEM, "cannot write the JSON");
}
