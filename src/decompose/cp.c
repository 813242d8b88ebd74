/**
 * CP decomposition: starts, fits, the best of them, and how it is kept.
 *
 * A fit begins on the core of a Tucker decomposition with at least as many dimensions as terms (Bro and Andersson 1998),
 * where an iteration costs next to nothing, and is finished on the whole tensor. Starts are deterministic: the leading
 * mode vectors, and counter-based random numbers.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/random.h"
#include "decompose/cp_parts.h"
#include "decompose/tucker_parts.h"
#include "linalg/gemm.h"
#include "tensor/codec.h"

enum { RANK_MAX = 100000 };

void eck_cp_options_init(eck_cp_options *options)
{
    const eck_cp_options defaults = ECK_CP_OPTIONS_INIT;
    *options = defaults;
}

void eck_cp_free(eck_cp *cp)
{
    if (!cp) return;
    eck_array_free(cp->weights);
    for (int32_t n = 0; n < ECK_DIMS_MAX; n++)
        eck_array_free(cp->factors[n]);
    ecki_free(cp);
}

static eck_status check_options(const eck_cp_options *o, eck_error *err)
{
    eck_status status = ECK_OK;

    ECK_REQUIRE(o->version == 1, ECK_E_RANGE, -1, "unknown version %u of CP options", o->version);
    ECK_REQUIRE(o->rank >= 1 && o->rank <= RANK_MAX, ECK_E_RANGE, -1,
                "%lld terms: 1 to %d are allowed", (long long)o->rank, RANK_MAX);
    ECK_REQUIRE(o->iterations >= 1, ECK_E_RANGE, -1, "%lld iterations: at least 1 is needed",
                (long long)o->iterations);
    ECK_REQUIRE(o->restarts >= 0, ECK_E_RANGE, -1, "%lld random starts: at least 0 are needed",
                (long long)o->restarts);
    ECK_REQUIRE(o->tolerance >= 0.0, ECK_E_RANGE, -1, "tolerance %g is negative", o->tolerance);
    ECK_REQUIRE(o->slack >= 0.0 && o->degeneracy >= 0.0, ECK_E_RANGE, -1,
                "slack %g and degeneracy %g: at least 0 are needed", o->slack, o->degeneracy);
done:
    return status;
}

/** What all starts share. */
struct fitting {
    const eck_cp_options *options;
    const ecki_subject *subject;
    ecki_cp_limits limits; /**< on the core */
    int64_t finish; /**< iterations on the whole, at most */
    ecki_tucker_work tucker; /**< bases of min(size,rank) columns, and the core */
    ecki_block whole;
};

static void fitting_clear(struct fitting *f)
{
    ecki_tucker_work_clear(&f->tucker);
    ecki_block_clear(&f->whole);
}

/** The leading vectors of full bases, at most `rank` a mode, and the core's corner that goes with them. */
static eck_status corner_of(ecki_tucker_work *out, const ecki_tucker_work *bases, int64_t rank,
                            eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_block *core = &bases->core;
    eck_view corner = eck_view_of(core->data, ECK_DTYPE_F64, core->ndim, core->shape);

    for (int32_t n = 0; n < core->ndim; n++) {
        const int64_t all = core->shape[n];
        // a mode that was kept has no vectors to choose from
        corner.shape[n] = bases->basis[n] ? ecki_min(all, rank) : all;
        if (!bases->basis[n]) continue;
        ECK_ALLOC_RAW(out->basis[n], bases->size[n] * corner.shape[n]);
        for (int64_t i = 0; i < bases->size[n]; i++)
            memcpy(out->basis[n] + i * corner.shape[n], bases->basis[n] + i * all,
                   (size_t)corner.shape[n] * sizeof(double));
    }
    ECK_TRY(ecki_block_init(&out->core, &corner, NULL, err));
done:
    return status;
}

