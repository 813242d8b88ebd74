/**
 * Chains of two stages: each is the truncated SVD of a matrix the kernel is arranged as.
 *
 *     SVD        out x (in, first, rest)     last = left, first = right
 *     SPATIAL    (in, first) x (out, rest)   first = left, last = right
 *     TUCKER1    in x (out, first, rest)     first = left, last = right
 *     DEPTHWISE  for every input: out x (first, rest), T terms
 *
 * Groups, and the inputs of DEPTHWISE, are matrices by themselves; squared errors add up.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "decompose/kernel.h"
#include "linalg/gemm.h"
#include "tensor/codec.h"

/** How a method lays a group out. */
struct arrangement {
    int32_t order[4]; /**< of out, in, first, rest */
    int64_t rows, cols; /**< of one matrix */
    int64_t matrices; /**< one after the other in a group */
    bool left_is_last; /**< the left factor belongs to the last stage */
};

static struct arrangement arrange(const ecki_kernel *k, eck_method method)
{
    switch (method) {
    case ECK_METHOD_SPATIAL:
        return (struct arrangement){ { 1, 2, 0, 3 }, k->in * k->first, k->out * k->rest, 1, false };
    case ECK_METHOD_TUCKER1:
        return (struct arrangement){ { 1, 0, 2, 3 }, k->in, k->out * k->taps, 1, false };
    case ECK_METHOD_DEPTHWISE:
        return (struct arrangement){ { 1, 0, 2, 3 }, k->out, k->taps, k->in, true };
    default:
        return (struct arrangement){ { 0, 1, 2, 3 }, k->out, k->in * k->taps, 1, true };
    }
}

/** Inner width of a term: one channel a group, or one for every channel. */
static int64_t width_of(const ecki_kernel *k, eck_method method)
{
    return method == ECK_METHOD_DEPTHWISE ? k->dense->in : k->groups;
}

/** Squared singular values of one matrix, from the small end: error2[r] += sum of those after r. */
static eck_status add_tails(double *error2, const double *matrix, const struct arrangement *a,
                            eck_dtype storage, const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_operator *m = NULL;
    eck_svd *svd = NULL;
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    const ecki_made made = { storage, 0.0 };
    double tail = 0.0;

    options.engine = ECK_ENGINE_EXACT;
    options.rule = ECK_RULE_THIN;
    options.want = ECK_WANT_VALUES;
    options.proof = ECK_PROOF_TAIL;
    ECK_TRY(ecki_operator_made(&m, matrix, a->rows, a->cols, &made, err));
    ECK_TRY(eck_svd_compute(&svd, m, &options, context, err));
    const double *s = svd->s->data;
    for (int64_t r = ecki_min(a->rows, a->cols) - 1; r >= 0; r--) {
        tail += s[r] * s[r];
        error2[r] += tail;
    }
done:
    eck_svd_free(svd);
    eck_operator_free(m);
    return status;
}

/** error2 [terms + 1]: of every number of terms, over all groups. */
static eck_status find_errors(double *error2, const ecki_kernel *k, const struct arrangement *a,
                              const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_block block = { 0 };

    for (int64_t g = 0; g < k->groups; g++) {
        const eck_view view = ecki_kernel_view(k, g);
        ECK_TRY(ecki_block_init(&block, &view, a->order, err));
        for (int64_t i = 0; i < a->matrices; i++)
            ECK_TRY(
                add_tails(error2, block.data + i * a->rows * a->cols, a, k->storage, context, err));
        ecki_block_clear(&block);
    }
done:
    ecki_block_clear(&block);
    return status;
}

eck_status ecki_pairs_curve(ecki_candidates *out, const ecki_kernel *kernel, eck_method method,
                            const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const struct arrangement a = arrange(kernel, method);
    const int64_t most = ecki_min(a.rows, a.cols), dense = eck_stage_parameters(kernel->dense);
    double *error2 = NULL;

    ECK_ALLOC(error2, most + 1);
    ECK_TRY(find_errors(error2, kernel, &a, context, err));
    for (int64_t terms = 1; terms <= most; terms++) {
        ecki_candidate c = { .ranks = { terms * width_of(kernel, method) },
                             .error2 = error2[terms] };
        c.parameters = ecki_outline_parameters(kernel->dense, method, c.ranks);
        if (c.parameters >= dense) break;
        ECK_TRY(ecki_candidates_add(out, &c, err));
    }
done:
    ecki_free(error2);
    return status;
}

// ---- fits

/** left [rows,terms] right^T [cols,terms] with the values shared out. */
struct factors {
    double *left, *right;
};

static void scale_column(double *a, int64_t rows, int64_t step, double factor)
{
    for (int64_t i = 0; i < rows; i++)
        a[i * step] *= factor;
}

