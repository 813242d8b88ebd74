/**
 * Tucker decomposition: sequentially truncated HOSVD. Each mode that gets a factor is turned to the front, cut, and
 * goes to the end with its new size, so that no unfolding is formed and what is left shrinks from step to step.
 *
 * Error identity: the residual of every step is orthogonal to all that follow, so
 *     || X - X^ ||^2 = sum over modes of what each discarded.
 */
#include "decompose/tucker_parts.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"

void eck_tucker_options_init(eck_tucker_options *options)
{
    const eck_tucker_options defaults = ECK_TUCKER_OPTIONS_INIT;
    *options = defaults;
}

void eck_tucker_free(eck_tucker *tucker)
{
    if (!tucker) return;
    eck_array_free(tucker->core);
    for (int32_t n = 0; n < ECK_DIMS_MAX; n++)
        eck_array_free(tucker->factors[n]);
    ecki_free(tucker);
}

void ecki_tucker_work_clear(ecki_tucker_work *work)
{
    ecki_block_clear(&work->core);
    for (int32_t n = 0; n < ECK_DIMS_MAX; n++)
        ecki_free(work->basis[n]);
    memset(work, 0, sizeof *work);
}

static eck_status check_options(const eck_tucker_options *o, const eck_view *tensor, eck_error *err)
{
    eck_status status = ECK_OK;
    const bool per_mode = o->rule == ECK_RULE_ENERGY || o->rule == ECK_RULE_EVBMF ||
                          o->rule == ECK_RULE_HARD_THRESHOLD;

    ECK_REQUIRE(o->version == 1, ECK_E_RANGE, -1, "unknown version %u of Tucker options",
                o->version);
    ECK_REQUIRE(per_mode || o->rule == ECK_RULE_RANK || o->rule == ECK_RULE_ERROR, ECK_E_RANGE, -1,
                "rank rule %d does not choose the ranks of a Tucker decomposition", (int)o->rule);
    ECK_REQUIRE(o->rule != ECK_RULE_ERROR || (o->target >= 0.0 && o->target < 1.0), ECK_E_RANGE, -1,
                "error %g lies outside [0,1)", o->target);
    ECK_REQUIRE(o->sweeps >= 0, ECK_E_RANGE, -1, "%lld sweeps: at least 0 are needed",
                (long long)o->sweeps);
    ECK_REQUIRE(o->tolerance >= 0.0, ECK_E_RANGE, -1, "tolerance %g is negative", o->tolerance);
    ECK_REQUIRE(!(o->keep >> tensor->ndim), ECK_E_RANGE, -1,
                "a mode to be kept is none of the tensor's %d", tensor->ndim);
    for (int32_t n = 0; n < tensor->ndim; n++)
        ECK_REQUIRE(o->ranks[n] >= 0, ECK_E_RANGE, -1, "rank %lld of mode %d is negative",
                    (long long)o->ranks[n], n);
done:
    return status;
}

/** Modes with factors by rising rank over size where ranks are given, else as they come; kept ones last. */
static int32_t order_modes(int32_t *order, const eck_view *tensor, const eck_tucker_options *o)
{
    int32_t count = 0, place;

    for (int32_t n = 0; n < tensor->ndim; n++) {
        if (o->keep >> n & 1u) continue;
        const double share = (double)o->ranks[n] / (double)tensor->shape[n];
        for (place = count; place > 0 && o->rule == ECK_RULE_RANK && o->ranks[n] > 0; place--) {
            const int32_t other = order[place - 1];
            const double its =
                o->ranks[other] > 0 ? (double)o->ranks[other] / (double)tensor->shape[other] : 1.0;
            if (its <= share) break;
            order[place] = other;
        }
        order[place] = n;
        count++;
    }
    place = count;
    for (int32_t n = 0; n < tensor->ndim; n++)
        if (o->keep >> n & 1u) order[place++] = n;
    return count;
}

/** What one mode may discard: an equal share of the squared error that is left to modes that are left. `rest` is the norm
 *  of what is left, relative to the tensor. */
static ecki_cut cut_of(const eck_tucker_options *o, int32_t mode, int32_t left, double used2,
                       double rest)
{
    ecki_cut cut = { o->rule, o->target, o->ranks[mode] };

    if (o->rule != ECK_RULE_ERROR) return cut;
    const double share2 = fmax(o->target * o->target - used2, 0.0) / (double)left;
    cut.target = fmin(rest > 0.0 ? sqrt(share2) / rest : 0.0, 1.0 - 0x1p-53);
    return cut;
}

