// Vectors that capture energy become factors: every number here is F64, whatever the vectors were found in. Always true:
// near stays orthonormal and far = scale A near, whatever is turned or put in order.
#include "linalg/ritz.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "linalg/gemm.h"
#include "linalg/lapack.h"
#include "linalg/op.h"
#include "linalg/orthonormal.h"
#include "linalg/tall.h"
#include "tensor/codec.h"

#define UNIT 0x1p-53

eck_status ecki_ritz_init(ecki_ritz *ritz, ecki_svd_job *job, const eck_scan *scan, eck_side side,
                          eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_operator_info *const info = &job->a->info;
    memset(ritz, 0, sizeof *ritz);
    ritz->job = job;
    ritz->side = side;
    ritz->scale = ecki_scale_of(scan->max);
    ritz->norm2 = scan->norm2 * ritz->scale * ritz->scale;
    ECK_TRY(ecki_spectrum_new(&ritz->spectrum, info->rows, info->cols, false, err));
    ritz->spectrum->storage = info->storage;
    ritz->spectrum->scale = ritz->scale;
done:
    return status;
}

void ecki_ritz_clear(ecki_ritz *ritz)
{
    ecki_free(ritz->near);
    ecki_free(ritz->far);
    eck_spectrum_free(ritz->spectrum);
    memset(ritz, 0, sizeof *ritz);
}

static int64_t near_length(const ecki_ritz *ritz)
{
    const eck_operator_info *const info = &ritz->job->a->info;
    return ritz->side == ECK_SIDE_RIGHT ? info->cols : info->rows;
}

static int64_t far_length(const ecki_ritz *ritz)
{
    const eck_operator_info *const info = &ritz->job->a->info;
    return ritz->side == ECK_SIDE_RIGHT ? info->rows : info->cols;
}

static eck_status multiply(ecki_ritz *ritz, eck_error *err)
{
    const ecki_svd_job *const job = ritz->job;
    const eck_panel x = ecki_panel(ritz->near, ECK_DTYPE_F64, near_length(ritz), ritz->k);
    const eck_panel y = ecki_panel(ritz->far, ECK_DTYPE_F64, far_length(ritz), ritz->k);
    return ritz->side == ECK_SIDE_RIGHT
               ? eck_operator_apply(job->a, ritz->scale, x, y, job->context, err)
               : eck_operator_apply_transpose(job->a, ritz->scale, x, y, job->context, err);
}

// x = x turn, [k,k].
typedef struct turn_job {
    double *x;
    int64_t k;
    const double *turn;
} turn_job;

static eck_status turn_task(void *self, int64_t first, int64_t rows, eck_error *err)
{
    eck_status status = ECK_OK;
    const turn_job *const job = self;
    const int64_t k = job->k;
    double *const x = job->x + first * k, *piece = NULL;
    ECK_ALLOC_RAW(piece, rows * k);
    memcpy(piece, x, (size_t)(rows * k) * sizeof *x);
    ECK_TRY(ecki_gemm(1.0, ecki_matrix_of(piece, rows, k), ecki_matrix_of(job->turn, k, k), 0.0,
                      ecki_panel(x, ECK_DTYPE_F64, rows, k), err));
done:
    ecki_free(piece);
    return status;
}

static eck_status turn_rows(double *x, int64_t m, int64_t k, const double *turn, eck_error *err)
{
    turn_job job = { x, k, turn };
    return ecki_tall_each(m, ecki_tall_rows(k), turn_task, &job, err);
}

// Puts columns of a row-major x [m,k] in the order given.
static void reorder(double *x, int64_t m, int64_t k, const int64_t *order, double *row)
{
    for (int64_t i = 0; i < m; i++) {
        memcpy(row, x + i * k, (size_t)k * sizeof *x);
        for (int64_t j = 0; j < k; j++)
            x[i * k + j] = row[order[j]];
    }
}

// Columns by descending s2; most are in their places already, so that insertion is cheap.
static eck_status sort_columns(ecki_ritz *ritz, double *s2, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t k = ritz->k;
    int64_t *order = NULL;
    double *row = NULL;
    bool moved = false;
    ECK_ALLOC_RAW(order, k);
    ECK_ALLOC_RAW(row, k);
    for (int64_t j = 0; j < k; j++) {
        const double value = s2[j];
        int64_t at = j;
        for (; at > 0 && s2[at - 1] < value; at--) {
            s2[at] = s2[at - 1];
            order[at] = order[at - 1];
            moved = true;
        }
        s2[at] = value;
        order[at] = j;
    }
    if (!moved) goto done;
    reorder(ritz->near, near_length(ritz), k, order, row);
    reorder(ritz->far, far_length(ritz), k, order, row);
done:
    ecki_free(row);
    ecki_free(order);
    return status;
}

