/**
 * Fits A ~ U V^T step by step: options, starts, the two loops, the end, and the factors as they are handed out.
 *
 * Always true: the objective never rises but by rounding, and the first factors depend on the seed alone, so that the
 * same options give the same bytes on any number of threads.
 */
#include "eckart/als.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/random.h"
#include "decompose/als_parts.h"
#include "eckart/factored.h"
#include "linalg/op.h"
#include "linalg/orthonormal.h"
#include "tensor/codec.h"

// Below this many multiplications an iteration threads cost more than they save.
#define SMALL_WORK 1e6

// Gradient descent with momentum falls unevenly: it is judged over this many iterations.
enum { ALS_WINDOW = 1, GRADIENT_WINDOW = 10 };

enum { POWER_STEPS = 8 }; // of the start with missing entries

void eck_als_options_init(eck_als_options *options)
{
    const eck_als_options defaults = ECK_ALS_OPTIONS_INIT;
    *options = defaults;
}

void eck_als_free(eck_als *als)
{
    if (!als) return;
    eck_array_free(als->first);
    eck_array_free(als->last);
    eck_array_free(als->values);
    eck_array_free(als->objective);
    ecki_free(als);
}

/* ---- beginning ----------------------------------------------------------------------------- */

/** One fit on its way. The latest factors and, for momentum, those before and those tried. */
typedef struct fit {
    eck_als_options options;
    ecki_als_problem problem;
    double *u[3], *v[3]; // [rows,rank], [cols,rank]; ALS uses the first alone
    double *ahead; // [max(rows,cols),rank]: where momentum takes the gradient
    double momentum; // t of Nesterov's sequence
    double *history; // [iterations]
    int64_t done;
    bool converged;
} fit;

static void fit_clear(fit *f)
{
    ecki_als_problem_clear(&f->problem);
    for (int i = 0; i < 3; i++) {
        ecki_free(f->u[i]);
        ecki_free(f->v[i]);
    }
    ecki_free(f->ahead);
    ecki_free(f->history);
}

static eck_status check_options(eck_als_options *out, const eck_als_options *given,
                                const eck_operator_info *info, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_als_options o = ECK_ALS_OPTIONS_INIT;
    const int64_t most = ecki_min(info->rows, info->cols);

    if (given) o = *given;
    if (o.store == ECK_DTYPE_NONE)
        o.store = info->storage == ECK_DTYPE_F64 ? ECK_DTYPE_F64 : ECK_DTYPE_F32;
    ECK_REQUIRE(o.version == 1, ECK_E_RANGE, -1, "unknown version %u of options", o.version);
    ECK_REQUIRE(o.engine == ECK_ENGINE_ALS || o.engine == ECK_ENGINE_GRADIENT, ECK_E_RANGE, -1,
                "engine '%s' is no step by step one: als or gradient", eck_engine_name(o.engine));
    ECK_REQUIRE(o.rank >= 1 && o.rank <= most, ECK_E_RANGE, -1,
                "rank %lld of '%s' (%lld x %lld), allowed: 1 .. %lld", (long long)o.rank,
                info->name ? info->name : "", (long long)info->rows, (long long)info->cols,
                (long long)most);
    ECK_REQUIRE(o.iterations >= 1, ECK_E_RANGE, -1, "%lld iterations, allowed: 1 or more",
                (long long)o.iterations);
    ECK_REQUIRE(o.tolerance >= 0.0 && o.tolerance < 1.0, ECK_E_RANGE, -1,
                "tolerance %g lies outside [0,1)", o.tolerance);
    ECK_REQUIRE(o.ridge >= 0.0 && isfinite(o.ridge), ECK_E_RANGE, -1,
                "ridge %g, allowed: 0 or more", o.ridge);
    ECK_REQUIRE(eck_dtype_is_weight(o.store), ECK_E_RANGE, -1,
                "factors cannot be stored as %s: F64, F32, F16 or BF16", eck_dtype_name(o.store));
    *out = o;
done:
    return status;
}

