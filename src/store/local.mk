noinst_LTLIBRARIES += libbl_store.la
libbl_store_la_SOURCES = src/store/store.h src/store/live.h src/store/late.h src/store/late_file.h src/store/internal.h src/store/h5file.h src/store/layout.h src/store/json.h src/store/seal.h \
	src/store/store.c src/store/fence.c src/store/file.c src/store/digest.c src/store/hash.h src/store/json.c src/store/h5file.c src/store/layout.c \
	src/store/seal.c src/store/snapshot_write.c src/store/snapshot_read.c src/store/commit.c src/store/garbage.c src/store/live.c \
	src/store/late.c src/store/late_settle.c src/store/start.c src/store/start.h src/store/ahead.h src/store/ahead.c \
	src/store/journal.h src/store/journal_file.h src/store/journal.c src/store/journal_read.c src/store/trail.c src/store/trail.h src/store/takeover.h src/store/takeover.c src/store/holder.c \
	src/store/trace_file.h src/store/trace_file.c \
	src/store/erasure.h src/store/erasure.c src/store/parity.h src/store/parity.c src/store/rebuild.c src/store/place.c src/store/whole.h src/store/whole.c
libbl_store_la_CPPFLAGS = $(AM_CPPFLAGS) -D_GNU_SOURCE
libbl_store_la_CFLAGS = $(AM_CFLAGS) $(HDF5_CFLAGS) $(JANSSON_CFLAGS) $(XXHASH_CFLAGS) $(ISAL_CFLAGS)
libbl_store_la_LIBADD = $(HDF5_LIBS) $(JANSSON_LIBS) $(XXHASH_LIBS) $(ISAL_LIBS) -lm
EXTRA_DIST += src/store/README.md
