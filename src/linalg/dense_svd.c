// LAPACK's SVD of the whole matrix in F64: the lane of F64 storage (QR first when that is cheaper)
// and the reference lane. Known defects of its drivers are met by checking what comes back and
// trying the next one: dgesdd, dgesvd, dgesvj. Always true: the matrix handed to a solver is tall,
// so that for a wide A it is the transpose.
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/gemm.h"
#include "linalg/op.h"
#include "linalg/orthonormal.h"
#include "linalg/svd_job.h"
#include "tensor/codec.h"

enum { ROWS = 64 };

static bool all_finite(const double *x, int64_t count)
{
    return ecki_first_nonfinite(x, count) < 0;
}

// Values finite, descending, not negative; vectors finite. INFO = 0 does not promise it.
static bool answer_is_sound(const ecki_dense_svd *svd)
{
    for (int64_t i = 0; i < svd->n; i++)
        if (!isfinite(svd->s[i]) || svd->s[i] < 0.0 || (i > 0 && svd->s[i] > svd->s[i - 1]))
            return false;
    if (!svd->u) return true;
    return all_finite(svd->u, svd->m * svd->n) && all_finite(svd->vt, svd->n * svd->n);
}

// dgesvj leaves left vectors of zero values out, and calls rank-deficient matrices not converged
// though all that matters is. Completes U, and tells whether U diag(s) was orthogonal to rounding.
static eck_status complete_left(bool *good_out, ecki_dense_svd *svd, eck_error *err)
{
    eck_status status = ECK_OK;
    double *x = NULL, *r = NULL;
    const int64_t m = svd->m, n = svd->n;
    double off2 = 0.0;
    ECK_ALLOC_RAW(x, m * n);
    ECK_ALLOC_RAW(r, n * n);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            x[i * n + j] = svd->s[j] > 0.0 ? svd->u[j * m + i] * svd->s[j] : 0.0;
    ECK_TRY(ecki_orthonormalize(x, m, n, r, err));
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            svd->u[j * m + i] = x[i * n + j];
    for (int64_t i = 0; i < n; i++)
        r[i * n + i] -= svd->s[i];
    for (int64_t i = 0; i < n * n; i++)
        off2 += r[i] * r[i];
    *good_out = sqrt(off2) <= ecki_backward_error(m, n) * svd->s[0];
done:
    ecki_free(r);
    ecki_free(x);
    return status;
}

eck_status ecki_dense_solve(ecki_dense_svd *svd, ecki_svd_solver first, const char **solver_out,
                            ecki_dense_load load, void *self, eck_error *err)
{
    eck_status status = ECK_OK;
    int64_t info = 0;
    for (int solver = (int)first; solver < ECKI_SOLVERS; solver++) {
        *solver_out = ecki_svd_solver_name((ecki_svd_solver)solver);
        if (svd->n == 0) goto done;
        ECK_TRY(load(self, svd->a, err));
        bool good = false;
        ECK_TRY(ecki_dgesvx(svd, (ecki_svd_solver)solver, &info, err));
        if (info < 0 || !answer_is_sound(svd)) continue;
        if (solver == ECKI_DGESVJ && svd->u)
            ECK_TRY(complete_left(&good, svd, err));
        else
            good = info == 0;
        if (good) goto done;
    }
    status = ecki_error(err, ECK_E_SOLVER, -1,
                        "dgesdd, dgesvd and dgesvj all failed on [%lld,%lld]: last info %lld",
                        (long long)svd->m, (long long)svd->n, (long long)info);
done:
    return status;
}

// Where the tall matrix comes from: an operator, or R of a QR.
typedef struct dense_source {
    const eck_operator *a;
    double scale;
    const double *r; // [long,short] column-major after dgeqrf
    int64_t ld;
} dense_source;

// a column-major [m,n], the tall one of A and A^T, scaled.
static eck_status load_operator(void *self, double *a, eck_error *err)
{
    const dense_source *const source = self;
    const eck_operator_info *const info = &source->a->info;
    eck_status status = ECK_OK;
    double *rows = NULL;
    if (info->rows < info->cols)
        return ecki_operator_block(source->a, 0, 0,
                                   ecki_panel(a, ECK_DTYPE_F64, info->rows, info->cols),
                                   source->scale, err);
    ECK_ALLOC_RAW(rows, ROWS * info->cols);
    for (int64_t row = 0; row < info->rows; row += ROWS) {
        const int64_t count = ecki_min(ROWS, info->rows - row);
        const eck_panel strip = ecki_panel(rows, ECK_DTYPE_F64, count, info->cols);
        ECK_TRY(ecki_operator_block(source->a, row, 0, strip, source->scale, err));
        for (int64_t j = 0; j < info->cols; j++)
            for (int64_t i = 0; i < count; i++)
                a[j * info->rows + row + i] = rows[i * info->cols + j];
    }
done:
    ecki_free(rows);
    return status;
}

