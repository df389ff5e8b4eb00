#include "util/kill.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/settings.h"

static const char *const point_names[BL_POINTS] = {
#define X(name) #name,
    BL_KILL_POINTS
#undef X
};

const char *bl_point_name(enum bl_point point)
{
    return point_names[point];
}

static int parse_number(const char *text, char end, uint64_t *number, const char **rest)
{
    if (*text < '0' || *text > '9') return -1;
    char *stop;
    errno = 0;
    *number = strtoull(text, &stop, 10);
    if (errno || (*stop != end && *stop != '\0')) return -1;
    *rest = stop;
    return 0;
}

static int parse_point(const char *text, bl_kill *kill)
{
    const char *hash = strchr(text, '#'), *rest;
    size_t length = hash ? (size_t)(hash - text) : strlen(text);
    kill->when = BL_KILL_POINT;
    kill->number = 1;
    if (hash && (parse_number(hash + 1, '\0', &kill->number, &rest) || *rest || kill->number == 0)) return -1;
    for (int p = 0; p < BL_POINTS; p++) {
        if (strlen(point_names[p]) == length && !memcmp(point_names[p], text, length)) {
            kill->point = (enum bl_point)p;
            return 0;
        }
    }
    return -1;
}

/* splitmix64: spreads neighbouring seeds, so that 1, 2, 3 ... kill at unrelated calls. */
static uint64_t spread(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static int parse_random(const char *text, bl_kill *kill)
{
    uint64_t seed, calls = 1000;
    const char *rest;
    if (parse_number(text, '/', &seed, &rest)) return -1;
    if (*rest == '/' && (parse_number(rest + 1, '\0', &calls, &rest) || *rest || calls == 0)) return -1;
    kill->when = BL_KILL_CALL;
    kill->number = 1 + spread(seed) % calls;
    return 0;
}

static int parse_when(const char *when, bl_kill *kill)
{
    const char *rest;
    if (!strncmp(when, "step=", 5)) {
        kill->when = BL_KILL_STEP;
        return parse_number(when + 5, '\0', &kill->number, &rest) || *rest;
    }
    if (!strncmp(when, "call=", 5)) {
        kill->when = BL_KILL_CALL;
        return parse_number(when + 5, '\0', &kill->number, &rest) || *rest || kill->number == 0;
    }
    if (!strncmp(when, "point=", 6)) return parse_point(when + 6, kill);
    if (!strncmp(when, "after=", 6)) {
        kill->when = BL_KILL_AFTER;
        return bl_parse_duration(when + 6, &kill->seconds) || kill->seconds <= 0;
    }
    if (!strncmp(when, "random:", 7)) return parse_random(when + 7, kill);
    return -1;
}

int bl_kill_parse(const char *text, bl_kill *kill, bl_error *err)
{
    uint64_t rank;
    const char *rest;
    memset(kill, 0, sizeof *kill);
    char plain[128];
    size_t length = strlen(text);
    int power = length > 6 && length < sizeof plain && !strcmp(text + length - 6, "+power");
    int node = length > 5 && length < sizeof plain && !strcmp(text + length - 5, "+node");
    snprintf(plain, sizeof plain, "%.*s", (int)(power ? length - 6 : node ? length - 5 : length), text);
    if (length < sizeof plain && !parse_number(plain, '@', &rank, &rest) && *rest == '@' && rank < UINT32_MAX && !parse_when(rest + 1, kill) &&
        !((power || node) && kill->when == BL_KILL_AFTER)) {
        kill->rank = (uint32_t)rank;
        kill->power = power;
        kill->node = node;
        return BELAY_OK;
    }
    char points[160] = "";
    for (int p = 0; p < BL_POINTS; p++) {
        size_t used = strlen(points);
        snprintf(points + used, sizeof points - used, "%s%s", p ? ", " : "", point_names[p]);
    }
    return bl_fail(err, BELAY_ERR_ARG,
                   "'%.80s' is not a kill: write RANK@step=N, RANK@call=N, RANK@point=NAME[#N], RANK@after=TIME or "
                   "RANK@random:SEED[/CALLS], or one of these but after with +power or +node behind; points are %s", text, points);
}

void bl_kill_format(const bl_kill *kill, char *text, unsigned size)
{
    const char *power = kill->power ? "+power" : kill->node ? "+node" : "";
    switch (kill->when) {
    case BL_KILL_STEP: snprintf(text, size, "%" PRIu32 "@step=%" PRIu64 "%s", kill->rank, kill->number, power); break;
    case BL_KILL_CALL: snprintf(text, size, "%" PRIu32 "@call=%" PRIu64 "%s", kill->rank, kill->number, power); break;
    case BL_KILL_AFTER: snprintf(text, size, "%" PRIu32 "@after=%gs", kill->rank, kill->seconds); break;
    case BL_KILL_POINT:
        snprintf(text, size, "%" PRIu32 "@point=%s#%" PRIu64 "%s", kill->rank, point_names[kill->point], kill->number, power);
        break;
    }
}
