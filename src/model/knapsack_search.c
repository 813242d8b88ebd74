/**
 * The multiple-choice knapsack, second half: the search among what the multipliers leave open.
 *
 * At multipliers l every item has a reduced damage r = damage + l . cost - (least such sum of its
 * group) >= 0, and a choice within the limits has damage = L(l) + sum of r + l . (room - cost). An
 * item, or a partial choice, whose L + sum of r + l . (what must stay unused) reaches the damage
 * already known can be given up; few survive when the gap is small. Groups are taken one by one,
 * those with the fewest items first; partial choices are kept only if none other is at most as dear
 * and at most as damaging. Lists that outgrow their size compare damages in cells: what is given up
 * then is worse by less than a cell for every group taken, which is subtracted from the bound.
 */
#include "model/knapsack_search.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"

enum {
    WORK = 200000000, // list entries made in all, roughly
    NODES = 4000000, // partial choices remembered
    LABELS_MOST = 65536,
    LABELS_LEAST = 256
};

/** A partial choice: sums over the groups taken, and where it came from. */
struct label {
    int64_t cost[2];
    double damage, reduced;
    int32_t node; /**< what it extends; once its group is done, itself */
    int32_t item; /**< of the group taken last */
};

/** Labels by rising cost[0], cost[1], damage. */
struct list {
    struct label *labels;
    int64_t count;
};

/** One decision, remembered to read the best choice back. */
struct node {
    int32_t before, item;
};

/** A group that is still open, and sums over it and all groups after it in the order of the search.
 */
struct core {
    int64_t shelf, base;
    int64_t count; /**< items not given up */
    int32_t *items;
    double *reduced;
    int64_t least[2], most[2]; /**< sums of least and most costs from here on */
    int64_t base_cost[2]; /**< sums over the base items from here on */
    double base_damage;
};

struct search {
    ecki_standing *standing;
    const ecki_pack *pack;
    struct core *cores; /**< [count + 1], the last one all zeros */
    int64_t count;
    int32_t *items; /**< of all cores */
    double *reduced;
    int64_t *base; /**< [pack count] minimiser of the Lagrangian */
    struct node *nodes;
    int64_t node_count, node_room;
    int64_t cap; /**< longest list */
    double gap;
    double cell, loss; /**< width of the cells of damage, 0 none; what they may have cost so far */
    double pruned; /**< least bound of anything given up */
    bool truncated; /**< labels were given up without a bound */
    int64_t best_node, best_core,
        best_item; /**< best choice: nodes, then item of best_core if >= 0, then base */
    bool found;
    const struct list *from; /**< the list being extended, with the items of `core` */
    const struct core *core;
};

// ---- small helpers

int64_t ecki_add_saturated(int64_t a, int64_t b)
{
    return a > INT64_MAX - b ? INT64_MAX : a + b;
}

eck_status ecki_stairs_init(ecki_stairs *stairs, int64_t count, eck_error *err)
{
    eck_status status = ECK_OK;

    ECK_ALLOC_RAW(stairs->cost, count);
    ECK_ALLOC_RAW(stairs->key, count);
    stairs->count = 0;
done:
    return status;
}

void ecki_stairs_clear(ecki_stairs *stairs)
{
    ecki_free(stairs->cost);
    ecki_free(stairs->key);
    memset(stairs, 0, sizeof *stairs);
}

bool ecki_stairs_offer(ecki_stairs *stairs, int64_t cost, double key)
{
    int64_t low = 0, high = stairs->count; // low: first step dearer than cost

    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (stairs->cost[middle] <= cost)
            low = middle + 1;
        else
            high = middle;
    }
    if (low > 0 && stairs->key[low - 1] <= key) return false;
    int64_t first = low; // steps first .. last - 1 are beaten by the new one
    if (low > 0 && stairs->cost[low - 1] == cost) first--;
    int64_t last = low;
    while (last < stairs->count && stairs->key[last] >= key)
        last++;
    const size_t behind = (size_t)(stairs->count - last);
    memmove(stairs->cost + first + 1, stairs->cost + last, behind * sizeof *stairs->cost);
    memmove(stairs->key + first + 1, stairs->key + last, behind * sizeof *stairs->key);
    stairs->cost[first] = cost;
    stairs->key[first] = key;
    stairs->count += 1 + first - last;
    return true;
}

/** With one limit the last item that fits; damage falls along the shelf. */
static int64_t last_within(const ecki_shelf *shelf, int64_t room)
{
    int64_t low = 0, high = shelf->count;

    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (shelf->items[middle].cost[0] <= room)
            low = middle + 1;
        else
            high = middle;
    }
    return low - 1;
}

