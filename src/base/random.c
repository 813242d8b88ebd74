// Philox4x32-10. One block of 128 bits serves two neighbouring indices:
//   counter = { index / 2, stream }, key = seed, index even: low half, odd: high half,
// so that the pair Box-Muller needs comes from one block.
#include "base/random.h"

#include <math.h>

#include <Random123/philox.h>

typedef struct pair {
    uint64_t even, odd;
} pair;

// The bits of indices 2 * block and 2 * block + 1.
static pair bits_of_block(uint64_t seed, uint64_t stream, uint64_t block)
{
    const philox4x32_ctr_t counter = { { (uint32_t)block, (uint32_t)(block >> 32), (uint32_t)stream,
                                         (uint32_t)(stream >> 32) } };
    const philox4x32_key_t key = { { (uint32_t)seed, (uint32_t)(seed >> 32) } };
    const philox4x32_ctr_t r = philox4x32(counter, key);
    const pair bits = { r.v[0] | (uint64_t)r.v[1] << 32, r.v[2] | (uint64_t)r.v[3] << 32 };
    return bits;
}

// Odd multiples of 2^-53: the middles of 2^52 equal cells, none of which touches 0 or 1 and all of
// which are exact.
static double uniform_of(uint64_t bits)
{
    return ((double)(bits >> 12) + 0.5) * 0x1p-52;
}

typedef struct normal_pair {
    double even, odd;
} normal_pair;

// even = r cos(t), odd = r sin(t), r = sqrt(-2 ln u), t = 2 pi v.
static normal_pair normals_of_block(uint64_t seed, uint64_t stream, uint64_t block)
{
    const pair bits = bits_of_block(seed, stream, block);
    const double radius = sqrt(-2.0 * log(uniform_of(bits.even)));
    const double angle = 6.283185307179586476925 * uniform_of(bits.odd);
    const normal_pair normals = { radius * cos(angle), radius * sin(angle) };
    return normals;
}

uint64_t ecki_random_bits(uint64_t seed, uint64_t stream, uint64_t index)
{
    const pair bits = bits_of_block(seed, stream, index >> 1);
    return index & 1 ? bits.odd : bits.even;
}

double ecki_random_uniform(uint64_t seed, uint64_t stream, uint64_t index)
{
    return uniform_of(ecki_random_bits(seed, stream, index));
}

double ecki_random_normal(uint64_t seed, uint64_t stream, uint64_t index)
{
    const normal_pair normals = normals_of_block(seed, stream, index >> 1);
    return index & 1 ? normals.odd : normals.even;
}

void ecki_random_fill_normal(double *out, int64_t count, uint64_t seed, uint64_t stream,
                             uint64_t first)
{
    int64_t i = 0;
    if (count > 0 && first & 1) out[i++] = ecki_random_normal(seed, stream, first);
    for (; i + 1 < count; i += 2) {
        const normal_pair normals = normals_of_block(seed, stream, (first + (uint64_t)i) >> 1);
        out[i] = normals.even;
        out[i + 1] = normals.odd;
    }
    if (i < count) out[i] = ecki_random_normal(seed, stream, first + (uint64_t)i);
}
