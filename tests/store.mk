# tests of src/store
store_test_common = tests/unit/test_store_common.c tests/unit/test_store_common.h
store_test_cppflags = $(AM_CPPFLAGS) -D_GNU_SOURCE -I$(top_srcdir)/tests/unit
store_test_cflags = $(AM_CFLAGS) $(CMOCKA_CFLAGS) $(HDF5_CFLAGS)
store_test_libs = libbl_store.la libbl_util.la $(HDF5_LIBS) $(CMOCKA_LIBS)

PURE_TESTS += tests/unit/test_store tests/unit/test_store_snapshot tests/unit/test_store_commit tests/unit/test_store_late tests/unit/test_store_journal
tests_unit_test_store_SOURCES = tests/unit/test_store.c $(store_test_common)
tests_unit_test_store_CPPFLAGS = $(store_test_cppflags)
tests_unit_test_store_CFLAGS = $(store_test_cflags)
tests_unit_test_store_LDADD = $(store_test_libs)
tests_unit_test_store_snapshot_SOURCES = tests/unit/test_store_snapshot.c $(store_test_common)
tests_unit_test_store_snapshot_CPPFLAGS = $(store_test_cppflags)
tests_unit_test_store_snapshot_CFLAGS = $(store_test_cflags)
tests_unit_test_store_snapshot_LDADD = $(store_test_libs)
tests_unit_test_store_commit_SOURCES = tests/unit/test_store_commit.c $(store_test_common)
tests_unit_test_store_commit_CPPFLAGS = $(store_test_cppflags)
tests_unit_test_store_commit_CFLAGS = $(store_test_cflags)
tests_unit_test_store_commit_LDADD = $(store_test_libs)
tests_unit_test_store_late_SOURCES = tests/unit/test_store_late.c $(store_test_common)
tests_unit_test_store_late_CPPFLAGS = $(store_test_cppflags)
tests_unit_test_store_late_CFLAGS = $(store_test_cflags)
tests_unit_test_store_late_LDADD = $(store_test_libs)

tests_unit_test_store_journal_SOURCES = tests/unit/test_store_journal.c $(store_test_common)
tests_unit_test_store_journal_CPPFLAGS = $(store_test_cppflags)
tests_unit_test_store_journal_CFLAGS = $(store_test_cflags) $(XXHASH_CFLAGS)
tests_unit_test_store_journal_LDADD = $(store_test_libs) $(XXHASH_LIBS)

PURE_TESTS += tests/unit/test_takeover
tests_unit_test_takeover_SOURCES = tests/unit/test_takeover.c $(store_test_common)
tests_unit_test_takeover_CPPFLAGS = $(store_test_cppflags)
tests_unit_test_takeover_CFLAGS = $(store_test_cflags) $(XXHASH_CFLAGS)
tests_unit_test_takeover_LDADD = $(store_test_libs) $(XXHASH_LIBS)

PURE_TESTS += tests/unit/test_parity
tests_unit_test_parity_SOURCES = tests/unit/test_parity.c $(store_test_common)
tests_unit_test_parity_CPPFLAGS = $(store_test_cppflags)
tests_unit_test_parity_CFLAGS = $(store_test_cflags)
tests_unit_test_parity_LDADD = $(store_test_libs)

PURE_TESTS += tests/unit/test_erasure
tests_unit_test_erasure_SOURCES = tests/unit/test_erasure.c
tests_unit_test_erasure_CFLAGS = $(AM_CFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_erasure_LDADD = libbl_store.la $(CMOCKA_LIBS)

PURE_TESTS += tests/unit/test_past
tests_unit_test_past_SOURCES = tests/unit/test_past.c $(store_test_common)
tests_unit_test_past_CPPFLAGS = $(store_test_cppflags)
tests_unit_test_past_CFLAGS = $(store_test_cflags)
tests_unit_test_past_LDADD = libbl_recovery.la libbl_line.la $(store_test_libs)

# Programs that stand between src/store and the system: what store_io.c defines comes before libc's.
store_fault_common = tests/fault/store_io.c tests/fault/store_io.h tests/fault/store_scenario.c tests/fault/store_scenario.h \
	$(store_test_common)

PURE_TESTS += tests/fault/store_crash tests/fault/store_faults
tests_fault_store_crash_SOURCES = tests/fault/store_crash.c $(store_fault_common)
tests_fault_store_crash_CPPFLAGS = $(store_test_cppflags)
tests_fault_store_crash_CFLAGS = $(store_test_cflags) $(XXHASH_CFLAGS)
tests_fault_store_crash_LDADD = $(store_test_libs) $(XXHASH_LIBS)
tests_fault_store_faults_SOURCES = tests/fault/store_faults.c $(store_fault_common)
tests_fault_store_faults_CPPFLAGS = $(store_test_cppflags)
tests_fault_store_faults_CFLAGS = $(store_test_cflags)
tests_fault_store_faults_LDADD = $(store_test_libs)
