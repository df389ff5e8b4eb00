include bench/line.mk
include bench/protocol.mk
include bench/store.mk
include bench/tool.mk
include bench/mpi.mk

EXTRA_PROGRAMS += $(BENCHES)
