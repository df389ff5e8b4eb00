# benchmarks of src/line
BENCHES += bench/line_domino
bench_line_domino_SOURCES = bench/line_domino.c
bench_line_domino_LDADD = libbl_line.la libbl_util.la
BENCHES += bench/line_stream
bench_line_stream_SOURCES = bench/line_stream.c
bench_line_stream_CFLAGS = $(AM_CFLAGS) $(HDF5_CFLAGS)
bench_line_stream_LDADD = libbl_line.la libbl_store.la libbl_util.la
# it runs the tool
EXTRA_bench_line_stream_DEPENDENCIES = belay$(EXEEXT)
