/* nodes.c - the nodes a job may use: the first that have room for its ranks are used, the others are spare, and one that does not
 * answer is left out.  Whether it answers is asked of mpirun itself, which starts `true` there: so it is reached the way the ranks
 * are, whatever that is. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "run/internal.h"
#include "util/clock.h"

enum { NODES_MAX = 4096, NAME_MAX_BYTES = 253, SLOTS_MAX = 1 << 16, LINE_BYTES = 1024, SHOWN = 8 };
enum { ASKED_AT_ONCE = 16, LOOK_NS = 10000000 };
/* A node is asked so often, and has so long to answer: who is left out wrongly is missed. */
static const double answer_s[] = { 5, 15, 30 };
#define CLOSE_S 2.0 /* so long mpirun has to end after that, with the agents it has started */

struct bl_node {
    char *name;
    uint32_t slots;
    int used, lost, asked;
    int open;            /* it has been asked and has not answered */
    int late;            /* and mpirun has been told to end */
    pid_t asking;        /* the mpirun that asks it; 0: none */
};

typedef struct batch { bl_node *first, *end; } batch;

/* --- who they are --- */

static int good_name(const char *name, size_t length)
{
    if (!length || length > NAME_MAX_BYTES || name[0] == '-') return 0;
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)name[i]) && !strchr(".-_", name[i])) return 0;
    return 1;
}

static int parse_slots(const char *text, const char *stop, uint32_t *slots)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno || end == text || end != stop || !isdigit((unsigned char)*text) || value < 1 || value > SLOTS_MAX) return -1;
    *slots = (uint32_t)value;
    return 0;
}

/* A node that is named again has so many slots more, as mpirun sees it. */
static int add(bl_nodes *nodes, const char *name, uint32_t slots, bl_error *err)
{
    for (unsigned i = 0; i < nodes->count; i++) {
        if (strcmp(nodes->node[i].name, name)) continue;
        if (slots > SLOTS_MAX - nodes->node[i].slots) return bl_fail(err, BELAY_ERR_ARG, "node %s has more than %d slots", name, SLOTS_MAX);
        nodes->node[i].slots += slots;
        return BELAY_OK;
    }
    if (nodes->count == NODES_MAX) return bl_fail(err, BELAY_ERR_ARG, "more than %d nodes", NODES_MAX);
    bl_node *more = realloc(nodes->node, (nodes->count + 1) * sizeof *more);
    if (!more) return bl_fail(err, BELAY_ERR_MEMORY, "out of memory");
    nodes->node = more;
    more[nodes->count] = (bl_node){ .name = strdup(name), .slots = slots };
    if (!more[nodes->count].name) return bl_fail(err, BELAY_ERR_MEMORY, "out of memory");
    nodes->count++;
    return BELAY_OK;
}

int bl_nodes_parse(bl_nodes *nodes, const char *list, bl_error *err)
{
    for (const char *item = list;; item++) {
        size_t length = strcspn(item, ","), span = strcspn(item, ":,");
        char name[NAME_MAX_BYTES + 1];
        uint32_t slots = 1;
        if (!good_name(item, span)) return bl_fail(err, BELAY_ERR_ARG, "--host: '%.*s' is not the name of a node", (int)span, item);
        snprintf(name, sizeof name, "%.*s", (int)span, item);
        if (length > span && parse_slots(item + span + 1, item + length, &slots))
            return bl_fail(err, BELAY_ERR_ARG, "--host: '%.*s': NODE:SLOTS has a number of ranks behind the colon", (int)length, item);
        int rc = add(nodes, name, slots, err);
        if (rc || !item[length]) return rc;
        item += length;
    }
}

