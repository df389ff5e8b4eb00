noinst_LTLIBRARIES += libbl_util.la
libbl_util_la_SOURCES = src/util/error.c src/util/error.h