int64_t ecki_shelf_mildest(const ecki_shelf *shelf, int32_t limits, const int64_t room[2])
{
    int64_t best = -1;

    if (limits == 1) return last_within(shelf, room[0]);
    for (int64_t i = 0; i < shelf->count && shelf->items[i].cost[0] <= room[0]; i++)
        if (shelf->items[i].cost[1] <= room[1] &&
            (best < 0 || shelf->items[i].damage < shelf->items[best].damage))
            best = i;
    return best;
}

static double weighed(const ecki_standing *standing, const ecki_item *item)
{
    return item->damage + standing->multiplier[0] * (double)item->cost[0] +
           standing->multiplier[1] * (double)item->cost[1];
}

/** What a bound must stay below to be worth following; half the gap is left to the cells. */
static double threshold(const struct search *search)
{
    return search->standing->damage / (1.0 + 0.5 * search->gap);
}

// ---- setting up

/** The items of one shelf that the multipliers leave open; the base item always. */
static void core_open(struct search *search, struct core *core, int64_t g)
{
    const ecki_standing *standing = search->standing;
    const ecki_shelf *shelf = &search->pack->shelves[g];
    int64_t base = 0;

    for (int64_t i = 1; i < shelf->count; i++)
        if (weighed(standing, &shelf->items[i]) < weighed(standing, &shelf->items[base])) base = i;
    const double least = weighed(standing, &shelf->items[base]);
    for (int64_t i = 0; i < shelf->count; i++) {
        const double reduced = weighed(standing, &shelf->items[i]) - least;
        const double low = standing->value + reduced;
        if (i != base && low >= threshold(search)) {
            search->pruned = fmin(search->pruned, low);
            continue;
        }
        core->items[core->count] = (int32_t)i;
        core->reduced[core->count++] = reduced;
    }
    core->shelf = g;
    core->base = search->base[g] = base;
}

static int compare_cores(const void *left, const void *right)
{
    const struct core *a = left;
    const struct core *b = right;

    if (a->count != b->count) return a->count < b->count ? -1 : 1;
    return a->shelf < b->shelf ? -1 : a->shelf > b->shelf;
}

/** Sums from every core to the end. */
static void sum_backwards(struct search *search)
{
    for (int64_t k = search->count - 1; k >= 0; k--) {
        struct core *core = &search->cores[k];
        const struct core *next = core + 1;
        const ecki_item *items = search->pack->shelves[core->shelf].items;
        core->base_damage = next->base_damage + items[core->base].damage;
        for (int d = 0; d < 2; d++) {
            int64_t least = INT64_MAX, most = 0;
            for (int64_t j = 0; j < core->count; j++) {
                least = ecki_min(least, items[core->items[j]].cost[d]);
                most = ecki_max(most, items[core->items[j]].cost[d]);
            }
            core->least[d] = ecki_add_saturated(next->least[d], least);
            core->most[d] = ecki_add_saturated(next->most[d], most);
            core->base_cost[d] = ecki_add_saturated(next->base_cost[d], items[core->base].cost[d]);
        }
    }
}

/** Opens every group, orders them, and sets the sizes of the search. */
static eck_status search_init(struct search *search, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_pack *pack = search->pack;
    int64_t total = 0, open = 0;

    for (int64_t g = 0; g < pack->count; g++)
        total += pack->shelves[g].count;
    ECK_REQUIRE(total <= INT32_MAX, ECK_E_RANGE, -1, "%lld options are too many to search",
                (long long)total);
    ECK_ALLOC(search->cores, pack->count + 1);
    ECK_ALLOC(search->base, pack->count);
    ECK_ALLOC_RAW(search->items, total);
    ECK_ALLOC_RAW(search->reduced, total);
    for (int64_t g = 0; g < pack->count; g++) {
        struct core *core = &search->cores[g];
        core->items = search->items + open;
        core->reduced = search->reduced + open;
        core_open(search, core, g);
        open += core->count;
    }
    search->count = pack->count;
    qsort(search->cores, (size_t)search->count, sizeof *search->cores, compare_cores);
    sum_backwards(search);
    search->cap = ecki_min(WORK / open, NODES / pack->count);
    search->cap = ecki_max(LABELS_LEAST, ecki_min(search->cap, LABELS_MOST));
    if (isfinite(search->standing->damage))
        search->cell = 0.5 * search->gap * threshold(search) / (double)pack->count;
done:
    return status;
}

static void search_clear(struct search *search)
{
    ecki_free(search->cores);
    ecki_free(search->base);
    ecki_free(search->items);
    ecki_free(search->reduced);
    ecki_free(search->nodes);
}

// ---- lists

