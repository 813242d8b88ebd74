// The exact lane with a long factor that nobody holds: W = A V (or A^T U of a wide matrix) is made a block of rows at a
// time, rounded, handed on and forgotten. What the certificate needs of it are sums of products of columns, [k,k], added
// block by block. Always true: blocks depend on the matrix alone, each row is made by one task, and the sums by one
// thread each, in the order of the blocks: no bit depends on threads but through the spectrum.
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/certificate.h"
#include "linalg/gemm.h"
#include "linalg/op.h"
#include "linalg/orthonormal.h"
#include "linalg/svd_job.h"
#include "tensor/codec.h"

enum { BLOCK_LINES = 256, TASK_LINES = 32 };

#define UNIT 0x1p-53
// Values below this share of the first are not resolved by the Gram (factor.c).
#define RESOLVED 0x1p-20

// Sums over the rows of the long factor, all [k,k].
typedef enum sum_kind {
    SUM_ROUNDING, // dW^T dW
    SUM_CROSS, // dW^T W
    SUM_FACTOR, // W^T W
    SUM_STORED, // X^T X of X as stored, for its orthogonality
    SUMS
} sum_kind;

typedef struct stream {
    ecki_svd_job *job;
    const eck_svd_sink *sink;
    bool right; // the near side is V, the long one U
    bool compact;
    int64_t length, k; // of the long factor
    double scale;
    double *near; // [n,k], F64
    double *weights; // [k]: the scaled values; NULL for COMPACT
    double *triangle; // [k,k]: L with W^T W = L L^T, X = W L^-T; NULL: X = W diag(1/weights)
    double *block; // [BLOCK_LINES,n] or [n,BLOCK_LINES]
    double *w; // [BLOCK_LINES,k]: A V of the block
    double *x; // [BLOCK_LINES,k]: what is stored, before rounding; then what rounding left of it
    double *dw; // [BLOCK_LINES,k]
    char *bytes; // [BLOCK_LINES,k] as stored
    double *sums[SUMS];
    double defect2, captured;
    int64_t first, lines; // of the block
} stream;

static void stream_clear(stream *s)
{
    ecki_free(s->near);
    ecki_free(s->weights);
    ecki_free(s->triangle);
    ecki_free(s->block);
    ecki_free(s->w);
    ecki_free(s->x);
    ecki_free(s->dw);
    ecki_free(s->bytes);
    for (int i = 0; i < SUMS; i++)
        ecki_free(s->sums[i]);
}

static int64_t near_length(const stream *s)
{
    const eck_operator_info *const info = &s->job->a->info;
    return s->right ? info->cols : info->rows;
}

static eck_status stream_alloc(stream *s, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = near_length(s), k = s->k, lines = ecki_min(BLOCK_LINES, s->length);
    int64_t square = 0, bytes = 0;
    ECK_REQUIRE(ecki_mul(k, k, &square) && ecki_mul(lines, ecki_max(n, k), &bytes) &&
                    ecki_dtype_bytes(s->job->options.store, lines * k, &bytes),
                ECK_E_NOMEM, -1, "not enough memory for a block of factors");
    ECK_ALLOC_RAW(s->block, lines * n);
    ECK_ALLOC_RAW(s->w, lines * k);
    ECK_ALLOC_RAW(s->x, lines * k);
    ECK_ALLOC_RAW(s->dw, lines * k);
    ECK_ALLOC_RAW(s->bytes, bytes);
    for (int i = 0; i < SUMS; i++)
        if (!s->compact || i != SUM_STORED) ECK_ALLOC(s->sums[i], square);
done:
    return status;
}

// Reads some lines of the block and makes their rows of W.
static eck_status block_task(void *self, int64_t index, eck_error *err)
{
    stream *const s = self;
    eck_status status = ECK_OK;
    const int64_t n = near_length(s), first = index * TASK_LINES;
    const int64_t lines = ecki_min(TASK_LINES, s->lines - first);
    const eck_operator *const a = s->job->a;
    double *const place = s->block + first * n; // columns of a wide matrix: [n,lines]
    const eck_panel shape = s->right ? ecki_panel(place, ECK_DTYPE_F64, lines, n)
                                     : ecki_panel(place, ECK_DTYPE_F64, n, lines);
    const int64_t line = s->first + first;
    ECK_TRY(ecki_operator_block(a, s->right ? line : 0, s->right ? 0 : line, shape, s->scale, err));
    const ecki_matrix read = ecki_matrix_panel(shape);
    ECK_TRY(ecki_gemm(1.0, s->right ? read : ecki_transposed(read),
                      ecki_matrix_of(s->near, n, s->k), 0.0,
                      ecki_panel(s->w + first * s->k, ECK_DTYPE_F64, lines, s->k), err));
done:
    return status;
}