static eck_status fitting_init(struct fitting *f, const ecki_tucker_work *bases, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_tucker_options options = ECK_TUCKER_OPTIONS_INIT;
    const eck_view *view = &f->subject->view;

    if (bases) {
        ECK_TRY(corner_of(&f->tucker, bases, f->options->rank, err));
        ECK_TRY(ecki_subject_block(&f->whole, f->subject, NULL, err));
        goto done;
    }
    for (int32_t n = 0; n < view->ndim; n++)
        options.ranks[n] = ecki_min(view->shape[n], f->options->rank);
    ECK_TRY(ecki_tucker_truncate(&f->tucker, f->subject, &options, f->limits.context, err));
    ECK_TRY(ecki_subject_block(&f->whole, f->subject, NULL, err));
done:
    return status;
}

/** Start 0: the leading mode vectors, unit vectors in the core's coordinates, then random columns; others: all random. */
static void fill_start(ecki_cp_fit *fit, int64_t start, uint64_t seed)
{
    for (int32_t n = 0; n < fit->ndim; n++) {
        double *a = fit->now.factor[n];
        const uint64_t stream = (uint64_t)start * ECK_DIMS_MAX + (uint64_t)n;
        ecki_random_fill_normal(a, fit->shape[n] * fit->rank, seed, stream, 0);
        for (int64_t r = 0; r < fit->rank && r < fit->shape[n] && start == 0; r++)
            for (int64_t i = 0; i < fit->shape[n]; i++)
                a[i * fit->rank + r] = i == r ? 1.0 : 0.0;
    }
}

/** Factors of the core into those of the tensor. */
static eck_status expand(ecki_cp_fit *out, const ecki_cp_fit *core, const ecki_tucker_work *tucker,
                         eck_error *err)
{
    eck_status status = ECK_OK;

    for (int32_t n = 0; n < core->ndim; n++) {
        const int64_t count = core->shape[n] * core->rank;
        if (!tucker->basis[n]) {
            memcpy(out->now.factor[n], core->now.factor[n], (size_t)count * sizeof(double));
            continue;
        }
        ECK_TRY(ecki_gemm(1.0, ecki_matrix_of(tucker->basis[n], out->shape[n], core->shape[n]),
                          ecki_matrix_of(core->now.factor[n], core->shape[n], core->rank), 0.0,
                          ecki_panel(out->now.factor[n], ECK_DTYPE_F64, out->shape[n], out->rank),
                          err));
    }
done:
    return status;
}

/** A fit of numbers the tensor holds: products in F32 as long as they do. */
static eck_status fit_block(ecki_cp_fit *fit, const struct fitting *f, const ecki_cp_limits *limits,
                            eck_error *err)
{
    eck_status status = ECK_OK;

    if (f->subject->storage != ECK_DTYPE_F64) ECK_TRY(ecki_cp_fit_narrow(fit, err));
    ECK_TRY(ecki_cp_fit_run(fit, limits, err));
done:
    return status;
}

/** What is known of a fit whose core is all of the tensor. */
static eck_status take_over(ecki_cp_fit *fit, const ecki_cp_fit *core, eck_error *err)
{
    eck_status status = ECK_OK;

    for (int32_t n = 0; n < fit->ndim; n++)
        ECK_TRY(ecki_cp_gram(fit, n, err));
    fit->now.error2 = core->now.error2;
    fit->converged = core->converged;
done:
    return status;
}

/** One start: on the core, then on the whole. */
static eck_status fit_start(ecki_cp_fit *out, const struct fitting *f, int64_t start,
                            eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_cp_fit core = { 0 }, fit = { 0 };
    const ecki_block *c = &f->tucker.core, *w = &f->whole;
    const int64_t rank = f->options->rank;

    ECK_TRY(ecki_cp_fit_init(&core, c->data, c->ndim, c->shape, rank, err));
    fill_start(&core, start, f->options->seed);
    ECK_TRY(fit_block(&core, f, &f->limits, err));
    ECK_TRY(ecki_cp_fit_init(&fit, w->data, w->ndim, w->shape, rank, err));
    ECK_TRY(expand(&fit, &core, &f->tucker, err));
    const ecki_cp_limits rest = { f->finish, f->limits.tolerance, f->limits.context };
    // The core of full bases is the tensor in other coordinates: nothing is left to be done.
    if (ecki_block_count(c) == ecki_block_count(w))
        ECK_TRY(take_over(&fit, &core, err));
    else
        ECK_TRY(fit_block(&fit, f, &rest, err));
    fit.iterations += core.iterations;
    *out = fit;
    memset(&fit, 0, sizeof fit);
done:
    ecki_cp_fit_clear(&core);
    ecki_cp_fit_clear(&fit);
    return status;
}

