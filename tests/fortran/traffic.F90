! traffic - every tracked call in Fortran, with every sentinel: what arrives has to be right, and the counters of every
! checkpoint have to be the truth, which each rank prints in the form of tests/fortran/counters.
!
!     traffic STEPS          compiled with -DBINDING=1 (mpif.h), 2 (use mpi) or 3 (use mpi_f08)
!
! Everybody sends to the next and receives from the one before, so each rank knows what is right.
#if BINDING == 3
#define COMM type(MPI_Comm)
#define REQUEST type(MPI_Request)
#define MESSAGE type(MPI_Message)
#define DATATYPE type(MPI_Datatype)
#define GROUP type(MPI_Group)
#define STATUS(s) type(MPI_Status) :: s
#define STATUSES(s) type(MPI_Status) :: s(WAYS)
#define SOURCE(s) s%MPI_SOURCE
#define TAG(s) s%MPI_TAG
#else
#define COMM integer
#define REQUEST integer
#define MESSAGE integer
#define DATATYPE integer
#define GROUP integer
#define STATUS(s) integer :: s(MPI_STATUS_SIZE)
#define STATUSES(s) integer :: s(MPI_STATUS_SIZE, WAYS)
#define SOURCE(s) s(MPI_SOURCE)
#define TAG(s) s(MPI_TAG)
#endif
#if BINDING == 1
#define MPI_MODULE belay
#define MPI_INCLUDE include 'mpif.h'
#elif BINDING == 2
#define MPI_MODULE mpi
#define MPI_INCLUDE
#else
#define MPI_MODULE mpi_f08
#define MPI_INCLUDE
#endif

module shared
  use MPI_MODULE
  implicit none
  MPI_INCLUDE
  integer, parameter :: WAYS = 4, N = 3, ROOM = 65536, MOST = 64
  integer, target :: step = 0
  integer :: rank, ranks, next, before, e, tag = 1
  integer(8) :: sent(0:MOST-1) = 0, received(0:MOST-1) = 0, collectives = 0
  integer :: out(N), in(N, 0:WAYS-1)
  COMM :: copy, ring, graph
contains
  subroutine right(what, is)
    character(*), intent(in) :: what
    logical, intent(in) :: is
    if (is) return
    print '(a,i0,a,i0,2a)', 'rank ', rank, ' step ', step, ': WRONG: ', what
    call MPI_Abort(MPI_COMM_WORLD, 9, e)
  end subroutine

  ! What rank r sends in message `tag`.
  pure function words(r, t)
    integer, intent(in) :: r, t
    integer :: words(N)
    words = [r, t, step]
  end function

  subroutine another
    tag = tag + 1
    out = words(rank, tag)
    in = -1
  end subroutine

  subroutine shifted(what, times)
    character(*), intent(in) :: what
    integer, intent(in) :: times
    integer :: i
    sent(next) = sent(next) + times
    received(before) = received(before) + times
    do i = 0, times - 1
      call right(what, all(in(:, i) == words(before, tag)))
    end do
  end subroutine

  subroutine collected(what, is)
    character(*), intent(in) :: what
    logical, intent(in) :: is
    collectives = collectives + 1
    call right(what, is)
  end subroutine
end module

module messages
  use shared
  implicit none