static eck_status read_block(stream *s, int64_t first, eck_error *err)
{
    const eck_context *const context = s->job->context;
    s->first = first;
    s->lines = ecki_min(BLOCK_LINES, s->length - first);
    const eck_status status = ecki_progress(context, "factors", first, s->length, err);
    if (status != ECK_OK) return status;
    return ecki_parallel_for((s->lines + TASK_LINES - 1) / TASK_LINES, ecki_threads(context),
                             block_task, s, err);
}

// sums[kind] += left^T right over the block; one task each.
static eck_status sum_task(void *self, int64_t index, eck_error *err)
{
    stream *const s = self;
    if (!s->sums[index]) return ECK_OK;
    const double *const left = index == SUM_FACTOR ? s->w : index == SUM_STORED ? s->x : s->dw;
    const double *const right = index == SUM_ROUNDING ? s->dw : index == SUM_STORED ? s->x : s->w;
    return ecki_gemm(1.0, ecki_transposed(ecki_matrix_of(left, s->lines, s->k)),
                     ecki_matrix_of(right, s->lines, s->k), 1.0,
                     ecki_panel(s->sums[index], ECK_DTYPE_F64, s->k, s->k), err);
}

// x = W diag(1/s), or W L^-T, or for COMPACT W in the scale of A.
static eck_status turn_block(stream *s, eck_error *err)
{
    const int64_t count = s->lines * s->k;
    for (int64_t i = 0; i < count; i++)
        s->captured += s->w[i] * s->w[i];
    if (s->triangle) {
        memcpy(s->x, s->w, (size_t)count * sizeof *s->x);
        return ecki_trsm(ecki_matrix_of(s->triangle, s->k, s->k),
                         ecki_panel(s->x, ECK_DTYPE_F64, s->lines, s->k), err);
    }
    for (int64_t i = 0; i < count; i++)
        s->x[i] = s->compact ? s->w[i] / s->scale : s->w[i] / s->weights[i % s->k];
    return ECK_OK;
}

// Rounds x to bytes. Afterwards x holds what was stored, w the factor in F64 with its values, dw what rounding took.
static eck_status round_block(stream *s, eck_error *err)
{
    const eck_dtype store = s->job->options.store;
    const int64_t count = s->lines * s->k;
    ecki_round_f64(store, s->x, s->bytes, count);
    for (int64_t i = 0; i < count; i++) {
        const double weight = s->compact ? s->scale : s->weights[i % s->k];
        const double factor = s->x[i] * weight, miss = s->w[i] - factor;
        s->defect2 += miss * miss;
        s->w[i] = factor;
    }
    ecki_widen_f64(store, s->bytes, 1, s->x, count);
    const int64_t bad = ecki_first_nonfinite(s->x, count);
    if (bad >= 0)
        return ecki_error(err, ECK_E_RANGE, s->first * s->k + bad,
                          "factor element %lld leaves the range of %s",
                          (long long)(s->first * s->k + bad), eck_dtype_name(store));
    for (int64_t i = 0; i < count; i++)
        s->dw[i] = s->w[i] - s->x[i] * (s->compact ? s->scale : s->weights[i % s->k]);
    return ECK_OK;
}

// One pass that writes.
static eck_status write_pass(stream *s, eck_error *err)
{
    eck_status status = ECK_OK;
    for (int64_t at = 0; at < s->length; at += BLOCK_LINES) {
        ECK_TRY(read_block(s, at, err));
        ECK_TRY(turn_block(s, err));
        ECK_TRY(round_block(s, err));
        ECK_TRY(s->sink->take(s->sink->user, at, s->lines, s->bytes, err));
        ECK_TRY(ecki_parallel_for(SUMS, ecki_threads(s->job->context), sum_task, s, err));
    }
done:
    return status;
}

