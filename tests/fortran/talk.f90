! talk - the Fortran part that late.c loads: a message to the other of two ranks and one back, then a barrier.
subroutine talk
  use mpi_f08
  implicit none
  integer :: rank, mine, other
  call MPI_Comm_rank(MPI_COMM_WORLD, rank)
  mine = rank
  call MPI_Sendrecv(mine, 1, MPI_INTEGER, 1 - rank, 5, other, 1, MPI_INTEGER, 1 - rank, 5, MPI_COMM_WORLD, MPI_STATUS_IGNORE)
  if (other /= 1 - rank) call MPI_Abort(MPI_COMM_WORLD, 9)
  call MPI_Barrier(MPI_COMM_WORLD)
end subroutine
