// Engine AUTO: which lane the table of costs takes for shapes, rules, storage and memory; that the lane which answers is the
// one that was announced; that a space which does not converge in time leaves the work to the exact lane.
#include "support.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"

// Nobody reads from it: choices look at the shape only.
static eck_status no_read(void *self, int64_t row, int64_t col, eck_panel out, eck_error *err)
{
    (void)self;
    (void)row;
    (void)col;
    (void)out;
    (void)err;
    fail_msg("a choice read the matrix");
    return ECK_E_IO;
}

static eck_operator *shape_of(int64_t rows, int64_t cols, eck_dtype storage)
{
    eck_operator *a = NULL;
    eck_error err = ECK_ERROR_INIT;
    eck_operator_info info = ECK_OPERATOR_INFO_INIT;
    const eck_operator_methods methods = { .version = 1, .read = no_read };
    info.rows = rows;
    info.cols = cols;
    info.storage = storage;
    info.resident = true;
    expect_ok(eck_operator_create(&a, &info, &methods, NULL, &err), &err);
    return a;
}

static eck_engine_choice choose(int64_t rows, int64_t cols, eck_dtype storage,
                                const eck_svd_options *options, int64_t memory)
{
    eck_error err = ECK_ERROR_INIT;
    eck_engine_choice choice = { ECK_ENGINE_AUTO, 0.0, 0.0, 0.0, -1, NULL, -1 };
    eck_context context = ECK_CONTEXT_INIT;
    context.memory = memory;
    context.threads = 2; // every thread takes panels
    eck_operator *const a = shape_of(rows, cols, storage);
    expect_ok(eck_svd_choose(&choice, a, options, &context, &err), &err);
    assert_non_null(choice.reason);
    assert_true(strlen(choice.reason) > 5 && choice.exact > 0.0);
    assert_true((choice.reads > 0) == (choice.engine == ECK_ENGINE_KRYLOV));
    if (choice.engine == ECK_ENGINE_KRYLOV) assert_true(1.3 * choice.krylov <= choice.exact);
    eck_operator_free(a);
    return choice;
}

static eck_svd_options of_rank(int64_t rank)
{
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.rank = rank;
    return options;
}

// Few terms of a large matrix: reads of it; many of them, or of a small one: all values.
static void ranks(void **state)
{
    (void)state;
    const eck_dtype storages[] = { ECK_DTYPE_F32, ECK_DTYPE_BF16, ECK_DTYPE_F16 };
    for (int i = 0; i < 3; i++) {
        eck_svd_options options = of_rank(64);
        assert_int_equal(choose(4096, 11008, storages[i], &options, 0).engine, ECK_ENGINE_KRYLOV);
        assert_int_equal(choose(11008, 4096, storages[i], &options, 0).engine, ECK_ENGINE_KRYLOV);
        assert_int_equal(choose(100, 200, storages[i], &options, 0).engine, ECK_ENGINE_EXACT);
        options.rank = 4000;
        const eck_engine_choice many = choose(4096, 11008, storages[i], &options, 0);
        assert_int_equal(many.engine, ECK_ENGINE_EXACT);
        assert_true(isinf(many.krylov) && many.expected_reads == 0.0);
    }
    // A lane that could answer and is hardly cheaper is not taken; there are such shapes where memory is no reason.
    int hardly = 0;
    for (int64_t n = 256; n <= 4096; n *= 2)
        for (int64_t k = n / 64; k <= n / 8; k += ecki_max(n / 64, 1)) {
            const eck_svd_options options = of_rank(k);
            const eck_engine_choice choice =
                choose(n, n, ECK_DTYPE_F32, &options, INT64_C(1) << 50);
            hardly += choice.engine == ECK_ENGINE_EXACT && isfinite(choice.krylov);
        }
    assert_true(hardly > 0);
    // The costs of one shape grow with the rank, and that of krylov the faster.
    double before[2] = { 0.0, 0.0 };
    for (int64_t k = 16; k <= 1024; k *= 2) {
        const eck_svd_options options = of_rank(k);
        const eck_engine_choice choice = choose(8192, 8192, ECK_DTYPE_F32, &options, 0);
        assert_true(choice.exact > before[0] && choice.krylov > before[1]);
        assert_true(k == 16 || choice.krylov / before[1] > choice.exact / before[0]);
        before[0] = choice.exact;
        before[1] = choice.krylov;
    }
}

// What needs every value, or F64, has one lane.
static void only_exact(void **state)
{
    (void)state;
    eck_svd_options options = of_rank(20);
    assert_int_equal(choose(9000, 9000, ECK_DTYPE_F64, &options, 0).engine, ECK_ENGINE_EXACT);
    options.want = ECK_WANT_VALUES;
    assert_int_equal(choose(9000, 9000, ECK_DTYPE_F32, &options, 0).engine, ECK_ENGINE_EXACT);
    options = of_rank(20);
    options.want |= ECK_WANT_FULL;
    assert_int_equal(choose(9000, 9000, ECK_DTYPE_F32, &options, 0).engine, ECK_ENGINE_EXACT);
    const eck_rule rules[] = { ECK_RULE_THIN,           ECK_RULE_NUMERICAL, ECK_RULE_EVBMF,
                               ECK_RULE_HARD_THRESHOLD, ECK_RULE_ENERGY,    ECK_RULE_ERROR };
    for (int i = 0; i < 6; i++) {
        options = of_rank(0);
        options.rule = rules[i];
        options.target = 0.5;
        assert_int_equal(choose(9000, 9000, ECK_DTYPE_F32, &options, 0).engine, ECK_ENGINE_EXACT);
    }
    options.rank = 20; // a rule with a cap is a known rank at most
    assert_int_equal(choose(9000, 9000, ECK_DTYPE_F32, &options, 0).engine, ECK_ENGINE_KRYLOV);
}

