#include "line/table.h"

#include <stdlib.h>

enum { SMALL = 32, DIGITS = 256, LEAST_WIDTH = 4 };

static unsigned bits_of(uint32_t most)
{
    unsigned bits = 1;
    while (bits < 32 && most >> bits)
        bits++;
    return bits;
}

int bl_table_init(struct bl_table *table, uint32_t ranks, struct bl_edge most, bl_error *err)
{
    *table = (struct bl_table){.ranks = ranks};
    table->at_bits = bits_of(most.at);
    table->peer_bits = bits_of(most.peer);
    table->peer_at_bits = bits_of(most.peer_at);
    unsigned width = (table->at_bits + table->peer_bits + table->peer_at_bits + 1 + 7) / 8;
    table->width = width > sizeof(uint64_t) ? sizeof(struct bl_edge) : width > LEAST_WIDTH ? width : LEAST_WIDTH;
    table->start = calloc((size_t)ranks + 1, sizeof *table->start);
    if (!table->start)
        return bl_fail(err, BELAY_ERR_MEMORY, "no memory for the dependencies of %u ranks", (unsigned)ranks);
    return BELAY_OK;
}

void bl_table_clear(struct bl_table *table)
{
    free(table->packed);
    free(table->from);
    free(table->start);
    *table = (struct bl_table){0};
}

static int no_memory(uint64_t edges, bl_error *err)
{
    return bl_fail(err, BELAY_ERR_MEMORY, "no memory for %llu dependencies", (unsigned long long)edges);
}

static void hint(const struct bl_table *table, void *array, size_t bytes)
{
    if (table->large)
        table->large(array, bytes);
}

