/* commit.pml - the machine of src/protocol/commit.c for Spin: three processes, process 0 the coordinator, one checkpoint.
 *
 * A step of the machine is atomic but for deaths: CRASHES times any process dies, between any two actions, and is then
 * restarted or gone.  Timers may fire at any moment; a message into a full channel is lost.  INIT stands for SAVING too:
 * the rows treat them alike.  `seen` is cleared where it no longer matters, for fewer states.  What run.sh checks:
 *   safety    nobody commits what another aborts, COMMIT only when all have prepared, nothing the table calls
 *             impossible, and when nothing can happen any more everybody knows the outcome who is not gone
 *   liveness  (all_know) that moment always comes, without any fairness
 * Variants: CLASSIC has no shared record, only the coordinator's own log, and must block.  EARLY, ALONE, OVERWRITE and
 * FORGET are mistakes and must be caught.
 */
#define N 3
#ifndef CRASHES
#define CRASHES 1
#endif

mtype:kind = { YES, NO, COMMIT, ABORT, QUERY, UNCERTAIN };
mtype:state = { INIT, WAIT, DECIDING, READY, ASKING, READING, FORCING, COMMITTED, ABORTED, DEAD, GONE };

chan net[9] = [2] of { mtype:kind };   /* from * N + to */

mtype:state record = INIT;             /* stable: COMMITTED or ABORTED once it is written */
bool prepared[N];                      /* stable: the snapshot */
mtype:state st[N] = INIT;              /* volatile */

mtype:state known = INIT;              /* for the properties: the outcome somebody knows, and who does */
bool done[N];
byte crashes;

#define COORD     (me == 0)
#define EVERYBODY 7
#define UNSURE    (st[me] == READY || st[me] == ASKING || st[me] == READING || st[me] == FORCING)
#define ALIVE     (st[me] != DEAD && st[me] != GONE)
#define KNOWS(p)  (st[p] == COMMITTED || st[p] == ABORTED)
#define SOMEBODY_KNOWS (KNOWS(0) || KNOWS(1) || KNOWS(2))

/* Between any two actions, and while waiting. */
inline boundary()
{
    if
    :: crashes < CRASHES -> crashes++; goto dead
    :: true
    fi
}

inline send(whom, what)
{
    boundary();
    if
    :: st[whom] != GONE && nfull(net[me * N + whom]) -> net[me * N + whom]!what
    :: st[whom] == GONE || full(net[me * N + whom]) /* lost */
    fi
}

inline send_all(what)
{
    to = 0;
    do
    :: to < N && to != me -> send(to, what); to++
    :: to == me -> to++
    :: to == N -> break
    od;
    to = 0
}

inline vote(what)
{
    if :: !COORD -> send(0, what) :: else fi
}

/* Entering a final state: the coordinator tells everybody, then the driver is told. */
inline finish(what, word)
{
    st[me] = what; seen = 0;
    if :: COORD -> send_all(word) :: else fi;
    boundary();
    assert(known == INIT || known == what);
    assert(what == ABORTED || (prepared[0] && prepared[1] && prepared[2]));
    known = what;
    done[me] = true
}

inline publish(what)
{
    boundary();
    record = what;
    assert(record != COMMITTED || known != ABORTED)
}

inline adopt()
{
    if
    :: record == COMMITTED -> finish(COMMITTED, COMMIT)
    :: record == ABORTED -> finish(ABORTED, ABORT)
    fi
}

inline hear(who)
{
    net[who * N + me]?word;
    if
    :: word == QUERY && st[me] == INIT ->      send(who, ABORT); vote(NO); finish(ABORTED, ABORT)
    :: word == QUERY && st[me] == COMMITTED -> send(who, COMMIT)
    :: word == QUERY && st[me] == ABORTED ->   send(who, ABORT)
    :: word == QUERY && (UNSURE || st[me] == WAIT || st[me] == DECIDING) -> send(who, UNCERTAIN)

    :: word == YES && (st[me] == INIT || st[me] == WAIT) ->
        seen = seen | 1 << who;
        if :: st[me] == WAIT && seen == EVERYBODY -> st[me] = DECIDING; seen = 0 :: else fi
    :: word == YES && st[me] == ABORTED -> send(who, ABORT)
    :: word == YES && (UNSURE || st[me] == DECIDING || st[me] == COMMITTED)

    :: word == NO && (st[me] == INIT || st[me] == WAIT || UNSURE) -> finish(ABORTED, ABORT)
    :: word == NO && st[me] == ABORTED

    :: word == COMMIT && UNSURE -> finish(COMMITTED, COMMIT)
    :: word == COMMIT && st[me] == COMMITTED

    :: word == ABORT && (UNSURE || (st[me] == INIT && !COORD)) -> finish(ABORTED, ABORT)
    :: word == ABORT && st[me] == ABORTED

    :: word == UNCERTAIN && st[me] == ASKING ->
        seen = seen | 1 << who;
        if :: seen == EVERYBODY -> st[me] = READING; seen = 0 :: else fi
    :: word == UNCERTAIN && (st[me] == READY || st[me] == READING || st[me] == FORCING || KNOWS(me))

    :: else -> assert(false)           /* no row of the table */
    fi;
    word = 0
}

