include tests/line.mk
include tests/protocol.mk
include tests/store.mk
include tests/tool.mk
include tests/mpi.mk
include tests/fortran.mk

check_PROGRAMS += $(PURE_TESTS)

# What needs no MPI at all: runs under the sanitizers too.
check-pure:
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(PURE_TESTS)'
.PHONY: check-pure

# All tests on Debian 13, which has Open MPI 5; in a chroot, so this needs root.  ULFM_ROOT is where it is made, and stays.
ULFM_ROOT = $(abs_top_builddir)/trixie
check-ulfm:
	$(srcdir)/tests/second.sh $(ULFM_ROOT)
.PHONY: check-ulfm
EXTRA_DIST += tests/second.sh
