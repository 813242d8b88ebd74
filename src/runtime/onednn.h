/**
 * The door to oneDNN: layers one after another, each in the layout its kernel likes, with what changes the layout between
 * them. Only onednn.c names a symbol of oneDNN.
 */
#ifndef ECKI_ONEDNN_H
#define ECKI_ONEDNN_H

#include <stdbool.h>

#include "base/error.h"
#include "eckart/stage.h"

/** One layer where it stands; all numbers fit each other. */
typedef struct ecki_window {
    int32_t spatial; /**< 0: linear */
    bool transposed; /**< a transposed convolution: padding is cut off */
    int64_t batch, in, out, groups;
    int64_t input[ECK_SPATIAL_MAX], output[ECK_SPATIAL_MAX];
    int64_t kernel[ECK_SPATIAL_MAX], stride[ECK_SPATIAL_MAX], dilation[ECK_SPATIAL_MAX];
    int64_t pad_begin[ECK_SPATIAL_MAX], pad_end[ECK_SPATIAL_MAX];
} ecki_window;

typedef struct ecki_net ecki_net;

/** An empty net; owned, ecki_net_free(). At most `layers` can be added. */
eck_status ecki_net_create(ecki_net **out, int64_t layers, eck_error *err);
void ecki_net_free(ecki_net *net);

/** Adds a layer behind those that are there. weight [out, in/groups, kernel...], transposed
 * [in, out/groups, kernel...]; bias [out] or NULL; both are copied. */
eck_status ecki_net_add(ecki_net *net, const ecki_window *window, const float *weight,
                        const float *bias, eck_error *err);

/** Nothing can be added any more; the net can run. */
eck_status ecki_net_finish(ecki_net *net, eck_error *err);

/** One pass over row-major numbers. */
eck_status ecki_net_run(ecki_net *net, float *y, const float *x, eck_error *err);

/** The passes of a net inside a larger one: on made-up numbers, in the layout of its own ends. */
eck_status ecki_net_pass(ecki_net *net, int64_t passes, eck_error *err);

#endif
