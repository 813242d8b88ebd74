// The transpose of an operator: every method is another one of the original.
#include "base/checked.h"
#include "base/memory.h"
#include "linalg/op.h"
#include "tensor/codec.h"

typedef struct transposed {
    const eck_operator *a;
} transposed;

enum { BLOCK = 32 };

// out = block^T, both F64.
static void transpose_block(eck_panel out, const double *block)
{
    double *const data = out.data;
    for (int64_t i0 = 0; i0 < out.rows; i0 += BLOCK)
        for (int64_t j0 = 0; j0 < out.cols; j0 += BLOCK)
            for (int64_t i = i0; i < ecki_min(i0 + BLOCK, out.rows); i++)
                for (int64_t j = j0; j < ecki_min(j0 + BLOCK, out.cols); j++)
                    data[i * out.ld + j] = block[j * out.rows + i];
}

static eck_status transposed_read(void *self, int64_t row, int64_t col, eck_panel out,
                                  eck_error *err)
{
    const transposed *const t = self;
    eck_status status = ECK_OK;
    double *block = NULL;
    eck_panel staged = { NULL, ECK_DTYPE_F64, 0, 0, 0 };
    int64_t count = 0;
    ECK_REQUIRE(ecki_mul(out.rows, out.cols, &count), ECK_E_NOMEM, -1,
                "not enough memory to transpose");
    ECK_ALLOC_RAW(block, count);
    ECK_TRY(ecki_staging_begin(&staged, out, err));
    ECK_TRY(eck_operator_read(t->a, col, row, ecki_panel(block, ECK_DTYPE_F64, out.cols, out.rows),
                              err));
    transpose_block(staged, block);
done:
    ecki_staging_end(&staged, out, status == ECK_OK);
    ecki_free(block);
    return status;
}

static eck_status transposed_apply(void *self, double scale, eck_panel x, eck_panel out,
                                   const eck_context *context, eck_error *err)
{
    const transposed *const t = self;
    return eck_operator_apply_transpose(t->a, scale, x, out, context, err);
}

static eck_status transposed_apply_transpose(void *self, double scale, eck_panel y, eck_panel out,
                                             const eck_context *context, eck_error *err)
{
    const transposed *const t = self;
    return eck_operator_apply(t->a, scale, y, out, context, err);
}

static eck_status transposed_gram(void *self, eck_side side, double scale, eck_panel out,
                                  const eck_context *context, eck_error *err)
{
    const transposed *const t = self;
    const eck_side other = side == ECK_SIDE_RIGHT ? ECK_SIDE_LEFT : ECK_SIDE_RIGHT;
    return eck_operator_gram(t->a, other, scale, out, context, err);
}

static eck_status transposed_normal(void *self, eck_side side, double scale,
                                    const eck_panel panels[2], const eck_context *context,
                                    eck_error *err)
{
    const transposed *const t = self;
    const eck_side other = side == ECK_SIDE_RIGHT ? ECK_SIDE_LEFT : ECK_SIDE_RIGHT;
    return eck_operator_normal(t->a, other, scale, panels[0], panels[1], context, err);
}

static eck_status transposed_measure(ecki_measure *out, void *self, const eck_context *context,
                                     eck_error *err)
{
    const transposed *const t = self;
    return ecki_operator_measure(out, t->a, context, err);
}

eck_status eck_operator_transposed(eck_operator **out, const eck_operator *a, eck_error *err)
{
    eck_status status = ECK_OK;
    transposed *self = NULL;
    const eck_operator_methods methods = { .version = 1,
                                           .read = transposed_read,
                                           .free = ecki_free };
    const ecki_operator_extra extra = { .measure = transposed_measure,
                                        .apply = transposed_apply,
                                        .apply_transpose = transposed_apply_transpose,
                                        .normal = transposed_normal };
    eck_operator_info info = a->info;
    ECK_ALLOC(self, 1);
    self->a = a;
    info.rows = a->info.cols;
    info.cols = a->info.rows;
    ECK_TRY(eck_operator_create(out, &info, &methods, self, err));
    (*out)->extra = extra;
    if (a->methods.gram || a->extra.gram) (*out)->extra.gram = transposed_gram;
    self = NULL;
done:
    ecki_free(self);
    return status;
}
