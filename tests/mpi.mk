# tests of src/mpi
