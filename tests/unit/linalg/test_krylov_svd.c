// The lane: what it takes, what it hands on to the exact one, ranks from rules, bytes, memory, cancelling.
#include "support.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "linalg/krylov_lane.h"

static eck_svd *run(const eck_operator *a, const eck_svd_options *options, int32_t threads)
{
    eck_svd *svd = NULL;
    eck_error err = ECK_ERROR_INIT;
    eck_context context = ECK_CONTEXT_INIT;
    context.threads = threads;
    expect_ok(eck_svd_compute(&svd, a, options, &context, &err), &err);
    return svd;
}

static eck_svd_options options_of(int64_t rank)
{
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.engine = ECK_ENGINE_KRYLOV;
    options.rank = rank;
    return options;
}

// The same bytes for every number of threads, for the seed, and others for another seed.
static void bytes(void **state)
{
    (void)state;
    sample a = sample_create(300, 700, ECK_DTYPE_BF16, 0.995, 3);
    eck_svd_options options = options_of(10);
    eck_svd *const first = run(a.op, &options, 1);
    assert_int_equal(first->engine, ECK_ENGINE_KRYLOV);
    assert_string_equal(eck_engine_name(first->engine), "krylov");
    assert_true(first->reproducible && first->numerical_rank == -1 && first->s->shape[0] == 10);
    for (int32_t threads = 2; threads <= 3; threads++) {
        eck_svd *const again = run(a.op, &options, threads);
        assert_memory_equal(first->u->data, again->u->data, 300 * 10 * sizeof(float));
        assert_memory_equal(first->v->data, again->v->data, 700 * 10 * sizeof(float));
        assert_memory_equal(first->s->data, again->s->data, 10 * sizeof(double));
        assert_true(first->certificate.optimum_low == again->certificate.optimum_low);
        eck_svd_free(again);
    }
    options.seed = 1;
    eck_svd *const other = run(a.op, &options, 1);
    assert_memory_not_equal(first->v->data, other->v->data, 700 * 10 * sizeof(float));
    eck_svd_free(other);
    eck_svd_free(first);
    sample_free(&a);
}

// Both forms, all types of factors, against the truth; the proof may be any.
static void forms(void **state)
{
    (void)state;
    const eck_dtype stores[] = { ECK_DTYPE_F64, ECK_DTYPE_F32, ECK_DTYPE_F16, ECK_DTYPE_BF16 };
    const eck_proof proofs[] = { ECK_PROOF_RESIDUAL, ECK_PROOF_TAIL, ECK_PROOF_BOUND };
    for (int i = 0; i < 12; i++) {
        sample a = sample_create(i % 2 ? 500 : 200, i % 2 ? 220 : 480,
                                 i % 3 ? ECK_DTYPE_F32 : ECK_DTYPE_F64, 0.99, (uint64_t)i);
        eck_svd_options options = options_of(7);
        options.store = stores[i % 4];
        options.proof = proofs[i / 4];
        if (i % 3 == 1) options.want = ECK_WANT_VALUES | ECK_WANT_COMPACT;
        eck_svd *const svd = run(a.op, &options, 2);
        const eck_certificate *const c = &svd->certificate;
        assert_int_equal(svd->engine, ECK_ENGINE_KRYLOV);
        const double truth = true_error(&a, svd->u, i % 3 == 1 ? NULL : svd->s->data, svd->v, 7);
        assert_true(c->error_low <= truth && truth <= c->error_high);
        assert_true(c->proof == (i / 4 == 2 ? ECK_PROOF_BOUND : ECK_PROOF_RESIDUAL) &&
                    c->failure > 0.0);
        // What rounding factors to 8 bits adds is no part of the excess asked for.
        if (i / 4 < 2 && stores[i % 4] != ECK_DTYPE_BF16)
            assert_true(c->excess_high <= options.excess + 1e-5);
        const double unit = 0.5 * eck_dtype_epsilon(options.store);
        if (i % 3 != 1) {
            expect_at_most("u", true_orthogonality(svd->u, 7), 4.0 * unit);
            expect_at_most("v", true_orthogonality(svd->v, 7), 4.0 * unit);
        }
        eck_svd_free(svd);
        sample_free(&a);
    }
}

// Rules find the rank the exact lane finds.
static void rules(void **state)
{
    (void)state;
    sample a = sample_create(260, 400, ECK_DTYPE_F32, 0.9, 3);
    const double targets[] = { 0.9, 0.5, 0.99, 0.3 };
    for (int i = 0; i < 4; i++) {
        eck_svd_options options = options_of(0);
        options.rule = i < 3 ? ECK_RULE_ENERGY : ECK_RULE_ERROR;
        options.target = targets[i];
        eck_svd *const found = run(a.op, &options, 2);
        options.engine = ECK_ENGINE_EXACT;
        eck_svd *const want = run(a.op, &options, 2);
        assert_int_equal(found->engine, ECK_ENGINE_KRYLOV);
        assert_int_equal(found->rank, want->rank);
        assert_true(fabs(found->energy - want->energy) < 1e-4);
        options.engine = ECK_ENGINE_KRYLOV;
        options.rank = 2; // a cap
        eck_svd *const capped = run(a.op, &options, 2);
        assert_true(capped->rank == (want->rank < 2 ? want->rank : 2));
        eck_svd_free(capped);
        eck_svd_free(want);
        eck_svd_free(found);
    }
    sample_free(&a);
}

