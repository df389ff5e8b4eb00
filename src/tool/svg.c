/* svg.c - a scene as SVG, the way textbooks draw it.  The same report gives the same bytes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool/page.h"
#include "tool/scene.h"

/* More ranks than rows are drawn in bundles. */
enum { ROWS_MAX = 48, ARROWS_MAX = 500, BINS = 64, COUNTS_MAX = 120, CAPTION_COLUMNS = 128 };

enum { LEFT = 104, RIGHT = 56, TOP = 112, AXIS = 46 };

typedef struct canvas {
    const bl_scene *scene;
    FILE *out;
    double width, height, pitch; /* of the drawing without margins; distance of rows */
} canvas;

static void print_text(FILE *out, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '&': fputs("&amp;", out); break;
        case '<': fputs("&lt;", out); break;
        case '>': fputs("&gt;", out); break;
        case '"': fputs("&quot;", out); break;
        default: fputc(*text, out);
        }
}

static double x_of(const canvas *c, double at)
{
    return LEFT + at / c->scene->layout.length * c->width;
}

static double y_of(const canvas *c, uint32_t row)
{
    return TOP + (row + 0.5) * c->pitch;
}

/* --- the parts, from back to front --- */

const char bl_page_style[] =
    "text{font-family:'DejaVu Sans',Verdana,sans-serif;font-size:13px;fill:#222}\n"
    ".title{font-size:19px;font-weight:bold}.source{font-size:12px;fill:#666}.note{font-size:11px;fill:#555}\n"
    ".rank{font-size:14px}.dead{fill:#b8312f;font-weight:bold}\n"
    ".num{font-size:11px;fill:#444;paint-order:stroke;stroke:#fff;stroke-width:3px}\n"
    ".count{font-size:11px;paint-order:stroke;stroke:#fff;stroke-width:3px;text-anchor:middle}\n"
    ".life{stroke:#333;stroke-width:1.6}.gone{stroke:#c3c8ce;stroke-width:1.6}\n"
    ".lost-work{fill:#f7ece4}.band{fill:#7b8794;fill-opacity:.22}.band-undone{fill:#7b8794;fill-opacity:.10}\n"
    ".kept{stroke:#4a5a6a;stroke-width:1.4;fill:none}.undone{stroke:#b4bcc6;stroke-width:1.2;fill:none}\n"
    ".orphan{stroke:#d0401b;stroke-width:2.2;fill:none}.lost{stroke:#0065a8;stroke-width:2;stroke-dasharray:6 4;fill:none}\n"
    ".weave{opacity:.55}.weave path{stroke-width:1}\n"
    ".cp{fill:#333}.cp-undone{fill:#fff;stroke:#8a939d;stroke-width:1.4}.cp-line{fill:#00805a;stroke:#fff;stroke-width:1}\n"
    ".step{fill:#fff;stroke:#d0401b;stroke-width:1.2}.step-number{font-size:10.5px;fill:#d0401b;font-weight:bold;text-anchor:middle}\n"
    ".line{stroke:#00805a;stroke-width:3.2;stroke-dasharray:11 4 2 4;stroke-linejoin:round;fill:none}\n"
    ".on-line{fill:#00805a;font-weight:bold}.cross{stroke:#b8312f;stroke-width:3.4;stroke-linecap:round}\n";

static void marker(FILE *out, const char *name, const char *colour)
{
    fprintf(out, "<marker id=\"%s\" viewBox=\"0 0 10 10\" refX=\"9.4\" refY=\"5\" markerWidth=\"10\" markerHeight=\"10\" "
                 "markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path d=\"M0 1L10 5L0 9L2.5 5z\" fill=\"%s\"/></marker>\n",
            name, colour);
}

