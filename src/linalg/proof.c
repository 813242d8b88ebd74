// The certificate of a decomposition. TAIL knows the error of the F64 factors from the spectrum and
// adds what rounding them did, measured; the other two look at the stored factors alone. Always
// true: the optimum's bracket comes from the spectrum, whatever the proof.
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "linalg/certificate.h"
#include "linalg/gemm.h"
#include "linalg/orthonormal.h"
#include "linalg/svd_job.h"
#include "linalg/tall.h"
#include "tensor/codec.h"

enum { STRIP = 128 };

#define UNIT 0x1p-53
// An identity that leaves the error of factors wider open than this share gives way to a pass over the matrix.
#define SHARP 1e-5

// tails[k], and the interval that holds the Eckart-Young optimum.
static void optimum(double *low, double *high, const ecki_svd_job *job)
{
    const double tail = job->spectrum->info.tails[job->rank];
    if (job->gap.set) { // of the vectors kept, and what better ones could take off
        const double norm2 = job->spectrum->norm2, tail2 = norm2 - job->captured;
        const double rounding = job->gap.rounding * norm2;
        *low = sqrt(fmax(0.0, (tail2 - job->gap.slack - rounding) / norm2));
        *high = sqrt(fmax(0.0, (tail2 + rounding) / norm2));
        return;
    }
    if (job->backward > 0.0) { // singular values move by at most the backward error
        *low = fmax(0.0, tail - job->backward);
        *high = tail + job->backward;
        return;
    }
    const double error = job->spectrum->info.tail_error;
    *low = sqrt(fmax(0.0, tail * tail - error));
    *high = sqrt(tail * tail + error);
}

// One factor in F64, as computed (times its weights) and as stored (times those kept).
typedef struct rounded {
    const double *x; // [m,k]
    const eck_array *kept; // [m,>=k], its first k columns
    const double *weights, *kept_weights; // [k] or NULL
    double kept_scale;
    int64_t m, k;
} rounded;

// What the tasks of open_rounding() share: where the rows of two blocks of k columns, side by side, begin.
typedef struct opening {
    double *number, *difference;
    const rounded *f;
    bool stored;
} opening;

static eck_status open_task(void *self, int64_t first, int64_t rows, eck_error *err)
{
    eck_status status = ECK_OK;
    const opening *const job = self;
    const rounded *const f = job->f;
    const eck_view view = eck_array_view(f->kept);
    for (int64_t i = first; i < first + rows; i++) {
        double *const row = job->difference + i * 2 * f->k, *const number =
                                                                job->number + i * 2 * f->k;
        ECK_TRY(eck_view_read(&view, i, 0, ecki_panel(row, ECK_DTYPE_F64, 1, f->k), err));
        for (int64_t j = 0; j < f->k; j++) {
            const double w = f->weights ? f->weights[j] : 1.0;
            const double kept = f->kept_weights ? f->kept_weights[j] : 1.0;
            const double computed = f->x[i * f->k + j] * w;
            row[j] = computed - row[j] * (f->kept_scale * kept);
            number[j] = job->stored ? computed - row[j] : computed;
        }
    }
done:
    return status;
}

// Of a row of `pair` [m,2k] one half becomes what was computed, or `stored` what is kept of it; the other, the first for
// what was computed, computed - stored.
static eck_status open_rounding(double *pair, const rounded *f, bool stored, eck_error *err)
{
    opening job = { pair + (stored ? 0 : f->k), pair + (stored ? f->k : 0), f, stored };
    return ecki_tall_each(f->m, ecki_tall_rows(f->k), open_task, &job, err);
}

// Both factors of W V^T with what rounding took from them.
typedef struct perturbation {
    double *far; // [m,2k]: dW, W
    double *near; // [n,2k]: V as stored, dV
    int64_t m, n, k;
    double rounding; // sum_j ||dw_j|| ||v_j|| + ||w_j|| ||dv_j||, column by column
    double both; // sum_j ||dw_j|| ||dv_j||
    double turned; // sum_j ||w_j|| ||dv_j||
    double off; // ||dV||_F
} perturbation;

