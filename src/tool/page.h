/* page.h - the report as a picture: one SVG file, or one HTML page with everything in it. */
#ifndef BL_TOOL_PAGE_H
#define BL_TOOL_PAGE_H

#include "tool/report.h"

int bl_page_svg(const bl_report *report, const char *path, bl_error *err);
int bl_page_html(const bl_report *report, const char *path, bl_error *err);

extern const char bl_page_style[]; /* the CSS of both */

#endif
