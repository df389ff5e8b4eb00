! belay.f90 - the functions of belay.h for Fortran programs; belay.h is the manual of what they do.
!
! A compiled module belongs to one compiler and its version, so this file is installed as source and compiled with the
! program (Fortran 2018: arrays of any rank are one interface):
!
!     mpifort -o heat $(pkg-config --variable=includedir belay)/belay.f90 heat.f90 $(pkg-config --libs belay)
!
!     program heat
!       use mpi_f08                                        ! or `use mpi`, or mpif.h
!       use belay
!       integer, target :: step = 0
!       real(8), allocatable, target :: grid(:, :)
!       call MPI_Init()                                    ! Belay starts here, by itself
!       call belay_protect('step', step)                   ! what to save ...
!       call belay_protect('grid', grid)
!       call belay_recover()                               ! ... restore it, if there is something to restore
!       do while (step < steps)
!         call belay_checkpoint()                          ! a safe point: saves when a checkpoint is due
!         ...
!         step = step + 1
!       end do
!       call MPI_Finalize()
!
! What differs from C:
!   - ierror, the last argument, is optional as in mpi_f08 and gets what the C function returns.
!   - belay_protect takes scalars and arrays of any rank up to 8, of integer and logical kinds of 1 to 8 bytes, real and
!     complex of single and double precision; type and shape come from the variable.  Anything else (characters, derived
!     types without allocatable or pointer components, other kinds) with belay_protect_bytes.
!   - Give what is protected the TARGET attribute, and protect an allocatable again after it was allocated anew: Belay
!     keeps the address.  An array must be contiguous: the whole of it, not every second column.
!   - In the checkpoint's HDF5 file the dimensions stand in reversed order, as HDF5's own Fortran interface writes them;
!     the shape that belay_saved_shape allocates is in Fortran's order, of size 0 for a scalar.
module belay
  use, intrinsic :: iso_c_binding, only: c_bool, c_char, c_double, c_f_pointer, c_funloc, c_funptr, c_int, c_int64_t, c_loc, &
    c_null_char, c_ptr, c_size_t
  use, intrinsic :: iso_fortran_env, only: int8, int16, int32, int64, real32, real64
  implicit none
  private
  public :: belay_protect, belay_protect_bytes, belay_protect_file, belay_part, belay_unprotect, belay_saved_shape
  public :: belay_main, belay_recover, belay_checkpoint
  public :: belay_nondeterministic, belay_strerror, belay_error_text, belay_version, belay_status

  integer, parameter, public :: BELAY_MAX_NAME = 63, BELAY_MAX_DIMS = 8, BELAY_MAX_VARIABLES = 4096

  integer, parameter, public :: &
    BELAY_OK = 0, BELAY_ERR_ARG = -1, BELAY_ERR_SYSTEM = -2, BELAY_ERR_DAMAGED = -3, BELAY_ERR_FORMAT = -4, &
    BELAY_ERR_FOREIGN = -5, BELAY_ERR_STALE = -6, BELAY_ERR_NONE = -7, BELAY_ERR_MISMATCH = -8, BELAY_ERR_PENDING = -9, &
    BELAY_ERR_REFUSED = -10, BELAY_ERR_MEMORY = -11, BELAY_ERR_ABORTED = -12, BELAY_ERR_INTERNAL = -13

  type, bind(C) :: belay_status
    integer(c_int) :: resumed = 0, checkpoint = 0, taken = 0, ranks = 0, incarnation = 0
    integer(c_int64_t) :: safe_point = 0
    real(c_double) :: blocked_seconds = 0
  end type

  interface belay_protect
    procedure protect_int8, protect_int16, protect_int32, protect_int64, protect_logical, protect_bool
    procedure protect_real32, protect_real64, protect_complex32, protect_complex64
  end interface

  interface
    integer(c_int) function c_protect(name, data, kind, bytes, dims, extent, contiguous) bind(C, name='belay_fortran_protect')
      import :: c_char, c_ptr, c_int, c_int64_t
      character(kind=c_char), intent(in) :: name(*)
      type(c_ptr), value :: data
      integer(c_int), value :: kind, bytes, dims, contiguous ! kind: a letter's code, as gfortran 12 passes letters wrongly
      integer(c_int64_t), intent(in) :: extent(*)
    end function
    integer(c_int) function c_protect_bytes(name, data, bytes) bind(C, name='belay_protect_bytes')
      import :: c_char, c_ptr, c_int, c_size_t
      character(kind=c_char), intent(in) :: name(*)
      type(c_ptr), value :: data
      integer(c_size_t), value :: bytes
    end function
    integer(c_int) function c_main(program) bind(C, name='belay_fortran_main')
      import :: c_funptr, c_int
      type(c_funptr), value :: program
    end function
    integer(c_int) function c_unprotect(name) bind(C, name='belay_unprotect')
      import :: c_char, c_int
      character(kind=c_char), intent(in) :: name(*)
    end function
    integer(c_int) function c_protect_file(name, path) bind(C, name='belay_protect_file')
      import :: c_char, c_int
      character(kind=c_char), intent(in) :: name(*), path(*)
    end function
    integer(c_int) function c_part(name, whole, offset, first, count) bind(C, name='belay_part')
      import :: c_char, c_int, c_size_t
      character(kind=c_char), intent(in) :: name(*)
      integer(c_size_t), intent(in) :: whole(*), offset(*), first(*), count(*)
    end function
    integer(c_int) function c_saved_shape(name, dims, shape) bind(C, name='belay_saved_shape')
      import :: c_char, c_int, c_size_t
      character(kind=c_char), intent(in) :: name(*)
      integer(c_int), intent(out) :: dims
      integer(c_size_t), intent(out) :: shape(*)
    end function
    integer(c_int) function c_recover(status) bind(C, name='belay_recover')
      import :: belay_status, c_int
      type(belay_status), intent(out), optional :: status
    end function
    integer(c_int) function c_checkpoint(status) bind(C, name='belay_checkpoint')
      import :: belay_status, c_int
      type(belay_status), intent(out), optional :: status
    end function
    integer(c_int) function c_nondeterministic(value, bytes) bind(C, name='belay_nondeterministic')
      import :: c_ptr, c_int, c_size_t
      type(c_ptr), value :: value
      integer(c_size_t), value :: bytes
    end function
    type(c_ptr) function c_strerror(code) bind(C, name='belay_strerror')
      import :: c_ptr, c_int
      integer(c_int), value :: code
    end function
    type(c_ptr) function c_error_text() bind(C, name='belay_error_text')
      import :: c_ptr
    end function
    type(c_ptr) function c_version() bind(C, name='belay_version')
      import :: c_ptr
    end function
    integer(c_size_t) function c_strlen(text) bind(C, name='strlen')
      import :: c_ptr, c_size_t
      type(c_ptr), value :: text
    end function
  end interface

