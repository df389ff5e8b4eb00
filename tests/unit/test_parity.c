/* Files of parity: what a group may lose comes back bit for bit, for every set of losses; damage is noticed, and mended. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/internal.h"
#include "store/parity.h"
#include "test_store_common.h"

enum { MOST = 6, CHECKPOINT = 7 };

static char root[256], dir[300];
static bl_store *store;
static bl_parity group;
static char *bytes[MOST][2]; /* of each member: the snapshot, the parity */
static size_t size[MOST][2];

static void path_of(uint32_t member, int parity, char path[BL_PATH])
{
    bl_rank_path(store, path, group.member[member].rank, parity ? "parity-%06u" : "ckpt-%06u.h5", CHECKPOINT);
}

static int setup(void **state)
{
    (void)state;
    scratch_make(root);
    snprintf(dir, sizeof dir, "%s/belay.d", root);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int m = 0; m < MOST; m++)
        for (int k = 0; k < 2; k++) {
            free(bytes[m][k]);
            bytes[m][k] = NULL;
        }
    bl_store_close(store);
    store = NULL;
    scratch_remove(root);
    return 0;
}

/* Rank r has 100 r more bytes than rank 0; the members of the group are the ranks backwards. */
static void make_group(uint32_t members, uint32_t parity)
{
    uint8_t all[MOST], none[MOST] = { 0 };
    uint64_t longest = 0;
    bl_error err = { 0, "" };
    memset(all, 1, sizeof all);
    assert_int_equal(bl_store_create(dir, members, "./heat2d", BL_STABLE_PROCESS, &store, &err), BELAY_OK);
    memset(&group, 0, sizeof group);
    group.checkpoint = CHECKPOINT;
    for (uint32_t rank = 0; rank < members; rank++) {
        sample s;
        bl_parity_member *m = &group.member[members - 1 - rank];
        unsigned char more[100 * MOST + 1];
        memset(more, (int)rank + 1, sizeof more);
        sample_make(&s, rank, members, CHECKPOINT, 0);
        for (unsigned v = 0; v < SAMPLE_VARIABLES; v++)
            if (s.variables[v].type == BL_TYPE_BYTES && s.variables[v].dims == 1) {
                s.variables[v].shape[0] = (100 * rank + 1) / s.variables[v].element;
                s.variables[v].data = more;
            }
        m->rank = rank;
        if (bl_snapshot_write(store, &s.snapshot, &m->digest, &err)) fail_msg("%s", err.text);
        assert_int_equal(bl_snapshot_size(store, rank, CHECKPOINT, &m->bytes, &err), BELAY_OK);
        if (m->bytes > longest) longest = m->bytes;
    }
    group.code = (bl_erasure){ members, parity, bl_erasure_segment(members, parity, longest) };
    if (bl_parity_complete(store, &group, all, none, &err)) fail_msg("%s", err.text);
    for (uint32_t m = 0; m < members; m++)
        for (int k = 0; k < 2; k++) {
            char path[BL_PATH];
            path_of(m, k, path);
            scratch_read(path, &bytes[m][k], &size[m][k]);
        }
}

static void check_all(void)
{
    for (uint32_t m = 0; m < group.code.members; m++)
        for (int k = 0; k < 2; k++) {
            char path[BL_PATH], *is;
            size_t length;
            path_of(m, k, path);
            scratch_read(path, &is, &length);
            assert_int_equal(length, size[m][k]);
            assert_memory_equal(is, bytes[m][k], length);
            free(is);
        }
    assert_int_equal(scratch_count(dir, ".tmp-"), 0);
}

static void put_back(void)
{
    for (uint32_t m = 0; m < group.code.members; m++)
        for (int k = 0; k < 2; k++) {
            char path[BL_PATH];
            path_of(m, k, path);
            scratch_write(path, bytes[m][k], size[m][k]);
        }
}

static void lose(uint32_t member, int parity)
{
    char path[BL_PATH];
    path_of(member, parity, path);
    assert_int_equal(unlink(path), 0);
}

static uint32_t bits(uint32_t set)
{
    uint32_t count = 0;
    for (; set; set &= set - 1) count++;
    return count;
}

