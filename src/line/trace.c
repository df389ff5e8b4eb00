#include "line/trace.h"

#include <stdlib.h>
#include <string.h>

struct name {
    size_t at;
    unsigned length; /* 0: free slot */
};

struct message {
    struct name name;
    uint32_t i, s, j, r;
    unsigned flags;
};

struct group {
    uint64_t first, end; /* a collective's members */
};

struct rank {
    uint32_t checkpoints;
    uint32_t group;            /* 1 + the last collective it was named in */
};

static const struct name no_name = {0, 0};

struct parser {
    const char *text;
    size_t length, at;
    size_t event;              /* where the current event starts */
    uint32_t limit;            /* ranks above are an error */
    uint32_t ranks;
    struct rank *rank;
    uint64_t rank_capacity;
    struct message *message;
    uint64_t messages, message_capacity;
    uint64_t *slot;            /* names, by open addressing: 1 + index into message, 0: free; a power of two of slots */
    uint64_t slots;
    struct group *group;
    uint64_t groups, group_capacity;
    uint32_t *member, *interval;
    uint64_t members, member_capacity, interval_capacity;
    bl_error *err;
};

static int wrong(const struct parser *p, size_t at, const char *what, struct name name)
{
    unsigned long line = 1, column = 1;
    for (size_t k = 0; k < at && k < p->length; k++) {
        column = p->text[k] == '\n' ? 1 : column + 1;
        line += p->text[k] == '\n';
    }
    return bl_fail(p->err, BELAY_ERR_ARG, "trace, line %lu, column %lu: %s%s%.*s", line, column, what, name.length ? " " : "",
                   (int)name.length, name.length ? p->text + name.at : "");
}

static int wrong_here(const struct parser *p, const char *what)
{
    return wrong(p, p->at, what, no_name);
}

/* `array` with room for one more element; *rc is set, and `array` returned as it was, when there is none. */
static void *grow(struct parser *p, void *array, uint64_t *capacity, uint64_t used, size_t size, int *rc)
{
    if (used < *capacity)
        return array;
    uint64_t more = 2 * *capacity + 16;
    void *bigger = more <= SIZE_MAX / size ? realloc(array, (size_t)more * size) : NULL;
    if (bigger)
        *capacity = more;
    else
        *rc = bl_fail(p->err, BELAY_ERR_MEMORY, "no memory for a trace of %zu bytes", p->length);
    return bigger ? bigger : array;
}

static int is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static int is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
}

static void skip_blanks(struct parser *p)
{
    while (p->at < p->length && is_blank(p->text[p->at]))
        p->at++;
}

static void skip_to_event(struct parser *p)
{
    skip_blanks(p);
    while (p->at < p->length && p->text[p->at] == '#') {
        while (p->at < p->length && p->text[p->at] != '\n')
            p->at++;
        skip_blanks(p);
    }
}

static int take(struct parser *p, char c, const char *otherwise)
{
    if (p->at == p->length || p->text[p->at] != c)
        return wrong_here(p, otherwise);
    p->at++;
    return BELAY_OK;
}

static int take_name(struct parser *p, struct name *name)
{
    name->at = p->at;
    while (p->at < p->length && is_name(p->text[p->at]) && p->at - name->at <= BL_TRACE_MAX_NAME)
        p->at++;
    name->length = (unsigned)(p->at - name->at);
    if (name->length == 0)
        return wrong_here(p, "a name is missing");
    if (name->length > BL_TRACE_MAX_NAME)
        return wrong(p, name->at, "this name is too long", no_name);
    return BELAY_OK;
}

static int take_rank(struct parser *p, uint32_t *rank)
{
    size_t start = p->at;
    uint32_t value = 0;
    while (p->at < p->length && p->text[p->at] >= '0' && p->text[p->at] <= '9') {
        value = 10 * value + (uint32_t)(p->text[p->at++] - '0');
        if (value >= p->limit)
            return wrong(p, start, "there is no such rank", no_name);
    }
    if (p->at == start)
        return wrong_here(p, "a rank is missing");
    while (p->ranks <= value) {
        int rc = BELAY_OK;
        p->rank = grow(p, p->rank, &p->rank_capacity, p->ranks, sizeof *p->rank, &rc);
        if (rc)
            return rc;
        p->rank[p->ranks++] = (struct rank){0};
    }
    *rank = value;
    return BELAY_OK;
}

