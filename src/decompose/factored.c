/**
 * Sums of thin products: values, the truncated factors. How the factors are read lies in factored_panels.c, how the
 * decomposition is found in factored_qr.c and factored_grams.c.
 */
#include "decompose/factored_parts.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/compiler.h"
#include "base/memory.h"
#include "linalg/gemm.h"
#include "linalg/tall.h"
#include "tensor/codec.h"
#include "tensor/view.h"

/* ---- values -------------------------------------------------------------------------------- */

eck_status ecki_factored_describe(eck_factored *f, const double *values, int64_t count,
                                  double rest2, eck_error *err)
{
    eck_status status = ECK_OK;

    ecki_free(f->values);
    ecki_free(f->tails);
    f->values = f->tails = NULL;
    ECK_ALLOC(f->values, count);
    ECK_ALLOC(f->tails, count + 1);
    // tails[k]^2 = sum_{i>k} s_i^2 / sum_i s_i^2, from the small end
    double sum = rest2;
    f->tails[count] = sum;
    for (int64_t i = count - 1; i >= 0; i--) {
        f->values[i] = values[i] * f->unit;
        sum += values[i] * values[i];
        f->tails[i] = sum;
    }
    for (int64_t i = 0; i <= count && sum > 0; i++)
        f->tails[i] = sqrt(f->tails[i] / sum);
    f->info.norm = sqrt(sum) * f->unit;
    f->info.values = f->values;
    f->info.tails = f->tails;
    f->info.count = count;
done:
    return status;
}

static eck_status create(eck_factored **out, const eck_term *terms, int64_t count, int64_t rank,
                         bool copy, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_factored *f = NULL;
    bool served = false;

    ECK_ALLOC(f, 1);
    ECK_REQUIRE(rank >= 0, ECK_E_RANGE, -1, "rank %lld", (long long)rank);
    ECK_TRY(ecki_factored_take(f, terms, count, copy, err));
    if (rank > 0) ECK_TRY(ecki_factored_grams(&served, f, rank, copy, err));
    if (!served) ECK_TRY(ecki_factored_reduce(f, err));
    *out = f;
    f = NULL;
done:
    eck_factored_free(f);
    return status;
}

eck_status eck_factored_create(eck_factored **out, const eck_term *terms, int64_t count,
                               int64_t rank, eck_error *err)
{
    return create(out, terms, count, rank, true, err);
}

eck_status ecki_factored_borrow(eck_factored **out, const eck_term *terms, int64_t count,
                                int64_t rank, eck_error *err)
{
    return create(out, terms, count, rank, false, err);
}

void eck_factored_free(eck_factored *f)
{
    if (!f) return;
    for (int64_t i = 0; f->owned && i < 2 * f->count; i++)
        eck_array_free(f->owned[i]);
    ecki_free(f->owned);
    ecki_free(f->terms);
    ecki_free(f->values);
    ecki_free(f->tails);
    ecki_free(f->ql);
    ecki_free(f->qr);
    ecki_free(f->core_u);
    ecki_free(f->core_v);
    ecki_free(f->left_mix);
    ecki_free(f->right_mix);
    ecki_free(f);
}

const eck_factored_info *eck_factored_get_info(const eck_factored *f)
{
    return &f->info;
}

/* ---- truncation ---------------------------------------------------------------------------- */

/** What column i of last and row i of first are to be multiplied by: s_i is split between them. Both arrive with unit
 * vectors, first with its values already in it where `carried`. */
static void split_values(double *left, double *right, const eck_factored *f, int64_t k,
                         bool carried, eck_split split)
{
    for (int64_t i = 0; i < k; i++) {
        const double s = i < f->info.count ? f->values[i] : 0;
        left[i] = split == ECK_SPLIT_LEFT ? s : split == ECK_SPLIT_RIGHT ? 1 : sqrt(s);
        right[i] = split == ECK_SPLIT_LEFT ? 1 : split == ECK_SPLIT_RIGHT ? s : sqrt(s);
        // a carried row is s v^T / unit
        if (carried) right[i] = s > 0 ? right[i] / s * f->unit : 0;
    }
}

