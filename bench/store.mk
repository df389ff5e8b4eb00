# benchmarks of src/store
BENCHES += bench/store_snapshot
bench_store_snapshot_SOURCES = bench/store_snapshot.c
bench_store_snapshot_CPPFLAGS = $(AM_CPPFLAGS) -D_GNU_SOURCE
bench_store_snapshot_LDADD = libbl_store.la libbl_util.la
