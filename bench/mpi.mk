# benchmarks of src/mpi: programs in two kinds, with Belay linked and without, and the scripts that compare them
bench_scripts += bench/mpi_heat2d.sh bench/mpi_safepoint.sh bench/mpi_restart.sh bench/mpi_memory.sh bench/mpi_piggyback.sh bench/mpi_logging.sh bench/mpi_redundancy.sh bench/mpi_async.sh bench/mpi_recovery.sh
bench_parts += bench/mpi_heat2d bench/mpi_safepoint bench/mpi_restart bench/mpi_read \
	bench/mpi_memory_belay bench/mpi_memory_plain bench/mpi_piggyback bench/mpi_wildcard bench/mpi_redundancy bench/mpi_async

# -no-install: no wrapper script of libtool between mpirun and the program.
bench_mpi_cflags = $(AM_CFLAGS) $(MPI_CFLAGS)
bench_mpi_ldflags = $(AM_LDFLAGS) -no-install
bench_mpi_belay = src/mpi/libbelay.la $(MPI_LIBS)

# The plain half is a library of its own, for its own flags.
EXTRA_LTLIBRARIES = bench/libheat2d_plain.la
bench_libheat2d_plain_la_SOURCES = bench/mpi_heat2d_steps.c
bench_libheat2d_plain_la_CFLAGS = $(bench_mpi_cflags) -DPLAIN -Wno-unused-function
bench_mpi_heat2d_SOURCES = bench/mpi_heat2d.c bench/mpi_heat2d_steps.c
bench_mpi_heat2d_CFLAGS = $(bench_mpi_cflags) -Wno-unused-function
bench_mpi_heat2d_LDFLAGS = $(bench_mpi_ldflags)
bench_mpi_heat2d_LDADD = bench/libheat2d_plain.la $(bench_mpi_belay)

bench_mpi_safepoint_SOURCES = bench/mpi_safepoint.c
bench_mpi_safepoint_CFLAGS = $(bench_mpi_cflags)
bench_mpi_safepoint_LDFLAGS = $(bench_mpi_ldflags)
bench_mpi_safepoint_LDADD = $(bench_mpi_belay)

bench_mpi_restart_SOURCES = bench/mpi_restart.c
bench_mpi_restart_CFLAGS = $(bench_mpi_cflags)
bench_mpi_restart_LDFLAGS = $(bench_mpi_ldflags)
bench_mpi_restart_LDADD = $(bench_mpi_belay)
bench_mpi_read_SOURCES = bench/mpi_read.c
bench_mpi_read_CFLAGS = $(bench_mpi_cflags)
bench_mpi_read_LDFLAGS = $(bench_mpi_ldflags)
bench_mpi_read_LDADD = $(MPI_LIBS)

bench_mpi_memory_belay_SOURCES = bench/mpi_memory.c
bench_mpi_memory_belay_CFLAGS = $(bench_mpi_cflags)
bench_mpi_memory_belay_LDFLAGS = $(bench_mpi_ldflags)
bench_mpi_memory_belay_LDADD = $(bench_mpi_belay)
bench_mpi_memory_plain_SOURCES = bench/mpi_memory.c
bench_mpi_memory_plain_CFLAGS = $(bench_mpi_cflags) -DWITHOUT_BELAY
bench_mpi_memory_plain_LDFLAGS = $(bench_mpi_ldflags)
bench_mpi_memory_plain_LDADD = $(MPI_LIBS)

bench_mpi_piggyback_SOURCES = bench/mpi_piggyback.c
bench_mpi_piggyback_CFLAGS = $(bench_mpi_cflags)
bench_mpi_piggyback_LDFLAGS = $(bench_mpi_ldflags)
bench_mpi_piggyback_LDADD = $(bench_mpi_belay)

bench_mpi_wildcard_SOURCES = bench/mpi_wildcard.c
bench_mpi_wildcard_CFLAGS = $(bench_mpi_cflags)
bench_mpi_wildcard_LDFLAGS = $(bench_mpi_ldflags)
bench_mpi_wildcard_LDADD = $(bench_mpi_belay)

bench_mpi_redundancy_SOURCES = bench/mpi_redundancy.c
bench_mpi_redundancy_CFLAGS = $(bench_mpi_cflags)
bench_mpi_redundancy_LDFLAGS = $(bench_mpi_ldflags)
bench_mpi_redundancy_LDADD = $(bench_mpi_belay)

bench_mpi_async_SOURCES = bench/mpi_async.c
bench_mpi_async_CFLAGS = $(bench_mpi_cflags)
bench_mpi_async_LDFLAGS = $(bench_mpi_ldflags)
bench_mpi_async_LDADD = $(bench_mpi_belay)
