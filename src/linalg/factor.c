// Factors of the exact lane. The near side is orthonormal by construction; the far side is
// W = A V, which carries the values. U = W diag(1/s) is made orthonormal where the Gram alone does
// not do it, and where values have sunk below what the Gram resolves, the small block they leave
// behind is decomposed again, so that they and their vectors are right to working accuracy.
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/gemm.h"
#include "linalg/op.h"
#include "linalg/orthonormal.h"
#include "linalg/svd_job.h"
#include "linalg/tall.h"
#include "tensor/codec.h"

// Below this share of s_1 the Gram's error, about 1e-16 s_1^2, is more than 1e-4 of a value's
// square.
#define RESOLVED 0x1p-20

void ecki_svd_job_clear(ecki_svd_job *job)
{
    ecki_free(job->u);
    ecki_free(job->v);
    ecki_free(job->s);
    job->u = job->v = job->s = NULL;
}

bool ecki_wants_factors(const eck_svd_options *options)
{
    return (options->want & (ECK_WANT_LEFT | ECK_WANT_RIGHT | ECK_WANT_COMPACT | ECK_WANT_FULL)) !=
           0;
}

// Lengths of the vectors of both sides.
static int64_t near_length(const ecki_svd_job *job)
{
    return job->orthonormal == ECK_SIDE_RIGHT ? job->a->info.cols : job->a->info.rows;
}

static int64_t far_length(const ecki_svd_job *job)
{
    return job->orthonormal == ECK_SIDE_RIGHT ? job->a->info.rows : job->a->info.cols;
}

// sum of squares of a [m,k], row by row.
static double square_sum(const double *x, int64_t m, int64_t k)
{
    double sum = 0.0;
    for (int64_t i = 0; i < m; i++) {
        double row = 0.0;
        for (int64_t j = 0; j < k; j++)
            row += x[i * k + j] * x[i * k + j];
        sum += row;
    }
    return sum;
}

// sum_{i<k} s_i^2, scaled.
static double kept_energy(const ecki_svd_job *job)
{
    double sum = 0.0;
    for (int64_t i = job->rank - 1; i >= 0; i--) {
        const double s = job->spectrum->values[i] * job->spectrum->scale;
        sum += s * s;
    }
    return sum;
}

// Near vectors and their products, by one solver. The far side is made after the vectors, whose
// solvers take the most memory.
static eck_status near_and_far(ecki_svd_job *job, double *near, double **far, bool thorough,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_operator_info *const info = &job->a->info;
    const int64_t k = job->rank, n = ecki_min(info->rows, info->cols);
    const double unit = 0.5 * eck_dtype_epsilon(job->options.store);
    const double scale = job->spectrum->scale;
    double off = 0.0;
    ECK_TRY(ecki_progress(job->context, "vectors", 0, 1, err));
    const ecki_vector_request request = { k, thorough, job->context };
    ECK_TRY(ecki_spectrum_vectors(near, &job->solver, job->spectrum, &request, err));
    ECK_TRY(ecki_orthogonality(&off, near, n, k, err));
    // Clusters can cost dstemr digits; F64 factors need every one of them.
    if (off > fmin(1e-11, 0.5 * unit)) ECK_TRY(ecki_orthonormalize(near, n, k, NULL, err));
    const int64_t m = ecki_max(info->rows, info->cols);
    int64_t count = 0;
    ECK_REQUIRE(ecki_mul(m, k, &count), ECK_E_NOMEM, -1, "not enough memory for factors");
    if (!*far) ECK_ALLOC_RAW(*far, count);
    const eck_panel x = ecki_panel(near, ECK_DTYPE_F64, n, k);
    const eck_panel y = ecki_panel(*far, ECK_DTYPE_F64, m, k);
    if (info->rows >= info->cols)
        ECK_TRY(eck_operator_apply(job->a, scale, x, y, job->context, err));
    else
        ECK_TRY(eck_operator_apply_transpose(job->a, scale, x, y, job->context, err));
    job->captured = square_sum(*far, m, k);
done:
    return status;
}

