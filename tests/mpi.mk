# tests of src/mpi and src/run
mpi_scripts = tests/fault/run_steps.sh tests/fault/run_points.sh tests/fault/run_random.sh tests/mpi/transit.sh \
	tests/fault/run_ends.sh tests/fault/run_stop.sh tests/fault/run_damage.sh tests/fault/run_redundancy.sh tests/fault/run_nodes.sh tests/fault/run_async.sh tests/fault/run_chaos.sh tests/fault/run_elastic.sh tests/fault/run_files.sh tests/fault/run_injob.sh tests/fault/run_fence.sh tests/fault/run_independent.sh tests/fault/run_induced.sh tests/fault/run_logged.sh tests/fault/run_depend.sh tests/fault/run_chance.sh tests/fault/run_replay.sh \
	tests/mpi/hygiene.sh tests/mpi/installed.sh tests/mpi/traffic.sh tests/mpi/variables.sh tests/mpi/programs.sh
MPI_TESTS += $(mpi_scripts)
AM_TESTS_ENVIRONMENT = CC='$(CC)'; MPI_CFLAGS='$(MPI_CFLAGS)'; MPI_LIBS='$(MPI_LIBS)'; export CC MPI_CFLAGS MPI_LIBS;
EXTRA_DIST += $(mpi_scripts) tests/mpi/lib.sh tests/fault/nodes.sh

check_PROGRAMS += tests/mpi/breaker tests/mpi/elastic tests/mpi/ownfile tests/mpi/overtaken
tests_mpi_ownfile_SOURCES = tests/mpi/ownfile.c
tests_mpi_ownfile_CFLAGS = $(AM_CFLAGS) $(MPI_CFLAGS)
tests_mpi_ownfile_LDADD = src/mpi/libbelay.la $(MPI_LIBS)
tests_mpi_overtaken_SOURCES = tests/mpi/overtaken.c
tests_mpi_overtaken_CFLAGS = $(AM_CFLAGS) $(MPI_CFLAGS)
tests_mpi_overtaken_LDADD = src/mpi/libbelay.la $(MPI_LIBS)
tests_mpi_elastic_SOURCES = tests/mpi/elastic.c
tests_mpi_elastic_CFLAGS = $(AM_CFLAGS) $(MPI_CFLAGS)
tests_mpi_elastic_LDADD = src/mpi/libbelay.la $(MPI_LIBS)
tests_mpi_breaker_SOURCES = tests/mpi/breaker.c
tests_mpi_breaker_CFLAGS = $(AM_CFLAGS) $(MPI_CFLAGS)
tests_mpi_breaker_LDADD = src/mpi/libbelay.la $(MPI_LIBS)

check_PROGRAMS += tests/mpi/chance tests/mpi/handles tests/mpi/ahead tests/mpi/slow tests/mpi/stream tests/mpi/late tests/mpi/trees tests/mpi/asks
tests_mpi_asks_SOURCES = tests/mpi/asks.c
tests_mpi_asks_CFLAGS = $(AM_CFLAGS) $(MPI_CFLAGS)
tests_mpi_asks_LDADD = src/mpi/libbelay.la $(MPI_LIBS)
tests_mpi_late_SOURCES = tests/mpi/late.c
tests_mpi_late_CFLAGS = $(AM_CFLAGS) $(MPI_CFLAGS)
tests_mpi_late_LDADD = src/mpi/libbelay.la $(MPI_LIBS)
tests_mpi_slow_SOURCES = tests/mpi/slow.c
tests_mpi_slow_CFLAGS = $(AM_CFLAGS) $(MPI_CFLAGS)
tests_mpi_slow_LDADD = src/mpi/libbelay.la $(MPI_LIBS)
tests_mpi_stream_SOURCES = tests/mpi/stream.c
tests_mpi_stream_CFLAGS = $(AM_CFLAGS) $(MPI_CFLAGS)
tests_mpi_stream_LDADD = src/mpi/libbelay.la $(MPI_LIBS)
tests_mpi_ahead_SOURCES = tests/mpi/ahead.c
tests_mpi_ahead_CFLAGS = $(AM_CFLAGS) $(MPI_CFLAGS)
tests_mpi_ahead_LDADD = src/mpi/libbelay.la $(MPI_LIBS)
tests_mpi_handles_SOURCES = tests/mpi/handles.c
tests_mpi_handles_CFLAGS = $(AM_CFLAGS) $(MPI_CFLAGS)
tests_mpi_handles_LDADD = src/mpi/libbelay.la $(MPI_LIBS)
tests_mpi_chance_SOURCES = tests/mpi/chance.c
tests_mpi_chance_CFLAGS = $(AM_CFLAGS) $(MPI_CFLAGS)
tests_mpi_chance_LDADD = src/mpi/libbelay.la $(MPI_LIBS)
tests_mpi_trees_SOURCES = tests/mpi/trees.c src/mpi/trees.c
tests_mpi_trees_CFLAGS = $(AM_CFLAGS) $(MPI_CFLAGS)
tests_mpi_trees_LDADD = $(MPI_LIBS)

