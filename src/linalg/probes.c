// The certificate by probes: for R = A - B and p standard normal vectors w_j, the mean of
// ||R w_j||^2 estimates ||R||_F^2, and large deviations are bounded for every R at once
// (docs/methods/svd.md derives it). Always true: no statement here holds by sampling alone without
// its probability.
#include <math.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/random.h"
#include "linalg/certificate.h"
#include "tensor/codec.h"

enum { PROBES_MIN = 128, STREAM = 0x6b }; // a stream of its own

// ln of the bound of P(mean <= q ||R||^2), or >= for q > 1: (p/2) (ln q + 1 - q).
static double log_deviation(double q, double p)
{
    return 0.5 * p * (log(q) + 1.0 - q);
}

// The q on its side of 1 where the bound is `failure`, found by halving.
static double deviation(double failure, double p, bool below)
{
    double near = 1.0, far = below ? 0.0 : 2.0;
    while (!below && log_deviation(far, p) > log(failure))
        far *= 2.0;
    for (int i = 0; i < 200; i++) {
        const double middle = 0.5 * (near + far);
        if (log_deviation(middle, p) > log(failure))
            near = middle;
        else
            far = middle;
    }
    return far;
}

// So many that both factors together stay below 1.7: high / error <= 1.25, and error / truth <= 1.36
// nearly always.
int64_t ecki_probe_count(double failure)
{
    int64_t p = PROBES_MIN;
    if (!(failure > 0.0 && failure < 1.0)) return p; // refused elsewhere
    while (deviation(0.5 * failure, (double)p, true) < 1.0 / (1.25 * 1.25))
        p += 16;
    return p;
}

// out = scale_a A x - scale_b B x; returns its squared norm.
static eck_status probe(double *norm2_out, double *const products[2], const ecki_difference *d,
                        eck_panel x, const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t rows = d->a->info.rows;
    double sum = 0.0;
    ECK_TRY(eck_operator_apply(d->a, d->scale_a, x,
                               ecki_panel(products[0], ECK_DTYPE_F64, rows, x.cols), context, err));
    ECK_TRY(eck_operator_apply(d->b, d->scale_b, x,
                               ecki_panel(products[1], ECK_DTYPE_F64, rows, x.cols), context, err));
    for (int64_t i = 0; i < rows; i++) {
        double line = 0.0;
        for (int64_t j = 0; j < x.cols; j++) {
            const double r = products[0][i * x.cols + j] - products[1][i * x.cols + j];
            line += r * r;
        }
        sum += line;
    }
    *norm2_out = sum;
done:
    return status;
}

// Bound of what rounding adds to the norm of all probes: each product with a vector of length n
// rounds at most (n + depth + 2) times, reads come with errors of their own.
static eck_status probe_error(double *out, const ecki_difference *d, double probes_norm,
                              const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_measure a, b;
    ECK_TRY(ecki_operator_measure(&a, d->a, context, err));
    ECK_TRY(ecki_operator_measure(&b, d->b, context, err));
    const double n = (double)d->a->info.cols + 2.0;
    const double of_a = a.error + (n + (double)a.depth) * 0x1p-53 * a.magnitude;
    const double of_b = b.error + (n + (double)b.depth) * 0x1p-53 * b.magnitude;
    *out = (of_a * d->scale_a + of_b * d->scale_b) * probes_norm;
done:
    return status;
}

eck_status ecki_distance_probes(ecki_distance *out, const ecki_difference *d, double norm,
                                const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    double *x = NULL, *products[2] = { NULL, NULL };
    double norm2 = 0.0, error = 0.0, length = 0.0;
    const int64_t cols = d->a->info.cols, rows = d->a->info.rows;
    ECK_REQUIRE(d->failure >= 1e-12 && d->failure <= 0.5, ECK_E_RANGE, -1,
                "failure %g lies outside 1e-12 .. 0.5", d->failure);
    const int64_t p = ecki_probe_count(d->failure);
    int64_t x_count = 0, y_count = 0;
    ECK_REQUIRE(ecki_mul(cols, p, &x_count) && ecki_mul(rows, p, &y_count), ECK_E_NOMEM, -1,
                "not enough memory for %lld probes", (long long)p);
    ECK_ALLOC_RAW(x, x_count);
    ECK_ALLOC_RAW(products[0], y_count);
    ECK_ALLOC_RAW(products[1], y_count);
    ecki_random_fill_normal(x, x_count, d->seed, STREAM, 0);
    for (int64_t i = 0; i < x_count; i++)
        length += x[i] * x[i];
    ECK_TRY(probe(&norm2, products, d, ecki_panel(x, ECK_DTYPE_F64, cols, p), context, err));
    ECK_REQUIRE(isfinite(norm2), ECK_E_NONFINITE, -1,
                "cannot compare '%s' with '%s': a value is not finite", d->a->info.name,
                d->b->info.name);
    ECK_TRY(probe_error(&error, d, sqrt(length) * 1.001, context, err));
    // The chain of the sum above is at most rows + p long; half of it under the root.
    const double root = sqrt((double)p), relative = (double)(rows + p) * 0x1p-53;
    const double below = deviation(0.5 * d->failure, (double)p, true);
    const double above = deviation(0.5 * d->failure, (double)p, false);
    const double seen = sqrt(norm2);
    out->norm = norm;
    out->residual = seen / root;
    out->high = (seen * (1.0 + relative) + error) / (root * sqrt(below));
    out->low = fmax(0.0, (seen * (1.0 - relative) - error) / (root * sqrt(above)));
    out->floor = 20.0 * (error + relative * seen) / root;
done:
    ecki_free(products[1]);
    ecki_free(products[0]);
    ecki_free(x);
    return status;
}
