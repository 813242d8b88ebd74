/**
 * A stored matrix kept in memory where the products of an iterative lane read it again and again: one that lies in a file, or
 * one whose vectors would be so long that they leave the cache between two panels.
 */
#ifndef ECKI_HELD_H
#define ECKI_HELD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "eckart/context.h"
#include "eckart/operator.h"

/** What a copy would be; it depends on the operator alone. */
typedef struct ecki_holding {
    int64_t bytes; /**< 0: no copy */
    bool by_columns; /**< columns lie side by side, else rows */
} ecki_holding;

/** The copy that products of `a` would gain from: a->stored, 32 or 16 bits a number, at most ECKI_HELD_MOST bytes. */
ecki_holding ecki_hold_plan(const eck_operator *a);

enum { ECKI_HELD_MOST = 1 << 30 };

/** True for rows so long, and enough longer than columns, that products want columns side by side. */
bool ecki_held_turned(int64_t rows, int64_t cols);

/** Rows of a tile that is turned, at most, and unused numbers a row, so that rows do not fall on each other in the cache. */
enum { ECKI_TURN_ROWS = 64, ECKI_TURN_SKEW = 16 };

/** Columns of an F32 tile become lines: number (i,j), rounded to dtype, is number i of the line that begins j `step` bytes
 *  from out. tile.ld is at least tile.cols + ECKI_TURN_SKEW; rows up to ECKI_TURN_ROWS are there, whatever they hold. */
void ecki_turn_tile(char *out, int64_t step, eck_dtype dtype, eck_panel tile);

/** A copy in the type it is stored in, and the operator over it. Zero it; ecki_held_clear(). */
typedef struct ecki_held {
    void *numbers;
    eck_operator *op; /**< NULL: nothing is held */
} ecki_held;

/** Numbers of 8 bytes that copying takes beside the copy, at most. */
double ecki_held_tiles(const eck_operator *a, double threads);

/** One read of a; plan.bytes > 0. Errors: ECK_E_NOMEM, those of the read. */
eck_status ecki_held_make(ecki_held *out, const eck_operator *a, ecki_holding plan,
                          const eck_context *context, eck_error *err);
void ecki_held_clear(ecki_held *held);

#endif
