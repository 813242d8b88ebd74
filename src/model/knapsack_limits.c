/**
 * From many limits to two, and back. Always true: `best` holds the mildest choice found that keeps every limit, `bound` the
 * largest bound of a relaxation.
 */
#include "model/knapsack_limits.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "model/knapsack_search.h"

enum { ROUNDS = 48, REPAIRS_A_GROUP = 8, UNITS = 1 << 30 };

typedef struct market {
    const ecki_offers *groups;
    int64_t count;
    int32_t given[ECKI_COSTS]; /**< the costs that are limited */
    int32_t limited;
    int64_t limit[ECKI_COSTS], least[ECKI_COSTS]; /**< by cost; least: sum over the groups */
    int64_t *floors; /**< [count * ECKI_COSTS] least of every group */
    double gap;
    ecki_option *options; /**< of all groups, as the knapsack of two sees them */
    ecki_group *pairs;
    int64_t *choice, *best; /**< [count] */
    double damage; /**< of best; infinity: none found yet */
    double bound;
} market;

static const ecki_offer *taken(const market *m, const int64_t *choice, int64_t g)
{
    return &m->groups[g].list[choice[g]];
}

static ecki_bargain sum_up(const market *m, const int64_t *choice)
{
    ecki_bargain sum = { 0.0, 0.0, { 0 } };

    for (int64_t g = 0; g < m->count; g++) {
        const ecki_offer *o = taken(m, choice, g);
        sum.damage += o->damage;
        for (int c = 0; c < ECKI_COSTS; c++)
            sum.cost[c] = ecki_add_saturated(sum.cost[c], o->cost[c]);
    }
    return sum;
}

/** How far costs lie above their limits, in parts of the room each limit leaves; 0: all hold. */
static double excess(const market *m, const int64_t cost[ECKI_COSTS])
{
    double sum = 0;

    for (int32_t i = 0; i < m->limited; i++) {
        const int32_t c = m->given[i];
        const double room = fmax(1.0, (double)(m->limit[c] - m->least[c]));
        if (cost[c] > m->limit[c]) sum += ((double)cost[c] - (double)m->limit[c]) / room;
    }
    return sum;
}

static void keep_if_better(market *m)
{
    const ecki_bargain sum = sum_up(m, m->choice);

    if (excess(m, sum.cost) > 0 || sum.damage >= m->damage) return;
    m->damage = sum.damage;
    memcpy(m->best, m->choice, (size_t)m->count * sizeof *m->best);
}

/** Solves the problem that `options` states; what it finds goes into choice, its bound into bound. */
static eck_status solve_pair(market *m, const int64_t limits[2], eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_packing packing;

    ECK_TRY(ecki_knapsack(m->choice, &packing, m->pairs, m->count, limits, m->gap, err));
    m->bound = fmax(m->bound, packing.bound);
    keep_if_better(m);
done:
    return status;
}

/** The problem of two limits alone; -1 for the second: of one. */
static eck_status solve_two(market *m, int32_t first, int32_t second, eck_error *err)
{
    const int64_t limits[2] = { first < 0 ? -1 : m->limit[first],
                                second < 0 ? -1 : m->limit[second] };
    int64_t at = 0;

    for (int64_t g = 0; g < m->count; g++)
        for (int64_t i = 0; i < m->groups[g].count; i++) {
            const ecki_offer *o = &m->groups[g].list[i];
            m->options[at++] = (ecki_option){
                o->damage, { o->cost[first < 0 ? 0 : first], second < 0 ? 0 : o->cost[second] }
            };
        }
    return solve_pair(m, limits, err);
}

/** sum over limits of weight (cost - least of its group) / room, in units; rounded down, so that it stays a relaxation. */
static int64_t surrogate(const market *m, int64_t g, const ecki_offer *o, const double *weight)
{
    double sum = 0;

    for (int32_t i = 0; i < m->limited; i++) {
        const int32_t c = m->given[i];
        const double above = (double)(o->cost[c] - m->floors[g * ECKI_COSTS + c]);
        sum += weight[i] * fmin(4.0, above / fmax(1.0, (double)(m->limit[c] - m->least[c])));
    }
    return (int64_t)floor(sum * UNITS);
}

