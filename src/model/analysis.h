/**
 * The spectra and curves of a model's selected layers, in the model's order.
 */
#ifndef ECKI_ANALYSIS_H
#define ECKI_ANALYSIS_H

#include "model/fit.h"

typedef struct ecki_analyzed {
    eck_layer_analysis view; /**< what callers see; its spectrum points into values */
    ecki_values values;
} ecki_analyzed;

struct eck_analysis {
    ecki_analyzed *layers;
    int64_t count;
    char source[ECKI_HASH_HEX]; /**< of the model it was made of */
};

/** The type a layer's factors are stored in. */
eck_dtype ecki_store_dtype(const eck_model *model, const eck_layer *layer,
                           const eck_store_options *options);

#endif
