/* test_store_common.h - scratch directories and a job with recognisable data, for the tests of src/store. */
#ifndef TEST_STORE_COMMON_H
#define TEST_STORE_COMMON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/store.h"

/* A new directory under $TMPDIR; scratch_remove also removes what is in it. */
void scratch_make(char path[256]);
void scratch_remove(const char *path);
void scratch_read(const char *path, char **bytes, size_t *size);
void scratch_write(const char *path, const void *bytes, size_t size);
bool scratch_exists(const char *path);
/* Files under `path` whose name contains `part`. */
int scratch_count(const char *path, const char *part);

/* A small snapshot (one variable is just large enough to be bulk) whose contents follow from rank and checkpoint.  The memory belongs to the sample. */
enum { SAMPLE_VARIABLES = 4, SAMPLE_ROWS = 26, SAMPLE_COLUMNS = 20, SAMPLE_GRID = SAMPLE_ROWS * SAMPLE_COLUMNS };
typedef struct sample {
    int32_t step;
    double grid[SAMPLE_GRID];
    unsigned char bytes[5];
    bl_variable variables[SAMPLE_VARIABLES];
    bl_channel channels[2];
    bl_collectives collectives[1];
    bl_dependency dependencies[1];
    bl_snapshot snapshot;
} sample;
void sample_make(sample *s, uint32_t rank, uint32_t ranks, uint32_t checkpoint, uint32_t incarnation);
/* Opens, verifies and reads everything back; BELAY_OK only if it is exactly the sample, DAMAGED text otherwise;
 * *wrong is set when the store handed out something else than the sample without an error. */
int sample_check(bl_store *store, uint32_t rank, uint32_t checkpoint, const bl_digest *expect, bool *wrong, bl_error *err);

/* One sentence on one line that names what it should. */
bool good_sentence(const bl_error *err, int code, const char *part);

#endif
