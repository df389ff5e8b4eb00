#include "protocol/pace.h"

#include <string.h>

/* splitmix64 (Steele, Lea, Flood 2014). */
static double draw(bl_pace *pace)
{
    uint64_t z = pace->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return 1 + pace->jitter * ((double)((z ^ (z >> 31)) >> 11) * 0x1p-52 - 1);
}

static void next_period(bl_pace *pace, uint64_t safe_point, int64_t now_ns)
{
    double factor = pace->jitter > 0 ? draw(pace) : 1;
    if (pace->jitter > 0) {
        double points = (double)pace->points * factor + 0.5;
        pace->due_point = safe_point + (points < 1 ? 1 : (uint64_t)points);
    } else {
        pace->due_point = (safe_point / pace->points + 1) * pace->points;
    }
    pace->due_ns = now_ns + (int64_t)(pace->period_s * factor * 1e9);
}

void bl_pace_init(bl_pace *pace, enum bl_due_kind kind, uint64_t points, double period_s, double mtbf_s, double jitter,
                  uint64_t seed, uint64_t first, int resumed, int64_t now_ns)
{
    memset(pace, 0, sizeof *pace);
    pace->kind = kind;
    pace->points = points ? points : 1;
    pace->period_s = kind == BL_DUE_AUTO ? BL_DUE_FIRST_S : period_s;
    pace->mtbf_s = mtbf_s;
    pace->jitter = jitter;
    pace->random = seed;
    pace->next = pace->looked_point = first;
    pace->looked_ns = now_ns;
    next_period(pace, first, now_ns);
    /* What the checkpoint restored from holds already is not saved again, and neither is the start itself. */
    if (!resumed && first > 0 && first % pace->points == 0 && jitter == 0) pace->due_point = first;
}

/* How many safe points may pass until the next look. */
static uint64_t stride(const bl_pace *pace, uint64_t safe_point, int64_t now_ns)
{
    uint64_t passed = safe_point - pace->looked_point;
    if (passed == 0 || now_ns <= pace->looked_ns) return 1;
    double points = BL_DUE_ROUND_S * 1e9 * (double)passed / (double)(now_ns - pace->looked_ns);
    return points < 1 ? 1 : points > BL_DUE_ROUND_POINTS ? BL_DUE_ROUND_POINTS : (uint64_t)points;
}

int bl_pace_at(bl_pace *pace, uint64_t safe_point, int64_t now_ns, int asked)
{
    int timed = pace->kind == BL_DUE_SECONDS || pace->kind == BL_DUE_AUTO;
    int due = asked || (timed && now_ns >= pace->due_ns) || (pace->kind == BL_DUE_POINTS && safe_point >= pace->due_point);
    pace->next = safe_point + (due ? 1 : stride(pace, safe_point, now_ns));
    if (pace->kind == BL_DUE_POINTS && pace->due_point > safe_point && pace->due_point < pace->next) pace->next = pace->due_point;
    pace->looked_point = safe_point;
    pace->looked_ns = now_ns;
    return due;
}

void bl_pace_done(bl_pace *pace, uint64_t safe_point, int64_t now_ns, double held_s)
{
    if (pace->kind == BL_DUE_AUTO) pace->period_s = bl_due_optimum(held_s, pace->mtbf_s);
    pace->looked_ns = now_ns;
    next_period(pace, safe_point, now_ns);
}
