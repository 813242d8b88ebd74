// scale B A, read as products of strips of B and A, never formed.
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "linalg/gemm.h"
#include "linalg/op.h"
#include "tensor/codec.h"

enum { STRIP = 256 };

typedef struct product {
    const eck_operator *b, *a;
    double scale;
} product;

// out = scale B[row..,:] A[:,col..], over strips of the inner width.
static eck_status product_read(void *self, int64_t row, int64_t col, eck_panel out, eck_error *err)
{
    const product *const p = self;
    eck_status status = ECK_OK;
    double *left = NULL, *right = NULL;
    eck_panel staged = { NULL, ECK_DTYPE_F64, 0, 0, 0 };
    const int64_t inner = p->a->info.rows, strip = ecki_min(STRIP, inner);
    ECK_ALLOC_RAW(left, out.rows * strip);
    ECK_ALLOC_RAW(right, strip * out.cols);
    ECK_TRY(ecki_staging_begin(&staged, out, err));
    if (inner == 0)
        ECK_TRY(ecki_gemm(0.0, ecki_matrix_of(left, out.rows, 0),
                          ecki_matrix_of(right, 0, out.cols), 0.0, staged, err));
    for (int64_t at = 0; at < inner; at += strip) {
        const int64_t step = ecki_min(strip, inner - at);
        const eck_panel lp = ecki_panel(left, ECK_DTYPE_F64, out.rows, step);
        const eck_panel rp = ecki_panel(right, ECK_DTYPE_F64, step, out.cols);
        ECK_TRY(eck_operator_read(p->b, row, at, lp, err));
        ECK_TRY(eck_operator_read(p->a, at, col, rp, err));
        ECK_TRY(ecki_gemm(p->scale, ecki_matrix_panel(lp), ecki_matrix_panel(rp),
                          at > 0 ? 1.0 : 0.0, staged, err));
    }
done:
    ecki_staging_end(&staged, out, status == ECK_OK);
    ecki_free(right);
    ecki_free(left);
    return status;
}

// The same of F32 panels in F32.
static eck_status product_read_narrow(void *self, int64_t row, int64_t col, eck_panel out,
                                      eck_error *err)
{
    const product *const p = self;
    eck_status status = ECK_OK;
    float *left = NULL, *right = NULL;
    const int64_t inner = p->a->info.rows, strip = ecki_min(STRIP, inner);
    ECK_ALLOC_RAW(left, out.rows * strip);
    ECK_ALLOC_RAW(right, strip * out.cols);
    for (int64_t i = 0; inner == 0 && i < out.rows; i++)
        memset((float *)out.data + i * out.ld, 0, (size_t)out.cols * sizeof *left);
    for (int64_t at = 0; at < inner; at += strip) {
        const int64_t step = ecki_min(strip, inner - at);
        const eck_panel lp = ecki_panel(left, ECK_DTYPE_F32, out.rows, step);
        const eck_panel rp = ecki_panel(right, ECK_DTYPE_F32, step, out.cols);
        ECK_TRY(eck_operator_read(p->b, row, at, lp, err));
        ECK_TRY(eck_operator_read(p->a, at, col, rp, err));
        ECK_TRY(ecki_gemm_f32((float)p->scale, lp, false, rp, at > 0 ? 1.0F : 0.0F, out, err));
    }
done:
    ecki_free(right);
    ecki_free(left);
    return status;
}

// True for numbers in memory that F32 holds.
static bool is_narrow(const eck_operator *a)
{
    return a->view && a->stored && eck_dtype_bits(a->info.storage) <= 32;
}

// Room for the inner width of a product with `columns` vectors.
static eck_status middle_panel(eck_panel *out, const product *p, int64_t columns, eck_error *err)
{
    int64_t count = 0;
    if (!ecki_mul(p->a->info.rows, columns, &count)) return ecki_error_memory(err, INT64_MAX);
    double *const memory = ecki_malloc(count, sizeof *memory);
    if (!memory) return ecki_error_memory(err, ecki_bytes_of(count, sizeof *memory));
    *out = ecki_panel(memory, ECK_DTYPE_F64, p->a->info.rows, columns);
    return ECK_OK;
}

