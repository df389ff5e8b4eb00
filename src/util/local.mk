noinst_LTLIBRARIES += libbl_util.la
libbl_util_la_SOURCES = src/util/error.c src/util/error.h src/util/settings.c src/util/settings.h \
	src/util/kill.c src/util/kill.h src/util/step.h src/util/clock.h src/util/memory.c src/util/memory.h
EXTRA_DIST += src/util/README.md
