/** Timings from inside. */
#ifndef ECKI_TIMINGS_H
#define ECKI_TIMINGS_H

#include "eckart/model.h"

/** One way to store a layer that was timed. */
typedef struct ecki_timed_point {
    eck_point point; /**< method and ranks; the rest is not set */
    double ms;
} ecki_timed_point;

/** Sizes of one use of a layer. */
typedef struct ecki_timed_use {
    int64_t rows;
    int64_t input[ECK_SPATIAL_MAX], output[ECK_SPATIAL_MAX];
} ecki_timed_use;

typedef struct ecki_timed_layer {
    char *name;
    int32_t ndim;
    int64_t shape[ECK_DIMS_MAX]; /**< of the weight */
    ecki_timed_use *uses;
    int64_t use_count;
    ecki_timed_point *points;
    int64_t count;
    double dense; /**< ms */
} ecki_timed_layer;

struct eck_timings {
    ecki_timed_layer *layers;
    int64_t count;
    double whole; /**< ms; -1 not timed */
    char *file; /**< name for messages */
};

/** The entry of a layer, by name and shape; NULL if there is none. */
const ecki_timed_layer *ecki_timings_find(const eck_timings *timings, const eck_layer *layer);

/** eck_timings_predict() of an entry that was found; timed NULL: -1. */
double ecki_timed_predict(const ecki_timed_layer *timed, const eck_layer *layer,
                          const eck_point *point);

#endif
