/* A trace comes back as it was written; what makes no sense is not written; what was damaged, or made to harm, is one
 * sentence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <fcntl.h>
#include <hdf5.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/seal.h"
#include "store/trace_file.h"

enum { HOPS = 3, INSTANCES = 3, LONG = 200001 };

static char dir[] = "/tmp/belay-trace-XXXXXX", path[64], other[64], temporary[80];

static const bl_trace_header header = {.job = "0123456789abcdef", .program = "./a.out", .protocol = "independent", .ranks = 2,
                                       .incarnation = 3, .time_ns = 42, .dependencies = HOPS, .collectives = 5, .assumed = 1};
static const bl_trace_rank ranks[] = {{"one", 1, 1, 7, 100, 1.5}, {"two", 2, 0, UINT64_MAX, 200, 2.5}};
static const bl_trace_checkpoint checkpoints[] = {
    {0, 1, 0, 0, 0}, {5, 2, 0.5, 4, 0}, {0, 1, 0, 0, 0}, {6, 3, 1, 2, 0}, {7, 4, 2, 9, 0}};
static const bl_trace_dependency dependencies[HOPS] = {{0, 1, 1, 2, 3}, {0, 2, 1, 4, 1}, {1, 3, 0, 2, UINT32_MAX}};
static const uint32_t both[] = {0, 1}, first[] = {1, 2}, later[] = {0};

static bl_trace_writer *create(const bl_trace_header *h)
{
    bl_trace_writer *w;
    bl_error err = {0};
    if (bl_trace_file_create(path, false, h, ranks, &w, &err) != BELAY_OK)
        fail_msg("%s", err.text);
    return w;
}

static void add_rows(bl_trace_writer *w)
{
    assert_int_equal(bl_trace_file_add_dependencies(w, dependencies, 1, NULL), BELAY_OK);
    assert_int_equal(bl_trace_file_add_collective(w, 1, 2, both, first, NULL), BELAY_OK);
    assert_int_equal(bl_trace_file_add_checkpoints(w, checkpoints, 5, NULL), BELAY_OK);
    assert_int_equal(bl_trace_file_add_collective(w, 0, 1, both, later, NULL), BELAY_OK);
    assert_int_equal(bl_trace_file_add_dependencies(w, dependencies + 1, 2, NULL), BELAY_OK);
    assert_int_equal(bl_trace_file_add_collective(w, 1, 2, both, first, NULL), BELAY_OK);
}

static void write_trace(void)
{
    bl_trace_writer *w = create(&header);
    bl_error err = {0};
    add_rows(w);
    if (bl_trace_file_finish(w, &err) != BELAY_OK)
        fail_msg("%s", err.text);
}

struct contents {
    bl_trace_checkpoint checkpoint[8];
    bl_trace_dependency dependency[8];
    size_t checkpoints, dependencies, instances, members, series;
};

/* Everything, in parts of one or two rows; the code of the first thing that is wrong. */
static int read_trace(struct contents *c, bl_error *err)
{
    bl_trace_file *file;
    const bl_trace_header *h;
    const bl_trace_rank *r;
    size_t rows = 1;
    memset(c, 0, sizeof *c);
    int rc = bl_trace_file_open(path, &file, &h, &r, err);
    if (rc)
        return rc;
    for (rows = 1; !rc && rows && c->checkpoints < 7; c->checkpoints += rows)
        rc = bl_trace_file_checkpoints(file, &c->checkpoint[c->checkpoints], 2, &rows, err);
    for (rows = 1; !rc && rows && c->dependencies < 7; c->dependencies += rows)
        rc = bl_trace_file_dependencies(file, &c->dependency[c->dependencies], 2, &rows, err);
    for (uint32_t members = 1; !rc && members; ) {
        const uint32_t *rank, *interval;
        int begins = 0;
        rc = bl_trace_file_collective(file, &begins, &members, &rank, &interval, err);
        c->instances += !rc && members;
        c->members += rc ? 0 : members;
        c->series += !rc && members && begins;
    }
    bl_trace_file_close(file);
    return rc;
}

