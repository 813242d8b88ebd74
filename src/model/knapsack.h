/**
 * One point a layer under additive limits: the multiple-choice knapsack behind every plan.
 *
 * Minimise the sum of damages over layers, one point of each layer's set, such that the sum of every limited cost stays
 * within its limit. Lower convex hulls and one multiplier (bisection) give a bound of the optimum and a start; the
 * integer rest is closed by greedy exchange and, where that leaves more than the gap asked for, by dynamic programming
 * over scaled costs. With two limits, the multipliers are combined (parameters and bytes are nearly proportional).
 */
#ifndef ECKI_KNAPSACK_H
#define ECKI_KNAPSACK_H

#include <stdint.h>

#include "base/error.h"

typedef struct ecki_option {
    double damage;       /**< >= 0 */
    int64_t cost[2];     /**< >= 0; parameters, bytes */
} ecki_option;

typedef struct ecki_group {
    const ecki_option *options; /**< any order, at least one */
    int64_t count;
} ecki_group;

typedef struct ecki_packing {
    double damage;       /**< of the choice */
    double bound;        /**< no choice within the limits has less */
    int64_t cost[2];
} ecki_packing;

/**
 * choice_out   [count] index of the chosen option of every group
 * limits       -1: none
 * gap          stop once (damage - bound) <= gap * bound; 1e-3 is what plans promise
 * Returns ECK_E_RANGE if even the cheapest options do not fit: *out then holds the least possible costs
 * Cost     O(total options * log) and, only when the gap asks for it, O(count * cells * options per hull)
 * Source   Kellerer, Pferschy and Pisinger, Knapsack Problems (2004), chapter 11; Everett 1963
 */
eck_status ecki_knapsack(int64_t *choice_out, ecki_packing *out, const ecki_group *groups, int64_t count,
                         const int64_t limits[2], double gap, eck_error *err);

#endif
