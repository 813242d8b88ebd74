// Laws of the tensor decompositions, for tensors of every sort: each by two ways. u = 2^-53.
#include "matrices.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define U64 0x1p-53

enum { SHAPES = 5 };
static const struct {
    int32_t ndim;
    int64_t shape[5];
} shapes[SHAPES] = {
    { 2, { 17, 12 } },     { 3, { 9, 7, 8 } },       { 3, { 1, 6, 30 } },
    { 4, { 6, 5, 4, 6 } }, { 5, { 4, 3, 2, 5, 3 } },
};
static const eck_dtype TYPES[] = { ECK_DTYPE_F64, ECK_DTYPE_F32, ECK_DTYPE_BF16 };

/** Tensor t: normal numbers, with a decay along every mode in half of the cases. */
static eck_array *tensor_of(uint64_t t)
{
    const int32_t ndim = shapes[t % SHAPES].ndim;
    const int64_t *shape = shapes[t % SHAPES].shape;
    eck_array *wide = NULL, *out = NULL;
    eck_error err = ECK_ERROR_INIT;

    must(eck_array_create(&wide, ECK_DTYPE_F64, ndim, shape, &err), &err);
    for (int64_t i = 0; i < eck_array_count(wide); i++) {
        double value = normal_number(500 + t, (uint64_t)i);
        int64_t rest = i;
        for (int32_t n = ndim - 1; n >= 0 && t % 2; n--) {
            value *= pow(0.6, (double)(rest % shape[n]));
            rest /= shape[n];
        }
        ((double *)wide->data)[i] = value;
    }
    must(eck_array_convert(&out, eck_array_view(wide), TYPES[t % 3], &err), &err);
    eck_array_free(wide);
    return out;
}

/** || a - b || / || a || by plain sums. */
static double distance(const eck_array *a, const eck_array *b)
{
    double *x = wide_of(a), *y = wide_of(b);
    const int64_t count = eck_array_count(a);
    const double size = norm_of(x, count);
    for (int64_t i = 0; i < count; i++)
        y[i] -= x[i];
    const double error = norm_of(y, count) / size;
    test_free(y);
    test_free(x);
    return error;
}

/** Relative tails of the unfolding of some modes: [k] of the best rank k. */
static void best_tails(double *tails, int64_t room, const eck_array *x, int32_t first,
                       int32_t count)
{
    eck_operator *a = NULL;
    eck_error err = ECK_ERROR_INIT;
    int32_t modes[5];
    double all = 0.0, tail = 0.0;

    for (int32_t i = 0; i < count; i++)
        modes[i] = first + i;
    must(eck_operator_unfolding(&a, eck_array_view(x), modes, count, &err), &err);
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.rule = ECK_RULE_THIN;
    options.want = ECK_WANT_VALUES;
    eck_svd *svd = svd_of(a, &options);
    const double *s = svd->s->data;
    const int64_t n = svd->s->shape[0];
    for (int64_t i = 0; i < n; i++)
        all += s[i] * s[i];
    for (int64_t k = room - 1; k >= 0; k--) {
        if (k < n) tail += s[k] * s[k];
        tails[k] = k < n ? sqrt(tail / all) : 0.0;
    }
    eck_svd_free(svd);
    eck_operator_free(a);
}

// ||X - X^||^2 of ST-HOSVD is the sum of what the modes discarded; it is at most the sum of what each unfolding alone would
// lose, and at least the largest of them. Tails are known to sqrt(n u) from Grams, 1e-15 in the square.
static void sequential_truncation(void **state)
{
    (void)state;
    for (uint64_t t = 0; t < 30; t++) {
        eck_array *x = tensor_of(t);
        eck_tucker_options o = ECK_TUCKER_OPTIONS_INIT;
        eck_tucker *tucker = NULL;
        eck_array *made = NULL;
        eck_error err = ECK_ERROR_INIT;
        double sum = 0.0, most = 0.0, bound = 0.0, tails[64];

        for (int32_t n = 0; n < x->ndim; n++)
            o.ranks[n] = 1 + (int64_t)((t / SHAPES + (uint64_t)n) % 3);
        o.store = ECK_DTYPE_F64;
        must(eck_tucker_compute(&tucker, eck_array_view(x), &o, NULL, &err), &err);
        must(eck_tucker_reconstruct(&made, tucker, NULL, &err), &err);
        const double error = distance(x, made);
        for (int32_t n = 0; n < x->ndim; n++) {
            best_tails(tails, 64, x, n, 1);
            const double best = tails[tucker->ranks[n]];
            sum += tucker->tails[n] * tucker->tails[n];
            bound += best * best;
            most = fmax(most, best);
        }
        hold("Tucker: error^2 = sum of discarded^2", "", fabs(sum - error * error), 64.0 * U64);
        hold("Tucker: at most the tails of all modes", "", error * error - bound, 64.0 * U64);
        hold("Tucker: at least the largest tail", "", most * most - error * error, 64.0 * U64);
        eck_array_free(made);
        eck_tucker_free(tucker);
        eck_array_free(x);
    }
}

