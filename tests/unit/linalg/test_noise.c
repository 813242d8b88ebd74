// Thresholds against published figures, ranks against planted ones.
#include "linalg/noise.h"

#include <math.h>
#include <string.h>

#include "support.h"

static void figures(void **state)
{
    (void)state;
    // Nakajima et al. give 2.5129 for square matrices; sqrt(x) there is 2.216, and at alpha = 0.1 it is 1.4296.
    const double tau = ecki_evb_tau(1.0), other = ecki_evb_tau(0.1);
    expect_at_most("tau(1)", fabs(tau - 2.5129), 5e-5);
    expect_at_most("edge(1)", fabs(sqrt((1.0 + tau) * (1.0 + 1.0 / tau)) - 2.2160), 5e-5);
    expect_at_most("tau(0.1)", fabs(other - 0.8222), 5e-5);
    expect_at_most("edge(0.1)", fabs(sqrt((1.0 + other) * (1.0 + 0.1 / other)) - 1.4296), 5e-5);
    // Gavish and Donoho give 2.858 for square matrices.
    expect_at_most("omega(1)", fabs(ecki_hard_threshold(1.0) - 2.858), 5e-4);
    for (double beta = 0.05; beta <= 1.0; beta += 0.05) {
        // Their cubic is off by less than 0.02.
        const double cubic = ((0.56 * beta - 0.95) * beta + 1.82) * beta + 1.43;
        expect_at_most("omega", fabs(ecki_hard_threshold(beta) - cubic), 0.021);
    }
}

/** Rank `rank` of size `strength` times the edge of the noise, in noise of variance 1, by both rules. */
static void planted(int64_t rows, int64_t cols, int64_t rank, double strength, double scale)
{
    sample a = sample_create(rows, cols, ECK_DTYPE_F64, 1.0, 77);
    eck_spectrum_info info = { 0 };
    eck_svd *svd = NULL;
    eck_error err = ECK_ERROR_INIT;
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    const double edge = sqrt((double)rows) + sqrt((double)cols);

    // Unit columns and rows far apart: distinct coordinates.
    for (int64_t r = 0; r < rank; r++)
        ((double *)a.array->data)[r * cols + r] += strength * edge;
    for (int64_t i = 0; i < rows * cols; i++)
        ((double *)a.array->data)[i] *= scale;
    options.rule = ECK_RULE_EVBMF;
    expect_ok(eck_svd_compute(&svd, a.op, &options, NULL, &err), &err);
    assert_int_equal(svd->rank, rank);
    info.rows = rows;
    info.cols = cols;
    info.count = rows < cols ? rows : cols;
    info.values = svd->s->data;
    info.numerical_rank = svd->numerical_rank;
    info.tolerance = svd->tolerance;
    assert_int_equal(ecki_rank_hard_threshold(&info), rank);
    eck_svd_free(svd);
    sample_free(&a);
}

static void ranks(void **state)
{
    (void)state;
    planted(60, 60, 0, 0.0, 1.0);
    planted(60, 60, 4, 3.0, 1.0);
    planted(40, 160, 3, 3.0, 1.0);
    planted(160, 40, 3, 3.0, 1e-200);
    planted(50, 70, 6, 20.0, 1e200);
}

static void corners(void **state)
{
    (void)state;
    const double values[] = { 3.0, 2.0, 0.0, 0.0 }, zeros[4] = { 0 };
    eck_spectrum_info info = { .rows = 4, .cols = 9, .count = 4, .values = values };
    int64_t rank = -1;
    eck_error err = ECK_ERROR_INIT;

    info.numerical_rank = 2;
    assert_int_equal(ecki_rank_hard_threshold(&info), 1); // half the values are above the median 1
    info.values = zeros;
    info.numerical_rank = 0;
    expect_ok(eck_rule_rank(&rank, &info, ECK_RULE_EVBMF, 0.0, 0, &err), &err);
    assert_int_equal(rank, 0);
    expect_ok(eck_rule_rank(&rank, &info, ECK_RULE_HARD_THRESHOLD, 0.0, 0, &err), &err);
    assert_int_equal(rank, 0);
    info.count = 0;
    expect_ok(eck_rule_rank(&rank, &info, ECK_RULE_EVBMF, 0.0, 3, &err), &err);
    assert_int_equal(rank, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(figures), cmocka_unit_test(ranks),
                                        cmocka_unit_test(corners) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
