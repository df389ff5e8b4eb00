# benchmarks of src/tool
BENCHES += bench/tool_line
bench_tool_line_SOURCES = bench/tool_line.c tests/unit/test_tool_job.c tests/unit/test_tool_job.h
bench_tool_line_CPPFLAGS = $(AM_CPPFLAGS) -I$(top_srcdir)/tests
bench_tool_line_LDADD = $(libbl_tool_libs)
