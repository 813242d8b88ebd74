/**
 * What a layer costs on this machine, dense and factored, side by side.
 */
#ifndef ECKART_BENCH_H
#define ECKART_BENCH_H

#include <stdint.h>

#include "eckart/context.h"
#include "eckart/decompose.h"
#include "eckart/export.h"
#include "eckart/runtime.h"
#include "eckart/stage.h"
#include "eckart/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A layer to be timed; all borrowed. */
typedef struct eck_bench_layer {
    const char *name;
    const eck_stage
        *dense; /**< linear or convolution, transposed or not; its numbers do not matter */
    const eck_place *places; /**< where it is used */
    int64_t place_count; /**< at least 1 */
    const eck_point *points; /**< methods and ranks */
    int64_t count;
} eck_bench_layer;

/**
 * Times a layer as it is and at every point, all of them side by side (eck_runner_time()), with made-up weights: no kernel
 * looks at what it multiplies. Times of several places add up.
 *
 * out      [count + 1] the dense layer, then the points
 * layer    borrowed
 * options  NULL = defaults
 * Errors   those of eck_chain_outline(), eck_runner_create() and eck_runner_time(); ECK_E_RANGE no place
 */
ECK_API eck_status eck_bench_run(eck_timing *out, const eck_bench_layer *layer,
                                 const eck_timing_options *options, const eck_context *context,
                                 eck_error *err);

#ifdef __cplusplus
}
#endif
#endif