/** Fails when a context's memory will not do: factors, their copies, the matrix or its entries. */
static eck_status require_memory(const fit *f, int64_t numbers, eck_error *err)
{
    const ecki_als_problem *const p = &f->problem;
    const double sides = (double)p->rows + (double)p->cols, k = (double)p->rank;
    const int64_t allowed = p->context ? p->context->memory : 0;
    // Three of each factor, two more for the result, the product, and the tiles of the certificate.
    const double tiles = 2.0 * ECKI_PANEL_ROWS * (double)ecki_min(p->cols, ECKI_PANEL_COLS);
    const double needed =
        8.0 * (7.0 * sides * k + 8.0 * k * k + (double)numbers + tiles * ecki_threads(p->context));
    if (allowed <= 0 || needed <= (double)allowed) return ECK_OK;
    return ecki_error(err, ECK_E_BUDGET, -1, "fitting '%s' needs %.0f bytes, %lld are allowed",
                      eck_operator_get_info(p->a)->name, needed, (long long)allowed);
}

/** Reads the matrix in the way it is to be fitted. */
static eck_status open_problem(fit *f, const eck_operator *a, const eck_context *context,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_als_problem *const p = &f->problem;
    const eck_operator_info *const info = eck_operator_get_info(a);
    const double numbers = (double)info->rows * (double)info->cols;
    const int64_t count = numbers < 0x1p60 ? info->rows * info->cols : INT64_C(1) << 60;

    p->a = a;
    p->mask = f->options.mask;
    p->weights = f->options.weights;
    p->dense = !p->mask && !p->weights;
    p->context = context;
    p->rows = info->rows;
    p->cols = info->cols;
    p->rank = f->options.rank;
    p->threads = numbers * (double)p->rank < SMALL_WORK ? 1 : ecki_threads(context);
    // Entries: index, value and root of each, by row and by column, at most for all of them.
    ECK_TRY(require_memory(f, p->dense ? (info->resident ? 0 : count) : 5 * count, err));
    ECK_TRY(p->dense ? ecki_als_dense_open(p, err) : ecki_als_entries_open(p, err));
    p->ridge = f->options.ridge * p->scale * p->weight_scale;
    ECK_REQUIRE(isfinite(p->ridge), ECK_E_RANGE, -1,
                "ridge %g is beyond all measure for numbers of the size of '%s'", f->options.ridge,
                info->name);
done:
    return status;
}

/** x[i] = normal numbers of a stream times `spread`. */
static void fill_normal(double *x, int64_t count, uint64_t seed, uint64_t stream, double spread)
{
    ecki_random_fill_normal(x, count, seed, stream, 0);
    for (int64_t i = 0; i < count; i++)
        x[i] *= spread;
}

static double norm2_of(const double *x, int64_t count)
{
    double sum = 0.0;
    for (int64_t i = 0; i < count; i++)
        sum += x[i] * x[i];
    return sum;
}

/**
 * The leading subspace of the matrix with zeros where entries are missing, by power steps from the
 * random V: from there fits find what was observed of a matrix of low rank, where from anywhere they
 * may run off to infinity. Both factors get the same norm.
 */
static eck_status start_near(fit *f, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_als_problem *const p = &f->problem;
    const int64_t left = p->rows * p->rank, right = p->cols * p->rank;

    for (int step = 0; step < POWER_STEPS; step++) {
        ECK_TRY(ecki_als_entries_multiply(p, ECK_SIDE_LEFT, f->u[0], f->v[0], err));
        ECK_TRY(ecki_orthonormalize(f->u[0], p->rows, p->rank, NULL, err));
        ECK_TRY(ecki_als_entries_multiply(p, ECK_SIDE_RIGHT, f->v[0], f->u[0], err));
        ECK_TRY(ecki_orthonormalize(f->v[0], p->cols, p->rank, NULL, err));
    }
    ECK_TRY(ecki_als_entries_multiply(p, ECK_SIDE_LEFT, f->u[0], f->v[0], err));
    const double ratio = norm2_of(f->u[0], left) / norm2_of(f->v[0], right);
    const double balance = ratio > 0.0 ? pow(ratio, 0.25) : 1.0;
    for (int64_t i = 0; i < left; i++)
        f->u[0][i] /= balance;
    for (int64_t i = 0; i < right; i++)
        f->v[0][i] *= balance;
done:
    return status;
}

