// The spectral norm of what an approximation misses, proved: R = A - B, G = R^T R in F64, and tau^2 I - G factored by Cholesky.
// Always true: `bound` holds whatever the estimate it was tried with, since a factorisation that runs to its end is the
// proof and every rounding on the way is in the bound (docs/methods/svd.md).
#include "eckart/svd.h"

#include <math.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/random.h"
#include "linalg/bisect.h"
#include "linalg/gemm.h"
#include "linalg/lapack.h"
#include "linalg/op.h"
#include "tensor/codec.h"

enum { STEPS = 32, TRIES = 8 };

#define UNIT 0x1p-53
// By how much tau^2 lies above the estimate at first, and by how much more after a failure.
#define STEP_FIRST 1e-3
#define STEP_FACTOR 4.0

typedef struct spectral_run {
    const eck_operator *a; // borrowed
    const eck_context *context; // borrowed
    eck_side side;
    int64_t n, m; // order of the Grams, length of the sums in them
    double scale; // power of two
    double *gram; // [n,n]: the triangle j > i is kept, the other worked in
    double *diagonal; // [n] of the Gram
} spectral_run;

// The Gram of an operator into both triangles, and its diagonal.
static eck_status make_gram(spectral_run *run, const eck_operator *of, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = run->n;
    ECK_TRY(ecki_progress(run->context, "gram", 0, 1, err));
    ECK_TRY(eck_operator_gram(of, run->side, run->scale, ecki_panel(run->gram, ECK_DTYPE_F64, n, n),
                              run->context, err));
    for (int64_t i = 0; i < n; i++) {
        run->diagonal[i] = run->gram[i * n + i];
        for (int64_t j = 0; j < i; j++)
            run->gram[j * n + i] = run->gram[i * n + j];
    }
done:
    return status;
}

// The lower triangle = sign (G - shift I), from what is kept of G.
static void shift_gram(spectral_run *run, double sign, double shift)
{
    const int64_t n = run->n;
    double *const g = run->gram;
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < i; j++)
            g[i * n + j] = sign * g[j * n + i];
        g[i * n + i] = sign * (run->diagonal[i] - shift);
    }
}

// w = w - (w . v) v.
static void remove_part(double *w, const double *v, int64_t n)
{
    double dot = 0.0;
    for (int64_t i = 0; i < n; i++)
        dot += w[i] * v[i];
    for (int64_t i = 0; i < n; i++)
        w[i] -= dot * v[i];
}

static double length_of(const double *x, int64_t n)
{
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sqrt(sum);
}

// One step of Lanczos: basis row `count` from the one before, both triangles of G in place. Returns the length that is
// left of it, the next off-diagonal number.
static eck_status lanczos_step(const spectral_run *run, double *basis, int64_t count, double *alpha,
                               double *beta, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = run->n;
    double *const v = basis + (count - 1) * n, *const w = basis + count * n;
    ECK_TRY(ecki_gemm(1.0, ecki_matrix_of(run->gram, n, n), ecki_matrix_of(v, n, 1), 0.0,
                      ecki_panel(w, ECK_DTYPE_F64, n, 1), err));
    double dot = 0.0;
    for (int64_t i = 0; i < n; i++)
        dot += v[i] * w[i];
    *alpha = dot;
    for (int round = 0; round < 2; round++)
        for (int64_t j = 0; j < count; j++)
            remove_part(w, basis + j * n, n);
    *beta = length_of(w, n);
    for (int64_t i = 0; i < n; i++)
        w[i] /= *beta > 0.0 ? *beta : 1.0;
done:
    return status;
}

// The largest eigenvalue of G, a little less at most: what the proof is tried with.
static eck_status estimate_largest(double *out, const spectral_run *run, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = run->n, most = ecki_min(STEPS, n);
    double *basis = NULL, alpha[STEPS], beta[STEPS];
    int64_t count = 0;
    ECK_ALLOC_RAW(basis, (most + 1) * n);
    ecki_random_fill_normal(basis, n, 0, 0, 0);
    const double start = length_of(basis, n);
    for (int64_t i = 0; i < n; i++)
        basis[i] /= start;
    do {
        ECK_TRY(lanczos_step(run, basis, count + 1, &alpha[count], &beta[count], err));
        count++;
    } while (count < most && beta[count - 1] > 1e-12 * fabs(alpha[0]));
    const ecki_tridiagonal t = { count, alpha, beta, NULL };
    ECK_TRY(ecki_bisect(out, &t, (ecki_places){ 0, 1 }, 1, err));
    *out = fmax(*out, 0.0);
done:
    ecki_free(basis);
    return status;
}

// A tau^2 for which tau^2 I - G has a Cholesky factorisation, near the largest eigenvalue.
static eck_status find_tau2(double *out, spectral_run *run, eck_error *err)
{
    eck_status status = ECK_OK;
    double largest = 0.0, trace = 0.0, step = STEP_FIRST;
    int64_t info = 1;
    for (int64_t i = 0; i < run->n; i++)
        trace += run->diagonal[i];
    ECK_TRY(estimate_largest(&largest, run, err));
    // Below this the roundings of the sums are larger than what they are of.
    const double least = (double)(run->n + run->m) * UNIT * trace + 0x1p-1000;
    for (int try = 0; try < TRIES && info != 0; try++, step *= STEP_FACTOR) {
        ECK_TRY(ecki_progress(run->context, "prove", try, 0, err));
        *out = largest * (1.0 + step) + least;
        shift_gram(run, -1.0, *out);
        ECK_TRY(ecki_dpotrf(run->gram, run->n, &info, err));
    }
    ECK_REQUIRE(info == 0, ECK_E_SOLVER, -1,
                "no bound of the spectral norm of '%s' could be proved", run->a->name);
done:
    return status;
}

