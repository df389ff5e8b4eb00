/* belay_codes.h - what the functions of belay.h return.  Included by belay.h; free of MPI, so that tools can use it too. */
#ifndef BELAY_CODES_H
#define BELAY_CODES_H

/* Every belay_* function returns BELAY_OK (0) or one of these; belay_strerror(code) names it and
 * belay_error_text() gives the whole sentence of the last failure: what failed, where, and what to do. */
enum belay_code {
    BELAY_OK = 0,
    BELAY_ERR_ARG = -1,      /* a call was used wrongly: bad name, count, type, order of calls */
    BELAY_ERR_SYSTEM = -2,   /* the operating system refused: no space, no permission, I/O error */
    BELAY_ERR_DAMAGED = -3,  /* a file is truncated, altered or not what its record says */
    BELAY_ERR_FORMAT = -4,   /* a file was written by a newer version of Belay */
    BELAY_ERR_FOREIGN = -5,  /* a file belongs to another job, another rank or another number of ranks */
    BELAY_ERR_STALE = -6,    /* this process belongs to an incarnation that has been replaced */
    BELAY_ERR_NONE = -7,     /* there is nothing to restore, no such record */
    BELAY_ERR_MISMATCH = -8, /* the protected variables differ from those in the checkpoint */
    BELAY_ERR_PENDING = -9,  /* a message is in transit or a request is outstanding at the safe point */
    BELAY_ERR_REFUSED = -10, /* the combination of settings or the program's use of MPI is not supported */
    BELAY_ERR_MEMORY = -11,  /* out of memory, or a limit with a name was reached */
    BELAY_ERR_ABORTED = -12, /* the checkpoint was given up because another rank could not take its part */
    BELAY_ERR_INTERNAL = -13 /* a defect in Belay: please report the line it printed */
};

#endif
