/**
 * A^T (A X) in one read of A beside the two products of the BLAS, in turns in one process: bench_fused ROWS COLS WIDTH.
 * A and X are numbers between -1 and 1 in float32; both sides have every thread of the machine. Which side begins changes from pair
 * to pair; of the BLAS the quicker layout of X counts. Prints one JSON line: the median and the ends of the ratio, rates, and
 * the rate of sgemm at 2048, which is as near to the peak as this machine comes.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "eckart/eckart.h"

extern void sgemm_(const char *ta, const char *tb, const int *m, const int *n, const int *k,
                   const float *alpha, const float *a, const int *lda, const float *b,
                   const int *ldb, const float *beta, float *c, const int *ldc, size_t, size_t);
extern char *openblas_get_corename(void);

enum { PAIRS = 15, GEMM = 2048 };

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float *numbers(int64_t count)
{
    uint64_t state = 88172645463325252u; // xorshift, Marsaglia 2003
    float *const x = aligned_alloc(64, (size_t)(count + 16) / 16 * 64);
    if (!x) exit(1);
    for (int64_t i = 0; i < count; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        x[i] = (float)((double)(state >> 11) * 0x1p-52 - 1.0);
    }
    return x;
}

// The same with X, Y and Z by columns, as a caller may hold them: Y = A X, Z = A^T Y. The numbers of z are others.
static double by_columns(const float *a, const float *x, float *y, float *z, const int sizes[3])
{
    const int m = sizes[0], n = sizes[1], b = sizes[2];
    const float one = 1.0F, zero = 0.0F;
    const double start = now();
    sgemm_("T", "N", &m, &b, &n, &one, a, &n, x, &n, &zero, y, &m, 1, 1);
    sgemm_("N", "N", &n, &b, &m, &one, a, &n, y, &m, &zero, z, &n, 1, 1);
    return now() - start;
}

// A row-major matrix is the transpose of a column-major one: Y^T = X^T A^T, Z^T = Y^T A.
static double by_rows(const float *a, const float *x, float *y, float *z, const int sizes[3])
{
    const int m = sizes[0], n = sizes[1], b = sizes[2];
    const float one = 1.0F, zero = 0.0F;
    const double start = now();
    sgemm_("N", "N", &b, &m, &n, &one, x, &b, a, &n, &zero, y, &b, 1, 1);
    sgemm_("N", "T", &b, &n, &m, &one, y, &b, a, &n, &zero, z, &b, 1, 1);
    return now() - start;
}

// The quicker of both layouts.
static double by_blas(const float *a, const float *x, float *y, float *z, const int sizes[3])
{
    const double rows = by_rows(a, x, y, z, sizes);
    return fmin(rows, by_columns(a, x, y, z, sizes));
}

static double by_eckart(const eck_operator *a, const float *x, float *z, const int sizes[3])
{
    const int64_t n = sizes[1], b = sizes[2];
    const eck_panel in = { (void *)(uintptr_t)x, ECK_DTYPE_F32, n, b, b },
                    out = { z, ECK_DTYPE_F32, n, b, b };
    const double start = now();
    if (eck_operator_normal(a, ECK_SIDE_RIGHT, 1.0, in, out, NULL, NULL) != ECK_OK) exit(1);
    return now() - start;
}

static double sgemm_rate(void)
{
    const int n = GEMM;
    const float one = 1.0F, zero = 0.0F;
    float *const a = numbers((int64_t)n * n), *const b = numbers((int64_t)n * n),
                 *const c = numbers((int64_t)n * n);
    double best = INFINITY;
    for (int i = 0; i < 7; i++) {
        const double start = now();
        sgemm_("N", "N", &n, &n, &n, &one, a, &n, b, &n, &zero, c, &n, 1, 1);
        best = fmin(best, now() - start);
    }
    free(c);
    free(b);
    free(a);
    return 2e-9 * n * (double)n * n / best;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int count, char **arguments)
{
    if (count != 4) return 2;
    const int sizes[3] = { atoi(arguments[1]), atoi(arguments[2]), atoi(arguments[3]) };
    const int64_t m = sizes[0], n = sizes[1], b = sizes[2];
    float *const a = numbers(m * n), *const x = numbers(n * b), *const y = numbers(m * b);
    float *const z = numbers(n * b), *const other = numbers(n * b);
    eck_operator *op = NULL;
    if (eck_operator_dense(&op, eck_view_matrix(a, ECK_DTYPE_F32, m, n), NULL) != ECK_OK) return 1;
    double ours[PAIRS], blas[PAIRS], ratio[PAIRS], off = 0.0, size = 0.0;
    by_rows(a, x, y, other, sizes);
    by_eckart(op, x, z, sizes);
    for (int64_t i = 0; i < n * b; i++) {
        off = fmax(off, fabs((double)z[i] - (double)other[i]));
        size = fmax(size, fabs((double)other[i]));
    }
    for (int i = 0; i < PAIRS; i++) {
        if (i % 2) blas[i] = by_blas(a, x, y, other, sizes);
        ours[i] = by_eckart(op, x, z, sizes);
        if (i % 2 == 0) blas[i] = by_blas(a, x, y, other, sizes);
        ratio[i] = blas[i] / ours[i];
    }
    qsort(ours, PAIRS, sizeof *ours, ascending);
    qsort(blas, PAIRS, sizeof *blas, ascending);
    qsort(ratio, PAIRS, sizeof *ratio, ascending);
    const double work = 4e-9 * (double)m * (double)n * (double)b;
    printf("{\"kind\": \"fused\", \"rows\": %d, \"cols\": %d, \"width\": %d, \"pairs\": %d, "
           "\"ratio\": {\"median\": %.4g, \"low\": %.4g, \"high\": %.4g}, \"gflops\": {\"eckart\": "
           "%.4g, \"blas\": %.4g, \"sgemm\": %.4g}, \"apart\": %.2g, \"core\": \"%s\"}\n",
           sizes[0], sizes[1], sizes[2], PAIRS, ratio[PAIRS / 2], ratio[0], ratio[PAIRS - 1],
           work / ours[PAIRS / 2], work / blas[PAIRS / 2], sgemm_rate(), off / size,
           openblas_get_corename());
    eck_operator_free(op);
    free(other);
    free(z);
    free(y);
    free(x);
    free(a);
    return 0;
}
