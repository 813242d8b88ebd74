/**
 * Tensor train by successive truncated SVDs, from the first mode to the last: cut off a core, and go on with what is left
 * of the tensor in its basis.
 *
 * Error identity: the residual of every cut is orthogonal to all that follow, so
 *     || X - X^ ||^2 = sum over cuts of what each discarded <= sum over cuts of the best each could.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "decompose/multilinear_parts.h"
#include "linalg/gemm.h"
#include "tensor/codec.h"

void eck_tt_options_init(eck_tt_options *options)
{
    const eck_tt_options defaults = ECK_TT_OPTIONS_INIT;
    *options = defaults;
}

void eck_tt_free(eck_tt *tt)
{
    if (!tt) return;
    for (int32_t n = 0; n < ECK_DIMS_MAX; n++)
        eck_array_free(tt->cores[n]);
    ecki_free(tt);
}

static eck_status check_options(const eck_tt_options *o, const eck_view *tensor, eck_error *err)
{
    eck_status status = ECK_OK;

    ECK_REQUIRE(o->version == 1, ECK_E_RANGE, -1, "unknown version %u of tensor train options",
                o->version);
    ECK_REQUIRE(o->rule == ECK_RULE_RANK || o->rule == ECK_RULE_ERROR || o->rule == ECK_RULE_ENERGY,
                ECK_E_RANGE, -1, "rank rule %d does not choose the ranks of a tensor train",
                (int)o->rule);
    ECK_REQUIRE(o->rule != ECK_RULE_ERROR || (o->target >= 0.0 && o->target < 1.0), ECK_E_RANGE, -1,
                "error %g lies outside [0,1)", o->target);
    ECK_REQUIRE(o->rule != ECK_RULE_ENERGY || (o->target > 0.0 && o->target <= 1.0), ECK_E_RANGE,
                -1, "energy %g lies outside (0,1]", o->target);
    for (int32_t n = 0; n + 1 < tensor->ndim; n++)
        ECK_REQUIRE(o->ranks[n] >= 0, ECK_E_RANGE, -1, "rank %lld of cut %d is negative",
                    (long long)o->ranks[n], n);
done:
    return status;
}

/** Tensor train on the way. */
struct train {
    double *rest; /**< [rank, modes after]: what is left */
    int64_t after, rank; /**< elements of the modes from the next core on; rank of the last cut */
    double discarded2;
};

/** An equal share of the squared error that is left, for `left` cuts. */
static ecki_cut cut_of(const eck_tt_options *o, int32_t n, int32_t left, double discarded2)
{
    ecki_cut cut = { o->rule, o->target, o->ranks[n] };
    const double rest = sqrt(fmax(1.0 - discarded2, 0.0));

    if (o->rule == ECK_RULE_RANK) return cut;
    const double target2 = o->rule == ECK_RULE_ERROR ? o->target * o->target : 1.0 - o->target;
    cut.rule = ECK_RULE_ERROR;
    cut.target = rest > 0.0 ? sqrt(fmax(target2 - discarded2, 0.0) / left) / rest : 0.0;
    cut.target = fmin(cut.target, 1.0 - 0x1p-53);
    return cut;
}

/** Cuts core n off: the basis is [r_(n-1), shape[n], r_n]. */
static eck_status cut_core(eck_tt *tt, struct train *train, int32_t n, const ecki_subject *subject,
                           const eck_tt_options *options, const eck_context *context,
                           eck_error *err)
{
    eck_status status = ECK_OK;
    eck_operator *a = NULL;
    ecki_truncated t = { 0 };
    double *turned = NULL;
    const int64_t rows = train->rank * tt->shape[n];
    const ecki_cut cut = cut_of(options, n, tt->ndim - 1 - n, train->discarded2);
    const ecki_made made = { subject->storage, 0.0 };

    train->after /= tt->shape[n];
    if (n == 0)
        ECK_TRY(ecki_subject_operator(&a, &train->rest, subject, NULL, err));
    else
        ECK_TRY(ecki_operator_made(&a, train->rest, rows, train->after, &made, err));
    ECK_TRY(ecki_truncate(&t, a, &cut, context, err));
    const int64_t core[] = { train->rank, tt->shape[n], t.rank };
    ECK_TRY(ecki_store(&tt->cores[n], t.basis, 1.0, subject->store, 3, core, err));
    tt->tails[n] = t.tail * sqrt(fmax(1.0 - train->discarded2, 0.0));
    tt->ranks[n] = train->rank = t.rank;
    train->discarded2 += tt->tails[n] * tt->tails[n];
    ECK_ALLOC_RAW(turned, train->after * t.rank);
    ecki_transpose(turned, t.core, train->after, t.rank);
    ecki_free(train->rest);
    train->rest = turned;
    turned = NULL;
done:
    ecki_free(turned);
    eck_operator_free(a);
    ecki_truncated_clear(&t);
    return status;
}