static void every_loss(uint32_t members, uint32_t parity)
{
    bl_rebuilt done;
    bl_error err = { 0, "" };
    make_group(members, parity);
    check_all();
    for (uint32_t lost = 0; lost < 1u << members; lost++) {
        for (uint32_t m = 0; m < members; m++)
            for (int k = 0; k < 2 && (lost >> m & 1); k++) lose(m, k);
        if (bits(lost) == members) { /* nobody is left who knows that there was any */
            assert_int_equal(bl_parity_rebuild(store, CHECKPOINT, 0, NULL, NULL, &done, &err), BELAY_ERR_NONE);
            put_back();
            continue;
        }
        for (int dry = 1; dry >= 0; dry--) {
            assert_int_equal(bl_parity_rebuild(store, CHECKPOINT, dry, NULL, NULL, &done, &err), BELAY_OK);
            assert_int_equal(done.groups, 1);
            assert_int_equal(done.lost, bits(lost) > parity);
            assert_int_equal(done.snapshots, bits(lost) > parity ? 0 : bits(lost));
        }
        if (bits(lost) > parity) put_back();
        check_all();
    }
}

static void what_may_be_lost_comes_back_2_1(void **state) { (void)state; every_loss(2, 1); }
static void what_may_be_lost_comes_back_4_1(void **state) { (void)state; every_loss(4, 1); }
static void what_may_be_lost_comes_back_5_3(void **state) { (void)state; every_loss(5, 3); }
static void what_may_be_lost_comes_back_6_2(void **state) { (void)state; every_loss(6, 2); }

/* One has lost its snapshot, and another its parity, which are symbols of different stripes or of one. */
static void halves_of_different_members(void **state)
{
    bl_rebuilt done;
    bl_error err = { 0, "" };
    (void)state;
    make_group(4, 2);
    for (uint32_t a = 0; a < 4; a++)
        for (uint32_t b = 0; b < 4; b++) {
            lose(a, 0);
            lose(b, 1);
            assert_int_equal(bl_parity_rebuild(store, CHECKPOINT, 0, NULL, NULL, &done, &err), BELAY_OK);
            assert_int_equal(done.snapshots + done.parities, 2);
            check_all();
        }
}

/* A flipped bit anywhere in a file of parity, and every length of it: said, or never read. */
static void damage_is_noticed(void **state)
{
    char path[BL_PATH], *copy;
    bl_error err;
    bl_parity read;
    (void)state;
    make_group(4, 1);
    path_of(1, 1, path);
    copy = malloc(size[1][1]);
    for (size_t at = 0; at < size[1][1]; at += at < 2400 ? 1 : 37) {
        memcpy(copy, bytes[1][1], size[1][1]);
        copy[at] = (char)(copy[at] ^ 1 << (at % 8));
        scratch_write(path, copy, size[1][1]);
        int rc = bl_parity_verify(store, group.member[1].rank, CHECKPOINT, &err);
        if (rc == BELAY_OK) {
            assert_true(at >= 1000 && at < 4096); /* nothing is there */
            assert_int_equal(bl_parity_read(store, group.member[1].rank, CHECKPOINT, &read, &err), BELAY_OK);
            assert_true(bl_parity_agree(&read, &group));
            continue;
        }
        assert_true(rc == BELAY_ERR_DAMAGED);
        assert_true(good_sentence(&err, rc, "parity-000007"));
    }
    for (size_t length = 0; length < size[1][1]; length += length < 4200 ? 7 : 301) {
        scratch_write(path, bytes[1][1], length);
        assert_int_equal(bl_parity_verify(store, group.member[1].rank, CHECKPOINT, &err), BELAY_ERR_DAMAGED);
    }
    free(copy);
    scratch_write(path, bytes[1][1], size[1][1]);
    assert_int_equal(bl_parity_verify(store, group.member[1].rank, CHECKPOINT, &err), BELAY_OK);
    path_of(2, 1, path);
    scratch_write(path, bytes[1][1], size[1][1]); /* another member's */
    assert_int_equal(bl_parity_read(store, group.member[2].rank, CHECKPOINT, &read, &err), BELAY_ERR_DAMAGED);
}