static int resize(struct bl_table *table, uint64_t capacity, bl_error *err)
{
    if (capacity > SIZE_MAX / sizeof(struct bl_edge) - 1)
        return no_memory(capacity, err);
    uint8_t *packed = realloc(table->packed, (size_t)capacity * table->width + sizeof(uint64_t));
    if (!packed)
        return no_memory(capacity, err);
    hint(table, packed, (size_t)capacity * table->width);
    table->packed = packed;
    if (table->from) {
        uint32_t *from = realloc(table->from, (size_t)capacity * sizeof *from);
        if (!from)
            return no_memory(capacity, err);
        hint(table, from, (size_t)capacity * sizeof *from);
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

static void put(struct bl_table *table, uint64_t n, struct bl_edge edge)
{
    uint8_t *packed = table->packed + n * table->width;
    uint64_t bits = (uint64_t)(edge.peer_at & BL_EDGE_INTERVAL) | (uint64_t)(edge.peer_at >> 31) << table->peer_at_bits;
    if (table->width == sizeof edge) {
        memcpy(packed, &edge, sizeof edge);
        return;
    }
    bits = (bits << table->peer_bits | edge.peer) << table->at_bits | edge.at;
    /* Two overlapping stores of a size known here are any width from 4 to 8. */
    uint64_t high = bits >> 8 * (table->width - LEAST_WIDTH);
    memcpy(packed, &bits, LEAST_WIDTH);
    memcpy(packed + table->width - LEAST_WIDTH, &high, LEAST_WIDTH);
}

/* Writes each edge's owner beside it, so that order no longer matters until the next seal. */
static int label(struct bl_table *table, bl_error *err)
{
    uint32_t *from = malloc((size_t)table->capacity * sizeof *from);
    if (!from)
        return no_memory(table->capacity, err);
    hint(table, from, (size_t)table->capacity * sizeof *from);
    for (uint32_t rank = 0; rank <= table->open; rank++) {
        uint64_t end = rank < table->open ? table->start[rank + 1] : table->count;
        for (uint64_t e = table->start[rank]; e < end; e++)
            from[e] = rank;
    }
    table->from = from;
    return BELAY_OK;
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
    if (!table->from && rank < table->open) {
        int rc = label(table, err);
        if (rc)
            return rc;
    }
    if (table->from)
        table->from[table->count] = rank;
    else
        open_row(table, rank);
    if (!table->unsorted && table->count > table->start[table->open])
        table->unsorted = bl_table_edge(table, table->count - 1).at < edge.at;
    put(table, table->count++, edge);
    return BELAY_OK;
}

/* --- sorting in place: loading must not double the memory of 10^8 edges --- */

struct item {
    struct bl_edge edge;
    uint32_t from;
};

static struct item take(const struct bl_table *table, uint64_t n)
{
    return (struct item){bl_table_edge(table, n), table->from ? table->from[n] : 0};
}

static void place(struct bl_table *table, uint64_t n, struct item item)
{
    put(table, n, item.edge);
    if (table->from)
        table->from[n] = item.from;
}

static uint64_t key(struct item item)
{
    return (uint64_t)item.from << 32 | (uint32_t)~item.edge.at;
}

static void insertion_sort(struct bl_table *table, uint64_t begin, uint64_t end)
{
    for (uint64_t i = begin + 1; i < end; i++) {
        struct item item = take(table, i), before;
        uint64_t j = i;
        for (; j > begin && key(before = take(table, j - 1)) > key(item); j--)
            place(table, j, before);
        if (j < i)
            place(table, j, item);
    }
}

static unsigned digit(struct item item, unsigned shift)
{
    return (unsigned)(key(item) >> shift) & (DIGITS - 1);
}

/* Moves every edge into the bucket of its digit by following cycles, in place; head[] ends equal to tail[]. */
static void permute(struct bl_table *table, uint64_t *head, const uint64_t *tail, unsigned shift)
{
    for (unsigned bucket = 0; bucket < DIGITS; bucket++) {
        while (head[bucket] < tail[bucket]) {
            struct item held = take(table, head[bucket]);
            for (unsigned d; (d = digit(held, shift)) != bucket; ) {
                uint64_t to = head[d]++;
                struct item item = take(table, to);
                place(table, to, held);
                held = item;
            }
            place(table, head[bucket]++, held);
        }
    }
}

/* The digits in which keys can differ: of the owner, then of the interval. */
static unsigned next_digit(const struct bl_table *table, unsigned shift)
{
    return shift == 32 ? (table->at_bits - 1) / 8 * 8 : shift - 8;
}

/* Radix sort from the highest digit.  At most one nested call a digit, so eight deep. */
static void sort(struct bl_table *table, uint64_t begin, uint64_t end, unsigned shift)
{
    if (end - begin <= SMALL) {
        insertion_sort(table, begin, end);
        return;
    }
    uint64_t head[DIGITS] = {0}, tail[DIGITS], sum = begin;
    for (uint64_t i = begin; i < end; i++)
        head[digit(take(table, i), shift)]++;
    for (unsigned bucket = 0; bucket < DIGITS; bucket++) {
        tail[bucket] = sum + head[bucket];
        head[bucket] = sum;
        sum = tail[bucket];
    }
    permute(table, head, tail, shift);
    if (shift == 0)
        return;
    for (unsigned bucket = 0; bucket < DIGITS; bucket++) {
        uint64_t first = bucket ? tail[bucket - 1] : begin;
        if (tail[bucket] - first > 1)
            sort(table, first, tail[bucket], next_digit(table, shift));
    }
}

static void sort_rows(struct bl_table *table)
{
    for (uint32_t rank = 0; rank < table->ranks; rank++)
        sort(table, table->start[rank], table->start[rank + 1], next_digit(table, 32));
}

void bl_table_seal(struct bl_table *table)
{
    int labelled = table->from != NULL;
    if (labelled) {
        sort(table, 0, table->count, 32 + (bits_of(table->ranks - 1) - 1) / 8 * 8);
        table->open = 0;
        uint64_t count = table->count;
        for (table->count = 0; table->count < count; table->count++)
            open_row(table, table->from[table->count]);
        free(table->from);
        table->from = NULL;
    }
    for (uint32_t rank = table->open; rank < table->ranks; rank++)
        table->start[rank + 1] = table->count;
    if (table->unsorted && !labelled)
        sort_rows(table);
    table->unsorted = 0;
}

static void fill_mirror(const struct bl_table *table, struct bl_table *mirror)
{
    for (uint32_t rank = 0; rank < table->ranks; rank++)
        for (uint64_t n = table->start[rank]; n < table->start[rank + 1]; n++) {
            struct bl_edge e = bl_table_edge(table, n);
            put(mirror, mirror->start[e.peer]++,
                (struct bl_edge){e.peer_at & BL_EDGE_INTERVAL, rank, e.at | (e.peer_at & BL_EDGE_LOGGED)});
        }
    for (uint32_t rank = mirror->ranks; rank > 0; rank--) /* each start has become the next one's */
        mirror->start[rank] = mirror->start[rank - 1];
    mirror->start[0] = 0;
}

int bl_table_mirror(const struct bl_table *table, uint32_t most_at, struct bl_table *mirror, bl_error *err)
{
    int rc = bl_table_init(mirror, table->ranks, (struct bl_edge){most_at, table->ranks - 1, most_at}, err);
    mirror->large = table->large;
    if (!rc)
        rc = bl_table_reserve(mirror, table->count, err);
    if (rc) {
        bl_table_clear(mirror);
        return rc;
    }
    mirror->count = table->count;
    mirror->open = table->ranks - 1;
    for (uint64_t n = 0; n < table->count; n++)
        mirror->start[bl_table_edge(table, n).peer + 1]++;
    for (uint32_t rank = 0; rank < table->ranks; rank++)
        mirror->start[rank + 1] += mirror->start[rank];
    fill_mirror(table, mirror);
    sort_rows(mirror);
    return BELAY_OK;
}