// ||A V||^2 >= sum of the values kept, up to the rounding of the Gram: else V is wrong.
static bool captured_enough(const ecki_svd_job *job)
{
    const eck_spectrum *const s = job->spectrum;
    return job->captured >= kept_energy(job) - 4.0 * s->info.tail_error * s->norm2;
}

// Divides the columns of W by their lengths; defect: what that leaves of W - U diag(s).
static eck_status divide_columns(ecki_svd_job *job, double *far, int64_t m, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t k = job->rank;
    double *length = NULL, defect2 = 0.0;
    ECK_ALLOC_RAW(length, k);
    ECK_TRY(ecki_tall_squares(length, far, m, k, err));
    for (int64_t j = 0; j < k; j++) {
        length[j] = sqrt(length[j]);
        defect2 += (length[j] - job->s[j]) * (length[j] - job->s[j]);
    }
    ECK_TRY(ecki_tall_scale(far, m, k, length, true, err));
    job->defect = sqrt(defect2);
done:
    ecki_free(length);
    return status;
}

// The block R[first.., first..] as a solver wants it.
typedef struct block_source {
    const double *r;
    int64_t k, first;
} block_source;

static eck_status load_block(void *self, double *a, eck_error *err)
{
    const block_source *const b = self;
    const int64_t q = b->k - b->first;
    (void)err;
    for (int64_t j = 0; j < q; j++)
        for (int64_t i = 0; i < q; i++)
            a[j * q + i] = b->r[(b->first + i) * b->k + b->first + j];
    return ECK_OK;
}

// x[:, first..] = x[:, first..] turn for a row-major x [m,k].
static eck_status rotate(double *x, int64_t m, int64_t k, int64_t first, ecki_matrix turn,
                         eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t q = k - first;
    double *turned = NULL;
    ECK_ALLOC_RAW(turned, m * q);
    const ecki_matrix tail = { x + first, m, q, k, false };
    ECK_TRY(ecki_gemm(1.0, tail, turn, 0.0, ecki_panel(turned, ECK_DTYPE_F64, m, q), err));
    for (int64_t i = 0; i < m; i++)
        memcpy(x + i * k + first, turned + i * q, (size_t)q * sizeof *x);
done:
    ecki_free(turned);
    return status;
}

// The unresolved values and their vectors: R22 = P diag(s) Q^T, U2 = U2 P, V2 = V2 Q.
static eck_status resolve_block(ecki_svd_job *job, double *near, double *far, const double *r,
                                int64_t first, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t k = job->rank, q = k - first;
    block_source source = { r, k, first };
    ecki_dense_svd svd = { .m = q, .n = q };
    const char *solver;
    ECK_ALLOC_RAW(svd.a, q * q);
    ECK_ALLOC_RAW(svd.s, q);
    ECK_ALLOC_RAW(svd.u, q * q);
    ECK_ALLOC_RAW(svd.vt, q * q);
    ECK_TRY(ecki_dense_solve(&svd, ECKI_DGESDD, &solver, load_block, &source, err));
    // U by columns is U^T by rows; V^T by columns is V by rows.
    const ecki_matrix p = ecki_transposed(ecki_matrix_of(svd.u, q, q));
    ECK_TRY(rotate(far, far_length(job), k, first, p, err));
    const ecki_matrix turn = ecki_matrix_of(svd.vt, q, q);
    ECK_TRY(rotate(near, near_length(job), k, first, turn, err));
    memcpy(job->s + first, svd.s, (size_t)q * sizeof *svd.s);
done:
    ecki_free(svd.vt);
    ecki_free(svd.u);
    ecki_free(svd.s);
    ecki_free(svd.a);
    return status;
}

