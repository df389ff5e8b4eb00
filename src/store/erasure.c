#include "store/erasure.h"

#include <isa-l/erasure_code.h>
#include <isa-l/gf_vect_mul.h>
#include <string.h>

enum { ADD_MOST = 1 << 30 }; /* ISA-L counts in int */

uint64_t bl_erasure_segment(uint32_t members, uint32_t parity, uint64_t longest)
{
    uint64_t segments = members - parity, bytes = longest / segments + (longest % segments != 0);
    bytes = (bytes + BL_ERASURE_ALIGN - 1) / BL_ERASURE_ALIGN * BL_ERASURE_ALIGN;
    return bytes ? bytes : BL_ERASURE_ALIGN;
}

int bl_erasure_is_parity(const bl_erasure *code, uint32_t stripe, uint32_t member, uint32_t *index)
{
    uint32_t x = (member + code->members - stripe % code->members) % code->members;
    *index = x < code->parity ? x : x - code->parity;
    return x < code->parity;
}

/* Row of the symbol in the generator matrix: those of the segments are the identity, one parity is their sum, and more are rows of
 * Cauchy's matrix, of which every square part can be inverted. */
static void generate(const bl_erasure *code, uint32_t stripe, uint32_t member, uint8_t *row)
{
    uint32_t index, segments = code->members - code->parity;
    uint8_t matrix[BL_ERASURE_MEMBERS * BL_ERASURE_MEMBERS];
    if (!bl_erasure_is_parity(code, stripe, member, &index)) {
        memset(row, 0, segments);
        row[index] = 1;
    } else if (code->parity == 1) {
        memset(row, 1, segments);
    } else {
        gf_gen_cauchy1_matrix(matrix, (int)code->members, (int)segments);
        memcpy(row, matrix + (segments + index) * segments, segments);
    }
}

int bl_erasure_solve(const bl_erasure *code, uint32_t stripe, const uint8_t *available, uint32_t target, uint32_t *source,
                     uint8_t *coefficient)
{
    uint32_t segments = code->members - code->parity, found = 0;
    uint8_t rows[BL_ERASURE_MEMBERS * BL_ERASURE_MEMBERS], inverse[sizeof rows], wanted[BL_ERASURE_MEMBERS];
    for (uint32_t member = 0; member < code->members && found < segments; member++) {
        if (!available[member]) continue;
        generate(code, stripe, member, rows + found * segments);
        source[found++] = member;
    }
    if (found < segments || gf_invert_matrix(rows, inverse, (int)segments)) return -1;
    generate(code, stripe, target, wanted);
    for (uint32_t i = 0; i < segments; i++) {
        coefficient[i] = 0;
        for (uint32_t j = 0; j < segments; j++) coefficient[i] ^= gf_mul(wanted[j], inverse[j * segments + i]);
    }
    return 0;
}

void bl_erasure_add(uint8_t coefficient, const void *from, void *to, size_t bytes)
{
    uint8_t table[32];
    if (!coefficient) return;
    gf_vect_mul_init(coefficient, table);
    for (size_t at = 0; at < bytes; at += ADD_MOST) {
        size_t part = bytes - at < ADD_MOST ? bytes - at : ADD_MOST;
        gf_vect_mad((int)part, 1, 0, table, (unsigned char *)from + at, (unsigned char *)to + at);
    }
}
