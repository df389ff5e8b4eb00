! heat - heat diffusion in columns, which belay_recover brings back; prints the same `result` however often ranks died.
!
!     heat STEPS             compiled with -DBINDING=1 (mpif.h), 2 (use mpi) or 3 (use mpi_f08)
!     heat                   compiled with -DPLAIN too: without the module belay, to be preloaded
program heat
#if BINDING == 3
  use mpi_f08
#elif BINDING == 2
  use mpi
#endif
#ifndef PLAIN
  use belay
#endif
  implicit none
#if BINDING == 1
  include 'mpif.h'
#endif
  integer, parameter :: ROWS = 40, COLUMNS = 12
  integer, target :: step = 0
  integer :: steps, rank, ranks, left, right, e, i, j
  double precision, allocatable, target :: grid(:, :)
  double precision :: relaxed(ROWS, COLUMNS), sum, total
  character(16) :: argument
  call get_command_argument(1, argument)
  read (argument, *) steps
  call MPI_Init(e)
  call MPI_Comm_rank(MPI_COMM_WORLD, rank, e)
  call MPI_Comm_size(MPI_COMM_WORLD, ranks, e)
  left = merge(rank - 1, MPI_PROC_NULL, rank > 0)
  right = merge(rank + 1, MPI_PROC_NULL, rank < ranks - 1)
  allocate(grid(ROWS, 0:COLUMNS+1))
  grid = reshape([((dble(i * j + rank), i = 1, ROWS), j = 0, COLUMNS + 1)], [ROWS, COLUMNS + 2])
#ifndef PLAIN
  call belay_protect('step', step)
  call belay_protect('grid', grid)
  call belay_recover()
#endif
  do while (step < steps)
#ifndef PLAIN
    call belay_checkpoint()
#endif
    call MPI_Sendrecv(grid(:, COLUMNS), ROWS, MPI_DOUBLE_PRECISION, right, 1, grid(:, 0), ROWS, MPI_DOUBLE_PRECISION, left, 1, &
      MPI_COMM_WORLD, MPI_STATUS_IGNORE, e)
    call MPI_Sendrecv(grid(:, 1), ROWS, MPI_DOUBLE_PRECISION, left, 2, grid(:, COLUMNS+1), ROWS, MPI_DOUBLE_PRECISION, right, 2, &
      MPI_COMM_WORLD, MPI_STATUS_IGNORE, e)
    relaxed = grid(:, 1:COLUMNS)
    do j = 1, COLUMNS
      do i = 2, ROWS - 1
        relaxed(i, j) = grid(i, j) + 0.1d0 * (grid(i-1, j) + grid(i+1, j) + grid(i, j-1) + grid(i, j+1) - 4 * grid(i, j))
      end do
    end do
    grid(:, 1:COLUMNS) = relaxed
    step = step + 1
  end do
  sum = 0
  do j = 1, COLUMNS
    do i = 1, ROWS
      sum = sum + i * j * grid(i, j)
    end do
  end do
  call MPI_Reduce(sum, total, 1, MPI_DOUBLE_PRECISION, MPI_SUM, 0, MPI_COMM_WORLD, e)
  if (rank == 0) print '(a,i0)', 'result ', transfer(total, 0_8)
  call MPI_Finalize(e)
end program
