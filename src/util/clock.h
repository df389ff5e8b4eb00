/* clock.h - time in nanoseconds; the pure folders never include this, they are told the time. */
#ifndef BL_UTIL_CLOCK_H
#define BL_UTIL_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t bl_clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline int64_t bl_now_ns(void) { return bl_clock_ns(CLOCK_REALTIME); }
static inline int64_t bl_ticks_ns(void) { return bl_clock_ns(CLOCK_MONOTONIC); }
static inline double bl_seconds(int64_t ns) { return (double)ns * 1e-9; }

#endif