check_PROGRAMS += tests/mpi/threaded tests/mpi/forked
tests_mpi_forked_SOURCES = tests/mpi/forked.c
tests_mpi_forked_CFLAGS = $(AM_CFLAGS) $(MPI_CFLAGS) -pthread
tests_mpi_forked_LDFLAGS = $(AM_LDFLAGS) -export-dynamic
tests_mpi_forked_LDADD = src/mpi/libbelay.la $(MPI_LIBS) -lpthread
tests_mpi_threaded_SOURCES = tests/mpi/threaded.c
tests_mpi_threaded_CFLAGS = $(AM_CFLAGS) $(MPI_CFLAGS) -pthread
tests_mpi_threaded_LDADD = src/mpi/libbelay.la $(MPI_LIBS) -lpthread
check_PROGRAMS += tests/mpi/ends tests/mpi/fence tests/mpi/newer
tests_mpi_ends_SOURCES = tests/mpi/ends.c
tests_mpi_ends_CFLAGS = $(AM_CFLAGS) $(MPI_CFLAGS)
tests_mpi_ends_LDADD = src/mpi/libbelay.la $(MPI_LIBS)
tests_mpi_fence_SOURCES = tests/mpi/fence.c
tests_mpi_fence_LDADD = libbl_store.la libbl_util.la
tests_mpi_newer_SOURCES = tests/mpi/newer.c
tests_mpi_newer_LDADD = libbl_store.la libbl_util.la

if HAVE_CMOCKA
PURE_TESTS += tests/unit/test_due tests/unit/test_settings
tests_unit_test_due_SOURCES = tests/unit/test_due.c
tests_unit_test_due_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_due_LDADD = libbl_protocol.la libbl_util.la $(CMOCKA_LIBS) -lm
tests_unit_test_settings_SOURCES = tests/unit/test_settings.c
tests_unit_test_settings_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_settings_LDADD = libbl_util.la $(CMOCKA_LIBS) -lm
endif

check_PROGRAMS += tests/mpi/traffic
tests_mpi_traffic_SOURCES = tests/mpi/traffic.c
tests_mpi_traffic_CFLAGS = $(AM_CFLAGS) $(MPI_CFLAGS)
tests_mpi_traffic_LDADD = src/mpi/libbelay.la libbl_store.la libbl_util.la $(MPI_LIBS)

check_PROGRAMS += tests/mpi/variables
tests_mpi_variables_SOURCES = tests/mpi/variables.c
tests_mpi_variables_CFLAGS = $(AM_CFLAGS) $(MPI_CFLAGS)
tests_mpi_variables_LDADD = src/mpi/libbelay.la $(MPI_LIBS)

# every call against mpi.h, and the traps of counting
mpi_coverage_scripts = tests/mpi/coverage.sh tests/mpi/traps.sh tests/mpi/corners.sh
MPI_TESTS += $(mpi_coverage_scripts)
EXTRA_DIST += $(mpi_coverage_scripts)
check_PROGRAMS += tests/mpi/corners
tests_mpi_corners_SOURCES = tests/mpi/corners.c tests/mpi/totals.h
tests_mpi_corners_CFLAGS = $(AM_CFLAGS) $(MPI_CFLAGS) -pthread
tests_mpi_corners_LDADD = src/mpi/libbelay.la libbl_store.la libbl_util.la $(MPI_LIBS) -lpthread
check_PROGRAMS += tests/mpi/kernel
tests_mpi_kernel_SOURCES = tests/mpi/kernel.c
tests_mpi_kernel_CFLAGS = $(AM_CFLAGS) $(MPI_CFLAGS)
tests_mpi_kernel_LDADD = src/mpi/libbelay.la $(MPI_LIBS)
check_PROGRAMS += tests/mpi/traps
tests_mpi_traps_SOURCES = tests/mpi/traps.c tests/mpi/totals.h
tests_mpi_traps_CFLAGS = $(AM_CFLAGS) $(MPI_CFLAGS)
tests_mpi_traps_LDADD = src/mpi/libbelay.la libbl_store.la libbl_util.la $(MPI_LIBS)

# induced checkpoints: messages under way across every line
check_PROGRAMS += tests/mpi/lag
tests_mpi_lag_SOURCES = tests/mpi/lag.c
tests_mpi_lag_CFLAGS = $(AM_CFLAGS) $(MPI_CFLAGS)
tests_mpi_lag_LDADD = src/mpi/libbelay.la $(MPI_LIBS)
# what rides on messages and beside them, against the truth
mpi_piggyback_scripts = tests/mpi/piggyback.sh
MPI_TESTS += $(mpi_piggyback_scripts)
EXTRA_DIST += $(mpi_piggyback_scripts)
check_PROGRAMS += tests/mpi/piggyback
tests_mpi_piggyback_SOURCES = tests/mpi/piggyback.c
tests_mpi_piggyback_CFLAGS = $(AM_CFLAGS) $(MPI_CFLAGS) -pthread
tests_mpi_piggyback_LDADD = src/mpi/libbelay.la libbl_line.la libbl_store.la libbl_util.la $(MPI_LIBS) -lpthread
check_PROGRAMS += tests/mpi/carried
tests_mpi_carried_SOURCES = tests/mpi/carried.c
tests_mpi_carried_CFLAGS = $(AM_CFLAGS) $(MPI_CFLAGS)
tests_mpi_carried_LDADD = src/mpi/libbelay.la $(MPI_LIBS)
