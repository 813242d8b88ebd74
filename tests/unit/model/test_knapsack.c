// The knapsack against brute force on small problems, and against its own bound on large ones.
//
// Damages are sums of doubles in different orders, so equality is meant up to `count` roundings of
// the sum.
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "base/parallel.h"
#include "base/random.h"
#include "model/knapsack.h"

enum { GROUPS_MOST = 6, OPTIONS_MOST = 6 };

struct problem {
    ecki_option options[GROUPS_MOST][OPTIONS_MOST];
    ecki_group groups[GROUPS_MOST];
    int64_t count;
    int64_t limits[2];
};

static uint64_t draws;

/** A uniform integer in 0 .. n - 1. */
static int64_t draw(int64_t n)
{
    return (int64_t)(ecki_random_uniform(11, 1, draws++) * (double)n);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/** Least damage of all choices within the limits, by trying all; infinity if none is. */
static double try_all(const struct problem *problem, int64_t g, double damage, int64_t first,
                      int64_t second)
{
    if (problem->limits[0] >= 0 && first > problem->limits[0]) return INFINITY;
    if (problem->limits[1] >= 0 && second > problem->limits[1]) return INFINITY;
    if (g == problem->count) return damage;
    double best = INFINITY;
    for (int64_t i = 0; i < problem->groups[g].count; i++) {
        const ecki_option *o = &problem->groups[g].options[i];
        best = fmin(best, try_all(problem, g + 1, damage + o->damage, first + o->cost[0],
                                  second + o->cost[1]));
    }
    return best;
}

/** Concave curves: only their ends lie on the hull, so the multiplier knows little and much is
 * given up by its bound. */
static void bend(ecki_option *options, int64_t count, int64_t most[2])
{
    const double power = 2.0 + 2.0 * ecki_random_uniform(11, 3, draws++);

    for (int64_t i = 0; i < count; i++) {
        options[i].damage =
            1.0 + 0.3 * ecki_random_uniform(11, 3, draws++) - pow((double)i / (double)count, power);
        options[i].cost[0] = i * 100 + draw(90);
        options[i].cost[1] = 2 * options[i].cost[0];
    }
    most[0] += count * 100;
    most[1] += count * 200;
}

/** Ties, zero costs, proportional and unrelated second costs, one-option groups: all of them often.
 */
static void make_problem(struct problem *problem)
{
    const int64_t costs = draw(2) ? 8 : 1000;
    const bool coarse = draw(2), proportional = draw(2), concave = draw(2);
    int64_t most[2] = { 1, 1 };

    problem->count = draw(GROUPS_MOST + 1);
    for (int64_t g = 0; g < problem->count; g++) {
        problem->groups[g].options = problem->options[g];
        problem->groups[g].count = 1 + draw(OPTIONS_MOST);
        if (concave) bend(problem->options[g], problem->groups[g].count, most);
        for (int64_t i = 0; i < problem->groups[g].count && !concave; i++) {
            ecki_option *o = &problem->options[g][i];
            o->damage = coarse ? (double)draw(5) : ecki_random_uniform(11, 2, draws++);
            o->cost[0] = draw(costs);
            o->cost[1] = proportional ? 2 * o->cost[0] + draw(2) : draw(costs);
            most[0] += o->cost[0];
            most[1] += o->cost[1];
        }
    }
    for (int d = 0; d < 2; d++)
        problem->limits[d] = draw(4) ? draw(most[d]) / (1 + draw(4)) : -1;
}

/** The choice is a choice, keeps the limits, and its sums are as reported. */
static void check_choice(const struct problem *problem, const int64_t *choice,
                         const ecki_packing *packing)
{
    double damage = 0.0;
    int64_t cost[2] = { 0, 0 };

    for (int64_t g = 0; g < problem->count; g++) {
        assert_in_range(choice[g], 0, problem->groups[g].count - 1);
        damage += problem->groups[g].options[choice[g]].damage;
        cost[0] += problem->groups[g].options[choice[g]].cost[0];
        cost[1] += problem->groups[g].options[choice[g]].cost[1];
    }
    assert_true(damage == packing->damage);
    for (int d = 0; d < 2; d++) {
        assert_int_equal(cost[d], packing->cost[d]);
        if (problem->limits[d] >= 0) assert_true(cost[d] <= problem->limits[d]);
    }
}

static void test_against_brute_force(void **state)
{
    (void)state;
    const double gaps[] = { 0.0, 1e-3, 0.3 };
    int64_t solved = 0, infeasible = 0;

    for (int64_t n = 0; n < 60000; n++) {
        static struct problem problem;
        int64_t choice[GROUPS_MOST];
        ecki_packing packing;
        make_problem(&problem);
        const double gap = gaps[draw(3)];
        const double optimum = try_all(&problem, 0, 0.0, 0, 0);
        const eck_status status = ecki_knapsack(choice, &packing, problem.groups, problem.count,
                                                problem.limits, gap, NULL);
        if (isinf(optimum)) {
            assert_int_equal(status, ECK_E_RANGE);
            infeasible++;
            continue;
        }
        assert_int_equal(status, ECK_OK);
        check_choice(&problem, choice, &packing);
        const double slack = 16.0 * GROUPS_MOST * DBL_EPSILON * optimum;
        assert_true(packing.bound <= optimum + slack);
        assert_true(packing.damage >= optimum - slack);
        assert_true(packing.damage <= (1.0 + gap) * optimum + slack);
        solved++;
    }
    printf("brute force: %lld solved, %lld infeasible\n", (long long)solved, (long long)infeasible);
    assert_true(solved > 5000 && infeasible > 500);
}

static void test_least_costs_when_infeasible(void **state)
{
    (void)state;
    const ecki_option a[] = { { 1.0, { 7, 3 } }, { 0.5, { 9, 2 } } };
    const ecki_option b[] = { { 0.25, { 4, 4 } } };
    const ecki_group groups[] = { { a, 2 }, { b, 1 } };
    const int64_t limits[] = { 10, -1 };
    int64_t choice[2] = { -7, -7 };
    ecki_packing packing;
    eck_error err = ECK_ERROR_INIT;

    assert_int_equal(ecki_knapsack(choice, &packing, groups, 2, limits, 1e-3, &err), ECK_E_RANGE);
    assert_int_equal(packing.cost[0], 11);
    assert_int_equal(packing.cost[1], 6);
    assert_int_equal(choice[0], -7);
    assert_non_null(strstr(err.message, "11"));
}

static void test_nothing_and_no_limit(void **state)
{
    (void)state;
    const ecki_option a[] = { { 0.5, { 1, 1 } }, { 0.25, { 9, 9 } }, { 0.25, { 8, 9 } } };
    const ecki_group group = { a, 3 };
    const int64_t none[] = { -1, -1 };
    int64_t choice[1];
    ecki_packing packing;

    assert_int_equal(ecki_knapsack(choice, &packing, NULL, 0, none, 0.0, NULL), ECK_OK);
    assert_true(packing.damage == 0.0 && packing.bound == 0.0 && packing.cost[0] == 0);
    assert_int_equal(ecki_knapsack(choice, &packing, &group, 1, none, 0.0, NULL), ECK_OK);
    assert_int_equal(choice[0], 2);
    assert_true(packing.damage == 0.25 && packing.bound == 0.25);
}

static void test_refuses(void **state)
{
    (void)state;
    const ecki_option bad[][1] = { { { NAN, { 0, 0 } } },
                                   { { -1.0, { 0, 0 } } },
                                   { { INFINITY, { 0, 0 } } },
                                   { { 1.0, { -1, 0 } } },
                                   { { 1.0, { 0, -1 } } } };
    const int64_t limits[] = { 5, -1 }, below[] = { -2, -1 };
    const ecki_option good = { 1.0, { 1, 1 } };
    int64_t choice[1];
    ecki_packing packing;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const ecki_group group = { bad[i], 1 };
        assert_int_equal(ecki_knapsack(choice, &packing, &group, 1, limits, 0.0, NULL),
                         ECK_E_RANGE);
    }
    const ecki_group empty = { &good, 0 }, one = { &good, 1 };
    assert_int_equal(ecki_knapsack(choice, &packing, &empty, 1, limits, 0.0, NULL), ECK_E_RANGE);
    assert_int_equal(ecki_knapsack(choice, &packing, &one, 1, below, 0.0, NULL), ECK_E_RANGE);
    assert_int_equal(ecki_knapsack(choice, &packing, &one, 1, limits, -1.0, NULL), ECK_E_RANGE);
}