// The same for a train: error^2 = sum of discarded^2 <= sum of the best tails of its cuts <= (d - 1) times the optimum.
static void trains(void **state)
{
    (void)state;
    for (uint64_t t = 0; t < 30; t++) {
        eck_array *x = tensor_of(t);
        eck_tt_options o = ECK_TT_OPTIONS_INIT;
        eck_tt *tt = NULL;
        eck_array *made = NULL;
        eck_error err = ECK_ERROR_INIT;
        double sum = 0.0, bound = 0.0, most = 0.0, tails[64];

        for (int32_t n = 0; n + 1 < x->ndim; n++)
            o.ranks[n] = 1 + (int64_t)((t / SHAPES + (uint64_t)n) % 4);
        o.store = ECK_DTYPE_F64;
        must(eck_tt_compute(&tt, eck_array_view(x), &o, NULL, &err), &err);
        must(eck_tt_reconstruct(&made, tt, NULL, &err), &err);
        const double error = distance(x, made);
        for (int32_t n = 0; n + 1 < x->ndim; n++) {
            best_tails(tails, 64, x, 0, n + 1);
            const double best = tails[tt->ranks[n]];
            sum += tt->tails[n] * tt->tails[n];
            bound += best * best;
            most = fmax(most, best);
        }
        hold("train: error^2 = sum of discarded^2", "", fabs(sum - error * error), 64.0 * U64);
        hold("train: at most the tails of all cuts", "", error * error - bound, 64.0 * U64);
        hold("train: at least the largest tail", "", most * most - error * error, 64.0 * U64);
        eck_array_free(made);
        eck_tt_free(tt);
        eck_array_free(x);
    }
}

// Full ranks give the tensor back, to roundings that grow with the sizes.
static void full_ranks(void **state)
{
    (void)state;
    for (uint64_t t = 0; t < 15; t++) {
        eck_array *x = tensor_of(t), *made = NULL;
        eck_tucker_options o = ECK_TUCKER_OPTIONS_INIT;
        eck_tt_options p = ECK_TT_OPTIONS_INIT;
        eck_tucker *tucker = NULL;
        eck_tt *tt = NULL;
        eck_error err = ECK_ERROR_INIT;

        o.store = p.store = ECK_DTYPE_F64;
        o.sweeps = 1;
        must(eck_tucker_compute(&tucker, eck_array_view(x), &o, NULL, &err), &err);
        must(eck_tucker_reconstruct(&made, tucker, NULL, &err), &err);
        hold("Tucker of full ranks", "", distance(x, made), 200.0 * U64);
        eck_array_free(made);
        must(eck_tt_compute(&tt, eck_array_view(x), &p, NULL, &err), &err);
        must(eck_tt_reconstruct(&made, tt, NULL, &err), &err);
        hold("train of full ranks", "", distance(x, made), 200.0 * U64);
        eck_array_free(made);
        eck_tt_free(tt);
        eck_tucker_free(tucker);
        eck_array_free(x);
    }
}

// A matrix is a tensor of two modes: all three are its truncated SVD, and none beats it.
static void two_modes(void **state)
{
    (void)state;
    for (uint64_t t = 0; t < 15; t += 5) {
        eck_array *x = tensor_of(t);
        eck_tucker_options o = ECK_TUCKER_OPTIONS_INIT;
        eck_tt_options p = ECK_TT_OPTIONS_INIT;
        eck_cp_options q = ECK_CP_OPTIONS_INIT;
        eck_tucker *tucker = NULL;
        eck_tt *tt = NULL;
        eck_cp *cp = NULL;
        eck_error err = ECK_ERROR_INIT;
        double tails[64];

        o.ranks[0] = o.ranks[1] = p.ranks[0] = q.rank = 4;
        q.iterations = 20000;
        q.tolerance = 1e-16;
        best_tails(tails, 64, x, 0, 1);
        must(eck_tucker_compute(&tucker, eck_array_view(x), &o, NULL, &err), &err);
        must(eck_tt_compute(&tt, eck_array_view(x), &p, NULL, &err), &err);
        must(eck_cp_compute(&cp, eck_array_view(x), &q, NULL, &err), &err);
        hold("Tucker of a matrix", "", fabs(tucker->truncated - tails[4]), 64.0 * U64);
        hold("train of a matrix", "", fabs(tt->truncated - tails[4]), 64.0 * U64);
        // CP stops when an iteration gains less than 1e-16 of the squared norm.
        hold("CP of a matrix", "", fabs(cp->error * cp->error - tails[4] * tails[4]), 1e-12);
        eck_cp_free(cp);
        eck_tt_free(tt);
        eck_tucker_free(tucker);
        eck_array_free(x);
    }
}

// Orthogonal changes of basis and powers of two change nothing that is relative.
static void invariances(void **state)
{
    (void)state;
    for (uint64_t t = 0; t < 10; t++) {
        eck_array *x = tensor_of(3 * t), *y = NULL; // F64
        eck_error err = ECK_ERROR_INIT;
        const eck_context many = { 1, 3, 0, NULL, NULL };
        eck_tucker_options o = ECK_TUCKER_OPTIONS_INIT;
        eck_tucker *a = NULL, *b = NULL;

        for (int32_t n = 0; n < x->ndim; n++)
            o.ranks[n] = 2;
        must(eck_array_convert(&y, eck_array_view(x), ECK_DTYPE_F64, &err), &err);
        for (int64_t i = 0; i < eck_array_count(y); i++)
            ((double *)y->data)[i] = ldexp(((double *)y->data)[i], 40);
        must(eck_tucker_compute(&a, eck_array_view(x), &o, NULL, &err), &err);
        must(eck_tucker_compute(&b, eck_array_view(y), &o, &many, &err), &err);
        hold("scaled by 2^40, three threads", "", fabs(a->truncated - b->truncated), 64.0 * U64);
        eck_tucker_free(b);
        eck_tucker_free(a);
        eck_array_free(y);
        eck_array_free(x);
    }
}

static void report(void **state)
{
    (void)state;
    report_worst();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sequential_truncation),
        cmocka_unit_test(trains),
        cmocka_unit_test(full_ranks),
        cmocka_unit_test(two_modes),
        cmocka_unit_test(invariances),
        cmocka_unit_test(report),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