/** Row i of x [rows,cols] times factors[i]. */
ECKI_CLONES static void scale_rows(double *restrict x, int64_t rows, int64_t cols,
                                   const double *restrict factors)
{
    for (int64_t i = 0; i < rows; i++, x += cols) {
        const double factor = factors[i];
#pragma omp simd
        for (int64_t j = 0; j < cols; j++)
            x[j] *= factor;
    }
}

static eck_status round_to(eck_array **out, const double *x, int64_t rows, int64_t cols,
                           eck_dtype store, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_array *array = NULL;
    double *back = NULL;
    enum { CHUNK = 4096 };

    ECK_TRY(ecki_array_create_raw(&array, store, 2, (int64_t[]){ rows, cols }, err));
    ecki_round_f64(store, x, array->data, rows * cols);
    ECK_ALLOC_RAW(back, CHUNK);
    for (int64_t at = 0; store != ECK_DTYPE_F64 && at < rows * cols; at += CHUNK) {
        const int64_t count = ecki_min(CHUNK, rows * cols - at);
        const char *bytes = array->data;
        ecki_widen_f64(store, bytes + at * (eck_dtype_bits(store) / 8), 1, back, count);
        const int64_t bad = ecki_first_nonfinite(back, count);
        ECK_REQUIRE(bad < 0, ECK_E_RANGE, at + bad, "a factor leaves the range of %s: %g",
                    eck_dtype_name(store), x[at + ecki_max(bad, 0)]);
    }
    *out = array;
    array = NULL;
done:
    ecki_free(back);
    eck_array_free(array);
    return status;
}

/** The factors before and after they were rounded. */
typedef struct rounding {
    const double *first, *last;
    const eck_array *first_stored, *last_stored;
} rounding;

/** x -= y. */
ECKI_CLONES static void take_off(double *restrict x, const double *restrict y, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++)
        x[i] -= y[i];
}

/** gram [2k,2k] of (F; dF), below and on the diagonal: the first factor and what rounding changed in it, by columns. */
static eck_status first_gram(double *gram, const rounding *r, double *room, int64_t height,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t k = r->first_stored->shape[0], cols = r->first_stored->shape[1];
    const eck_view stored = eck_array_view(r->first_stored);

    for (int64_t at = 0; at < cols; at += height) {
        const int64_t count = ecki_min(height, cols - at);
        double *change = room + k * count;
        ecki_view_read(&stored, 0, at, ecki_panel(change, ECK_DTYPE_F64, k, count));
        for (int64_t i = 0; i < k; i++)
            memcpy(room + i * count, r->first + i * cols + at, (size_t)count * sizeof *room);
        take_off(change, room, k * count);
        ECK_TRY(ecki_syrk(1, ecki_matrix_of(room, 2 * k, count), at > 0 ? 1 : 0,
                          ecki_panel(gram, ECK_DTYPE_F64, 2 * k, 2 * k), err));
    }
done:
    return status;
}

/** gram [2k,2k] of (dL, L + dL), below and on the diagonal, by rows. */
static eck_status last_gram(double *gram, const rounding *r, double *room, int64_t height,
                            eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t rows = r->last_stored->shape[0], k = r->last_stored->shape[1];
    const eck_view stored = eck_array_view(r->last_stored);

    for (int64_t at = 0; at < rows; at += height) {
        const int64_t count = ecki_min(height, rows - at);
        const eck_panel behind = { room + k, ECK_DTYPE_F64, count, k, 2 * k };
        ecki_view_read(&stored, at, 0, behind);
        for (int64_t i = 0; i < count; i++) {
            double *const change = room + i * 2 * k;
            memcpy(change, change + k, (size_t)k * sizeof *change);
            take_off(change, r->last + (at + i) * k, k);
        }
        ECK_TRY(ecki_syrk(1, ecki_transposed(ecki_matrix_of(room, count, 2 * k)), at > 0 ? 1 : 0,
                          ecki_panel(gram, ECK_DTYPE_F64, 2 * k, 2 * k), err));
    }
done:
    return status;
}