/** Sums near 2^63 neither wrap nor make something feasible. */
static void test_huge_costs(void **state)
{
    (void)state;
    const int64_t half = INT64_MAX / 2;
    const ecki_option options[] = { { 0.0, { INT64_MAX, 1 } },
                                    { 1.0, { half, 1 } },
                                    { 3.0, { 1, 1 } } };
    const ecki_group groups[] = { { options, 3 }, { options, 3 }, { options, 3 } };
    const int64_t limits[] = { INT64_MAX - 1, -1 };
    int64_t choice[3];
    ecki_packing packing;

    // Two halves and a one make INT64_MAX: one too many.
    assert_int_equal(ecki_knapsack(choice, &packing, groups, 3, limits, 0.0, NULL), ECK_OK);
    assert_true(packing.damage == 7.0);
    assert_int_equal(packing.cost[0], half + 2);
    const ecki_group dear[] = { { options, 1 }, { options, 1 } };
    assert_int_equal(ecki_knapsack(choice, &packing, dear, 2, limits, 0.0, NULL), ECK_E_RANGE);
    assert_int_equal(packing.cost[0], INT64_MAX);
}

// ---- large problems

/** Solves, prints, and checks the promise about the gap. */
static void solve_large(const char *name, const ecki_group *groups, int64_t count,
                        const int64_t limits[2], double gap)
{
    ecki_packing packing;
    int64_t *choice = calloc((size_t)count, sizeof *choice);
    const double before = ecki_clock();

    assert_int_equal(ecki_knapsack(choice, &packing, groups, count, limits, gap, NULL), ECK_OK);
    const double seconds = ecki_clock() - before;
    printf("%-34s gap %.2e (allowed %.0e), %.1f ms\n", name, packing.damage / packing.bound - 1.0,
           gap, 1e3 * seconds);
    for (int d = 0; d < 2; d++)
        if (limits[d] >= 0) assert_true(packing.cost[d] <= limits[d]);
    assert_true(packing.damage - packing.bound <= gap * packing.bound);
    free(choice);
}

