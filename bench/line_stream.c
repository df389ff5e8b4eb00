/* line_stream - a recorded trace of 10^8 dependencies over 10^5 ranks, from disk to the recovery line.
 *
 * A ring of ranks with 100 checkpoints each: every interval a rank sends to the neighbours at distance 1, 3, 5 and 7 on
 * both sides and to two ranks anywhere.  What an even rank sends to a neighbour in interval k+1 is received in interval k,
 * so a failure takes everybody back to the start; receivers are found in no order at all.  The trace is written to
 * $TMPDIR, dropped from the page cache, and read by a process of its own, whose time and memory are what count: by the
 * calls of src/line alone, by `belay line FILE`, and by the same with a page to look at.
 * `line_stream write FILE` makes the file only; `--ranks N` makes it smaller. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "line/line.h"
#include "store/trace_file.h"
#include "util/memory.h"

enum { RANKS = 100000, CHECKPOINTS = 100, NEIGHBOURS = 8, ANYWHERE = 2, CHUNK = 1 << 14 };

static const double seconds_limit = 30, gib_limit = 2, page_mib_limit = 16;

static uint32_t ranks = RANKS;
static bl_error err;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int failed(const char *what)
{
    fprintf(stderr, "line_stream: %s: %s\n", what, err.text);
    return 1;
}

/* --- the generator --- */

static uint32_t below(uint64_t *state, uint32_t n)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ z >> 31) % n);
}

static int add_dependencies(bl_trace_writer *writer, uint32_t i, uint64_t *state)
{
    static bl_trace_dependency row[CHECKPOINTS * (NEIGHBOURS + ANYWHERE)];
    size_t n = 0;
    for (uint32_t k = 1; k <= CHECKPOINTS; k++) {
        for (uint32_t way = 0; way < NEIGHBOURS; way++) {
            uint32_t distance = way / 2 * 2 + 1, j = (i + (way % 2 ? distance : ranks - distance)) % ranks;
            row[n++] = (bl_trace_dependency){i, i % 2 ? k : k + 1, j, k, 1 + way};
        }
        for (uint32_t way = 0; way < ANYWHERE; way++)
            row[n++] = (bl_trace_dependency){i, k, below(state, ranks), k, 1};
    }
    return bl_trace_file_add_dependencies(writer, row, n, &err);
}

static int add_checkpoints(bl_trace_writer *writer)
{
    bl_trace_checkpoint row[CHECKPOINTS + 1];
    for (uint32_t x = 0; x <= CHECKPOINTS; x++)
        row[x] = (bl_trace_checkpoint){.safe_point = 10 * x, .time_ns = 60000000000ll * x, .compute_s = 60.0 * x, .number = x};
    for (uint32_t i = 0; i < ranks; i++)
        if (bl_trace_file_add_checkpoints(writer, row, CHECKPOINTS + 1, &err))
            return 1;
    return 0;
}

static int write_trace(const char *path)
{
    bl_trace_header header = {.program = "line_stream", .protocol = "independent", .ranks = ranks};
    bl_trace_rank *rank = calloc(ranks, sizeof *rank);
    bl_trace_writer *writer;
    uint64_t state = 1;
    if (!rank)
        return failed("no memory");
    header.dependencies = (uint64_t)ranks * CHECKPOINTS * (NEIGHBOURS + ANYWHERE);
    for (uint32_t i = 0; i < ranks; i++) {
        rank[i] = (bl_trace_rank){.checkpoints = CHECKPOINTS, .failed = i == 0, .time_ns = 60000000000ll * (CHECKPOINTS + 1),
                                  .compute_s = 60.0 * (CHECKPOINTS + 1)};
        snprintf(rank[i].host, sizeof rank[i].host, "node%04u", i / 64);
    }
    int rc = bl_trace_file_create(path, false, &header, rank, &writer, &err);
    free(rank);
    if (rc)
        return failed("cannot make the trace");
    for (uint32_t i = 0; i < ranks && !rc; i++)
        rc = add_dependencies(writer, i, &state);
    if (rc || add_checkpoints(writer)) {
        bl_trace_file_abandon(writer);
        return failed("cannot write the trace");
    }
    return bl_trace_file_finish(writer, &err) ? failed("cannot finish the trace") : 0;
}

