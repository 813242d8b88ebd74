// The search behind the knapsack and what it is made of: staircases, shelves, and the search alone, from a standing that
// knows nothing, so that it has to find everything by itself.
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"
#include "base/random.h"
#include "memory/failing_allocator.h"
#include "model/knapsack_search.h"

static uint64_t draws;

static int64_t draw(int64_t n)
{
    return (int64_t)(ecki_random_uniform(13, 1, draws++) * (double)n);
}

static void test_saturation(void **state)
{
    (void)state;
    assert_int_equal(ecki_add_saturated(3, 4), 7);
    assert_int_equal(ecki_add_saturated(INT64_MAX - 3, 3), INT64_MAX);
    assert_int_equal(ecki_add_saturated(INT64_MAX - 3, 4), INT64_MAX);
    assert_int_equal(ecki_add_saturated(INT64_MAX, INT64_MAX), INT64_MAX);
}

/** A staircase refuses exactly what something offered before matches in both, and stays a staircase. */
static void test_stairs(void **state)
{
    (void)state;
    enum { OFFERS = 60 };

    for (int round = 0; round < 500; round++) {
        ecki_stairs stairs = { NULL, NULL, 0 };
        int64_t cost[OFFERS];
        double key[OFFERS];
        assert_int_equal(ecki_stairs_init(&stairs, OFFERS, NULL), ECK_OK);
        for (int n = 0; n < OFFERS; n++) {
            cost[n] = draw(12);
            key[n] = (double)draw(12);
            bool beaten = false;
            for (int i = 0; i < n; i++)
                beaten = beaten || (cost[i] <= cost[n] && key[i] <= key[n]);
            assert_int_equal(ecki_stairs_offer(&stairs, cost[n], key[n]), !beaten);
            for (int64_t i = 1; i < stairs.count; i++)
                assert_true(stairs.cost[i - 1] < stairs.cost[i] &&
                            stairs.key[i - 1] > stairs.key[i]);
        }
        ecki_stairs_clear(&stairs);
    }
}

/** Shelves of random items; with one limit damage falls along them, as the reduction leaves it. */
struct problem {
    ecki_item items[8][8];
    ecki_shelf shelves[8];
    ecki_pack pack;
};

static void make_problem(struct problem *problem, int32_t limits)
{
    problem->pack = (ecki_pack){ problem->shelves, 1 + draw(5), { 0, 0 }, limits };
    for (int64_t g = 0; g < problem->pack.count; g++) {
        const int64_t count = 1 + draw(6);
        int64_t cost = 0;
        for (int64_t i = 0; i < count; i++) {
            problem->items[g][i] =
                (ecki_item){ (double)(count - i) + 0.5 * ecki_random_uniform(13, 2, draws++),
                             { cost, limits == 2 ? draw(20) : 0 },
                             i };
            cost += 1 + draw(9);
        }
        problem->shelves[g] = (ecki_shelf){ problem->items[g], count };
        problem->pack.room[0] += draw(cost);
        problem->pack.room[1] += limits == 2 ? draw(20) : 0;
    }
}

static void test_mildest(void **state)
{
    (void)state;
    for (int round = 0; round < 2000; round++) {
        struct problem problem;
        make_problem(&problem, 1 + round % 2);
        const ecki_shelf *shelf = &problem.shelves[0];
        const int64_t room[2] = { draw(40) - 2, problem.pack.limits == 2 ? draw(20) : 0 };
        double least = INFINITY;
        for (int64_t i = 0; i < shelf->count; i++)
            if (shelf->items[i].cost[0] <= room[0] && shelf->items[i].cost[1] <= room[1])
                least = fmin(least, shelf->items[i].damage);
        const int64_t found = ecki_shelf_mildest(shelf, problem.pack.limits, room);
        assert_true(found < 0 ? isinf(least) : shelf->items[found].damage == least);
    }
}

static double try_all(const ecki_pack *pack, int64_t g, double damage, int64_t first,
                      int64_t second)
{
    double best = INFINITY;

    if (first > pack->room[0] || second > pack->room[1]) return INFINITY;
    if (g == pack->count) return damage;
    for (int64_t i = 0; i < pack->shelves[g].count; i++) {
        const ecki_item *item = &pack->shelves[g].items[i];
        best = fmin(best, try_all(pack, g + 1, damage + item->damage, first + item->cost[0],
                                  second + item->cost[1]));
    }
    return best;
}

