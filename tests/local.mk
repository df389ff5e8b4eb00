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