/* A bad sector in a snapshot and one in the parity of another rank. */
static void damage_is_mended(void **state)
{
    char path[BL_PATH];
    bl_rebuilt done;
    bl_error err = { 0, "" };
    (void)state;
    make_group(6, 2);
    for (uint32_t a = 0; a < 6; a++) {
        char *copy = malloc(size[a][0]);
        memcpy(copy, bytes[a][0], size[a][0]);
        copy[size[a][0] / 2] ^= 64;
        path_of(a, 0, path);
        scratch_write(path, copy, size[a][0]);
        free(copy);
        copy = malloc(size[(a + 1) % 6][1]);
        memcpy(copy, bytes[(a + 1) % 6][1], size[(a + 1) % 6][1]);
        copy[size[(a + 1) % 6][1] - 1] ^= 1;
        path_of((a + 1) % 6, 1, path);
        scratch_write(path, copy, size[(a + 1) % 6][1]);
        free(copy);
        assert_int_equal(bl_parity_rebuild(store, CHECKPOINT, 0, NULL, NULL, &done, &err), BELAY_OK);
        assert_int_equal(done.snapshots + done.parities, 2);
        check_all();
    }
}

/* The snapshots of rank 0 on its node, those of rank 1 in the job directory. */
static void a_rank_may_keep_its_own_elsewhere(void **state)
{
    char local[300], path[BL_PATH], expected[BL_PATH];
    bl_store *other;
    bl_error err = { 0, "" };
    uint32_t *numbers, highest;
    size_t count;
    bl_digest digest;
    sample s;
    (void)state;
    snprintf(local, sizeof local, "%s/rack/node", root);
    assert_int_equal(bl_store_create(dir, 2, "./heat2d", BL_STABLE_POWER, &store, &err), BELAY_OK);
    assert_int_equal(bl_store_use_local(store, 0, local, &err), BELAY_ERR_SYSTEM);
    snprintf(path, sizeof path, "%s/rack", root);
    assert_int_equal(bl_dir_make(path, &err), BELAY_OK);
    assert_int_equal(bl_store_use_local(store, 0, local, &err), BELAY_OK);
    sample_make(&s, 0, 2, CHECKPOINT, 0);
    assert_int_equal(bl_snapshot_write(store, &s.snapshot, &digest, &err), BELAY_OK);
    assert_int_equal(bl_rank_highest(store, 0, &highest, &err), BELAY_OK);
    assert_int_equal(highest, CHECKPOINT);
    assert_int_equal(bl_store_open(dir, BL_STABLE_PROCESS, &other, &err), BELAY_OK); /* a tool */
    bl_rank_path(other, path, 0, "ckpt-%06u.h5", CHECKPOINT);
    snprintf(expected, sizeof expected, "%s/belay-%s/rank-00000/ckpt-000007.h5", local, bl_store_job(other)->id);
    assert_string_equal(path, expected);
    assert_int_equal(bl_snapshot_list(other, 0, &numbers, &count, &err), BELAY_OK);
    assert_int_equal(count, 1);
    free(numbers);
    assert_int_equal(bl_snapshot_quarantine(store, 0, CHECKPOINT, path, sizeof path, &err), BELAY_OK);
    assert_non_null(strstr(path, "/rack/node/belay-"));
    assert_int_equal(bl_rank_highest(store, 0, &highest, &err), BELAY_OK);
    assert_int_equal(highest, CHECKPOINT);
    bl_store_lose_local(store);
    assert_int_equal(scratch_count(local, ""), 0);
    /* What is not such a place does not count. */
    static const char *const bad[] = { "", "/etc\n", "/tmp/belay-0123456789abcdef\n", "belay\n" };
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        char place[BL_PATH];
        snprintf(place, sizeof place, "%s/rank-00000/place", dir);
        scratch_write(place, bad[k], strlen(bad[k]));
        bl_rank_path(other, path, 0, "x");
        snprintf(expected, sizeof expected, "%s/rank-00000/x", bl_store_dir(other));
        assert_string_equal(path, expected);
    }
    bl_store_close(other);
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        EACH(what_may_be_lost_comes_back_2_1), EACH(what_may_be_lost_comes_back_4_1), EACH(what_may_be_lost_comes_back_5_3),
        EACH(what_may_be_lost_comes_back_6_2), EACH(halves_of_different_members), EACH(damage_is_noticed), EACH(damage_is_mended),
        EACH(a_rank_may_keep_its_own_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
