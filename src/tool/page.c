/* page.c - a scene as one HTML file: page.html with the CSS of the SVG and the scene as numbers. */
#include "tool/page.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tool/scene.h"

#include "tool/page_html.h"

/* What a browser can hold; the page draws bundles of rows where they would be too thin to see. */
enum { ROWS_MAX = 4096, BINS = 1024, ARROWS_MAX = 150000, SCALE = 100000 };

/* JSON inside a script element: no '<', so that no text can end the element. */
static void print_string(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++)
        if (*text == '"' || *text == '\\')
            fprintf(out, "\\%c", *text);
        else if (*text == '<' || *text == '&' || (unsigned char)*text < ' ')
            fprintf(out, "\\u%04x", (unsigned)(unsigned char)*text);
        else
            fputc(*text, out);
    fputc('"', out);
}

static void print_member(FILE *out, const char *name, const char *text)
{
    fprintf(out, ",\n\"%s\": ", name);
    print_string(out, text);
}

static long scaled(const bl_scene *s, double at)
{
    return lround(at / s->layout.length * SCALE);
}

static void print_lists(const bl_scene *s, FILE *out)
{
    fprintf(out, ",\n\"rows\": [");
    for (uint32_t k = 0; k < s->rows; k++) {
        const bl_lane *l = &s->row[k];
        fprintf(out, "%s%u,%u,%u,%u,%ld,%ld,%ld,%ld", k ? ",\n" : "", l->first, l->ranks, l->failed, l->keeping, scaled(s, l->begin),
                scaled(s, l->end), scaled(s, l->cut_low), scaled(s, l->cut_high));
    }
    fprintf(out, "],\n\"marks\": [");
    for (size_t k = 0; k < s->marks; k++) {
        const bl_mark *m = &s->mark[k];
        fprintf(out, "%s%u,%ld,%u,%d,%u", k ? ",\n" : "", m->row, scaled(s, m->at), m->number, (int)m->state, m->count);
    }
    fprintf(out, "],\n\"arrows\": [");
    for (size_t k = 0; k < s->arrows; k++) {
        const bl_arrow *a = &s->arrow[k];
        fprintf(out, "%s%u,%u,%ld,%ld,%llu,%d,%d,%u", k ? ",\n" : "", a->from, a->to, scaled(s, a->sent), scaled(s, a->received),
                (unsigned long long)a->messages, (int)a->fate, (int)a->delivered, a->step);
    }
    fprintf(out, "],\n\"bands\": [");
    for (size_t k = 0; k < s->bands; k++)
        fprintf(out, "%s%ld,%u,%u,%d", k ? ",\n" : "", scaled(s, s->band[k].at), s->band[k].first, s->band[k].last,
                (int)s->band[k].undone);
    fprintf(out, "]");
}

static void print_data(const bl_scene *s, FILE *out)
{
    static const char *const axis[] = {"time, in seconds", "time, in steps of the trace", "time, in the order of events"};
    char title[512], caption[1024];
    bl_scene_title(s, title, sizeof title);
    bl_scene_caption(s, caption, sizeof caption);
    fprintf(out, "{\"each\": %u,\n\"length\": %.6g,\n\"ticks\": %s", s->each, s->layout.length,
            s->layout.axis == BL_AXIS_TIME ? "true" : "false");
    print_member(out, "title", title);
    print_member(out, "source", bl_scene_source(s).s);
    print_member(out, "caption", caption);
    print_member(out, "axis", axis[s->layout.axis]);
    print_lists(s, out);
    fprintf(out, "}\n");
}

static void print_page(const bl_scene *s, FILE *out)
{
    for (size_t k = 0; k < sizeof page_html / sizeof *page_html; k++)
        if (strcmp(page_html[k], "@STYLE@\n") == 0)
            fputs(bl_page_style, out);
        else if (strcmp(page_html[k], "@DATA@\n") == 0)
            print_data(s, out);
        else
            fputs(page_html[k], out);
}

int bl_page_write(const bl_report *report, const char *path, uint32_t rows, uint32_t bins, size_t arrows,
                  void (*print)(const bl_scene *, FILE *), bl_error *err)
{
    bl_scene scene;
    int rc = bl_scene_make(report, rows, bins, arrows, &scene, err);
    if (rc != BELAY_OK)
        return rc;
    FILE *out = fopen(path, "w");
    if (!out) {
        bl_scene_clear(&scene);
        return bl_fail_errno(err, "cannot write %s", path);
    }
    print(&scene, out);
    bl_scene_clear(&scene);
    bool bad = ferror(out) != 0;
    return fclose(out) != 0 || bad ? bl_fail_errno(err, "cannot write %s", path) : BELAY_OK;
}

int bl_page_html(const bl_report *report, const char *path, bl_error *err)
{
    return bl_page_write(report, path, ROWS_MAX, BINS, ARROWS_MAX, print_page, err);
}