/** The first factors: normal numbers, of a size that makes u v^T as large as A on average. */
static eck_status start(fit *f, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_als_problem *const p = &f->problem;
    const int64_t k = p->rank, left = p->rows * k, right = p->cols * k;
    const int copies = f->options.engine == ECK_ENGINE_GRADIENT ? 3 : 1;
    const double spread = pow(p->norm2 / p->weight / (double)k, 0.25);

    for (int i = 0; i < copies; i++) {
        ECK_ALLOC(f->u[i], left);
        ECK_ALLOC(f->v[i], right);
    }
    ECK_ALLOC_RAW(f->history, f->options.iterations);
    f->momentum = 1.0;
    if (p->norm2 == 0.0) goto done; // the factors of 0 are 0
    fill_normal(f->u[0], left, f->options.seed, 1, spread);
    fill_normal(f->v[0], right, f->options.seed, 2, spread);
    if (!p->dense) ECK_TRY(start_near(f, err));
    if (copies == 1) goto done;
    memcpy(f->u[1], f->u[0], (size_t)left * sizeof *f->u[0]);
    memcpy(f->v[1], f->v[0], (size_t)right * sizeof *f->v[0]);
    ECK_ALLOC_RAW(f->ahead, ecki_max(left, right));
done:
    return status;
}

/* ---- iterating ----------------------------------------------------------------------------- */

/** The objective over the sum of w a^2. */
static eck_status objective(double *out, const ecki_als_problem *p, const double *u,
                            const double *v, eck_error *err)
{
    eck_status status = ECK_OK;
    double loss = 0.0;

    ECK_TRY(p->dense ? ecki_als_dense_loss(&loss, p, u, v, err)
                     : ecki_als_entries_loss(&loss, p, u, v, err));
    if (p->ridge > 0.0)
        loss += p->ridge * (norm2_of(u, p->rows * p->rank) + norm2_of(v, p->cols * p->rank));
    *out = loss / p->norm2;
done:
    return status;
}

static eck_status solve(const ecki_als_problem *p, eck_side side, double *x, double *f,
                        eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t rows = side == ECK_SIDE_LEFT ? p->cols : p->rows;
    // Without a ridge only the span of f matters: an orthonormal basis makes the systems well
    // conditioned, and f may be of lower rank.
    if (p->ridge == 0.0) ECK_TRY(ecki_orthonormalize(f, rows, p->rank, NULL, err));
    ECK_TRY(p->dense ? ecki_als_dense_solve(p, side, x, f, err)
                     : ecki_als_entries_solve(p, side, x, f, err));
done:
    return status;
}

/** U for this V, then V for this U. */
static eck_status alternate(double *value_out, fit *f, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_als_problem *const p = &f->problem;

    ECK_TRY(solve(p, ECK_SIDE_LEFT, f->u[0], f->v[0], err));
    ECK_TRY(solve(p, ECK_SIDE_RIGHT, f->v[0], f->u[0], err));
    ECK_TRY(objective(value_out, p, f->u[0], f->v[0], err));
done:
    return status;
}

/** x = step(now + beta (now - before) | fixed). */
static eck_status descend(fit *f, eck_side side, double *const x[3], const double *fixed,
                          double beta, eck_error *err)
{
    const ecki_als_problem *const p = &f->problem;
    const int64_t count = (side == ECK_SIDE_LEFT ? p->rows : p->cols) * p->rank;
    for (int64_t i = 0; i < count; i++)
        f->ahead[i] = x[0][i] + beta * (x[0][i] - x[1][i]);
    return p->dense ? ecki_als_dense_descend(p, side, x[2], f->ahead, fixed, err)
                    : ecki_als_entries_descend(p, side, x[2], f->ahead, fixed, err);
}