static uint64_t hash(const char *text, unsigned length)
{
    uint64_t h = 14695981039346656037ull;
    for (unsigned k = 0; k < length; k++)
        h = (h ^ (unsigned char)text[k]) * 1099511628211ull;
    return h ^ h >> 32;
}

/* The slot of a name, or the free one where it belongs. */
static uint64_t find_slot(const struct parser *p, struct name name)
{
    uint64_t at = hash(p->text + name.at, name.length) & (p->slots - 1);
    for (; p->slot[at]; at = (at + 1) & (p->slots - 1)) {
        struct name other = p->message[p->slot[at] - 1].name;
        if (other.length == name.length && memcmp(p->text + other.at, p->text + name.at, name.length) == 0)
            break;
    }
    return at;
}

static int grow_slots(struct parser *p)
{
    if (2 * p->messages < p->slots)
        return BELAY_OK;
    uint64_t slots = p->slots ? 2 * p->slots : 64, *slot = calloc((size_t)slots, sizeof *slot);
    if (!slot)
        return bl_fail(p->err, BELAY_ERR_MEMORY, "no memory for a trace of %zu bytes", p->length);
    free(p->slot);
    p->slot = slot;
    p->slots = slots;
    for (uint64_t m = 0; m < p->messages; m++)
        slot[find_slot(p, p->message[m].name)] = m + 1;
    return BELAY_OK;
}

static int take_send(struct parser *p)
{
    struct message m = {.flags = BL_MSG_UNDELIVERED};
    int rc = take_rank(p, &m.i);
    if (!rc)
        rc = take(p, '>', "expected '>' and the receiver");
    if (!rc)
        rc = take_rank(p, &m.j);
    if (!rc)
        rc = take(p, ':', "expected ':' and the message's name");
    if (!rc)
        rc = take_name(p, &m.name);
    if (!rc)
        rc = grow_slots(p);
    if (!rc)
        p->message = grow(p, p->message, &p->message_capacity, p->messages, sizeof *p->message, &rc);
    if (rc)
        return rc;
    uint64_t slot = find_slot(p, m.name);
    if (p->slot[slot])
        return wrong(p, p->event, "there is already a message", m.name);
    m.s = p->rank[m.i].checkpoints + 1;
    p->message[p->messages++] = m;
    p->slot[slot] = p->messages;
    return BELAY_OK;
}

static int take_sent_name(struct parser *p, struct message **message)
{
    struct name name;
    int rc = take_name(p, &name);
    if (rc)
        return rc;
    uint64_t index = p->slots ? p->slot[find_slot(p, name)] : 0;
    if (index == 0)
        return wrong(p, p->event, "nobody has sent a message", name);
    *message = &p->message[index - 1];
    return BELAY_OK;
}

static int take_receive(struct parser *p)
{
    struct message *m;
    int rc = take_sent_name(p, &m);
    if (rc)
        return rc;
    if (!(m->flags & BL_MSG_UNDELIVERED))
        return wrong(p, p->event, "already delivered is message", m->name);
    m->flags &= ~(unsigned)BL_MSG_UNDELIVERED;
    m->r = p->rank[m->j].checkpoints + 1;
    return BELAY_OK;
}

static int take_log(struct parser *p)
{
    struct message *m;
    int rc = take_sent_name(p, &m);
    if (!rc)
        m->flags |= BL_MSG_LOGGED;
    return rc;
}

static int take_checkpoint(struct parser *p)
{
    uint32_t rank;
    int rc = take_rank(p, &rank);
    if (rc)
        return rc;
    if (p->rank[rank].checkpoints == BL_LINE_MAX_LAST)
        return wrong(p, p->event, "too many checkpoints of one rank", no_name);
    p->rank[rank].checkpoints++;
    return BELAY_OK;
}

static int take_member(struct parser *p)
{
    uint32_t rank;
    size_t at = p->at;
    int rc = take_rank(p, &rank);
    if (!rc)
        p->member = grow(p, p->member, &p->member_capacity, p->members, sizeof *p->member, &rc);
    if (!rc)
        p->interval = grow(p, p->interval, &p->interval_capacity, p->members, sizeof *p->interval, &rc);
    if (rc)
        return rc;
    if (p->rank[rank].group == p->groups + 1)
        return wrong(p, at, "this rank takes part twice", no_name);
    p->rank[rank].group = (uint32_t)p->groups + 1;
    p->member[p->members] = rank;
    p->interval[p->members++] = p->rank[rank].checkpoints + 1;
    return BELAY_OK;
}