// a = R, upper triangular [n,n].
static eck_status load_triangle(void *self, double *a, eck_error *err)
{
    const dense_source *const source = self;
    const int64_t n = ecki_min(source->a->info.rows, source->a->info.cols);
    (void)err;
    memset(a, 0, (size_t)(n * n) * sizeof *a);
    for (int64_t j = 0; j < n; j++)
        memcpy(a + j * n, source->r + j * source->ld, (size_t)(j + 1) * sizeof *a);
    return ECK_OK;
}

// Room for the answer; u and vt only if wanted.
static eck_status dense_alloc(ecki_dense_svd *svd, int64_t m, int64_t n, bool vectors,
                              eck_error *err)
{
    eck_status status = ECK_OK;
    int64_t count = 0;
    svd->m = m;
    svd->n = n;
    ECK_REQUIRE(ecki_mul(m, n, &count), ECK_E_SHAPE, -1, "[%lld,%lld] is too large for LAPACK",
                (long long)m, (long long)n);
    ECK_ALLOC_RAW(svd->a, count);
    ECK_ALLOC(svd->s, n);
    if (vectors) {
        ECK_ALLOC_RAW(svd->u, count);
        ECK_ALLOC_RAW(svd->vt, n * n);
    }
done:
    return status;
}

static void dense_clear(ecki_dense_svd *svd)
{
    ecki_free(svd->a);
    ecki_free(svd->s);
    ecki_free(svd->u);
    ecki_free(svd->vt);
}

// The spectrum of the values found, for rules and tails.
static eck_status dense_spectrum(eck_spectrum **out, const ecki_svd_job *job, const double *s,
                                 double scale, double norm2, eck_error *err)
{
    const eck_operator_info *const info = &job->a->info;
    eck_spectrum *spectrum = NULL;
    const eck_status status = ecki_spectrum_new(&spectrum, info->rows, info->cols, false, err);
    if (status != ECK_OK) return status;
    spectrum->storage = info->storage;
    spectrum->scale = scale;
    ecki_spectrum_describe(spectrum, s, norm2);
    *out = spectrum;
    return ECK_OK;
}

// u and v of the job, row-major, from the first `rank` columns of U [m,*] and rows of V^T [n,n].
static eck_status take_vectors(ecki_svd_job *job, const double *u, int64_t m, const double *vt,
                               int64_t n, eck_error *err)
{
    eck_status status = ECK_OK;
    double *tall = NULL, *small = NULL;
    const int64_t k = job->rank;
    ECK_ALLOC_RAW(tall, m * k);
    ECK_ALLOC_RAW(small, n * k);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < k; j++)
            tall[i * k + j] = u[j * m + i];
    for (int64_t i = 0; i < n; i++) // V^T by columns is V by rows
        memcpy(small + i * k, vt + i * n, (size_t)k * sizeof *small);
    const bool wide = job->a->info.rows < job->a->info.cols;
    job->u = wide ? small : tall;
    job->v = wide ? tall : small;
    tall = small = NULL;
done:
    ecki_free(small);
    ecki_free(tall);
    return status;
}

// s between the factors, or into the far one for COMPACT.
static eck_status take_values(ecki_svd_job *job, const double *s, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t k = job->rank;
    const bool wide = job->a->info.rows < job->a->info.cols;
    job->orthonormal = wide ? ECK_SIDE_LEFT : ECK_SIDE_RIGHT;
    if (job->options.want & ECK_WANT_COMPACT) {
        double *const far = wide ? job->v : job->u;
        const int64_t length = wide ? job->a->info.cols : job->a->info.rows;
        for (int64_t i = 0; i < length; i++)
            for (int64_t j = 0; j < k; j++)
                far[i * k + j] *= s[j];
        goto done;
    }
    ECK_ALLOC_RAW(job->s, k);
    memcpy(job->s, s, (size_t)k * sizeof *s);
done:
    return status;
}

// What one run holds besides the job.
typedef struct dense_run {
    dense_source source;
    ecki_dense_svd svd;
    double *q, *tau; // of the QR, or NULL
    double norm2;
    int64_t m, n;
} dense_run;

// U = Q U_R, [m,k] column-major: u_r on top of zeros, then the reflectors.
static eck_status apply_q(double **out, const dense_run *run, int64_t k, eck_error *err)
{
    eck_status status = ECK_OK;
    double *u = NULL;
    const ecki_reflectors q = { run->q, run->m, run->n, run->tau, 0 };
    ECK_ALLOC(u, run->m * k);
    for (int64_t j = 0; j < k; j++)
        memcpy(u + j * run->m, run->svd.u + j * run->n, (size_t)run->n * sizeof *u);
    ECK_TRY(ecki_dormqr(u, k, &q, err));
    *out = u;
    u = NULL;
done:
    ecki_free(u);
    return status;
}

// ||scale A||^2 of the loaded matrix, column by column.
static double loaded_norm2(const double *x, int64_t m, int64_t n)
{
    double sum = 0.0;
    for (int64_t j = 0; j < n; j++) {
        double column = 0.0;
        for (int64_t i = 0; i < m; i++)
            column += x[j * m + i] * x[j * m + i];
        sum += column;
    }
    return sum;
}