// The bound of || R ||_2 that a factorisation of tau^2 I - G has proved. It holds for the matrix it was given up to
// gamma_{n+1} of its trace (Rump 2006; Demmel 1989), the Gram is off by gamma_m || R ||_F^2 at most (Higham, 3.5), R by what
// reading it is.
static double bound_of(const spectral_run *run, double tau2, double read)
{
    const double n = (double)run->n, m = (double)run->m;
    double trace = 0.0;
    for (int64_t i = 0; i < run->n; i++)
        trace += run->diagonal[i];
    const double cholesky = 1.01 * (n + 3.0) * UNIT * (n * tau2 + trace);
    const double sums = 1.01 * (m + 2.0) * UNIT * trace;
    return (sqrt(tau2 + cholesky + sums) * (1.0 + 4.0 * UNIT) + read) / run->scale;
}

// Eigenvalues of G above a shift, by the inertia of G - shift I.
static eck_status count_above(int64_t *out, spectral_run *run, double shift, eck_error *err)
{
    eck_status status = ECK_OK;
    shift_gram(run, 1.0, shift);
    ECK_TRY(ecki_progress(run->context, "count", 0, 1, err));
    ECK_TRY(ecki_inertia(out, run->gram, run->n, err));
done:
    return status;
}

int64_t eck_spectral_memory(const eck_operator_info *info)
{
    const double n = (double)ecki_min(info->rows, info->cols),
                 m = (double)ecki_max(info->rows, info->cols);
    const double panel = ecki_gram_memory(n, m, ecki_threads(NULL));
    const double bytes = 8.0 * (n * n + fmax(panel, 3.0 * n * (STEPS + 1))) + 65536.0;
    return bytes < 9e18 ? (int64_t)bytes : INT64_MAX;
}

static eck_status check(const eck_operator *a, const eck_operator *b, const eck_context *context,
                        eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_operator_info *const ai = &a->info, *const bi = &b->info;
    ECK_REQUIRE(ai->rows == bi->rows && ai->cols == bi->cols, ECK_E_SHAPE, -1,
                "cannot compare '%s' [%lld,%lld] with '%s' [%lld,%lld]", ai->name,
                (long long)ai->rows, (long long)ai->cols, bi->name, (long long)bi->rows,
                (long long)bi->cols);
    const int64_t needed = eck_spectral_memory(ai);
    ECK_REQUIRE(!context || context->memory <= 0 || needed <= context->memory, ECK_E_BUDGET, -1,
                "the spectral proof of '%s' needs %lld bytes, %lld are allowed", ai->name,
                (long long)needed, (long long)context->memory);
done:
    return status;
}

// What is proved of A - B, and how many values of A lie above it.
static eck_status prove(eck_spectral_proof *out, spectral_run *run, const eck_operator *residual,
                        eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_measure measure = { 0.0, 0.0, 0 };
    double tau2 = 0.0, trace = 0.0;
    ECK_TRY(make_gram(run, residual, err));
    ECK_TRY(find_tau2(&tau2, run, err));
    ECK_TRY(ecki_operator_measure(&measure, residual, run->context, err));
    out->bound = bound_of(run, tau2, measure.error * run->scale);
    ECK_TRY(make_gram(run, run->a, err));
    for (int64_t i = 0; i < run->n; i++)
        trace += run->diagonal[i];
    const double above = out->bound * run->scale;
    ECK_TRY(count_above(&out->above, run, above * above, err));
    // L D L^T is that of a matrix about n u || G || away, and so are the squares it counts.
    out->blur = above > 0.0 ? (double)run->n * UNIT * trace / (2.0 * above) / run->scale : 0.0;
done:
    return status;
}

eck_status eck_certify_spectral(eck_spectral_proof *out, const eck_operator *a,
                                const eck_operator *approximation, const eck_context *context,
                                eck_error *err)
{
    eck_status status = ECK_OK;
    const double weights[2] = { 1.0, -1.0 };
    const eck_operator *const terms[2] = { a, approximation };
    const eck_operator_info *const info = &a->info;
    spectral_run run = { .a = a,
                         .context = context,
                         .n = ecki_min(info->rows, info->cols),
                         .m = ecki_max(info->rows, info->cols),
                         .side = info->rows >= info->cols ? ECK_SIDE_RIGHT : ECK_SIDE_LEFT };
    eck_operator *residual = NULL;
    eck_spectral_proof proof = { 0 };
    eck_scan scan;
    int64_t count = 0;
    const int32_t saved = ecki_blas_enter(ecki_threads(context));
    ECK_TRY(check(a, approximation, context, err));
    ECK_TRY(eck_operator_scan(&scan, a, context, err));
    ECK_REQUIRE(scan.nonfinite == 0, ECK_E_NONFINITE, scan.first_nonfinite,
                "cannot certify '%s': element %lld is not finite", a->name,
                (long long)scan.first_nonfinite);
    run.scale = ecki_scale_of(scan.max);
    ECK_TRY(eck_operator_sum(&residual, terms, weights, 2, err));
    ECK_REQUIRE(ecki_mul(run.n, run.n, &count), ECK_E_NOMEM, -1, "not enough memory for a Gram");
    ECK_ALLOC_RAW(run.gram, ecki_max(count, 1));
    ECK_ALLOC_RAW(run.diagonal, ecki_max(run.n, 1));
    if (run.n > 0) ECK_TRY(prove(&proof, &run, residual, err));
    *out = proof;
done:
    ecki_free(run.diagonal);
    ecki_free(run.gram);
    eck_operator_free(residual);
    ecki_blas_leave(saved);
    return status;
}