// out = scale B (A x).
static eck_status product_apply(void *self, double scale, eck_panel x, eck_panel out,
                                const eck_context *context, eck_error *err)
{
    const product *const p = self;
    eck_panel middle = { NULL, ECK_DTYPE_F64, 0, 0, 0 };
    eck_status status = ECK_OK;
    ECK_TRY(middle_panel(&middle, p, x.cols, err));
    ECK_TRY(eck_operator_apply(p->a, p->scale, x, middle, context, err));
    ECK_TRY(eck_operator_apply(p->b, scale, middle, out, context, err));
done:
    ecki_free(middle.data);
    return status;
}

// out = scale A^T (B^T y).
static eck_status product_apply_transpose(void *self, double scale, eck_panel y, eck_panel out,
                                          const eck_context *context, eck_error *err)
{
    const product *const p = self;
    eck_panel middle = { NULL, ECK_DTYPE_F64, 0, 0, 0 };
    eck_status status = ECK_OK;
    ECK_TRY(middle_panel(&middle, p, y.cols, err));
    ECK_TRY(eck_operator_apply_transpose(p->b, p->scale, y, middle, context, err));
    ECK_TRY(eck_operator_apply_transpose(p->a, scale, middle, out, context, err));
done:
    ecki_free(middle.data);
    return status;
}

// Magnitude |scale| M_B M_A. A dot product of r terms rounds to within (r + 2) u of the product of
// absolute values, and errors of the factors pass through the other factor.
static eck_status product_measure(ecki_measure *out, void *self, const eck_context *context,
                                  eck_error *err)
{
    const product *const p = self;
    eck_status status = ECK_OK;
    ecki_measure b, a;
    ECK_TRY(ecki_operator_measure(&b, p->b, context, err));
    ECK_TRY(ecki_operator_measure(&a, p->a, context, err));
    const double scale = fabs(p->scale), width = (double)(p->a->info.rows + 3);
    out->magnitude = scale * (b.magnitude + b.error) * (a.magnitude + a.error);
    out->error = width * 0x1p-53 * out->magnitude +
                 scale * (b.error * (a.magnitude + a.error) + b.magnitude * a.error);
    out->depth = b.depth + a.depth + p->a->info.rows + 3;
done:
    return status;
}

eck_status eck_operator_product(eck_operator **out, const eck_operator *b, const eck_operator *a,
                                double scale, eck_error *err)
{
    eck_status status = ECK_OK;
    product *self = NULL;
    const eck_operator_methods methods = { .version = 1, .read = product_read, .free = ecki_free };
    const ecki_operator_extra extra = { .measure = product_measure,
                                        .apply = product_apply,
                                        .apply_transpose = product_apply_transpose,
                                        .read_narrow = is_narrow(b) && is_narrow(a)
                                                           ? product_read_narrow
                                                           : NULL };
    eck_operator_info info = ECK_OPERATOR_INFO_INIT;
    ECK_REQUIRE(b->info.cols == a->info.rows, ECK_E_SHAPE, -1,
                "cannot multiply '%s' [%lld,%lld] by '%s' [%lld,%lld]", b->name,
                (long long)b->info.rows, (long long)b->info.cols, a->name, (long long)a->info.rows,
                (long long)a->info.cols);
    ECK_REQUIRE(isfinite(scale), ECK_E_RANGE, -1, "scale is not finite");
    ECK_ALLOC(self, 1);
    *self = (product){ b, a, scale };
    info.rows = b->info.rows;
    info.cols = a->info.cols;
    // A product of 16-bit numbers is no 16-bit number.
    info.storage =
        ecki_storage_of(ecki_storage_of(b->info.storage, a->info.storage), ECK_DTYPE_F32);
    info.resident = b->info.resident && a->info.resident;
    ECK_TRY(eck_operator_create(out, &info, &methods, self, err));
    (*out)->extra = extra;
    self = NULL;
done:
    ecki_free(self);
    return status;
}