// QR of the tall matrix, then the SVD of R.
static eck_status solve_by_qr(dense_run *run, ecki_svd_job *job, bool vectors, eck_error *err)
{
    eck_status status = ECK_OK;
    ECK_ALLOC_RAW(run->q, run->m * run->n);
    ECK_ALLOC_RAW(run->tau, run->n);
    ECK_TRY(load_operator(&run->source, run->q, err));
    run->norm2 = loaded_norm2(run->q, run->m, run->n);
    ECK_TRY(ecki_dgeqrf(run->q, run->m, run->n, run->m, run->tau, err));
    run->source.r = run->q;
    run->source.ld = run->m;
    ECK_TRY(dense_alloc(&run->svd, run->n, run->n, vectors, err));
    ECK_TRY(
        ecki_dense_solve(&run->svd, ECKI_DGESDD, &job->solver, load_triangle, &run->source, err));
done:
    return status;
}

static eck_status solve_whole(dense_run *run, ecki_svd_job *job, bool vectors, eck_error *err)
{
    eck_status status = ECK_OK;
    ECK_TRY(dense_alloc(&run->svd, run->m, run->n, vectors, err));
    ECK_TRY(load_operator(&run->source, run->svd.a, err));
    run->norm2 = loaded_norm2(run->svd.a, run->m, run->n);
    ECK_TRY(
        ecki_dense_solve(&run->svd, ECKI_DGESDD, &job->solver, load_operator, &run->source, err));
done:
    return status;
}

// Factors of the chosen rank out of a finished run.
static eck_status take_factors(ecki_svd_job *job, dense_run *run, eck_error *err)
{
    eck_status status = ECK_OK;
    double *lifted = NULL;
    if (run->q) ECK_TRY(apply_q(&lifted, run, job->rank, err));
    ECK_TRY(take_vectors(job, lifted ? lifted : run->svd.u, run->m, run->svd.vt, run->n, err));
    if (job->options.store == ECK_DTYPE_F64) {
        ECK_TRY(ecki_sharpen(job->u, job->a->info.rows, job->rank, err));
        ECK_TRY(ecki_sharpen(job->v, job->a->info.cols, job->rank, err));
    }
    ECK_TRY(take_values(job, run->svd.s, err));
done:
    ecki_free(lifted);
    return status;
}

// Fails on values that are not finite; the scale of the rest.
static eck_status scan_scale(double *scale_out, const ecki_svd_job *job, eck_error *err)
{
    eck_scan scan;
    eck_status status = ECK_OK;
    ECK_TRY(eck_operator_scan(&scan, job->a, job->context, err));
    ECK_REQUIRE(scan.nonfinite == 0, ECK_E_NONFINITE, scan.first_nonfinite,
                "cannot factor '%s': element %lld is not finite, and %lld more", job->a->name,
                (long long)scan.first_nonfinite, (long long)scan.nonfinite - 1);
    *scale_out = ecki_scale_of(scan.max);
done:
    return status;
}

// LAPACK's drivers are backward stable to a modest multiple of max(m,n) u; its own tests pass below
// 50 max(m,n) 2 u, and what we measure stays below 4 max(m,n) u. Ours is in between.
double ecki_backward_error(int64_t m, int64_t n)
{
    return (8.0 * (double)(m + n) + 64.0) * 0x1p-53;
}

eck_status ecki_svd_dense(eck_svd **out, ecki_svd_job *job, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_spectrum *spectrum = NULL;
    const eck_operator_info *const info = &job->a->info;
    dense_run run = { .m = ecki_max(info->rows, info->cols),
                      .n = ecki_min(info->rows, info->cols) };
    const bool vectors = ecki_wants_factors(&job->options);
    const int32_t threads = ecki_threads(job->context), saved = ecki_blas_enter(threads);
    job->one_thread = saved == 0 || threads == 1;
    run.source.a = job->a;
    ECK_TRY(scan_scale(&run.source.scale, job, err));
    ECK_TRY(ecki_progress(job->context, "solve", 0, 1, err));
    // LAPACK's own crossover: above 11/6 the QR saves more than it costs.
    if (job->engine == ECK_ENGINE_EXACT && run.n > 0 && 6 * (run.m - run.n) >= 5 * run.n)
        ECK_TRY(solve_by_qr(&run, job, vectors, err));
    else
        ECK_TRY(solve_whole(&run, job, vectors, err));
    ECK_TRY(dense_spectrum(&spectrum, job, run.svd.s, run.source.scale, run.norm2, err));
    job->spectrum = spectrum;
    job->backward = ecki_backward_error(run.m, run.n);
    const eck_svd_options *const o = &job->options;
    ECK_TRY(eck_rule_rank(&job->rank, &spectrum->info, o->rule, o->target, o->rank, err));
    if (vectors) ECK_TRY(take_factors(job, &run, err));
    dense_clear(&run.svd);
    run.svd = (ecki_dense_svd){ 0 };
    ecki_free(run.q);
    run.q = NULL;
    ECK_TRY(ecki_svd_finish(out, job, err));
done:
    dense_clear(&run.svd);
    ecki_free(run.q);
    ecki_free(run.tau);
    job->spectrum = NULL;
    eck_spectrum_free(spectrum);
    ecki_blas_leave(saved);
    return status;
}
