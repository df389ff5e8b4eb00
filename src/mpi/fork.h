/* fork.h - a child that writes; where that is safe. */
#ifndef BL_MPI_FORK_H
#define BL_MPI_FORK_H

#include "mpi/checkpoint.h"

/* --- fork.c --- */
int bl_fork_init(bl_error *err);               /* refuses where the kernel cannot do it */
void bl_fork_free(void);
int bl_fork(void (*body)(void), int *process); /* body in a child, then it ends; 0 and a pidfd, or -1 with errno */
int bl_fork_ended(int process);
void bl_fork_end(int process);                 /* now; bl_fork_ended says when it has */

/* --- transport.c --- */
int bl_transport_forks(bl_error *err);         /* refuses where MPI moves data with what fork may harm */

/* --- maps.c --- */
typedef struct bl_span { uintptr_t from, to; } bl_span;
typedef struct bl_maps {                       /* the memory that a child has for its own: private and anonymous */
    bl_span *span;                             /* [spans] ascending, not touching each other */
    size_t spans, room;
} bl_maps;
void bl_maps_read(bl_maps *maps, const char *path); /* /proc/self/maps or smaps; what cannot be read is not there */
int bl_maps_have(const bl_maps *maps, const void *data, size_t bytes);
void bl_maps_free(bl_maps *maps);

#endif
