noinst_LTLIBRARIES += libbl_tool.la
libbl_tool_la_SOURCES = src/tool/tool.h src/tool/tool.c src/tool/text.h src/tool/text.c src/tool/view.h src/tool/view.c \
	src/tool/scan.c src/tool/story.h src/tool/story.c src/tool/ls.c src/tool/show.c src/tool/verify.c src/tool/line.c \
	src/tool/gc.c
libbl_tool_la_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
libbl_tool_libs = libbl_tool.la libbl_line.la libbl_store.la libbl_util.la $(JANSSON_LIBS)
EXTRA_DIST += src/tool/README.md

bin_PROGRAMS += belay
belay_SOURCES = src/tool/main.c
belay_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
belay_LDADD = libbl_run.la $(libbl_tool_libs)
