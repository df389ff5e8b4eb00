# BENCHES: programs that are a benchmark each.  bench_scripts: scripts that run bench_parts, programs that are none by
# themselves.  `make bench` builds and runs them all, `make bench-NAME` one or those of one part of the project.
bench_scripts =
bench_parts =

include bench/line.mk
include bench/protocol.mk
include bench/store.mk
include bench/tool.mk
include bench/mpi.mk

EXTRA_PROGRAMS += $(BENCHES) $(bench_parts)
CLEANFILES += $(EXTRA_PROGRAMS)
EXTRA_DIST += bench/README.md bench/run.sh bench/common.sh $(bench_scripts)

bench_names = line store tool mpi heat2d safepoint restart memory piggyback logging redundancy async storage recovery
bench_targets = bench $(bench_names:%=bench-%)
$(bench_targets): $(BENCHES) $(bench_parts)
	@which=$@; which=$${which#bench}; which=$${which#-}; set --; \
	for b in $(BENCHES); do set -- "$$@" "./$$b"; done; \
	for b in $(bench_scripts); do set -- "$$@" "$(srcdir)/$$b"; done; \
	BENCH_BUILD=. sh "$(srcdir)/bench/run.sh" "$${which:-all}" "$$@"
.PHONY: $(bench_targets)
