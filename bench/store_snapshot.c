/* store_snapshot - what a snapshot costs beside writing the same bytes to a plain file.
 *
 * Two processes save 512 MiB each (four variables) at the same time; a round takes as long as the slower one.  Snapshots and
 * plain files alternate in one run, with memory touched beforehand, huge pages where there are any, new files every time;
 * only ratios of neighbours are compared.  Files are removed, and the file system is synced, outside the timed part.
 *
 *   store_snapshot [--mib N] [--pairs N] [--dir DIR]
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "store/store.h"

enum { WORKERS = 2, PARTS = 4, PAIRS_MAX = 101 };

enum what { SNAPSHOT_POWER, PLAIN_POWER, SNAPSHOT_PROCESS, PLAIN_PROCESS, SNAPSHOT_READ, PLAIN_READ, WHATS };

typedef struct worker {
    uint32_t rank, checkpoint;
    char *data, *back;
    size_t bytes;           /* of one part */
    bl_store *store[2];     /* by enum bl_stable */
    char plain[512];
} worker;

static size_t mib = 512;
static int pairs = 9;
static char dir[300];
static int to[WORKERS][2], from[WORKERS][2];

static void die(const char *what)
{
    fprintf(stderr, "store_snapshot: %s: %s\n", what, strerror(errno));
    exit(1);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void check(int code, const bl_error *err)
{
    if (code == BELAY_OK)
        return;
    fprintf(stderr, "store_snapshot: %s\n", err->text);
    exit(1);
}

/* --- a worker --- */

static char *touched(size_t bytes)
{
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        die("mmap");
    (void)madvise(memory, bytes, MADV_HUGEPAGE);
    uint64_t value = 88172645463325252u;
    for (size_t i = 0; i < bytes; i += sizeof value) {
        value ^= value << 13, value ^= value >> 7, value ^= value << 17;
        memcpy(memory + i, &value, sizeof value);
    }
    return memory;
}

static void snapshot_write(worker *w, enum bl_stable stable)
{
    bl_error err;
    bl_digest digest;
    bl_variable v[PARTS];
    for (int i = 0; i < PARTS; i++) {
        v[i] = (bl_variable){ .type = BL_TYPE_F64, .element = 8, .dims = 1, .shape = { w->bytes / 8 },
                              .data = w->data + (size_t)i * w->bytes };
        snprintf(v[i].name, sizeof v[i].name, "field-%d", i);
    }
    bl_snapshot s = { .rank = w->rank, .ranks = WORKERS, .checkpoint = w->checkpoint, .variables = v, .nvariables = PARTS };
    check(bl_snapshot_write(w->store[stable], &s, &digest, &err), &err);
}

static void snapshot_read(worker *w)
{
    bl_error err;
    bl_reader *reader;
    const bl_snapshot *s;
    char name[16];
    check(bl_snapshot_open(w->store[0], w->rank, w->checkpoint, NULL, &reader, &s, &err), &err);
    for (int i = 0; i < PARTS; i++) {
        snprintf(name, sizeof name, "field-%d", i);
        check(bl_snapshot_read(reader, name, w->back + (size_t)i * w->bytes, &err), &err);
    }
    bl_snapshot_close(reader);
}

static void plain_write(const worker *w, bool sync)
{
    int fd = open(w->plain, O_WRONLY | O_CREAT | O_EXCL, 0666);
    if (fd < 0)
        die(w->plain);
    for (size_t done = 0; done < PARTS * w->bytes;) {
        ssize_t n = write(fd, w->data + done, PARTS * w->bytes - done);
        if (n <= 0)
            die("write");
        done += (size_t)n;
    }
    if (sync && fdatasync(fd) != 0)
        die("fdatasync");
    close(fd);
}

static void plain_read(const worker *w)
{
    int fd = open(w->plain, O_RDONLY);
    for (size_t done = 0; done < PARTS * w->bytes;) {
        ssize_t n = read(fd, w->back + done, PARTS * w->bytes - done);
        if (fd < 0 || n <= 0)
            die("read");
        done += (size_t)n;
    }
    close(fd);
}

static void prepare(worker *w, enum what what)
{
    w->checkpoint++;
    if (what == SNAPSHOT_READ)
        snapshot_write(w, BL_STABLE_PROCESS);
    if (what == PLAIN_READ)
        plain_write(w, false);
}

static void act(worker *w, enum what what)
{
    switch (what) {
    case SNAPSHOT_POWER: snapshot_write(w, BL_STABLE_POWER); break;
    case SNAPSHOT_PROCESS: snapshot_write(w, BL_STABLE_PROCESS); break;
    case PLAIN_POWER: plain_write(w, true); break;
    case PLAIN_PROCESS: plain_write(w, false); break;
    case SNAPSHOT_READ: snapshot_read(w); break;
    case PLAIN_READ: plain_read(w); break;
    case WHATS: break;
    }
}

static void clean(const worker *w, enum what what)
{
    bl_error err;
    if (what == PLAIN_POWER || what == PLAIN_PROCESS || what == PLAIN_READ)
        (void)unlink(w->plain);
    else
        check(bl_snapshot_remove(w->store[0], w->rank, w->checkpoint, &err), &err);
}

/* Three bytes a round: what to prepare, go, clean up; each is answered. */
static void work(uint32_t rank)
{
    bl_error err;
    worker w = { .rank = rank, .bytes = mib * 1024 * 1024 / PARTS };
    unsigned char command, phase = 0;
    w.data = touched(PARTS * w.bytes);
    w.back = touched(PARTS * w.bytes);
    snprintf(w.plain, sizeof w.plain, "%s/plain-%u", dir, rank);
    for (int i = 0; i < 2; i++) {
        check(bl_store_open(dir, (enum bl_stable)i, &w.store[i], &err), &err);
        check(bl_store_join(w.store[i], 0, &err), &err);
    }
    while (read(to[rank][0], &command, 1) == 1) {
        if (phase == 0)
            prepare(&w, (enum what)command);
        else if (phase == 1)
            act(&w, (enum what)command);
        else
            clean(&w, (enum what)command);
        phase = (unsigned char)((phase + 1) % 3);
        if (write(from[rank][1], &command, 1) != 1)
            die("pipe");
    }
    bl_store_close(w.store[0]);
    bl_store_close(w.store[1]);
}

/* --- the parent --- */

static void tell_all(enum what what)
{
    unsigned char byte = (unsigned char)what;
    for (int i = 0; i < WORKERS; i++)
        if (write(to[i][1], &byte, 1) != 1)
            die("a worker ended");
    for (int i = 0; i < WORKERS; i++)
        if (read(from[i][0], &byte, 1) != 1)
            die("a worker ended");
}

static double round_of(enum what what)
{
    tell_all(what);
    double start = now();
    tell_all(what);
    double took = now() - start;
    tell_all(what);
    sync();
    return took;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *values)
{
    double sorted[PAIRS_MAX];
    memcpy(sorted, values, (size_t)pairs * sizeof *values);
    qsort(sorted, (size_t)pairs, sizeof *sorted, ascending);
    return pairs % 2 ? sorted[pairs / 2] : (sorted[pairs / 2 - 1] + sorted[pairs / 2]) / 2;
}

static double compare(const char *name, enum what a, enum what b)
{
    double ta[PAIRS_MAX], tb[PAIRS_MAX], ratio[PAIRS_MAX];
    (void)round_of(a); /* the first of its kind finds cold caches */
    (void)round_of(b);
    for (int i = 0; i < pairs; i++) {
        bool swap = i % 2;
        double first = round_of(swap ? b : a), second = round_of(swap ? a : b);
        ta[i] = swap ? second : first;
        tb[i] = swap ? first : second;
        ratio[i] = ta[i] / tb[i];
    }
    double middle = median(ratio);
    qsort(ratio, (size_t)pairs, sizeof *ratio, ascending);
    printf("%-10s %7.3f s, plain %7.3f s: ratio %.3f (of %d pairs %.3f to %.3f)\n", name, median(ta), median(tb), middle, pairs,
           ratio[0], ratio[pairs - 1]);
    return middle;
}

static void start_workers(void)
{
    for (uint32_t i = 0; i < WORKERS; i++) {
        if (pipe(to[i]) != 0 || pipe(from[i]) != 0)
            die("pipe");
        pid_t pid = fork();
        if (pid < 0)
            die("fork");
        if (pid == 0) {
            for (uint32_t k = 0; k <= i; k++)
                close(to[k][1]);
            work(i);
            exit(0);
        }
    }
}

static void read_options(int argc, char **argv)
{
    const char *base = getenv("TMPDIR"), *wanted = getenv("BENCH_PAIRS");
    if (wanted)
        pairs = atoi(wanted);
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--mib") == 0)
            mib = strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--pairs") == 0)
            pairs = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--dir") == 0)
            base = argv[i + 1];
    }
    if (argc % 2 == 0 || mib < 1 || mib > 65536 || pairs < 1 || pairs > PAIRS_MAX) {
        fprintf(stderr, "usage: store_snapshot [--mib N] [--pairs 1..%d] [--dir DIR]\n", (int)PAIRS_MAX);
        exit(2);
    }
    snprintf(dir, sizeof dir, "%s/store_snapshot.%ld", base ? base : "/tmp", (long)getpid());
}

static void remove_all(void)
{
    char command[400];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    if (system(command) != 0)
        die(command);
}

int main(int argc, char **argv)
{
    bl_store *store;
    bl_error err;
    read_options(argc, argv);
    check(bl_store_create(dir, WORKERS, argv[0], BL_STABLE_POWER, &store, &err), &err);
    bl_store_close(store);
    start_workers();
    printf("%d processes x %zu MiB in %s\n", WORKERS, mib, dir);
    double durable = compare("durable", SNAPSHOT_POWER, PLAIN_POWER);
    double process = compare("process", SNAPSHOT_PROCESS, PLAIN_PROCESS);
    double checked = compare("read", SNAPSHOT_READ, PLAIN_READ);
    for (int i = 0; i < WORKERS; i++)
        close(to[i][1]);
    while (wait(NULL) > 0)
        continue;
    remove_all();
    printf("for information: not forced %.2f x write(), read and checked %.2f x read()\n", process, checked);
    printf("figure snapshot-durable %.3f limit 1.10 %s\n", durable, durable <= 1.10 ? "ok" : "SHORT");
    return 0;
}