// Norm of rows [0,first) of R - diag(s): what U diag(s) V^T leaves out of W V^T.
static double upper_defect2(const double *r, const double *s, int64_t k, int64_t first)
{
    double sum = 0.0;
    for (int64_t i = 0; i < first; i++)
        for (int64_t j = i; j < k; j++) {
            const double x = r[i * k + j] - (i == j ? s[i] : 0.0);
            sum += x * x;
        }
    return sum;
}

// W = U R with U orthonormal; R is diag(s) where the Gram resolves the values.
static eck_status orthonormal_far(ecki_svd_job *job, double *near, double *far, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_operator_info *const info = &job->a->info;
    const int64_t k = job->rank;
    double *r = NULL;
    double block2 = 0.0;
    int64_t first = 0;
    ECK_ALLOC_RAW(r, k * k);
    ECK_TRY(ecki_orthonormalize(far, far_length(job), k, r, err));
    while (first < k && job->s[first] > RESOLVED * job->s[0])
        first++;
    job->defect = sqrt(upper_defect2(r, job->s, k, first));
    for (int64_t i = first; i < k; i++)
        for (int64_t j = i; j < k; j++)
            block2 += r[i * k + j] * r[i * k + j];
    // What is left is the rounding of W = A V, a sum of n products: those values are zero.
    const double noise = sqrt((double)k) * 4.0 * 0x1p-53 * job->s[0] * sqrt((double)info->cols);
    if (first < k && sqrt(block2) > noise) {
        ECK_TRY(resolve_block(job, near, far, r, first, err));
    } else if (first < k) {
        memset(job->s + first, 0, (size_t)(k - first) * sizeof *job->s);
        job->defect = hypot(job->defect, sqrt(block2));
    }
    for (int64_t i = ecki_max(first, 1); i < k; i++)
        job->s[i] = fmin(job->s[i], job->s[i - 1]);
done:
    ecki_free(r);
    return status;
}

// The three forms: COMPACT leaves W as it is; U and V need W divided, or orthonormalised.
static eck_status expand(ecki_svd_job *job, double *near, double *far, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t k = job->rank;
    if ((job->options.want & ECK_WANT_COMPACT) || k == 0) goto done;
    ECK_ALLOC_RAW(job->s, k);
    for (int64_t j = 0; j < k; j++)
        job->s[j] = job->spectrum->values[j] * job->spectrum->scale;
    // Columns of W/s are orthogonal to within c u (s_1/s_k)^2.
    const double ratio = job->s[k - 1] > 0.0 ? job->s[0] / job->s[k - 1] : INFINITY;
    const double off = 64.0 * 0x1p-53 * ratio * ratio;
    if (off < 0.125 * 0.5 * eck_dtype_epsilon(job->options.store))
        ECK_TRY(divide_columns(job, far, far_length(job), err));
    else
        ECK_TRY(orthonormal_far(job, near, far, err));
done:
    return status;
}

eck_status ecki_factor_expand(ecki_svd_job *job, double **near, double **far, eck_error *err)
{
    const bool right = job->orthonormal == ECK_SIDE_RIGHT;
    const eck_status status = expand(job, *near, *far, err);
    if (status != ECK_OK) return status;
    job->u = right ? *far : *near;
    job->v = right ? *near : *far;
    *near = *far = NULL;
    return status;
}

eck_status ecki_factor_exact(ecki_svd_job *job, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_operator_info *const info = &job->a->info;
    double *near = NULL, *far = NULL;
    job->orthonormal = ecki_near_side(info->rows, info->cols);
    ECK_ALLOC_RAW(near, near_length(job) * job->rank);
    ECK_TRY(near_and_far(job, near, &far, false, err));
    if (!captured_enough(job)) ECK_TRY(near_and_far(job, near, &far, true, err));
    ECK_REQUIRE(captured_enough(job), ECK_E_SOLVER, -1,
                "vectors of '%s' miss energy: %.17g of %.17g kept", job->a->name, job->captured,
                kept_energy(job));
    ECK_TRY(ecki_factor_expand(job, &near, &far, err));
done:
    ecki_free(far);
    ecki_free(near);
    return status;
}