/**
 * || X - Y || of the sum X and the stored product Y from its truncation T = L F, to which X - T is orthogonal
 * from both sides:
 *   || X - Y ||^2 = || X - T ||^2 + || T - Y ||^2 + 2 <X - T, T - Y>,   T - Y = -(dL F + (L + dL) dF)
 * where the last inner product is that with dL dF alone, and at most || X - T || || dL || || dF ||.
 */
static eck_status stored_distance(double *out, const eck_factored *f, const rounding *r,
                                  eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t k = r->first_stored->shape[0], n = 2 * k;
    const int64_t height = ecki_max(16, (1 << 16) / n);
    const double tail = f->tails[ecki_min(k, f->info.count)] * f->info.norm;
    double *left = NULL, *right = NULL, *room = NULL, moved = 0, last = 0, first = 0;

    ECK_ALLOC_RAW(left, n * n);
    ECK_ALLOC_RAW(right, n * n);
    ECK_ALLOC_RAW(room, n * height);
    ECK_TRY(last_gram(left, r, room, height, err));
    ECK_TRY(first_gram(right, r, room, height, err));
    // the Grams are in the same order of blocks: <dL F + (L + dL) dF, itself> is the sum of all products
    for (int64_t i = 0; i < n; i++) {
        for (int64_t j = 0; j < i; j++)
            moved += 2 * left[i * n + j] * right[i * n + j];
        moved += left[i * n + i] * right[i * n + i];
    }
    for (int64_t i = 0; i < k; i++) {
        last += left[i * n + i];
        first += right[(k + i) * n + k + i];
    }
    *out = sqrt(tail * tail + fmax(0, moved) + 2 * tail * sqrt(fmax(0, last) * fmax(0, first)));
done:
    ecki_free(room);
    ecki_free(left);
    ecki_free(right);
    return status;
}

eck_status eck_factored_truncate(eck_array **first_out, eck_array **last_out, const eck_factored *f,
                                 const eck_truncation *truncation, eck_error *err)
{
    return ecki_factored_store(first_out, last_out, NULL, f, truncation, err);
}

eck_status ecki_factored_store(eck_array **first_out, eck_array **last_out, double *distance,
                               const eck_factored *f, const eck_truncation *truncation,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t rows = f->info.rows, cols = f->info.cols, rank = truncation->rank;
    const eck_dtype store = truncation->store;
    const int64_t most = f->info.orthogonal ? ecki_min(rows, cols) : f->known;
    double *last = NULL, *first = NULL, *factors = NULL;
    eck_array *first_array = NULL, *last_array = NULL;
    bool carried = false;

    ECK_REQUIRE(rank >= 1 && rank <= most, ECK_E_RANGE, -1, "rank %lld, allowed: 1 .. %lld",
                (long long)rank, (long long)most);
    ECK_REQUIRE(eck_dtype_is_weight(store), ECK_E_RANGE, -1, "factors cannot be stored as %s",
                eck_dtype_name(store));
    ECK_ALLOC_RAW(last, rows * rank);
    ECK_ALLOC_RAW(first, rank * cols);
    ECK_ALLOC_RAW(factors, 2 * rank);
    ECK_TRY(ecki_factored_left(last, f, rank, err));
    ECK_TRY(ecki_factored_right(first, &carried, f, rank, err));
    split_values(factors, factors + rank, f, rank, carried, truncation->split);
    ECK_TRY(ecki_tall_scale(last, rows, rank, factors, false, err));
    scale_rows(first, rank, cols, factors + rank);
    ECK_TRY(round_to(&first_array, first, rank, cols, store, err));
    ECK_TRY(round_to(&last_array, last, rows, rank, store, err));
    if (distance) {
        const rounding rounded = { first, last, first_array, last_array };
        ECK_TRY(stored_distance(distance, f, &rounded, err));
    }
    *first_out = first_array;
    *last_out = last_array;
    first_array = last_array = NULL;
done:
    eck_array_free(first_array);
    eck_array_free(last_array);
    ecki_free(factors);
    ecki_free(first);
    ecki_free(last);
    return status;
}