/** Whether a label can still lead to an improvement; `rest` sums the groups after it. */
static bool promising(struct search *search, const struct label *label, const struct core *rest)
{
    const ecki_standing *standing = search->standing;
    double low = standing->value + label->reduced;

    for (int d = 0; d < search->pack->limits; d++) {
        const int64_t room = search->pack->room[d] - label->cost[d];
        if (room < rest->least[d]) return false;
        if (room > rest->most[d]) low += standing->multiplier[d] * (double)(room - rest->most[d]);
    }
    if (low < threshold(search)) return true;
    search->pruned = fmin(search->pruned, low);
    return false;
}

/** Every label of the list with one more item; order stays. */
static eck_status extend(struct list *out, struct search *search, int64_t which, eck_error *err)
{
    eck_status status = ECK_OK;
    const struct core *core = search->core;
    const struct list *from = search->from;
    const ecki_item *item = &search->pack->shelves[core->shelf].items[core->items[which]];
    struct list list = { NULL, 0 };

    ECK_ALLOC_RAW(list.labels, from->count);
    for (int64_t i = 0; i < from->count; i++) {
        struct label label = from->labels[i];
        if (label.cost[0] > search->pack->room[0] - item->cost[0] ||
            label.cost[1] > search->pack->room[1] - item->cost[1])
            continue;
        label.cost[0] += item->cost[0];
        label.cost[1] += item->cost[1];
        label.damage += item->damage;
        label.reduced += core->reduced[which];
        label.item = core->items[which];
        if (promising(search, &label, core + 1)) list.labels[list.count++] = label;
    }
    *out = list;
done:
    return status;
}

static double key_of(const struct search *search, const struct label *label)
{
    return search->cell > 0.0 ? floor(label->damage / search->cell) : label->damage;
}

static bool comes_before(const struct label *a, const struct label *b)
{
    for (int d = 0; d < 2; d++)
        if (a->cost[d] != b->cost[d]) return a->cost[d] < b->cost[d];
    return a->damage <= b->damage;
}

/** Drops labels that another one matches in costs and cell of damage. */
static eck_status thin(struct list *list, const struct search *search, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_stairs stairs = { NULL, NULL, 0 };
    int64_t kept = 0;

    ECK_TRY(ecki_stairs_init(&stairs, list->count, err));
    for (int64_t i = 0; i < list->count; i++)
        if (ecki_stairs_offer(&stairs, list->labels[i].cost[1], key_of(search, &list->labels[i])))
            list->labels[kept++] = list->labels[i];
    list->count = kept;
done:
    ecki_stairs_clear(&stairs);
    return status;
}

/** Widens the cells until the list fits its size; drops labels only if one cell for all does not do
 * it. */
static eck_status shorten(struct list *list, struct search *search, eck_error *err)
{
    eck_status status = ECK_OK;
    double least = INFINITY, most = 0.0;

    for (int64_t i = 0; i < list->count; i++) {
        least = fmin(least, list->labels[i].damage);
        most = fmax(most, list->labels[i].damage);
    }
    while (list->count > search->cap && search->cell <= most - least) {
        search->cell = fmax(2.0 * search->cell, (most - least) / (double)search->cap);
        if (search->cell <= 0.0) break;
        ECK_TRY(thin(list, search, err));
    }
    while (list->count > search->cap) {
        for (int64_t i = 0; 2 * i < list->count; i++)
            list->labels[i] = list->labels[2 * i];
        list->count = (list->count + 1) / 2;
        search->truncated = true;
    }
done:
    return status;
}

/** Two lists as one; frees both. */
static eck_status merge(struct list *out, struct search *search, struct list *a, struct list *b,
                        eck_error *err)
{
    eck_status status = ECK_OK;
    struct list list = { NULL, 0 };
    int64_t i = 0, j = 0;

    ECK_ALLOC_RAW(list.labels, a->count + b->count);
    while (i < a->count || j < b->count) {
        const bool left =
            j == b->count || (i < a->count && comes_before(&a->labels[i], &b->labels[j]));
        list.labels[list.count++] = left ? a->labels[i++] : b->labels[j++];
    }
    ECK_TRY(thin(&list, search, err));
    if (list.count > search->cap) ECK_TRY(shorten(&list, search, err));
    *out = list;
    list.labels = NULL;
done:
    ecki_free(list.labels);
    ecki_free(a->labels);
    ecki_free(b->labels);
    a->labels = b->labels = NULL;
    return status;
}

/** All labels of the list with each of the items first .. last - 1, merged in halves. */
static eck_status extend_all(struct list *out, struct search *search, int64_t first, int64_t last,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    struct list low = { NULL, 0 }, high = { NULL, 0 };
    const int64_t middle = first + (last - first) / 2;

    if (last - first == 1) return extend(out, search, first, err);
    ECK_TRY(extend_all(&low, search, first, middle, err));
    ECK_TRY(extend_all(&high, search, middle, last, err));
    ECK_TRY(merge(out, search, &low, &high, err));
done:
    ecki_free(low.labels);
    ecki_free(high.labels);
    return status;
}