/** One relaxation: all limits added up. */
static eck_status solve_surrogate(market *m, const double *weight, eck_error *err)
{
    const int64_t limits[2] = { UNITS, -1 };
    int64_t at = 0;

    for (int64_t g = 0; g < m->count; g++)
        for (int64_t i = 0; i < m->groups[g].count; i++) {
            const ecki_offer *o = &m->groups[g].list[i];
            m->options[at++] = (ecki_option){ o->damage, { surrogate(m, g, o, weight), 0 } };
        }
    return solve_pair(m, limits, err);
}

/** What an exchange in one group makes of sums. */
static void exchange(int64_t cost[ECKI_COSTS], const ecki_bargain *sum, const ecki_offer *from,
                     const ecki_offer *to)
{
    for (int c = 0; c < ECKI_COSTS; c++)
        cost[c] = ecki_add_saturated(sum->cost[c] - from->cost[c], to->cost[c]);
}

/** One exchange: while limits are broken, the one that mends most for the damage it adds; then the one that saves most
 *  damage. False: there is none. */
static bool improve(market *m)
{
    const ecki_bargain sum = sum_up(m, m->choice);
    const double broken = excess(m, sum.cost);
    double most = 0;
    int64_t group = -1, offer = -1;

    for (int64_t g = 0; g < m->count; g++)
        for (int64_t i = 0; i < m->groups[g].count; i++) {
            const ecki_offer *from = taken(m, m->choice, g), *to = &m->groups[g].list[i];
            int64_t cost[ECKI_COSTS];
            exchange(cost, &sum, from, to);
            const double left = excess(m, cost), worse = to->damage - from->damage;
            // Damage that falls with the excess is as good as it gets; the smallest number stands for none.
            const double gain = broken > 0 ? (broken - left) / fmax(worse, 1e-300)
                                : left > 0 ? 0
                                           : -worse;
            if (gain > most) {
                most = gain;
                group = g;
                offer = i;
            }
        }
    if (group >= 0) m->choice[group] = offer;
    return group >= 0;
}

static void repair(market *m)
{
    for (int64_t n = 0; n < REPAIRS_A_GROUP * m->count && improve(m); n++) {}
    keep_if_better(m);
}

/** Weights move to the limits that choices break, by ever smaller steps. */
static eck_status solve_all(market *m, eck_error *err)
{
    eck_status status = ECK_OK;
    double weight[ECKI_COSTS];

    for (int32_t i = 0; i < m->limited; i++)
        weight[i] = 1.0 / m->limited;
    for (int round = 0; round < ROUNDS; round++) {
        ECK_TRY(solve_surrogate(m, weight, err));
        const ecki_bargain sum = sum_up(m, m->choice);
        if (excess(m, sum.cost) <= 0) break; // the relaxation's own choice: nothing is milder
        double total = 0;
        for (int32_t i = 0; i < m->limited; i++) {
            const int32_t c = m->given[i];
            const double over = (double)(sum.cost[c] - m->least[c]) /
                                    fmax(1.0, (double)(m->limit[c] - m->least[c])) -
                                1.0;
            weight[i] *= exp(fmax(-2.0, fmin(2.0, over)) / sqrt(1.0 + round));
            total += weight[i];
        }
        for (int32_t i = 0; i < m->limited; i++)
            weight[i] /= total;
        repair(m);
    }
done:
    return status;
}