static void perturbation_clear(perturbation *p)
{
    ecki_free(p->far);
    ecki_free(p->near);
}

// out [strip,k] = x[:, first..first+count]^T y, strip = { first, count }.
static eck_status strip_product(double *out, ecki_matrix x, ecki_matrix y, const int64_t strip[2],
                                eck_error *err)
{
    const ecki_matrix left = { x.data + strip[0], x.rows, strip[1], x.ld, false };
    return ecki_gemm(1.0, ecki_transposed(left), y, 0.0,
                     ecki_panel(out, ECK_DTYPE_F64, strip[1], y.cols), err);
}

// The same by strips, for many columns.
static eck_status norm2_by_strips(double *out, const perturbation *p, eck_error *err)
{
    eck_status status = ECK_OK;
    double *left = NULL, *right = NULL;
    const int64_t k = p->k;
    const ecki_matrix dw = { p->far, p->m, k, 2 * k, false },
                      w = { p->far + k, p->m, k, 2 * k, false };
    const ecki_matrix v = { p->near, p->n, k, 2 * k, false },
                      dv = { p->near + k, p->n, k, 2 * k, false };
    const ecki_matrix pairs[3][4] = { { dw, dw, v, v }, { dw, w, v, dv }, { w, w, dv, dv } };
    double sum = 0.0;
    ECK_ALLOC_RAW(left, ecki_min(STRIP, k) * k);
    ECK_ALLOC_RAW(right, ecki_min(STRIP, k) * k);
    for (int64_t first = 0; first < k; first += STRIP) {
        const int64_t strip[2] = { first, ecki_min(STRIP, k - first) };
        for (int t = 0; t < 3; t++) {
            ECK_TRY(strip_product(left, pairs[t][0], pairs[t][1], strip, err));
            ECK_TRY(strip_product(right, pairs[t][2], pairs[t][3], strip, err));
            double dot = 0.0;
            for (int64_t i = 0; i < strip[1] * k; i++)
                dot += left[i] * right[i];
            sum += t == 1 ? 2.0 * dot : dot;
        }
    }
    *out = fmax(sum, 0.0);
done:
    ecki_free(right);
    ecki_free(left);
    return status;
}

// || dW V^T + W_old dV^T ||_F^2 = <dW'dW, V'V> + 2 <dW'W, V'dV> + <W'W, dV'dV>, V as stored: all products of the
// Grams of (dW, W) and (V, dV).
static eck_status perturbation_norm2(double *out, const perturbation *p, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = 2 * p->k;
    double *left = NULL, *right = NULL, sum = 0.0;
    if (n > 2 * STRIP) return norm2_by_strips(out, p, err);
    ECK_ALLOC_RAW(left, n * n);
    ECK_ALLOC_RAW(right, n * n);
    ECK_TRY(ecki_tall_gram(left, p->far, p->m, n, err));
    ECK_TRY(ecki_tall_gram(right, p->near, p->n, n, err));
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < i; j++)
            sum += 2.0 * left[i * n + j] * right[i * n + j];
        sum += left[i * n + i] * right[i * n + i];
    }
    *out = fmax(sum, 0.0);
done:
    ecki_free(right);
    ecki_free(left);
    return status;
}

// The sums of products of column norms that bound errors and inner products.
static eck_status perturbation_sums(perturbation *p, eck_error *err)
{
    eck_status status = ECK_OK;
    double *far = NULL, *near = NULL, off2 = 0.0;
    const int64_t k = p->k;
    ECK_ALLOC_RAW(far, 2 * k);
    ECK_ALLOC_RAW(near, 2 * k);
    ECK_TRY(ecki_tall_squares(far, p->far, p->m, 2 * k, err));
    ECK_TRY(ecki_tall_squares(near, p->near, p->n, 2 * k, err));
    for (int64_t j = 0; j < k; j++) {
        const double dw = sqrt(far[j]), w = sqrt(far[k + j]), v = sqrt(near[j]),
                     dv = sqrt(near[k + j]);
        p->rounding += dw * v + w * dv;
        p->both += dw * dv;
        p->turned += w * dv;
        off2 += near[k + j];
    }
    p->off = sqrt(off2);
done:
    ecki_free(near);
    ecki_free(far);
    return status;
}

