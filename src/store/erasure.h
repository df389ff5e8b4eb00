/* erasure.h - the code that brings back lost files of a group: Reed-Solomon over GF(2^8), by ISA-L.
 *
 * `members` ranks, of whom `parity` may lose everything.  Each member's file is cut into members - parity segments (padded with
 * zeros to `segment` bytes each).  There are as many stripes as members, and in each every member has one symbol: a segment of its
 * file, or parity of the others' segments.  Parity goes around, so that all hold the same amount of it (as RAID 5 and 6):
 *
 *     members 4, parity 1        stripe 0   1   2   3         Dij: segment j of member i; P: parity
 *                      member 0         P   D02 D01 D00
 *                             1         D10 P   D12 D11
 *                             2         D21 D20 P   D22
 *                             3         D32 D31 D30 P
 *
 * Any members - parity symbols of a stripe give all others.  One parity is the XOR of the segments, and of two members a copy.
 * Pure: no files, no MPI.
 */
#ifndef BL_STORE_ERASURE_H
#define BL_STORE_ERASURE_H

#include <stddef.h>
#include <stdint.h>

enum { BL_ERASURE_MEMBERS = 64, BL_ERASURE_PARITY = 16, BL_ERASURE_ALIGN = 64 /* bytes of a segment, and of what is added */ };

typedef struct bl_erasure {
    uint32_t members, parity; /* 0 < parity < members */
    uint64_t segment;         /* bytes, a multiple of BL_ERASURE_ALIGN */
} bl_erasure;

/* The segment for files of which the longest has so many bytes; never 0. */
uint64_t bl_erasure_segment(uint32_t members, uint32_t parity, uint64_t longest);

/* What `member` has in this stripe: 1 and *index = which of its parity segments; 0 and *index = which segment of its file. */
int bl_erasure_is_parity(const bl_erasure *code, uint32_t stripe, uint32_t member, uint32_t *index);

/* How `target`'s symbol of the stripe follows from those of members that are available (available[0..members-1]): it is the sum of
 * coefficient[i] times that of member source[i], i below members - parity.  0; -1 when too few are available. */
int bl_erasure_solve(const bl_erasure *code, uint32_t stripe, const uint8_t *available, uint32_t target, uint32_t *source,
                     uint8_t *coefficient);

/* to[0..bytes-1] += coefficient times from[0..bytes-1]; bytes is a multiple of BL_ERASURE_ALIGN. */
void bl_erasure_add(uint8_t coefficient, const void *from, void *to, size_t bytes);

#endif