// What the lane does not take is answered by the exact one: small, all terms, full, values only, zero, below F32.
static void handed_on(void **state)
{
    (void)state;
    sample a = sample_create(150, 200, ECK_DTYPE_F32, 0.95, 3),
           tiny = sample_create(30, 20, ECK_DTYPE_F32, 1.0, 3);
    sample low = sample_create(150, 200, ECK_DTYPE_F32, 0.02, 3);
    eck_svd_options options = options_of(5);
    eck_svd *svd = run(tiny.op, &options, 1);
    assert_int_equal(svd->engine, ECK_ENGINE_EXACT);
    eck_svd_free(svd);
    options = options_of(140);
    svd = run(a.op, &options, 1);
    assert_int_equal(svd->engine, ECK_ENGINE_EXACT);
    eck_svd_free(svd);
    options = options_of(5);
    options.want = ECK_WANT_FULL;
    svd = run(a.op, &options, 1);
    assert_int_equal(svd->engine, ECK_ENGINE_EXACT);
    eck_svd_free(svd);
    options.want = ECK_WANT_VALUES;
    svd = run(a.op, &options, 1);
    assert_true(svd->engine == ECK_ENGINE_EXACT && svd->s->shape[0] == 150);
    eck_svd_free(svd);
    options = options_of(2); // a tail of 4e-4 beside which F32 vectors are not good enough
    options.excess = 1e-7;
    svd = run(low.op, &options, 1);
    assert_true(svd->engine == ECK_ENGINE_EXACT && svd->certificate.excess_high <= 1e-6);
    eck_svd_free(svd);
    memset(a.array->data, 0, 150 * 200 * sizeof(float));
    options = options_of(5);
    svd = run(a.op, &options, 1);
    assert_true(svd->engine == ECK_ENGINE_EXACT && svd->certificate.error_high == 0.0);
    eck_svd_free(svd);
    sample_free(&low);
    sample_free(&tiny);
    sample_free(&a);
}

static bool stop(void *user, const char *what, int64_t done, int64_t total)
{
    (void)done;
    (void)total;
    return strcmp(what, user) != 0;
}

static void refusals(void **state)
{
    (void)state;
    sample a = sample_create(200, 300, ECK_DTYPE_F32, 0.99, 3);
    eck_svd *svd = NULL;
    eck_error err = ECK_ERROR_INIT;
    eck_context context = ECK_CONTEXT_INIT;
    eck_svd_options options = options_of(5);
    char growing[] = "krylov", confirming[] = "confirm";
    context.progress = stop;
    context.user = growing;
    assert_int_equal(eck_svd_compute(&svd, a.op, &options, &context, &err), ECK_E_CANCELLED);
    context.user = confirming;
    assert_int_equal(eck_svd_compute(&svd, a.op, &options, &context, &err), ECK_E_CANCELLED);
    context = (eck_context)ECK_CONTEXT_INIT;
    context.memory = 1000;
    assert_int_equal(eck_svd_compute(&svd, a.op, &options, &context, &err), ECK_E_BUDGET);
    options.excess = 0.0;
    assert_int_equal(eck_svd_compute(&svd, a.op, &options, NULL, &err), ECK_E_RANGE);
    options = options_of(5);
    ((float *)a.array->data)[77] = NAN;
    assert_int_equal(eck_svd_compute(&svd, a.op, &options, NULL, &err), ECK_E_NONFINITE);
    assert_int_equal(err.offset, 77);
    assert_null(svd);
    sample_free(&a);
}

// A limit of memory is kept or refused, and a smaller basis comes to the same error.
static void little_memory(void **state)
{
    (void)state;
    sample a = sample_create(1200, 1500, ECK_DTYPE_F32, 0.9995, 3);
    const eck_svd_options options = options_of(20);
    eck_svd *const free_run = run(a.op, &options, 2);
    eck_error err = ECK_ERROR_INIT;
    eck_context context = ECK_CONTEXT_INIT;
    int answered = 0, refused = 0;
    context.threads = 2;
    for (context.memory = 40000000; context.memory > 4000000; context.memory -= 3000000) {
        eck_svd *svd = NULL;
        const int64_t before = ecki_memory_now();
        ecki_memory_reset_peak();
        const eck_status status = eck_svd_compute(&svd, a.op, &options, &context, &err);
        assert_true(status == ECK_OK || status == ECK_E_BUDGET);
        assert_true(status != ECK_OK || ecki_memory_peak() - before <= context.memory);
        answered += status == ECK_OK;
        refused += status == ECK_E_BUDGET;
        if (svd)
            assert_true(fabs(svd->certificate.error / free_run->certificate.error - 1.0) <= 2e-4);
        eck_svd_free(svd);
    }
    assert_true(answered >= 3 && refused >= 3);
    eck_svd_free(free_run);
    sample_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes),     cmocka_unit_test(forms),    cmocka_unit_test(rules),
        cmocka_unit_test(handed_on), cmocka_unit_test(refusals), cmocka_unit_test(little_memory)
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
