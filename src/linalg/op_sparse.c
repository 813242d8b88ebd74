// A sparse matrix, held by rows and by columns: a product with A runs over rows, one with A^T over columns, and neither
// writes anywhere but to its own line. Always true: every element of every result is one sum in a fixed order, made by
// one task, so that no bit depends on threads.
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/kernel_gather.h"
#include "linalg/op.h"
#include "tensor/codec.h"
#include "tensor/compressed.h"

// Work of one task of a product: about so many entries and lines.
enum { TASK_WORK = 1 << 15, GRAM_LINES = 16, SUM_BLOCK = 4096 };

// One of the two layouts, with the lines where tasks begin.
typedef struct side {
    ecki_lines lines;
    int64_t *cuts; // [tasks+1]
    int64_t tasks;
} side;

typedef struct sparse {
    side rows, cols;
    ecki_gathers gathers;
    bool borrowed; // the lines are somebody else's
} sparse;

static void sparse_free(void *self)
{
    sparse *const s = self;
    if (!s) return;
    if (!s->borrowed) {
        ecki_lines_clear(&s->rows.lines);
        ecki_lines_clear(&s->cols.lines);
    }
    ecki_free(s->rows.cuts);
    ecki_free(s->cols.cuts);
    ecki_free(s);
}

// Cuts the lines into tasks of about the same work.
static eck_status cut_tasks(side *s, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t count = s->lines.lines, *const starts = s->lines.starts;
    ECK_ALLOC(s->cuts, (starts[count] + count) / TASK_WORK + 2);
    int64_t from = 0;
    for (int64_t i = 0; i < count; i++) {
        const int64_t work = starts[i + 1] - starts[from] + i + 1 - from;
        if (work < TASK_WORK && i + 1 < count) continue;
        s->cuts[++s->tasks] = i + 1;
        from = i + 1;
    }
done:
    return status;
}

static eck_status sparse_read(void *self, int64_t row, int64_t col, eck_panel out, eck_error *err)
{
    const ecki_lines *const a = &((const sparse *)self)->rows.lines;
    const size_t size = out.dtype == ECK_DTYPE_F32 ? sizeof(float) : sizeof(double);
    (void)err;
    for (int64_t i = 0; i < out.rows; i++) {
        char *const line = (char *)out.data + (size_t)(i * out.ld) * size;
        memset(line, 0, (size_t)out.cols * size);
        const int64_t end = a->starts[row + i + 1];
        for (int64_t e = ecki_lines_find(a, row + i, col);
             e < end && a->indices[e] < col + out.cols; e++) {
            const int64_t place = a->indices[e] - col;
            if (out.dtype == ECK_DTYPE_F32)
                ((float *)line)[place] = (float)ecki_lines_value(a, e);
            else
                ((double *)line)[place] = ecki_lines_value(a, e);
        }
    }
    return ECK_OK;
}

// What the tasks of a product share.
typedef struct product_job {
    const side *over;
    ecki_gather gather;
    double scale;
    eck_panel x, out;
} product_job;

static eck_status product_task(void *self, int64_t index, eck_error *err)
{
    const product_job *const job = self;
    const int64_t size = job->out.dtype == ECK_DTYPE_F32 ? 4 : 8;
    (void)err;
    for (int64_t i = job->over->cuts[index]; i < job->over->cuts[index + 1]; i++) {
        const ecki_gather_line line = { &job->over->lines, i, job->scale };
        job->gather(&line, job->x, (char *)job->out.data + i * job->out.ld * size);
    }
    return ECK_OK;
}

// panels = x, out: out = scale B x for the matrix B whose rows are the lines of a side.
static eck_status product(const sparse *s, const side *over, double scale,
                          const eck_panel panels[2], const eck_context *context, eck_error *err)
{
    const bool narrow = panels[0].dtype == ECK_DTYPE_F32;
    product_job job = { over, narrow ? s->gathers.f32 : s->gathers.f64, scale, panels[0],
                        panels[1] };
    return ecki_parallel_for(over->tasks, ecki_threads(context), product_task, &job, err);
}

static eck_status sparse_apply(void *self, double scale, eck_panel x, eck_panel out,
                               const eck_context *context, eck_error *err)
{
    const sparse *const s = self;
    return product(s, &s->rows, scale, (const eck_panel[2]){ x, out }, context, err);
}

