! module - the module belay: every type and shape comes back as it was, and wrong calls say what is wrong.
!
!     module save            two checkpoints, then the job is aborted
!     module restore         goes on from there, and is right about what it finds
program modules
  use, intrinsic :: iso_fortran_env
  use, intrinsic :: iso_c_binding, only: c_bool, c_size_t
  use mpi_f08
  use belay
  implicit none
  type pair
    integer :: number
    real :: value
  end type
  integer, target :: step = 0
  integer(int8), target :: i8(3)
  integer(int16), target :: i16(2, 3)
  integer(int64), target :: i64(2, 3, 4)
  logical, target :: l
  logical(c_bool), target :: b(5)
  real(real32), target :: r32(4)
  real(real64), target :: r64(2, 1, 2, 1, 2, 1, 2, 3), nine(1, 1, 1, 1, 1, 1, 1, 1, 1)
  complex(real32), target :: c32
  complex(real64), target :: c64(2)
  real(real64), allocatable, target :: grown(:, :)
  character(11), target :: text
  type(pair), target :: pairs(2)
  integer(int64), allocatable :: shape_saved(:)
  type(belay_status) :: status
  integer :: code, rank, i
  character(16) :: way
  call get_command_argument(1, way)
  call MPI_Init()
  call MPI_Comm_rank(MPI_COMM_WORLD, rank)
  call belay_saved_shape('grown', shape_saved, code)
  if (way == 'save') then
    call right('nothing is saved yet', code == BELAY_ERR_NONE .and. size(shape_saved) == 0)
    allocate(grown(3, 4 + rank))
  else
    call right('the shape that was saved', code == BELAY_OK .and. all(shape_saved == [3, 5 + rank]))
    allocate(grown(shape_saved(1), shape_saved(2)))
    call belay_saved_shape('c32', shape_saved)
    call right('the shape of a scalar', size(shape_saved) == 0)
  end if
  call set(0)
  call protect
  if (way == 'save') call wrong_calls
  call belay_recover(status, code)
  call right('recover', code == BELAY_OK .and. (status%resumed == 1) .eqv. (way == 'restore'))
  if (way == 'restore') then
    call right('status', status%checkpoint == 2 .and. status%safe_point == 2 .and. status%ranks == 2 .and. step == 2)
    call compare(2)
  end if
  do while (step < 3)
    call belay_checkpoint(status, code)
    call right('checkpoint', code == BELAY_OK)
    step = step + 1
    if (way == 'save' .and. step == 3) call MPI_Abort(MPI_COMM_WORLD, 3)
    call set(step)
    if (size(grown, 2) == 4 + rank) then
      deallocate(grown)
      allocate(grown(3, 5 + rank))
      grown = step
      call belay_protect('grown', grown)
    end if
  end do
  if (rank == 0) print '(a)', 'all right'
  call MPI_Finalize()
contains
  subroutine right(what, is)
    character(*), intent(in) :: what
    logical, intent(in) :: is
    if (is) return
    print '(a,i0,4a)', 'rank ', rank, ': WRONG: ', what, '; ', belay_error_text()
    call MPI_Abort(MPI_COMM_WORLD, 9)
  end subroutine

  subroutine set(to)
    integer, intent(in) :: to
    i8 = int(to, int8); i16 = int(to + 1, int16); i64 = reshape([(int(i * to, int64), i = 1, 24)], [2, 3, 4])
    l = to == 2; b = [logical(c_bool) :: to == 0, to == 1, to == 2, to == 3, .true.]
    r32 = to + 0.5; r64 = to + 0.25d0; c32 = (1.0, -1.0) * to; c64 = (2d0, 3d0) * to; grown = to
    write (text, '(a,i0)') 'step ', to
    pairs = [pair(to, 1.5), pair(2, real(to))]
  end subroutine

  subroutine compare(with)
    integer, intent(in) :: with
    call right('int8', all(i8 == with))
    call right('int16', all(i16 == with + 1))
    call right('int64', all(i64 == reshape([(int(i * with, int64), i = 1, 24)], [2, 3, 4])))
    call right('logical', l .eqv. with == 2)
    call right('bool', all(b .eqv. [.false., .false., .true., .false., .true.]))
    call right('reals', all(r32 == with + 0.5) .and. all(r64 == with + 0.25d0))
    call right('complex', c32 == (1.0, -1.0) * with .and. all(c64 == (2d0, 3d0) * with))
    call right('allocatable', all(grown == with))
    call right('text', text == 'step 2')
    call right('derived type', pairs(1)%number == with .and. pairs(2)%value == with)
  end subroutine

  subroutine protect
    call belay_protect('step', step)
    call belay_protect('i8', i8)
    call belay_protect('i16', i16)
    call belay_protect('i64', i64)
    call belay_protect('l', l)
    call belay_protect('b', b)
    call belay_protect('r32', r32)
    call belay_protect('r64', r64)
    call belay_protect('c32', c32)
    call belay_protect('c64', c64)
    call belay_protect('grown', grown)
    call belay_protect_bytes('text', text, len(text, c_size_t))
    call belay_protect_bytes('pairs', pairs, size(pairs) * storage_size(pairs, c_size_t) / 8, code)
    call right('protect', code == BELAY_OK)
  end subroutine

  subroutine assumed_size(x)
    integer(int8), intent(inout), target :: x(*)
    call belay_protect('unknown', x, code)
  end subroutine

  subroutine wrong_calls
    call belay_protect('gaps', i16(1, :), code)
    call right('an array with gaps', code == BELAY_ERR_ARG .and. index(belay_error_text(), 'has gaps') > 0)
    call belay_protect('second column', i16(:, 2), code)
    call right('a name', code == BELAY_ERR_ARG .and. index(belay_error_text(), 'a name is') > 0)
    call assumed_size(i8)
    call right('an array of unknown size', code == BELAY_ERR_ARG .and. index(belay_error_text(), 'x(1:n)') > 0)
    call belay_protect('nine', nine, code)
    call right('nine dimensions', code == BELAY_ERR_ARG .and. index(belay_error_text(), '0 to BELAY_MAX_DIMS') > 0)
    call belay_unprotect('nobody', code)
    call right('unprotect', code == BELAY_ERR_ARG)
    call belay_protect('column', i16(:, 2), code)
    call right('a whole column', code == BELAY_OK)
    call belay_unprotect('column', code)
    call right('unprotect', code == BELAY_OK)
    call right('strerror', belay_strerror(BELAY_ERR_PENDING) == 'messages in transit')
    call right('version', len(belay_version()) >= 5)
  end subroutine
end program