static void a_trace_comes_back_as_it_was_written(void **unused)
{
    (void)unused;
    struct contents c;
    bl_trace_file *file;
    const bl_trace_header *h;
    const bl_trace_rank *r;
    struct stat status;
    write_trace();
    assert_int_equal(read_trace(&c, NULL), BELAY_OK);
    assert_int_equal(c.checkpoints, 5);
    assert_memory_equal(c.checkpoint, checkpoints, sizeof checkpoints);
    assert_int_equal(c.dependencies, HOPS);
    assert_memory_equal(c.dependency, dependencies, sizeof dependencies);
    assert_int_equal(c.instances, INSTANCES);
    assert_int_equal(c.members, 5);
    assert_int_equal(c.series, 2);
    assert_int_equal(symlink(path, other), 0);
    assert_int_equal(bl_trace_file_open(other, &file, &h, &r, NULL), BELAY_OK);
    assert_memory_equal(h, &header, sizeof header);
    assert_memory_equal(r, ranks, sizeof ranks);
    bl_trace_file_close(file);
    unlink(other);
    assert_int_equal(stat(temporary, &status), -1);
}

static void a_trace_says_what_is_kept_and_forced(void **unused)
{
    (void)unused;
    struct contents c;
    bl_trace_header h = header;
    bl_trace_checkpoint forced[5];
    bl_trace_dependency kept[HOPS];
    memcpy(forced, checkpoints, sizeof forced);
    memcpy(kept, dependencies, sizeof kept);
    h.logs = forced[1].forced = 1;
    h.collectives = 0;
    kept[1].received_in |= BL_TRACE_LOGGED; /* never received, at that */
    bl_trace_writer *w = create(&h);
    assert_int_equal(bl_trace_file_add_checkpoints(w, forced, 5, NULL), BELAY_OK);
    assert_int_equal(bl_trace_file_add_dependencies(w, kept, HOPS, NULL), BELAY_OK);
    assert_int_equal(bl_trace_file_finish(w, NULL), BELAY_OK);
    assert_int_equal(read_trace(&c, NULL), BELAY_OK);
    assert_memory_equal(c.checkpoint, forced, sizeof forced);
    assert_memory_equal(c.dependency, kept, sizeof kept);
    w = create(&header);
    assert_int_equal(bl_trace_file_add_checkpoints(w, forced, 5, NULL), BELAY_ERR_ARG);
    bl_trace_file_abandon(w);
}

static void an_empty_trace_comes_back(void **unused)
{
    (void)unused;
    struct contents c;
    bl_trace_header h = header;
    h.dependencies = h.collectives = 0;
    bl_trace_writer *w = create(&h);
    assert_int_equal(bl_trace_file_add_checkpoints(w, checkpoints, 5, NULL), BELAY_OK);
    assert_int_equal(bl_trace_file_finish(w, NULL), BELAY_OK);
    assert_int_equal(read_trace(&c, NULL), BELAY_OK);
    assert_int_equal(c.dependencies + c.instances, 0);
}

static void refuse_dependency(bl_trace_dependency d)
{
    bl_trace_writer *w = create(&header);
    assert_int_equal(bl_trace_file_add_dependencies(w, dependencies + 2, 1, NULL), BELAY_OK);
    assert_int_equal(bl_trace_file_add_dependencies(w, &d, 1, NULL), BELAY_ERR_ARG);
    bl_trace_file_abandon(w);
}