contains

  ! ---- What to save ----

  subroutine protect(name, data, kind, bits, extent, contiguous, ierror)
    character(*), intent(in) :: name
    type(c_ptr), intent(in) :: data
    character, intent(in) :: kind
    integer, intent(in) :: bits
    integer(c_int64_t), intent(in) :: extent(:)
    logical, intent(in) :: contiguous
    integer, intent(out), optional :: ierror
    call give(ierror, c_protect(c_text(name), data, iachar(kind, c_int), int(bits / 8, c_int), &
      size(extent, kind=c_int), extent, merge(1_c_int, 0_c_int, contiguous)))
  end subroutine

  subroutine protect_int8(name, data, ierror)
    character(*), intent(in) :: name
    integer(int8), intent(inout), target :: data(..)
    integer, intent(out), optional :: ierror
    call protect(name, c_loc(data), 'i', storage_size(data), shape(data, c_int64_t), is_contiguous(data), ierror)
  end subroutine

  subroutine protect_int16(name, data, ierror)
    character(*), intent(in) :: name
    integer(int16), intent(inout), target :: data(..)
    integer, intent(out), optional :: ierror
    call protect(name, c_loc(data), 'i', storage_size(data), shape(data, c_int64_t), is_contiguous(data), ierror)
  end subroutine

  subroutine protect_int32(name, data, ierror)
    character(*), intent(in) :: name
    integer(int32), intent(inout), target :: data(..)
    integer, intent(out), optional :: ierror
    call protect(name, c_loc(data), 'i', storage_size(data), shape(data, c_int64_t), is_contiguous(data), ierror)
  end subroutine

  subroutine protect_int64(name, data, ierror)
    character(*), intent(in) :: name
    integer(int64), intent(inout), target :: data(..)
    integer, intent(out), optional :: ierror
    call protect(name, c_loc(data), 'i', storage_size(data), shape(data, c_int64_t), is_contiguous(data), ierror)
  end subroutine

  subroutine protect_logical(name, data, ierror)
    character(*), intent(in) :: name
    logical, intent(inout), target :: data(..)
    integer, intent(out), optional :: ierror
    call protect(name, c_loc(data), 'i', storage_size(data), shape(data, c_int64_t), is_contiguous(data), ierror)
  end subroutine

  subroutine protect_bool(name, data, ierror)
    character(*), intent(in) :: name
    logical(c_bool), intent(inout), target :: data(..)
    integer, intent(out), optional :: ierror
    call protect(name, c_loc(data), 'i', storage_size(data), shape(data, c_int64_t), is_contiguous(data), ierror)
  end subroutine

  subroutine protect_real32(name, data, ierror)
    character(*), intent(in) :: name
    real(real32), intent(inout), target :: data(..)
    integer, intent(out), optional :: ierror
    call protect(name, c_loc(data), 'r', storage_size(data), shape(data, c_int64_t), is_contiguous(data), ierror)
  end subroutine

  subroutine protect_real64(name, data, ierror)
    character(*), intent(in) :: name
    real(real64), intent(inout), target :: data(..)
    integer, intent(out), optional :: ierror
    call protect(name, c_loc(data), 'r', storage_size(data), shape(data, c_int64_t), is_contiguous(data), ierror)
  end subroutine

  subroutine protect_complex32(name, data, ierror)
    character(*), intent(in) :: name
    complex(real32), intent(inout), target :: data(..)
    integer, intent(out), optional :: ierror
    call protect(name, c_loc(data), 'c', storage_size(data), shape(data, c_int64_t), is_contiguous(data), ierror)
  end subroutine

  subroutine protect_complex64(name, data, ierror)
    character(*), intent(in) :: name
    complex(real64), intent(inout), target :: data(..)
    integer, intent(out), optional :: ierror
    call protect(name, c_loc(data), 'c', storage_size(data), shape(data, c_int64_t), is_contiguous(data), ierror)
  end subroutine

  ! `bytes` bytes whose meaning is yours.
  subroutine belay_protect_bytes(name, data, bytes, ierror)
    character(*), intent(in) :: name
    type(*), intent(inout), target :: data(..)
    integer(c_size_t), intent(in) :: bytes
    integer, intent(out), optional :: ierror
    call give(ierror, c_protect_bytes(c_text(name), c_loc(data), bytes))
  end subroutine

  subroutine belay_unprotect(name, ierror)
    character(*), intent(in) :: name
    integer, intent(out), optional :: ierror
    call give(ierror, c_unprotect(c_text(name)))
  end subroutine

  ! ---- Recovery in the job: `program` is a subroutine bind(C) that is all of the program from MPI_Init to MPI_Finalize.  After a
  !      recovery it is called again: what is allocated in a local variable is lost, SAVE variables keep their value ----

  subroutine belay_main(program, ierror)
    interface
      subroutine program() bind(C)
      end subroutine
    end interface
    integer, intent(out), optional :: ierror
    call give(ierror, c_main(c_funloc(program)))
  end subroutine

  ! ---- Restore, and safe points ----

  subroutine belay_protect_file(name, path, ierror)
    character(*), intent(in) :: name, path
    integer, intent(out), optional :: ierror
    call give(ierror, c_protect_file(c_text(name), c_text(path)))
  end subroutine

  ! Dimensions in Fortran's order; offset and first count from 0.
  subroutine belay_part(name, whole, offset, first, count, ierror)
    character(*), intent(in) :: name
    integer, intent(in) :: whole(:), offset(:), first(:), count(:)
    integer, intent(out), optional :: ierror
    integer :: n
    n = size(whole)
    call give(ierror, c_part(c_text(name), int(whole(n:1:-1), c_size_t), int(offset(n:1:-1), c_size_t), &
                             int(first(n:1:-1), c_size_t), int(count(n:1:-1), c_size_t)))
  end subroutine

  subroutine belay_saved_shape(name, shape, ierror)
    character(*), intent(in) :: name
    integer(int64), allocatable, intent(out) :: shape(:)
    integer, intent(out), optional :: ierror
    integer(c_int) :: dims, code
    integer(c_size_t) :: extent(BELAY_MAX_DIMS)
    dims = 0
    code = c_saved_shape(c_text(name), dims, extent)
    if (code /= BELAY_OK) dims = 0
    shape = int(extent(dims:1:-1), int64)
    call give(ierror, code)
  end subroutine

  subroutine belay_recover(status, ierror)
    type(belay_status), intent(out), optional :: status
    integer, intent(out), optional :: ierror
    call give(ierror, c_recover(status))
  end subroutine

  subroutine belay_checkpoint(status, ierror)
    type(belay_status), intent(out), optional :: status
    integer, intent(out), optional :: ierror
    call give(ierror, c_checkpoint(status))
  end subroutine

  ! ---- Message logging ----

  ! call belay_nondeterministic(c_loc(x), c_sizeof(x))
  subroutine belay_nondeterministic(value, bytes, ierror)
    type(c_ptr), intent(in) :: value
    integer(c_size_t), intent(in) :: bytes
    integer, intent(out), optional :: ierror
    call give(ierror, c_nondeterministic(value, bytes))
  end subroutine

  ! ---- Errors and version ----

  function belay_strerror(code) result(text)
    integer, intent(in) :: code
    character(:), allocatable :: text
    text = fortran_text(c_strerror(int(code, c_int)))
  end function

  function belay_error_text() result(text)
    character(:), allocatable :: text
    text = fortran_text(c_error_text())
  end function

  function belay_version() result(text)
    character(:), allocatable :: text
    text = fortran_text(c_version())
  end function

  ! ---- Between the two languages ----

  subroutine give(ierror, code)
    integer, intent(out), optional :: ierror
    integer(c_int), intent(in) :: code
    if (present(ierror)) ierror = code
  end subroutine

  pure function c_text(text)
    character(*), intent(in) :: text
    character(len_trim(text) + 1, c_char) :: c_text
    c_text = trim(text) // c_null_char
  end function

  function fortran_text(pointer) result(text)
    type(c_ptr), intent(in) :: pointer
    character(:), allocatable :: text
    character(kind=c_char), pointer :: letter(:)
    integer :: i
    call c_f_pointer(pointer, letter, [c_strlen(pointer)])
    allocate(character(size(letter)) :: text)
    do i = 1, size(letter)
      text(i:i) = letter(i)
    end do
  end function
end module