// Reads what was computed and what was stored into p. For COMPACT the far side is the one with the
// scale of A; else the values go with u.
static eck_status perturbation_init(perturbation *p, const ecki_svd_job *job, const eck_svd *svd,
                                    eck_error *err)
{
    eck_status status = ECK_OK;
    const double scale = job->spectrum->scale, *const kept = job->s ? svd->s->data : NULL;
    const bool left_far = job->s || job->orthonormal == ECK_SIDE_RIGHT;
    const rounded u = { job->u, svd->u, job->s, kept, scale, svd->rows, job->rank };
    const rounded v = { job->v, svd->v, NULL, NULL, left_far ? 1.0 : scale, svd->cols, job->rank };
    const rounded far = left_far ? u : v;
    rounded near = left_far ? v : u;
    near.kept_scale = 1.0;
    p->m = far.m;
    p->n = near.m;
    p->k = job->rank;
    ECK_ALLOC_RAW(p->far, 2 * p->m * p->k);
    ECK_ALLOC_RAW(p->near, 2 * p->n * p->k);
    ECK_TRY(open_rounding(p->far, &far, false, err));
    ECK_TRY(open_rounding(p->near, &near, true, err));
    ECK_TRY(perturbation_sums(p, err));
done:
    return status;
}

// What the F64 factors may miss beyond the tail: backward error of the solver, or defect of orthonormal
// far vectors and the rounding of W = A V.
static double straight_error(const ecki_svd_job *job, double norm)
{
    if (job->backward > 0.0) return job->backward * norm;
    const double sums = (double)(job->a->info.rows + job->a->info.cols + 8) * UNIT;
    return job->defect + sums * sqrt((double)job->rank) * norm;
}

// Bound of |<R, W dV^T>| = |<R^T W, dV>|. Of vectors from a complete spectrum R^T W is an error; of others nothing is
// known but ||R^T w_j|| <= ||R|| ||w_j||.
static double vectors_error(const ecki_svd_job *job, const perturbation *p, double t, double norm)
{
    if (job->gap.set) return t * p->turned;
    return job->backward > 0.0 ? 0.0 : job->spectrum->info.tail_error * norm * norm * p->off;
}

// With T the error of the F64 factors, D = W V^T - stored and R = A - W V^T: ||R + D||^2 is at most
// T^2 + ||D||^2 + 2 |<R, D>|. R V = 0 and R^T W = 0 up to the error of the vectors, so that only products
// of two roundings are left of <R, D>: |<R dV, dW>| <= T sum_j ||dv_j|| ||dw_j|| (docs/methods/svd.md).
static eck_status rounded_tail_distance(ecki_distance *out, const ecki_svd_job *job,
                                        const eck_svd *svd, eck_error *err)
{
    eck_status status = ECK_OK;
    perturbation p = { 0 };
    double low = 0.0, high = 0.0, d2 = 0.0;
    const eck_spectrum_info *const info = &job->spectrum->info;
    const double norm = sqrt(job->spectrum->norm2), tail = info->tails[job->rank] * norm;
    optimum(&low, &high, job);
    ECK_TRY(perturbation_init(&p, job, svd, err));
    ECK_TRY(perturbation_norm2(&d2, &p, err));
    const double t = high * norm, straight = straight_error(job, norm);
    const double d2_error = (double)(p.m + p.n + p.k + 8) * UNIT * p.rounding * p.rounding;
    const double slack = vectors_error(job, &p, t, norm);
    const double cross = 2.0 * (t * p.both + slack);
    out->norm = norm;
    out->residual = sqrt(tail * tail + d2);
    out->high = sqrt(t * t + d2 + d2_error + cross) + straight;
    const double t_low =
        job->gap.set ? fmax(0.0, 2.0 * tail * tail - t * t) : low * low * norm * norm;
    const double least = t_low + d2 - d2_error - cross;
    out->low = fmax(0.0, sqrt(fmax(0.0, least)) - straight);
    out->floor = fmax(20.0 * straight, sqrt(10.0 * (t * t - tail * tail + slack)));
done:
    perturbation_clear(&p);
    return status;
}