/* --- from disk to the line --- */

static bl_graph *load(const char *path)
{
    static bl_trace_dependency row[CHUNK];
    const bl_trace_header *header;
    const bl_trace_rank *rank;
    bl_trace_file *file;
    bl_graph *graph = NULL;
    size_t rows = 1;
    if (bl_trace_file_open(path, &file, &header, &rank, &err))
        return NULL;
    uint32_t *last = malloc(header->ranks * sizeof *last);
    int rc = last ? BELAY_OK : bl_fail(&err, BELAY_ERR_MEMORY, "no memory");
    for (uint32_t i = 0; i < header->ranks && !rc; i++)
        last[i] = rank[i].checkpoints;
    if (!rc)
        rc = bl_graph_new(header->ranks, last, &graph, &err);
    if (!rc)
        bl_graph_hint_large(graph, bl_memory_large);
    if (!rc)
        rc = bl_graph_reserve(graph, header->dependencies, &err);
    while (!rc && rows > 0) {
        rc = bl_trace_file_dependencies(file, row, CHUNK, &rows, &err);
        for (size_t k = 0; k < rows && !rc; k++)
            rc = bl_graph_message(graph, row[k].from, row[k].sent_in, row[k].to, row[k].received_in,
                                  row[k].received_in > last[row[k].to] + 1 ? BL_MSG_UNDELIVERED : 0, &err);
    }
    bl_trace_file_close(file);
    free(last);
    if (!rc)
        return graph;
    bl_graph_free(graph);
    return NULL;
}

/* What a child does; all that is left to the parent is its exit code and its resources. */
typedef int reader(const char *path, const char *output);

static int find_line(const char *path, enum bl_line_mode mode)
{
    bl_line line;
    double t0 = now();
    bl_graph *graph = load(path);
    if (!graph)
        return failed("cannot read the trace");
    double t1 = now();
    uint8_t *fails = calloc(bl_graph_ranks(graph), 1);
    if (!fails)
        return failed("no memory");
    fails[0] = 1;
    if (bl_line_solve(graph, mode, fails, &line, &err))
        return failed("cannot solve");
    double t2 = now();
    if (bl_line_check(graph, mode, fails, &line, &err))
        return failed("the line is wrong");
    uint32_t at_start = 0;
    for (uint32_t i = 0; i < line.ranks; i++)
        at_start += line.cut[i] == 0;
    printf("  loaded in %.1f s, solved in %.1f s, checked in %.1f s: %u of %u ranks back at the start, domino depth %u\n",
           t1 - t0, t2 - t1, now() - t2, at_start, line.ranks, line.domino_depth);
    int right = at_start == line.ranks && line.total_domino;
    bl_line_clear(&line);
    bl_graph_free(graph);
    free(fails);
    return !right;
}

static int find_consistent(const char *path, const char *output)
{
    (void)output;
    return find_line(path, BL_LINE_CONSISTENT);
}

static int find_transitless(const char *path, const char *output)
{
    (void)output;
    return find_line(path, BL_LINE_TRANSITLESS);
}

/* --- the tool --- */

static int exec_tool(const char *path, const char *text, const char *page)
{
    const char *build = getenv("BENCH_BUILD");
    char tool[4096];
    snprintf(tool, sizeof tool, "%s/belay", build && *build ? build : ".");
    if (!freopen(text, "w", stdout))
        return 1;
    execl(tool, "belay", "line", path, page ? "--html" : (char *)NULL, page, (char *)NULL);
    perror(tool);
    return 1;
}

static int run_tool(const char *path, const char *output)
{
    return exec_tool(path, output, NULL);
}

static int run_tool_html(const char *path, const char *output)
{
    return exec_tool(path, "/dev/null", output);
}

/* --- figures --- */