/* NODE slots=N [max_slots=N] # as mpirun reads it.  What is left out mpirun looks up on the node, which we cannot. */
static int parse_line(bl_nodes *nodes, char *line, const char *path, unsigned number, bl_error *err)
{
    uint32_t slots = 0, most;
    char *rest;
    line[strcspn(line, "#\n")] = '\0';
    char *name = strtok_r(line, " \t\r", &rest);
    if (!name) return BELAY_OK;
    if (!good_name(name, strlen(name))) return bl_fail(err, BELAY_ERR_ARG, "%s:%u: '%.80s' is not the name of a node", path, number, name);
    for (char *word; (word = strtok_r(NULL, " \t\r", &rest));) {
        if (!strncmp(word, "slots=", 6) && !parse_slots(word + 6, word + strlen(word), &slots)) continue;
        if (!strncmp(word, "max_slots=", 10) && !parse_slots(word + 10, word + strlen(word), &most)) continue;
        return bl_fail(err, BELAY_ERR_ARG, "%s:%u: '%.80s': a node is followed by slots=N", path, number, word);
    }
    if (!slots) return bl_fail(err, BELAY_ERR_ARG, "%s:%u: how many ranks has %s room for? Write slots=N behind it", path, number, name);
    return add(nodes, name, slots, err);
}

int bl_nodes_read(bl_nodes *nodes, const char *path, bl_error *err)
{
    char line[LINE_BYTES];
    int rc = BELAY_OK;
    FILE *file = fopen(path, "re");
    if (!file) return bl_fail_errno(err, "--hostfile %s", path);
    for (unsigned number = 1; rc == BELAY_OK && fgets(line, sizeof line, file); number++) {
        if (strlen(line) + 1 == sizeof line) rc = bl_fail(err, BELAY_ERR_ARG, "%s:%u: the line is too long", path, number);
        else rc = parse_line(nodes, line, path, number, err);
    }
    if (rc == BELAY_OK && ferror(file)) rc = bl_fail_errno(err, "cannot read %s", path);
    if (rc == BELAY_OK && !nodes->count) rc = bl_fail(err, BELAY_ERR_ARG, "--hostfile %s names no node", path);
    fclose(file);
    return rc;
}

/* --- which are used --- */

uint32_t bl_nodes_use(bl_nodes *nodes, uint32_t processes)
{
    uint32_t room = 0;
    for (unsigned i = 0; i < nodes->count; i++) {
        bl_node *n = &nodes->node[i];
        n->used = !n->lost && room < processes;
        if (n->used) room += n->slots;
    }
    return room;
}

char *bl_nodes_list(const bl_nodes *nodes)
{
    char *list = NULL;
    size_t size;
    FILE *text = open_memstream(&list, &size);
    if (!text) return NULL;
    for (unsigned i = 0, n = 0; i < nodes->count; i++)
        if (nodes->node[i].used) fprintf(text, "%s%s:%" PRIu32, n++ ? "," : "", nodes->node[i].name, nodes->node[i].slots);
    fclose(text);
    return list;
}

static unsigned name_some(const bl_nodes *nodes, int (*which)(const bl_node *), char *text, size_t size)
{
    unsigned found = 0;
    size_t used = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < nodes->count; i++) {
        if (!which(&nodes->node[i]) || found++ >= SHOWN || used >= size) continue;
        int n = snprintf(text + used, size - used, "%s%s", used ? ", " : "", nodes->node[i].name);
        used += n > 0 ? (size_t)n : 0;
    }
    if (found > SHOWN && used < size) snprintf(text + used, size - used, " and %u more", found - SHOWN);
    return found;
}

static int is_used(const bl_node *n) { return n->used; }
static int is_lost_now(const bl_node *n) { return n->lost && n->asked; }

unsigned bl_nodes_name_used(const bl_nodes *nodes, char *text, size_t size) { return name_some(nodes, is_used, text, size); }
unsigned bl_nodes_name_lost(const bl_nodes *nodes, char *text, size_t size) { return name_some(nodes, is_lost_now, text, size); }

/* --- who answers --- */

/* In the child.  Its own group, to be ended as one; what mpirun has to say of a node that is gone, belay says. */
static void become_question(char **argv)
{
    sigset_t none;
    int null = open("/dev/null", O_RDWR);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    for (int fd = 0; null >= 0 && fd <= 2; fd++) dup2(null, fd);
    execvp(argv[0], argv);
    _exit(127);
}

