lib_LTLIBRARIES += src/mpi/libbelay.la
src_mpi_libbelay_la_SOURCES = src/mpi/init.c src/mpi/comms.c src/mpi/requests.c src/mpi/p2p.c src/mpi/inject.c \
	src/mpi/objects.c src/mpi/threads.c src/mpi/waits.c src/mpi/report.c src/mpi/variables.c src/mpi/recover.c \
	src/mpi/checkpoint.c src/mpi/coordinated.c src/mpi/independent.c src/mpi/induced.c src/mpi/resend.c src/mpi/snapshot.c \
	src/mpi/injob.c src/mpi/injob.h src/mpi/local.c src/mpi/local.h src/mpi/redundancy.c src/mpi/redundancy.h src/mpi/stage.c src/mpi/fork.c src/mpi/fork.h src/mpi/transport.c src/mpi/maps.c src/mpi/files.c src/mpi/ride.c src/mpi/carry.c src/mpi/parcel.c src/mpi/beside.c src/mpi/layout.c \
	src/mpi/logging.c src/mpi/logged.c src/mpi/depend.c src/mpi/depend.h src/mpi/outcome.c src/mpi/feed.c src/mpi/replay.c src/mpi/trees.c src/mpi/log.h src/mpi/logging.h src/mpi/trees.h \
	src/mpi/checkpoint.h src/mpi/runtime.h src/mpi/ride.h src/mpi/carry.h src/mpi/parcel.h
nodist_src_mpi_libbelay_la_SOURCES = src/mpi/wrappers.c src/mpi/calls.inc
# -fno-plt: a wrapper is a call more, and this makes it one jump less.
src_mpi_libbelay_la_CFLAGS = $(AM_CFLAGS) $(MPI_CFLAGS) -fno-plt
src_mpi_libbelay_la_LIBADD = libbl_recovery.la libbl_line.la libbl_store.la libbl_protocol.la libbl_util.la $(MPI_LIBS) -lm
src_mpi_libbelay_la_LDFLAGS = $(AM_LDFLAGS) -version-info 0:0:0 -no-undefined \
	-Wl,--version-script=$(top_srcdir)/src/mpi/belay.map
EXTRA_src_mpi_libbelay_la_DEPENDENCIES = src/mpi/belay.map

src/mpi/calls.inc: $(srcdir)/src/mpi/calls.def $(srcdir)/src/mpi/wrap.awk
	$(AM_V_GEN)$(MKDIR_P) src/mpi && $(AWK) -v out=list -f $(srcdir)/src/mpi/wrap.awk $(srcdir)/src/mpi/calls.def >$@.tmp && mv $@.tmp $@
src/mpi/wrappers.c: $(srcdir)/src/mpi/calls.def $(srcdir)/src/mpi/wrap.awk
	$(AM_V_GEN)$(MKDIR_P) src/mpi && $(AWK) -v out=code -f $(srcdir)/src/mpi/wrap.awk $(srcdir)/src/mpi/calls.def >$@.tmp && mv $@.tmp $@
BUILT_SOURCES += src/mpi/calls.inc src/mpi/wrappers.c
CLEANFILES += src/mpi/calls.inc src/mpi/wrappers.c
EXTRA_DIST += src/mpi/calls.def src/mpi/wrap.awk src/mpi/belay.map src/mpi/README.md
EXTRA_DIST += src/mpi/others.def src/mpi/coverage.awk
dist_doc_DATA += doc/mpi-coverage.md

# The page is committed: it is made again by hand, when a table has changed, and tests/mpi/coverage.sh says so.
mpi-coverage:
	$(AWK) -f $(srcdir)/src/mpi/coverage.awk $(srcdir)/src/mpi/calls.def $(srcdir)/src/mpi/others.def >$(srcdir)/doc/mpi-coverage.md
.PHONY: mpi-coverage