static int take_collective(struct parser *p)
{
    struct group g = {p->members, 0};
    struct name name;
    if (p->groups >= UINT32_MAX - 1)
        return wrong(p, p->event, "too many collectives", no_name);
    int rc = take_member(p);
    while (!rc && p->at < p->length && p->text[p->at] == ',') {
        p->at++;
        rc = take_member(p);
    }
    if (!rc)
        rc = take(p, ':', "expected ',' and another rank or ':' and a name");
    if (!rc)
        rc = take_name(p, &name);
    if (!rc)
        p->group = grow(p, p->group, &p->group_capacity, p->groups, sizeof *p->group, &rc);
    if (rc)
        return rc;
    g.end = p->members;
    p->group[p->groups++] = g;
    return BELAY_OK;
}

static int take_event(struct parser *p)
{
    p->event = p->at;
    char letter = p->text[p->at++];
    skip_blanks(p);
    int rc;
    switch (letter) {
    case 's': rc = take_send(p); break;
    case 'r': rc = take_receive(p); break;
    case 'l': rc = take_log(p); break;
    case 'c': rc = take_checkpoint(p); break;
    case 'x': rc = take_collective(p); break;
    default: return wrong(p, p->event, "an event starts with s, r, l, c or x", no_name);
    }
    if (!rc && p->at < p->length && !is_blank(p->text[p->at]) && p->text[p->at] != '#')
        rc = wrong_here(p, "a blank is missing between two events");
    return rc;
}

static int take_events(struct parser *p)
{
    int rc = BELAY_OK;
    for (skip_to_event(p); !rc && p->at < p->length; skip_to_event(p))
        rc = take_event(p);
    return rc;
}

static int fill(const struct parser *p, bl_graph *graph, bl_error *err)
{
    int rc = bl_graph_reserve(graph, p->messages, err);
    for (uint64_t k = 0; k < p->messages && !rc; k++) {
        const struct message *m = &p->message[k];
        rc = bl_graph_message(graph, m->i, m->s, m->j, m->r, m->flags, err);
    }
    for (uint64_t k = 0; k < p->groups && !rc; k++) {
        uint64_t first = p->group[k].first;
        rc = bl_graph_collective(graph, (uint32_t)(p->group[k].end - first), p->member + first, p->interval + first, err);
    }
    return rc;
}

static int build(const struct parser *p, uint32_t ranks, bl_graph **graph)
{
    uint32_t *last = calloc(ranks, sizeof *last);
    if (!last)
        return bl_fail(p->err, BELAY_ERR_MEMORY, "no memory for a trace of %u ranks", (unsigned)ranks);
    for (uint32_t i = 0; i < p->ranks; i++)
        last[i] = p->rank[i].checkpoints;
    int rc = bl_graph_new(ranks, last, graph, p->err);
    free(last);
    if (!rc)
        rc = fill(p, *graph, p->err);
    if (rc) {
        bl_graph_free(*graph);
        *graph = NULL;
    }
    return rc;
}

int bl_trace_parse(const char *text, size_t length, uint32_t ranks, bl_graph **graph, bl_error *err)
{
    *graph = NULL;
    if (ranks > BL_TRACE_MAX_RANKS)
        return bl_fail(err, BELAY_ERR_ARG, "a trace has at most %d ranks, not %u", BL_TRACE_MAX_RANKS, (unsigned)ranks);
    struct parser p = {.text = text, .length = length, .limit = ranks ? ranks : BL_TRACE_MAX_RANKS, .err = err};
    int rc = take_events(&p);
    if (!rc && p.ranks == 0 && ranks == 0)
        rc = bl_fail(err, BELAY_ERR_ARG, "the trace names no rank");
    if (!rc)
        rc = build(&p, ranks ? ranks : p.ranks, graph);
    free(p.rank);
    free(p.message);
    free(p.slot);
    free(p.group);
    free(p.member);
    free(p.interval);
    return rc;
}