// The same of F64 factors: an element of a column of U diag(s) has been divided by its value, rounded to storage and
// multiplied again, and the sum over the columns of what that changes is at most 4 u sqrt(k) ||W||.
static void wide_tail_distance(ecki_distance *out, const ecki_svd_job *job)
{
    double low = 0.0, high = 0.0;
    const double norm = sqrt(job->spectrum->norm2);
    const double tail = job->spectrum->info.tails[job->rank] * norm;
    optimum(&low, &high, job);
    const double k = (double)job->rank, lines = (double)(job->a->info.rows + job->a->info.cols);
    // Near the low end of the range numbers in the scale of A are stored to the nearest multiple of 2^-1074.
    const double lost = sqrt(lines * k) * (job->spectrum->scale * 0x1p-1074);
    const double rounding = straight_error(job, norm) + 4.0 * UNIT * sqrt(k) * norm + lost;
    const double t = high * norm;
    const double t_low =
        job->gap.set ? fmax(0.0, 2.0 * tail * tail - t * t) : low * low * norm * norm;
    out->norm = norm;
    out->residual = tail;
    out->high = t + rounding;
    out->low = fmax(0.0, sqrt(t_low) - rounding);
    out->floor = fmax(20.0 * rounding, sqrt(10.0 * fmax(0.0, t * t - tail * tail)));
}

static eck_status tail_distance(ecki_distance *out, const ecki_svd_job *job, const eck_svd *svd,
                                eck_error *err)
{
    if (job->options.store != ECK_DTYPE_F64) return rounded_tail_distance(out, job, svd, err);
    wide_tail_distance(out, job);
    return ECK_OK;
}

// Values only: the error of the best approximation, which nothing rounds.
static void values_distance(ecki_distance *out, const ecki_svd_job *job)
{
    double low = 0.0, high = 0.0;
    optimum(&low, &high, job);
    const double tail = job->spectrum->info.tails[job->rank];
    out->norm = job->spectrum->norm2 > 0.0 ? 1.0 : 0.0;
    out->residual = tail * out->norm;
    out->low = low;
    out->high = high;
    out->floor = sqrt(10.0 * fmax(0.0, high * high - tail * tail));
}

// A view of the first k columns.
static eck_view leading_columns(const eck_array *array, int64_t k)
{
    eck_view view = eck_array_view(array);
    view.shape[1] = k;
    return view;
}

// The difference of scale A and the stored factors, by residual or probes.
static eck_status measured_distance(ecki_distance *out, const ecki_svd_job *job, const eck_svd *svd,
                                    eck_error *err)
{
    eck_status status = ECK_OK;
    eck_operator *product = NULL;
    const eck_svd_options *const o = &job->options;
    const double scale = job->spectrum->scale;
    double *s = NULL;
    // The values as stored, scaled before they are multiplied: products of tiny ones would vanish.
    ECK_ALLOC_RAW(s, job->rank);
    for (int64_t i = 0; i < job->rank; i++)
        s[i] = job->s ? ((const double *)svd->s->data)[i] * scale : scale;
    ECK_TRY(ecki_operator_factored(&product, leading_columns(svd->u, job->rank), s,
                                   leading_columns(svd->v, job->rank), err));
    const ecki_difference d = { job->a, product, scale, 1.0, o->failure, o->seed, false };
    if (o->proof == ECK_PROOF_BOUND)
        ECK_TRY(ecki_distance_probes(out, &d, sqrt(job->spectrum->norm2), job->context, err));
    else
        ECK_TRY(ecki_distance_residual(out, &d, job->context, err));
done:
    eck_operator_free(product);
    ecki_free(s);
    return status;
}

