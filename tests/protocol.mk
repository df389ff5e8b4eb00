# tests of src/protocol
commit_sim = tests/sim/sim_world.c tests/sim/sim_world.h

PURE_TESTS += tests/sim/sim_commit tests/sim/commit_mutants tests/sim/commit_crashes tests/sim/sim_coordinated
tests_sim_sim_commit_SOURCES = tests/sim/sim_commit.c $(commit_sim)
tests_sim_sim_commit_LDADD = libbl_protocol.la libbl_util.la
tests_sim_commit_mutants_SOURCES = tests/sim/commit_mutants.c $(commit_sim)
tests_sim_commit_mutants_LDADD = libbl_protocol.la libbl_util.la
tests_sim_commit_crashes_SOURCES = tests/sim/commit_crashes.c $(commit_sim)
tests_sim_commit_crashes_LDADD = libbl_protocol.la libbl_util.la
tests_sim_sim_coordinated_SOURCES = tests/sim/sim_coordinated.c
tests_sim_sim_coordinated_LDADD = libbl_protocol.la libbl_util.la
PURE_TESTS += tests/sim/sim_induced
tests_sim_sim_induced_SOURCES = tests/sim/sim_induced.c
tests_sim_sim_induced_LDADD = libbl_protocol.la libbl_line.la libbl_util.la

PURE_TESTS += tests/sim/sim_induced_run
tests_sim_sim_induced_run_SOURCES = tests/sim/sim_induced_run.c
tests_sim_sim_induced_run_LDADD = libbl_protocol.la libbl_line.la libbl_util.la

PURE_TESTS += tests/sim/sim_independent
tests_sim_sim_independent_SOURCES = tests/sim/sim_independent.c
tests_sim_sim_independent_LDADD = libbl_line.la libbl_util.la

PURE_TESTS += tests/sim/sim_logged
tests_sim_sim_logged_SOURCES = tests/sim/sim_logged.c

PURE_TESTS += tests/sim/sim_depend
tests_sim_sim_depend_SOURCES = tests/sim/sim_depend.c
tests_sim_sim_depend_LDADD = libbl_protocol.la libbl_line.la libbl_util.la

PURE_TESTS += tests/sim/sim_msglog
tests_sim_sim_msglog_SOURCES = tests/sim/sim_msglog.c
tests_sim_sim_msglog_LDADD = libbl_protocol.la libbl_util.la

if HAVE_CMOCKA
PURE_TESTS += tests/unit/test_pace
tests_unit_test_pace_SOURCES = tests/unit/test_pace.c
tests_unit_test_pace_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_pace_LDADD = libbl_protocol.la libbl_util.la -lm $(CMOCKA_LIBS)
PURE_TESTS += tests/unit/test_commit tests/unit/test_commit_coordinated
tests_unit_test_commit_SOURCES = tests/unit/test_commit.c
tests_unit_test_commit_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_commit_LDADD = libbl_protocol.la libbl_util.la $(CMOCKA_LIBS)
tests_unit_test_commit_coordinated_SOURCES = tests/unit/test_commit_coordinated.c
tests_unit_test_commit_coordinated_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_commit_coordinated_LDADD = libbl_protocol.la libbl_util.la $(CMOCKA_LIBS)
PURE_TESTS += tests/unit/test_msglog
tests_unit_test_msglog_SOURCES = tests/unit/test_msglog.c
tests_unit_test_msglog_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_msglog_LDADD = libbl_protocol.la libbl_line.la libbl_util.la $(CMOCKA_LIBS)
PURE_TESTS += tests/unit/test_induced
tests_unit_test_induced_SOURCES = tests/unit/test_induced.c
tests_unit_test_induced_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_induced_LDADD = libbl_protocol.la libbl_util.la $(CMOCKA_LIBS)
endif

# A script, so among the tests that are not programs; skipped where Spin is not installed.
MPI_TESTS += tests/model/run.sh
EXTRA_DIST += tests/model/commit.pml tests/model/run.sh

PURE_TESTS += tests/unit/test_groups
tests_unit_test_groups_SOURCES = tests/unit/test_groups.c
tests_unit_test_groups_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_groups_LDADD = libbl_protocol.la libbl_util.la $(CMOCKA_LIBS)
