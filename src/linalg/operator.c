// The operator object: what callers pass is checked here, then the operator's own method runs, or
// the derived one. Always true: methods see panels that fit, inside the matrix.
#include "linalg/op.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/fused.h"
#include "tensor/codec.h"

// Methods of any version: those a caller's version does not know are derived.
static eck_operator_methods methods_of(const eck_operator_methods *methods)
{
    eck_operator_methods known = { .version = 2 };
    if (methods->version >= 2)
        known = *methods;
    else
        memcpy(&known, methods, offsetof(eck_operator_methods, normal));
    return known;
}

// An info of any version: what a caller's version does not know has its default.
static eck_operator_info info_of(const eck_operator_info *info)
{
    eck_operator_info known = ECK_OPERATOR_INFO_INIT;
    if (info->version >= 2)
        known = *info;
    else
        memcpy(&known, info, offsetof(eck_operator_info, nonzeros));
    return known;
}

eck_status eck_operator_create(eck_operator **out, const eck_operator_info *info,
                               const eck_operator_methods *methods, void *self, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_operator *a = NULL;
    ECK_REQUIRE(info->rows >= 0 && info->cols >= 0, ECK_E_SHAPE, -1,
                "an operator cannot be [%lld,%lld]", (long long)info->rows, (long long)info->cols);
    ECK_REQUIRE(eck_dtype_is_weight(info->storage), ECK_E_RANGE, -1,
                "storage %s is not one that is factored: F64, F32, F16, BF16",
                eck_dtype_name(info->storage));
    ECK_REQUIRE(methods->version >= 1 && methods->version <= 2, ECK_E_RANGE, -1,
                "unknown version %u of operator methods", methods->version);
    ECK_REQUIRE(methods->read || (methods->apply && methods->apply_transpose), ECK_E_RANGE, -1,
                "an operator needs read, or both products");
    ECK_REQUIRE(info->version >= 1 && info->version <= 2, ECK_E_RANGE, -1,
                "unknown version %u of an operator's info", info->version);
    ECK_REQUIRE(info->read_error >= 0.0, ECK_E_RANGE, -1, "read_error %g is negative",
                info->read_error);
    ECK_ALLOC(a, 1);
    a->name = ecki_strdup(info->name ? info->name : "");
    ECK_HAVE(a->name);
    a->info = info_of(info);
    a->info.name = a->name;
    a->methods = methods_of(methods);
    a->self = self;
    *out = a;
    a = NULL;
done:
    ecki_free(a);
    return status;
}

eck_status ecki_operator_rename(eck_operator *a, const char *name, eck_error *err)
{
    eck_status status = ECK_OK;
    char *const copy = ecki_strdup(name);
    ECK_HAVE(copy);
    ecki_free(a->name);
    a->info.name = a->name = copy;
done:
    return status;
}

void eck_operator_free(eck_operator *a)
{
    if (!a) return;
    if (a->methods.free) a->methods.free(a->self);
    ecki_free(a->name);
    ecki_free(a);
}

const eck_operator_info *eck_operator_get_info(const eck_operator *a)
{
    return &a->info;
}

// Fails unless a panel is well formed, of [rows,cols], and F64 if `wide`.
static eck_status require_panel(const char *what, eck_panel panel, int64_t rows, int64_t cols,
                                bool wide, eck_error *err)
{
    if (panel.rows != rows || panel.cols != cols || panel.ld < panel.cols)
        return ecki_error(err, ECK_E_SHAPE, -1,
                          "%s is [%lld,%lld] with rows %lld apart, not [%lld,%lld]", what,
                          (long long)panel.rows, (long long)panel.cols, (long long)panel.ld,
                          (long long)rows, (long long)cols);
    if (panel.dtype != ECK_DTYPE_F64 && (wide || panel.dtype != ECK_DTYPE_F32))
        return ecki_error(err, ECK_E_RANGE, -1, "%s is of type %s, not F64%s", what,
                          eck_dtype_name(panel.dtype), wide ? "" : " or F32");
    return ECK_OK;
}

