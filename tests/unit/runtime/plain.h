/** A layer by definition: y[n,o,p] = b[o] + sum over i, t of w[o,i,t] x[n,i,p * stride + t * dilation - pad], and transposed
 * y[n,o,p] = b[o] + sum over i, t, q of w[i,o,t] x[n,i,q] where p = q * stride + t * dilation - pad. */
#ifndef PLAIN_H
#define PLAIN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>

#include "base/random.h"
#include "eckart/runtime.h"

/** Whole numbers from -most to most, and never all of one sign. */
static inline double whole_number(uint64_t stream, int64_t i, double most)
{
    return floor((2 * most + 1) * ecki_random_uniform(11, stream, (uint64_t)i)) - most;
}

/** A stage whose weight, and bias if asked for, are filled by a function of stream and index. */
static inline void fill_stage(eck_stage *stage, uint64_t stream, double most, bool bias)
{
    int64_t shape[ECK_DIMS_MAX];
    const int32_t ndim = eck_stage_shape(stage, shape);

    assert_int_equal(eck_array_create(&stage->weight, ECK_DTYPE_F64, ndim, shape, NULL), ECK_OK);
    for (int64_t i = 0; i < eck_array_count(stage->weight); i++)
        ((double *)stage->weight->data)[i] =
            most > 0 ? whole_number(stream, i, most)
                     : (double)(float)ecki_random_normal(11, stream, (uint64_t)i);
    if (!bias) return;
    assert_int_equal(eck_array_create(&stage->bias, ECK_DTYPE_F64, 1, &stage->out, NULL), ECK_OK);
    for (int64_t i = 0; i < stage->out; i++)
        ((double *)stage->bias->data)[i] =
            most > 0 ? whole_number(stream + 1, i, most) : 0.3 * (double)i;
}

/** Sizes along up to three dimensions; those a layer has not are one. */
typedef struct plain_axis {
    int64_t input, output, kernel, stride, dilation, pad;
    bool transposed;
} plain_axis;

static inline void plain_axes(plain_axis axes[3], const eck_stage *stage, const eck_place *place)
{
    for (int d = 0; d < 3; d++) {
        plain_axis *a = &axes[d];
        *a = (plain_axis){ 1, 1, 1, 1, 1, 0, false };
        if (stage->kind == ECK_STAGE_LINEAR || d >= stage->spatial) continue;
        a->input = place->input[d];
        a->kernel = stage->kernel[d];
        a->stride = stage->stride[d] < 0 ? place->stride[d] : stage->stride[d];
        a->dilation = stage->dilation[d] < 0 ? place->dilation[d] : stage->dilation[d];
        a->pad = place->pad_begin[d];
        a->output = (a->input + place->pad_begin[d] + place->pad_end[d] -
                     a->dilation * (a->kernel - 1) - 1) /
                        a->stride +
                    1;
        a->transposed = stage->kind == ECK_STAGE_CONV_TRANSPOSE;
        if (a->transposed)
            a->output = (a->input - 1) * a->stride + a->dilation * (a->kernel - 1) + 1 -
                        place->pad_begin[d] - place->pad_end[d] + place->output_padding[d];
    }
}

/** What a tap of an output looks at along an axis, -1: nothing. */
static inline int64_t plain_source(const plain_axis *a, int64_t at, int64_t tap)
{
    const int64_t there = at + a->pad - tap * a->dilation;
    const int64_t from =
        a->transposed ? there / a->stride : at * a->stride + tap * a->dilation - a->pad;
    if (a->transposed && (there < 0 || there % a->stride != 0)) return -1;
    return from < a->input ? from : -1;
}

/** Sum over the taps of one channel; x and w begin there. `sign` false: of absolute values. */
static inline double plain_taps(const plain_axis axes[3], const double *x, const double *w,
                                const int64_t at[3], bool sign)
{
    double sum = 0;

    for (int64_t i = 0; i < axes[0].kernel; i++)
        for (int64_t j = 0; j < axes[1].kernel; j++)
            for (int64_t k = 0; k < axes[2].kernel; k++) {
                const int64_t p = plain_source(&axes[0], at[0], i);
                const int64_t q = plain_source(&axes[1], at[1], j);
                const int64_t r = plain_source(&axes[2], at[2], k);
                if (p < 0 || q < 0 || r < 0) continue;
                const double product = x[(p * axes[1].input + q) * axes[2].input + r] *
                                       w[(i * axes[1].kernel + j) * axes[2].kernel + k];
                sum += sign ? product : fabs(product);
            }
    return sum;
}

/**
 * What a layer makes of x [batch, in, sizes...], owned, free(). place->input is what it is given; on return what it made.
 * sign  false: of absolute values
 */
static inline double *plain_layer(const eck_stage *stage, eck_place *place, const double *x,
                                  bool sign)
{
    plain_axis axes[3];
    plain_axes(axes, stage, place);
    const int64_t in = axes[0].input * axes[1].input * axes[2].input;
    const int64_t out = axes[0].output * axes[1].output * axes[2].output;
    const int64_t taps = axes[0].kernel * axes[1].kernel * axes[2].kernel;
    const int64_t width = stage->in / stage->groups, height = stage->out / stage->groups;
    double *y = calloc((size_t)(place->batch * stage->out * out), sizeof *y);

    for (int64_t i = 0; i < place->batch * stage->out * out; i++) {
        const int64_t n = i / out / stage->out, o = i / out % stage->out, p = i % out;
        const int64_t at[3] = { p / axes[2].output / axes[1].output,
                                p / axes[2].output % axes[1].output, p % axes[2].output };
        const bool turned = stage->kind == ECK_STAGE_CONV_TRANSPOSE;
        const double *const all = stage->weight->data;
        const double *w = turned ? all + (o / height * width * height + o % height) * taps
                                 : all + o * width * taps;
        const double b = stage->bias ? ((const double *)stage->bias->data)[o] : 0;
        y[i] = sign ? b : fabs(b);
        for (int64_t c = 0; c < width; c++)
            y[i] += plain_taps(axes, x + (n * stage->in + o / height * width + c) * in,
                               w + c * (turned ? height : 1) * taps, at, sign);
    }
    for (int d = 0; d < stage->spatial && stage->kind != ECK_STAGE_LINEAR; d++)
        place->input[d] = axes[d].output;
    return y;
}

#endif
