/**
 * The multiple-choice knapsack, first half: reduction, multipliers, greedy filling.
 *
 * Costs are counted from the cheapest option of their group, and what does not fit alone is
 * dropped, so that sums stay comparable with what is left of a limit. For multipliers l >= 0 the
 * Lagrangian L(l) = sum over groups of min(damage + l . cost) - l . room is a lower bound of the
 * optimum. With one limit its minimiser walks down the lower hull of every group as l rises; the
 * least l whose minimiser fits is found by bisection over the doubles themselves, which ends at
 * neighbours. With two limits the same is done along rays, cost = (1 - t) cost[0] / room[0] + t
 * cost[1] / room[1], and t is bisected: a ray whose minimiser breaks limit 1 gives it too little
 * weight.
 */
#include "model/knapsack.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "model/knapsack_search.h"

enum { RAY_STEPS = 24 };

/** A vertex of a lower hull. */
struct vertex {
    double cost; /**< along the ray */
    double steep; /**< damage saved per cost by going to the next vertex; 0 for the last */
    int64_t item;
};

/** The hulls of all groups along one ray: vertices first[g] .. first[g] + count[g] by rising cost,
 * falling steep. */
struct hulls {
    struct vertex *vertices;
    int64_t *first, *count;
    int64_t *choice; /**< of the multiplier last tried */
    double weight[2]; /**< of the two costs along the ray */
};

/** Sums over a choice. */
struct sums {
    double damage;
    int64_t cost[2];
};

// ---- what is given

/** Refuses numbers the rest cannot work with. */
static eck_status check_group(const ecki_group *group, int64_t g, eck_error *err)
{
    eck_status status = ECK_OK;

    ECK_REQUIRE(group->count >= 1, ECK_E_RANGE, g, "group %lld has no option", (long long)g);
    for (int64_t i = 0; i < group->count; i++) {
        const ecki_option *o = &group->options[i];
        ECK_REQUIRE(isfinite(o->damage) && o->damage >= 0.0, ECK_E_RANGE, g,
                    "damage %g of option %lld of group %lld is not a finite number >= 0", o->damage,
                    (long long)i, (long long)g);
        ECK_REQUIRE(o->cost[0] >= 0 && o->cost[1] >= 0, ECK_E_RANGE, g,
                    "a cost of option %lld of group %lld is negative", (long long)i, (long long)g);
    }
done:
    return status;
}

static int64_t least_cost(const ecki_group *group, int which)
{
    int64_t least = INT64_MAX;

    for (int64_t i = 0; i < group->count; i++)
        least = ecki_min(least, group->options[i].cost[which]);
    return least;
}

/** Option of least damage, the cheapest of equals. */
static int64_t mildest_option(const ecki_group *group)
{
    const ecki_option *best = &group->options[0];

    for (int64_t i = 1; i < group->count; i++) {
        const ecki_option *o = &group->options[i];
        const bool cheaper =
            o->cost[0] != best->cost[0] ? o->cost[0] < best->cost[0] : o->cost[1] < best->cost[1];
        if (o->damage < best->damage || (o->damage == best->damage && cheaper)) best = o;
    }
    return best - group->options;
}

/** What a choice of options adds up to. */
static ecki_packing packing_of(const int64_t *choice, const ecki_group *groups, int64_t count)
{
    ecki_packing sum = { 0.0, 0.0, { 0, 0 } };

    for (int64_t g = 0; g < count; g++) {
        const ecki_option *o = &groups[g].options[choice[g]];
        sum.damage += o->damage;
        for (int d = 0; d < 2; d++)
            sum.cost[d] = ecki_add_saturated(sum.cost[d], o->cost[d]);
    }
    return sum;
}

// ---- reduction

