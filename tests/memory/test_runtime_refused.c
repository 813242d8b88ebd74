// Runners, each request for memory refused in turn. What oneDNN holds by itself is its own.
#include "failing_allocator.h"

#include "eckart/report.h"

/** A chain of three convolutions, one of them transposed, made ready, run and timed. */
static eck_status runner_scenario(void *self, eck_error *err)
{
    static const int64_t k11[] = { 1, 1 }, k33[] = { 3, 3 };
    const eck_context alone = { 1, 1, 0, NULL, NULL };
    eck_place place = ECK_PLACE_INIT;
    eck_stage stages[] = { eck_stage_conv(3, 2, 1, 2, k11), eck_stage_conv(2, 2, 1, 2, k33),
                           eck_stage_conv(2, 4, 1, 2, k11) };
    eck_runner *runner = UNTOUCHED;
    eck_status status = ECK_OK;
    float x[3 * 16] = { 0 }, y[4 * 16] = { 0 };

    (void)self;
    stages[1].kind = ECK_STAGE_CONV_TRANSPOSE;
    for (int d = 0; d < 2; d++) {
        place.input[d] = 4;
        place.pad_begin[d] = place.pad_end[d] = 1;
    }
    for (int i = 0; i < 3 && status == ECK_OK; i++) {
        int64_t shape[ECK_DIMS_MAX];
        const int32_t ndim = eck_stage_shape(&stages[i], shape);
        status = eck_array_create(&stages[i].weight, ECK_DTYPE_F16, ndim, shape, err);
    }
    if (status == ECK_OK)
        status = eck_array_create(&stages[2].bias, ECK_DTYPE_F32, 1, &stages[2].out, err);
    if (status == ECK_OK) {
        status = eck_runner_create(&runner, &(eck_chain){ stages, 3 }, &place, &alone, err);
        assert_untouched(status, runner);
        if (status == ECK_OK) status = eck_runner_run(runner, y, x, err);
        if (status == ECK_OK) {
            eck_timing timing = { -1, -1, -1, -1 };
            const eck_timing_options quick = { 1, 3, 0 };
            status = eck_runner_time(&timing, &runner, 1, &quick, &alone, err);
            assert_int_equal(timing.runs, status == ECK_OK ? 3 : -1);
        }
        eck_runner_free(runner);
    }
    for (int i = 0; i < 3; i++)
        eck_array_free(stages[i].weight);
    eck_array_free(stages[2].bias);
    return status;
}

static void test_runner(void **state)
{
    (void)state;
    fail_every_allocation("runner", runner_scenario, NULL);
}

/** Points to try, their times, and the document. */
static eck_status bench_scenario(void *self, eck_error *err)
{
    const eck_context alone = { 1, 1, 0, NULL, NULL };
    const eck_timing_options quick = { 1, 3, 0 };
    const eck_place place = ECK_PLACE_INIT;
    const eck_stage dense = eck_stage_linear(6, 5);
    eck_curve points = { UNTOUCHED, -3 };
    eck_timing times[8];
    char *text = UNTOUCHED;

    (void)self;
    eck_status status = eck_trial_points(&points, &dense, ECK_METHODS_ALL, 1, err);
    assert_untouched(status, points.points);
    if (status != ECK_OK) return status;
    assert_in_range(points.count, 1, 7);
    const eck_bench_layer layer = { "a", &dense, &place, 1, points.points, points.count };
    status = eck_bench_run(times, &layer, &quick, &alone, err);
    const eck_timing *const all[] = { times };
    const eck_bench_report report = { "m", "c", &alone, 3, &layer, all, 1 };
    if (status == ECK_OK) {
        status = eck_report_timings(&text, &report, err);
        assert_untouched(status, text);
        eck_text_free(text);
    }
    eck_curve_clear(&points);
    return status;
}

static void test_bench(void **state)
{
    (void)state;
    fail_every_allocation("bench", bench_scenario, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_runner),
                                        cmocka_unit_test(test_bench) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
