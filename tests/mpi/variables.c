/* variables - protects, restores and resizes variables of every type, and uses the calls wrongly.
 *
 *     variables save       four safe points; an array grows by 10 at each; "gone" is unprotected before the last
 *     variables WAY        a later start, against what `save` left: good, missing, extra, type, shape, count
 *     variables calls      wrong arguments and wrong order
 *
 * Prints `rank R ok` when everything was as it should be.
 */
#include <mpi.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <belay.h>

enum { N = 24, TYPES = 20 };

static int rank, wrong;

#define EXPECT(condition) \
    do { \
        if (!(condition)) { \
            printf("rank %d: line %d: %s: %s\n", rank, __LINE__, #condition, belay_error_text()); \
            wrong = 1; \
        } \
    } while (0)

static unsigned char data[TYPES][N * 16], opaque[777];
static int grid[2][3][4], step, *growing;
static double gone[5];

static MPI_Datatype type_of(int i)
{
    const MPI_Datatype types[TYPES] = {
        MPI_CHAR, MPI_SIGNED_CHAR, MPI_UNSIGNED_CHAR, MPI_BYTE, MPI_SHORT, MPI_UNSIGNED_SHORT, MPI_INT, MPI_UNSIGNED, MPI_LONG,
        MPI_UNSIGNED_LONG, MPI_LONG_LONG, MPI_INT8_T, MPI_UINT16_T, MPI_INT32_T, MPI_UINT64_T, MPI_C_BOOL, MPI_FLOAT, MPI_DOUBLE,
        MPI_C_FLOAT_COMPLEX, MPI_C_DOUBLE_COMPLEX,
    };
    return types[i];
}

static size_t bytes_of(int i)
{
    int bytes;
    MPI_Type_size(type_of(i), &bytes);
    return (size_t)bytes * N;
}

static unsigned char pattern(int variable, size_t byte)
{
    return (unsigned char)(rank * 31 + variable * 7 + (int)(byte % 251));
}

static void protect_types(void)
{
    char name[32];
    for (int i = 0; i < TYPES; i++) {
        snprintf(name, sizeof name, "type-%d", i);
        EXPECT(belay_protect(name, data[i], N, type_of(i)) == BELAY_OK);
    }
}

static void fill(void)
{
    for (int i = 0; i < TYPES; i++)
        for (size_t b = 0; b < bytes_of(i); b++) data[i][b] = pattern(i, b);
    for (size_t b = 0; b < sizeof opaque; b++) opaque[b] = pattern(TYPES, b);
    for (int i = 0; i < 24; i++) (&grid[0][0][0])[i] = rank * 100 + i;
}

static int filled(void)
{
    for (int i = 0; i < TYPES; i++)
        for (size_t b = 0; b < bytes_of(i); b++)
            if (data[i][b] != pattern(i, b)) return 0;
    for (size_t b = 0; b < sizeof opaque; b++)
        if (opaque[b] != pattern(TYPES, b)) return 0;
    for (int i = 0; i < 24; i++)
        if ((&grid[0][0][0])[i] != rank * 100 + i) return 0;
    return 1;
}

static int empty(void)
{
    for (int i = 0; i < TYPES; i++)
        for (size_t b = 0; b < bytes_of(i); b++)
            if (data[i][b]) return 0;
    return step == 0 && opaque[0] == 0 && opaque[776] == 0 && grid[1][2][3] == 0;
}

static void protect_most(void)
{
    const size_t shape[3] = { 2, 3, 4 };
    protect_types();
    EXPECT(belay_protect_bytes("opaque", opaque, sizeof opaque) == BELAY_OK);
    EXPECT(belay_protect_array("grid", grid, 3, shape, MPI_INT) == BELAY_OK);
    EXPECT(belay_protect_array("step", &step, 0, NULL, MPI_INT) == BELAY_OK);
    EXPECT(belay_protect("nothing", NULL, 0, MPI_DOUBLE) == BELAY_OK);
}

static void protect_growing(size_t count)
{
    int *bigger = realloc(growing, count * sizeof *growing);
    if (!bigger) MPI_Abort(MPI_COMM_WORLD, 1);
    growing = bigger;
    for (size_t i = 0; i < count; i++) growing[i] = (int)i * (rank + 1);
    EXPECT(belay_protect("growing", growing, count, MPI_INT) == BELAY_OK);
}

static void save(void)
{
    int dims;
    size_t shape[BELAY_MAX_DIMS];
    belay_status status;
    protect_most();
    EXPECT(belay_protect("gone", gone, 5, MPI_DOUBLE) == BELAY_OK);
    EXPECT(belay_saved_shape("grid", &dims, shape) == BELAY_ERR_NONE);
    EXPECT(belay_recover(&status) == BELAY_OK && !status.resumed && status.ranks == 4);
    fill();
    for (; step < 4; step++) {
        protect_growing(10 * (size_t)(step + 1) + (size_t)rank); /* every rank its own size */
        if (step == 3) EXPECT(belay_unprotect("gone") == BELAY_OK);
        EXPECT(belay_checkpoint(&status) == BELAY_OK);
        EXPECT(status.taken == (step > 0) && status.checkpoint == step && status.safe_point == (uint64_t)step);
    }
    fflush(stdout);
    raise(9); /* the job is to be continued */
}

static void go_on(void)
{
    int dims = -1;
    size_t shape[BELAY_MAX_DIMS] = { 0 };
    belay_status status;
    EXPECT(belay_saved_shape("grid", &dims, shape) == BELAY_OK && dims == 3 && shape[0] == 2 && shape[1] == 3 && shape[2] == 4);
    EXPECT(belay_saved_shape("step", &dims, shape) == BELAY_OK && dims == 0);
    EXPECT(belay_saved_shape("opaque", &dims, shape) == BELAY_OK && dims == 1 && shape[0] == sizeof opaque);
    EXPECT(belay_saved_shape("gone", &dims, shape) == BELAY_ERR_NONE);
    EXPECT(belay_saved_shape("growing", &dims, shape) == BELAY_OK && dims == 1 && shape[0] == 40 + (size_t)rank);
    protect_most();
    size_t count = shape[0];
    protect_growing(count);
    memset(growing, 0, count * sizeof *growing);
    EXPECT(belay_recover(&status) == BELAY_OK && status.resumed && status.checkpoint == 3 && status.safe_point == 3);
    EXPECT(step == 3 && filled());
    for (size_t i = 0; i < count; i++) EXPECT(growing[i] == (int)i * (rank + 1));
    EXPECT(belay_checkpoint(&status) == BELAY_OK && !status.taken && status.safe_point == 3 && status.resumed);
    EXPECT(belay_checkpoint(&status) == BELAY_OK && status.taken && status.safe_point == 4);
    EXPECT(belay_recover(NULL) == BELAY_ERR_ARG && strstr(belay_error_text(), "twice"));
}

/* Only rank 2 protects something else; nobody's memory may change. */
static void differ(const char *way)
{
    static double other[N];
    const size_t flat[2] = { 6, 4 };
    int mine = rank == 2;
    protect_most();
    protect_growing(40 + (size_t)rank);
    if (mine && !strcmp(way, "missing")) EXPECT(belay_unprotect("opaque") == BELAY_OK);
    if (mine && !strcmp(way, "extra")) EXPECT(belay_protect("surplus", other, N, MPI_DOUBLE) == BELAY_OK);
    if (mine && !strcmp(way, "type")) EXPECT(belay_protect("type-6", data[6], N, MPI_FLOAT) == BELAY_OK);
    if (mine && !strcmp(way, "shape")) EXPECT(belay_protect_array("grid", grid, 2, flat, MPI_INT) == BELAY_OK);
    if (mine && !strcmp(way, "count")) protect_growing(41);
    int code = belay_recover(NULL);
    EXPECT(code == BELAY_ERR_MISMATCH);
    EXPECT(empty());
    printf("rank %d says: %s\n", rank, belay_error_text());
}

static void calls(void)
{
    char name[80];
    const size_t huge[2] = { (size_t)1 << 40, (size_t)1 << 40 }, nine[9] = { 1, 1, 1, 1, 1, 1, 1, 1, 1 };
    int x = 0;
    MPI_Datatype pair;
    MPI_Type_contiguous(2, MPI_INT, &pair);
    memset(name, 'n', sizeof name);
    name[BELAY_MAX_NAME] = '\0';
    EXPECT(belay_protect(name, &x, 1, MPI_INT) == BELAY_OK);
    EXPECT(belay_unprotect(name) == BELAY_OK);
    name[BELAY_MAX_NAME] = 'n';
    name[BELAY_MAX_NAME + 1] = '\0';
    EXPECT(belay_protect(name, &x, 1, MPI_INT) == BELAY_ERR_ARG);
    const char *const bad[] = { NULL, "", ".", "..", "a/b", "a b", "\xc3\xa9", "a\n" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) EXPECT(belay_protect(bad[i], &x, 1, MPI_INT) == BELAY_ERR_ARG);
    EXPECT(strstr(belay_error_text(), "a name is"));
    EXPECT(belay_protect("x", NULL, 1, MPI_INT) == BELAY_ERR_ARG && strstr(belay_error_text(), "NULL"));
    EXPECT(belay_protect("x", &x, 1, pair) == BELAY_ERR_ARG && strstr(belay_error_text(), "belay_protect_bytes"));
    EXPECT(belay_protect("x", &x, 1, MPI_DATATYPE_NULL) == BELAY_ERR_ARG);
    EXPECT(belay_protect_array("x", &x, 2, huge, MPI_INT) == BELAY_ERR_ARG);
    EXPECT(belay_protect_array("x", &x, 9, nine, MPI_INT) == BELAY_ERR_ARG);
    EXPECT(belay_protect_array("x", &x, -1, nine, MPI_INT) == BELAY_ERR_ARG);
    EXPECT(belay_protect_array("x", &x, 1, NULL, MPI_INT) == BELAY_ERR_ARG);
    EXPECT(belay_unprotect("x") == BELAY_ERR_ARG);
    EXPECT(belay_checkpoint(NULL) == BELAY_ERR_ARG && strstr(belay_error_text(), "belay_recover"));
    for (int i = 0; i < BELAY_MAX_VARIABLES; i++) {
        snprintf(name, sizeof name, "v%d", i);
        EXPECT(belay_protect(name, &x, 1, MPI_INT) == BELAY_OK);
    }
    EXPECT(belay_protect("one-more", &x, 1, MPI_INT) == BELAY_ERR_MEMORY && strstr(belay_error_text(), "4096"));
    EXPECT(belay_protect("v7", &x, 1, MPI_INT) == BELAY_OK); /* again: no new one */
    EXPECT(belay_recover(NULL) == BELAY_OK);
    EXPECT(belay_recover(NULL) == BELAY_ERR_ARG);
    for (int code = 0; code >= BELAY_ERR_INTERNAL; code--)
        for (int other = code - 1; other >= BELAY_ERR_INTERNAL; other--) EXPECT(strcmp(belay_strerror(code), belay_strerror(other)));
    EXPECT(belay_strerror(12345) && *belay_strerror(12345));
    snprintf(name, sizeof name, "%d.%d.%d", BELAY_VERSION_MAJOR, BELAY_VERSION_MINOR, BELAY_VERSION_PATCH);
    EXPECT(!strcmp(belay_version(), name));
    MPI_Type_free(&pair);
}

int main(int argc, char **argv)
{
    const char *way = argc > 1 ? argv[1] : "";
    EXPECT(belay_checkpoint(NULL) == BELAY_ERR_ARG && strstr(belay_error_text(), "between MPI_Init and MPI_Finalize"));
    EXPECT(belay_protect("step", &step, 1, MPI_INT) == BELAY_ERR_ARG);
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    if (!strcmp(way, "save")) save();
    else if (!strcmp(way, "good")) go_on();
    else if (!strcmp(way, "calls")) calls();
    else differ(way);
    if (!wrong) printf("rank %d ok\n", rank);
    fflush(stdout);
    MPI_Finalize();
    EXPECT(belay_recover(NULL) == BELAY_ERR_ARG);
    free(growing);
    return wrong;
}