/** By cost[0], cost[1], damage, index. */
static int compare_items(const void *left, const void *right)
{
    const ecki_item *a = left;
    const ecki_item *b = right;

    for (int d = 0; d < 2; d++)
        if (a->cost[d] != b->cost[d]) return a->cost[d] < b->cost[d] ? -1 : 1;
    if (a->damage != b->damage) return a->damage < b->damage ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

/** Sorts, unless the items come sorted, as curves do. */
static void sort_items(ecki_item *items, int64_t count)
{
    for (int64_t i = 1; i < count; i++)
        if (compare_items(&items[i - 1], &items[i]) > 0) {
            qsort(items, (size_t)count, sizeof *items, compare_items);
            return;
        }
}

/** Puts the options of a group that fit and that none other beats into the shelf; items has room
 * for all. */
static void shelf_fill(ecki_shelf *shelf, const ecki_group *group, const ecki_pack *pack,
                       const int dimension[2], ecki_stairs *stairs)
{
    const int64_t least[2] = { least_cost(group, dimension[0]), least_cost(group, dimension[1]) };
    ecki_item *items = shelf->items;
    int64_t fitting = 0;

    for (int64_t i = 0; i < group->count; i++) {
        const ecki_option *o = &group->options[i];
        ecki_item item = { o->damage, { 0, 0 }, i };
        for (int d = 0; d < pack->limits; d++)
            item.cost[d] = o->cost[dimension[d]] - least[d];
        if (item.cost[0] <= pack->room[0] && item.cost[1] <= pack->room[1]) items[fitting++] = item;
    }
    sort_items(items, fitting);
    stairs->count = 0;
    for (int64_t i = 0; i < fitting; i++)
        if (ecki_stairs_offer(stairs, items[i].cost[1], items[i].damage))
            items[shelf->count++] = items[i];
}

static void pack_clear(ecki_pack *pack)
{
    if (pack->shelves) ecki_free(pack->shelves[0].items);
    ecki_free(pack->shelves);
    memset(pack, 0, sizeof *pack);
}

/** Makes the reduced problem; cost d of the pack is cost dimension[d] of the options. room and
 * limits are set. */
static eck_status pack_init(ecki_pack *pack, const ecki_group *groups, int64_t count,
                            const int dimension[2], eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_stairs stairs = { NULL, NULL, 0 };
    ecki_item *items = NULL;
    int64_t total = 0, most = 0;

    for (int64_t g = 0; g < count; g++) {
        total = ecki_add_saturated(total, groups[g].count);
        most = ecki_max(most, groups[g].count);
    }
    ECK_ALLOC(pack->shelves, count);
    ECK_ALLOC_RAW(items, total);
    pack->shelves[0].items = items;
    pack->count = count;
    ECK_TRY(ecki_stairs_init(&stairs, most, err));
    for (int64_t g = 0; g < count; g++) {
        pack->shelves[g].items = items;
        shelf_fill(&pack->shelves[g], &groups[g], pack, dimension, &stairs);
        ECK_REQUIRE(pack->shelves[g].count > 0, ECK_E_RANGE, g,
                    "no option of group %lld fits both limits", (long long)g);
        items += pack->shelves[g].count;
    }
done:
    ecki_stairs_clear(&stairs);
    return status;
}

// ---- hulls

static void hulls_clear(struct hulls *hulls)
{
    ecki_free(hulls->vertices);
    ecki_free(hulls->first);
    ecki_free(hulls->count);
    ecki_free(hulls->choice);
}

static eck_status hulls_init(struct hulls *hulls, const ecki_pack *pack, eck_error *err)
{
    eck_status status = ECK_OK;
    int64_t total = 0;

    ECK_ALLOC(hulls->first, pack->count);
    ECK_ALLOC(hulls->count, pack->count);
    ECK_ALLOC(hulls->choice, pack->count);
    for (int64_t g = 0; g < pack->count; g++) {
        hulls->first[g] = total;
        total += pack->shelves[g].count;
    }
    ECK_ALLOC_RAW(hulls->vertices, total);
done:
    return status;
}

static int compare_vertices(const void *left, const void *right)
{
    const struct vertex *a = left;
    const struct vertex *b = right;

    if (a->cost != b->cost) return a->cost < b->cost ? -1 : 1;
    if (a->steep != b->steep) return a->steep < b->steep ? -1 : 1;
    return a->item < b->item ? -1 : a->item > b->item;
}

/** All items of a shelf by rising cost along the ray, then damage (which waits in `steep`). */
static void order_items(struct vertex *vertices, const ecki_shelf *shelf, const double weight[2])
{
    bool sorted = true;

    for (int64_t i = 0; i < shelf->count; i++) {
        const ecki_item *item = &shelf->items[i];
        vertices[i].cost = weight[0] * (double)item->cost[0] + weight[1] * (double)item->cost[1];
        vertices[i].steep = item->damage;
        vertices[i].item = i;
        if (i > 0 && compare_vertices(&vertices[i - 1], &vertices[i]) > 0) sorted = false;
    }
    if (!sorted) qsort(vertices, (size_t)shelf->count, sizeof *vertices, compare_vertices);
}

/** Damage saved per cost from one vertex to another that is dearer and milder. */
static double steepness(const ecki_shelf *shelf, const struct vertex *from, const struct vertex *to)
{
    const double saved = shelf->items[from->item].damage - shelf->items[to->item].damage;

    return fmin(saved / (to->cost - from->cost), DBL_MAX);
}

/** Keeps the vertices of the lower hull; returns how many. */
static int64_t hull_of(struct vertex *vertices, const ecki_shelf *shelf, const double weight[2])
{
    int64_t kept = 0;

    order_items(vertices, shelf, weight);
    for (int64_t i = 0; i < shelf->count; i++) {
        struct vertex next = vertices[i];
        if (kept > 0) {
            const ecki_item *last = &shelf->items[vertices[kept - 1].item];
            if (shelf->items[next.item].damage >= last->damage) continue;
        }
        while (kept > 1 && steepness(shelf, &vertices[kept - 1], &next) >=
                               steepness(shelf, &vertices[kept - 2], &vertices[kept - 1]))
            kept--;
        next.steep = 0.0;
        if (kept > 0) vertices[kept - 1].steep = steepness(shelf, &vertices[kept - 1], &next);
        vertices[kept++] = next;
    }
    return kept;
}

static void hulls_build(struct hulls *hulls, const ecki_pack *pack, const double weight[2])
{
    memcpy(hulls->weight, weight, sizeof hulls->weight);
    for (int64_t g = 0; g < pack->count; g++)
        hulls->count[g] = hull_of(hulls->vertices + hulls->first[g], &pack->shelves[g], weight);
}

// ---- multipliers

static struct sums sum_choice(const ecki_pack *pack, const int64_t *choice)
{
    struct sums sums = { 0.0, { 0, 0 } };

    for (int64_t g = 0; g < pack->count; g++) {
        const ecki_item *item = &pack->shelves[g].items[choice[g]];
        sums.damage += item->damage;
        for (int d = 0; d < 2; d++)
            sums.cost[d] = ecki_add_saturated(sums.cost[d], item->cost[d]);
    }
    return sums;
}

static bool fits(const ecki_pack *pack, const int64_t cost[2])
{
    return cost[0] <= pack->room[0] && cost[1] <= pack->room[1];
}

/** The minimiser of damage + l . cost: in every group as many steps down the hull as save more than
 * l per cost. */
static struct sums minimise(struct hulls *hulls, const ecki_pack *pack, double multiplier)
{
    for (int64_t g = 0; g < pack->count; g++) {
        const struct vertex *vertices = hulls->vertices + hulls->first[g];
        int64_t low = 0, high = hulls->count[g] - 1;
        while (low < high) {
            const int64_t middle = low + (high - low) / 2;
            if (vertices[middle].steep > multiplier)
                low = middle + 1;
            else
                high = middle;
        }
        hulls->choice[g] = vertices[low].item;
    }
    return sum_choice(pack, hulls->choice);
}

/** The least double >= start whose minimiser fits, by the sum along the ray or by each limit. */
static double bisect(struct hulls *hulls, const ecki_pack *pack, double start, bool each)
{
    const double *w = hulls->weight;
    const double room = w[0] * (double)pack->room[0] + w[1] * (double)pack->room[1];
    double most = start;
    int64_t low, high; // bits of doubles >= 0 are ordered as the doubles are

    for (int64_t g = 0; g < pack->count; g++)
        most = fmax(most, hulls->vertices[hulls->first[g]].steep);
    memcpy(&low, &start, sizeof low);
    memcpy(&high, &most, sizeof high);
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        double multiplier;
        memcpy(&multiplier, &middle, sizeof multiplier);
        const struct sums sums = minimise(hulls, pack, multiplier);
        const double along = w[0] * (double)sums.cost[0] + w[1] * (double)sums.cost[1];
        const bool inside = each || pack->limits == 1 ? fits(pack, sums.cost) : along <= room;
        if (inside)
            high = middle;
        else
            low = middle + 1;
    }
    memcpy(&most, &high, sizeof most);
    return most;
}