/* RECOVER */
inline recover()
{
#ifdef FORGET
    st[me] = INIT; vote(NO); finish(ABORTED, ABORT)
#else
    if
    :: prepared[me] -> st[me] = READING; seen = 0
    :: else -> st[me] = INIT; vote(NO); finish(ABORTED, ABORT)
    fi
#endif
}

proctype process(byte me)
{
    byte seen = 1 << me, to;
    mtype:kind word;

end:
    do
    :: atomic { st[me] == INIT -> vote(NO); finish(ABORTED, ABORT) } /* refused, or timed out */

    :: atomic { st[me] == INIT ->                                    /* the snapshot is forced, then reported */
        boundary();
        prepared[me] = true;
        if
        :: !COORD -> st[me] = READY; seen = 0; send(0, YES)
        :: COORD && seen == EVERYBODY -> boundary(); st[me] = DECIDING; seen = 0
        :: COORD && seen != EVERYBODY -> boundary(); st[me] = WAIT
        fi }

    :: atomic { st[me] == WAIT -> finish(ABORTED, ABORT) }           /* timed out */
#ifdef EARLY
    :: atomic { st[me] == DECIDING && record == INIT -> send_all(COMMIT); publish(COMMITTED) }
#else
    :: atomic { st[me] == DECIDING && record == INIT -> publish(COMMITTED) }
#endif
#ifdef OVERWRITE
    :: atomic { st[me] == DECIDING && record == ABORTED -> publish(COMMITTED) }
#endif
    :: atomic { st[me] == DECIDING && record != INIT -> adopt() }

#ifdef ALONE
    :: atomic { st[me] == READY -> finish(ABORTED, ABORT) }
#else
    :: atomic { st[me] == READY -> seen = 1 << me; st[me] = ASKING; send_all(QUERY) } /* timed out */
#endif
    :: atomic { st[me] == ASKING -> st[me] = READING; seen = 0 }     /* timed out */
#ifdef CLASSIC
    :: atomic { st[me] == READING && !COORD && SOMEBODY_KNOWS -> st[me] = READY } /* ask again when that helps */
    :: atomic { st[me] == READING && COORD && record == INIT -> publish(ABORTED) }
    :: atomic { st[me] == READING && COORD && record != INIT -> adopt() }
#else
    :: atomic { st[me] == READING && record == INIT -> st[me] = FORCING }
    :: atomic { st[me] == READING && record != INIT -> adopt() }
    :: atomic { st[me] == FORCING && record == INIT -> publish(ABORTED) }
    :: atomic { st[me] == FORCING && record != INIT -> adopt() }
#endif

    :: atomic { ALIVE && nempty(net[0 * N + me]) -> hear(0) }
    :: atomic { ALIVE && nempty(net[1 * N + me]) -> hear(1) }
    :: atomic { ALIVE && nempty(net[2 * N + me]) -> hear(2) }

    :: atomic { ALIVE && crashes < CRASHES -> crashes++; goto dead }

    :: atomic { st[me] == DEAD -> recover() }
    :: atomic { st[me] == DEAD ->
        st[me] = GONE; done[me] = true;
        do
        :: nempty(net[0 * N + me]) -> net[0 * N + me]?word
        :: nempty(net[1 * N + me]) -> net[1 * N + me]?word
        :: nempty(net[2 * N + me]) -> net[2 * N + me]?word
        :: empty(net[0 * N + me]) && empty(net[1 * N + me]) && empty(net[2 * N + me]) -> break
        od;
        word = 0;
        break }
    od;
    goto stop;

dead:
    atomic { st[me] = DEAD; done[me] = false; seen = 1 << me; to = 0; word = 0 };
    goto end;
stop:
    skip
}

init
{
    atomic { run process(0); run process(1); run process(2) };
    timeout -> assert(done[0] && done[1] && done[2])
}

ltl all_know { <> (done[0] && done[1] && done[2]) }
