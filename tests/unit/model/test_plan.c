/** Budgets: every limit holds, together too, and what cannot be is refused with what could. */
#include "scene.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** A model with its analysis. */
typedef struct planned {
    scene s;
    eck_model *model;
    eck_analysis *analysis;
    eck_store_options options;
} planned;

static planned planned_make(eck_dtype store)
{
    planned p = { scene_make(false), NULL, NULL, ECK_STORE_OPTIONS_INIT };
    p.options.store = store;
    p.model = scene_open(p.s.in);
    OK(eck_model_analyze(&p.analysis, p.model, &p.options, NULL, err_));
    return p;
}

static void planned_clear(planned *p)
{
    eck_analysis_free(p->analysis);
    eck_model_close(p->model);
    scene_remove(&p->s);
}

static eck_plan *optimize(const planned *p, eck_budget budget)
{
    eck_plan *plan = NULL;
    OK(eck_plan_optimize(&plan, p->model, p->analysis, &budget, &p->options, err_));
    int64_t parameters = 0;
    double damage = 0, worst = 0;
    for (int64_t i = 0; i < plan->count; i++) {
        parameters += plan->choices[i].point.parameters;
        damage += plan->choices[i].point.error * plan->choices[i].point.error;
        worst = fmax(worst, plan->choices[i].point.error);
    }
    assert_int_equal(parameters, plan->parameters_after);
    assert_true(fabs(sqrt(damage) - plan->error) <= 1e-12 && worst == plan->worst);
    assert_true(plan->gap <= 1e-3);
    return plan;
}

static void each_limit_holds(void **state)
{
    (void)state;
    planned p = planned_make(ECK_DTYPE_NONE);
    const eck_budget none = ECK_BUDGET_INIT;
    eck_budget keep = none, bytes = none, part = none, rank = none, energy = none, error = none;
    keep.keep = 0.4, bytes.bytes = 150000, part.bytes_part = 0.6, rank.rank = 9,
    energy.energy = 0.99, error.error = 0.05;

    eck_plan *plan = optimize(&p, keep);
    assert_true(plan->parameters_after <= 0.4 * (double)plan->parameters_before);
    eck_plan_free(plan);
    plan = optimize(&p, bytes);
    assert_true(plan->bytes_after <= 150000);
    eck_plan_free(plan);
    plan = optimize(&p, part);
    assert_true((double)plan->bytes_after <= 0.6 * (double)plan->bytes_before);
    eck_plan_free(plan);
    plan = optimize(&p, rank);
    for (int64_t i = 0; i < plan->count; i++)
        assert_int_equal(plan->choices[i].point.ranks[0], 9);
    eck_plan_free(plan);
    plan = optimize(&p, energy);
    for (int64_t i = 0; i < plan->count; i++)
        assert_true(1 - plan->choices[i].point.error * plan->choices[i].point.error >= 0.99);
    eck_plan_free(plan);
    plan = optimize(&p, error);
    assert_true(plan->worst <= 0.05);
    eck_plan_free(plan);
    planned_clear(&p);
}

/** With a rule of quality alone every layer takes the least rank that keeps it: one less would break it. */
static void rules_take_the_cheapest(void **state)
{
    (void)state;
    planned p = planned_make(ECK_DTYPE_NONE);
    eck_budget budget = ECK_BUDGET_INIT;
    budget.error = 0.02;
    eck_plan *plan = optimize(&p, budget);
    for (int64_t i = 0; i < plan->count; i++) {
        const eck_point *point = &plan->choices[i].point;
        const eck_curve *curve = &eck_analysis_layer(p.analysis, i)->curve;
        if (point->method == ECK_METHOD_DENSE || point->ranks[0] == 1) continue;
        assert_true(curve->points[point->ranks[0] - 2].error > 0.02);
    }
    eck_plan_free(plan);
    planned_clear(&p);
}

