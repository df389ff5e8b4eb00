/* newer RECORD - makes a commit record one that a newer Belay would have written, in everything right but its format. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/internal.h"

int main(int argc, char **argv)
{
    char *text, *body, *format, hex[BL_HEX + 1];
    size_t size;
    bl_error err = { 0, "" };
    if (argc != 2 || bl_file_read(argv[1], 1 << 20, &text, &size, &err)) return 1;
    body = strchr(text, '\n');
    format = body ? strstr(++body, "\"format\": 1") : NULL;
    if (!format) return 1;
    format[strlen("\"format\": ")]++;
    bl_digest_text(bl_digest_of(body, strlen(body)), hex);
    FILE *file = fopen(argv[1], "w");
    if (!file) return 1;
    fprintf(file, "belay-commit 2 %s %zu\n%s", hex, strlen(body), body);
    free(text);
    return fclose(file) ? 1 : 0;
}