static void ask(const bl_options *o, bl_node *n)
{
    char *argv[BL_MPIRUN_ARGS_MAX + 8], place[NAME_MAX_BYTES + 16];
    unsigned k = 0;
    snprintf(place, sizeof place, "%s:%" PRIu32, n->name, n->slots);
    const char *const first[] = { o->mpirun, "--host", place, "-n", "1" };
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) argv[k++] = (char *)(uintptr_t)first[i];
    for (unsigned i = 0; i < o->mpirun_args; i++) argv[k++] = (char *)(uintptr_t)o->mpirun_arg[i];
    argv[k++] = (char *)(uintptr_t) "true";
    argv[k] = NULL;
    fflush(NULL);
    n->late = 0;
    n->asking = fork();
    if (n->asking == 0) become_question(argv);
    if (n->asking < 0) n->open = 0; /* a question that could not be put speaks for nothing */
}

static int is_over(bl_node *n)
{
    int status;
    if (n->asking <= 0) return 1;
    if (waitpid(n->asking, &status, WNOHANG) != n->asking) return 0;
    n->asking = 0;
    if (!n->late && WIFEXITED(status) && WEXITSTATUS(status) == 0) n->open = 0;
    return 1;
}

static int wait_for(batch b, double seconds)
{
    int64_t until = bl_ticks_ns() + (int64_t)(seconds * 1e9);
    for (;;) {
        unsigned running = 0;
        for (bl_node *n = b.first; n < b.end; n++) running += !is_over(n);
        if (!running || bl_ticks_ns() > until) return !running;
        nanosleep(&(struct timespec){ .tv_nsec = LOOK_NS }, NULL);
    }
}

static void end_questions(batch b, int number)
{
    for (bl_node *n = b.first; n < b.end; n++) {
        if (n->asking <= 0) continue;
        n->late = 1; /* whatever status it ends with now */
        kill(-n->asking, number);
    }
}

/* Once: 1 when somebody has not answered. */
static int ask_open(const bl_options *o, batch b, double seconds)
{
    int open = 0;
    for (bl_node *n = b.first; n < b.end; n++)
        if (n->open) ask(o, n);
    if (!wait_for(b, seconds)) {
        end_questions(b, SIGTERM);
        if (!wait_for(b, CLOSE_S)) end_questions(b, SIGKILL);
        wait_for(b, CLOSE_S);
    }
    for (bl_node *n = b.first; n < b.end; n++) open |= n->open;
    return open;
}

/* From `first` on, as many that have not been asked as one machine bears at once. */
static batch next_batch(const bl_nodes *nodes, bl_node *first)
{
    batch b = { first, first };
    for (unsigned many = 0; b.end < nodes->node + nodes->count && many < ASKED_AT_ONCE; b.end++) {
        b.end->open = b.end->used && !b.end->asked;
        b.end->asked |= b.end->open;
        many += (unsigned)b.end->open;
    }
    return b;
}

/* Those in use that have not been asked; 1 when there were any that do not answer. */
static int ask_some(bl_options *o)
{
    bl_node *end = o->nodes.node + o->nodes.count;
    int lost = 0;
    for (batch b = next_batch(&o->nodes, o->nodes.node); b.first < end; b = next_batch(&o->nodes, b.end)) {
        unsigned times = 0;
        while (times < sizeof answer_s / sizeof *answer_s && ask_open(o, b, answer_s[times])) times++;
        for (bl_node *n = b.first; n < b.end; n++) lost |= n->open, n->lost |= n->open, n->open = 0;
    }
    return lost;
}

uint32_t bl_nodes_look(bl_options *o)
{
    uint32_t room;
    for (unsigned i = 0; i < o->nodes.count; i++) o->nodes.node[i].asked = 0;
    do room = bl_nodes_use(&o->nodes, bl_processes(o));
    while (ask_some(o));
    return room;
}
