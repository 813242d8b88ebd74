// U diag(s) V^T of factors as they are stored, read as products of widened strips.
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "eckart/svd.h"
#include "linalg/gemm.h"
#include "linalg/op.h"
#include "tensor/codec.h"

enum { STRIP = 256 };

typedef struct factored {
    eck_view u, v;
    double *s; // [k], ones where the factors carry the values
} factored;

static void factored_free(void *self)
{
    factored *const f = self;
    if (!f) return;
    ecki_free(f->s);
    ecki_free(f);
}

// out = u[row.., at..] diag(s[at..]).
static eck_status read_scaled(const factored *f, int64_t row, int64_t at, eck_panel out,
                              eck_error *err)
{
    const eck_status status = eck_view_read(&f->u, row, at, out, err);
    double *const data = out.data;
    for (int64_t i = 0; i < out.rows && status == ECK_OK; i++)
        for (int64_t j = 0; j < out.cols; j++)
            data[i * out.ld + j] *= f->s[at + j];
    return status;
}

static eck_status factored_read(void *self, int64_t row, int64_t col, eck_panel out, eck_error *err)
{
    const factored *const f = self;
    eck_status status = ECK_OK;
    double *left = NULL, *right = NULL;
    eck_panel staged = { NULL, ECK_DTYPE_F64, 0, 0, 0 };
    const int64_t k = f->u.shape[1], strip = ecki_min(STRIP, k);
    ECK_ALLOC_RAW(left, out.rows * strip);
    ECK_ALLOC_RAW(right, out.cols * strip);
    ECK_TRY(ecki_staging_begin(&staged, out, err));
    if (k == 0)
        ECK_TRY(ecki_gemm(0.0, ecki_matrix_of(left, out.rows, 0),
                          ecki_matrix_of(right, 0, out.cols), 0.0, staged, err));
    for (int64_t at = 0; at < k; at += strip) {
        const int64_t step = ecki_min(strip, k - at);
        const eck_panel lp = ecki_panel(left, ECK_DTYPE_F64, out.rows, step);
        const eck_panel rp = ecki_panel(right, ECK_DTYPE_F64, out.cols, step);
        ECK_TRY(read_scaled(f, row, at, lp, err));
        ECK_TRY(eck_view_read(&f->v, col, at, rp, err));
        ECK_TRY(ecki_gemm(1.0, ecki_matrix_panel(lp), ecki_transposed(ecki_matrix_panel(rp)),
                          at > 0 ? 1.0 : 0.0, staged, err));
    }
done:
    ecki_staging_end(&staged, out, status == ECK_OK);
    ecki_free(right);
    ecki_free(left);
    return status;
}

// out = scale last (diag(s) (first^T x)).
static eck_status apply_factors(const eck_view factors[2], const double *s, eck_panel x,
                                eck_panel out, const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_operator *first = NULL, *last = NULL;
    double *middle = NULL;
    const int64_t k = factors[0].shape[1];
    ECK_TRY(eck_operator_dense(&first, factors[0], err));
    ECK_TRY(eck_operator_dense(&last, factors[1], err));
    ECK_ALLOC_RAW(middle, k * x.cols);
    const eck_panel mp = ecki_panel(middle, ECK_DTYPE_F64, k, x.cols);
    ECK_TRY(eck_operator_apply_transpose(first, 1.0, x, mp, context, err));
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < x.cols; j++)
            middle[i * x.cols + j] *= s[i];
    ECK_TRY(eck_operator_apply(last, 1.0, mp, out, context, err));
done:
    ecki_free(middle);
    eck_operator_free(last);
    eck_operator_free(first);
    return status;
}

// A power of two, exact wherever it is applied.
static void scale_rows(eck_panel out, double scale)
{
    for (int64_t i = 0; i < out.rows && scale != 1.0; i++)
        for (int64_t j = 0; j < out.cols; j++)
            ((double *)out.data)[i * out.ld + j] *= scale;
}

