/**
 * The opponent: LAPACK's sgesdd called as its manual says. bench_lapack INPUT.npy svd|values RANK
 * [OUT-PREFIX].
 *
 * A row-major A [m,n] is a column-major A^T [n,m], so the routine gives A^T = V diag(s) U^T: its U
 * is our V. Prints one JSON line; writes OUT-PREFIX.U.npy, .S.npy and .V.npy, cut to RANK columns,
 * when asked to.
 */
#include <string.h>

#include "npy_input.h"

extern void sgesdd_(const char *job, const int *m, const int *n, float *a, const int *lda, float *s,
                    float *u, const int *ldu, float *vt, const int *ldvt, float *work,
                    const int *lwork, int *iwork, int *info, size_t job_length);
extern char *openblas_get_config(void);
extern char *openblas_get_corename(void);
extern int openblas_get_num_threads(void);

typedef struct problem {
    int m, n, least; // of the column-major matrix
    float *a, *s, *u, *vt;
} problem;

static void *need(size_t bytes)
{
    void *const memory = malloc(bytes ? bytes : 1);
    if (!memory) bench_die("out of memory");
    return memory;
}

// Workspace: the answer of the query, rounded up past what a float can hold, and never below the
// documented least.
static int workspace(const char *job, const problem *p)
{
    float answer = 0;
    const int query = -1;
    int info = 0, unused = 0;
    sgesdd_(job, &p->m, &p->n, p->a, &p->m, p->s, p->u, &p->m, p->vt, &p->least, &answer, &query,
            &unused, &info, 1);
    const double most = p->m > p->n ? p->m : p->n, k = p->least;
    const double least = *job == 'N' ? 3 * k + (most > 7 * k ? most : 7 * k) : 4 * k * k + 7 * k;
    const double asked = (double)answer * 1.001 + 1;
    return (int)(asked > least ? asked : least);
}

static void write_factors(const char *prefix, const problem *p, int64_t rank)
{
    char path[4096];
    float *const left = need((size_t)p->n * (size_t)rank * sizeof *left);
    float *const right = need((size_t)p->m * (size_t)rank * sizeof *right);
    for (int64_t i = 0; i < p->n; i++)
        for (int64_t j = 0; j < rank; j++)
            left[i * rank + j] = p->vt[j + i * p->least];
    for (int64_t i = 0; i < p->m; i++)
        for (int64_t j = 0; j < rank; j++)
            right[i * rank + j] = p->u[i + j * p->m];
    snprintf(path, sizeof path, "%s.U.npy", prefix);
    bench_npy_write(path, left, p->n, rank);
    snprintf(path, sizeof path, "%s.V.npy", prefix);
    bench_npy_write(path, right, p->m, rank);
    free(left);
    free(right);
}

int main(int argc, char **argv)
{
    if (argc < 4) bench_die("bench_lapack INPUT.npy svd|values RANK [OUT-PREFIX]");
    int64_t rows, cols;
    problem p = { 0 };
    p.a = bench_npy_read(argv[1], &rows, &cols);
    p.m = (int)cols;
    p.n = (int)rows;
    const char *const job = strcmp(argv[2], "values") == 0 ? "N" : "S";
    p.least = p.m < p.n ? p.m : p.n;
    const size_t vectors = *job == 'S' ? (size_t)p.least : 0;
    const double start = bench_seconds();
    p.s = need((size_t)p.least * sizeof(float));
    p.u = need((size_t)p.m * vectors * sizeof(float));
    p.vt = need((size_t)p.n * vectors * sizeof(float));
    const int lwork = workspace(job, &p);
    float *const work = need((size_t)lwork * sizeof *work);
    int *const iwork = need(8 * (size_t)p.least * sizeof *iwork);
    int info = 0;
    sgesdd_(job, &p.m, &p.n, p.a, &p.m, p.s, p.u, &p.m, p.vt, &p.least, work, &lwork, iwork, &info,
            1);
    const double seconds = bench_seconds() - start;
    if (info != 0) bench_die("sgesdd failed");
    printf("{\"seconds\": %.6f, \"blas\": \"%s\", \"core\": \"%s\", \"threads\": %d}\n", seconds,
           openblas_get_config(), openblas_get_corename(), openblas_get_num_threads());
    if (argc > 4) {
        char path[4096];
        snprintf(path, sizeof path, "%s.S.npy", argv[4]);
        bench_npy_write(path, p.s, 1, p.least);
        if (*job == 'S') write_factors(argv[4], &p, atol(argv[3]));
    }
    free(work);
    free(iwork);
    free(p.a);
    free(p.s);
    free(p.u);
    free(p.vt);
    return 0;
}