// max |X^T X - I| of a stored factor's columns.
static eck_status stored_orthogonality(double *out, const eck_array *array, eck_error *err)
{
    eck_status status = ECK_OK;
    double *x = NULL, off = 0.0;
    const eck_view view = eck_array_view(array);
    const int64_t m = array->shape[0], k = array->shape[1];
    ECK_ALLOC_RAW(x, m * k);
    ECK_TRY(eck_view_read(&view, 0, 0, ecki_panel(x, ECK_DTYPE_F64, m, k), err));
    ECK_TRY(ecki_orthogonality(&off, x, m, k, err));
    *out = fmax(*out, off);
done:
    ecki_free(x);
    return status;
}

static eck_status find_orthogonality(double *out, const ecki_svd_job *job, const eck_svd *svd,
                                     eck_error *err)
{
    eck_status status = ECK_OK;
    const bool compact = (job->options.want & ECK_WANT_COMPACT) != 0;
    *out = 0.0;
    if (!compact || job->orthonormal == ECK_SIDE_LEFT)
        ECK_TRY(stored_orthogonality(out, svd->u, err));
    if (!compact || job->orthonormal == ECK_SIDE_RIGHT)
        ECK_TRY(stored_orthogonality(out, svd->v, err));
done:
    return status;
}

// The distance by the proof that was asked for. A lane without a spectrum has the residual from an identity, where that
// is sharp enough.
static eck_status find_distance(ecki_distance *out, const ecki_svd_job *job, const eck_svd *svd,
                                eck_proof proof, eck_error *err)
{
    eck_status status = ECK_OK;
    if (!svd->u) {
        values_distance(out, job);
        return ECK_OK;
    }
    if (proof == ECK_PROOF_TAIL) return tail_distance(out, job, svd, err);
    if (proof == ECK_PROOF_BOUND || !job->gap.set) return measured_distance(out, job, svd, err);
    ECK_TRY(tail_distance(out, job, svd, err));
    if (out->high - out->low > SHARP * out->high) ECK_TRY(measured_distance(out, job, svd, err));
done:
    return status;
}

eck_status ecki_svd_certify(eck_certificate *out, const ecki_svd_job *job, const eck_svd *svd,
                            eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_distance distance;
    double low = 0.0, high = 0.0, orthogonality = -1.0;
    const bool factors = svd->u != NULL;
    eck_proof proof = factors ? job->options.proof : ECK_PROOF_TAIL;
    if (job->gap.set && proof == ECK_PROOF_TAIL)
        proof = ECK_PROOF_RESIDUAL; // no lane without a spectrum has a tail
    ECK_TRY(find_distance(&distance, job, svd, proof, err));
    if (factors) ECK_TRY(find_orthogonality(&orthogonality, job, svd, err));
    ecki_certificate_fill(out, &distance);
    optimum(&low, &high, job);
    out->proof = proof;
    out->stored = factors ? job->options.store : ECK_DTYPE_F64;
    out->norm2 = job->spectrum->info.norm2;
    out->optimum_low = low;
    out->optimum_high = fmin(high, out->error_high);
    out->optimum_low = fmin(out->optimum_low, out->optimum_high);
    out->excess_high = low > 0.0 ? fmax(0.0, out->error_high / out->optimum_low - 1.0) : INFINITY;
    out->failure = (proof == ECK_PROOF_BOUND ? job->options.failure : 0.0) + job->gap.failure;
    out->orthogonality = orthogonality;
done:
    return status;
}
