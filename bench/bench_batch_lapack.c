/**
 * The opponent for batches: sgesdd on every matrix, by as many threads as there are processors, the BLAS on one each.
 * bench_batch_lapack INPUT.npy COUNT. Each thread keeps its workspace; results are made anew each time, as on the other
 * side. A row-major A [m,n] is a column-major A^T [n,m], so that LAPACK's U is our V and both come out row-major. Prints one
 * JSON line.
 */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "batch_check.h"
#include "npy_input.h"

extern void sgesdd_(const char *job, const int *m, const int *n, float *a, const int *lda, float *s,
                    float *u, const int *ldu, float *vt, const int *ldvt, float *work,
                    const int *lwork, int *iwork, int *info, size_t job_length);
extern char *openblas_get_config(void);
extern char *openblas_get_corename(void);
extern void openblas_set_num_threads(int);

enum { CALLS = 3, CHUNK = 16 };

static void *need(size_t bytes)
{
    void *const memory = malloc(bytes);
    if (!memory) bench_die("out of memory");
    return memory;
}

// Of all matrices: u [m,k], s, vt [k,n] of every one, row-major.
typedef struct results {
    float *u, *s, *vt;
} results;

static void solve_all(const results *out, const float *a, int64_t count, int m, int n)
{
    float *const u = out->u, *const s = out->s, *const vt = out->vt;
    const int k = m < n ? m : n, most = m > n ? m : n;
    const int lwork = 4 * k * k + 7 * k + 64 * (most + k);
    int failed = 0;
#pragma omp parallel reduction(+ : failed)
    {
        float *const copy = need((size_t)m * (size_t)n * sizeof *copy);
        float *const work = need((size_t)lwork * sizeof *work);
        int *const iwork = need(8 * (size_t)k * sizeof *iwork);
#pragma omp for schedule(dynamic, CHUNK)
        for (int64_t i = 0; i < count; i++) {
            int info = 0;
            memcpy(copy, a + i * m * n, (size_t)m * (size_t)n * sizeof *copy);
            sgesdd_("S", &n, &m, copy, &n, s + i * k, vt + i * k * n, &n, u + i * m * k, &k, work,
                    &lwork, iwork, &info, 1);
            failed += info != 0;
        }
        free(iwork);
        free(work);
        free(copy);
    }
    if (failed) bench_die("sgesdd failed");
}

// LAPACK's U [n,k] and V^T [k,m] of A^T are column-major: V^T [k,n] and U [m,k] by rows.
int main(int argc, char **argv)
{
    if (argc < 3 || atol(argv[2]) < 1) bench_die("bench_batch_lapack INPUT.npy COUNT");
    int64_t rows, n;
    float *const a = bench_npy_read(argv[1], &rows, &n);
    const int64_t count = atol(argv[2]), m = rows / count, k = m < n ? m : n;
    double best = 1e300, residual = 0, orthogonality = 0;
    openblas_set_num_threads(1);
    for (int i = 0; i < CALLS; i++) {
        const double start = bench_seconds();
        float *const u = need((size_t)(count * m * k) * sizeof *u);
        float *const s = need((size_t)(count * k) * sizeof *s);
        float *const vt = need((size_t)(count * k * n) * sizeof *vt);
        const results out = { u, s, vt };
        solve_all(&out, a, count, (int)m, (int)n);
        const double took = bench_seconds() - start;
        best = took < best ? took : best;
        const bench_factors first = { m, n, k, a, u, s, vt };
        if (i == 0) bench_batch_check(&residual, &orthogonality, count, &first);
        free(vt);
        free(s);
        free(u);
    }
    printf("{\"seconds\": %.9f, \"blas\": \"%s\", \"core\": \"%s\", \"threads\": %d, \"residual\": "
           "%.3f, "
           "\"orthogonality\": %.3f}\n",
           best, openblas_get_config(), openblas_get_corename(), omp_get_max_threads(), residual,
           orthogonality);
    free(a);
    return 0;
}
