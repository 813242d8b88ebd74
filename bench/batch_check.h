/**
 * How good the factors of a batch are, computed the same way for every side: the worst || A - U diag(S) V^T ||_F / || A ||_F
 * and the worst | X^T X - I | of U and V, in spacings of float32 at 1.
 */
#ifndef BENCH_BATCH_CHECK_H
#define BENCH_BATCH_CHECK_H

#include <math.h>
#include <stdint.h>

/** Row-major A [m,n], U [m,k], S [k], V^T [k,n] of one matrix. */
typedef struct bench_factors {
    int64_t m, n, k;
    const float *a, *u, *s, *vt;
} bench_factors;

static inline double bench_residual(const bench_factors *f)
{
    double rest = 0, norm = 0;
    for (int64_t i = 0; i < f->m; i++)
        for (int64_t j = 0; j < f->n; j++) {
            double x = f->a[i * f->n + j];
            norm += x * x;
            for (int64_t p = 0; p < f->k; p++)
                x -= (double)f->u[i * f->k + p] * f->s[p] * f->vt[p * f->n + j];
            rest += x * x;
        }
    return sqrt(rest / norm) * 0x1p23;
}

static inline double bench_orthogonality(const bench_factors *f)
{
    double worst = 0;
    for (int64_t p = 0; p < f->k; p++)
        for (int64_t q = 0; q <= p; q++) {
            double u = p == q ? -1 : 0, v = u;
            for (int64_t i = 0; i < f->m; i++)
                u += (double)f->u[i * f->k + p] * f->u[i * f->k + q];
            for (int64_t j = 0; j < f->n; j++)
                v += (double)f->vt[p * f->n + j] * f->vt[q * f->n + j];
            worst = fmax(worst, fmax(fabs(u), fabs(v)));
        }
    return worst * 0x1p23;
}

/** Both over at most 2000 matrices spread over the batch. */
static inline void bench_batch_check(double *residual, double *orthogonality, int64_t count,
                                     const bench_factors *first)
{
    const int64_t step = count > 2000 ? count / 2000 : 1;
    *residual = *orthogonality = 0;
    for (int64_t i = 0; i < count; i += step) {
        const bench_factors f = { first->m,
                                  first->n,
                                  first->k,
                                  first->a + i * first->m * first->n,
                                  first->u + i * first->m * first->k,
                                  first->s + i * first->k,
                                  first->vt + i * first->k * first->n };
        *residual = fmax(*residual, bench_residual(&f));
        *orthogonality = fmax(*orthogonality, bench_orthogonality(&f));
    }
}

#endif
