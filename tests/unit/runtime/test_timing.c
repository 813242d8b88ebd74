// Times: what is counted and in which order, never how long it took.
#include "plain.h"

#include <string.h>

typedef struct watcher {
    int64_t calls, last, stop;
} watcher;

static bool watch(void *user, const char *what, int64_t done, int64_t total)
{
    watcher *w = user;
    assert_string_equal(what, "rounds");
    assert_int_equal(total, 5);
    w->calls++;
    w->last = done;
    return done != w->stop;
}

static void make_runners(eck_runner **out, eck_stage *stages)
{
    const eck_place place = { 1,           2,           { 9, 9, 1 }, { 1, 1, 0 },
                              { 1, 1, 0 }, { 1, 1, 1 }, { 1, 1, 1 }, { 0, 0, 0 } };

    stages[0] = eck_stage_conv(8, 12, 1, 2, (const int64_t[]){ 3, 3 });
    stages[1] = eck_stage_linear(30, 20);
    for (int i = 0; i < 2; i++) {
        fill_stage(&stages[i], (uint64_t)i, 2, true);
        assert_int_equal(
            eck_runner_create(&out[i], &(eck_chain){ &stages[i], 1 }, &place, NULL, NULL), ECK_OK);
    }
}

static void test_times(void **state)
{
    (void)state;
    eck_stage stages[2];
    eck_runner *runners[2] = { NULL, NULL };
    eck_timing timings[2];
    watcher seen = { 0, 0, -1 };
    const eck_context context = { 1, 0, 0, watch, &seen };
    eck_timing_options options = ECK_TIMING_OPTIONS_INIT;
    eck_error error = ECK_ERROR_INIT;

    make_runners(runners, stages);
    options.rounds = 5;
    options.sample = 0;
    assert_int_equal(eck_runner_time(timings, runners, 2, &options, &context, &error), ECK_OK);
    assert_int_equal(seen.calls, 5);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(timings[i].runs, 5);
        assert_true(timings[i].low >= 0);
        assert_true(timings[i].low <= timings[i].median && timings[i].median <= timings[i].high);
        assert_true(timings[i].high > 0);
    }
    seen = (watcher){ 0, 0, 2 };
    assert_int_equal(eck_runner_time(timings, runners, 2, &options, &context, &error),
                     ECK_E_CANCELLED);
    assert_int_equal(seen.last, 2);
    options.rounds = 2;
    assert_int_equal(eck_runner_time(timings, runners, 2, &options, NULL, &error), ECK_E_RANGE);
    assert_non_null(strstr(error.message, "2 rounds"));
    options.rounds = 3;
    options.sample = 61;
    assert_int_equal(eck_runner_time(timings, runners, 2, &options, NULL, &error), ECK_E_RANGE);
    for (int i = 0; i < 2; i++) {
        eck_runner_free(runners[i]);
        eck_array_free(stages[i].weight);
        eck_array_free(stages[i].bias);
    }
}

/** Timing runs on numbers of its own; results of a run before and after it are the same. */
static void test_runs_are_left_alone(void **state)
{
    (void)state;
    eck_stage stages[2];
    eck_runner *runners[2] = { NULL, NULL };
    eck_timing timings[2];
    enum { IN = 2 * 30, OUT = 2 * 20 };
    float x[IN], before[OUT], after[OUT];

    make_runners(runners, stages);
    for (int i = 0; i < IN; i++)
        x[i] = (float)i;
    assert_int_equal(eck_runner_run(runners[1], before, x, NULL), ECK_OK);
    assert_int_equal(
        eck_runner_time(timings, runners, 2, &(eck_timing_options){ 1, 3, 0 }, NULL, NULL), ECK_OK);
    assert_int_equal(eck_runner_run(runners[1], after, x, NULL), ECK_OK);
    assert_memory_equal(before, after, sizeof before);
    assert_memory_equal(eck_runtime_description(), "oneDNN ", 7);
    for (int i = 0; i < 2; i++) {
        eck_runner_free(runners[i]);
        eck_array_free(stages[i].weight);
        eck_array_free(stages[i].bias);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_times),
                                        cmocka_unit_test(test_runs_are_left_alone) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
