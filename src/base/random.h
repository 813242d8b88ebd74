/**
 * Counter-based random numbers: a value depends on (seed, stream, index) alone, so that any number
 * of threads, in any order, sees the same ones. Philox4x32-10 from Random123 (Salmon et al. 2011).
 */
#ifndef ECKI_RANDOM_H
#define ECKI_RANDOM_H

#include <stdint.h>

uint64_t ecki_random_bits(uint64_t seed, uint64_t stream, uint64_t index);

/** Uniform in the open interval (0,1), 53 bits. */
double ecki_random_uniform(uint64_t seed, uint64_t stream, uint64_t index);

/** Standard normal, Box-Muller on the pair (index & ~1). */
double ecki_random_normal(uint64_t seed, uint64_t stream, uint64_t index);

/** out[i] = normal(seed, stream, first + i). */
void ecki_random_fill_normal(double *out, int64_t count, uint64_t seed, uint64_t stream,
                             uint64_t first);

#endif