/** Shape and modes of the whole tensor in an order, without its numbers. */
static void describe_whole(ecki_block *block, const eck_view *tensor, const int32_t *order)
{
    block->ndim = tensor->ndim;
    for (int32_t i = 0; i < tensor->ndim; i++) {
        block->mode[i] = order[i];
        block->shape[i] = tensor->shape[order[i]];
    }
}

eck_status ecki_tucker_truncate(ecki_tucker_work *out, const ecki_subject *subject,
                                const eck_tucker_options *options, const eck_context *context,
                                eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_tucker_work work = { 0 };
    eck_operator *a = NULL;
    ecki_truncated t = { 0 };
    int32_t order[ECK_DIMS_MAX] = { 0 };
    const ecki_made made = { subject->storage, 0.0 };
    const int32_t count = order_modes(order, &subject->view, options);

    if (count == 0) ECK_TRY(ecki_subject_block(&work.core, subject, order, err));
    describe_whole(&work.core, &subject->view, order);
    for (int32_t i = 0; i < count; i++) {
        const int32_t n = order[i];
        const int64_t rows = work.core.shape[0], rest = ecki_block_count(&work.core) / rows;
        const double left = sqrt(fmax(1.0 - work.discarded2, 0.0));
        const ecki_cut cut = cut_of(options, n, count - i, work.discarded2, left);
        ECK_TRY(ecki_progress(context, "modes", i, count, err));
        if (i == 0)
            ECK_TRY(ecki_subject_operator(&a, &work.core.data, subject, order, err));
        else
            ECK_TRY(ecki_operator_made(&a, work.core.data, rows, rest, &made, err));
        ECK_TRY(ecki_truncate(&t, a, &cut, context, err));
        eck_operator_free(a);
        a = NULL;
        work.tails[n] = t.tail * left;
        work.discarded2 += work.tails[n] * work.tails[n];
        work.ranks[n] = t.rank;
        work.basis[n] = t.basis;
        ecki_free(work.core.data);
        work.core.data = t.core;
        ecki_block_turned(&work.core, t.rank);
        memset(&t, 0, sizeof t);
    }
    ECK_TRY(ecki_block_sort(&work.core, err));
    for (int32_t n = 0; n < work.core.ndim; n++) {
        work.ranks[n] = work.core.shape[n];
        work.size[n] = subject->view.shape[n];
    }
    *out = work;
    memset(&work, 0, sizeof work);
done:
    eck_operator_free(a);
    ecki_truncated_clear(&t);
    ecki_tucker_work_clear(&work);
    return status;
}

/** Core and factors, rounded. */
static eck_status store(eck_tucker *tucker, const ecki_tucker_work *work,
                        const ecki_subject *subject, eck_error *err)
{
    eck_status status = ECK_OK;

    tucker->ndim = subject->view.ndim;
    memcpy(tucker->shape, subject->view.shape, sizeof tucker->shape);
    memcpy(tucker->ranks, work->ranks, sizeof tucker->ranks);
    memcpy(tucker->tails, work->tails, sizeof tucker->tails);
    ECK_TRY(ecki_store(&tucker->core, work->core.data, 1.0 / subject->scale, subject->store,
                       tucker->ndim, work->ranks, err));
    for (int32_t n = 0; n < tucker->ndim; n++) {
        const int64_t shape[] = { tucker->shape[n], work->ranks[n] };
        if (!work->basis[n]) continue;
        ECK_TRY(
            ecki_store(&tucker->factors[n], work->basis[n], 1.0, subject->store, 2, shape, err));
    }
done:
    return status;
}

/** Numbers of a block with its modes multiplied, in their natural order. */
static eck_status expand(double **out, const ecki_block *block, const ecki_multipliers *by,
                         eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_block made = { 0 };

    ECK_TRY(ecki_block_multiply(&made, block, by, -1, err));
    ECK_TRY(ecki_block_sort(&made, err));
    *out = made.data;
    made.data = NULL;
done:
    ecki_block_clear(&made);
    return status;
}

/** The core times every factor but the first, turned so that the first mode stands first, and the first factor. Every
 *  product adds at most (r + 2) u of the sums of absolute values behind it, which are at most || core || prod || factor ||.
 */
