// The spectral decomposition of a symmetric matrix: tridiagonal form of A itself, so that signs and
// small values keep their digits. Always true: A = V diag(lambda) V^T is handed to the finishing and
// proving of the SVD as (V diag(sign)) diag(|lambda|) V^T.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/bisect.h"
#include "linalg/op.h"
#include "linalg/orthonormal.h"
#include "linalg/svd_job.h"
#include "tensor/codec.h"

// What one run holds besides the job.
typedef struct eigen_run {
    int64_t n;
    double *lambda; // [n], scaled, by descending absolute value
    int64_t *place; // [n], where each was in rising order
    double max, asymmetry, norm2;
} eigen_run;

void eck_eigen_free(eck_eigen *eigen)
{
    if (!eigen) return;
    eck_array_free(eigen->values);
    eck_array_free(eigen->vectors);
    ecki_free(eigen);
}

// Reads A, scaled, fails unless it is symmetric up to its storage, and makes it so.
static eck_status read_symmetric(double *a, eigen_run *run, const ecki_svd_job *job, double scale,
                                 eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = run->n;
    int64_t worst = 0;
    double most = 0.0;
    ECK_TRY(ecki_operator_block(job->a, 0, 0, ecki_panel(a, ECK_DTYPE_F64, n, n), scale, err));
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < i; j++) {
            const double difference = fabs(a[i * n + j] - a[j * n + i]);
            if (difference > most) {
                most = difference;
                worst = i * n + j;
            }
            const double middle = 0.5 * a[i * n + j] + 0.5 * a[j * n + i];
            a[i * n + j] = a[j * n + i] = middle;
        }
    run->asymmetry = most / scale;
    const double allowed = 8.0 * eck_dtype_epsilon(job->a->info.storage) * run->max;
    ECK_REQUIRE(run->asymmetry <= allowed, ECK_E_RANGE, worst,
                "'%s' is not symmetric: |A - A^T| is %g at element %lld, at most %g is rounding",
                job->a->name, run->asymmetry, (long long)worst, allowed);
    for (int64_t i = 0; i < n; i++) {
        double row = 0.0;
        for (int64_t j = 0; j < n; j++)
            row += a[i * n + j] * a[i * n + j];
        run->norm2 += row;
    }
done:
    return status;
}

// A value and its place in rising order.
typedef struct ranked {
    double value;
    int64_t place;
} ranked;

// Larger absolute value first; of equals the positive one, then the later place.
static int compare_ranked(const void *left, const void *right)
{
    const ranked *const a = left, *const b = right;
    const double x = fabs(a->value), y = fabs(b->value);
    if (x != y) return x > y ? -1 : 1;
    return a->place > b->place ? -1 : 1;
}

// Values of the tridiagonal matrix in their order.
static eck_status rank_values(eigen_run *run, const eck_spectrum *spectrum, int32_t threads,
                              eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = run->n;
    double *values = NULL;
    ranked *order = NULL;
    ECK_ALLOC_RAW(values, n);
    ECK_ALLOC_RAW(order, n);
    ECK_TRY(ecki_bisect(values, &spectrum->t, (ecki_places){ 0, n }, threads, err));
    for (int64_t i = 0; i < n; i++)
        order[i] = (ranked){ values[i], n - 1 - i };
    qsort(order, (size_t)n, sizeof *order, compare_ranked);
    for (int64_t i = 0; i < n; i++) {
        run->lambda[i] = order[i].value;
        run->place[i] = order[i].place;
    }
done:
    ecki_free(order);
    ecki_free(values);
    return status;
}

// Tridiagonal form, values, and the spectrum of their absolute values, for rules and tails.
static eck_status decompose(eck_spectrum *spectrum, eigen_run *run, const ecki_svd_job *job,
                            eck_error *err)
{
    eck_status status = ECK_OK;
    double *a = NULL, *sizes = NULL;
    int64_t room = 0;
    ECK_TRY(ecki_spectrum_room(&room, run->n, err));
    ECK_ALLOC_RAW(a, room);
    ECK_TRY(read_symmetric(a, run, job, spectrum->scale, err));
    ECK_TRY(ecki_progress(job->context, "reduce", 0, 1, err));
    if (run->n > 0) ECK_TRY(ecki_spectrum_reduce(spectrum, &a, job->context, err));
    ECK_TRY(rank_values(run, spectrum, ecki_threads(job->context), err));
    ECK_ALLOC_RAW(sizes, run->n);
    for (int64_t i = 0; i < run->n; i++)
        sizes[i] = fabs(run->lambda[i]);
    ecki_spectrum_describe(spectrum, sizes, run->norm2);
done:
    ecki_free(sizes);
    ecki_free(a);
    return status;
}

// u = V diag(sign), s = |lambda|, v = V from the chosen columns, [n,k] column-major.
static eck_status fill_factors(ecki_svd_job *job, const eigen_run *run, const double *z,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = run->n, k = job->rank;
    ECK_ALLOC_RAW(job->u, n * k);
    ECK_ALLOC_RAW(job->v, n * k);
    ECK_ALLOC_RAW(job->s, k);
    for (int64_t j = 0; j < k; j++)
        job->s[j] = fabs(run->lambda[j]);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < k; j++)
            job->v[i * k + j] = z[j * n + i];
    if (job->options.store == ECK_DTYPE_F64) ECK_TRY(ecki_sharpen(job->v, n, k, err));
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < k; j++)
            job->u[i * k + j] = run->lambda[j] < 0.0 ? -job->v[i * k + j] : job->v[i * k + j];
done:
    return status;
}

