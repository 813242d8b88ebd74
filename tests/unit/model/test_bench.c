// Timing layers: which runners are made and how their times are put together, never how long anything took.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/memory.h"
#include "eckart/bench.h"

static const eck_timing_options quick = { 1, 3, 0 };

static eck_point svd_point(int64_t rank)
{
    return (eck_point){ .method = ECK_METHOD_SVD, .rank_count = 1, .ranks = { rank } };
}

static int64_t rounds;

static bool count_rounds(void *user, const char *what, int64_t done, int64_t total)
{
    (void)user;
    (void)what;
    (void)done;
    (void)total;
    rounds++;
    return true;
}

static void test_places_add_up(void **state)
{
    (void)state;
    const eck_context context = { 1, 1, 0, count_rounds, NULL };
    eck_stage dense = eck_stage_conv(8, 6, 2, 2, (const int64_t[]){ 3, 3 });
    eck_place places[2] = { ECK_PLACE_INIT, ECK_PLACE_INIT };
    const eck_point points[] = { svd_point(2), svd_point(4) };
    const eck_bench_layer layer = { "c", &dense, places, 2, points, 2 };
    eck_timing times[3] = { { -1, -1, -1, -1 } };

    for (int p = 0; p < 2; p++)
        places[p].input[0] = places[p].input[1] = 5 + p;
    rounds = 0;
    assert_int_equal(eck_bench_run(times, &layer, &quick, &context, NULL), ECK_OK);
    assert_int_equal(rounds, 2 * quick.rounds);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(times[i].runs, 3);
        assert_true(times[i].low > 0 && times[i].low <= times[i].median &&
                    times[i].median <= times[i].high);
    }
    assert_null(dense.weight);
}

static eck_stage transposed_stage(void)
{
    eck_stage stage = eck_stage_conv(8, 6, 2, 2, (const int64_t[]){ 3, 4 });
    stage.kind = ECK_STAGE_CONV_TRANSPOSE;
    stage.stride[0] = 2;
    stage.stride[1] = 3;
    return stage;
}

/** A transposed convolution at every point there is to try. */
static void test_transposed(void **state)
{
    (void)state;
    const eck_stage dense = transposed_stage();
    eck_place place = ECK_PLACE_INIT;
    eck_curve points = { NULL, 0 };
    eck_timing *times;

    place.input[0] = place.input[1] = 5;
    place.pad_begin[1] = place.pad_end[0] = 1;
    place.output_padding[0] = 1;
    assert_int_equal(eck_trial_points(&points, &dense, ECK_METHODS_ALL, 1, NULL), ECK_OK);
    assert_true(points.count >= 7);
    times = calloc((size_t)points.count + 1, sizeof *times);
    const eck_bench_layer layer = { "up", &dense, &place, 1, points.points, points.count };
    assert_int_equal(eck_bench_run(times, &layer, &quick, NULL, NULL), ECK_OK);
    for (int64_t i = 0; i <= points.count; i++)
        assert_true(times[i].runs == 3 && times[i].median > 0);
    free(times);
    eck_curve_clear(&points);
}

static void test_refuses(void **state)
{
    (void)state;
    const eck_stage dense = eck_stage_linear(8, 6);
    const eck_place place = ECK_PLACE_INIT;
    const eck_point point = { .method = ECK_METHOD_TUCKER2, .rank_count = 2, .ranks = { 2, 2 } };
    eck_timing times[2] = { { -1, -1, -1, -1 } };
    eck_error error = ECK_ERROR_INIT;

    const eck_bench_layer nowhere = { "a.b", &dense, &place, 0, NULL, 0 };
    assert_int_equal(eck_bench_run(times, &nowhere, &quick, NULL, &error), ECK_E_RANGE);
    assert_non_null(strstr(error.message, "layer 'a.b' has no place"));
    const eck_bench_layer wrong = { "a.b", &dense, &place, 1, &point, 1 };
    assert_int_equal(eck_bench_run(times, &wrong, &quick, NULL, &error), ECK_E_UNSUPPORTED);
    assert_non_null(strstr(error.message, "a.b"));
    const eck_stage up = transposed_stage();
    eck_place far = ECK_PLACE_INIT;
    far.output_padding[1] = 3;
    const eck_bench_layer beyond = { "a.b", &up, &far, 1, NULL, 0 };
    assert_int_equal(eck_bench_run(times, &beyond, &quick, NULL, &error), ECK_E_RANGE);
    assert_non_null(strstr(error.message, "a.b"));
    assert_non_null(strstr(error.message, "output padding 3: 0 to 2 are allowed"));
    assert_true(times[0].median == -1);
}

static int no_leak(void **state)
{
    (void)state;
    return ecki_memory_now() == 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_places_add_up),
                                        cmocka_unit_test(test_transposed),
                                        cmocka_unit_test(test_refuses) };
    return cmocka_run_group_tests(tests, NULL, no_leak);
}