/** Curves as plain SVD gives them: tails of falling spectra, parameters rising by rows + columns,
 * two byte sizes. */
static ecki_group *make_curves(int64_t count, int64_t options, int64_t total[2])
{
    ecki_group *groups = calloc((size_t)count, sizeof *groups);
    ecki_option *all = calloc((size_t)(count * options), sizeof *all);

    total[0] = total[1] = 0;
    for (int64_t g = 0; g < count; g++, all += options) {
        const double decay = 0.3 + 1.2 * ecki_random_uniform(3, 0, (uint64_t)g);
        const double norm2 = exp(4.0 * ecki_random_uniform(3, 1, (uint64_t)g));
        const int64_t step = 700 + (int64_t)(3000 * ecki_random_uniform(3, 2, (uint64_t)g));
        const int64_t width = g % 3 ? 2 : 4;
        double tail = 0.0;
        for (int64_t i = options - 1; i >= 0; i--) {
            all[i].damage = tail;
            all[i].cost[0] = (i + 1) * step;
            all[i].cost[1] = width * all[i].cost[0];
            tail += norm2 * pow((double)(i + 1), -2.0 * decay);
        }
        total[0] += options * step;
        total[1] += options * step * width;
        groups[g] = (ecki_group){ all, options };
    }
    return groups;
}

static void free_curves(ecki_group *groups)
{
    free((void *)(uintptr_t)groups[0].options);
    free(groups);
}