static void print_head(const canvas *c, double width, double height)
{
    char title[512];
    bl_scene_title(c->scene, title, sizeof title);
    fprintf(c->out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.0f %.0f\" "
                    "role=\"img\">\n<title>", width, height, width, height);
    print_text(c->out, title);
    fprintf(c->out, "</title>\n<style>\n%s</style>\n<defs>\n", bl_page_style);
    marker(c->out, "a-kept", "#4a5a6a");
    marker(c->out, "a-undone", "#b4bcc6");
    marker(c->out, "a-orphan", "#d0401b");
    fprintf(c->out, "</defs>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n<text class=\"title\" x=\"24\" y=\"36\">");
    print_text(c->out, title);
    fprintf(c->out, "</text>\n<text class=\"source\" x=\"24\" y=\"56\">");
    print_text(c->out, bl_scene_source(c->scene).s);
    fprintf(c->out, "</text>\n");
}

/* What lies to the right of the line is done again. */
static void print_lost_work(const canvas *c)
{
    const bl_scene *s = c->scene;
    for (uint32_t k = 0; k < s->rows; k++) {
        const bl_lane *row = &s->row[k];
        double from = x_of(c, row->cut_low), to = x_of(c, row->end), y = y_of(c, k);
        if (to - from > 0.5)
            fprintf(c->out, "<rect class=\"lost-work\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>\n", from,
                    y - c->pitch * 0.36, to - from, c->pitch * 0.72);
    }
}

static void print_bands(const canvas *c)
{
    const bl_scene *s = c->scene;
    for (size_t k = 0; k < s->bands; k++) {
        const bl_band *b = &s->band[k];
        double from = y_of(c, b->first) - c->pitch * 0.3, to = y_of(c, b->last) + c->pitch * 0.3;
        fprintf(c->out, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"10\" height=\"%.1f\" rx=\"5\"/>\n",
                b->undone ? "band-undone" : "band", x_of(c, b->at) - 5, from, to - from);
    }
}

static void print_ranks(const canvas *c)
{
    const bl_scene *s = c->scene;
    for (uint32_t k = 0; k < s->rows; k++) {
        const bl_lane *row = &s->row[k];
        double y = y_of(c, k), from = x_of(c, row->begin), cut = x_of(c, row->cut_low), to = x_of(c, row->end);
        fprintf(c->out, "<text class=\"rank%s\" x=\"%d\" y=\"%.1f\" text-anchor=\"end\">", row->failed ? " dead" : "", LEFT - 18, y + 5);
        if (row->ranks == 1)
            fprintf(c->out, "rank %u</text>\n", row->first);
        else
            fprintf(c->out, "%u-%u</text>\n", row->first, row->first + row->ranks - 1);
        fprintf(c->out, "<path class=\"life\" d=\"M%.1f %.1fH%.1f\"/>\n", from, y, cut);
        if (to > cut)
            fprintf(c->out, "<path class=\"gone\" d=\"M%.1f %.1fH%.1f\"/>\n", cut, y, to);
    }
}

static const char *arrow_class(const bl_arrow *a)
{
    switch (a->fate) {
    case BL_FATE_KEPT: case BL_FATE_TRANSIT: return "kept";
    case BL_FATE_ORPHAN: return "orphan";
    case BL_FATE_LOST: return "lost";
    case BL_FATE_UNDONE: return "undone";
    }
    return "kept";
}

static void print_cross(FILE *out, const char *class, double x, double y, double size)
{
    fprintf(out, "<path class=\"%s\" d=\"M%.1f %.1fl%.1f %.1fm0 %.1fl%.1f %.1f\"/>\n", class, x - size, y - size, 2 * size, 2 * size,
            -2 * size, -2 * size, 2 * size);
}

