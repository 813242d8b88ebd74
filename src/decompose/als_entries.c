/**
 * The observed entries of a matrix with a mask, weights or both: checked, scaled, and listed row by row and column by
 * column. Always true: every listed value is finite, every listed weight is positive, and what is masked out was looked
 * at by nobody.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "decompose/als_parts.h"
#include "linalg/op.h"
#include "tensor/codec.h"

// Numbers read at a time.
enum { CHUNK = 1 << 16 };

/* ---- reading ------------------------------------------------------------------------------- */

/** A few whole rows of matrix, mask and weights, and where they go. */
typedef struct visit {
    ecki_als_problem *problem;
    double *a, *weight; // [height,cols]; weight: 0 for what is missing
    int64_t height;
    int64_t *counts; // first pass: [cols] entries of every column; NULL in the second
    double largest, heaviest;
} visit;

/** weight = mask times weights, with what they may not be refused. */
static eck_status read_weights(const visit *v, int64_t row, int64_t rows, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_als_problem *const p = v->problem;
    const int64_t count = rows * p->cols;
    const eck_panel a = ecki_panel(v->a, ECK_DTYPE_F64, rows, p->cols);
    const eck_panel weight = ecki_panel(v->weight, ECK_DTYPE_F64, rows, p->cols);

    // The place of A serves the mask first.
    if (p->mask) ECK_TRY(eck_operator_read(p->mask, row, 0, a, err));
    if (p->weights) ECK_TRY(eck_operator_read(p->weights, row, 0, weight, err));
    for (int64_t i = 0; i < count; i++) {
        const double seen = p->mask ? v->a[i] : 1.0, w = p->weights ? v->weight[i] : 1.0;
        const int64_t flat = row * p->cols + i;
        ECK_REQUIRE(isfinite(seen), ECK_E_NONFINITE, flat,
                    "element %lld of mask '%s' is not finite", (long long)flat,
                    p->mask ? eck_operator_get_info(p->mask)->name : "");
        ECK_REQUIRE(seen == 0.0 || (isfinite(w) && w >= 0.0), ECK_E_RANGE, flat,
                    "element %lld of weights '%s' is %g, allowed: 0 or more", (long long)flat,
                    p->weights ? eck_operator_get_info(p->weights)->name : "", w);
        v->weight[i] = seen == 0.0 ? 0.0 : w;
    }
done:
    return status;
}

static void count_row(visit *v, const double *a, const double *weight, int64_t row)
{
    ecki_als_problem *const p = v->problem;
    int64_t found = 0;
    for (int64_t j = 0; j < p->cols; j++) {
        if (weight[j] == 0.0) continue;
        v->largest = fmax(v->largest, fabs(a[j]));
        v->heaviest = fmax(v->heaviest, weight[j]);
        v->counts[j]++;
        found++;
    }
    p->by_row.start[row + 1] = p->by_row.start[row] + found;
}

/** Scaled by powers of two, exactly, and summed up. */
static void fill_row(const visit *v, const double *a, const double *weight, int64_t row)
{
    ecki_als_problem *const p = v->problem;
    ecki_entries *const to = &p->by_row;
    int64_t at = to->start[row];
    double norm2 = 0.0, sum = 0.0;
    for (int64_t j = 0; j < p->cols; j++) {
        if (weight[j] == 0.0) continue;
        const double w = weight[j] * p->weight_scale, x = a[j] * p->scale;
        to->index[at] = (int32_t)j;
        to->value[at] = x;
        if (to->root) to->root[at] = sqrt(w);
        norm2 += w * x * x;
        sum += w;
        at++;
    }
    p->norm2 += norm2;
    p->weight += sum;
}

