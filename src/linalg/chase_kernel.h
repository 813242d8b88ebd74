/**
 * The two kernels of bulge chasing, on blocks of a band, and their dispatch. Blocks are column-major with the band's
 * stride as leading dimension. Every build of a kernel does the same operations in the same order but for fused
 * multiply-adds.
 */
#ifndef ECKI_CHASE_KERNEL_H
#define ECKI_CHASE_KERNEL_H

#include <stdint.h>

#include "base/cpu.h"

/**
 * ecki_reflector: H = I - tau v v^T, v[0] = 1, length 1 .. ECKI_BAND.
 * ecki_chase_kernels:
 *     both_sides    the triangle i >= j of d = H d H
 *     off_diagonal  m [below->length, h->length]: m = m H; then `below` is made to annihilate the first column but its
 *                   first number; then m = below m
 * ecki_chase_kernels_for: the best build for a processor; the portable one for a processor that knows nothing more.
 * ecki_make_reflector: x [length] becomes beta e_1 = H x: v and tau are filled, beta returned. Squares below the range
 *     of the type count as 0.
 */
#define ECKI_CHASE_KERNELS(real, type) \
    typedef struct ecki_reflector_##type { \
        real *v; \
        int64_t length; \
        real tau; \
    } ecki_reflector_##type; \
    typedef struct ecki_chase_kernels_##type { \
        void (*both_sides)(real * d, const ecki_reflector_##type *h); \
        void (*off_diagonal)(real * m, const ecki_reflector_##type *h, \
                             ecki_reflector_##type *below); \
    } ecki_chase_kernels_##type; \
    ecki_chase_kernels_##type ecki_chase_kernels_for_##type(const ecki_cpu *cpu); \
    real ecki_make_reflector_##type(ecki_reflector_##type *h, const real *x)

ECKI_CHASE_KERNELS(float, f32);
ECKI_CHASE_KERNELS(double, f64);

#endif
