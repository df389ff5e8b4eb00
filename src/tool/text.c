#include "tool/text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "util/clock.h"

enum { RANGES_SHOWN = 6 };

bl_text bl_text_number(uint64_t number)
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%" PRIu64, number);
    bl_text text = {""};
    size_t used = 0;
    for (int k = 0; k < length; k++) {
        if (k > 0 && (length - k) % 3 == 0)
            text.s[used++] = ',';
        text.s[used++] = digits[k];
    }
    return text;
}

bl_text bl_text_count(uint64_t number, const char *noun)
{
    bl_text text;
    if (number == 0)
        snprintf(text.s, sizeof text.s, "no %ss", noun);
    else
        snprintf(text.s, sizeof text.s, "%.32s %s%s", bl_text_number(number).s, noun, number == 1 ? "" : "s");
    return text;
}

bl_text bl_text_size(uint64_t bytes)
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)bytes;
    size_t k = 0;
    while (value >= 1023.95 && k + 1 < sizeof unit / sizeof *unit) {
        value /= 1024;
        k++;
    }
    bl_text text;
    snprintf(text.s, sizeof text.s, k == 0 ? "%.0f %s" : "%.1f %s", value, unit[k]);
    return text;
}

/* Two neighbouring units at most: nobody needs the seconds of a day. */
static void two_units(bl_text *text, uint64_t high, const char *high_unit, uint64_t low, const char *low_unit)
{
    if (low)
        snprintf(text->s, sizeof text->s, "%" PRIu64 " %s %" PRIu64 " %s", high, high_unit, low, low_unit);
    else
        snprintf(text->s, sizeof text->s, "%" PRIu64 " %s", high, high_unit);
}

bl_text bl_text_seconds(double seconds)
{
    bl_text text = {"?"};
    if (!(seconds >= 0 && seconds < 1e11))
        return text;
    if (seconds < 59.95) {
        snprintf(text.s, sizeof text.s, "%.1f s", seconds);
        return text;
    }
    uint64_t whole = (uint64_t)(seconds + 0.5);
    if (whole < 3600)
        two_units(&text, whole / 60, "min", whole % 60, "s");
    else if (whole < 86400)
        two_units(&text, whole / 3600, "h", whole / 60 % 60, "min");
    else
        two_units(&text, whole / 86400, "d", whole / 3600 % 24, "h");
    return text;
}

bl_text bl_text_time(int64_t time_ns)
{
    bl_text text = {"?"};
    time_t seconds = (time_t)(time_ns / 1000000000);
    struct tm local;
    if (time_ns > 0 && localtime_r(&seconds, &local))
        strftime(text.s, sizeof text.s, "%Y-%m-%d %H:%M:%S", &local);
    return text;
}

bl_text bl_text_age(int64_t time_ns)
{
    bl_text text = {"?"};
    if (time_ns <= 0)
        return text;
    int64_t age = bl_now_ns() - time_ns;
    if (age < 0)
        snprintf(text.s, sizeof text.s, "in the future");
    else
        snprintf(text.s, sizeof text.s, "%.64s ago", bl_text_seconds(bl_seconds(age)).s);
    return text;
}

bl_text bl_text_clean(const char *from)
{
    bl_text text;
    size_t k = 0;
    for (; from[k] && k + 1 < sizeof text.s; k++)
        text.s[k] = from[k] >= ' ' && from[k] <= '~' ? from[k] : '?';
    text.s[k] = '\0';
    return text;
}

const char *bl_text_wash(char *sentence)
{
    for (char *c = sentence; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    return sentence;
}

bl_text bl_text_ranks(const uint8_t *in, uint32_t ranks)
{
    bl_text text = {""};
    size_t used = 0;
    uint32_t total = 0, shown = 0, ranges = 0;
    for (uint32_t i = 0; i < ranks; i++)
        total += in[i] != 0;
    for (uint32_t i = 0; i < ranks && ranges < RANGES_SHOWN; i++) {
        if (!in[i])
            continue;
        uint32_t end = i;
        while (end + 1 < ranks && in[end + 1])
            end++;
        const char *comma = ranges ? ", " : "";
        if (end > i)
            used += (size_t)snprintf(text.s + used, sizeof text.s - used, "%s%u-%u", comma, i, end);
        else
            used += (size_t)snprintf(text.s + used, sizeof text.s - used, "%s%u", comma, i);
        shown += end - i + 1;
        ranges++;
        i = end;
    }
    if (shown < total)
        snprintf(text.s + used, sizeof text.s - used, " and %s more", bl_text_number(total - shown).s);
    bl_text whole;
    snprintf(whole.s, sizeof whole.s, "rank%s %.240s", total == 1 ? "" : "s", total ? text.s : "none");
    return whole;
}

void bl_table_cell(bl_table *table, const char *format, ...)
{
    if (table->cells == table->room) {
        size_t room = table->room ? 2 * table->room : 64;
        void *grown = realloc(table->cell, room * sizeof *table->cell);
        if (!grown) {
            table->failed = 1;
            return;
        }
        table->cell = grown;
        table->room = room;
    }
    va_list args;
    va_start(args, format);
    vsnprintf(table->cell[table->cells++], sizeof *table->cell, format, args);
    va_end(args);
}

static void print_row(const bl_table *table, size_t row, size_t columns, const int *width, const char *indent)
{
    printf("%s", indent);
    for (size_t k = 0; k < columns; k++) {
        const char *text = table->cell[row * columns + k];
        const char *gap = k ? "  " : "";
        if (table->columns[k] == 'r')
            printf("%s%*s", gap, width[k], text);
        else if (k + 1 == columns)
            printf("%s%s", gap, text);
        else
            printf("%s%-*s", gap, width[k], text);
    }
    putchar('\n');
}

int bl_table_print(bl_table *table, const char *indent, bl_error *err)
{
    size_t columns = strlen(table->columns);
    int width[BL_TABLE_COLUMNS] = {0};
    if (!table->failed) {
        for (size_t k = 0; k < table->cells; k++) {
            int length = (int)strlen(table->cell[k]);
            if (length > width[k % columns])
                width[k % columns] = length;
        }
        for (size_t row = 0; row < table->cells / columns; row++)
            print_row(table, row, columns, width, indent);
    }
    free(table->cell);
    table->cell = NULL;
    return table->failed ? bl_fail(err, BELAY_ERR_MEMORY, "out of memory for a table") : BELAY_OK;
}
