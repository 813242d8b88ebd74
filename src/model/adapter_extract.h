/**
 * What the files of extraction share: the layers that changed, and what goes beside them.
 */
#ifndef ECKI_ADAPTER_EXTRACT_H
#define ECKI_ADAPTER_EXTRACT_H

#include "model/adapter_parts.h"
#include "model/difference.h"
#include "model/model.h"

/** One layer that changed. */
typedef struct ecki_extract_target {
    int64_t layer, entry; /**< of base; tensor of tuned */
    ecki_difference_sums sums;
    double *tails; /**< [known+1], relative, where a rule asks for them before writing */
    int64_t known; /**< terms whose tails are known; full or fewer */
    int64_t full; /**< min(rows, cols) */
    int64_t rank;
    char *name; /**< as the file will spell it */
} ecki_extract_target;

typedef struct ecki_extracting {
    const eck_model *base, *tuned;
    const eck_extract_options *options;
    const eck_context *context;
    ecki_extract_target *targets;
    int64_t count;
    bool *expressed; /**< [tuned entries]: an adapter carries it, or it did not change */
    ecki_out_module *modules;
    ecki_out_extra *extras;
    int64_t *extra_entries; /**< tensor of tuned */
    char **extra_names, **saved; /**< owned; saved: modules_to_save */
    int64_t extra_count, saved_count;
    bool biases;
    ecki_difference_room room;
    eck_adapter_outcome *outcome;
    ecki_adapter_writer *writer;
    json_t *record;
} ecki_extracting;

/* ---- adapter_extract_rest.c ---------------------------------------------------------------- */

/** What changed and is in no factors: listed in remarks, or planned as extras. */
eck_status ecki_extract_rest(ecki_extracting *job, eck_error *err);

/** Writes the extras, tensor by tensor. */
eck_status ecki_extract_write_extras(ecki_extracting *job, eck_error *err);

bool ecki_extract_same_shape(const eck_tensor *a, const eck_tensor *b);

#endif
