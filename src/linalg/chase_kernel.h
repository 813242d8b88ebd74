/**
 * The two kernels of bulge chasing, on blocks of a band, and their dispatch. Blocks are column-major with leading
 * dimension ECKI_BAND_STRIDE. Every build of a kernel does the same operations in the same order but for fused
 * multiply-adds.
 */
#ifndef ECKI_CHASE_KERNEL_H
#define ECKI_CHASE_KERNEL_H

#include <stdint.h>

#include "base/cpu.h"

/** A reflector H = I - tau v v^T, v[0] = 1. */
typedef struct ecki_reflector {
    double *v;
    int64_t length; /**< 1 .. ECKI_BAND */
    double tau;
} ecki_reflector;

typedef struct ecki_chase_kernels {
    /** The triangle i >= j of d = H d H. */
    void (*both_sides)(double *d, const ecki_reflector *h);
    /** m [below->length, h->length]: m = m H; then `below` is made to annihilate the first column but its first
     *  number; then m = below m. */
    void (*off_diagonal)(double *m, const ecki_reflector *h, ecki_reflector *below);
} ecki_chase_kernels;

/** The best build for a processor; of "scalar" for one that knows nothing more. */
ecki_chase_kernels ecki_chase_kernels_for(const ecki_cpu *cpu);

/** x [length] becomes beta e_1 = H x: v and tau are filled, beta returned. Squares below the range count as 0. */
double ecki_make_reflector(ecki_reflector *h, const double *x);

#endif