static eck_status best_fit(ecki_cp_fit *out, int64_t *start_out, const struct fitting *f,
                           eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_cp_fit best = { 0 }, next = { 0 };

    for (int64_t start = 0; start <= f->options->restarts; start++) {
        ECK_TRY(fit_start(&next, f, start, err));
        if (start > 0 && next.now.error2 >= best.now.error2) {
            ecki_cp_fit_clear(&next);
            continue;
        }
        ecki_cp_fit_clear(&best);
        best = next;
        memset(&next, 0, sizeof next);
        *start_out = start;
    }
    *out = best;
    memset(&best, 0, sizeof best);
done:
    ecki_cp_fit_clear(&best);
    ecki_cp_fit_clear(&next);
    return status;
}

// ---- what is kept

/** A weight and its place. */
struct weighed {
    double weight;
    int64_t place;
};

static int compare_weights(const void *left, const void *right)
{
    const struct weighed *a = left, *b = right;

    if (a->weight != b->weight) return a->weight > b->weight ? -1 : 1;
    return a->place < b->place ? -1 : a->place > b->place;
}

/** -1 if the column's largest number (the first of equals) is negative. */
static double sign_of(const double *column, int64_t rows, int64_t step)
{
    double most = 0.0, sign = 1.0;

    for (int64_t i = 0; i < rows; i++)
        if (fabs(column[i * step]) > most) {
            most = fabs(column[i * step]);
            sign = column[i * step] < 0.0 ? -1.0 : 1.0;
        }
    return sign;
}

/** Largest numbers positive in all modes but the last, which takes the signs over. */
static void fix_signs(ecki_cp_fit *fit)
{
    const int64_t rank = fit->rank;
    const int32_t last = fit->ndim - 1;

    for (int32_t n = 0; n < last; n++)
        for (int64_t r = 0; r < rank; r++) {
            if (sign_of(fit->now.factor[n] + r, fit->shape[n], rank) > 0.0) continue;
            for (int64_t i = 0; i < fit->shape[n]; i++)
                fit->now.factor[n][i * rank + r] *= -1.0;
            for (int64_t i = 0; i < fit->shape[last]; i++)
                fit->now.factor[last][i * rank + r] *= -1.0;
        }
}

/** Weights in falling order, columns of length 1, rounded. */
static eck_status store(eck_cp *cp, ecki_cp_fit *fit, const ecki_subject *subject, eck_error *err)
{
    eck_status status = ECK_OK;
    double *lengths = NULL, *sorted = NULL;
    struct weighed *order = NULL;
    const int64_t rank = fit->rank;
    int64_t longest = 1;

    for (int32_t n = 0; n < fit->ndim; n++)
        longest = ecki_max(longest, fit->shape[n]);
    ECK_ALLOC(order, rank);
    ECK_ALLOC_RAW(lengths, rank);
    ECK_ALLOC_RAW(sorted, longest * rank);
    fix_signs(fit);
    ECK_TRY(ecki_cp_normalize(fit, fit->ndim - 1, lengths, err));
    for (int64_t r = 0; r < rank; r++)
        order[r] = (struct weighed){ lengths[r], r };
    qsort(order, (size_t)rank, sizeof *order, compare_weights);
    for (int64_t r = 0; r < rank; r++)
        lengths[r] = order[r].weight;
    ECK_TRY(ecki_store(&cp->weights, lengths, 1.0 / subject->scale, ECK_DTYPE_F64, 1, &rank, err));
    for (int32_t n = 0; n < fit->ndim; n++) {
        const int64_t shape[] = { fit->shape[n], rank };
        for (int64_t i = 0; i < shape[0] * rank; i++)
            sorted[i] = fit->now.factor[n][i / rank * rank + order[i % rank].place];
        ECK_TRY(ecki_store(&cp->factors[n], sorted, 1.0, subject->store, 2, shape, err));
    }
done:
    ecki_free(order);
    ecki_free(sorted);
    ecki_free(lengths);
    return status;
}

