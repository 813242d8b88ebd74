/**
 * Higher-order orthogonal iteration: each basis in turn becomes the best one for all the others. The core's norm rises
 * from step to step, so the error falls:
 *     || X - X^ ||^2 = || X ||^2 - || core ||^2.
 * The tensor itself is multiplied twice a sweep, by the last basis and by the first; everything else works on what that
 * leaves.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "decompose/tucker_parts.h"

/** What a sweep works with. */
struct sweeping {
    ecki_tucker_work *work;
    const ecki_block *whole;
    eck_dtype storage;
    const eck_context *context;
};

/** The bases as multipliers, without those of two modes (-1: none). */
static ecki_multipliers multipliers_of(const struct sweeping *s, int32_t a, int32_t b)
{
    ecki_multipliers by = { .m = { NULL } };

    for (int32_t n = 0; n < s->whole->ndim; n++) {
        if (n == a || n == b) continue;
        by.m[n] = s->work->basis[n];
        by.width[n] = s->work->ranks[n];
    }
    return by;
}

/** The first or last mode with a basis, -1 if there is none. */
static int32_t end_mode(const ecki_tucker_work *work, int32_t ndim, bool last)
{
    for (int32_t i = 0; i < ndim; i++) {
        const int32_t n = last ? ndim - 1 - i : i;
        if (work->basis[n]) return n;
    }
    return -1;
}

/** The best basis of mode n for the others; `from` is the tensor with mode `done` multiplied already. core_out: squared
 *  norm of the new core. */
static eck_status improve(double *core2_out, const struct sweeping *s, const ecki_block *from,
                          int32_t n, int32_t done, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_block y = { 0 };
    eck_operator *a = NULL;
    ecki_truncated t = { 0 };
    const ecki_multipliers by = multipliers_of(s, n, done);
    const ecki_cut cut = { ECK_RULE_RANK, 0.0, s->work->ranks[n] };
    const ecki_made made = { s->storage, 0.0 };

    ECK_TRY(ecki_block_multiply(&y, from, &by, n, err));
    const int64_t rest = ecki_block_count(&y) / y.shape[0];
    ECK_TRY(ecki_operator_made(&a, y.data, y.shape[0], rest, &made, err));
    ECK_TRY(ecki_truncate(&t, a, &cut, s->context, err));
    const double norm = ecki_norm_of(t.core, rest * t.rank);
    *core2_out = norm * norm;
    ecki_free(s->work->basis[n]);
    s->work->basis[n] = t.basis;
    ecki_free(y.data);
    y.data = t.core;
    t.basis = t.core = NULL;
    ecki_block_turned(&y, t.rank);
    ecki_block_clear(&s->work->core);
    s->work->core = y;
    y.data = NULL;
done:
    eck_operator_free(a);
    ecki_truncated_clear(&t);
    ecki_block_clear(&y);
    return status;
}

/** The whole tensor times the basis of one mode. */
static eck_status multiply_whole(ecki_block *out, const struct sweeping *s, int32_t mode,
                                 eck_error *err)
{
    ecki_multipliers by = { .m = { NULL } };

    by.m[mode] = s->work->basis[mode];
    by.width[mode] = s->work->ranks[mode];
    return ecki_block_multiply(out, s->whole, &by, -1, err);
}

static eck_status sweep_once(double *core2_out, const struct sweeping *s, eck_error *err)
{
    eck_status status = ECK_OK;
    const int32_t ndim = s->whole->ndim;
    const int32_t first = end_mode(s->work, ndim, false), last = end_mode(s->work, ndim, true);
    ecki_block part = { 0 };

    if (first == last) {
        status = improve(core2_out, s, s->whole, first, -1, err);
        goto done;
    }
    ECK_TRY(multiply_whole(&part, s, last, err));
    ECK_TRY(improve(core2_out, s, &part, first, last, err));
    ecki_block_clear(&part);
    ECK_TRY(multiply_whole(&part, s, first, err));
    for (int32_t n = first + 1; n <= last; n++)
        if (s->work->basis[n]) ECK_TRY(improve(core2_out, s, &part, n, first, err));
done:
    ecki_block_clear(&part);
    return status;
}

eck_status ecki_tucker_sweep(eck_tucker *tucker, ecki_tucker_work *work,
                             const ecki_subject *subject, const eck_tucker_options *options,
                             const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_block whole = { 0 };
    const struct sweeping s = { work, &whole, subject->storage, context };
    const double norm2 = subject->norm * subject->norm;
    double error2 = tucker->truncated * tucker->truncated;

    if (end_mode(work, subject->view.ndim, false) < 0 || !(norm2 > 0.0)) return ECK_OK;
    ECK_TRY(ecki_subject_block(&whole, subject, NULL, err));
    tucker->converged = false;
    while (!tucker->converged && tucker->sweeps < options->sweeps) {
        double core2 = 0.0;
        ECK_TRY(ecki_progress(context, "sweeps", tucker->sweeps, options->sweeps, err));
        ECK_TRY(sweep_once(&core2, &s, err));
        const double now2 = fmax(1.0 - core2 / norm2, 0.0);
        tucker->converged = !(error2 - now2 > options->tolerance);
        error2 = fmin(error2, now2);
        tucker->sweeps++;
    }
    ECK_TRY(ecki_block_sort(&work->core, err));
    tucker->error = sqrt(error2);
done:
    ecki_block_clear(&whole);
    return status;
}
