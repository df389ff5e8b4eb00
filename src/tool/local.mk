noinst_LTLIBRARIES += libbl_tool.la
libbl_tool_la_SOURCES = src/tool/tool.h src/tool/tool.c src/tool/text.h src/tool/text.c src/tool/view.h src/tool/view.c \
	src/tool/scan.c src/tool/story.h src/tool/story.c src/tool/story_make.h src/tool/story_coordinated.c \
	src/tool/story_independent.c src/tool/story_text.c src/tool/story_trace.c src/tool/report.h src/tool/report.c \
	src/tool/loss.h src/tool/loss.c src/tool/whatif.h src/tool/whatif.c src/tool/layout.h src/tool/layout.c \
	src/tool/scene.h src/tool/scene.c src/tool/svg.c src/tool/page.h src/tool/page.c \
	src/tool/journals.h src/tool/journals.c src/tool/ls.c src/tool/whole.c src/tool/show.c src/tool/verify.c src/tool/gc.c src/tool/line.c src/tool/line_text.c src/tool/line_json.c
nodist_libbl_tool_la_SOURCES = src/tool/page_html.h
libbl_tool_la_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
libbl_tool_libs = libbl_tool.la libbl_protocol.la libbl_line.la libbl_store.la libbl_util.la $(JANSSON_LIBS) -lm
EXTRA_DIST += src/tool/README.md src/tool/page.html src/tool/page.awk

# The page that `belay line --html` writes, as a C array.
src/tool/page_html.h: src/tool/page.html src/tool/page.awk
	$(AM_V_GEN)$(MKDIR_P) src/tool && $(AWK) -f $(srcdir)/src/tool/page.awk $(srcdir)/src/tool/page.html >$@.tmp && mv $@.tmp $@
$(libbl_tool_la_OBJECTS): src/tool/page_html.h
BUILT_SOURCES += src/tool/page_html.h
CLEANFILES += src/tool/page_html.h

bin_PROGRAMS += belay
belay_SOURCES = src/tool/main.c
belay_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
belay_LDADD = libbl_run.la $(libbl_tool_libs)