static void what_makes_no_sense_is_not_written(void **unused)
{
    (void)unused;
    bl_trace_checkpoint odd = {0, 0, 1.0 / 0.0, 1, 0};
    const uint32_t far[] = {0, 2}, high[] = {1, 4};
    refuse_dependency((bl_trace_dependency){0, 1, 1, 1, 1});
    refuse_dependency((bl_trace_dependency){1, 0, 1, 1, 1});
    refuse_dependency((bl_trace_dependency){1, 4, 1, 1, 1});
    refuse_dependency((bl_trace_dependency){1, 1, 0, 4, 1});
    refuse_dependency((bl_trace_dependency){1, 1, 2, 1, 1});
    refuse_dependency((bl_trace_dependency){2, 1, 1, 1, 1});
    refuse_dependency((bl_trace_dependency){1, 1, 1, 1, 0});
    refuse_dependency((bl_trace_dependency){1, 1, 1, 1 | BL_TRACE_LOGGED, 1}); /* not of a trace of format 1 */
    bl_trace_writer *w = create(&header);
    assert_int_equal(bl_trace_file_add_checkpoints(w, &odd, 1, NULL), BELAY_ERR_ARG);
    assert_int_equal(bl_trace_file_add_collective(w, 0, 2, both, first, NULL), BELAY_ERR_ARG);
    assert_int_equal(bl_trace_file_add_collective(w, 1, 2, far, first, NULL), BELAY_ERR_ARG);
    assert_int_equal(bl_trace_file_add_collective(w, 1, 2, both, high, NULL), BELAY_ERR_ARG);
    bl_trace_file_abandon(w);
}

static void announced_and_written_must_agree(void **unused)
{
    (void)unused;
    bl_trace_header h = header;
    struct stat status;
    unlink(path);
    bl_trace_writer *w = create(&header);
    add_rows(w);
    assert_int_equal(bl_trace_file_add_dependencies(w, dependencies + 2, 1, NULL), BELAY_ERR_ARG);
    bl_trace_file_abandon(w);
    h.dependencies++;
    w = create(&h);
    add_rows(w);
    assert_int_equal(bl_trace_file_finish(w, NULL), BELAY_ERR_ARG);
    assert_int_equal(stat(path, &status), -1);
}

static char *load(size_t *size)
{
    struct stat status;
    int fd = open(path, O_RDONLY);
    assert_int_equal(fstat(fd, &status), 0);
    *size = (size_t)status.st_size;
    char *bytes = malloc(*size);
    assert_int_equal(read(fd, bytes, *size), *size);
    close(fd);
    return bytes;
}

static void save(const char *bytes, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, bytes, size), size);
    close(fd);
}

/* Row k of a table so long that it is read ahead. */
static bl_trace_dependency row_of(uint32_t k)
{
    return (bl_trace_dependency){k >= LONG / 2, 1 + k % 2, k % 2, 1 + k % 3, 1 + k};
}

static void write_long_trace(void)
{
    bl_trace_header h = header;
    h.dependencies = LONG;
    h.collectives = 0;
    bl_trace_writer *w = create(&h);
    assert_int_equal(bl_trace_file_add_checkpoints(w, checkpoints, 5, NULL), BELAY_OK);
    for (uint32_t k = 0; k < LONG; k++) {
        bl_trace_dependency d = row_of(k);
        assert_int_equal(bl_trace_file_add_dependencies(w, &d, 1, NULL), BELAY_OK);
    }
    assert_int_equal(bl_trace_file_finish(w, NULL), BELAY_OK);
}

/* How many rows come, at most `most`, before the end or something that is wrong. */
static uint32_t read_long_trace(uint32_t most, int *code)
{
    static bl_trace_dependency row[1000];
    bl_trace_file *file;
    const bl_trace_header *h;
    const bl_trace_rank *r;
    uint32_t count = 0;
    size_t rows = 1;
    bl_error err;
    assert_int_equal(bl_trace_file_open(path, &file, &h, &r, NULL), BELAY_OK);
    for (*code = BELAY_OK; !*code && rows && count < most; count += (uint32_t)rows) {
        *code = bl_trace_file_dependencies(file, row, sizeof row / sizeof *row, &rows, &err);
        for (uint32_t k = 0; k < rows && !*code; k++)
            assert_memory_equal(&row[k], (&(bl_trace_dependency[]){row_of(count + k)}), sizeof *row);
    }
    for (int again = 0; again < 2 && count >= LONG - 1; again++) { /* the end stays the end, what is wrong stays wrong */
        assert_int_equal(bl_trace_file_dependencies(file, row, 1, &rows, NULL), *code);
        assert_int_equal(rows, 0);
    }
    bl_trace_file_close(file);
    return count;
}

