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
#include "linalg/gemm.h"
#include "tensor/codec.h"

/** The tensor with one mode in front: F64, or F32 numbers as they are. */
struct whole {
    ecki_block block; /**< data NULL where the numbers are F32 */
    const float *narrow;
    float *held; /**< of narrow what is not the tensor's own */
};

/** What a sweep works with. */
struct sweeping {
    ecki_tucker_work *work;
    int32_t first, last; /**< modes that have a basis */
    bool at_end; /**< the last stands at the end of whole[0]: there is no whole[1] */
    struct whole whole[2]; /**< with the first of them in front, and with the last in front */
    eck_dtype storage;
    const eck_context *context;
};

static void whole_clear(struct whole *whole)
{
    ecki_block_clear(&whole->block);
    ecki_free(whole->held);
    memset(whole, 0, sizeof *whole);
}

static eck_status whole_narrow(struct whole *whole, const eck_view *turned, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_operator *a = NULL;
    eck_view flat;
    const int32_t front = 0;

    const bool lies = eck_view_unfold(&flat, turned, NULL, 0) && flat.stride[1] == 1;
    if (lies && turned->dtype == ECK_DTYPE_F32) {
        whole->narrow = turned->data;
        goto done;
    }
    ECK_TRY(eck_operator_unfolding(&a, *turned, &front, 1, err));
    const eck_operator_info *const info = eck_operator_get_info(a);
    ECK_ALLOC_RAW(whole->held, info->rows * info->cols);
    ECK_TRY(eck_operator_read(a, 0, 0,
                              ecki_panel(whole->held, ECK_DTYPE_F32, info->rows, info->cols), err));
    whole->narrow = whole->held;
done:
    eck_operator_free(a);
    return status;
}

static eck_status whole_init(struct whole *whole, const ecki_subject *subject, int32_t mode,
                             bool narrow, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_view turned = subject->view;
    int32_t order[ECK_DIMS_MAX] = { mode };

    for (int32_t n = 0, place = 1; n < turned.ndim; n++)
        if (n != mode) order[place++] = n;
    for (int32_t i = 0; i < turned.ndim; i++) {
        whole->block.mode[i] = order[i];
        turned.shape[i] = whole->block.shape[i] = subject->view.shape[order[i]];
        turned.stride[i] = subject->view.stride[order[i]];
    }
    whole->block.ndim = turned.ndim;
    if (narrow)
        ECK_TRY(whole_narrow(whole, &turned, err));
    else
        ECK_TRY(ecki_subject_block(&whole->block, subject, order, err));
done:
    return status;
}

/** As ecki_block_multiply_first(), or _last(), for F32 numbers, with sums in F32. */
static eck_status multiply_narrow(ecki_block *out, const struct whole *whole, bool last,
                                  const double *m, int64_t width, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_block made = whole->block;
    const int64_t size = made.shape[last ? made.ndim - 1 : 0];
    const int64_t rest = ecki_block_count(&made) / size;
    void *const numbers = (void *)(uintptr_t)whole->narrow; // panels have no const; only read
    const eck_panel x = last ? ecki_panel(numbers, ECK_DTYPE_F32, rest, size)
                             : ecki_panel(numbers, ECK_DTYPE_F32, size, rest);
    float *basis = NULL, *product = NULL;

    ECK_ALLOC_RAW(basis, size * width);
    ECK_ALLOC_RAW(product, rest * width);
    ECK_ALLOC_RAW(made.data, rest * width);
    ecki_round_f64(ECK_DTYPE_F32, m, basis, size * width);
    ECK_TRY(ecki_gemm_f32(1.0f, x, !last, ecki_panel(basis, ECK_DTYPE_F32, size, width), 0.0f,
                          ecki_panel(product, ECK_DTYPE_F32, rest, width), err));
    ecki_widen_f64(ECK_DTYPE_F32, product, 1, made.data, rest * width);
    if (last)
        made.shape[made.ndim - 1] = width;
    else
        ecki_block_turned(&made, width);
    *out = made;
    made.data = NULL;
done:
    ecki_free(made.data);
    ecki_free(product);
    ecki_free(basis);
    return status;
}