/* An orphan begins in a ring: nobody has sent it any more.  A lost message ends in a cross: nobody receives it any more. */
static void print_arrow(const canvas *c, const bl_arrow *a)
{
    double x1 = x_of(c, a->sent), y1 = y_of(c, a->from), x2 = x_of(c, a->received), y2 = y_of(c, a->to);
    const char *class = arrow_class(a);
    bool small = c->scene->each > 1;
    bool arrives = a->delivered && a->fate != BL_FATE_LOST;
    if (!a->delivered) { /* it got half way */
        x2 = (x1 + x2) / 2;
        y2 = (y1 + y2) / 2;
    }
    double length = hypot(x2 - x1, y2 - y1), gap = a->fate == BL_FATE_ORPHAN && !small ? 5 : 0;
    double dx = (x2 - x1) / length, dy = (y2 - y1) / length;
    fprintf(c->out, "<path class=\"%s\" d=\"M%.1f %.1fL%.1f %.1f\"", class, x1 + gap * dx, y1 + gap * dy, x2 - 2 * dx, y2 - 2 * dy);
    if (arrives)
        fprintf(c->out, " marker-end=\"url(#a-%s)\"", class);
    fprintf(c->out, "/>\n");
    if (gap > 0)
        fprintf(c->out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4.2\" fill=\"#fff\" stroke=\"#d0401b\" stroke-width=\"2\"/>\n", x1, y1);
    if (!arrives)
        fprintf(c->out, "<path d=\"M%.1f %.1fl8 8m0 -8l-8 8\" stroke=\"#0065a8\" stroke-width=\"2\"/>\n", x2 - 2 * dx - 4, y2 - 2 * dy - 4);
}

static void print_count(const canvas *c, const bl_arrow *a)
{
    double x = (x_of(c, a->sent) + x_of(c, a->received)) / 2, y = (y_of(c, a->from) + y_of(c, a->to)) / 2;
    if (a->step)
        fprintf(c->out, "<circle class=\"step\" cx=\"%.1f\" cy=\"%.1f\" r=\"8.5\"/><text class=\"step-number\" x=\"%.1f\" y=\"%.1f\">"
                        "%u</text>\n", x, y, x, y + 3.8, a->step);
    else if (a->messages > 1 && a->delivered)
        fprintf(c->out, "<text class=\"count\" x=\"%.1f\" y=\"%.1f\">%s</text>\n", x, y + 4, bl_text_number(a->messages).s);
}

/* The quiet ones first, so that red lies on top. */
static void print_arrows(const canvas *c)
{
    static const enum bl_fate order[] = {BL_FATE_UNDONE, BL_FATE_KEPT, BL_FATE_LOST, BL_FATE_ORPHAN};
    const bl_scene *s = c->scene;
    if (s->each > 1) /* bundles are a weave: thin and see-through */
        fprintf(c->out, "<g class=\"weave\">\n");
    for (size_t o = 0; o < 4; o++)
        for (size_t k = 0; k < s->arrows; k++)
            if (s->arrow[k].fate == order[o])
                print_arrow(c, &s->arrow[k]);
    if (s->each > 1)
        fprintf(c->out, "</g>\n");
    for (size_t k = 0; k < s->arrows && s->arrows <= COUNTS_MAX; k++)
        print_count(c, &s->arrow[k]);
}

/* A number is left out where the one before it leaves no room. */
static void print_marks(const canvas *c)
{
    static const char *const class[] = {"cp", "cp-line", "cp-undone"};
    const bl_scene *s = c->scene;
    double high = fmin(11, c->pitch * 0.32), free_from = 0;
    for (size_t k = 0; k < s->marks; k++) {
        const bl_mark *m = &s->mark[k];
        double x = x_of(c, m->at), y = y_of(c, m->row), wide = m->state == BL_MARK_LINE ? 4.5 : 3.5;
        double h = m->state == BL_MARK_LINE ? high + 2 : high;
        if (k == 0 || s->mark[k - 1].row != m->row)
            free_from = 0;
        fprintf(c->out, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" rx=\"2\"/>\n", class[m->state],
                x - wide, y - h, 2 * wide, 2 * h);
        bool start = m->number == 0 && s->each == 1;
        if (s->each > 1 || c->pitch < 34 || (!start && x < free_from))
            continue;
        char label[24];
        snprintf(label, sizeof label, start ? "start" : "%u", m->number);
        bool beside = m->state == BL_MARK_LINE; /* of the line, which goes through the mark */
        fprintf(c->out, "<text class=\"num%s\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", beside ? " on-line" : "",
                beside ? x + 7 : x, y + high + 15, beside ? "start" : "middle", label);
        free_from = x + 5 + 7.5 * (double)strlen(label);
    }
}

