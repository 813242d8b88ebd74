/**
 * Chains that run: forward on the CPU, as one layer of a network would. What a layer computes can be looked at, and what
 * it costs can be timed, before and after it is factored.
 */
#ifndef ECKART_RUNTIME_H
#define ECKART_RUNTIME_H

#include <stdbool.h>
#include <stdint.h>

#include "eckart/context.h"
#include "eckart/export.h"
#include "eckart/stage.h"
#include "eckart/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Where a layer stands: what its weight does not say. */
typedef struct eck_place {
    uint32_t version; /**< 1 */
    int64_t batch; /**< images; rows (tokens) of a linear layer; default 1 */
    int64_t input[ECK_SPATIAL_MAX]; /**< spatial sizes of what comes in; of a convolution only */
    /** Zeros put around what comes in; of a transposed convolution what is cut off of what it makes; default 0. */
    int64_t pad_begin[ECK_SPATIAL_MAX], pad_end[ECK_SPATIAL_MAX];
    /** For a stage that does not know its own (-1, of a file that does not say); default 1. */
    int64_t stride[ECK_SPATIAL_MAX], dilation[ECK_SPATIAL_MAX];
    /** Of a transposed convolution: sizes added at the end, each less than the stride; default 0. */
    int64_t output_padding[ECK_SPATIAL_MAX];
} eck_place;

#define ECK_PLACE_INIT \
    { \
        1, 1, { 1, 1, 1 }, { 0, 0, 0 }, { 0, 0, 0 }, { 1, 1, 1 }, { 1, 1, 1 }, \
        { \
            0, 0, 0 \
        } \
    }

/** Spatial sizes of what a layer makes at a place: (input + padding - dilation (kernel - 1) - 1) / stride + 1, rounded down;
 *  of a transposed convolution stride (input - 1) + dilation (kernel - 1) + 1 - padding + output_padding. At most 0: it does
 *  not fit. out ECK_SPATIAL_MAX numbers. Returns how many there are. */
ECK_API int32_t eck_place_output(int64_t *out, const eck_place *place, const eck_stage *stage);

/** A chain made ready for one place. */
typedef struct eck_runner eck_runner;

/**
 * Makes a chain ready to run: weights in F32, in the layout the processor likes. In each dimension the padding goes with
 * the first stage wider than one tap, and with the first stage where none is; in a chain with transposed convolutions, with
 * the first of these that is wider than one tap, or with the last of them.
 *
 * out      owned by the caller, eck_runner_free(); keeps nothing of its arguments
 * chain    linear stages alone, or convolutions alone, transposed or not, of 1 to 3 dimensions, with any groups; every stage
 *          with its weight
 * place    NULL = ECK_PLACE_INIT
 * context  threads: of every run
 * Errors   ECK_E_SHAPE a stage does not fit its neighbour, its weight or its input; ECK_E_RANGE a number of the place;
 *          ECK_E_UNSUPPORTED a stage of another kind; ECK_E_NOMEM
 * Source   oneDNN, direct convolution, direct deconvolution and inner product
 */
ECK_API eck_status eck_runner_create(eck_runner **out, const eck_chain *chain,
                                     const eck_place *place, const eck_context *context,
                                     eck_error *err);
ECK_API void eck_runner_free(eck_runner *runner);

/** The shape of what goes in, [batch, channels, sizes...]; shape_out ECK_DIMS_MAX numbers. Returns the dimensions. */
ECK_API int32_t eck_runner_input(const eck_runner *runner, int64_t *shape_out);
/** The shape of what comes out. */
ECK_API int32_t eck_runner_output(const eck_runner *runner, int64_t *shape_out);

/**
 * One forward pass.
 * y         numbers of eck_runner_output(), row-major; the caller's
 * x         numbers of eck_runner_input(), row-major; borrowed
 * Accuracy  for a stage that adds K products (in/groups * taps, 1 for the bias): each y is off by at most
 *           sum over stages of (K + 1) 2^-24, to first order, times the same sums of absolute values (Higham 3.1)
 * Errors    ECK_E_SOLVER
 */
ECK_API eck_status eck_runner_run(eck_runner *runner, float *y, const float *x, eck_error *err);

/** Seconds of one pass, and how far they were spread. */
typedef struct eck_timing {
    double median, low, high; /**< low, high: quartiles */
    int64_t runs; /**< samples they are taken of */
} eck_timing;

typedef struct eck_timing_options {
    uint32_t version; /**< 1 */
    int64_t rounds; /**< samples of every runner, at least 3; default 15 */
    double sample; /**< seconds a sample lasts at least, in whole passes; default 0.002 */
} eck_timing_options;

#define ECK_TIMING_OPTIONS_INIT \
    { \
        1, 15, 0.002 \
    }

/**
 * Times runners side by side: after a pass of each that does not count, rounds in which each is sampled once, every
 * second round in reverse, so that what else the machine does meets all of them. As inside a network, whose layers agree
 * on a layout: what brings x and y into row-major order is left out.
 *
 * out      [count]
 * runners  [count], their numbers are made up
 * options  NULL = defaults
 * Errors   ECK_E_RANGE options; ECK_E_CANCELLED; ECK_E_NOMEM
 */
ECK_API eck_status eck_runner_time(eck_timing *out, eck_runner *const *runners, int64_t count,
                                   const eck_timing_options *options, const eck_context *context,
                                   eck_error *err);

/** "oneDNN 2.6.3"; static. */
ECK_API const char *eck_runtime_description(void);

#ifdef __cplusplus
}
#endif
#endif