static eck_status sparse_apply_transpose(void *self, double scale, eck_panel y, eck_panel out,
                                         const eck_context *context, eck_error *err)
{
    const sparse *const s = self;
    return product(s, &s->cols, scale, (const eck_panel[2]){ y, out }, context, err);
}

// out = scale^2 B^T (B x) for B = A or A^T, panels = x, out: one product by the lines of each layout.
static eck_status sparse_normal(void *self, eck_side wanted, double scale,
                                const eck_panel panels[2], const eck_context *context,
                                eck_error *err)
{
    const sparse *const s = self;
    eck_status status = ECK_OK;
    const bool right = wanted == ECK_SIDE_RIGHT;
    const side *const near = right ? &s->rows : &s->cols, *const far = right ? &s->cols : &s->rows;
    const eck_panel x = panels[0];
    const size_t size = x.dtype == ECK_DTYPE_F32 ? sizeof(float) : sizeof(double);
    void *inner = NULL;
    int64_t count = 0;
    ECK_REQUIRE(ecki_mul(near->lines.lines, x.cols, &count), ECK_E_NOMEM, -1,
                "not enough memory for a product");
    inner = ecki_malloc(count, size);
    ECK_HAVE(inner);
    const eck_panel middle = ecki_panel(inner, x.dtype, near->lines.lines, x.cols);
    ECK_TRY(product(s, near, scale, (const eck_panel[2]){ x, middle }, context, err));
    ECK_TRY(product(s, far, scale, (const eck_panel[2]){ middle, panels[1] }, context, err));
done:
    ecki_free(inner);
    return status;
}

// What the tasks of a Gram share: row p of the result is sum over the entries (p,i) of `own` of a_pi times line i of
// `other`, up to the diagonal.
typedef struct gram_job {
    const ecki_lines *own, *other;
    double scale2;
    eck_panel out;
    int64_t chain; // longest sum before its result is added to another
    const eck_context *context;
} gram_job;

// row[0..p] += scale^2 times the lines of entries first .. end.
static void add_lines(double *row, const gram_job *job, int64_t p, int64_t first, int64_t end)
{
    for (int64_t e = first; e < end; e++) {
        const int64_t line = job->own->indices[e];
        const double value = job->scale2 * ecki_lines_value(job->own, e);
        for (int64_t f = job->other->starts[line];
             f < job->other->starts[line + 1] && job->other->indices[f] <= p; f++)
            row[job->other->indices[f]] += value * ecki_lines_value(job->other, f);
    }
}

// One row. Sums of more than `chain` terms are made in parts, as those of a dense matrix are: the error bound of the
// exact lane counts on it.
static eck_status gram_row(const gram_job *job, int64_t p, eck_error *err)
{
    eck_status status = ECK_OK;
    double *const row = (double *)job->out.data + p * job->out.ld, *part = NULL;
    const int64_t first = job->own->starts[p], end = job->own->starts[p + 1];
    memset(row, 0, (size_t)(p + 1) * sizeof *row);
    if (end - first <= job->chain) {
        add_lines(row, job, p, first, end);
        goto done;
    }
    ECK_ALLOC_RAW(part, p + 1);
    for (int64_t from = first; from < end; from += job->chain) {
        memset(part, 0, (size_t)(p + 1) * sizeof *part);
        add_lines(part, job, p, from, ecki_min(from + job->chain, end));
        for (int64_t q = 0; q <= p; q++)
            row[q] += part[q];
    }
done:
    ecki_free(part);
    return status;
}

static eck_status gram_task(void *self, int64_t index, eck_error *err)
{
    const gram_job *const job = self;
    eck_status status = ECK_OK;
    const int64_t end = ecki_min((index + 1) * GRAM_LINES, job->out.rows);
    ECK_TRY(ecki_progress(job->context, "gram", index * GRAM_LINES, job->out.rows, err));
    for (int64_t p = index * GRAM_LINES; p < end; p++)
        ECK_TRY(gram_row(job, p, err));
done:
    return status;
}

