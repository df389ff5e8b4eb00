#include "line/table.h"

#include <stdlib.h>

enum { SMALL = 32, DIGITS = 256 };

int bl_table_init(struct bl_table *table, uint32_t ranks, bl_error *err)
{
    *table = (struct bl_table){.ranks = ranks};
    table->start = calloc((size_t)ranks + 1, sizeof *table->start);
    if (!table->start)
        return bl_fail(err, BELAY_ERR_MEMORY, "no memory for the dependencies of %u ranks", (unsigned)ranks);
    return BELAY_OK;
}

void bl_table_clear(struct bl_table *table)
{
    free(table->edge);
    free(table->from);
    free(table->start);
    *table = (struct bl_table){0};
}

static int no_memory(uint64_t edges, bl_error *err)
{
    return bl_fail(err, BELAY_ERR_MEMORY, "no memory for %llu dependencies", (unsigned long long)edges);
}

static int resize(struct bl_table *table, uint64_t capacity, bl_error *err)
{
    if (capacity > SIZE_MAX / sizeof *table->edge)
        return no_memory(capacity, err);
    struct bl_edge *edge = realloc(table->edge, (size_t)capacity * sizeof *edge);
    if (!edge)
        return no_memory(capacity, err);
    table->edge = edge;
    if (table->from) {
        uint32_t *from = realloc(table->from, (size_t)capacity * sizeof *from);
        if (!from)
            return no_memory(capacity, err);
        table->from = from;
    }
    table->capacity = capacity;
    return BELAY_OK;
}

int bl_table_reserve(struct bl_table *table, uint64_t more, bl_error *err)
{
    if (more > UINT64_MAX - table->count)
        return no_memory(more, err);
    uint64_t wanted = table->count + more;
    return wanted > table->capacity ? resize(table, wanted, err) : BELAY_OK;
}

/* Writes each edge's owner beside it, so that order no longer matters until the next seal. */
static int label(struct bl_table *table, bl_error *err)
{
    uint32_t *from = malloc((size_t)table->capacity * sizeof *from);
    if (!from)
        return no_memory(table->capacity, err);
    for (uint32_t rank = 0; rank <= table->open; rank++) {
        uint64_t end = rank < table->open ? table->start[rank + 1] : table->count;
        for (uint64_t e = table->start[rank]; e < end; e++)
            from[e] = rank;
    }
    table->from = from;
    return BELAY_OK;
}

static int in_order(const struct bl_table *table, uint32_t rank, uint32_t at)
{
    if (rank != table->open)
        return rank > table->open;
    return table->start[rank] == table->count || table->edge[table->count - 1].at >= at;
}

static void open_row(struct bl_table *table, uint32_t rank)
{
    while (table->open < rank)
        table->start[++table->open] = table->count;
}

int bl_table_add(struct bl_table *table, uint32_t rank, struct bl_edge edge, bl_error *err)
{
    if (table->count == table->capacity) {
        int rc = resize(table, table->capacity ? table->capacity * 2 : 64, err);
        if (rc)
            return rc;
    }
    if (!table->from) {
        if (in_order(table, rank, edge.at)) {
            open_row(table, rank);
        } else {
            int rc = label(table, err);
            if (rc)
                return rc;
        }
    }
    if (table->from)
        table->from[table->count] = rank;
    table->edge[table->count++] = edge;
    return BELAY_OK;
}

static uint64_t key(struct bl_edge edge, uint32_t from)
{
    return (uint64_t)from << 32 | (uint32_t)~edge.at;
}

static void insertion_sort(struct bl_edge *edge, uint32_t *from, uint64_t count)
{
    for (uint64_t i = 1; i < count; i++) {
        struct bl_edge e = edge[i];
        uint32_t f = from[i];
        uint64_t k = key(e, f), j = i;
        for (; j > 0 && key(edge[j - 1], from[j - 1]) > k; j--) {
            edge[j] = edge[j - 1];
            from[j] = from[j - 1];
        }
        edge[j] = e;
        from[j] = f;
    }
}

static unsigned digit(struct bl_edge edge, uint32_t from, unsigned shift)
{
    return (unsigned)(key(edge, from) >> shift) & (DIGITS - 1);
}

/* Moves every edge into the bucket of its digit by following cycles, in place; head[] ends equal to tail[]. */
static void permute(struct bl_edge *edge, uint32_t *from, uint64_t *head, const uint64_t *tail, unsigned shift)
{
    for (unsigned bucket = 0; bucket < DIGITS; bucket++) {
        while (head[bucket] < tail[bucket]) {
            struct bl_edge held = edge[head[bucket]];
            uint32_t held_from = from[head[bucket]];
            for (unsigned d; (d = digit(held, held_from, shift)) != bucket; ) {
                uint64_t to = head[d]++;
                struct bl_edge e = edge[to];
                uint32_t f = from[to];
                edge[to] = held;
                from[to] = held_from;
                held = e;
                held_from = f;
            }
            edge[head[bucket]] = held;
            from[head[bucket]++] = held_from;
        }
    }
}

/* Radix sort from the highest digit, without a second array: loading must not double the memory of 10^8 edges.
 * At most one nested call a digit, so eight deep. */
static void sort(struct bl_edge *edge, uint32_t *from, uint64_t count, unsigned shift)
{
    if (count <= SMALL) {
        insertion_sort(edge, from, count);
        return;
    }
    uint64_t head[DIGITS] = {0}, tail[DIGITS];
    for (uint64_t i = 0; i < count; i++)
        head[digit(edge[i], from[i], shift)]++;
    uint64_t sum = 0;
    for (unsigned bucket = 0; bucket < DIGITS; bucket++) {
        tail[bucket] = sum + head[bucket];
        head[bucket] = sum;
        sum = tail[bucket];
    }
    permute(edge, from, head, tail, shift);
    if (shift == 0)
        return;
    for (unsigned bucket = 0; bucket < DIGITS; bucket++) {
        uint64_t begin = bucket ? tail[bucket - 1] : 0;
        if (tail[bucket] - begin > 1)
            sort(edge + begin, from + begin, tail[bucket] - begin, shift - 8);
    }
}

void bl_table_seal(struct bl_table *table)
{
    if (table->from) {
        sort(table->edge, table->from, table->count, 56);
        table->open = 0;
        uint64_t count = table->count;
        for (table->count = 0; table->count < count; table->count++)
            open_row(table, table->from[table->count]);
        free(table->from);
        table->from = NULL;
    }
    for (uint32_t rank = table->open; rank < table->ranks; rank++)
        table->start[rank + 1] = table->count;
}
