/**
 * This machine's gemm rate at this moment: bench_gemm N. Prints one JSON line with GFLOP/s of the
 * best of five sgemm and of the best of three dgemm, N x N x N, and the BLAS that reached them.
 */
#include "npy_input.h"

extern void sgemm_(const char *, const char *, const int *, const int *, const int *, const float *,
                   const float *, const int *, const float *, const int *, const float *, float *,
                   const int *, size_t, size_t);
extern void dgemm_(const char *, const char *, const int *, const int *, const int *,
                   const double *, const double *, const int *, const double *, const int *,
                   const double *, double *, const int *, size_t, size_t);
extern char *openblas_get_config(void);
extern char *openblas_get_corename(void);
extern int openblas_get_num_threads(void);

static double single_rate(int n)
{
    const size_t count = (size_t)n * (size_t)n;
    float *const a = malloc(3 * count * sizeof *a);
    if (!a) bench_die("out of memory");
    for (size_t i = 0; i < 3 * count; i++)
        a[i] = (float)((i * 2654435761u) % 1000) * 1e-3f - 0.5f;
    double best = 1e300;
    for (int run = 0; run < 5; run++) {
        const float one = 1, zero = 0;
        const double start = bench_seconds();
        sgemm_("N", "N", &n, &n, &n, &one, a, &n, a + count, &n, &zero, a + 2 * count, &n, 1, 1);
        const double took = bench_seconds() - start;
        best = took < best ? took : best;
    }
    free(a);
    return 2e-9 * (double)n * (double)count / best;
}

static double double_rate(int n)
{
    const size_t count = (size_t)n * (size_t)n;
    double *const a = malloc(3 * count * sizeof *a);
    if (!a) bench_die("out of memory");
    for (size_t i = 0; i < 3 * count; i++)
        a[i] = (double)((i * 2654435761u) % 1000) * 1e-3 - 0.5;
    double best = 1e300;
    for (int run = 0; run < 3; run++) {
        const double one = 1, zero = 0, start = bench_seconds();
        dgemm_("N", "N", &n, &n, &n, &one, a, &n, a + count, &n, &zero, a + 2 * count, &n, 1, 1);
        const double took = bench_seconds() - start;
        best = took < best ? took : best;
    }
    free(a);
    return 2e-9 * (double)n * (double)count / best;
}

int main(int argc, char **argv)
{
    const int n = argc > 1 ? atoi(argv[1]) : 2048;
    if (n < 1 || n > 16384) bench_die("bench_gemm N");
    const double f32 = single_rate(n), f64 = double_rate(n);
    printf(
        "{\"sgemm\": %.2f, \"dgemm\": %.2f, \"blas\": \"%s\", \"core\": \"%s\", \"threads\": %d}\n",
        f32, f64, openblas_get_config(), openblas_get_corename(), openblas_get_num_threads());
    return 0;
}
