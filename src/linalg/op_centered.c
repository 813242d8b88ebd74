// A - 1 mean^T: every column less its mean, the operator of principal components.
#include "base/checked.h"
#include "base/memory.h"
#include "linalg/op.h"
#include "tensor/codec.h"

typedef struct centered {
    const eck_operator *a;
    double *mean; // [cols]
} centered;

static void centered_free(void *self)
{
    centered *const c = self;
    if (!c) return;
    ecki_free(c->mean);
    ecki_free(c);
}

static eck_status centered_read(void *self, int64_t row, int64_t col, eck_panel out, eck_error *err)
{
    const centered *const c = self;
    eck_panel staged = { NULL, ECK_DTYPE_F64, 0, 0, 0 };
    eck_status status = ECK_OK;
    ECK_TRY(ecki_staging_begin(&staged, out, err));
    ECK_TRY(eck_operator_read(c->a, row, col, staged, err));
    for (int64_t i = 0; i < out.rows; i++) {
        double *const line = (double *)staged.data + i * staged.ld;
        for (int64_t j = 0; j < out.cols; j++)
            line[j] -= c->mean[col + j];
    }
done:
    ecki_staging_end(&staged, out, status == ECK_OK);
    return status;
}

// out = scale (A x - 1 (mean^T x)).
static eck_status centered_apply(void *self, double scale, eck_panel x, eck_panel out,
                                 const eck_context *context, eck_error *err)
{
    const centered *const c = self;
    eck_status status = ECK_OK;
    double *shift = NULL;
    ECK_ALLOC(shift, x.cols);
    ECK_TRY(eck_operator_apply(c->a, scale, x, out, context, err));
    for (int64_t i = 0; i < x.rows; i++)
        for (int64_t j = 0; j < x.cols; j++)
            shift[j] += scale * c->mean[i] * ((const double *)x.data)[i * x.ld + j];
    for (int64_t i = 0; i < out.rows; i++)
        for (int64_t j = 0; j < out.cols; j++)
            ((double *)out.data)[i * out.ld + j] -= shift[j];
done:
    ecki_free(shift);
    return status;
}

// out = scale (A^T y - mean (1^T y)).
static eck_status centered_apply_transpose(void *self, double scale, eck_panel y, eck_panel out,
                                           const eck_context *context, eck_error *err)
{
    const centered *const c = self;
    eck_status status = ECK_OK;
    double *sums = NULL;
    ECK_ALLOC(sums, y.cols);
    ECK_TRY(eck_operator_apply_transpose(c->a, scale, y, out, context, err));
    for (int64_t i = 0; i < y.rows; i++)
        for (int64_t j = 0; j < y.cols; j++)
            sums[j] += scale * ((const double *)y.data)[i * y.ld + j];
    for (int64_t i = 0; i < out.rows; i++)
        for (int64_t j = 0; j < out.cols; j++)
            ((double *)out.data)[i * out.ld + j] -= c->mean[i] * sums[j];
done:
    ecki_free(sums);
    return status;
}

// Each difference rounds once, of numbers whose norms are at most ||A|| on either side.
static eck_status centered_measure(ecki_measure *out, void *self, const eck_context *context,
                                   eck_error *err)
{
    const centered *const c = self;
    const eck_status status = ecki_operator_measure(out, c->a, context, err);
    if (status != ECK_OK) return status;
    out->magnitude *= 2.0;
    out->error += 0x1p-53 * out->magnitude;
    out->depth += 1;
    return ECK_OK;
}

// mean = A^T 1 / rows.
static eck_status column_means(double *mean, const eck_operator *a, const eck_context *context,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    double *ones = NULL;
    const int64_t rows = a->info.rows, cols = a->info.cols;
    ECK_ALLOC_RAW(ones, rows);
    for (int64_t i = 0; i < rows; i++)
        ones[i] = 1.0;
    ECK_TRY(eck_operator_apply_transpose(a, 1.0, ecki_panel(ones, ECK_DTYPE_F64, rows, 1),
                                         ecki_panel(mean, ECK_DTYPE_F64, cols, 1), context, err));
    for (int64_t j = 0; j < cols; j++)
        mean[j] /= (double)ecki_max(rows, 1);
done:
    ecki_free(ones);
    return status;
}

eck_status eck_operator_centered(eck_operator **out, const eck_operator *a,
                                 const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    centered *self = NULL;
    const eck_operator_methods methods = { .version = 1,
                                           .read = centered_read,
                                           .free = centered_free };
    eck_operator_info info = a->info;
    eck_scan scan;
    ECK_TRY(eck_operator_scan(&scan, a, context, err));
    ECK_REQUIRE(scan.nonfinite == 0, ECK_E_NONFINITE, scan.first_nonfinite,
                "cannot centre '%s': element %lld is not finite", a->name,
                (long long)scan.first_nonfinite);
    ECK_ALLOC(self, 1);
    self->a = a;
    ECK_ALLOC(self->mean, a->info.cols);
    ECK_TRY(column_means(self->mean, a, context, err));
    info.symmetric = false;
    ECK_TRY(eck_operator_create(out, &info, &methods, self, err));
    (*out)->extra.measure = centered_measure;
    if (ecki_operator_has_products(a)) { // a sparse matrix stays one: the mean is of rank one
        (*out)->extra.apply = centered_apply;
        (*out)->extra.apply_transpose = centered_apply_transpose;
    }
    self = NULL;
done:
    centered_free(self);
    return status;
}