/** The bases as multipliers, without those of two modes (-1: none). */
static ecki_multipliers multipliers_of(const struct sweeping *s, int32_t a, int32_t b)
{
    ecki_multipliers by = { .m = { NULL } };

    for (int32_t n = 0; n < s->whole[0].block.ndim; n++) {
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

/** The whole tensor times the basis of its first mode or its last. */
static eck_status multiply_whole(ecki_block *out, const struct sweeping *s, bool last,
                                 eck_error *err)
{
    const bool end = last && s->at_end;
    const struct whole *const whole = &s->whole[last && !end];
    const int32_t mode = last ? s->last : s->first;
    const double *const basis = s->work->basis[mode];
    const int64_t width = s->work->ranks[mode];
    ecki_block borrowed = whole->block;

    if (whole->narrow) return multiply_narrow(out, whole, end, basis, width, err);
    return end ? ecki_block_multiply_last(out, &borrowed, basis, width, err)
               : ecki_block_multiply_first(out, &borrowed, basis, width, err);
}

static eck_status sweep_once(double *core2_out, const struct sweeping *s, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_block part = { 0 };

    if (s->first == s->last) {
        status = improve(core2_out, s, &s->whole[0].block, s->first, -1, err);
        goto done;
    }
    ECK_TRY(multiply_whole(&part, s, true, err));
    ECK_TRY(improve(core2_out, s, &part, s->first, s->last, err));
    ecki_block_clear(&part);
    ECK_TRY(multiply_whole(&part, s, false, err));
    for (int32_t n = s->first + 1; n <= s->last; n++)
        if (s->work->basis[n]) ECK_TRY(improve(core2_out, s, &part, n, s->first, err));
done:
    ecki_block_clear(&part);
    return status;
}

/** Sums of n numbers in F32 move the core by some sqrt(n) 2^-24 of it, 1e-6 for 512, and what is left out by the square of
 *  that, being orthogonal to it: nothing beside 2^-6, nor beside factors stored in F32. */
static bool narrow_enough(const ecki_subject *subject, double error2)
{
    const bool inside = subject->norm > 0x1p-60 && subject->norm < 0x1p120; // no sum is larger
    const bool wide = subject->storage == ECK_DTYPE_F64 || subject->store == ECK_DTYPE_F64;
    return !wide && inside && error2 > 0x1p-12;
}

static eck_status sweeping_init(struct sweeping *s, const ecki_subject *subject, bool narrow,
                                eck_error *err)
{
    eck_status status = ECK_OK;
    const bool both = s->first != s->last;

    ECK_TRY(whole_init(&s->whole[0], subject, s->first, narrow && both, err));
    s->at_end = both && s->last == subject->view.ndim - 1;
    if (both && !s->at_end) ECK_TRY(whole_init(&s->whole[1], subject, s->last, narrow, err));
done:
    return status;
}

eck_status ecki_tucker_sweep(eck_tucker *tucker, ecki_tucker_work *work,
                             const ecki_subject *subject, const eck_tucker_options *options,
                             const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const int32_t ndim = subject->view.ndim;
    struct sweeping s = { .work = work,
                          .first = end_mode(work, ndim, false),
                          .last = end_mode(work, ndim, true),
                          .storage = subject->storage,
                          .context = context };
    const double norm2 = subject->norm * subject->norm;
    double error2 = tucker->truncated * tucker->truncated;

    if (s.first < 0 || !(norm2 > 0.0)) return ECK_OK;
    ECK_TRY(sweeping_init(&s, subject, narrow_enough(subject, error2), err));
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
    whole_clear(&s.whole[0]);
    whole_clear(&s.whole[1]);
    return status;
}