static eck_status make_halves(ecki_halves *out, const eck_tucker *tucker, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_halves h = { 0 };
    ecki_block block = { .ndim = tucker->ndim };
    double *turned[ECK_DIMS_MAX] = { NULL }, *factor = NULL;
    ecki_multipliers by = { .m = { NULL } };
    double roundings = 2.0;

    ECK_TRY(ecki_widened(&block.data, tucker->core, err));
    memcpy(block.shape, tucker->ranks, sizeof block.shape);
    for (int32_t n = 0; n < tucker->ndim; n++)
        block.mode[n] = n;
    double size = ecki_norm_of(block.data, ecki_block_count(&block));
    for (int32_t n = 1; n < tucker->ndim; n++) {
        const int64_t rows = tucker->shape[n], rank = tucker->ranks[n];
        if (!tucker->factors[n]) continue;
        ECK_TRY(ecki_widened(&factor, tucker->factors[n], err));
        size *= ecki_norm_of(factor, rows * rank);
        roundings += (double)rank + 2.0;
        ECK_ALLOC_RAW(turned[n], rows * rank);
        ecki_transpose(turned[n], factor, rows, rank);
        ecki_free(factor);
        factor = NULL;
        by.m[n] = turned[n];
        by.width[n] = rows;
    }
    ECK_TRY(expand(&h.right, &block, &by, err));
    h.rows = tucker->shape[0];
    h.rank = tucker->ranks[0];
    h.cols = 1;
    for (int32_t n = 1; n < tucker->ndim; n++)
        h.cols *= tucker->shape[n];
    h.right_error = roundings * 0x1p-53 * size;
    if (tucker->factors[0]) ECK_TRY(ecki_widened(&h.left, tucker->factors[0], err));
    *out = h;
    memset(&h, 0, sizeof h);
done:
    for (int32_t n = 0; n < ECK_DIMS_MAX; n++)
        ecki_free(turned[n]);
    ecki_free(factor);
    ecki_block_clear(&block);
    ecki_halves_clear(&h);
    return status;
}

eck_status eck_tucker_reconstruct(eck_array **out, const eck_tucker *tucker,
                                  const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const int32_t saved = ecki_blas_enter(ecki_threads(context));
    ecki_halves halves = { 0 };

    ECK_TRY(make_halves(&halves, tucker, err));
    ECK_TRY(ecki_halves_array(out, &halves, tucker->ndim, tucker->shape, err));
done:
    ecki_halves_clear(&halves);
    ecki_blas_leave(saved);
    return status;
}

static eck_status certify(eck_tucker *tucker, const ecki_subject *subject,
                          const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_halves halves = { 0 };

    ECK_TRY(make_halves(&halves, tucker, err));
    ECK_TRY(ecki_subject_certify(&tucker->certificate, subject, &halves, 1, context, err));
done:
    ecki_halves_clear(&halves);
    return status;
}

eck_status eck_tucker_compute(eck_tucker **out, eck_view tensor, const eck_tucker_options *options,
                              const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const double start = ecki_clock();
    const eck_tucker_options defaults = ECK_TUCKER_OPTIONS_INIT;
    const eck_tucker_options *o = options ? options : &defaults;
    ecki_subject subject;
    ecki_tucker_work work = { 0 };
    eck_tucker *tucker = NULL;
    const int32_t saved = ecki_blas_enter(ecki_threads(context));

    ECK_TRY(ecki_subject_init(&subject, &tensor, o->store, err));
    ECK_TRY(check_options(o, &tensor, err));
    ECK_TRY(ecki_tucker_truncate(&work, &subject, o, context, err));
    ECK_ALLOC(tucker, 1);
    tucker->truncated = tucker->error = sqrt(work.discarded2);
    tucker->converged = true;
    if (o->sweeps > 0) ECK_TRY(ecki_tucker_sweep(tucker, &work, &subject, o, context, err));
    ECK_TRY(store(tucker, &work, &subject, err));
    ECK_TRY(certify(tucker, &subject, context, err));
    tucker->seconds = ecki_clock() - start;
    *out = tucker;
    tucker = NULL;
done:
    eck_tucker_free(tucker);
    ecki_tucker_work_clear(&work);
    ecki_blas_leave(saved);
    return status;
}