static eck_status sparse_gram(void *self, eck_side wanted, double scale, eck_panel out,
                              const eck_context *context, eck_error *err)
{
    const sparse *const s = self;
    const bool right = wanted == ECK_SIDE_RIGHT;
    gram_job job = { right ? &s->cols.lines : &s->rows.lines,
                     right ? &s->rows.lines : &s->cols.lines,
                     scale * scale,
                     out,
                     ecki_gram_width(out.rows),
                     context };
    return ecki_parallel_for((out.rows + GRAM_LINES - 1) / GRAM_LINES, ecki_threads(context),
                             gram_task, &job, err);
}

// Largest finite absolute value; counts the others and finds the first by rows.
static void scan_values(eck_scan *scan, const ecki_lines *rows)
{
    for (int64_t i = 0; i < rows->lines; i++)
        for (int64_t e = rows->starts[i]; e < rows->starts[i + 1]; e++) {
            const double value = fabs(ecki_lines_value(rows, e));
            if (isfinite(value))
                scan->max = value > scan->max ? value : scan->max;
            else if (scan->nonfinite++ == 0)
                scan->first_nonfinite = i * rows->width + rows->indices[e];
        }
}

// norm2 = 2^(2e) sum (2^-e a)^2 with max in [2^e, 2^(e+1)): blocks of values, then the blocks.
static eck_status sparse_scan(void *self, eck_scan *out, eck_error *err)
{
    const ecki_lines *const rows = &((const sparse *)self)->rows.lines;
    eck_scan scan = { 0.0, 0.0, -1, 0 };
    const int64_t count = rows->starts[rows->lines];
    double sum = 0.0;
    (void)err;
    scan_values(&scan, rows);
    const double scale = ecki_scale_of(scan.max);
    for (int64_t first = 0; first < count && scan.nonfinite == 0; first += SUM_BLOCK) {
        double block = 0.0;
        for (int64_t e = first; e < ecki_min(first + SUM_BLOCK, count); e++) {
            const double value = scale * ecki_lines_value(rows, e);
            block += value * value;
        }
        sum += block;
    }
    scan.norm2 = ldexp(sum, -2 * ilogb(scale));
    *out = scan;
    return ECK_OK;
}

// The operator over both layouts, which are in self; self is moved on success.
static eck_status make_operator(eck_operator **out, sparse *self, const char *name, bool symmetric,
                                eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_operator_methods methods = {
        .version = 1, .read = sparse_read, .scan = sparse_scan, .free = sparse_free
    };
    const ecki_cpu cpu = ecki_cpu_features();
    const ecki_lines *const rows = &self->rows.lines;
    eck_operator_info info = ECK_OPERATOR_INFO_INIT;
    ECK_TRY(cut_tasks(&self->rows, err));
    ECK_TRY(cut_tasks(&self->cols, err));
    self->gathers = ecki_gather_choose(&cpu);
    info.rows = rows->lines;
    info.cols = rows->width;
    info.storage = rows->dtype;
    info.resident = true;
    info.symmetric = symmetric;
    info.name = name;
    info.nonzeros = ecki_max(1, rows->starts[rows->lines]);
    ECK_TRY(eck_operator_create(out, &info, &methods, self, err));
    (*out)->extra.apply = sparse_apply;
    (*out)->extra.apply_transpose = sparse_apply_transpose;
    (*out)->extra.normal = sparse_normal;
    (*out)->extra.gram = sparse_gram;
done:
    return status;
}

eck_status ecki_operator_lines(eck_operator **out, const ecki_lines both[2], const char *name,
                               bool symmetric, eck_error *err)
{
    eck_status status = ECK_OK;
    sparse *self = NULL;
    ECK_ALLOC(self, 1);
    self->borrowed = true;
    self->rows.lines = both[0];
    self->cols.lines = both[1];
    ECK_TRY(make_operator(out, self, name, symmetric, err));
    self = NULL;
done:
    sparse_free(self);
    return status;
}

eck_status eck_operator_sparse(eck_operator **out, const eck_sparse_view *a, eck_error *err)
{
    eck_status status = ECK_OK;
    sparse *self = NULL;
    ECK_TRY(ecki_sparse_check(a, "", err));
    ECK_ALLOC(self, 1);
    ECK_TRY(ecki_lines_create(&self->rows.lines, &self->cols.lines, NULL, a, err));
    ECK_TRY(make_operator(out, self, NULL, false, err));
    self = NULL;
done:
    sparse_free(self);
    return status;
}