/** Multipliers 0 and no choice: the search must find the optimum, or that there is none. */
static void test_from_nothing(void **state)
{
    (void)state;
    int found = 0, none = 0;

    for (int round = 0; round < 5000; round++) {
        struct problem problem;
        int64_t choice[8], cost[2] = { 0, 0 };
        double damage = 0.0;
        make_problem(&problem, 1 + round % 2);
        ecki_standing standing = { choice, INFINITY, 0.0, { 0.0, 0.0 }, 0.0, 0.0 };
        assert_int_equal(ecki_knapsack_search(&standing, &problem.pack, 0.0, NULL), ECK_OK);
        const double optimum = try_all(&problem.pack, 0, 0.0, 0, 0);
        if (isinf(optimum)) {
            assert_true(isinf(standing.damage));
            none++;
            continue;
        }
        for (int64_t g = 0; g < problem.pack.count; g++) {
            damage += problem.shelves[g].items[choice[g]].damage;
            for (int d = 0; d < 2; d++)
                cost[d] += problem.shelves[g].items[choice[g]].cost[d];
        }
        const double slack = 32.0 * DBL_EPSILON * optimum; // sums of at most 5 in two orders
        assert_true(cost[0] <= problem.pack.room[0] && cost[1] <= problem.pack.room[1]);
        assert_true(fabs(damage - optimum) <= slack && fabs(standing.damage - optimum) <= slack);
        assert_true(standing.bound <= optimum + slack && standing.bound >= optimum - slack);
        found++;
    }
    printf("%d optima found, %d problems without a choice\n", found, none);
    assert_true(found > 1000 && none > 100);
}

/**
 * Lists that outgrow their size: damage falls as cost rises but for a little noise, so that hardly any partial choice
 * beats another. A planted choice without noise fills the room exactly and is the optimum; a bound above it would be
 * no bound.
 */
static void test_long_lists(void **state)
{
    (void)state;
    enum { SHELVES = 60, ITEMS = 4 };
    static ecki_item items[SHELVES][ITEMS];
    ecki_shelf shelves[SHELVES];
    int64_t choice[SHELVES] = { 0 }, cost = 0;
    ecki_pack pack = { shelves, SHELVES, { 0, 0 }, 1 };
    double most = 0.0, optimum = 0.0, damage = 0.0;

    for (int g = 0; g < SHELVES; g++) {
        const int64_t step = 300000 + draw(300000), planted = draw(ITEMS);
        for (int i = 0; i < ITEMS; i++) {
            items[g][i].cost[0] = i == 0 ? 0 : i * step + draw(100000);
            items[g][i].damage = 4.0 - 1e-6 * (double)items[g][i].cost[0];
            if (i == planted) continue;
            items[g][i].damage += 1e-3 * ecki_random_uniform(13, 3, draws++);
        }
        shelves[g] = (ecki_shelf){ items[g], ITEMS };
        most += items[g][0].damage;
        optimum += items[g][planted].damage;
        pack.room[0] += items[g][planted].cost[0];
    }
    ecki_standing standing = { choice, most, 0.0, { 0.0, 0.0 }, 0.0, 0.0 };
    assert_int_equal(ecki_knapsack_search(&standing, &pack, 0.0, NULL), ECK_OK);
    for (int g = 0; g < SHELVES; g++) {
        damage += items[g][choice[g]].damage;
        cost += items[g][choice[g]].cost[0];
    }
    const double slack = 4.0 * SHELVES * DBL_EPSILON * optimum;
    printf("cut lists: optimum %.6f, damage %.6f, bound %.6f\n", optimum, standing.damage,
           standing.bound);
    assert_true(cost <= pack.room[0]);
    assert_true(fabs(damage - standing.damage) <= slack && damage >= optimum - slack);
    assert_true(standing.bound <= optimum + slack);
    assert_true(standing.bound < standing.damage); // lists were cut, or this tests nothing
}

static eck_status search_scenario(void *self, eck_error *err)
{
    (void)self;
    draws = 4711;
    struct problem problem;
    int64_t choice[8];
    make_problem(&problem, 2);
    problem.pack.room[0] = problem.pack.room[1] = 30;
    ecki_standing standing = { choice, INFINITY, 0.0, { 0.0, 0.0 }, 0.0, 0.0 };
    return ecki_knapsack_search(&standing, &problem.pack, 0.0, err);
}

static void test_refused_memory(void **state)
{
    (void)state;
    fail_every_allocation("ecki_knapsack_search", search_scenario, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_saturation), cmocka_unit_test(test_stairs),
        cmocka_unit_test(test_mildest),    cmocka_unit_test(test_from_nothing),
        cmocka_unit_test(test_long_lists), cmocka_unit_test(test_refused_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
