# benchmarks of src/line
BENCHES += bench/line_domino
bench_line_domino_SOURCES = bench/line_domino.c
bench_line_domino_LDADD = libbl_line.la libbl_util.la
