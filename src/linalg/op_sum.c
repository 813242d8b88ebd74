// sum_i w_i A_i, read term by term and added in F64 in the order given.
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "linalg/op.h"
#include "tensor/codec.h"

typedef struct sum {
    const eck_operator **terms;
    double *weights;
    int64_t count;
} sum;

static void sum_free(void *self)
{
    sum *const s = self;
    if (!s) return;
    ecki_free(s->terms);
    ecki_free(s->weights);
    ecki_free(s);
}

// out = w x, or out += w x.
static void add_term(eck_panel out, const double *x, double w, bool first)
{
    for (int64_t i = 0; i < out.rows; i++) {
        double *const row = (double *)out.data + i * out.ld;
        for (int64_t j = 0; j < out.cols; j++)
            row[j] = first ? w * x[i * out.cols + j] : row[j] + w * x[i * out.cols + j];
    }
}

static eck_status sum_read(void *self, int64_t row, int64_t col, eck_panel out, eck_error *err)
{
    const sum *const s = self;
    eck_status status = ECK_OK;
    double *block = NULL;
    eck_panel staged = { NULL, ECK_DTYPE_F64, 0, 0, 0 };
    int64_t count = 0;
    ECK_REQUIRE(ecki_mul(out.rows, out.cols, &count), ECK_E_NOMEM, -1, "not enough memory to add");
    ECK_ALLOC_RAW(block, count);
    ECK_TRY(ecki_staging_begin(&staged, out, err));
    for (int64_t i = 0; i < s->count; i++) {
        const eck_panel shape = ecki_panel(block, ECK_DTYPE_F64, out.rows, out.cols);
        ECK_TRY(ecki_operator_block(s->terms[i], row, col, shape, 1.0, err));
        add_term(staged, block, s->weights[i], i == 0);
    }
done:
    ecki_staging_end(&staged, out, status == ECK_OK);
    ecki_free(block);
    return status;
}

// out = sum_i w_i (scale A_i x), or with A_i^T, term by term in the order given.
static eck_status sum_products(const sum *s, bool turned, double scale, const eck_panel panels[2],
                               const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_panel x = panels[0], out = panels[1];
    double *block = NULL;
    int64_t count = 0;
    ECK_REQUIRE(ecki_mul(out.rows, out.cols, &count), ECK_E_NOMEM, -1, "not enough memory to add");
    ECK_ALLOC_RAW(block, count);
    const eck_panel part = ecki_panel(block, ECK_DTYPE_F64, out.rows, out.cols);
    for (int64_t i = 0; i < s->count; i++) {
        ECK_TRY(turned ? eck_operator_apply_transpose(s->terms[i], scale, x, part, context, err)
                       : eck_operator_apply(s->terms[i], scale, x, part, context, err));
        add_term(out, block, s->weights[i], i == 0);
    }
done:
    ecki_free(block);
    return status;
}

static eck_status sum_apply(void *self, double scale, eck_panel x, eck_panel out,
                            const eck_context *context, eck_error *err)
{
    return sum_products(self, false, scale, (const eck_panel[2]){ x, out }, context, err);
}

static eck_status sum_apply_transpose(void *self, double scale, eck_panel y, eck_panel out,
                                      const eck_context *context, eck_error *err)
{
    return sum_products(self, true, scale, (const eck_panel[2]){ y, out }, context, err);
}

// Magnitude M = sum_i |w_i| M_i; error sum_i |w_i| error_i + (count + 1) u M: every product and
// every sum rounds once.
static eck_status sum_measure(ecki_measure *out, void *self, const eck_context *context,
                              eck_error *err)
{
    const sum *const s = self;
    eck_status status = ECK_OK;
    ecki_measure all = { 0.0, 0.0, s->count + 1 };
    for (int64_t i = 0; i < s->count; i++) {
        ecki_measure term;
        ECK_TRY(ecki_operator_measure(&term, s->terms[i], context, err));
        all.magnitude += fabs(s->weights[i]) * term.magnitude;
        all.error += fabs(s->weights[i]) * term.error;
        all.depth += term.depth;
    }
    all.error += (double)(s->count + 1) * 0x1p-53 * all.magnitude;
    *out = all;
done:
    return status;
}

eck_status eck_operator_sum(eck_operator **out, const eck_operator *const *terms,
                            const double *weights, int64_t count, eck_error *err)
{
    eck_status status = ECK_OK;
    sum *self = NULL;
    const eck_operator_methods methods = { .version = 1, .read = sum_read, .free = sum_free };
    eck_operator_info info = ECK_OPERATOR_INFO_INIT;
    bool products = false;
    int64_t nonzeros = 0;
    ECK_REQUIRE(count >= 1, ECK_E_RANGE, -1, "a sum needs at least one term, not %lld",
                (long long)count);
    info = terms[0]->info;
    ECK_ALLOC(self, 1);
    ECK_ALLOC(self->terms, count);
    ECK_ALLOC(self->weights, count);
    self->count = count;
    for (int64_t i = 0; i < count; i++) {
        const eck_operator_info *const term = &terms[i]->info;
        ECK_REQUIRE(term->rows == info.rows && term->cols == info.cols, ECK_E_SHAPE, -1,
                    "cannot add '%s' [%lld,%lld] to [%lld,%lld]", term->name, (long long)term->rows,
                    (long long)term->cols, (long long)info.rows, (long long)info.cols);
        ECK_REQUIRE(isfinite(weights[i]), ECK_E_RANGE, -1, "weight %lld is not finite",
                    (long long)i);
        info.storage = ecki_storage_of(info.storage, term->storage);
        info.resident = info.resident && term->resident;
        info.symmetric = info.symmetric && term->symmetric;
        products = products || ecki_operator_has_products(terms[i]);
        nonzeros += term->nonzeros > 0 ? term->nonzeros : term->rows * term->cols;
        self->terms[i] = terms[i];
        self->weights[i] = weights[i];
    }
    ECK_TRY(eck_operator_create(out, &info, &methods, self, err));
    (*out)->extra.measure = sum_measure;
    if (products) { // sparse terms and products of factors need not be read
        (*out)->extra.apply = sum_apply;
        (*out)->extra.apply_transpose = sum_apply_transpose;
        (*out)->info.nonzeros = nonzeros;
    }
    self = NULL;
done:
    sum_free(self);
    return status;
}