/** 0 becomes 1, 1 becomes 2, 2 becomes 0. */
static void rotate(double *x[3])
{
    double *const latest = x[2];
    x[2] = x[1];
    x[1] = x[0];
    x[0] = latest;
}

/**
 * A gradient step of each factor in turn, from a point ahead of it (Nesterov). Where the objective
 * would rise momentum is dropped: the step is not taken, and the next one starts from rest, from
 * where the step size makes sure that it falls.
 */
static eck_status accelerate(double *value_out, fit *f, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_als_problem *const p = &f->problem;
    const double next = 0.5 * (1.0 + sqrt(1.0 + 4.0 * f->momentum * f->momentum));
    const double beta = (f->momentum - 1.0) / next;
    const double before = f->done > 0 ? f->history[f->done - 1] : INFINITY;
    double value = 0.0;

    ECK_TRY(descend(f, ECK_SIDE_LEFT, f->u, f->v[0], beta, err));
    ECK_TRY(descend(f, ECK_SIDE_RIGHT, f->v, f->u[2], beta, err));
    ECK_TRY(objective(&value, p, f->u[2], f->v[2], err));
    if (value > before) {
        memcpy(f->u[1], f->u[0], (size_t)(p->rows * p->rank) * sizeof *f->u[0]);
        memcpy(f->v[1], f->v[0], (size_t)(p->cols * p->rank) * sizeof *f->v[0]);
        f->momentum = 1.0;
        *value_out = before;
        return ECK_OK;
    }
    rotate(f->u);
    rotate(f->v);
    f->momentum = next;
    *value_out = value;
done:
    return status;
}

/** True when the last iterations lowered the root of the objective by less than the tolerance asks,
 * or by less than rounding can tell. */
static bool is_done(const fit *f)
{
    const bool gradient = f->options.engine == ECK_ENGINE_GRADIENT;
    const int64_t window = gradient ? GRADIENT_WINDOW : ALS_WINDOW;
    if (f->done <= window) return false;
    const double now = sqrt(fmax(0.0, f->history[f->done - 1]));
    const double then = sqrt(fmax(0.0, f->history[f->done - 1 - window]));
    // An element of the residual is a sum of k products, each rounded.
    const double rounding = 4.0 * (double)(f->options.rank + 8) * 0x1p-53;
    return then - now <= (double)window * 0.5 * f->options.tolerance * now + rounding;
}

static eck_status iterate(fit *f, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t most = f->options.iterations;
    const bool gradient = f->options.engine == ECK_ENGINE_GRADIENT;

    while (f->done < most && !f->converged) {
        ECK_TRY(ecki_progress(f->problem.context, "fit", f->done, most, err));
        double *const value = &f->history[f->done];
        ECK_TRY(gradient ? accelerate(value, f, err) : alternate(value, f, err));
        f->done++;
        f->converged = is_done(f);
    }
done:
    return status;
}

/* ---- result -------------------------------------------------------------------------------- */

/** The factors of the product in their canonical form: its singular values, split evenly. */
static eck_status store(eck_als *als, const fit *f, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_factored *factored = NULL;
    const ecki_als_problem *const p = &f->problem;
    const eck_view v = eck_view_matrix(f->v[0], ECK_DTYPE_F64, p->cols, p->rank);
    const eck_view u = eck_view_matrix(f->u[0], ECK_DTYPE_F64, p->rows, p->rank);
    const eck_truncation kept = { p->rank, ECK_SPLIT_BALANCED, f->options.store };
    const eck_term term = { 1.0 / p->scale, eck_view_transposed(v), u };

    ECK_TRY(eck_factored_create(&factored, &term, 1, 0, err));
    ECK_TRY(eck_factored_truncate(&als->first, &als->last, factored, &kept, err));
    ECK_TRY(eck_array_create(&als->values, ECK_DTYPE_F64, 1, &p->rank, err));
    const eck_factored_info *const info = eck_factored_get_info(factored);
    memcpy(als->values->data, info->values,
           (size_t)ecki_min(p->rank, info->count) * sizeof *info->values);
done:
    eck_factored_free(factored);
    return status;
}