/** Reads every row once, for counting or for filling. */
static eck_status visit_rows(visit *v, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_als_problem *const p = v->problem;
    for (int64_t row = 0; row < p->rows; row += v->height) {
        const int64_t rows = ecki_min(v->height, p->rows - row);
        ECK_TRY(read_weights(v, row, rows, err));
        ECK_TRY(
            eck_operator_read(p->a, row, 0, ecki_panel(v->a, ECK_DTYPE_F64, rows, p->cols), err));
        for (int64_t i = 0; i < rows * p->cols; i++)
            ECK_REQUIRE(v->weight[i] == 0.0 || isfinite(v->a[i]), ECK_E_NONFINITE,
                        row * p->cols + i, "cannot fit '%s': element %lld is observed and %g",
                        eck_operator_get_info(p->a)->name, (long long)(row * p->cols + i), v->a[i]);
        for (int64_t i = 0; i < rows; i++) {
            const double *const a = v->a + i * p->cols, *const weight = v->weight + i * p->cols;
            if (v->counts)
                count_row(v, a, weight, row + i);
            else
                fill_row(v, a, weight, row + i);
        }
    }
done:
    return status;
}

/* ---- lists --------------------------------------------------------------------------------- */

static eck_status entries_room(ecki_entries *e, int64_t rows, int64_t count, bool weighted,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    e->rows = rows;
    if (!e->start) ECK_ALLOC(e->start, rows + 1);
    ECK_ALLOC_RAW(e->index, count);
    ECK_ALLOC_RAW(e->value, count);
    if (weighted) ECK_ALLOC_RAW(e->root, count);
done:
    return status;
}

/** The same entries column by column; counts [cols] is used up. */
static eck_status turn(ecki_als_problem *p, int64_t *counts, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_entries *const from = &p->by_row;
    ecki_entries *const to = &p->by_col;

    ECK_TRY(entries_room(to, p->cols, p->observed, from->root != NULL, err));
    for (int64_t j = 0; j < p->cols; j++) {
        p->empty_cols += counts[j] == 0;
        to->start[j + 1] = to->start[j] + counts[j];
        counts[j] = to->start[j]; // from here on: where the next one goes
    }
    for (int64_t i = 0; i < p->rows; i++) {
        p->empty_rows += from->start[i] == from->start[i + 1];
        for (int64_t e = from->start[i]; e < from->start[i + 1]; e++) {
            const int64_t at = counts[from->index[e]]++;
            to->index[at] = (int32_t)i;
            to->value[at] = from->value[e];
            if (to->root) to->root[at] = from->root[e];
        }
    }
done:
    return status;
}

static void entries_clear(ecki_entries *e)
{
    ecki_free(e->start);
    ecki_free(e->index);
    ecki_free(e->value);
    ecki_free(e->root);
}

void ecki_als_problem_clear(ecki_als_problem *p)
{
    entries_clear(&p->by_row);
    entries_clear(&p->by_col);
    eck_operator_free(p->own);
    eck_array_free(p->copy);
    ecki_free(p->product);
}

/** Fails unless b has the shape of A. */
static eck_status require_shape(const ecki_als_problem *p, const eck_operator *b, const char *what,
                                eck_error *err)
{
    const eck_operator_info *const info = b ? eck_operator_get_info(b) : NULL;
    if (!info || (info->rows == p->rows && info->cols == p->cols)) return ECK_OK;
    return ecki_error(err, ECK_E_SHAPE, -1, "%s '%s' is %lld x %lld, the matrix is %lld x %lld",
                      what, info->name, (long long)info->rows, (long long)info->cols,
                      (long long)p->rows, (long long)p->cols);
}