// One pass for W^T W, whose triangle makes X orthonormal where dividing by the values would not.
static eck_status triangle_pass(stream *s, eck_error *err)
{
    eck_status status = ECK_OK;
    int64_t info = 0;
    ECK_ALLOC(s->triangle, s->k * s->k);
    const eck_panel square = ecki_panel(s->triangle, ECK_DTYPE_F64, s->k, s->k);
    for (int64_t at = 0; at < s->length; at += BLOCK_LINES) {
        ECK_TRY(read_block(s, at, err));
        const ecki_matrix w = ecki_matrix_of(s->w, s->lines, s->k);
        const int32_t saved = ecki_blas_enter(1);
        status = ecki_syrk(1.0, ecki_transposed(w), 1.0, square, err);
        ecki_blas_leave(saved);
        ECK_TRY(status);
    }
    ECK_TRY(ecki_dpotrf(s->triangle, s->k, &info, err));
    ECK_REQUIRE(info == 0, ECK_E_SOLVER, -1,
                "%lld columns of U in a stream are dependent: give a smaller rank, or two factors",
                (long long)info);
done:
    return status;
}

// Near vectors, orthonormal; of V the largest |v_i| of every column is positive.
static eck_status make_near(stream *s, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = near_length(s), k = s->k;
    const ecki_vector_request request = { k, false, s->job->context };
    double off = 0.0;
    ECK_ALLOC_RAW(s->near, n * k);
    ECK_TRY(ecki_progress(s->job->context, "vectors", 0, 1, err));
    ECK_TRY(ecki_spectrum_vectors(s->near, &s->job->solver, s->job->spectrum, &request, err));
    ECK_TRY(ecki_orthogonality(&off, s->near, n, k, err));
    if (off > 1e-11) ECK_TRY(ecki_orthonormalize(s->near, n, k, NULL, err));
    for (int64_t j = 0; j < k; j++) {
        double largest = 0.0;
        for (int64_t i = 0; i < n; i++)
            if (fabs(s->near[i * k + j]) > fabs(largest)) largest = s->near[i * k + j];
        for (int64_t i = 0; largest < 0.0 && i < n; i++)
            s->near[i * k + j] = -s->near[i * k + j];
    }
done:
    return status;
}

// How W becomes U: nothing for COMPACT, else the values, and a triangle where they are spread wide.
static eck_status choose_form(stream *s, eck_error *err)
{
    eck_status status = ECK_OK;
    const double *const values = s->job->spectrum->info.values;
    if (s->compact || s->k == 0) goto done;
    ECK_REQUIRE(values[s->k - 1] > RESOLVED * values[0], ECK_E_RANGE, -1,
                "value %lld of '%s' is %g, below 2^-20 of the first, %g: its left vector cannot be "
                "streamed; two factors (compact) can, or a smaller rank",
                (long long)s->k, s->job->a->name, values[s->k - 1], values[0]);
    ECK_ALLOC_RAW(s->weights, s->k);
    for (int64_t j = 0; j < s->k; j++)
        s->weights[j] = values[j] * s->scale;
    // Columns of W/s are orthogonal to within c u (s_1/s_k)^2.
    const double ratio = values[0] / values[s->k - 1], off = 64.0 * UNIT * ratio * ratio;
    if (off >= 0.125 * 0.5 * eck_dtype_epsilon(s->job->options.store))
        ECK_TRY(triangle_pass(s, err));
done:
    return status;
}

// sum_ij x_ij y_ij.
static double dot(const double *x, const double *y, int64_t count)
{
    double sum = 0.0;
    for (int64_t i = 0; i < count; i++)
        sum += x[i] * y[i];
    return sum;
}

// What rounding did to both factors.
typedef struct roundings {
    double d2; // || dW V^T + W dV^T ||^2
    double sums; // sum_j ||dw_j|| ||v_j|| + ||w_j|| ||dv_j||
    double both; // sum_j ||dw_j|| ||dv_j||
    double near; // ||dV||_F
    double orthogonality;
} roundings;

// gram [k,k] = x^T y for [n,k].
static eck_status near_product(double *gram, const double *x, const double *y, int64_t n, int64_t k,
                               eck_error *err)
{
    return ecki_gemm(1.0, ecki_transposed(ecki_matrix_of(x, n, k)), ecki_matrix_of(y, n, k), 0.0,
                     ecki_panel(gram, ECK_DTYPE_F64, k, k), err);
}