static void limits_hold_together(void **state)
{
    (void)state;
    planned p = planned_make(ECK_DTYPE_NONE);
    eck_plan *plan = NULL;
    eck_budget budget = ECK_BUDGET_INIT;
    budget.keep = 0.5, budget.error = 0.1, budget.bytes_part = 0.75;
    plan = optimize(&p, budget);
    assert_true(plan->worst <= 0.1 &&
                plan->parameters_after <= 0.5 * (double)plan->parameters_before);
    assert_true((double)plan->bytes_after <= 0.75 * (double)plan->bytes_before);
    eck_plan_free(plan);
    budget.error = 1e-4, budget.keep = 0.05;
    REFUSED(ECK_E_RANGE, "cannot be met",
            eck_plan_optimize(&plan, p.model, p.analysis, &budget, &p.options, err_));
    planned_clear(&p);
}

/** More is never worse: the optimum's error falls as the budget grows. */
/** Gives the second of two layers the curve of the first, every damage off by a rounding, up and down in turns. */
static void spoil(const planned *p, int sign)
{
    const eck_curve *const first = &eck_analysis_layer(p->analysis, 0)->curve;
    const eck_curve *const second = &eck_analysis_layer(p->analysis, 1)->curve;
    assert_int_equal(first->count, second->count);
    for (int64_t i = 0; i < first->count; i++) {
        const double off = (i % 2 == 0) == (sign == 0) ? 0x1p-51 : -0x1p-51;
        second->points[i].damage = first->points[i].damage * (1.0 + off);
        second->points[i].error = first->points[i].error;
    }
}

/** Which of two layers alike has more terms is not for a rounding to choose. */
static void rounding_chooses_nothing(void **state)
{
    (void)state;
    const fixture_tensor alike[] = { { "a.weight", 2, { 96, 80 } },
                                     { "b.weight", 2, { 96, 80 } },
                                     { NULL, 0, { 0 } } };
    planned p = { scene_make(false), NULL, NULL, ECK_STORE_OPTIONS_INIT };
    int apart = 0;
    fixture_safetensors(p.s.in, alike);
    p.model = scene_open(p.s.in);
    OK(eck_model_analyze(&p.analysis, p.model, &p.options, NULL, err_));
    for (double keep = 0.3; keep < 0.9; keep += 0.01) {
        int64_t parameters[2][2];
        for (int sign = 0; sign < 2; sign++) {
            eck_budget budget = ECK_BUDGET_INIT;
            budget.keep = keep;
            spoil(&p, sign);
            eck_plan *plan = optimize(&p, budget);
            for (int k = 0; k < 2; k++)
                parameters[sign][k] = plan->choices[k].point.parameters;
            eck_plan_free(plan);
        }
        assert_memory_equal(parameters[0], parameters[1], sizeof parameters[0]);
        apart += parameters[0][0] != parameters[0][1];
    }
    assert_true(apart > 0); // else there was nothing to choose
    planned_clear(&p);
}

static void the_frontier_falls(void **state)
{
    (void)state;
    planned p = planned_make(ECK_DTYPE_NONE);
    eck_frontier_row rows[10];
    OK(eck_plan_frontier(rows, 10, p.model, p.analysis, &p.options, err_));
    for (int i = 0; i < 10; i++) {
        if (i > 0)
            assert_true(rows[i].keep < rows[i - 1].keep &&
                        rows[i].error >= rows[i - 1].error * (1 - 1e-3));
    }
    REFUSED(ECK_E_RANGE, "11", eck_plan_frontier(rows, 11, p.model, p.analysis, &p.options, err_));
    planned_clear(&p);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    planned p = planned_make(ECK_DTYPE_BF16);
    eck_plan *plan = NULL;
    const eck_budget none = ECK_BUDGET_INIT;
    eck_budget b = none;
    REFUSED(ECK_E_RANGE, "no budget",
            eck_plan_optimize(&plan, p.model, p.analysis, &b, &p.options, err_));
    b.error = 1e-4; // two factors of eight bits cost more
    REFUSED(ECK_E_RANGE, "BF16",
            eck_plan_optimize(&plan, p.model, p.analysis, &b, &p.options, err_));
    b = none, b.keep = 1.5;
    REFUSED(ECK_E_RANGE, "keep",
            eck_plan_optimize(&plan, p.model, p.analysis, &b, &p.options, err_));
    b = none, b.rank = 5000;
    REFUSED(ECK_E_NOTHING, "nothing pays",
            eck_plan_optimize(&plan, p.model, p.analysis, &b, &p.options, err_));
    b.allow_dense = true;
    OK(eck_plan_optimize(&plan, p.model, p.analysis, &b, &p.options, err_));
    assert_int_equal(plan->factored, 0);
    eck_plan_free(plan);
    planned_clear(&p);
}