static void a_long_table_is_read_ahead_and_the_same(void **unused)
{
    (void)unused;
    int code;
    size_t size;
    write_long_trace();
    assert_int_equal(read_long_trace(UINT32_MAX, &code), LONG);
    assert_int_equal(code, BELAY_OK);
    for (uint32_t most = 1; most < LONG; most *= 8) /* closed while the thread reads, or waits */
        assert_in_range(read_long_trace(most, &code), most, most + 999);
    char *bytes = load(&size);
    bytes[size / 2] ^= 1;
    save(bytes, size);
    free(bytes);
    assert_in_range(read_long_trace(UINT32_MAX, &code), LONG / 4, LONG - 1);
    assert_int_equal(code, BELAY_ERR_DAMAGED);
}

static void a_truncated_trace_is_refused(void **unused)
{
    (void)unused;
    struct contents c;
    bl_error err;
    size_t size;
    write_trace();
    char *bytes = load(&size);
    for (size_t n = 0; n < size; n += n < 256 || size - n < 256 ? 1 : 97) {
        save(bytes, n);
        assert_int_equal(read_trace(&c, &err), BELAY_ERR_DAMAGED);
    }
    free(bytes);
}

static void a_flipped_bit_is_noticed_where_it_matters(void **unused)
{
    (void)unused;
    struct contents is, was;
    bl_error err;
    size_t size;
    write_trace();
    assert_int_equal(read_trace(&was, NULL), BELAY_OK);
    char *bytes = load(&size);
    for (size_t n = 0; n < size; n += bytes[n] || size - n < 256 ? 1 : 61) {
        bytes[n] ^= 4;
        save(bytes, size);
        assert_int_equal(read_trace(&is, &err), BELAY_ERR_DAMAGED);
        bytes[n] ^= 4;
    }
    save(bytes, size);
    assert_int_equal(read_trace(&is, &err), BELAY_OK);
    assert_memory_equal(&is, &was, sizeof is);
    free(bytes);
}

static void what_is_no_trace_is_refused(void **unused)
{
    (void)unused;
    struct contents c;
    bl_error err;
    unlink(path);
    assert_int_equal(read_trace(&c, &err), BELAY_ERR_NONE);
    save("s0>1:m r m c0", 13);
    assert_int_equal(read_trace(&c, &err), BELAY_ERR_DAMAGED);
    unlink(path);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(read_trace(&c, &err), BELAY_ERR_DAMAGED);
    rmdir(path);
}

/* Changes a trace with HDF5 itself and seals it again: what somebody would do who means harm. */
static void forge(void (*change)(hid_t trace))
{
    struct stat status;
    write_trace();
    hid_t file = H5Fopen(path, H5F_ACC_RDWR, H5P_DEFAULT), trace = H5Gopen2(file, "trace", H5P_DEFAULT);
    change(trace);
    H5Gclose(trace);
    H5Fclose(file);
    int fd = open(path, O_RDWR);
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(bl_seal_write(fd, (uint64_t)status.st_size, NULL, 0), 0);
    close(fd);
}

static void set(hid_t trace, const char *name, hid_t type, const void *value)
{
    hid_t id = H5Aopen(trace, name, H5P_DEFAULT);
    assert_true(H5Awrite(id, type, value) >= 0);
    H5Aclose(id);
}