/** Any number of limits: pairs first. */
static eck_status solve(market *m, eck_error *err)
{
    eck_status status = ECK_OK;

    if (m->limited <= 2)
        return solve_two(m, m->limited > 0 ? m->given[0] : -1, m->limited > 1 ? m->given[1] : -1,
                         err);
    for (int32_t i = 0; i < m->limited; i++)
        for (int32_t j = i + 1; j < m->limited; j++) {
            ECK_TRY(solve_two(m, m->given[i], m->given[j], err));
            if (m->damage - m->bound <= m->gap * m->bound) goto done;
            repair(m);
        }
    ECK_TRY(solve_all(m, err));
    ECK_REQUIRE(isfinite(m->damage), ECK_E_RANGE, -1,
                "no choice found that keeps all %d limits at once", m->limited);
done:
    return status;
}

static eck_status market_init(market *m, const int64_t limits[ECKI_COSTS], eck_error *err)
{
    eck_status status = ECK_OK;
    int64_t total = 0;

    for (int64_t g = 0; g < m->count; g++)
        total = ecki_add_saturated(total, m->groups[g].count);
    ECK_ALLOC(m->options, total);
    ECK_ALLOC(m->pairs, m->count);
    ECK_ALLOC(m->choice, m->count);
    ECK_ALLOC(m->best, m->count);
    ECK_ALLOC(m->floors, m->count * ECKI_COSTS);
    total = 0;
    for (int64_t g = 0; g < m->count; g++) {
        m->pairs[g] = (ecki_group){ m->options + total, m->groups[g].count };
        total += m->groups[g].count;
    }
    for (int c = 0; c < ECKI_COSTS; c++) {
        m->limit[c] = limits[c];
        ECK_REQUIRE(limits[c] >= -1, ECK_E_RANGE, -1, "a limit is below 0");
        if (limits[c] >= 0) m->given[m->limited++] = c;
    }
done:
    return status;
}

/** The least each cost can be; a limit below it cannot be kept. */
static eck_status find_least(market *m, ecki_bargain *out, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_bargain sum = { 0.0, 0.0, { 0 } };

    for (int64_t g = 0; g < m->count; g++) {
        ECK_REQUIRE(m->groups[g].count >= 1, ECK_E_RANGE, g, "group %lld has no option",
                    (long long)g);
        for (int c = 0; c < ECKI_COSTS; c++) {
            int64_t least = INT64_MAX;
            for (int64_t i = 0; i < m->groups[g].count; i++)
                least = ecki_min(least, m->groups[g].list[i].cost[c]);
            ECK_REQUIRE(least >= 0, ECK_E_RANGE, g, "a cost of group %lld is negative",
                        (long long)g);
            m->floors[g * ECKI_COSTS + c] = least;
            sum.cost[c] = ecki_add_saturated(sum.cost[c], least);
        }
    }
    memcpy(m->least, sum.cost, sizeof m->least);
    for (int32_t i = 0; i < m->limited; i++) {
        const int32_t c = m->given[i];
        if (m->limit[c] >= sum.cost[c]) continue;
        *out = sum;
        ECK_REQUIRE(false, ECK_E_RANGE, -1, "limit %lld is below the least possible cost, %lld",
                    (long long)m->limit[c], (long long)sum.cost[c]);
    }
done:
    return status;
}

static void market_clear(market *m)
{
    ecki_free(m->floors);
    ecki_free(m->options);
    ecki_free(m->pairs);
    ecki_free(m->choice);
    ecki_free(m->best);
}

eck_status ecki_knapsack_limits(int64_t *choice_out, ecki_bargain *out, const ecki_offers *groups,
                                int64_t count, const int64_t limits[ECKI_COSTS], double gap,
                                eck_error *err)
{
    eck_status status = ECK_OK;
    market m = { .groups = groups, .count = count, .gap = gap, .damage = INFINITY };

    ECK_TRY(market_init(&m, limits, err));
    ECK_TRY(find_least(&m, out, err));
    ECK_TRY(solve(&m, err));
    memcpy(choice_out, m.best, (size_t)count * sizeof *choice_out);
    *out = sum_up(&m, m.best);
    out->bound = fmin(m.bound, out->damage);
done:
    market_clear(&m);
    return status;
}
