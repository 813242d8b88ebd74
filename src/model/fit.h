/**
 * One layer's spectrum and factors, through the cache: what analyze and compress share.
 */
#ifndef ECKI_FIT_H
#define ECKI_FIT_H

#include "model/model.h"

/** Values, tails and measures of a spectrum, owned; vectors are not part of it. */
typedef struct ecki_values {
    eck_spectrum_info info; /**< values and tails point to memory of this struct's own */
    double *numbers;
} ecki_values;

void ecki_values_clear(ecki_values *values);

/** Everything a layer's work needs to know; borrowed. */
typedef struct ecki_work {
    const eck_model *model;
    const ecki_content *content;
    const ecki_cache *cache;
    eck_context context; /**< one thread: layers run side by side */
    int64_t layer;
} ecki_work;

/** The spectrum's values, cached or computed; computing stores values and the reduction. cached_out: found. */
eck_status ecki_values_compute(ecki_values *out, bool *cached_out, const ecki_work *work,
                               eck_error *err);

/** The chain of one point with its certificate, cached or fitted. */
eck_status ecki_factors_compute(eck_chain *out, eck_certificate *certificate_out,
                                const ecki_work *work, const eck_point *point,
                                const eck_fit_options *options, eck_error *err);

/** Points of the methods given but SVD of a whole matrix, then dense; cached or computed. None of them applies: dense alone.
 *  methods, store and rank_multiple are taken from `wanted`. */
eck_status ecki_points_compute(eck_curve *out, const ecki_work *work,
                               const eck_curve_options *wanted, eck_error *err);

/** Bytes the above hold at most: for the values and points of methods (bits), or, unless NULL, for the fit of a point. */
int64_t ecki_work_memory(const eck_layer *layer, eck_dtype dtype, uint32_t methods,
                         const eck_point *point);

/** The larger of *most and what such work on a layer holds. */
void ecki_hunger_add(ecki_hunger *most, const eck_layer *layer, eck_dtype dtype, uint32_t methods,
                     const eck_point *point);

#endif
