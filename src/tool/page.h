/* page.h - the report as a picture: one SVG file, or one HTML page with everything in it. */
#ifndef BL_TOOL_PAGE_H
#define BL_TOOL_PAGE_H

#include <stdio.h>

#include "tool/report.h"
#include "tool/scene.h"

int bl_page_svg(const bl_report *report, const char *path, bl_error *err);
int bl_page_html(const bl_report *report, const char *path, bl_error *err);

/* Makes the scene, within these limits, and has it printed to a new file. */
int bl_page_write(const bl_report *report, const char *path, uint32_t rows, uint32_t bins, size_t arrows,
                  void (*print)(const bl_scene *, FILE *), bl_error *err);

extern const char bl_page_style[]; /* the CSS of both */

#endif