/** Takes over what one multiplier shows: the Lagrangian's value, and the minimiser if it fits. */
static void learn(ecki_standing *standing, const ecki_pack *pack, const struct hulls *hulls,
                  double multiplier, struct sums sums)
{
    const double m[2] = { multiplier * hulls->weight[0], multiplier * hulls->weight[1] };
    double value = sums.damage, size = sums.damage;

    for (int d = 0; d < pack->limits; d++) {
        value += m[d] * (double)(sums.cost[d] - pack->room[d]);
        size += m[d] * ((double)sums.cost[d] + (double)pack->room[d]);
    }
    // Each group's minimum and each of count + 4 additions errs by a few roundings of what is
    // added.
    const double margin = (double)(pack->count + 16) * DBL_EPSILON * size;
    if (isfinite(margin) && value - margin > standing->value - standing->margin) {
        standing->value = value;
        standing->margin = margin;
        memcpy(standing->multiplier, m, sizeof m);
        standing->bound = fmax(standing->bound, value - margin);
    }
    if (fits(pack, sums.cost) && sums.damage < standing->damage) {
        standing->damage = sums.damage;
        memcpy(standing->choice, hulls->choice, (size_t)pack->count * sizeof *hulls->choice);
    }
}

/** Bound and choice along one ray. Returns the limit that its minimiser breaks, -1 if none. */
static int solve_ray(ecki_standing *standing, const ecki_pack *pack, struct hulls *hulls,
                     const double weight[2])
{
    hulls_build(hulls, pack, weight);
    const double dual = bisect(hulls, pack, 0.0, false);
    const struct sums sums = minimise(hulls, pack, dual);
    learn(standing, pack, hulls, dual, sums);
    if (fits(pack, sums.cost)) return -1;
    const double primal = bisect(hulls, pack, dual, true);
    learn(standing, pack, hulls, primal, minimise(hulls, pack, primal));
    // Relative overshoot decides; a minimiser within the ray's room can break only one limit, up to
    // rounding.
    const double over[2] = { (double)sums.cost[0] - (double)pack->room[0],
                             (double)sums.cost[1] - (double)pack->room[1] };
    return over[0] * fmax(1.0, (double)pack->room[1]) > over[1] * fmax(1.0, (double)pack->room[0])
               ? 0
               : 1;
}