static int figure(const char *name, const char *what, double value, double limit)
{
    printf("figure line-%s-%s %.2f limit %.2f %s\n", name, what, value, limit, value <= limit ? "ok" : "SHORT");
    return value <= limit;
}

static double of(struct timeval t)
{
    return (double)t.tv_sec + 1e-6 * (double)t.tv_usec;
}

static int measure(const char *path, const char *output, const char *name, reader *read_it)
{
    struct rusage usage = {0};
    int status = 1, fd = open(path, O_RDONLY);
    if (fd < 0 || fsync(fd) || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED))
        perror("line_stream: cannot drop the trace from the page cache");
    if (fd >= 0)
        close(fd);
    printf("%s:\n", name);
    fflush(stdout);
    double t0 = now();
    pid_t child = fork();
    if (child == 0) {
        int code = read_it(path, output);
        fflush(stdout);
        _exit(code);
    }
    if (child < 0 || wait4(child, &status, 0, &usage) != child)
        perror("line_stream: cannot run the reader");
    double seconds = now() - t0, gib = (double)usage.ru_maxrss / (1024.0 * 1024.0);
    printf("  %.1f s of a processor, %.1f s of the system's; %.2f GiB came from the disk, the rest of the trace from memory\n",
           of(usage.ru_utime), of(usage.ru_stime), (double)usage.ru_inblock * 512 / 1073741824.0);
    return (status == 0) & figure(name, "seconds", seconds, seconds_limit) & figure(name, "gib", gib, gib_limit);
}

/* The text must tell of the domino that the generator made. */
static int tells_domino(const char *text)
{
    char line[1024];
    FILE *file = fopen(text, "r");
    int found = 0;
    while (file && !found && fgets(line, sizeof line, file))
        found = strncmp(line, "Full domino effect", 18) == 0;
    if (file)
        fclose(file);
    if (!found)
        fprintf(stderr, "line_stream: belay line says nothing of the domino\n");
    return found;
}

static int measure_tool(const char *path)
{
    char output[4200];
    struct stat page = {0};
    snprintf(output, sizeof output, "%s.out", path);
    int ok = measure(path, output, "tool", run_tool) & tells_domino(output);
    ok &= measure(path, output, "tool-html", run_tool_html);
    ok &= stat(output, &page) == 0 && page.st_size > 0;
    ok &= figure("tool-html", "page-mib", (double)page.st_size / 1048576.0, page_mib_limit);
    (void)unlink(output);
    return ok;
}

static int run(const char *path)
{
    struct stat file;
    double t0 = now();
    if (write_trace(path) || stat(path, &file) != 0)
        return 1;
    printf("%.0f dependencies over %u ranks with %d checkpoints each: %.2f GiB written in %.1f s\n",
           (double)ranks * CHECKPOINTS * (NEIGHBOURS + ANYWHERE), ranks, CHECKPOINTS, (double)file.st_size / 1073741824.0,
           now() - t0);
    int ok = measure(path, NULL, "stream-consistent", find_consistent);
    ok &= measure(path, NULL, "stream-transitless", find_transitless);
    ok &= measure_tool(path);
    return !ok;
}

int main(int argc, char **argv)
{
    char path[4096];
    const char *tmp = getenv("TMPDIR");
    int k = 1;
    if (k + 1 < argc && strcmp(argv[k], "--ranks") == 0) {
        ranks = (uint32_t)strtoul(argv[k + 1], NULL, 10);
        k += 2;
    }
    if (ranks < 16 || ranks > BL_RANKS_MAX || ranks % 2) {
        fprintf(stderr, "line_stream: --ranks takes an even number from 16\n");
        return 2;
    }
    if (k + 1 < argc && strcmp(argv[k], "write") == 0)
        return write_trace(argv[k + 1]);
    snprintf(path, sizeof path, "%s/belay-line-stream-%ld.h5", tmp && *tmp ? tmp : "/tmp", (long)getpid());
    int code = run(path);
    (void)unlink(path);
    return code;
}