// || dW V^T + W dV^T ||^2 = <dW'dW, V'V> + 2 <dW'W, V'dV> + <W'W, dV'dV>, V as stored.
static eck_status measure(roundings *out, const stream *s, const eck_array *near, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = near_length(s), k = s->k, count = k * k;
    double *v = NULL, *dv = NULL, *gram = NULL;
    const eck_view view = eck_array_view(near);
    double orthogonality = 0.0;
    *out = (roundings){ 0 };
    ECK_ALLOC_RAW(v, n * k);
    ECK_ALLOC_RAW(dv, n * k);
    ECK_ALLOC_RAW(gram, count);
    ECK_TRY(eck_view_read(&view, 0, 0, ecki_panel(v, ECK_DTYPE_F64, n, k), err));
    for (int64_t i = 0; i < n * k; i++)
        dv[i] = s->near[i] - v[i];
    ECK_TRY(near_product(gram, v, dv, n, k, err));
    out->d2 = 2.0 * dot(gram, s->sums[SUM_CROSS], count);
    ECK_TRY(near_product(gram, v, v, n, k, err));
    out->d2 += dot(gram, s->sums[SUM_ROUNDING], count);
    for (int64_t j = 0; j < k; j++)
        out->sums += sqrt(s->sums[SUM_ROUNDING][j * k + j] * gram[j * k + j]);
    for (int64_t i = 0; i < count; i++)
        orthogonality = fmax(orthogonality, fabs(gram[i] - (i % k == i / k ? 1.0 : 0.0)));
    ECK_TRY(near_product(gram, dv, dv, n, k, err));
    out->d2 += dot(gram, s->sums[SUM_FACTOR], count);
    for (int64_t j = 0; j < k; j++) {
        const double dv2 = gram[j * k + j];
        out->sums += sqrt(s->sums[SUM_FACTOR][j * k + j] * dv2);
        out->both += sqrt(s->sums[SUM_ROUNDING][j * k + j] * dv2);
        out->near += dv2;
    }
    for (int64_t i = 0; s->sums[SUM_STORED] && i < count; i++)
        orthogonality =
            fmax(orthogonality, fabs(s->sums[SUM_STORED][i] - (i % k == i / k ? 1.0 : 0.0)));
    out->d2 = fmax(out->d2, 0.0);
    out->near = sqrt(out->near);
    out->orthogonality = orthogonality;
done:
    ecki_free(gram);
    ecki_free(dv);
    ecki_free(v);
    return status;
}

// As the proof from the tail (proof.c, docs/methods/svd.md): T the tail, D what rounding did, and what of <R, D> is left
// when R V = 0 and R^T W = 0 but for the errors of the vectors.
static void certify(eck_certificate *out, const stream *s, const roundings *r)
{
    const eck_spectrum *const spectrum = s->job->spectrum;
    const eck_spectrum_info *const info = &spectrum->info;
    const double norm2 = spectrum->norm2, norm = sqrt(norm2);
    const double tail2 = info->tails[s->k] * info->tails[s->k] * norm2;
    const double error2 = info->tail_error * norm2;
    const double low2 = fmax(0.0, tail2 - error2), high2 = tail2 + error2;
    const double lengths = (double)(info->rows + info->cols + s->k + 8);
    const double straight = sqrt(s->defect2) + lengths * UNIT * sqrt((double)s->k) * norm;
    const double d2_error = lengths * UNIT * r->sums * r->sums;
    const double slack = error2 * r->near, cross = 2.0 * (sqrt(high2) * r->both + slack);
    const ecki_distance distance = {
        .norm = norm,
        .residual = sqrt(tail2 + r->d2),
        .low = fmax(0.0, sqrt(fmax(0.0, low2 + r->d2 - d2_error - cross)) - straight),
        .high = sqrt(high2 + r->d2 + d2_error + cross) + straight,
        .floor = fmax(20.0 * straight, sqrt(10.0 * (error2 + slack))),
    };
    ecki_certificate_fill(out, &distance);
    out->proof = ECK_PROOF_TAIL;
    out->stored = s->job->options.store;
    out->norm2 = info->norm2;
    out->optimum_high = fmin(norm2 > 0.0 ? sqrt(high2 / norm2) : 0.0, out->error_high);
    out->optimum_low = fmin(norm2 > 0.0 ? sqrt(low2 / norm2) : 0.0, out->optimum_high);
    out->excess_high =
        out->optimum_low > 0.0 ? fmax(0.0, out->error_high / out->optimum_low - 1.0) : INFINITY;
    out->failure = 0.0;
    out->orthogonality = r->orthogonality;
}