eck_status eck_operator_read(const eck_operator *a, int64_t row, int64_t col, eck_panel out,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    ECK_TRY(require_panel("the panel", out, out.rows, out.cols, false, err));
    ECK_REQUIRE(row >= 0 && col >= 0 && out.rows >= 0 && out.cols >= 0 &&
                    row <= a->info.rows - out.rows && col <= a->info.cols - out.cols,
                ECK_E_RANGE, -1,
                "block [%lld,%lld] at (%lld,%lld) leaves operator '%s' [%lld,%lld]",
                (long long)out.rows, (long long)out.cols, (long long)row, (long long)col, a->name,
                (long long)a->info.rows, (long long)a->info.cols);
    if (out.rows == 0 || out.cols == 0) goto done;
    ECK_TRY(a->methods.read ? a->methods.read(a->self, row, col, out, err)
                            : ecki_derive_read(a, row, col, out, err));
done:
    return status;
}

eck_status eck_operator_apply(const eck_operator *a, double scale, eck_panel x, eck_panel out,
                              const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    ECK_TRY(require_panel("the factor", x, a->info.cols, x.cols, true, err));
    ECK_TRY(require_panel("the product", out, a->info.rows, x.cols, true, err));
    const eck_panel panels[2] = { x, out };
    if (a->view && ecki_fused_takes_apply(a->view, false))
        status = ecki_fused_apply(a->view, scale, panels, context, err);
    else if (a->extra.apply)
        status = a->extra.apply(a->self, scale, x, out, context, err);
    else if (a->methods.apply)
        status = a->methods.apply(a->self, scale, x, out, err);
    else
        status = ecki_derive_apply(a, scale, x, out, context, err);
done:
    return status;
}

eck_status eck_operator_apply_transpose(const eck_operator *a, double scale, eck_panel y,
                                        eck_panel out, const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    ECK_TRY(require_panel("the factor", y, a->info.rows, y.cols, true, err));
    ECK_TRY(require_panel("the product", out, a->info.cols, y.cols, true, err));
    const eck_panel panels[2] = { y, out };
    if (a->view && ecki_fused_takes_apply(a->view, true)) {
        const eck_view turned = eck_view_transposed(*a->view);
        status = ecki_fused_apply(&turned, scale, panels, context, err);
    } else if (a->extra.apply_transpose)
        status = a->extra.apply_transpose(a->self, scale, y, out, context, err);
    else if (a->methods.apply_transpose)
        status = a->methods.apply_transpose(a->self, scale, y, out, err);
    else
        status = ecki_derive_apply_transpose(a, scale, y, out, context, err);
done:
    return status;
}

eck_status eck_operator_gram(const eck_operator *a, eck_side side, double scale, eck_panel out,
                             const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t order = side == ECK_SIDE_RIGHT ? a->info.cols : a->info.rows;
    const int32_t saved = ecki_blas_enter(ecki_threads(context));
    ECK_TRY(require_panel("the Gram matrix", out, order, order, true, err));
    if (a->extra.gram)
        status = a->extra.gram(a->self, side, scale, out, context, err);
    else if (a->methods.gram)
        status = a->methods.gram(a->self, side, scale, out, err);
    else
        status = ecki_derive_gram(a, side, scale, out, context, err);
done:
    ecki_blas_leave(saved);
    return status;
}

eck_status ecki_operator_normal(const eck_operator *a, eck_side side, double scale,
                                const eck_panel panels[2], const eck_context *context,
                                ecki_room *room, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t order = side == ECK_SIDE_RIGHT ? a->info.cols : a->info.rows;
    const eck_panel x = panels[0], out = panels[1];
    ECK_TRY(require_panel("the factor", x, order, x.cols, false, err));
    ECK_TRY(require_panel("the product", out, order, x.cols, false, err));
    ECK_REQUIRE(x.dtype == out.dtype, ECK_E_RANGE, -1,
                "the factor is of type %s, the product of %s: they must agree",
                eck_dtype_name(x.dtype), eck_dtype_name(out.dtype));
    if (a->view && ecki_fused_takes(a->view, side, scale, panels)) {
        const eck_view of = side == ECK_SIDE_RIGHT ? *a->view : eck_view_transposed(*a->view);
        status =
            ecki_fused_normal(&(ecki_fused_matrix){ &of, scale, NULL }, panels, context, room, err);
    } else if (a->extra.normal)
        status = a->extra.normal(a->self, side, scale, panels, context, err);
    else if (a->methods.normal)
        status = a->methods.normal(a->self, side, scale, x, out, err);
    else if (a->methods.read && !a->methods.apply && !a->extra.apply)
        status = ecki_derive_normal(a, side, scale, panels, context, err);
    else
        status = ecki_normal_by_products(a, side, scale, panels, context, room, err);
done:
    return status;
}

