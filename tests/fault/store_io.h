/* store_io.h - stands between the program and the system calls with which src/store changes the disk: records them for the
 * crash test, and makes chosen ones fail.  Linked into the test program, where its definitions come before libc's. */
#ifndef STORE_IO_H
#define STORE_IO_H

#include <stddef.h>
#include <stdint.h>

enum io_kind { IO_CREATE, IO_WRITE, IO_TRUNCATE, IO_SYNC, IO_DIR_SYNC, IO_RENAME, IO_LINK, IO_UNLINK, IO_MKDIR, IO_MARK };

typedef struct io_event {
    enum io_kind kind;
    int file;               /* which file: numbered by creation, from 0; -1 where there is none */
    char path[96], to[96];  /* below the recorded root */
    uint64_t offset, size;  /* IO_MARK: what the test said */
    unsigned char *data;
} io_event;

enum { IO_EVENTS_MAX = 4096, IO_FILES_MAX = 512 };

typedef struct io_record { io_event event[IO_EVENTS_MAX]; int count; } io_record;

/* Records what happens below `root` until io_stop. */
void io_start(const char *root, io_record *record);
void io_mark(uint64_t what, uint64_t value);
void io_stop(void);
void io_free(io_record *record);

/* The nth call from now on (from 1) fails: with `number` if it is one that needs space, else with EIO.
 * `for_good`: from the nth on all that need space. */
void io_fail(int nth, int number, int for_good);
/* Every read and write is interrupted first and then does only half of what it should. */
void io_stutter(int on);
/* Ends io_fail; how many calls there were, and the errno of the failure (0: none). */
int io_calls(int *failed);

#endif
