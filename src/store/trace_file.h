/* trace_file.h - a recorded trace: the dependencies of one job, up to where it stopped, in one HDF5 file.
 *
 * Written as a stream and read as a stream, so that 10^8 dependencies need no memory here.  doc/format.md has the layout.
 * What a file holds must be known before: the tables are contiguous, so that they cost what their bytes cost.  Everything
 * read is checked: a value out of range or a table that does not match its checksum is BELAY_ERR_DAMAGED (the latter when
 * its last rows have been read).
 */
#ifndef BL_STORE_TRACE_FILE_H
#define BL_STORE_TRACE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"

enum { BL_TRACE_FORMAT = 2 };              /* what is written without `logs` is format 1 */
#define BL_TRACE_LOGGED UINT32_C(0x80000000) /* in `received_in`: the contents are kept */

typedef struct bl_trace_header {
    char job[17];             /* as in bl_job; may be empty */
    char program[256];        /* for people */
    char protocol[16];        /* "independent", ... */
    uint32_t ranks, incarnation;
    int64_t time_ns;          /* CLOCK_REALTIME when it was written */
    uint64_t dependencies;    /* rows */
    uint64_t collectives;     /* rows: the members of all bl_trace_file_add_collective together */
    uint64_t assumed;         /* channels whose tags could not be told apart (bl_history_folded) */
    uint32_t logs;            /* 1: rows may have BL_TRACE_LOGGED (format 2) */
} bl_trace_header;

typedef struct bl_trace_rank {
    char host[64];
    uint32_t checkpoints;     /* L: its checkpoints are CP(0), the start, to CP(L) */
    uint32_t failed;          /* 0 or 1 */
    uint64_t safe_point;      /* the last it entered in the open interval; UINT64_MAX: none */
    int64_t time_ns;          /* when the open interval ended */
    double compute_s;         /* useful work of the job up to there */
} bl_trace_rank;

typedef struct bl_trace_checkpoint {
    uint64_t safe_point;
    int64_t time_ns;
    double compute_s;
    uint32_t number;          /* on disk; 0: the start of the job */
    uint32_t forced;          /* with `logs`: 1 because of a message; else 0 */
} bl_trace_checkpoint;

typedef struct bl_trace_dependency { /* intervals from 1 to L+1; received_in L+2: never received */
    uint32_t from, sent_in, to, received_in; /* received_in: with or without BL_TRACE_LOGGED */
    uint32_t messages;        /* at least 1; UINT32_MAX: that many or more */
} bl_trace_dependency;

/* --- writing --- */

typedef struct bl_trace_writer bl_trace_writer;

/* Starts PATH.tmp.  `rank` has header->ranks rows.  Then the rows below, each kind in its order, the kinds in any. */
int bl_trace_file_create(const char *path, bool durable, const bl_trace_header *header, const bl_trace_rank *rank,
                         bl_trace_writer **writer, bl_error *err);
/* CP(0) to CP(L) of rank 0, then of rank 1, ...; any number of rows at a time. */
int bl_trace_file_add_checkpoints(bl_trace_writer *writer, const bl_trace_checkpoint *row, size_t rows, bl_error *err);
/* Ascending by `from`, otherwise in any order. */
int bl_trace_file_add_dependencies(bl_trace_writer *writer, const bl_trace_dependency *row, size_t rows, bl_error *err);
/* As bl_history_collectives visits them, and bl_graph_collective (`begins`) and bl_graph_collective_next take them. */
int bl_trace_file_add_collective(bl_trace_writer *writer, int begins, uint32_t members, const uint32_t *rank,
                                 const uint32_t *interval, bl_error *err);
/* Checks that all that was announced came, seals the file, and gives it its name.  The writer is gone afterwards, and
 * after a failure so is the file. */
int bl_trace_file_finish(bl_trace_writer *writer, bl_error *err);
/* Gives up; NULL is fine. */
void bl_trace_file_abandon(bl_trace_writer *writer);

/* --- reading --- */

typedef struct bl_trace_file bl_trace_file;

/* *header and *rank belong to the file.  BELAY_ERR_NONE: there is no such file. */
int bl_trace_file_open(const char *path, bl_trace_file **file, const bl_trace_header **header, const bl_trace_rank **rank,
                       bl_error *err);
void bl_trace_file_close(bl_trace_file *file);

/* The next rows, at most `room`; *rows 0 at the end.  The kinds are read independently of each other, each once. */
int bl_trace_file_checkpoints(bl_trace_file *file, bl_trace_checkpoint *row, size_t room, size_t *rows, bl_error *err);
int bl_trace_file_dependencies(bl_trace_file *file, bl_trace_dependency *row, size_t room, size_t *rows, bl_error *err);
/* The next instance; *members 0 at the end.  The arrays are valid until the next call. */
int bl_trace_file_collective(bl_trace_file *file, int *begins, uint32_t *members, const uint32_t **rank,
                             const uint32_t **interval, bl_error *err);

#endif
