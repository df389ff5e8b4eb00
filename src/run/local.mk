noinst_LTLIBRARIES += libbl_run.la
libbl_run_la_SOURCES = src/run/run.c src/run/run.h src/run/internal.h src/run/options.c src/run/events.c src/run/launch.c src/run/nodes.c \
	src/run/watch.c src/run/postmortem.c src/run/own.c src/run/replay.c
libbl_run_la_CPPFLAGS = $(AM_CPPFLAGS) -DBL_LIBDIR='"$(libdir)"'
libbl_run_la_CFLAGS = $(AM_CFLAGS) $(JANSSON_CFLAGS)
libbl_run_la_LIBADD = libbl_recovery.la libbl_line.la libbl_store.la libbl_util.la $(JANSSON_LIBS)
EXTRA_DIST += src/run/README.md