// ---- the search

/** Remembers a choice if it beats the best. */
static void offer(struct search *search, double damage, int64_t node, int64_t core, int64_t item)
{
    if (damage >= search->standing->damage) return;
    search->standing->damage = damage;
    search->best_node = node;
    search->best_core = core;
    search->best_item = item;
    search->found = true;
}

/** Completes a label with the base items of the groups after it. */
static void offer_base(struct search *search, const struct label *label, const struct core *rest)
{
    for (int d = 0; d < search->pack->limits; d++)
        if (rest->base_cost[d] > search->pack->room[d] - label->cost[d]) return;
    offer(search, label->damage + rest->base_damage, label->node, -1, -1);
}

static eck_status nodes_reserve(struct search *search, int64_t more, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t needed = search->node_count + more;

    if (needed > search->node_room) {
        const int64_t room = ecki_max(needed, 2 * search->node_room);
        struct node *nodes = ecki_realloc(search->nodes, room, sizeof *nodes);
        if (!nodes) return ecki_error_memory(err, ecki_bytes_of(room, sizeof *nodes));
        search->nodes = nodes;
        search->node_room = room;
    }
    return status;
}

/** Takes one group: all extensions of the list, each remembered as a node. */
static eck_status take_group(struct list *list, struct search *search, const struct core *core,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    struct list next = { NULL, 0 };

    search->from = list;
    search->core = core;
    ECK_TRY(extend_all(&next, search, 0, core->count, err));
    search->loss += search->cell;
    ECK_TRY(nodes_reserve(search, next.count, err));
    for (int64_t i = 0; i < next.count; i++) {
        struct label *label = &next.labels[i];
        search->nodes[search->node_count] = (struct node){ label->node, label->item };
        label->node = (int32_t)search->node_count++;
        offer_base(search, label, core + 1);
    }
    ecki_free(list->labels);
    *list = next;
    next.labels = NULL;
done:
    ecki_free(next.labels);
    return status;
}

/** The last group needs no list: each label takes the mildest item that fits. */
static void take_last(struct search *search, const struct list *list, int64_t last)
{
    const ecki_pack *pack = search->pack;
    const ecki_shelf *shelf = &pack->shelves[search->cores[last].shelf];

    for (int64_t i = 0; i < list->count; i++) {
        const struct label *label = &list->labels[i];
        const int64_t room[2] = { pack->room[0] - label->cost[0], pack->room[1] - label->cost[1] };
        const int64_t item = ecki_shelf_mildest(shelf, pack->limits, room);
        if (item >= 0)
            offer(search, label->damage + shelf->items[item].damage, label->node, last, item);
    }
}

/** Reads the best choice back into the standing. */
static void read_back(const struct search *search)
{
    int64_t *choice = search->standing->choice;
    int64_t depth = 0;

    for (int64_t g = 0; g < search->pack->count; g++)
        choice[g] = search->base[g];
    if (search->best_core >= 0) choice[search->cores[search->best_core].shelf] = search->best_item;
    for (int64_t n = search->best_node; n >= 0; n = search->nodes[n].before)
        depth++;
    for (int64_t n = search->best_node; n >= 0; n = search->nodes[n].before)
        choice[search->cores[--depth].shelf] = search->nodes[n].item;
}

/** All groups in turn. */
static eck_status run(struct search *search, eck_error *err)
{
    eck_status status = ECK_OK;
    struct list list = { NULL, 0 };

    ECK_ALLOC(list.labels, 1);
    list.labels[0].node = -1;
    list.count = 1;
    offer_base(search, &list.labels[0], search->cores);
    for (int64_t k = 0; k + 1 < search->count && list.count > 0; k++)
        ECK_TRY(take_group(&list, search, &search->cores[k], err));
    take_last(search, &list, search->count - 1);
done:
    ecki_free(list.labels);
    return status;
}

eck_status ecki_knapsack_search(ecki_standing *standing, const ecki_pack *pack, double gap,
                                eck_error *err)
{
    eck_status status = ECK_OK;
    struct search search = { .standing = standing,
                             .pack = pack,
                             .gap = gap,
                             .pruned = INFINITY,
                             .best_node = -1,
                             .best_core = -1,
                             .best_item = -1 };

    ECK_TRY(search_init(&search, err));
    ECK_TRY(run(&search, err));
    if (search.found) read_back(&search);
    if (!search.truncated) {
        const double low = fmin(standing->damage, search.pruned) - search.loss;
        // Reduced damages round as the Lagrangian does: a few roundings of the same sums.
        standing->bound = fmax(standing->bound, low - 4.0 * standing->margin);
    }
done:
    search_clear(&search);
    return status;
}