/** All rays: one for one limit; for two, each alone (often the other then holds by itself), then
 * between them. */
static void solve_rays(ecki_standing *standing, const ecki_pack *pack, struct hulls *hulls)
{
    const double unit[2] = { 1.0 / fmax(1.0, (double)pack->room[0]),
                             1.0 / fmax(1.0, (double)pack->room[1]) };
    const double ends[2][2] = { { 1.0, 0.0 }, { 0.0, 1.0 } };
    double low = 0.0, high = 1.0;

    if (solve_ray(standing, pack, hulls, ends[0]) < 0 || pack->limits == 1) return;
    if (solve_ray(standing, pack, hulls, ends[1]) < 0) return;
    for (int step = 0; step < RAY_STEPS; step++) {
        const double t = 0.5 * (low + high);
        const double weight[2] = { (1.0 - t) * unit[0], t * unit[1] };
        const int broken = solve_ray(standing, pack, hulls, weight);
        if (broken < 0) return;
        if (broken == 1)
            low = t;
        else
            high = t;
    }
}

// ---- the integer rest

/** Uses up what is left of the limits: the largest saving that fits, again and again. */
static void fill(ecki_standing *standing, const ecki_pack *pack)
{
    struct sums sums = sum_choice(pack, standing->choice);

    for (;;) {
        double most = 0.0;
        int64_t group = -1, item = -1;
        for (int64_t g = 0; g < pack->count; g++) {
            const ecki_shelf *shelf = &pack->shelves[g];
            const ecki_item *now = &shelf->items[standing->choice[g]];
            const int64_t room[2] = { pack->room[0] - sums.cost[0] + now->cost[0],
                                      pack->room[1] - sums.cost[1] + now->cost[1] };
            const int64_t i = ecki_shelf_mildest(shelf, pack->limits, room);
            if (now->damage - shelf->items[i].damage > most) {
                most = now->damage - shelf->items[i].damage;
                group = g;
                item = i;
            }
        }
        if (group < 0) break;
        standing->choice[group] = item;
        sums = sum_choice(pack, standing->choice);
    }
    standing->damage = sums.damage;
}

static bool close_enough(const ecki_standing *standing, double gap)
{
    return standing->damage - standing->bound <= gap * standing->bound;
}