// All vectors of the tridiagonal matrix, since both ends of the spectrum are wanted; the reflectors
// meet only those kept.
static eck_status find_vectors(ecki_svd_job *job, const eigen_run *run, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = run->n, k = job->rank;
    double *z = NULL, *chosen = NULL;
    int64_t info = 0;
    ECK_ALLOC_RAW(z, n * n);
    ECK_TRY(ecki_progress(job->context, "vectors", 0, 1, err));
    ECK_TRY(ecki_dstedc(z, &job->spectrum->t, &info, err));
    ECK_REQUIRE(info == 0, ECK_E_SOLVER, -1, "dstedc did not converge: info %lld", (long long)info);
    ECK_ALLOC_RAW(chosen, n * k);
    for (int64_t j = 0; j < k; j++)
        memcpy(chosen + j * n, z + run->place[j] * n, (size_t)n * sizeof *z);
    ECK_TRY(ecki_spectrum_back_transform(chosen, job->spectrum, k, job->context, err));
    ECK_TRY(fill_factors(job, run, chosen, err));
done:
    ecki_free(chosen);
    ecki_free(z);
    return status;
}

// Signed values, vectors and certificate out of the decomposition that carries them.
static eck_status take_eigen(eck_eigen **out, eck_svd *svd, const eigen_run *run, double scale,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    eck_eigen *eigen = NULL;
    ECK_ALLOC(eigen, 1);
    ECK_TRY(eck_array_create(&eigen->values, ECK_DTYPE_F64, 1, &run->n, err));
    for (int64_t i = 0; i < run->n; i++)
        ((double *)eigen->values->data)[i] = run->lambda[i] / scale;
    eigen->size = run->n;
    eigen->rank = svd->rank;
    eigen->vectors = svd->v;
    svd->v = NULL;
    eigen->asymmetry = run->asymmetry;
    eigen->certificate = svd->certificate;
    eigen->seconds = svd->seconds;
    *out = eigen;
    eigen = NULL;
done:
    eck_eigen_free(eigen);
    return status;
}

// Options of the SVD that finishes: vectors or none, in their expanded form.
static eck_status eigen_options(ecki_svd_job *job, const eck_svd_options *given, eck_error *err)
{
    const eck_status status = ecki_svd_check_options(&job->options, given, &job->a->info, err);
    if (status == ECK_OK && job->options.engine == ECK_ENGINE_KRYLOV)
        return ecki_error(err, ECK_E_RANGE, -1,
                          "engine 'krylov' has no form for symmetric matrices");
    if (status == ECK_OK && job->options.spectral_proof)
        return ecki_error(err, ECK_E_RANGE, -1, "a spectral proof is of U, S and V");
    if (status != ECK_OK) return status;
    const bool vectors = ecki_wants_factors(&job->options);
    job->options.want = ECK_WANT_VALUES | (vectors ? ECK_WANT_LEFT | ECK_WANT_RIGHT : 0);
    job->engine = ECK_ENGINE_EXACT;
    job->solver = vectors ? "dstedc" : "bisection";
    return ECK_OK;
}

// The part between reading the values and the result.
static eck_status run_eigen(eck_eigen **out, ecki_svd_job *job, eigen_run *run,
                            eck_spectrum *spectrum, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_svd *svd = NULL;
    const eck_svd_options *const o = &job->options;
    ECK_ALLOC_RAW(run->lambda, run->n);
    ECK_ALLOC_RAW(run->place, run->n);
    ECK_TRY(decompose(spectrum, run, job, err));
    job->spectrum = spectrum;
    job->backward = ecki_backward_error(run->n, run->n);
    ECK_TRY(eck_rule_rank(&job->rank, &spectrum->info, o->rule, o->target, o->rank, err));
    if (ecki_wants_factors(o) && run->n > 0) ECK_TRY(find_vectors(job, run, err));
    if (ecki_wants_factors(o) && run->n == 0) ECK_TRY(fill_factors(job, run, NULL, err));
    ECK_TRY(ecki_svd_finish(&svd, job, err));
    ECK_TRY(take_eigen(out, svd, run, spectrum->scale, err));
done:
    eck_svd_free(svd);
    return status;
}

eck_status eck_eigen_compute(eck_eigen **out, const eck_operator *a, const eck_svd_options *options,
                             const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_spectrum *spectrum = NULL;
    const eck_context fit = ecki_fit_context(context, &a->info);
    ecki_svd_job job = { .a = a, .context = &fit, .captured = -1.0, .start = ecki_clock() };
    eigen_run run = { .n = a->info.rows };
    eck_scan scan;
    const int32_t threads = ecki_threads(&fit), saved = ecki_blas_enter(threads);
    ECK_REQUIRE(a->info.rows == a->info.cols, ECK_E_SHAPE, -1, "'%s' is [%lld,%lld], not square",
                a->name, (long long)a->info.rows, (long long)a->info.cols);
    job.one_thread = saved == 0 || threads == 1;
    ECK_TRY(eigen_options(&job, options, err));
    ECK_TRY(eck_operator_scan(&scan, a, &fit, err));
    ECK_REQUIRE(scan.nonfinite == 0, ECK_E_NONFINITE, scan.first_nonfinite,
                "cannot decompose '%s': element %lld is not finite, and %lld more", a->name,
                (long long)scan.first_nonfinite, (long long)scan.nonfinite - 1);
    run.max = scan.max;
    ECK_TRY(ecki_spectrum_new(&spectrum, run.n, run.n, true, err));
    spectrum->storage = a->info.storage;
    spectrum->scale = ecki_scale_of(scan.max);
    ECK_TRY(run_eigen(out, &job, &run, spectrum, err));
done:
    ecki_svd_job_clear(&job);
    ecki_free(run.place);
    ecki_free(run.lambda);
    eck_spectrum_free(spectrum);
    ecki_blas_leave(saved);
    return status;
}