// The result without its long factor.
static eck_status make_result(eck_svd **out, const stream *s, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_svd *svd = NULL;
    roundings r;
    const eck_spectrum_info *const info = &s->job->spectrum->info;
    ECK_ALLOC(svd, 1);
    const eck_view near = eck_view_matrix(s->near, ECK_DTYPE_F64, near_length(s), s->k);
    ECK_TRY(eck_array_convert(s->right ? &svd->v : &svd->u, near, s->job->options.store, err));
    ECK_TRY(eck_array_create(&svd->s, ECK_DTYPE_F64, 1, &info->count, err));
    if (info->count > 0)
        memcpy(svd->s->data, info->values, (size_t)info->count * sizeof *info->values);
    ECK_TRY(measure(&r, s, s->right ? svd->v : svd->u, err));
    svd->rows = info->rows;
    svd->cols = info->cols;
    svd->rank = s->k;
    svd->numerical_rank = info->numerical_rank;
    svd->tolerance = info->tolerance;
    svd->engine = ECK_ENGINE_EXACT;
    svd->solver = s->job->solver;
    svd->reproducible = s->job->one_thread;
    svd->orthonormal = s->right ? ECK_SIDE_RIGHT : ECK_SIDE_LEFT;
    svd->energy = 1.0 - info->tails[s->k] * info->tails[s->k];
    certify(&svd->certificate, s, &r);
    svd->seconds = ecki_clock() - s->job->start;
    *out = svd;
    svd = NULL;
done:
    eck_svd_free(svd);
    return status;
}

// || A V ||^2 must hold the values kept, up to the rounding of the Gram: else the vectors are wrong.
static eck_status require_captured(const stream *s, eck_error *err)
{
    const eck_spectrum *const spectrum = s->job->spectrum;
    double kept = 0.0;
    for (int64_t j = s->k - 1; j >= 0; j--) {
        const double value = spectrum->info.values[j] * s->scale;
        kept += value * value;
    }
    if (s->captured >= kept - 4.0 * spectrum->info.tail_error * spectrum->norm2) return ECK_OK;
    return ecki_error(err, ECK_E_SOLVER, -1, "vectors of '%s' miss energy: %.17g of %.17g kept",
                      s->job->a->name, s->captured, kept);
}

// From a spectrum with its reduction to the result; the reduction goes as soon as there are vectors.
static eck_status run_stream(eck_svd **out, ecki_svd_job *job, const eck_svd_sink *sink,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_operator_info *const info = &job->a->info;
    const eck_svd_options *const o = &job->options;
    stream s = { .job = job, .sink = sink };
    s.right = ecki_near_side(info->rows, info->cols) == ECK_SIDE_RIGHT;
    s.compact = (o->want & ECK_WANT_COMPACT) != 0;
    s.length = ecki_max(info->rows, info->cols);
    s.scale = job->spectrum->scale;
    ECK_TRY(eck_rule_rank(&s.k, &job->spectrum->info, o->rule, o->target, o->rank, err));
    ECK_TRY(ecki_stream_require_memory(job, s.k, err));
    ECK_TRY(make_near(&s, err));
    ecki_spectrum_drop_reduction(job->own);
    ECK_TRY(stream_alloc(&s, err));
    ECK_TRY(choose_form(&s, err));
    ECK_TRY(sink->begin(sink->user, s.k, err));
    ECK_TRY(write_pass(&s, err));
    ECK_TRY(require_captured(&s, err));
    ECK_TRY(make_result(out, &s, err));
done:
    stream_clear(&s);
    return status;
}

eck_status eck_svd_stream(eck_svd **out, const eck_operator *a, const eck_svd_options *options,
                          const eck_svd_sink *sink, const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_context fit = ecki_fit_context(context, &a->info);
    ecki_svd_job job = { .a = a, .context = &fit, .captured = -1.0, .start = ecki_clock() };
    eck_spectrum *spectrum = NULL;
    const int32_t saved = ecki_blas_enter(ecki_threads(&fit));
    ECK_TRY(ecki_svd_check_options(&job.options, options, &a->info, err));
    ECK_REQUIRE(job.options.engine == ECK_ENGINE_EXACT && a->info.storage != ECK_DTYPE_F64,
                ECK_E_RANGE, -1,
                "'%s' cannot be streamed: that is the exact lane's, for storage of at most 32 bits",
                a->name);
    ECK_REQUIRE(ecki_wants_factors(&job.options) && !(job.options.want & ECK_WANT_FULL),
                ECK_E_RANGE, -1, "a stream is of factors of a rank, not of values or full bases");
    ECK_REQUIRE(!job.options.spectral_proof, ECK_E_RANGE, -1,
                "a stream has no spectral proof: its long factor is gone");
    ECK_TRY(ecki_stream_require_memory(&job, 0, err));
    ECK_TRY(ecki_spectrum_build(&spectrum, a, true, &fit, err));
    job.spectrum = job.own = spectrum;
    job.one_thread = spectrum->one_thread;
    ECK_TRY(run_stream(out, &job, sink, err));
done:
    eck_spectrum_free(spectrum);
    ecki_blas_leave(saved);
    return status;
}
