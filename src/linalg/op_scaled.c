// diag(r) A diag(c), the weights of rows and columns: every method is one of A between two scalings.
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "linalg/op.h"
#include "tensor/codec.h"

typedef struct scaled {
    const eck_operator *a;
    double *rows, *cols; // [rows], [cols]; NULL: ones
} scaled;

static void scaled_free(void *self)
{
    scaled *const s = self;
    if (!s) return;
    ecki_free(s->rows);
    ecki_free(s->cols);
    ecki_free(s);
}

static eck_status scaled_read(void *self, int64_t row, int64_t col, eck_panel out, eck_error *err)
{
    const scaled *const s = self;
    eck_panel staged = { NULL, ECK_DTYPE_F64, 0, 0, 0 };
    eck_status status = ECK_OK;
    ECK_TRY(ecki_staging_begin(&staged, out, err));
    ECK_TRY(eck_operator_read(s->a, row, col, staged, err));
    for (int64_t i = 0; i < out.rows; i++) {
        double *const line = (double *)staged.data + i * staged.ld;
        const double weight = s->rows ? s->rows[row + i] : 1.0;
        for (int64_t j = 0; j < out.cols; j++)
            line[j] *= weight * (s->cols ? s->cols[col + j] : 1.0);
    }
done:
    ecki_staging_end(&staged, out, status == ECK_OK);
    return status;
}

// Row i of an F64 panel times weights[i].
static void scale_rows(eck_panel x, const double *weights)
{
    for (int64_t i = 0; weights && i < x.rows; i++)
        for (int64_t j = 0; j < x.cols; j++) {
            if (x.dtype == ECK_DTYPE_F32)
                ((float *)x.data)[i * x.ld + j] *= (float)weights[i];
            else
                ((double *)x.data)[i * x.ld + j] *= weights[i];
        }
}

// A copy of x with its rows scaled; owned, ecki_free().
static eck_status scaled_copy(eck_panel *out, eck_panel x, const double *weights, eck_error *err)
{
    const int64_t size = eck_dtype_bits(x.dtype) / 8;
    int64_t bytes = 0;
    if (!ecki_mul(x.rows, x.cols, &bytes) || !ecki_mul(bytes, size, &bytes))
        return ecki_error_memory(err, INT64_MAX);
    char *const memory = ecki_malloc(bytes, 1);
    if (!memory) return ecki_error_memory(err, bytes);
    *out = ecki_panel(memory, x.dtype, x.rows, x.cols);
    for (int64_t i = 0; i < x.rows; i++)
        memcpy(memory + i * x.cols * size, (const char *)x.data + i * x.ld * size,
               (size_t)(x.cols * size));
    scale_rows(*out, weights);
    return ECK_OK;
}

static eck_status scaled_apply(void *self, double scale, eck_panel x, eck_panel out,
                               const eck_context *context, eck_error *err)
{
    const scaled *const s = self;
    eck_panel turned = { NULL, ECK_DTYPE_F64, 0, 0, 0 };
    eck_status status = ECK_OK;
    ECK_TRY(scaled_copy(&turned, x, s->cols, err));
    ECK_TRY(eck_operator_apply(s->a, scale, turned, out, context, err));
    scale_rows(out, s->rows);
done:
    ecki_free(turned.data);
    return status;
}

static eck_status scaled_apply_transpose(void *self, double scale, eck_panel y, eck_panel out,
                                         const eck_context *context, eck_error *err)
{
    const scaled *const s = self;
    eck_panel turned = { NULL, ECK_DTYPE_F64, 0, 0, 0 };
    eck_status status = ECK_OK;
    ECK_TRY(scaled_copy(&turned, y, s->rows, err));
    ECK_TRY(eck_operator_apply_transpose(s->a, scale, turned, out, context, err));
    scale_rows(out, s->cols);
done:
    ecki_free(turned.data);
    return status;
}

