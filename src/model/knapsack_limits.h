/**
 * The knapsack behind plans with any number of limits: parameters, bytes, multiply-adds, time.
 *
 * Two limits at a time are solved by ecki_knapsack(). A choice that is best for two of them and keeps the others is best;
 * nearly always there is such a pair, since what is cheap in one cost is cheap in all. Where there is none, all limits
 * are added up with weights that grow where a choice breaks one (a surrogate), and what is still broken is repaired by
 * the mildest exchanges. Every relaxation bounds the optimum. docs/methods/planning.md has the details.
 */
#ifndef ECKI_KNAPSACK_LIMITS_H
#define ECKI_KNAPSACK_LIMITS_H

#include "model/knapsack.h"

enum { ECKI_PARAMETERS = 0, ECKI_BYTES = 1, ECKI_MACS = 2, ECKI_NANOSECONDS = 3, ECKI_COSTS = 4 };

typedef struct ecki_offer {
    double damage; /**< >= 0 */
    int64_t cost[ECKI_COSTS]; /**< >= 0 */
} ecki_offer;

typedef struct ecki_offers {
    const ecki_offer *list; /**< any order, at least one */
    int64_t count;
} ecki_offers;

typedef struct ecki_bargain {
    double damage; /**< of the choice */
    double bound; /**< no choice within the limits has less */
    int64_t cost[ECKI_COSTS];
} ecki_bargain;

/**
 * choice_out  [count] index of the chosen offer of every group
 * limits      -1: none
 * Returns as ecki_knapsack(); ECK_E_RANGE with the least possible costs in *out if a limit is below them
 */
eck_status ecki_knapsack_limits(int64_t *choice_out, ecki_bargain *out, const ecki_offers *groups,
                                int64_t count, const int64_t limits[ECKI_COSTS], double gap,
                                eck_error *err);

#endif