/* Through what every rank restarts from, and a little beyond the first and the last. */
static void print_line(const canvas *c)
{
    const bl_scene *s = c->scene;
    double top = y_of(c, 0) - fmin(34, c->pitch * 0.7), bottom = y_of(c, s->rows - 1) + fmin(30, c->pitch * 0.6);
    double first = x_of(c, s->row[0].cut_low), label = first;
    fprintf(c->out, "<path class=\"line\" d=\"M%.1f %.1f", first, top);
    for (uint32_t k = 0; k < s->rows; k++)
        fprintf(c->out, "L%.1f %.1f", x_of(c, s->row[k].cut_low), y_of(c, k));
    fprintf(c->out, "L%.1f %.1f\"/>\n", x_of(c, s->row[s->rows - 1].cut_low), bottom);
    label = fmin(fmax(label, LEFT + 20), LEFT + c->width - 20);
    fprintf(c->out, "<text class=\"on-line\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">recovery line</text>\n", label, top - 7);
}

static void print_ends(const canvas *c)
{
    const bl_scene *s = c->scene;
    double size = fmin(8, c->pitch * 0.28);
    for (uint32_t k = 0; k < s->rows; k++) {
        const bl_lane *row = &s->row[k];
        double x = x_of(c, row->end), y = y_of(c, k);
        if (row->failed)
            print_cross(c->out, "cross", x + size + 2, y, size);
        else if (row->keeping == row->ranks)
            fprintf(c->out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"#00805a\"/>\n", x, y, size * 0.75);
    }
}

/* --- what stands around the drawing --- */

static double tick_of(double length)
{
    double step = pow(10, floor(log10(length / 8)));
    double steps = length / step;
    return steps > 40 ? 5 * step : steps > 16 ? 2 * step : step;
}

static void print_axis(const canvas *c)
{
    static const char *const name[] = {"time, in seconds", "time, in steps of the trace", "time, in the order of events"};
    const bl_layout *l = &c->scene->layout;
    double y = TOP + c->height + 14, step = tick_of(l->length);
    fprintf(c->out, "<path d=\"M%d %.1fH%.1f\" stroke=\"#888\"/>\n<path d=\"M%.1f %.1fl10 4.5l-10 4.5z\" fill=\"#888\"/>\n", LEFT, y,
            LEFT + c->width + 6, LEFT + c->width + 6, y - 4.5);
    for (double at = step; at < l->length && l->axis == BL_AXIS_TIME; at += step)
        fprintf(c->out, "<path d=\"M%.1f %.1fv5\" stroke=\"#888\"/><text class=\"note\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">"
                        "%g</text>\n", x_of(c, at), y, x_of(c, at), y + 17, at);
    fprintf(c->out, "<text class=\"note\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s%s</text>\n", LEFT + c->width + 16, y + 32,
            name[l->axis], l->contradicted ? " (the clocks contradict the messages)" : "");
}

static double legend_item(const canvas *c, double x, double y, const char *drawing, const char *words)
{
    fprintf(c->out, "<g transform=\"translate(%.1f %.1f)\">%s<text class=\"note\" x=\"44\" y=\"4\">%s</text></g>\n", x, y, drawing, words);
    return x + 62 + 6.4 * (double)strlen(words);
}

static void legend(const canvas *c, double y)
{
    double x = 24;
    x = legend_item(c, x, y, "<rect class=\"cp\" x=\"14\" y=\"-9\" width=\"7\" height=\"18\" rx=\"2\"/>", "checkpoint");
    x = legend_item(c, x, y, "<rect class=\"cp-undone\" x=\"14\" y=\"-9\" width=\"7\" height=\"18\" rx=\"2\"/>", "undone checkpoint");
    x = legend_item(c, x, y, "<rect class=\"cp-line\" x=\"13\" y=\"-10\" width=\"9\" height=\"20\" rx=\"2\"/>", "restarts here");
    x = legend_item(c, x, y, "<circle cx=\"18\" cy=\"0\" r=\"6\" fill=\"#00805a\"/>", "keeps its memory");
    x = legend_item(c, x, y, "<path class=\"cross\" d=\"M11 -7l14 14m0 -14l-14 14\"/>", "fails");
    legend_item(c, x, y, "<rect class=\"lost-work\" x=\"2\" y=\"-9\" width=\"34\" height=\"18\"/>", "work lost");
    x = 24;
    y += 28;
    x = legend_item(c, x, y, "<path class=\"kept\" d=\"M0 4L34 -4\" marker-end=\"url(#a-kept)\"/>", "message");
    x = legend_item(c, x, y, "<path class=\"undone\" d=\"M0 4L34 -4\" marker-end=\"url(#a-undone)\"/>", "undone at both ends");
    x = legend_item(c, x, y, "<path class=\"orphan\" d=\"M5 3L34 -4\" marker-end=\"url(#a-orphan)\"/>"
                             "<circle cx=\"2\" cy=\"4\" r=\"4.2\" fill=\"#fff\" stroke=\"#d0401b\" stroke-width=\"2\"/>",
                    "orphan: received, but not sent any more");
    x = legend_item(c, x, y, "<path class=\"lost\" d=\"M0 4L30 -3\"/><path d=\"M27 -8l8 8m0 -8l-8 8\" stroke=\"#0065a8\" stroke-width=\"2\"/>",
                    "lost: sent, but not received any more");
    if (c->scene->bands)
        legend_item(c, x, y, "<rect class=\"band\" x=\"13\" y=\"-11\" width=\"10\" height=\"22\" rx=\"5\"/>", "collective");
}

/* Words in lines of at most CAPTION_COLUMNS; returns how many.  out NULL: only counts. */
static int wrap(FILE *out, const char *text, double x, double y)
{
    int lines = 0;
    while (*text) {
        size_t length = strlen(text);
        if (length > CAPTION_COLUMNS)
            for (length = CAPTION_COLUMNS; length > 1 && text[length] != ' '; length--)
                ;
        char line[CAPTION_COLUMNS + 1];
        memcpy(line, text, length);
        line[length] = '\0';
        if (out) {
            fprintf(out, "<text x=\"%.1f\" y=\"%.1f\">", x, y + 20 * lines);
            print_text(out, line);
            fprintf(out, "</text>\n");
        }
        lines++;
        text += length;
        text += *text == ' ';
    }
    return lines;
}

static void describe(const bl_scene *s, char *text, size_t size)
{
    bl_scene_caption(s, text, size);
    size_t used = strlen(text);
    if (s->each > 1)
        snprintf(text + used, size - used, " Each row stands for %u ranks, the line for the one that goes back furthest; %s within a row "
                 "or among too many others are not drawn.", s->each, bl_text_count(s->hidden, "message").s);
}

static void measure(canvas *c)
{
    const bl_scene *s = c->scene;
    c->pitch = s->rows <= 4 ? 92 : s->rows <= 8 ? 68 : s->rows <= 16 ? 44 : 22;
    c->height = c->pitch * s->rows;
    c->width = s->layout.axis == BL_AXIS_TIME ? 980 : fmin(1300, fmax(780, s->layout.length * 36));
}

static void draw(const bl_scene *s, FILE *out)
{
    canvas c = {.scene = s, .out = out};
    char caption[1024];
    measure(&c);
    describe(s, caption, sizeof caption);
    double legend_y = TOP + c.height + AXIS + 34, caption_y = legend_y + 70;
    print_head(&c, fmax(LEFT + c.width + RIGHT, 960), caption_y + 20 * wrap(NULL, caption, 0, 0) + 8);
    print_lost_work(&c);
    print_bands(&c);
    print_ranks(&c);
    print_arrows(&c);
    print_line(&c);
    print_marks(&c);
    print_ends(&c);
    print_axis(&c);
    legend(&c, legend_y);
    wrap(out, caption, 24, caption_y);
    fprintf(out, "</svg>\n");
}

int bl_page_svg(const bl_report *report, const char *path, bl_error *err)
{
    return bl_page_write(report, path, ROWS_MAX, BINS, ARROWS_MAX, draw, err);
}
