/**
 * What the two halves of the knapsack share: the groups reduced to what can matter, and the search
 * that closes the gap left by the multipliers. Only knapsack.c and knapsack_search.c include this.
 */
#ifndef ECKI_KNAPSACK_SEARCH_H
#define ECKI_KNAPSACK_SEARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/** One option that no other option of its group beats in every respect. */
typedef struct ecki_item {
    double damage;
    int64_t cost[2]; /**< above the least of its group; 0 where there is no limit */
    int64_t index; /**< in the group as given */
} ecki_item;

/** A group: items by rising cost[0], then cost[1]; with one limit damage falls strictly. */
typedef struct ecki_shelf {
    ecki_item *items;
    int64_t count;
} ecki_shelf;

/** The problem: one item a shelf, sums of cost within `room`. With one limit cost[1] and room[1]
 * are 0 throughout. */
typedef struct ecki_pack {
    ecki_shelf *shelves;
    int64_t count;
    int64_t room[2]; /**< >= 0 */
    int32_t limits; /**< 1 or 2 */
} ecki_pack;

/** What is known so far: the best choice within the limits, and the largest lower bound with its
 * multipliers. */
typedef struct ecki_standing {
    int64_t *choice; /**< item of every shelf; meaningless while damage is infinite */
    double damage; /**< infinity: no choice found yet */
    double bound; /**< no choice within the limits has less */
    double multiplier[2]; /**< where the Lagrangian is `value` */
    double value; /**< of the Lagrangian, as computed; `bound` is at least value - margin */
    double margin; /**< more than rounding can have added to value */
} ecki_standing;

/** A staircase: of the (cost, key) seen so far those that no other matches in both. Costs rise,
 * keys fall strictly. */
typedef struct ecki_stairs {
    int64_t *cost;
    double *key;
    int64_t count;
} ecki_stairs;

/** Room for `count` steps; cleared by ecki_stairs_clear(). */
eck_status ecki_stairs_init(ecki_stairs *stairs, int64_t count, eck_error *err);
void ecki_stairs_clear(ecki_stairs *stairs);

/** False if some step has at most this cost and at most this key; else puts it in, and takes out
 * what it beats. */
bool ecki_stairs_offer(ecki_stairs *stairs, int64_t cost, double key);

/** a + b for numbers >= 0, INT64_MAX where that is less. */
int64_t ecki_add_saturated(int64_t a, int64_t b);

/** The item of least damage whose costs are at most `room`; -1 none. */
int64_t ecki_shelf_mildest(const ecki_shelf *shelf, int32_t limits, const int64_t room[2]);

/**
 * Improves choice and bound until they are within `gap`: dynamic programming over the choices that
 * the multipliers do not rule out. If its lists grow beyond a fixed size, damages are told apart in
 * cells only, and the bound says so. standing->damage stays infinite if nothing fits.
 */
eck_status ecki_knapsack_search(ecki_standing *standing, const ecki_pack *pack, double gap,
                                eck_error *err);

#endif
