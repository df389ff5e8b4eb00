# tests of src/line
PURE_TESTS += tests/unit/test_line tests/unit/test_line_trace tests/sim/line_random
tests_unit_test_line_SOURCES = tests/unit/test_line.c
tests_unit_test_line_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_line_LDADD = libbl_line.la libbl_util.la $(CMOCKA_LIBS)
tests_unit_test_line_trace_SOURCES = tests/unit/test_line_trace.c
tests_unit_test_line_trace_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_line_trace_LDADD = libbl_line.la libbl_util.la $(CMOCKA_LIBS)
tests_sim_line_random_SOURCES = tests/sim/line_random.c
tests_sim_line_random_LDADD = libbl_line.la libbl_util.la
PURE_TESTS += tests/unit/test_line_history tests/sim/history_random
tests_unit_test_line_history_SOURCES = tests/unit/test_line_history.c
tests_unit_test_line_history_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_line_history_LDADD = libbl_line.la libbl_util.la $(CMOCKA_LIBS)
tests_sim_history_random_SOURCES = tests/sim/history_random.c
tests_sim_history_random_LDADD = libbl_line.la libbl_util.la