// Where the weights of the inner side are ones, one read of A: C A^T (A (C x)).
static eck_status scaled_normal(void *self, eck_side side, double scale, const eck_panel panels[2],
                                const eck_context *context, eck_error *err)
{
    const scaled *const s = self;
    const double *const outer = side == ECK_SIDE_RIGHT ? s->cols : s->rows;
    eck_panel turned = { NULL, ECK_DTYPE_F64, 0, 0, 0 };
    eck_status status = ECK_OK;
    ECK_TRY(scaled_copy(&turned, panels[0], outer, err));
    ECK_TRY(eck_operator_normal(s->a, side, scale, turned, panels[1], context, err));
    scale_rows(panels[1], outer);
done:
    ecki_free(turned.data);
    return status;
}

// What the operator itself does when both sides carry weights: its own two products.
static eck_status scaled_normal_twice(void *self, eck_side side, double scale,
                                      const eck_panel panels[2], const eck_context *context,
                                      eck_error *err)
{
    scaled *const s = self;
    const bool inner = side == ECK_SIDE_RIGHT ? s->rows != NULL : s->cols != NULL;
    if (!inner) return scaled_normal(self, side, scale, panels, context, err);
    const eck_operator whole = { .info = s->a->info,
                                 .methods = { .version = 2, .read = scaled_read },
                                 .extra = { .apply = scaled_apply,
                                            .apply_transpose = scaled_apply_transpose },
                                 .self = s,
                                 .name = s->a->name };
    ecki_room room = { NULL, 0 };
    const eck_status status =
        ecki_normal_by_products(&whole, side, scale, panels, context, &room, err);
    ecki_room_clear(&room);
    return status;
}

// Largest |weight|; 1 for none.
static double largest(const double *weights, int64_t count)
{
    double most = weights ? 0.0 : 1.0;
    for (int64_t i = 0; weights && i < count; i++)
        most = fmax(most, fabs(weights[i]));
    return most;
}

// The products of weights round, and their products with A; in A x the panels round once more on either side.
static eck_status scaled_measure(ecki_measure *out, void *self, const eck_context *context,
                                 eck_error *err)
{
    const scaled *const s = self;
    const eck_status status = ecki_operator_measure(out, s->a, context, err);
    if (status != ECK_OK) return status;
    const double most = largest(s->rows, s->a->info.rows) * largest(s->cols, s->a->info.cols);
    out->magnitude *= most;
    out->error = most * out->error + 2.0 * 0x1p-53 * out->magnitude;
    out->depth += 2;
    return ECK_OK;
}

// A copy of weights, checked; NULL stays NULL.
static eck_status copy_weights(double **out, const double *weights, int64_t count, const char *what,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    if (!weights) return ECK_OK;
    ECK_ALLOC_RAW(*out, count);
    for (int64_t i = 0; i < count; i++) {
        ECK_REQUIRE(isfinite(weights[i]), ECK_E_RANGE, i, "weight %lld of the %s is not finite",
                    (long long)i, what);
        (*out)[i] = weights[i];
    }
done:
    return status;
}

eck_status eck_operator_scaled(eck_operator **out, const eck_operator *a, const double *rows,
                               const double *cols, eck_error *err)
{
    eck_status status = ECK_OK;
    scaled *self = NULL;
    const eck_operator_methods methods = { .version = 1, .read = scaled_read, .free = scaled_free };
    eck_operator_info info = a->info;
    ECK_ALLOC(self, 1);
    self->a = a;
    ECK_TRY(copy_weights(&self->rows, rows, info.rows, "rows", err));
    ECK_TRY(copy_weights(&self->cols, cols, info.cols, "columns", err));
    info.symmetric = false;
    ECK_TRY(eck_operator_create(out, &info, &methods, self, err));
    (*out)->extra.measure = scaled_measure;
    (*out)->extra.apply = scaled_apply;
    (*out)->extra.apply_transpose = scaled_apply_transpose;
    (*out)->extra.normal = scaled_normal_twice;
    self = NULL;
done:
    scaled_free(self);
    return status;
}