eck_status eck_operator_normal(const eck_operator *a, eck_side side, double scale, eck_panel x,
                               eck_panel out, const eck_context *context, eck_error *err)
{
    ecki_room room = { NULL, 0 };
    const eck_status status =
        ecki_operator_normal(a, side, scale, (const eck_panel[2]){ x, out }, context, &room, err);
    ecki_room_clear(&room);
    return status;
}

eck_status eck_operator_scan(eck_scan *out, const eck_operator *a, const eck_context *context,
                             eck_error *err)
{
    eck_scan scan = { 0.0, 0.0, -1, 0 };
    if (a->scanned) {
        *out = a->scan;
        return ECK_OK;
    }
    const eck_status status = a->methods.scan ? a->methods.scan(a->self, &scan, err)
                                              : ecki_derive_scan(&scan, a, context, err);
    if (status == ECK_OK) *out = scan;
    return status;
}

eck_status ecki_operator_block(const eck_operator *a, int64_t row, int64_t col, eck_panel out,
                               double scale, eck_error *err)
{
    const eck_status status = eck_operator_read(a, row, col, out, err);
    if (status != ECK_OK || scale == 1.0) return status;
    double *const numbers = out.data;
    const int64_t count = out.rows * out.cols;
    for (int64_t i = 0; i < count; i++)
        numbers[i] *= scale;
    return ECK_OK;
}

eck_status ecki_operator_measure(ecki_measure *out, const eck_operator *a,
                                 const eck_context *context, eck_error *err)
{
    if (a->extra.measure) return a->extra.measure(out, a->self, context, err);
    eck_scan scan;
    const eck_status status = eck_operator_scan(&scan, a, context, err);
    // The norm of a scan is a rounded sum: a part in 10^9 covers 10^7 additions.
    if (status == ECK_OK)
        *out = (ecki_measure){ sqrt(scan.norm2) * (1.0 + 1e-9), a->info.read_error, 0 };
    return status;
}

double ecki_scale_of(double max)
{
    if (!(max > 0.0) || !isfinite(max)) return 1.0;
    const int exponent = ilogb(max);
    return ldexp(1.0, exponent < -1022 ? 1022 : -exponent);
}

eck_dtype ecki_storage_of(eck_dtype a, eck_dtype b)
{
    if (a == b) return a;
    return a == ECK_DTYPE_F64 || b == ECK_DTYPE_F64 ? ECK_DTYPE_F64 : ECK_DTYPE_F32;
}

eck_status ecki_staging_begin(eck_panel *staged, eck_panel out, eck_error *err)
{
    *staged = out;
    if (out.dtype == ECK_DTYPE_F64) return ECK_OK;
    int64_t count = 0;
    if (!ecki_mul(out.rows, out.cols, &count)) return ecki_error_memory(err, INT64_MAX);
    double *const memory = ecki_malloc(count, sizeof *memory);
    if (!memory) return ecki_error_memory(err, ecki_bytes_of(count, sizeof *memory));
    *staged = ecki_panel(memory, ECK_DTYPE_F64, out.rows, out.cols);
    return ECK_OK;
}

void ecki_staging_end(eck_panel *staged, eck_panel out, bool good)
{
    if (staged->data == out.data || !staged->data) return;
    for (int64_t i = 0; good && i < out.rows; i++)
        ecki_round_f64(out.dtype, (const double *)staged->data + i * staged->ld,
                       (float *)out.data + i * out.ld, out.cols);
    ecki_free(staged->data);
    staged->data = NULL;
}
