#include "store/ahead.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 4, ROWS = 1 << 14 }; /* together they stay in the cache that both processors share */

typedef struct block {
    char *rows;
    size_t count;
    int code;
    bl_error err;
} block;

struct bl_ahead {
    bl_ahead_read *read;
    void *context;
    size_t row_bytes;
    block block[BLOCKS];     /* block k % BLOCKS is the reader's from `filled` on, and before that the caller's */
    size_t used;             /* rows of the caller's first block that are taken */
    pthread_t thread;
    pthread_mutex_t lock;    /* of what follows */
    pthread_cond_t moved;
    uint64_t filled, emptied;
    bool stop;
};

/* Under the lock. */
static block *next_to_fill(bl_ahead *a)
{
    while (!a->stop && a->filled - a->emptied == BLOCKS)
        pthread_cond_wait(&a->moved, &a->lock);
    return a->stop ? NULL : &a->block[a->filled % BLOCKS];
}

static void *run(void *argument)
{
    bl_ahead *a = argument;
    bool more = true;
    pthread_mutex_lock(&a->lock);
    for (block *b; more && (b = next_to_fill(a)) != NULL; a->filled++, pthread_cond_signal(&a->moved)) {
        pthread_mutex_unlock(&a->lock);
        b->code = a->read(a->context, b->rows, ROWS, &b->count, &b->err);
        more = b->code == BELAY_OK && b->count > 0;
        pthread_mutex_lock(&a->lock);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

static void clear(bl_ahead *a)
{
    for (int k = 0; k < BLOCKS; k++)
        free(a->block[k].rows);
    pthread_cond_destroy(&a->moved);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

bl_ahead *bl_ahead_start(bl_ahead_read *read, void *context, size_t row_bytes)
{
    bl_ahead *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    *a = (bl_ahead){.read = read, .context = context, .row_bytes = row_bytes};
    bool bad = false;
    for (int k = 0; k < BLOCKS; k++)
        bad |= (a->block[k].rows = malloc(ROWS * row_bytes)) == NULL;
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->moved, NULL);
    if (!bad && pthread_create(&a->thread, NULL, run, a) == 0)
        return a;
    clear(a);
    return NULL;
}

static block *next_to_take(bl_ahead *a)
{
    pthread_mutex_lock(&a->lock);
    while (a->emptied == a->filled)
        pthread_cond_wait(&a->moved, &a->lock);
    block *b = &a->block[a->emptied % BLOCKS];
    pthread_mutex_unlock(&a->lock);
    return b;
}

static void give_back(bl_ahead *a)
{
    a->used = 0;
    pthread_mutex_lock(&a->lock);
    a->emptied++;
    pthread_cond_signal(&a->moved);
    pthread_mutex_unlock(&a->lock);
}

int bl_ahead_take(bl_ahead *ahead, void *rows, size_t room, size_t *count, bl_error *err)
{
    block *b = next_to_take(ahead);
    *count = 0;
    if (b->code != BELAY_OK) /* it and the end are never given back: they stay what comes next */
        return bl_fail(err, b->code, "%s", b->err.text);
    size_t left = b->count - ahead->used, part = left < room ? left : room;
    memcpy(rows, b->rows + ahead->used * ahead->row_bytes, part * ahead->row_bytes);
    ahead->used += part;
    if (b->count > 0 && ahead->used == b->count)
        give_back(ahead);
    *count = part;
    return BELAY_OK;
}

void bl_ahead_stop(bl_ahead *ahead)
{
    if (!ahead)
        return;
    pthread_mutex_lock(&ahead->lock);
    ahead->stop = true;
    pthread_cond_signal(&ahead->moved);
    pthread_mutex_unlock(&ahead->lock);
    pthread_join(ahead->thread, NULL);
    clear(ahead);
}
