# benchmarks of src/mpi
