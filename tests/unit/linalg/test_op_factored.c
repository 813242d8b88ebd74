// U diag(s) V^T of stored factors: reads and products against sums written out, and the bound of both.
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "tensor/codec.h"

static void check(int64_t m, int64_t n, int64_t k, bool values)
{
    sample u = sample_create(m, k, ECK_DTYPE_BF16, 1.0, 1),
           v = sample_create(n, k, ECK_DTYPE_F32, 1.0, 2);
    double *const s = test_malloc((size_t)(k + 1) * sizeof *s);
    for (int64_t i = 0; i < k; i++)
        s[i] = 1.0 / (double)(i + 3) * (i % 2 ? -1.0 : 1.0);
    eck_operator *op = NULL;
    eck_error err = ECK_ERROR_INIT;
    expect_ok(ecki_operator_factored(&op, eck_array_view(u.array), values ? s : NULL,
                                     eck_array_view(v.array), &err),
              &err);
    double *const out = test_malloc((size_t)(m * n) * sizeof *out);
    long double *const exact = test_malloc((size_t)(m * n) * sizeof *exact);
    expect_ok(eck_operator_read(op, 0, 0, ecki_panel(out, ECK_DTYPE_F64, m, n), &err), &err);
    long double worst2 = 0.0L;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            exact[i * n + j] = 0.0L;
            for (int64_t t = 0; t < k; t++)
                exact[i * n + j] +=
                    (long double)u.wide[i * k + t] * (values ? s[t] : 1.0) * v.wide[j * k + t];
            worst2 += (out[i * n + j] - exact[i * n + j]) * (out[i * n + j] - exact[i * n + j]);
        }
    ecki_measure measure;
    expect_ok(ecki_operator_measure(&measure, op, NULL, &err), &err);
    expect_at_most("rounding of factors", (double)sqrtl(worst2), measure.error);
    for (int transposed = 0; transposed < 2; transposed++) {
        const int64_t in = transposed ? m : n, rows = transposed ? n : m;
        double x[400], y[400];
        ecki_random_fill_normal(x, in, 5, 5, 0);
        const eck_panel xp = ecki_panel(x, ECK_DTYPE_F64, in, 1),
                        yp = ecki_panel(y, ECK_DTYPE_F64, rows, 1);
        expect_ok(transposed ? eck_operator_apply_transpose(op, 0.5, xp, yp, NULL, &err)
                             : eck_operator_apply(op, 0.5, xp, yp, NULL, &err),
                  &err);
        double length = 0.0, off = 0.0;
        for (int64_t i = 0; i < in; i++)
            length += x[i] * x[i];
        for (int64_t i = 0; i < rows; i++) {
            long double sum = 0.0L;
            for (int64_t t = 0; t < in; t++)
                sum += 0.5L * exact[transposed ? t * n + i : i * n + t] * x[t];
            off += (double)((y[i] - sum) * (y[i] - sum));
        }
        const double allowed =
            (double)(in + measure.depth + 2) * 0x1p-53 * measure.magnitude * sqrt(length);
        expect_at_most("rounding of a product with a vector", sqrt(off), allowed);
    }
    test_free(exact);
    test_free(out);
    eck_operator_free(op);
    test_free(s);
    sample_free(&v);
    sample_free(&u);
}

static void factors(void **state)
{
    (void)state;
    check(4, 3, 2, true);
    check(4, 3, 2, false);
    check(300, 20, 270, true);
    check(2, 3, 0, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(factors) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
