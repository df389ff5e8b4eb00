noinst_LTLIBRARIES += libbl_line.la
libbl_line_la_SOURCES = \
	src/line/line.h src/line/table.h src/line/table.c src/line/graph.h src/line/graph.c \
	src/line/solve.h src/line/solve.c src/line/with.c src/line/why.c src/line/check.c \
	src/line/components.c src/line/garbage.c src/line/trace.h src/line/trace.c \
	src/line/history.h src/line/history.c src/line/intervals.h src/line/intervals.c
EXTRA_DIST += src/line/README.md
