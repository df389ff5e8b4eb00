# coverage.awk - the page doc/mpi-coverage.md from calls.def and others.def, in this order.
BEGIN {
    FS = "\t"
    counted["send"] = "a send at the call"
    counted["isend"] = "a send at the call; outstanding until it is completed"
    counted["init"] = "a send at every start, or a delivery at every completion"
    counted["coll"] = "one more collective on the communicator"
    counted["icoll"] = "one more collective when it is started; outstanding until it is completed"
    counted["comm"] = "the new communicator has an id that all members know without a message; mpi_assert_allow_overtaking is taken out"
    counted["call"] = "nothing"
    counted["probe"] = "nothing"
    counted["file"] = "one more collective on the communicator the file was opened on"
    counted["ifile"] = "outstanding until it is completed; one more collective if all ranks call it"
    counted["join"] = "one more collective"
    counted["window"] = "one more collective"
    counted["on"] = "nothing; of the communicator that is current"
    counted["mpi4"] = "nothing (MPI 4)"
    why["join"] = "with checkpoints (every other than never): none is taken after it, since the processes it brings in are not ranks of the job"
    why["window"] = "with checkpoints (every other than never): none is taken after it, since a rank does not see what is put into its window"
    why["mpi4"] = "with checkpoints (every other than never): none is taken after it, since what it sends is not seen; with logging it ends the job"
    print "# MPI calls and what Belay does with them\n"
    print "Made by `src/mpi/coverage.awk` from the table the wrappers are made from; `tests/mpi/coverage.sh` compares it with"
    print "mpi.h and with what libbelay exports.\n"
    print "- **tracked**: intercepted; dependencies are exact. Sends and deliveries are counted per (communicator, peer, tag),"
    print "  collectives per communicator. A message to or from `MPI_PROC_NULL` is none."
    print "- **transparent**: not intercepted, needs nothing."
    print "- **refused**: the program may use it, and without checkpoints it runs as ever. Where checkpoints are on, one line says at"
    print "  the call that none is taken after it, and `belay_checkpoint` returns `BELAY_ERR_PENDING` with the call's name. The"
    print "  synchronisation it makes is counted even so."
    print "- With `checkpoint=induced` a blocking collective is preceded by an agreement on the highest index, so that it forces what it"
    print "  has to; a nonblocking one cannot be, and what it should force is refused with its name when checkpoints are."
    print "- With `logging=pessimistic` sends, receives, probes, completions and the blocking collectives of intracommunicators but the"
    print "  neighbourhood's are logged and repeated after a restart. After the first safe point nonblocking and neighbourhood collectives,"
    print "  matched probes, cancel, persistent receives from anybody, and communicators, windows and files being made end the job with"
    print "  their name; before it they are as without logging, but `belay replay` cannot answer them."
    print "- A request that is not completed at a safe point is an obstacle to a coordinated checkpoint, and so is a thread that waits"
    print "  in MPI; the message names the call.\n"
    print "Under `MPI_THREAD_MULTIPLE` one lock is held while something is counted, never while a thread waits in MPI. At the other"
    print "three levels there is none. Which of two threads sends first on one channel is for the program to say, as in MPI.\n"
    print "## Intercepted\n"
    print "| call | class | what is counted | refused when, and why |"
    print "|---|---|---|---|"
}
/^#/ { next }
NF == 4 {
    if (!others++) {
        print "\n## Not intercepted\n"
        print "| calls | class | names | why |"
        print "|---|---|---|---|"
    }
    names = $4
    gsub(/ /, "`, `", names)
    print "| " $2 " | " $1 " | `" names "` | " $3 " |"
    next
}
NF > 1 {
    name = $2
    sub(/^(int|double) /, "", name)
    sub(/\(.*/, "", name)
    refused = $1 in why
    print "| `" name "` | " (refused ? "refused" : "tracked") " | " ($1 == "special" ? $3 : counted[$1]) " | " (refused ? why[$1] : "") " |"
}