static void test_curves(void **state)
{
    (void)state;
    int64_t total[2];
    ecki_group *groups = make_curves(500, 256, total);
    const double keeps[] = { 0.9, 0.5, 0.2, 0.05 };

    for (size_t k = 0; k < 4; k++) {
        const int64_t one[] = { (int64_t)(keeps[k] * (double)total[0]), -1 };
        const int64_t other[] = { -1, (int64_t)(keeps[k] * (double)total[1]) };
        const int64_t both[] = { one[0], (int64_t)(0.98 * keeps[k] * (double)total[1]) };
        solve_large("500 x 256 convex, parameters", groups, 500, one, 1e-3);
        solve_large("500 x 256 convex, bytes", groups, 500, other, 1e-3);
        solve_large("500 x 256 convex, both", groups, 500, both, 1e-3);
    }
    free_curves(groups);
}

/** Few layers, where one rank more or less is much: the search has to close the gap. */
static void test_few_curves(void **state)
{
    (void)state;
    for (int64_t count = 1; count <= 12; count++) {
        int64_t total[2];
        ecki_group *groups = make_curves(count, 24, total);
        const int64_t one[] = { (int64_t)(0.4 * (double)total[0]), -1 };
        const int64_t both[] = { one[0], (int64_t)(0.39 * (double)total[1]) };
        solve_large("few x 24 convex, parameters", groups, count, one, 1e-3);
        solve_large("few x 24 convex, both", groups, count, both, 1e-3);
        solve_large("few x 24 convex, exact", groups, count, one, 1e-12);
        free_curves(groups);
    }
}

/** Random points: hulls hold few of them. */
static ecki_group *make_clouds(int64_t count, int64_t options, int64_t costs)
{
    ecki_group *groups = calloc((size_t)count, sizeof *groups);
    ecki_option *all = calloc((size_t)(count * options), sizeof *all);

    for (int64_t g = 0; g < count; g++, all += options) {
        for (int64_t i = 0; i < options; i++) {
            all[i].damage = ecki_random_uniform(5, (uint64_t)g, 3 * (uint64_t)i);
            all[i].cost[0] = 1 + draw(costs);
            all[i].cost[1] = 1 + draw(costs);
        }
        groups[g] = (ecki_group){ all, options };
    }
    return groups;
}

static void test_clouds(void **state)
{
    (void)state;
    const int64_t shapes[][2] = {
        { 1, 100000 }, { 2, 5000 }, { 10, 200 }, { 100, 20 }, { 400, 4 }
    };

    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        ecki_group *groups = make_clouds(shapes[i][0], shapes[i][1], 1000000);
        const int64_t limit = shapes[i][0] * 2000000 / (1 + least(shapes[i][1], 30));
        const int64_t one[] = { limit, -1 };
        const double part = 0.9 / sqrt((double)shapes[i][1]); // of two unrelated costs, feasible
        const int64_t share = (int64_t)(1e6 * part * (double)shapes[i][0]);
        const int64_t both[] = { share, share + share / 20 };
        printf("%lld x %lld: ", (long long)shapes[i][0], (long long)shapes[i][1]);
        solve_large("random points, one limit", groups, shapes[i][0], one, 1e-3);
        printf("%lld x %lld: ", (long long)shapes[i][0], (long long)shapes[i][1]);
        solve_large("random points, two limits", groups, shapes[i][0], both, 1e-3);
        free_curves(groups);
    }
}

/** Concave curves: only the two ends lie on the hull, so the multiplier's choice is all or nothing.
 */
static void test_concave(void **state)
{
    (void)state;
    enum { COUNT = 12, OPTIONS = 40 };
    static ecki_option options[COUNT][OPTIONS];
    ecki_group groups[COUNT];
    int64_t total = 0;

    for (int64_t g = 0; g < COUNT; g++) {
        const int64_t step = 100 + draw(900);
        for (int64_t i = 0; i < OPTIONS; i++) {
            options[g][i].damage = 1.0 + (double)g - pow((double)i / OPTIONS, 3.0);
            options[g][i].cost[0] = i * step + draw(20);
            options[g][i].cost[1] = options[g][i].cost[0] * 2;
        }
        groups[g] = (ecki_group){ options[g], OPTIONS };
        total += OPTIONS * step;
    }
    const int64_t limits[] = { total / 3, -1 }, both[] = { total / 3, total * 2 / 3 - 1000 };
    solve_large("concave, one limit", groups, COUNT, limits, 1e-3);
    solve_large("concave, two limits", groups, COUNT, both, 1e-3);
}