/** A zero tensor: terms of weight 0, whose columns are unit vectors. */
static eck_status store_zeros(eck_cp *cp, const ecki_subject *subject, int64_t rank, eck_error *err)
{
    eck_status status = ECK_OK;
    double *column = NULL;

    ECK_TRY(eck_array_create(&cp->weights, ECK_DTYPE_F64, 1, &rank, err));
    for (int32_t n = 0; n < cp->ndim; n++) {
        const int64_t shape[] = { cp->shape[n], rank };
        ECK_ALLOC(column, shape[0] * rank);
        for (int64_t r = 0; r < rank; r++)
            column[r % shape[0] * rank + r] = 1.0;
        ECK_TRY(ecki_store(&cp->factors[n], column, 1.0, subject->store, 2, shape, err));
        ecki_free(column);
        column = NULL;
    }
    cp->converged = true;
    cp->degeneracy = cp->degeneracy_before = 1.0;
done:
    ecki_free(column);
    return status;
}

/** columns [product of shapes,rank] of modes first .. last - 1; factors widened, the first times weights if given. */
static eck_status stored_columns(double **out, double *size2, const eck_cp *cp, int32_t first,
                                 int32_t last, const double *weights, eck_error *err)
{
    eck_status status = ECK_OK;
    double *columns = NULL, *factor = NULL, *next = NULL;
    int64_t rows = 1;

    ECK_ALLOC_RAW(columns, cp->rank);
    for (int64_t r = 0; r < cp->rank; r++)
        columns[r] = weights ? weights[r] : 1.0;
    for (int32_t n = first; n < last; n++) {
        const int64_t size = cp->shape[n], rank = cp->rank;
        ECK_TRY(ecki_widened(&factor, cp->factors[n], err));
        ECK_ALLOC_RAW(next, rows * size * rank);
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < size; j++)
                for (int64_t r = 0; r < rank; r++)
                    next[(i * size + j) * rank + r] = columns[i * rank + r] * factor[j * rank + r];
        ecki_free(columns);
        columns = next;
        next = NULL;
        ecki_free(factor);
        factor = NULL;
        rows *= size;
    }
    // Columns of the factors have length 1 but for rounding to their type.
    *size2 = 0.0;
    for (int64_t i = 0; i < rows * cp->rank; i++)
        *size2 += columns[i] * columns[i];
    *out = columns;
    columns = NULL;
done:
    ecki_free(columns);
    ecki_free(factor);
    ecki_free(next);
    return status;
}

/** Columns of two halves, the weights with the left one: products of so many numbers round as often. */
static eck_status make_halves(ecki_halves *out, const eck_cp *cp, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_halves h = { .rows = 1, .cols = 1, .rank = cp->rank };
    double *right = NULL, left2 = 0.0, right2 = 0.0;
    const int32_t half = cp->ndim / 2;

    for (int32_t n = 0; n < cp->ndim; n++)
        *(n < half ? &h.rows : &h.cols) *= cp->shape[n];
    ECK_TRY(stored_columns(&h.left, &left2, cp, 0, half, cp->weights->data, err));
    ECK_TRY(stored_columns(&right, &right2, cp, half, cp->ndim, NULL, err));
    ECK_ALLOC_RAW(h.right, h.cols * h.rank);
    ecki_transpose(h.right, right, h.cols, h.rank);
    h.left_error = (double)(half + 2) * 0x1p-53 * sqrt(left2);
    h.right_error = (double)(cp->ndim - half + 2) * 0x1p-53 * sqrt(right2);
    *out = h;
    memset(&h, 0, sizeof h);
done:
    ecki_free(right);
    ecki_halves_clear(&h);
    return status;
}