#define USE(sizes) "\"uses\":[{\"rows\":1,\"input\":" sizes ",\"output\":" sizes "}],\"points\":["
#define POINT(method, ranks, ms) \
    "{\"method\":\"" method "\",\"ranks\":" ranks ",\"milliseconds\":" ms "}"

/** a.query gains up to a rank of about 40, b.value never, the convolution always. */
static eck_timings *made_timings(const char *whole)
{
    static const char layers[] = "{\"name\":\"a.query\",\"shape\":[128,96]," USE("[]")
        POINT("dense", "[]", "4") "," POINT("svd", "[8]", "1") "," POINT(
            "svd", "[48]",
            "5") "]},"
                 "{\"name\":\"b.value\",\"shape\":[96,160]," USE("[]")
                     POINT("dense", "[]", "2") "," POINT("svd", "[8]", "2.5") "," POINT(
                         "svd", "[32]",
                         "3") "]},"
                              "{\"name\":\"conv\",\"shape\":[48,32,3,3]," USE("[20,20]")
                                  POINT("dense", "[]", "10") "," POINT("svd", "[8]", "3") "," POINT(
                                      "svd", "[24]", "7") "]}";
    char text[2000];
    eck_timings *timings = NULL;
    snprintf(text, sizeof text,
             "{\"format\":\"eckart-timings\",\"version\":1,\"whole\":%s,\"layers\":[%s]}", whole,
             layers);
    OK(eck_timings_parse(&timings, text, (int64_t)strlen(text), "made.json", err_));
    return timings;
}

/** The choices' times add up to the plan's, and are what the timings predict. */
static void check_times(const planned *p, const eck_plan *plan, const eck_timings *timings,
                        double scale)
{
    double sum = plan->ms_before;
    for (int64_t i = 0; i < plan->count; i++) {
        const eck_choice *c = &plan->choices[i];
        const eck_layer *layer =
            eck_model_layer(p->model, eck_analysis_layer(p->analysis, i)->layer);
        assert_true(c->ms_before == scale * eck_timings_predict(timings, layer, NULL));
        assert_true(c->ms_after == scale * eck_timings_predict(timings, layer, &c->point));
        sum += c->ms_after - c->ms_before;
    }
    assert_true(fabs(sum - plan->ms_after) <= 16 * 0x1p-53 * plan->ms_before);
}

static void latency_holds(void **state)
{
    (void)state;
    planned p = planned_make(ECK_DTYPE_NONE);
    eck_timings *timings = made_timings("{\"milliseconds\":20}");
    eck_budget budget = ECK_BUDGET_INIT;
    budget.timings = timings;
    budget.latency_part = 0.7;
    eck_plan *plan = optimize(&p, budget);
    assert_true(plan->ms_before == 20 && plan->ms_after <= 14 && plan->ms_after > 12);
    check_times(&p, plan, timings, 1);
    // What costs time and parameters and brings nothing is left alone.
    assert_int_equal(plan->choices[1].point.method, ECK_METHOD_DENSE);
    const double alone = plan->error;
    eck_plan_free(plan);
    budget.latency = 11;
    plan = optimize(&p, budget);
    assert_true(plan->ms_after <= 11 && plan->error > alone);
    eck_plan_free(plan);
    budget.keep = 0.5, budget.bytes_part = 0.7;
    plan = optimize(&p, budget);
    assert_true(plan->ms_after <= 11 &&
                plan->parameters_after <= 0.5 * (double)plan->parameters_before);
    assert_true((double)plan->bytes_after <= 0.7 * (double)plan->bytes_before);
    eck_plan_free(plan);
    budget.latency = 4;
    REFUSED(ECK_E_RANGE, "and 10 ms under",
            eck_plan_optimize(&plan, p.model, p.analysis, &budget, &p.options, err_));
    eck_timings_free(timings);
    planned_clear(&p);
}