static void newer(hid_t trace) { set(trace, "format", H5T_NATIVE_UINT32, &(uint32_t){BL_TRACE_FORMAT + 1}); }
static void many_ranks(hid_t trace) { set(trace, "ranks", H5T_NATIVE_UINT32, &(uint32_t){BL_RANKS_MAX}); }
static void no_ranks(hid_t trace) { set(trace, "ranks", H5T_NATIVE_UINT32, &(uint32_t){0}); }
static void many_rows(hid_t trace) { set(trace, "dependencies", H5T_NATIVE_UINT64, &(uint64_t){UINT64_MAX / 128}); }
static void nothing(hid_t trace) { (void)trace; }

static void endless_text(hid_t trace)
{
    char text[256];
    memset(text, 'x', sizeof text);
    hid_t id = H5Aopen(trace, "program", H5P_DEFAULT), type = H5Aget_type(id);
    assert_true(H5Awrite(id, type, text) >= 0);
    H5Tclose(type);
    H5Aclose(id);
}

static void no_table(hid_t trace) { H5Ldelete(trace, "dependencies", H5P_DEFAULT); }

static void link_elsewhere(hid_t trace)
{
    no_table(trace);
    H5Lcreate_external("/etc/passwd", "/x", trace, "dependencies", H5P_DEFAULT, H5P_DEFAULT);
}

static void group_for_table(hid_t trace)
{
    no_table(trace);
    H5Gclose(H5Gcreate2(trace, "dependencies", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
}

static void huge_table(hid_t trace)
{
    hsize_t rows = 1u << 30;
    hid_t old = H5Dopen2(trace, "dependencies", H5P_DEFAULT), type = H5Dget_type(old), space = H5Screate_simple(1, &rows, NULL);
    H5Dclose(old);
    no_table(trace);
    set(trace, "dependencies", H5T_NATIVE_UINT64, &(uint64_t){rows});
    H5Dclose(H5Dcreate2(trace, "dependencies", type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Sclose(space);
    H5Tclose(type);
}

static void other_rows(hid_t trace)
{
    hsize_t rows = HOPS;
    hid_t space = H5Screate_simple(1, &rows, NULL);
    no_table(trace);
    H5Dclose(H5Dcreate2(trace, "dependencies", H5T_NATIVE_UINT32, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT));
    H5Sclose(space);
}

static void a_forged_trace_is_one_sentence(void **unused)
{
    (void)unused;
    static void (*const changes[])(hid_t) = {many_ranks, no_ranks, many_rows, endless_text, no_table, link_elsewhere,
                                             group_for_table, huge_table, other_rows};
    struct contents c;
    bl_error err;
    forge(nothing);
    assert_int_equal(read_trace(&c, &err), BELAY_OK);
    for (size_t k = 0; k < sizeof changes / sizeof *changes; k++) {
        forge(changes[k]);
        assert_int_equal(read_trace(&c, &err), BELAY_ERR_DAMAGED);
        assert_null(strchr(err.text, '\n'));
    }
    forge(newer);
    assert_int_equal(read_trace(&c, &err), BELAY_ERR_FORMAT);
}

static int make_dir(void **unused)
{
    (void)unused;
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/trace.h5", dir);
    snprintf(other, sizeof other, "%s/other", dir);
    snprintf(temporary, sizeof temporary, "%s.tmp", path);
    return 0;
}

static int remove_dir(void **unused)
{
    (void)unused;
    unlink(path);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trace_comes_back_as_it_was_written),
        cmocka_unit_test(a_trace_says_what_is_kept_and_forced),
        cmocka_unit_test(an_empty_trace_comes_back),
        cmocka_unit_test(a_long_table_is_read_ahead_and_the_same),
        cmocka_unit_test(what_makes_no_sense_is_not_written),
        cmocka_unit_test(announced_and_written_must_agree),
        cmocka_unit_test(a_truncated_trace_is_refused),
        cmocka_unit_test(a_flipped_bit_is_noticed_where_it_matters),
        cmocka_unit_test(what_is_no_trace_is_refused),
        cmocka_unit_test(a_forged_trace_is_one_sentence),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