// True when columns of far are orthogonal enough to be divided by their lengths.
static bool far_is_orthogonal(const ecki_ritz *ritz, const double *gram, const double *s2)
{
    const int64_t k = ritz->k;
    const double allowed = 0.5 * eck_dtype_epsilon(ritz->job->options.store);
    double worst = 0.0;
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < i; j++)
            worst = fmax(worst, fabs(gram[i * k + j]) / sqrt(s2[i] * s2[j]));
    return worst <= allowed; // false for NaN: a column of zeros
}

// Rayleigh and Ritz on the k vectors: far^T far = P diag(s2) P^T, near = near P, far = far P.
static eck_status make_orthogonal(ecki_ritz *ritz, double *s2, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t k = ritz->k, m = far_length(ritz);
    double *gram = NULL, *turn = NULL;
    ECK_ALLOC_RAW(gram, k * k);
    ECK_TRY(ecki_tall_gram(gram, ritz->far, m, k, err));
    if (far_is_orthogonal(ritz, gram, s2)) goto done;
    ECK_ALLOC_RAW(turn, k * k);
    ECK_TRY(ecki_small_eigen(s2, turn, gram, k, k, err));
    ECK_TRY(turn_rows(ritz->near, near_length(ritz), k, turn, err));
    ECK_TRY(turn_rows(ritz->far, m, k, turn, err));
    if (ritz->job->options.store == ECK_DTYPE_F64)
        ECK_TRY(ecki_sharpen(ritz->near, near_length(ritz), k, err));
done:
    ecki_free(turn);
    ecki_free(gram);
    return status;
}

// Values, tails and energy of what was found.
static void describe(ecki_ritz *ritz, const double *s2)
{
    eck_spectrum *const spectrum = ritz->spectrum;
    const int64_t k = ritz->k;
    ritz->captured = 0.0;
    for (int64_t i = k - 1; i >= 0; i--)
        ritz->captured += fmax(s2[i], 0.0);
    double rest = fmax(ritz->norm2 - ritz->captured, 0.0);
    spectrum->info.count = k;
    spectrum->norm2 = ritz->norm2;
    spectrum->info.norm2 = ritz->norm2 / spectrum->scale / spectrum->scale;
    for (int64_t i = k; i >= 0; i--) {
        spectrum->tails[i] = fmin(1.0, sqrt(rest / ritz->norm2));
        if (i > 0) rest += fmax(s2[i - 1], 0.0);
        if (i > 0) spectrum->values[i - 1] = sqrt(fmax(s2[i - 1], 0.0)) / spectrum->scale;
    }
    spectrum->info.numerical_rank = -1;
    spectrum->info.tolerance = (double)ecki_max(spectrum->info.rows, spectrum->info.cols) *
                               eck_dtype_epsilon(spectrum->storage) *
                               (k > 0 ? spectrum->values[0] : 0.0);
}

eck_status ecki_ritz_settle(ecki_ritz *ritz, int64_t k, eck_error *err)
{
    eck_status status = ECK_OK;
    double *s2 = NULL;
    int64_t count = 0;
    ritz->k = k;
    ECK_REQUIRE(ecki_mul(far_length(ritz), k, &count), ECK_E_NOMEM, -1,
                "not enough memory for factors");
    ECK_ALLOC_RAW(ritz->far, count);
    ECK_ALLOC(s2, ecki_max(k, 1));
    ECK_TRY(multiply(ritz, err));
    ECK_TRY(ecki_tall_squares(s2, ritz->far, far_length(ritz), k, err));
    ECK_TRY(sort_columns(ritz, s2, err));
    if (!(ritz->job->options.want & ECK_WANT_COMPACT)) ECK_TRY(make_orthogonal(ritz, s2, err));
    describe(ritz, s2);
done:
    ecki_free(s2);
    return status;
}

eck_status ecki_ritz_finish(eck_svd **out, ecki_ritz *ritz, double slack, double failure,
                            eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_svd_job *const job = ritz->job;
    const eck_operator_info *const info = &job->a->info;
    job->spectrum = ritz->spectrum;
    job->orthonormal = ritz->side;
    job->captured = ritz->captured;
    job->gap = (ecki_gap){ true, slack, 0.0, failure };
    // W is off by (n + 8) u ||A|| a column, the norm by the sums of the scan.
    job->gap.rounding =
        (2.0 * sqrt((double)ritz->k) + 2.0) * (double)(info->rows + info->cols + 64) * UNIT;
    ECK_TRY(ecki_factor_expand(job, &ritz->near, &ritz->far, err));
    ECK_TRY(ecki_svd_finish(out, job, err));
done:
    job->spectrum = NULL;
    return status;
}