/** Rows and columns without entries are 0 to the last bit: rotating the factors leaves rounding. */
static void clear_empty(eck_als *als, const ecki_als_problem *p)
{
    const size_t size = (size_t)eck_dtype_bits(als->last->dtype) / 8;
    const size_t rank = (size_t)p->rank, cols = (size_t)p->cols;
    for (int64_t i = 0; i < p->rows && p->empty_rows > 0; i++)
        if (p->by_row.start[i] == p->by_row.start[i + 1])
            memset((char *)als->last->data + (size_t)i * rank * size, 0, rank * size);
    for (int64_t j = 0; j < p->cols && p->empty_cols > 0; j++)
        for (size_t l = 0; l < rank && p->by_col.start[j] == p->by_col.start[j + 1]; l++)
            memset((char *)als->first->data + (l * cols + (size_t)j) * size, 0, size);
}

/** The residual of the factors as stored, over what is observed. */
static eck_status certify(eck_als *als, const ecki_als_problem *p, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_operator *product = NULL, *seen = NULL, *approximation = NULL;

    ECK_TRY(ecki_operator_factored(&product, eck_array_view(als->last), NULL,
                                   eck_view_transposed(eck_array_view(als->first)), err));
    if (!p->dense) {
        ECK_TRY(ecki_als_observed(&seen, p, p->a, err));
        ECK_TRY(ecki_als_observed(&approximation, p, product, err));
    }
    ECK_TRY(eck_certify(&als->certificate, p->dense ? p->a : seen,
                        p->dense ? product : approximation, ECK_PROOF_RESIDUAL, 0.0, 0, p->context,
                        err));
    if (p->ridge > 0.0) als->certificate.optimum_high = INFINITY;
done:
    eck_operator_free(approximation);
    eck_operator_free(seen);
    eck_operator_free(product);
    return status;
}

static eck_status finish(eck_als **out, const fit *f, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_als *als = NULL;
    const ecki_als_problem *const p = &f->problem;

    ECK_ALLOC(als, 1);
    als->rows = p->rows;
    als->cols = p->cols;
    als->rank = p->rank;
    als->engine = f->options.engine;
    als->converged = f->converged;
    als->iterations = f->done;
    als->observed = p->observed;
    als->empty_rows = p->empty_rows;
    als->empty_cols = p->empty_cols;
    als->reproducible = true;
    ECK_TRY(store(als, f, err));
    clear_empty(als, p);
    ECK_TRY(eck_array_create(&als->objective, ECK_DTYPE_F64, 1, &f->done, err));
    if (f->done > 0) memcpy(als->objective->data, f->history, (size_t)f->done * sizeof *f->history);
    ECK_TRY(certify(als, p, err));
    *out = als;
    als = NULL;
done:
    eck_als_free(als);
    return status;
}

eck_status eck_als_compute(eck_als **out, const eck_operator *a, const eck_als_options *options,
                           const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const double began = ecki_clock();
    // The same bytes whatever the threads: the BLAS gets one, and tasks bring their own.
    const int32_t saved = ecki_blas_enter(1);
    fit f = { 0 };

    ECK_TRY(check_options(&f.options, options, eck_operator_get_info(a), err));
    ECK_TRY(open_problem(&f, a, context, err));
    ECK_TRY(start(&f, err));
    f.converged = f.problem.norm2 == 0.0;
    ECK_TRY(iterate(&f, err));
    ECK_TRY(finish(out, &f, err));
    (*out)->seconds = ecki_clock() - began;
done:
    fit_clear(&f);
    ecki_blas_leave(saved);
    return status;
}