contains
  ! ---- every send ----

  subroutine sends
    REQUEST :: r, s
    integer :: how
    do how = 1, 8
      call another
      call MPI_Irecv(in, N, MPI_INTEGER, before, tag, copy, r, e)
      call MPI_Barrier(copy, e)
      call collected('Barrier', .true.)
      s = MPI_REQUEST_NULL
      select case (how)
      case (1); call MPI_Send(out, N, MPI_INTEGER, next, tag, copy, e)
      case (2); call MPI_Bsend(out, N, MPI_INTEGER, next, tag, copy, e)
      case (3); call MPI_Ssend(out, N, MPI_INTEGER, next, tag, copy, e)
      case (4); call MPI_Rsend(out, N, MPI_INTEGER, next, tag, copy, e)
      case (5); call MPI_Isend(out, N, MPI_INTEGER, next, tag, copy, s, e)
      case (6); call MPI_Ibsend(out, N, MPI_INTEGER, next, tag, copy, s, e)
      case (7); call MPI_Issend(out, N, MPI_INTEGER, next, tag, copy, s, e)
      case (8); call MPI_Irsend(out, N, MPI_INTEGER, next, tag, copy, s, e)
      end select
      call MPI_Wait(r, MPI_STATUS_IGNORE, e)
      call MPI_Wait(s, MPI_STATUS_IGNORE, e)
      call shifted('a send', 1)
    end do
  end subroutine

  ! ---- every receive ----

  subroutine receive(how)
    integer, intent(in) :: how
    STATUS(status)
    REQUEST :: r
    MESSAGE :: m
    logical :: flag
    flag = .false.
    select case (how)
    case (1)
      call MPI_Recv(in, N, MPI_INTEGER, MPI_ANY_SOURCE, tag, ring, status, e)
      call right('status', SOURCE(status) == before .and. TAG(status) == tag)
    case (2)
      call MPI_Probe(before, MPI_ANY_TAG, ring, status, e)
      call MPI_Recv(in, N, MPI_INTEGER, SOURCE(status), TAG(status), ring, MPI_STATUS_IGNORE, e)
    case (3)
      do while (.not. flag)
        call MPI_Iprobe(before, tag, ring, flag, MPI_STATUS_IGNORE, e)
      end do
      call MPI_Recv(in, N, MPI_INTEGER, before, MPI_ANY_TAG, ring, MPI_STATUS_IGNORE, e)
    case (4)
      call MPI_Mprobe(MPI_ANY_SOURCE, tag, ring, m, status, e)
      call right('Mprobe', SOURCE(status) == before)
      call MPI_Mrecv(in, N, MPI_INTEGER, m, MPI_STATUS_IGNORE, e)
    case (5)
      do while (.not. flag)
        call MPI_Improbe(before, tag, ring, flag, m, MPI_STATUS_IGNORE, e)
      end do
      call MPI_Imrecv(in, N, MPI_INTEGER, m, r, e)
      call MPI_Wait(r, status, e)
    case (6)
      call MPI_Irecv(in, N, MPI_INTEGER, MPI_ANY_SOURCE, tag, ring, r, e)
      do while (.not. flag)
        call MPI_Request_get_status(r, flag, status, e) ! Open MPI 4.1 never sets flag when the status is ignored
      end do
      call MPI_Test(r, flag, status, e)
      call right('Test', flag .and. SOURCE(status) == before)
    end select
  end subroutine

  subroutine receives
    REQUEST :: s
    integer :: how
    do how = 1, 6
      call another
      call MPI_Isend(out, N, MPI_INTEGER, next, tag, ring, s, e)
      call receive(how)
      call MPI_Wait(s, MPI_STATUS_IGNORE, e)
      call shifted('a receive', 1)
    end do
    call another
    call MPI_Sendrecv(out, N, MPI_INTEGER, next, tag, in, N, MPI_INTEGER, before, tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE, e)
    call shifted('Sendrecv', 1)
    call another
    in(:, 0) = out
    call MPI_Sendrecv_replace(in, N, MPI_INTEGER, next, tag, before, tag, MPI_COMM_WORLD, MPI_STATUS_IGNORE, e)
    call shifted('Sendrecv_replace', 1)
  end subroutine

  ! ---- every completion ----

  subroutine complete(how, r)
    integer, intent(in) :: how
    REQUEST, intent(inout) :: r(2 * WAYS)
    STATUS(status)
    STATUSES(statuses)
    integer :: index, some, indices(2 * WAYS), done
    logical :: flag, mine(2 * WAYS)
    flag = .false.
    mine = .false.
    done = 0
    select case (how)
    case (1)
      call MPI_Waitall(WAYS, r, statuses, e)
      call MPI_Waitall(WAYS, r(WAYS+1:), MPI_STATUSES_IGNORE, e)
      return
    case (2)
      do while (.not. flag)
        call MPI_Testall(2 * WAYS, r, flag, MPI_STATUSES_IGNORE, e)
      end do
      return
    end select
    do while (done < 2 * WAYS)
      some = 1
      flag = .true.
      select case (how)
      case (3); call MPI_Waitany(2 * WAYS, r, indices(1), status, e)
      case (4); call MPI_Testany(2 * WAYS, r, indices(1), flag, MPI_STATUS_IGNORE, e)
      case (5); call MPI_Waitsome(2 * WAYS, r, some, indices, MPI_STATUSES_IGNORE, e)
      case (6); call MPI_Testsome(2 * WAYS, r, some, indices, MPI_STATUSES_IGNORE, e)
      end select
      if (.not. flag) some = 0
      do index = 1, some
        call right('the index of a completion', indices(index) >= 1 .and. indices(index) <= 2 * WAYS)
        call right('a request completes once', .not. mine(indices(index)))
        mine(indices(index)) = .true.
      end do
      done = done + some
    end do
    call MPI_Waitany(2 * WAYS, r, index, status, e)
    call right('MPI_UNDEFINED', index == MPI_UNDEFINED)
  end subroutine

  subroutine completions
    REQUEST :: r(2 * WAYS)
    integer :: how, i
    do how = 1, 6
      call another
      do i = 1, WAYS
        call MPI_Irecv(in(:, i-1:), N, MPI_INTEGER, merge(before, MPI_ANY_SOURCE, i > 2), tag, copy, r(i), e)
        call MPI_Isend(out, N, MPI_INTEGER, next, tag, copy, r(WAYS+i), e)
      end do
      call complete(how, r)
      call shifted('a completion', WAYS)
    end do
  end subroutine

  ! ---- requests that are kept, freed, cancelled ----

  subroutine persistent
    REQUEST :: r(2)
    integer :: how, times
    do how = 1, 4
      call another
      call MPI_Recv_init(in, N, MPI_INTEGER, before, tag, copy, r(1), e)
      select case (how)
      case (1); call MPI_Send_init(out, N, MPI_INTEGER, next, tag, copy, r(2), e)
      case (2); call MPI_Bsend_init(out, N, MPI_INTEGER, next, tag, copy, r(2), e)
      case (3); call MPI_Ssend_init(out, N, MPI_INTEGER, next, tag, copy, r(2), e)
      case (4); call MPI_Rsend_init(out, N, MPI_INTEGER, next, tag, copy, r(2), e)
      end select
      do times = 1, 3
        if (how == 4 .or. times == 1) then
          call MPI_Start(r(1), e)
          call MPI_Barrier(copy, e)
          call collected('Barrier', .true.)
          call MPI_Start(r(2), e)
        else
          call MPI_Startall(2, r, e)
        end if
        call MPI_Waitall(2, r, MPI_STATUSES_IGNORE, e)
        call shifted('a persistent request', 1)
      end do
      call MPI_Request_free(r(1), e)
      call MPI_Request_free(r(2), e)
    end do
  end subroutine

  subroutine no_messages
    REQUEST :: r
    STATUS(status)
    logical :: flag
    call another
    call MPI_Irecv(in, N, MPI_INTEGER, before, tag, copy, r, e)
    call MPI_Cancel(r, e)
    call MPI_Wait(r, status, e)
    call MPI_Test_cancelled(status, flag, e)
    call right('a cancelled receive', flag)
    call MPI_Send(out, N, MPI_INTEGER, MPI_PROC_NULL, tag, copy, e)
    call MPI_Recv(in, N, MPI_INTEGER, MPI_PROC_NULL, tag, copy, status, e)
    call right('MPI_PROC_NULL', SOURCE(status) == MPI_PROC_NULL)
  end subroutine

  ! ---- absolute addresses ----

  subroutine bottom
    DATATYPE :: from, to
    integer(MPI_ADDRESS_KIND) :: address(1)
    call another
    call MPI_Get_address(out, address(1), e)
    call MPI_Type_create_hindexed(1, [N], address, MPI_INTEGER, from, e)
    call MPI_Get_address(in, address(1), e)
    call MPI_Type_create_hindexed(1, [N], address, MPI_INTEGER, to, e)
    call MPI_Type_commit(from, e)
    call MPI_Type_commit(to, e)
    call MPI_Sendrecv(MPI_BOTTOM, 1, from, next, tag, MPI_BOTTOM, 1, to, before, tag, copy, MPI_STATUS_IGNORE, e)
    call MPI_Get_address(in, address(1), e) ! `in` has changed: the compiler has to know
    call shifted('MPI_BOTTOM', 1)
    call MPI_Type_free(from, e)
    call MPI_Type_free(to, e)
  end subroutine