/** Layers that together took longer than the whole count for as much less; without a whole they are it. */
static void the_whole_counts(void **state)
{
    (void)state;
    planned p = planned_make(ECK_DTYPE_NONE);
    const char *const wholes[] = { "{\"milliseconds\":8}", "null" };
    for (int i = 0; i < 2; i++) {
        eck_timings *timings = made_timings(wholes[i]);
        eck_budget budget = ECK_BUDGET_INIT;
        budget.timings = timings;
        budget.latency_part = 0.75;
        eck_plan *plan = optimize(&p, budget);
        assert_true(plan->ms_before == (i ? 16 : 8) && plan->ms_after <= (i ? 12 : 6));
        check_times(&p, plan, timings, i ? 1 : 0.5);
        eck_plan_free(plan);
        eck_timings_free(timings);
    }
    planned_clear(&p);
}

static void nothing_gets_slower(void **state)
{
    (void)state;
    planned p = planned_make(ECK_DTYPE_NONE);
    eck_timings *timings = made_timings("null");
    eck_budget budget = ECK_BUDGET_INIT;
    budget.timings = timings;
    budget.keep = 0.7;
    budget.no_slower = true;
    eck_plan *plan = optimize(&p, budget);
    int64_t factored = 0;
    for (int64_t i = 0; i < plan->count; i++) {
        const eck_choice *c = &plan->choices[i];
        if (c->point.method == ECK_METHOD_DENSE) continue;
        assert_true(c->ms_after < c->ms_before);
        factored++;
    }
    assert_true(factored > 0);
    assert_int_equal(plan->choices[1].point.method, ECK_METHOD_DENSE);
    eck_plan_free(plan);
    // Rank 44 of a.query is slower: the rule leaves the layer dense.
    budget = (eck_budget)ECK_BUDGET_INIT;
    budget.timings = timings;
    budget.rank = 44;
    plan = optimize(&p, budget);
    assert_int_equal(plan->choices[0].point.method, ECK_METHOD_SVD);
    eck_plan_free(plan);
    budget.no_slower = true;
    budget.allow_dense = true;
    plan = optimize(&p, budget);
    assert_int_equal(plan->choices[0].point.method, ECK_METHOD_DENSE);
    eck_plan_free(plan);
    eck_timings_free(timings);
    planned_clear(&p);
}

static void times_that_do_not_help(void **state)
{
    (void)state;
    planned p = planned_make(ECK_DTYPE_NONE);
    eck_plan *plan = NULL;
    eck_timings *other = NULL;
    const char *text = "{\"format\":\"eckart-timings\",\"version\":1,\"layers\":[]}";
    eck_budget budget = ECK_BUDGET_INIT;
    budget.latency = 5;
    REFUSED(ECK_E_RANGE, "none are given",
            eck_plan_optimize(&plan, p.model, p.analysis, &budget, &p.options, err_));
    OK(eck_timings_parse(&other, text, (int64_t)strlen(text), "other.json", err_));
    budget.timings = other;
    REFUSED(ECK_E_RANGE, "timings 'other.json' are of another model",
            eck_plan_optimize(&plan, p.model, p.analysis, &budget, &p.options, err_));
    budget.latency = 0;
    REFUSED(ECK_E_RANGE, "latency 0",
            eck_plan_optimize(&plan, p.model, p.analysis, &budget, &p.options, err_));
    eck_timings_free(other);
    budget = (eck_budget)ECK_BUDGET_INIT;
    budget.keep = 0.5;
    plan = optimize(&p, budget);
    assert_true(plan->ms_before == -1 && plan->ms_after == -1 && plan->choices[0].ms_after == -1);
    eck_plan_free(plan);
    planned_clear(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_limit_holds),
        cmocka_unit_test(rules_take_the_cheapest),
        cmocka_unit_test(limits_hold_together),
        cmocka_unit_test(the_frontier_falls),
        cmocka_unit_test(rounding_chooses_nothing),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(latency_holds),
        cmocka_unit_test(the_whole_counts),
        cmocka_unit_test(nothing_gets_slower),
        cmocka_unit_test(times_that_do_not_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