eck_status ecki_als_entries_open(ecki_als_problem *p, eck_error *err)
{
    eck_status status = ECK_OK;
    visit v = { .problem = p };

    ECK_TRY(require_shape(p, p->mask, "mask", err));
    ECK_TRY(require_shape(p, p->weights, "weights", err));
    ECK_REQUIRE(p->rows <= INT32_MAX && p->cols <= INT32_MAX, ECK_E_SHAPE, -1,
                "a matrix with missing entries has at most %d rows and columns", INT32_MAX);
    v.height = ecki_max(1, ecki_min(p->rows, CHUNK / ecki_max(p->cols, 1)));
    ECK_ALLOC_RAW(v.a, v.height * p->cols);
    ECK_ALLOC_RAW(v.weight, v.height * p->cols);
    ECK_ALLOC(v.counts, p->cols);
    ECK_ALLOC(p->by_row.start, p->rows + 1);
    ECK_TRY(visit_rows(&v, err));
    p->observed = p->by_row.start[p->rows];
    ECK_REQUIRE(p->observed > 0, ECK_E_RANGE, -1,
                "nothing of '%s' is observed: every entry is masked out or weighs 0",
                eck_operator_get_info(p->a)->name);
    p->scale = ecki_scale_of(v.largest);
    p->weight_scale = ecki_scale_of(v.heaviest);
    ECK_TRY(entries_room(&p->by_row, p->rows, p->observed, p->weights != NULL, err));
    int64_t *const counts = v.counts;
    v.counts = NULL;
    status = visit_rows(&v, err);
    v.counts = counts;
    if (status == ECK_OK) status = turn(p, counts, err);
done:
    ecki_free(v.counts);
    ecki_free(v.weight);
    ecki_free(v.a);
    return status;
}

/* ---- what certificates compare ------------------------------------------------------------- */

typedef struct observed {
    const ecki_als_problem *problem;
    const eck_operator *b;
} observed;

/** out = B, every entry times the root of its weight; 0 where nothing is observed, whatever B holds. */
static eck_status observed_read(void *self, int64_t row, int64_t col, eck_panel out, eck_error *err)
{
    eck_status status = ECK_OK;
    const observed *const o = self;
    const ecki_als_problem *const p = o->problem;
    const int64_t count = out.rows * out.cols;
    const eck_operator *const factors[] = { p->mask, p->weights };
    eck_panel staged;
    double *other = NULL;

    ECK_TRY(ecki_staging_begin(&staged, out, err));
    status = eck_operator_read(o->b, row, col, staged, err);
    if (status == ECK_OK && !(other = ecki_malloc(count, sizeof *other)))
        status = ecki_error_memory(err, ecki_bytes_of(count, sizeof *other));
    for (int f = 0; f < 2 && status == ECK_OK; f++) {
        if (!factors[f]) continue;
        status = eck_operator_read(factors[f], row, col,
                                   ecki_panel(other, ECK_DTYPE_F64, out.rows, out.cols), err);
        for (int64_t i = 0; i < count && status == ECK_OK; i++) {
            double *const x = (double *)staged.data + i / out.cols * staged.ld + i % out.cols;
            const double w = f == 0 ? 1.0 : sqrt(other[i] * p->weight_scale);
            *x = other[i] == 0.0 || *x == 0.0 ? 0.0 : *x * w;
        }
    }
    ecki_staging_end(&staged, out, status == ECK_OK);
done:
    ecki_free(other);
    return status;
}

eck_status ecki_als_observed(eck_operator **out, const ecki_als_problem *p, const eck_operator *b,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    observed *self = NULL;
    ecki_measure measure;
    eck_operator_info info = *eck_operator_get_info(b);
    const eck_operator_methods methods = { .version = 1, .read = observed_read, .free = ecki_free };

    info.version = 1;
    if (b != p->a) {
        ECK_TRY(ecki_operator_measure(&measure, b, p->context, err));
        info.read_error = measure.error;
    }
    // Weights are below 2, and each product rounds once: to one unit of what it is.
    const double unit = p->weights ? 0x1p-53 : 0.0, largest = p->weights ? sqrt(2.0) : 1.0;
    const double norm = sqrt(p->norm2) / p->scale;
    info.read_error = largest * info.read_error + 2.0 * unit * norm;
    ECK_ALLOC(self, 1);
    self->problem = p;
    self->b = b;
    ECK_TRY(eck_operator_create(out, &info, &methods, self, err));
    self = NULL;
done:
    ecki_free(self);
    return status;
}