end module

module operations
  use shared
  implicit none
  integer :: ones(MOST) = 1, places(MOST), bytes(MOST)
  integer(MPI_ADDRESS_KIND) :: far(MOST)
  integer :: mine(MOST), theirs(MOST)
  DATATYPE :: types(MOST)
contains
  subroutine prepare
    integer :: i
    places = [(i - 1, i = 1, MOST)]
    bytes = places * storage_size(1) / 8
    far = bytes
    types = MPI_INTEGER
    mine = 100 * rank + places
    theirs = -1
  end subroutine

  subroutine done(what, is)
    character(*), intent(in) :: what
    logical, intent(in) :: is
    call collected(what, is)
    mine = 100 * rank + places
    theirs = -1
  end subroutine

  ! What all sent to this rank: column `rank` of everybody's `mine`; and everybody's first word.
  logical function column()
    column = all(theirs(:ranks) == 100 * places(:ranks) + rank)
  end function
  logical function firsts()
    firsts = all(theirs(:ranks) == 100 * places(:ranks))
  end function

  subroutine blocking
    COMM :: c
    integer :: sum
    c = copy
    sum = 100 * ranks * (ranks - 1) / 2
    call MPI_Bcast(mine, 1, MPI_INTEGER, 1, c, e); call done('Bcast', mine(1) == 100)
    call MPI_Gather(mine, 1, MPI_INTEGER, theirs, 1, MPI_INTEGER, 0, c, e); call done('Gather', rank > 0 .or. firsts())
    call MPI_Gatherv(mine, 1, MPI_INTEGER, theirs, ones, places, MPI_INTEGER, 0, c, e)
    call done('Gatherv', rank > 0 .or. firsts())
    call MPI_Scatter(mine, 1, MPI_INTEGER, theirs, 1, MPI_INTEGER, 1, c, e); call done('Scatter', theirs(1) == 100 + rank)
    call MPI_Scatterv(mine, ones, places, MPI_INTEGER, theirs, 1, MPI_INTEGER, 1, c, e)
    call done('Scatterv', theirs(1) == 100 + rank)
    call MPI_Allgather(mine, 1, MPI_INTEGER, theirs, 1, MPI_INTEGER, c, e); call done('Allgather', firsts())
    call MPI_Allgatherv(mine, 1, MPI_INTEGER, theirs, ones, places, MPI_INTEGER, c, e); call done('Allgatherv', firsts())
    call MPI_Alltoall(mine, 1, MPI_INTEGER, theirs, 1, MPI_INTEGER, c, e); call done('Alltoall', column())
    call MPI_Alltoallv(mine, ones, places, MPI_INTEGER, theirs, ones, places, MPI_INTEGER, c, e)
    call done('Alltoallv', column())
    call MPI_Alltoallw(mine, ones, bytes, types, theirs, ones, bytes, types, c, e); call done('Alltoallw', column())
    call MPI_Reduce(mine, theirs, 1, MPI_INTEGER, MPI_SUM, 0, c, e); call done('Reduce', rank > 0 .or. theirs(1) == sum)
    call MPI_Allreduce(MPI_IN_PLACE, mine, 1, MPI_INTEGER, MPI_SUM, c, e); call done('Allreduce', mine(1) == sum)
    call MPI_Reduce_scatter(mine, theirs, ones, MPI_INTEGER, MPI_SUM, c, e)
    call done('Reduce_scatter', theirs(1) == sum + ranks * rank)
    call MPI_Reduce_scatter_block(mine, theirs, 1, MPI_INTEGER, MPI_SUM, c, e)
    call done('Reduce_scatter_block', theirs(1) == sum + ranks * rank)
    call MPI_Scan(mine, theirs, 1, MPI_INTEGER, MPI_SUM, c, e); call done('Scan', theirs(1) == 50 * rank * (rank + 1))
    call MPI_Exscan(mine, theirs, 1, MPI_INTEGER, MPI_SUM, c, e)
    call done('Exscan', rank == 0 .or. theirs(1) == 50 * rank * (rank - 1))
  end subroutine

  subroutine nonblocking
    REQUEST :: r
    COMM :: c
    integer :: sum
    c = ring
    sum = 100 * ranks * (ranks - 1) / 2
    call MPI_Ibarrier(c, r, e); call wait; call done('Ibarrier', .true.)
    call MPI_Ibcast(mine, 1, MPI_INTEGER, 1, c, r, e); call wait; call done('Ibcast', mine(1) == 100)
    call MPI_Igather(mine, 1, MPI_INTEGER, theirs, 1, MPI_INTEGER, 0, c, r, e); call wait
    call done('Igather', rank > 0 .or. firsts())
    call MPI_Igatherv(mine, 1, MPI_INTEGER, theirs, ones, places, MPI_INTEGER, 0, c, r, e); call wait
    call done('Igatherv', rank > 0 .or. firsts())
    call MPI_Iscatter(mine, 1, MPI_INTEGER, theirs, 1, MPI_INTEGER, 1, c, r, e); call wait
    call done('Iscatter', theirs(1) == 100 + rank)
    call MPI_Iscatterv(mine, ones, places, MPI_INTEGER, theirs, 1, MPI_INTEGER, 1, c, r, e); call wait
    call done('Iscatterv', theirs(1) == 100 + rank)
    call MPI_Iallgather(mine, 1, MPI_INTEGER, theirs, 1, MPI_INTEGER, c, r, e); call wait; call done('Iallgather', firsts())
    call MPI_Iallgatherv(mine, 1, MPI_INTEGER, theirs, ones, places, MPI_INTEGER, c, r, e); call wait
    call done('Iallgatherv', firsts())
    call MPI_Ialltoall(mine, 1, MPI_INTEGER, theirs, 1, MPI_INTEGER, c, r, e); call wait; call done('Ialltoall', column())
    call MPI_Ialltoallv(mine, ones, places, MPI_INTEGER, theirs, ones, places, MPI_INTEGER, c, r, e); call wait
    call done('Ialltoallv', column())
    call MPI_Ialltoallw(mine, ones, bytes, types, theirs, ones, bytes, types, c, r, e); call wait
    call done('Ialltoallw', column())
    call MPI_Ireduce(mine, theirs, 1, MPI_INTEGER, MPI_SUM, 0, c, r, e); call wait
    call done('Ireduce', rank > 0 .or. theirs(1) == sum)
    call MPI_Iallreduce(MPI_IN_PLACE, mine, 1, MPI_INTEGER, MPI_SUM, c, r, e); call wait
    call done('Iallreduce', mine(1) == sum)
    call MPI_Ireduce_scatter(mine, theirs, ones, MPI_INTEGER, MPI_SUM, c, r, e); call wait
    call done('Ireduce_scatter', theirs(1) == sum + ranks * rank)
    call MPI_Ireduce_scatter_block(mine, theirs, 1, MPI_INTEGER, MPI_SUM, c, r, e); call wait
    call done('Ireduce_scatter_block', theirs(1) == sum + ranks * rank)
    call MPI_Iscan(mine, theirs, 1, MPI_INTEGER, MPI_SUM, c, r, e); call wait
    call done('Iscan', theirs(1) == 50 * rank * (rank + 1))
    call MPI_Iexscan(mine, theirs, 1, MPI_INTEGER, MPI_SUM, c, r, e); call wait
    call done('Iexscan', rank == 0 .or. theirs(1) == 50 * rank * (rank - 1))
  contains
    subroutine wait
      call MPI_Wait(r, MPI_STATUS_IGNORE, e)
    end subroutine
  end subroutine

  ! On a ring the neighbours are the one before and the next; `graph` has an edge to the next only.
  subroutine neighbours
    REQUEST :: r
    COMM :: c
    c = ring
    call MPI_Neighbor_allgather(mine, 1, MPI_INTEGER, theirs, 1, MPI_INTEGER, c, e)
    call done('Neighbor_allgather', both())
    call MPI_Neighbor_allgatherv(mine, 1, MPI_INTEGER, theirs, ones, places, MPI_INTEGER, c, e)
    call done('Neighbor_allgatherv', both())
    call MPI_Neighbor_alltoall(mine, 1, MPI_INTEGER, theirs, 1, MPI_INTEGER, c, e)
    call done('Neighbor_alltoall', ranks == 2 .or. crossed())
    call MPI_Neighbor_alltoallv(mine, ones, places, MPI_INTEGER, theirs, ones, places, MPI_INTEGER, c, e)
    call done('Neighbor_alltoallv', ranks == 2 .or. crossed())
    call MPI_Neighbor_alltoallw(mine, ones, far, types, theirs, ones, far, types, c, e)
    call done('Neighbor_alltoallw', ranks == 2 .or. crossed())
    c = graph
    call MPI_Ineighbor_allgather(mine, 1, MPI_INTEGER, theirs, 1, MPI_INTEGER, c, r, e); call wait
    call done('Ineighbor_allgather', theirs(1) == 100 * before)
    call MPI_Ineighbor_allgatherv(mine, 1, MPI_INTEGER, theirs, ones, places, MPI_INTEGER, c, r, e); call wait
    call done('Ineighbor_allgatherv', theirs(1) == 100 * before)
    call MPI_Ineighbor_alltoall(mine, 1, MPI_INTEGER, theirs, 1, MPI_INTEGER, c, r, e); call wait
    call done('Ineighbor_alltoall', theirs(1) == 100 * before)
    call MPI_Ineighbor_alltoallv(mine, ones, places, MPI_INTEGER, theirs, ones, places, MPI_INTEGER, c, r, e); call wait
    call done('Ineighbor_alltoallv', theirs(1) == 100 * before)
    call MPI_Ineighbor_alltoallw(mine, ones, far, types, theirs, ones, far, types, c, r, e); call wait
    call done('Ineighbor_alltoallw', theirs(1) == 100 * before)
  contains
    logical function both()
      both = theirs(1) == 100 * before .and. theirs(2) == 100 * next
    end function
    logical function crossed()
      crossed = theirs(1) == 100 * before + 1 .and. theirs(2) == 100 * next
    end function
    subroutine wait
      call MPI_Wait(r, MPI_STATUS_IGNORE, e)
    end subroutine
  end subroutine

  subroutine make_comms
    integer :: here(1)
    here = rank
    call MPI_Comm_dup(MPI_COMM_WORLD, copy, e)
    call MPI_Cart_create(copy, 1, [ranks], [.true.], .false., ring, e)
    call MPI_Dist_graph_create(MPI_COMM_WORLD, 1, here, [1], [next], MPI_UNWEIGHTED, MPI_INFO_NULL, .false., graph, e)
  end subroutine

  ! Communicators made in all other ways, and a collective on each.
  subroutine change_comms
    COMM :: c, half
    GROUP :: g
    REQUEST :: r
    integer :: low
    low = merge(1, 0, rank < ranks / 2)
    call MPI_Comm_split(MPI_COMM_WORLD, low, rank, half, e)
    call MPI_Intercomm_create(half, 0, MPI_COMM_WORLD, merge(ranks / 2, 0, low == 1), 77, c, e)
    call used
    call MPI_Intercomm_create(half, 0, MPI_COMM_WORLD, merge(ranks / 2, 0, low == 1), 78, ring, e)
    call MPI_Intercomm_merge(ring, low == 1, c, e)
    call used
    call MPI_Comm_free(ring, e)
    call MPI_Comm_free(half, e)
    call MPI_Cart_create(copy, 1, [ranks], [.true.], .false., ring, e)
    call MPI_Cart_sub(ring, [.true.], c, e)
    call used
    call MPI_Comm_group(MPI_COMM_WORLD, g, e)
    call MPI_Comm_create(MPI_COMM_WORLD, g, c, e)
    call used
    call MPI_Comm_create_group(MPI_COMM_WORLD, g, 5, c, e)
    call used
    call MPI_Group_free(g, e)
    call MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, c, e)
    call used
    call MPI_Dist_graph_create_adjacent(copy, 1, [before], MPI_UNWEIGHTED, 1, [next], MPI_UNWEIGHTED, MPI_INFO_NULL, .false., c, e)
    call used
    call MPI_Comm_idup(copy, c, r, e)
    call MPI_Wait(r, MPI_STATUS_IGNORE, e)
    call used
  contains
    subroutine used
      call MPI_Barrier(c, e)
      call collected('Barrier', .true.)
      call MPI_Comm_free(c, e)
    end subroutine
  end subroutine
