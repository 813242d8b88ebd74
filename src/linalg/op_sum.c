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
        self->terms[i] = terms[i];
        self->weights[i] = weights[i];
    }
    ECK_TRY(eck_operator_create(out, &info, &methods, self, err));
    (*out)->extra.measure = sum_measure;
    self = NULL;
done:
    sum_free(self);
    return status;
}