static eck_status build(eck_tt *tt, const ecki_subject *subject, const eck_tt_options *options,
                        const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    struct train train = { NULL, 1, 1, 0.0 };
    const int32_t last = subject->view.ndim - 1;

    tt->ndim = subject->view.ndim;
    memcpy(tt->shape, subject->view.shape, sizeof tt->shape);
    train.after = eck_view_count(&subject->view);
    for (int32_t n = 0; n < last; n++) {
        ECK_TRY(ecki_progress(context, "cuts", n, last, err));
        ECK_TRY(cut_core(tt, &train, n, subject, options, context, err));
    }
    const int64_t shape[] = { train.rank, tt->shape[last], 1 };
    ECK_TRY(ecki_store(&tt->cores[last], train.rest, 1.0 / subject->scale, subject->store, 3, shape,
                       err));
    tt->truncated = sqrt(train.discarded2);
done:
    ecki_free(train.rest);
    return status;
}

/** Cores first .. last - 1 multiplied from the left: [elements, rank] behind rank 1 or [rank, elements] in front of it.
 *  error_out: r + 2 roundings a product, of sums of absolute values that are at most the product of the norms. */
static eck_status multiply_cores(double **out, double *error_out, const eck_tt *tt, int32_t first,
                                 int32_t last, eck_error *err)
{
    eck_status status = ECK_OK;
    double *made = NULL, *core = NULL, *next = NULL;
    double roundings = 0.0;
    int64_t rows = tt->cores[first]->shape[0] * tt->shape[first];
    int64_t rank = tt->cores[first]->shape[2];

    ECK_TRY(ecki_widened(&made, tt->cores[first], err));
    double size = ecki_norm_of(made, rows * rank);
    for (int32_t n = first + 1; n < last; n++) {
        const int64_t width = tt->shape[n] * tt->cores[n]->shape[2];
        ECK_TRY(ecki_widened(&core, tt->cores[n], err));
        ECK_ALLOC_RAW(next, rows * width);
        ECK_TRY(ecki_gemm(1.0, ecki_matrix_of(made, rows, rank), ecki_matrix_of(core, rank, width),
                          0.0, ecki_panel(next, ECK_DTYPE_F64, rows, width), err));
        size *= ecki_norm_of(core, rank * width);
        roundings += (double)rank + 2.0;
        ecki_free(made);
        made = next;
        ecki_free(core);
        next = core = NULL;
        rows *= tt->shape[n];
        rank = tt->cores[n]->shape[2];
    }
    *error_out = roundings * 0x1p-53 * size;
    *out = made;
    made = NULL;
done:
    ecki_free(next);
    ecki_free(core);
    ecki_free(made);
    return status;
}

/** The train cut in its middle. */
static eck_status make_halves(ecki_halves *out, const eck_tt *tt, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_halves h = { .rows = 1, .cols = 1 };
    const int32_t half = tt->ndim / 2;

    for (int32_t n = 0; n < tt->ndim; n++)
        *(n < half ? &h.rows : &h.cols) *= tt->shape[n];
    h.rank = tt->ranks[half - 1];
    ECK_TRY(multiply_cores(&h.left, &h.left_error, tt, 0, half, err));
    ECK_TRY(multiply_cores(&h.right, &h.right_error, tt, half, tt->ndim, err));
    *out = h;
    memset(&h, 0, sizeof h);
done:
    ecki_halves_clear(&h);
    return status;
}

eck_status eck_tt_reconstruct(eck_array **out, const eck_tt *tt, const eck_context *context,
                              eck_error *err)
{
    eck_status status = ECK_OK;
    const int32_t saved = ecki_blas_enter(ecki_threads(context));
    ecki_halves halves = { 0 };

    ECK_TRY(make_halves(&halves, tt, err));
    ECK_TRY(ecki_halves_array(out, &halves, tt->ndim, tt->shape, err));
done:
    ecki_halves_clear(&halves);
    ecki_blas_leave(saved);
    return status;
}

static eck_status certify(eck_tt *tt, const ecki_subject *subject, const eck_context *context,
                          eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_halves halves = { 0 };

    ECK_TRY(make_halves(&halves, tt, err));
    ECK_TRY(ecki_subject_certify(&tt->certificate, subject, &halves, tt->ndim / 2, context, err));
done:
    ecki_halves_clear(&halves);
    return status;
}

eck_status eck_tt_compute(eck_tt **out, eck_view tensor, const eck_tt_options *options,
                          const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const double start = ecki_clock();
    const eck_tt_options defaults = ECK_TT_OPTIONS_INIT;
    const eck_tt_options *o = options ? options : &defaults;
    ecki_subject subject;
    eck_tt *tt = NULL;
    const int32_t saved = ecki_blas_enter(ecki_threads(context));

    ECK_TRY(ecki_subject_init(&subject, &tensor, o->store, err));
    ECK_TRY(check_options(o, &tensor, err));
    ECK_ALLOC(tt, 1);
    ECK_TRY(build(tt, &subject, o, context, err));
    ECK_TRY(certify(tt, &subject, context, err));
    tt->seconds = ecki_clock() - start;
    *out = tt;
    tt = NULL;
done:
    eck_tt_free(tt);
    ecki_blas_leave(saved);
    return status;
}