/** Solves a problem that has at least one limit and is not trivial. */
static eck_status solve(ecki_standing *standing, const ecki_pack *pack, double gap, eck_error *err)
{
    eck_status status = ECK_OK;
    struct hulls hulls = { 0 };

    ECK_TRY(hulls_init(&hulls, pack, err));
    solve_rays(standing, pack, &hulls);
    hulls_clear(&hulls);
    memset(&hulls, 0, sizeof hulls);
    if (isfinite(standing->damage)) fill(standing, pack);
    if (!close_enough(standing, gap)) ECK_TRY(ecki_knapsack_search(standing, pack, gap, err));
    ECK_REQUIRE(isfinite(standing->damage), ECK_E_RANGE, -1,
                "no choice found that keeps both limits at once");
done:
    hulls_clear(&hulls);
    return status;
}

/** What was asked, and the room the limits leave above the least costs; -1 no limit. */
struct question {
    const ecki_group *groups;
    int64_t count;
    int64_t room[2];
    double gap;
};

/** Checks the numbers and finds the room; *out is written only if there is none. */
static eck_status measure(struct question *question, ecki_packing *out, const int64_t limits[2],
                          eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_packing least = { 0.0, 0.0, { 0, 0 } };

    for (int64_t g = 0; g < question->count; g++) {
        ECK_TRY(check_group(&question->groups[g], g, err));
        for (int d = 0; d < 2; d++)
            least.cost[d] = ecki_add_saturated(least.cost[d], least_cost(&question->groups[g], d));
    }
    for (int d = 0; d < 2; d++) {
        question->room[d] = limits[d] < 0 ? -1 : limits[d] - least.cost[d];
        if (limits[d] < 0 || question->room[d] >= 0) continue;
        *out = least;
        ECK_REQUIRE(false, ECK_E_RANGE, -1, "limit %lld is below the least possible cost, %lld",
                    (long long)limits[d], (long long)least.cost[d]);
    }
done:
    return status;
}

/** All but the case in which every group may have its mildest option. */
static eck_status choose(int64_t *choice, double *bound_out, const struct question *question,
                         eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_pack pack = { NULL, 0, { 0, 0 }, 0 };
    ecki_standing standing = { choice, INFINITY, 0.0, { 0.0, 0.0 }, 0.0, 0.0 };
    int dimension[2] = { 0, 1 };

    for (int d = 0; d < 2; d++)
        if (question->room[d] >= 0) {
            dimension[pack.limits] = d;
            pack.room[pack.limits++] = question->room[d];
        }
    ECK_TRY(pack_init(&pack, question->groups, question->count, dimension, err));
    ECK_TRY(solve(&standing, &pack, question->gap, err));
    for (int64_t g = 0; g < pack.count; g++)
        choice[g] = pack.shelves[g].items[choice[g]].index;
    *bound_out = standing.bound;
done:
    pack_clear(&pack);
    return status;
}

eck_status ecki_knapsack(int64_t *choice_out, ecki_packing *out, const ecki_group *groups,
                         int64_t count, const int64_t limits[2], double gap, eck_error *err)
{
    eck_status status = ECK_OK;
    struct question question = { groups, count, { -1, -1 }, gap };
    int64_t *choice = NULL;
    double bound;
    ecki_packing packing;

    ECK_REQUIRE(limits[0] >= -1 && limits[1] >= -1, ECK_E_RANGE, -1, "a limit is below 0");
    ECK_REQUIRE(gap >= 0.0, ECK_E_RANGE, -1, "gap %g is below 0", gap);
    ECK_TRY(measure(&question, out, limits, err));
    ECK_ALLOC(choice, count);
    for (int64_t g = 0; g < count; g++)
        choice[g] = mildest_option(&groups[g]);
    packing = packing_of(choice, groups, count);
    bound = packing.damage;
    const bool over = (limits[0] >= 0 && packing.cost[0] > limits[0]) ||
                      (limits[1] >= 0 && packing.cost[1] > limits[1]);
    if (over) {
        ECK_TRY(choose(choice, &bound, &question, err));
        packing = packing_of(choice, groups, count);
    }
    packing.bound = fmin(bound, packing.damage);
    memcpy(choice_out, choice, (size_t)count * sizeof *choice);
    *out = packing;
done:
    ecki_free(choice);
    return status;
}