/** Least damage within one limit, by dynamic programming over every cost; the reference for
 * middling sizes. */
static double by_table(const ecki_group *groups, int64_t count, int64_t limit)
{
    double *best = calloc((size_t)(limit + 1), sizeof *best);

    for (int64_t g = 0; g < count; g++)
        for (int64_t cost = limit; cost >= 0; cost--) {
            double least_damage = INFINITY;
            for (int64_t i = 0; i < groups[g].count; i++) {
                const ecki_option *o = &groups[g].options[i];
                if (o->cost[0] <= cost)
                    least_damage = fmin(least_damage, best[cost - o->cost[0]] + o->damage);
            }
            best[cost] = least_damage;
        }
    const double result = best[limit];
    free(best);
    return result;
}

/** Solves with one gap; the bound must stay below the true optimum, the damage within the gap of it. */
static void check_against(double optimum, const ecki_group *groups, int64_t count, int64_t limit,
                          double gap)
{
    const int64_t limits[] = { limit, -1 };
    const double slack = 16.0 * (double)count * DBL_EPSILON * optimum;
    int64_t *choice = calloc((size_t)count, sizeof *choice);
    ecki_packing packing;

    assert_int_equal(ecki_knapsack(choice, &packing, groups, count, limits, gap, NULL), ECK_OK);
    printf("%lld groups, gap %.0e: damage / optimum - 1 = %.2e, 1 - bound / optimum = %.2e\n",
           (long long)count, gap, packing.damage / optimum - 1.0, 1.0 - packing.bound / optimum);
    assert_true(packing.bound <= optimum + slack && packing.damage >= optimum - slack);
    assert_true(packing.damage <= (1.0 + gap) * optimum + slack);
    free(choice);
}

/** With no gap allowed lists grow as they will; with some, what is given up may have held the optimum. */
static void test_against_table(void **state)
{
    (void)state;
    const int64_t shapes[][2] = { { 4, 200 }, { 20, 50 }, { 60, 8 }, { 150, 3 }, { 300, 2 } };
    const double gaps[] = { 0.0, 1e-3, 1e-2, 0.1 };

    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        const int64_t count = shapes[i][0];
        ecki_group *groups = make_clouds(count, shapes[i][1], 1000);
        for (int part = 1; part <= 4; part++) {
            const int64_t limit = count * (20 * part + 1000 / (1 + shapes[i][1]));
            const double optimum = by_table(groups, count, limit);
            for (size_t g = 0; g < sizeof gaps / sizeof gaps[0]; g++)
                check_against(optimum, groups, count, limit, gaps[g]);
        }
        free_curves(groups);
    }
}

/** Damage falls exactly as cost rises, so the multiplier rules nothing out: subset sum, the worst
 * case. */
static void test_subset_sum(void **state)
{
    (void)state;
    enum { COUNT = 200 };
    static ecki_option options[COUNT][2];
    ecki_group groups[COUNT];
    int64_t total = 0;

    for (int64_t g = 0; g < COUNT; g++) {
        const int64_t cost = 1000000 + 2 * draw(1000000);
        options[g][0] = (ecki_option){ (double)cost, { 0, 0 } };
        options[g][1] = (ecki_option){ 0.0, { cost, cost } };
        groups[g] = (ecki_group){ options[g], 2 };
        total += cost;
    }
    const int64_t limits[] = { (total / 3) | 1, -1 };
    solve_large("subset sum, gap 1e-3", groups, COUNT, limits, 1e-3);
    solve_large("subset sum, gap 1e-6", groups, COUNT, limits, 1e-6);
}

static int no_leak(void **state)
{
    (void)state;
    return ecki_memory_now() == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_brute_force),
        cmocka_unit_test(test_least_costs_when_infeasible),
        cmocka_unit_test(test_nothing_and_no_limit),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_huge_costs),
        cmocka_unit_test(test_curves),
        cmocka_unit_test(test_few_curves),
        cmocka_unit_test(test_clouds),
        cmocka_unit_test(test_concave),
        cmocka_unit_test(test_against_table),
        cmocka_unit_test(test_subset_sum),
    };
    return cmocka_run_group_tests(tests, NULL, no_leak);
}
