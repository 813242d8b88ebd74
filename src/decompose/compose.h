/**
 * Composition of layers as linear maps: what a stage does to the channels that the stages before it make.
 */
#ifndef ECKI_COMPOSE_H
#define ECKI_COMPOSE_H

#include <stdint.h>

#include "base/error.h"
#include "eckart/array.h"
#include "eckart/stage.h"

/**
 * Channels as linear maps of a window of the input, y[c,x] = sum over i, p of T[c,i,p] input[i,x+p]. Channels come in
 * `blocks` equal runs; block b sees inputs b * width .. (b + 1) * width - 1 only, and only those are stored:
 * T[c, b * width + j, p] is element c * row_step + (j * taps + p) * col_step. Borrows.
 */
typedef struct ecki_map {
    const void *data;
    eck_dtype dtype;
    int64_t row_step, col_step;
    int64_t channels, blocks, width;
    int64_t kernel[ECK_SPATIAL_MAX]; /**< of the window; 1 beyond the spatial dimensions */
    int64_t taps; /**< product of kernel */
    double magnitude; /**< bound of the Frobenius norm of the sums of absolute values behind T */
    double error; /**< bound of the Frobenius norm of the rounding errors in T */
} ecki_map;

/**
 * ECK_OK if the stages, weights loaded or not, make a layer like `dense`: kinds, channels, groups, kernels and steps.
 * Everything that reading a chain relies on but the shapes of its weights.
 */
eck_status ecki_chain_check(const eck_chain *chain, const eck_stage *dense, eck_error *err);

/** Taps of a stage's kernel; 1 for kinds without one. */
int64_t ecki_stage_taps(const eck_stage *stage);

/** Groups of a stage as channels are wired: a scale has one for each channel. */
int64_t ecki_stage_groups(const eck_stage *stage);

/** The map of a first stage: its weight, looked at rightly, and its norm. The stage is checked and lives as long as the map. */
ecki_map ecki_map_of_stage(const eck_stage *stage);

/** A stage after a map, seen in `blocks` runs of output channels; blocks divides the groups of both. */
typedef struct ecki_joint {
    ecki_map map;
    const eck_stage *stage;
    int64_t blocks;
} ecki_joint;

/** The map that the joint makes, without data and without bounds; its rows are contiguous. */
ecki_map ecki_joint_map(const ecki_joint *joint);

/** Sets the bounds of `out`, the map that the joint makes, from those of the map it is made of. */
void ecki_joint_bound(ecki_map *out, const ecki_joint *joint);

/** out [rows,cols] F64 = rows row .. and columns col .. of the joint's map. Thread-safe. */
eck_status ecki_joint_read(const ecki_joint *joint, int64_t row, int64_t col, eck_panel out,
                           eck_error *err);

#endif
