/**
 * What the tests of this folder share: random stages, chains, and layers run on signals by
 * definition.
 */
#ifndef TEST_CHAINS_H
#define TEST_CHAINS_H

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/random.h"
#include "eckart/decompose.h"

/** A signal [channels, size...]. */
struct signal {
    int64_t channels, size[ECK_SPATIAL_MAX], points;
    double *value;
};

static inline struct signal signal_create(int64_t channels, const int64_t *size)
{
    struct signal signal = {
        channels, { size[0], size[1], size[2] }, size[0] * size[1] * size[2], NULL
    };

    signal.value = calloc((size_t)(channels * signal.points), sizeof(double));
    return signal;
}

/** A layer's weight widened to F64, [out, in / groups * taps] whatever its kind. */
static inline double *layer_weight(const eck_stage *stage)
{
    const int64_t count = eck_array_count(stage->weight);
    double *wide = calloc((size_t)count, sizeof(double));
    eck_array *copy = NULL;

    assert_int_equal(eck_array_convert(&copy, eck_array_view(stage->weight), ECK_DTYPE_F64, NULL),
                     ECK_OK);
    memcpy(wide, copy->data, (size_t)count * sizeof(double));
    if (stage->kind == ECK_STAGE_LOOKUP)
        for (int64_t o = 0; o < stage->out; o++)
            for (int64_t i = 0; i < stage->in; i++)
                wide[o * stage->in + i] = ((double *)copy->data)[i * stage->out + o];
    eck_array_free(copy);
    return wide;
}

/** One output of a correlation by definition, without padding. */
static inline double correlate_at(const double *in, const int64_t *size, const double *weight,
                                  const int64_t *kernel, const int64_t *at)
{
    double sum = 0.0;

    for (int64_t a = 0; a < kernel[0]; a++)
        for (int64_t b = 0; b < kernel[1]; b++)
            for (int64_t c = 0; c < kernel[2]; c++)
                sum += weight[(a * kernel[1] + b) * kernel[2] + c] *
                       in[((at[0] + a) * size[1] + at[1] + b) * size[2] + at[2] + c];
    return sum;
}

/** Adds the correlation of one channel to one output channel, at every point. */
static inline void correlate(double *out, const int64_t *out_size, const double *in,
                             const int64_t *size, const double *weight, const int64_t *kernel)
{
    int64_t at[3];

    for (at[0] = 0; at[0] < out_size[0]; at[0]++)
        for (at[1] = 0; at[1] < out_size[1]; at[1]++)
            for (at[2] = 0; at[2] < out_size[2]; at[2]++)
                *out++ += correlate_at(in, size, weight, kernel, at);
}

/** A layer with the matrix `weight` [out, in / groups * taps], run on a signal. */
static inline struct signal run_layer(const struct signal *in, const eck_stage *layer,
                                      const double *weight)
{
    int64_t kernel[3] = { 1, 1, 1 }, size[3];
    const int64_t groups = layer->kind == ECK_STAGE_SCALE ? layer->out : layer->groups;
    const int64_t seen = layer->in / groups;

    if (layer->kind == ECK_STAGE_CONV)
        memcpy(kernel, layer->kernel, (size_t)layer->spatial * sizeof *kernel);
    for (int d = 0; d < 3; d++)
        size[d] = in->size[d] - kernel[d] + 1;
    struct signal out = signal_create(layer->out, size);
    const int64_t taps = kernel[0] * kernel[1] * kernel[2];
    for (int64_t o = 0; o < layer->out; o++)
        for (int64_t i = 0; i < seen; i++) {
            const int64_t source = o / (layer->out / groups) * seen + i;
            correlate(out.value + o * out.points, out.size, in->value + source * in->points,
                      in->size, weight + (o * seen + i) * taps, kernel);
        }
    return out;
}

/** A stage with random whole weights in -4 .. 4, which every type holds. */
static inline eck_stage random_stage(eck_stage stage, eck_dtype dtype, uint64_t seed)
{
    int64_t shape[ECK_DIMS_MAX];
    const int32_t ndim = eck_stage_shape(&stage, shape);
    const int64_t count = eck_stage_parameters(&stage);
    double *numbers = calloc((size_t)count, sizeof(double));

    for (int64_t i = 0; i < count; i++)
        numbers[i] = floor(9.0 * ecki_random_uniform(seed, 77, (uint64_t)i)) - 4.0;
    const eck_view view = eck_view_of(numbers, ECK_DTYPE_F64, ndim, shape);
    assert_int_equal(eck_array_convert(&stage.weight, view, dtype, NULL), ECK_OK);
    free(numbers);
    return stage;
}

/** A chain of stages made by random_stage; stage weights move in. */
static inline eck_chain chain_of(const eck_stage *stages, int32_t count)
{
    eck_chain chain = { ecki_calloc(count, sizeof *stages), count };

    memcpy(chain.stages, stages, (size_t)count * sizeof *stages);
    return chain;
}

/** All of an operator in F64. */
static inline double *read_whole(const eck_operator *a)
{
    const eck_operator_info *info = eck_operator_get_info(a);
    double *whole = calloc((size_t)(info->rows * info->cols + 1), sizeof(double));
    const eck_panel panel = { whole, ECK_DTYPE_F64, info->rows, info->cols, info->cols };

    assert_int_equal(eck_operator_read(a, 0, 0, panel, NULL), ECK_OK);
    return whole;
}

static inline int no_leak(void **state)
{
    (void)state;
    if (ecki_memory_now() != 0) printf("%lld bytes still held\n", (long long)ecki_memory_now());
    return ecki_memory_now() == 0 ? 0 : -1;
}

#endif