// An n^2 that is not allowed leaves the lane without one, whatever it costs; and a lane that was asked for is taken.
static void memory_and_wishes(void **state)
{
    (void)state;
    eck_svd_options options = of_rank(300);
    const int64_t n = 3000, square = n * n * 8;
    options.engine = ECK_ENGINE_EXACT;
    assert_int_equal(choose(n, n, ECK_DTYPE_F32, &options, 0).engine, ECK_ENGINE_EXACT);
    assert_string_equal(choose(n, n, ECK_DTYPE_F32, &options, 0).reason, "it was asked for");
    options.engine = ECK_ENGINE_AUTO;
    options.rank = 20;
    const eck_engine_choice little = choose(n, n, ECK_DTYPE_F32, &options, square / 2);
    assert_int_equal(little.engine, ECK_ENGINE_KRYLOV);
    assert_true(isinf(little.exact) && little.reads == 120 && little.expected_reads > 6.0);
    // Neither fits: the exact lane says so.
    assert_int_equal(choose(n, n, ECK_DTYPE_F32, &options, 1000).engine, ECK_ENGINE_EXACT);
    eck_error err = ECK_ERROR_INIT;
    eck_engine_choice choice;
    eck_operator *const a = shape_of(10, 10, ECK_DTYPE_F32);
    options.rank = -1;
    assert_int_equal(eck_svd_choose(&choice, a, &options, NULL, &err), ECK_E_RANGE);
    eck_operator_free(a);
}

// Whatever the memory of a lane, no number of threads changes the choice where none is limited: here KRYLOV holds about as
// much as EXACT.
static void threads(void **state)
{
    (void)state;
    for (int64_t cols = 2000; cols <= 64000; cols *= 2) {
        eck_operator *const a = shape_of(1000, cols, ECK_DTYPE_F32);
        const eck_svd_options options = of_rank(20);
        eck_engine_choice first = { .reads = -1 };
        for (int32_t count = 1; count <= 256; count *= 4) {
            eck_error err = ECK_ERROR_INIT;
            eck_engine_choice choice;
            eck_context context = ECK_CONTEXT_INIT;
            context.threads = count;
            expect_ok(eck_svd_choose(&choice, a, &options, &context, &err), &err);
            if (count == 1) first = choice;
            assert_true(choice.engine == first.engine && choice.reads == first.reads);
        }
        eck_operator_free(a);
    }
}

// eck_svd_compute() does what was announced, within the memory that was foreseen, whatever the number of threads.
static void announced(void **state)
{
    (void)state;
    sample a = sample_create(1400, 1500, ECK_DTYPE_BF16, 0.999, 3);
    for (int64_t rank = 8; rank <= 800; rank *= 10) {
        const eck_svd_options options = of_rank(rank);
        eck_error err = ECK_ERROR_INIT;
        eck_engine_choice choice;
        expect_ok(eck_svd_choose(&choice, a.op, &options, NULL, &err), &err);
        if (rank != 80) // which may be either's
            assert_int_equal(choice.engine, rank == 8 ? ECK_ENGINE_KRYLOV : ECK_ENGINE_EXACT);
        eck_svd *first = NULL;
        for (int32_t threads = 1; threads <= 2; threads++) {
            eck_svd *svd = NULL;
            eck_context context = ECK_CONTEXT_INIT;
            context.threads = threads;
            const int64_t before = ecki_memory_now();
            ecki_memory_reset_peak();
            expect_ok(eck_svd_compute(&svd, a.op, &options, &context, &err), &err);
            assert_true(ecki_memory_peak() - before <=
                        eck_svd_memory(eck_operator_get_info(a.op), &options, rank));
            assert_true(ecki_memory_peak() - before <= choice.memory);
            assert_int_equal(svd->engine, choice.engine);
            assert_true(svd->certificate.excess_high <= 1e-4);
            if (first && rank == 8)
                assert_memory_equal(first->v->data, svd->v->data, 1500 * 8 * sizeof(float));
            eck_svd_free(first);
            first = svd;
        }
        eck_svd_free(first);
    }
    sample_free(&a);
}

// A flat spectrum and an excess that takes more reads than the exact lane costs: the answer is the exact one.
static void gives_up(void **state)
{
    (void)state;
    sample a = sample_create(1400, 1500, ECK_DTYPE_F32, 1.0, 3);
    eck_error err = ECK_ERROR_INIT;
    eck_svd *svd = NULL;
    eck_svd_options options = of_rank(8);
    options.excess = 1e-12;
    eck_engine_choice choice;
    expect_ok(eck_svd_choose(&choice, a.op, &options, NULL, &err), &err);
    assert_int_equal(choice.engine, ECK_ENGINE_KRYLOV);
    expect_ok(eck_svd_compute(&svd, a.op, &options, NULL, &err), &err);
    assert_int_equal(svd->engine, ECK_ENGINE_EXACT);
    assert_int_equal(svd->s->shape[0], 1400);
    assert_true(svd->certificate.excess_high <= 1e-6);
    eck_svd_free(svd);
    sample_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks),
        cmocka_unit_test(only_exact),
        cmocka_unit_test(memory_and_wishes),
        cmocka_unit_test(announced),
        cmocka_unit_test(threads),
        cmocka_unit_test(gives_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
