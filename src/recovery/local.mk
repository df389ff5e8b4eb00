noinst_LTLIBRARIES += libbl_recovery.la
libbl_recovery_la_SOURCES = src/recovery/past.c src/recovery/trace.c src/recovery/past.h
EXTRA_DIST += src/recovery/README.md