eck_status eck_cp_reconstruct(eck_array **out, const eck_cp *cp, const eck_context *context,
                              eck_error *err)
{
    eck_status status = ECK_OK;
    const int32_t saved = ecki_blas_enter(ecki_threads(context));
    ecki_halves halves = { 0 };

    ECK_TRY(make_halves(&halves, cp, err));
    ECK_TRY(ecki_halves_array(out, &halves, cp->ndim, cp->shape, err));
done:
    ecki_halves_clear(&halves);
    ecki_blas_leave(saved);
    return status;
}

// ---- the whole

eck_status ecki_cp_decompose(ecki_cp_fit *out, eck_cp *report, const ecki_cp_task *task,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_cp_fit fit = { 0 };
    const eck_cp_options *options = task->options;
    struct fitting f = { .options = options,
                         .subject = task->subject,
                         .limits = { options->iterations, options->tolerance, task->context },
                         .finish = task->finish };

    ECK_TRY(fitting_init(&f, task->bases, err));
    ECK_TRY(best_fit(&fit, &report->start, &f, err));
    fit.x = NULL;
    report->iterations = fit.iterations;
    report->converged = fit.converged;
    report->degeneracy_before = ecki_cp_degeneracy(&fit);
    if (options->slack > 0.0 && report->degeneracy_before > options->degeneracy &&
        fit.now.error2 > 0.0) {
        const double bound = sqrt(fit.now.error2) * (1.0 + options->slack);
        fit.x = f.whole.data;
        ECK_TRY(ecki_cp_shrink(&fit, bound, &f.limits, err));
        fit.x = NULL;
    }
    report->degeneracy = ecki_cp_degeneracy(&fit);
    report->error = sqrt(fmax(fit.now.error2, 0.0));
    *out = fit;
    memset(&fit, 0, sizeof fit);
done:
    ecki_cp_fit_clear(&fit);
    fitting_clear(&f);
    return status;
}

/** Fits and stores. */
static eck_status fit_all(eck_cp *cp, const ecki_subject *subject, const eck_cp_options *options,
                          const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_cp_fit fit = { 0 };
    const ecki_cp_task task = { subject, options, NULL, options->iterations, context };

    ECK_TRY(ecki_cp_decompose(&fit, cp, &task, err));
    ECK_TRY(store(cp, &fit, subject, err));
done:
    ecki_cp_fit_clear(&fit);
    return status;
}

static eck_status certify(eck_cp *cp, const ecki_subject *subject, const eck_context *context,
                          eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_halves halves = { 0 };

    ECK_TRY(make_halves(&halves, cp, err));
    ECK_TRY(ecki_subject_certify(&cp->certificate, subject, &halves, cp->ndim / 2, context, err));
done:
    ecki_halves_clear(&halves);
    return status;
}

eck_status eck_cp_compute(eck_cp **out, eck_view tensor, const eck_cp_options *options,
                          const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const double start = ecki_clock();
    ecki_subject subject;
    eck_cp *cp = NULL;
    const int32_t saved = ecki_blas_enter(ecki_threads(context));

    ECK_REQUIRE(options, ECK_E_RANGE, -1, "a CP decomposition needs a rank");
    ECK_TRY(check_options(options, err));
    ECK_TRY(ecki_subject_init(&subject, &tensor, options->store, err));
    ECK_ALLOC(cp, 1);
    cp->ndim = tensor.ndim;
    cp->rank = options->rank;
    memcpy(cp->shape, tensor.shape, sizeof cp->shape);
    if (subject.norm > 0.0)
        ECK_TRY(fit_all(cp, &subject, options, context, err));
    else
        ECK_TRY(store_zeros(cp, &subject, options->rank, err));
    ECK_TRY(certify(cp, &subject, context, err));
    cp->seconds = ecki_clock() - start;
    *out = cp;
    cp = NULL;
done:
    eck_cp_free(cp);
    ecki_blas_leave(saved);
    return status;
}