static eck_status factored_apply(void *self, double scale, eck_panel x, eck_panel out,
                                 const eck_context *context, eck_error *err)
{
    const factored *const f = self;
    const eck_view order[2] = { f->v, f->u };
    const eck_status status = apply_factors(order, f->s, x, out, context, err);
    if (status == ECK_OK) scale_rows(out, scale);
    return status;
}

static eck_status factored_apply_transpose(void *self, double scale, eck_panel y, eck_panel out,
                                           const eck_context *context, eck_error *err)
{
    const factored *const f = self;
    const eck_view order[2] = { f->u, f->v };
    const eck_status status = apply_factors(order, f->s, y, out, context, err);
    if (status == ECK_OK) scale_rows(out, scale);
    return status;
}

// Squared Frobenius norm of a view whose columns are scaled by s, or not.
static eck_status view_norm2(double *out, const eck_view *view, const double *s, eck_error *err)
{
    eck_status status = ECK_OK;
    double *row = NULL, sum = 0.0;
    const int64_t k = view->shape[1];
    ECK_ALLOC_RAW(row, k);
    for (int64_t i = 0; i < view->shape[0]; i++) {
        ECK_TRY(eck_view_read(view, i, 0, ecki_panel(row, ECK_DTYPE_F64, 1, k), err));
        double line = 0.0;
        for (int64_t j = 0; j < k; j++)
            line += s ? row[j] * s[j] * (row[j] * s[j]) : row[j] * row[j];
        sum += line;
    }
    *out = sum * (1.0 + 1e-9); // covers the rounding of 10^7 additions
done:
    ecki_free(row);
    return status;
}

// Magnitude ||U diag(s)|| ||V||; an element is a sum of k products, scaled before: k + 3 roundings.
static eck_status factored_measure(ecki_measure *out, void *self, const eck_context *context,
                                   eck_error *err)
{
    const factored *const f = self;
    eck_status status = ECK_OK;
    double left = 0.0, right = 0.0;
    (void)context;
    ECK_TRY(view_norm2(&left, &f->u, f->s, err));
    ECK_TRY(view_norm2(&right, &f->v, NULL, err));
    out->magnitude = sqrt(left) * sqrt(right);
    out->depth = f->u.shape[1] + 3;
    out->error = (double)out->depth * 0x1p-53 * out->magnitude;
done:
    return status;
}

eck_status ecki_operator_factored(eck_operator **out, eck_view u, const double *s, eck_view v,
                                  eck_error *err)
{
    eck_status status = ECK_OK;
    factored *self = NULL;
    const eck_operator_methods methods = { .version = 1,
                                           .read = factored_read,
                                           .free = factored_free };
    const ecki_operator_extra extra = { .measure = factored_measure,
                                        .apply = factored_apply,
                                        .apply_transpose = factored_apply_transpose };
    eck_operator_info info = ECK_OPERATOR_INFO_INIT;
    ECK_ALLOC(self, 1);
    self->u = u;
    self->v = v;
    ECK_ALLOC_RAW(self->s, u.shape[1]);
    for (int64_t i = 0; i < u.shape[1]; i++)
        self->s[i] = s ? s[i] : 1.0;
    info.rows = u.shape[0];
    info.cols = v.shape[0];
    info.storage = u.dtype;
    info.resident = true;
    ECK_TRY(eck_operator_create(out, &info, &methods, self, err));
    (*out)->extra = extra;
    self = NULL;
done:
    factored_free(self);
    return status;
}

eck_status eck_svd_operator(eck_operator **out, const eck_svd *svd, eck_error *err)
{
    eck_status status = ECK_OK;
    ECK_REQUIRE(svd->u && svd->v, ECK_E_RANGE, -1, "an operator needs both factors, U and V");
    eck_view u = eck_array_view(svd->u), v = eck_array_view(svd->v);
    u.shape[1] = v.shape[1] = svd->rank; // without what completes them to bases
    ECK_TRY(ecki_operator_factored(out, u, svd->compact ? NULL : svd->s->data, v, err));
done:
    return status;
}