end module

program traffic
  use shared
  use messages
  use operations
  use belay
  implicit none
  type(belay_status) :: status
  integer, target :: room_for_bsend(ROOM)
  integer :: steps, code
  character(16) :: argument
  call get_command_argument(1, argument)
  read (argument, *) steps
  call MPI_Init(e)
  call MPI_Comm_rank(MPI_COMM_WORLD, rank, e)
  call MPI_Comm_size(MPI_COMM_WORLD, ranks, e)
  next = mod(rank + 1, ranks)
  before = mod(rank + ranks - 1, ranks)
  call MPI_Buffer_attach(room_for_bsend, storage_size(1) / 8 * ROOM, e)
  call prepare
  call make_comms
  call belay_protect('step', step)
  call belay_recover()
  do while (step < steps)
    call belay_checkpoint(status, code)
    call right(belay_error_text(), code == BELAY_OK)
    if (status%taken == 1) print '(a,i0,a,i0,a,*(1x,i0))', 'truth: rank ', rank, ' checkpoint ', status%checkpoint, ':', &
      collectives, sent(:ranks-1), received(:ranks-1)
    call sends
    call receives
    call completions
    call persistent
    call no_messages
    call bottom
    call blocking
    call nonblocking
    call neighbours
    if (mod(step, 2) == 1) call change_comms
    step = step + 1
  end do
  call MPI_Finalize(e)
end program