/** The truncated SVD of one matrix. `into_left`: part of the values' logarithm that goes left. */
static eck_status factor(struct factors *out, const double *matrix, const struct arrangement *a,
                         const ecki_kernel *k, int64_t terms, double into_left,
                         const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_operator *m = NULL;
    ecki_truncated t = { 0 };
    const ecki_made made = { k->storage, 0.0 };
    const ecki_cut cut = { ECK_RULE_RANK, 0.0, terms };

    ECK_TRY(ecki_operator_made(&m, matrix, a->rows, a->cols, &made, err));
    ECK_TRY(ecki_truncate(&t, m, &cut, context, err));
    // basis has columns of length 1, core carries the values.
    for (int64_t r = 0; r < t.rank; r++) {
        double sum = 0.0;
        for (int64_t i = 0; i < a->cols; i++)
            sum += t.core[i * t.rank + r] * t.core[i * t.rank + r];
        const double share = sum > 0.0 ? pow(sum, 0.5 * into_left) : 1.0;
        scale_column(t.basis + r, a->rows, t.rank, share);
        scale_column(t.core + r, a->cols, t.rank, 1.0 / share);
    }
    out->left = t.basis;
    out->right = t.core;
    t.basis = t.core = NULL;
done:
    ecki_truncated_clear(&t);
    eck_operator_free(m);
    return status;
}

/** A factor [rows,terms] into a first stage [terms,rows]. */
static void put_first(double *to, const double *from, int64_t rows, int64_t terms)
{
    ecki_transpose(to, from, rows, terms);
}

/** A factor [(out, rest), terms] into a last stage [out, terms, rest]. */
static void put_last(double *to, const double *from, int64_t out, int64_t rest, int64_t terms)
{
    for (int64_t o = 0; o < out; o++)
        for (int64_t s = 0; s < rest; s++)
            for (int64_t r = 0; r < terms; r++)
                to[(o * terms + r) * rest + s] = from[(o * rest + s) * terms + r];
}

/** Where the factors of a group go: the weights of both stages, which begin at this group's numbers. */
struct placing {
    double *first, *last;
    const struct arrangement *a;
    const ecki_kernel *k;
    int64_t terms;
};

/** The factors of matrix i of a group into both stages. */
static void place(const struct placing *to, const struct factors *f, eck_method method, int64_t i)
{
    const ecki_kernel *k = to->k;
    const int64_t terms = to->terms;

    switch (method) {
    case ECK_METHOD_DEPTHWISE: // last [out, (in, terms)], first [(in, terms), taps]
        put_first(to->first + i * terms * k->taps, f->right, k->taps, terms);
        for (int64_t o = 0; o < k->out; o++)
            memcpy(to->last + o * k->in * terms + i * terms, f->left + o * terms,
                   (size_t)terms * sizeof *to->last);
        return;
    case ECK_METHOD_SPATIAL: // first [terms, in, first], last [out, terms, rest]
        put_first(to->first, f->left, to->a->rows, terms);
        put_last(to->last, f->right, k->out, k->rest, terms);
        return;
    case ECK_METHOD_TUCKER1: // first [terms, in], last [out, terms, taps]
        put_first(to->first, f->left, to->a->rows, terms);
        put_last(to->last, f->right, k->out, k->taps, terms);
        return;
    default: // first [terms, in, taps], last [out, terms]
        put_first(to->first, f->right, to->a->cols, terms);
        memcpy(to->last, f->left, (size_t)(to->a->rows * terms) * sizeof *to->last);
    }
}

eck_status ecki_pairs_fit(double **weights, const ecki_kernel *kernel, const eck_point *point,
                          eck_split split, const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const struct arrangement a = arrange(kernel, point->method);
    const int64_t terms = point->ranks[0] / width_of(kernel, point->method);
    eck_stage stages[ECKI_STAGES_MAX];
    ecki_block block = { 0 };
    struct factors f = { NULL, NULL };
    double into_left = 0.5;

    if (split != ECK_SPLIT_BALANCED)
        into_left = (split == ECK_SPLIT_LEFT) == a.left_is_last ? 1.0 : 0.0;
    ECK_REQUIRE(terms <= ecki_min(a.rows, a.cols), ECK_E_RANGE, -1, "rank %lld, allowed 1..%lld",
                (long long)point->ranks[0],
                (long long)(ecki_min(a.rows, a.cols) * width_of(kernel, point->method)));
    ecki_outline(stages, kernel->dense, point->method, point->ranks);
    const int64_t first = eck_stage_parameters(&stages[0]) / kernel->groups;
    const int64_t last = eck_stage_parameters(&stages[1]) / kernel->groups;
    for (int64_t g = 0; g < kernel->groups; g++) {
        const struct placing to = { weights[0] + g * first, weights[1] + g * last, &a, kernel,
                                    terms };
        const eck_view view = ecki_kernel_view(kernel, g);
        ECK_TRY(ecki_block_init(&block, &view, a.order, err));
        for (int64_t i = 0; i < a.matrices; i++) {
            ECK_TRY(factor(&f, block.data + i * a.rows * a.cols, &a, kernel, terms, into_left,
                           context, err));
            place(&to, &f, point->method, i);
            ecki_free(f.left);
            ecki_free(f.right);
            f = (struct factors){ NULL, NULL };
        }
        ecki_block_clear(&block);
    }
done:
    ecki_free(f.left);
    ecki_free(f.right);
    ecki_block_clear(&block);
    return status;
}
