/**
 * One point a layer under additive limits: the multiple-choice knapsack behind every plan.
 *
 * Minimise the sum of damages over layers, one point of each layer's set, such that the sum of every limited cost stays
 * within its limit. Lower convex hulls and one multiplier (bisection) give a bound of the optimum and a start; what is
 * left of the limits is filled greedily; where that leaves more than the gap asked for, dynamic programming over the
 * choices that the multiplier does not rule out closes it. With two limits the multiplier acts on a mix of both costs,
 * and the mix is bisected. docs/methods/planning.md has the details.
 */
#ifndef ECKI_KNAPSACK_H
#define ECKI_KNAPSACK_H

#include <stdint.h>

#include "base/error.h"

typedef struct ecki_option {
    double damage; /**< >= 0 */
    int64_t cost[2]; /**< >= 0; parameters, bytes */
} ecki_option;

typedef struct ecki_group {
    const ecki_option *options; /**< any order, at least one */
    int64_t count;
} ecki_group;

typedef struct ecki_packing {
    double damage; /**< of the choice */
    double bound; /**< no choice within the limits has less */
    int64_t cost[2];
} ecki_packing;

/**
 * choice_out   [count] index of the chosen option of every group
 * limits       -1: none
 * gap          stop once (damage - bound) <= gap * bound; 1e-3 is what plans promise
 * Returns ECK_E_RANGE if even the cheapest options do not fit: *out then holds the least possible costs
 *         ECK_E_RANGE also for numbers that are none, and if no choice keeping two limits at once was found
 * Cost     O(total options * log); when the gap asks for more, lists of at most 65,536 partial choices and some 2e8
 *          list entries made in all
 * Source   Kellerer, Pferschy and Pisinger, Knapsack Problems (2004), chapter 11; Everett 1963
 */
eck_status ecki_knapsack(int64_t *choice_out, ecki_packing *out, const ecki_group *groups,
                         int64_t count, const int64_t limits[2], double gap, eck_error *err);

#endif
