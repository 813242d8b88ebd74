/**
 * Sums of thin products: stacking, values, the truncated factors. How the decomposition is found
 * lies in factored_qr.c and factored_grams.c.
 *
 * Always true: the stacked factors are finite, their largest numbers within 2^-60 .. 2^60, so that
 * squares of squares stay within F64.
 */
#include "decompose/factored_parts.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "linalg/gemm.h"
#include "tensor/codec.h"
#include "tensor/view.h"

enum { FAR = 60 }; // exponents beyond which factors are scaled

/* ---- stacking ------------------------------------------------------------------------------ */

static eck_status check_terms(eck_factored *f, const eck_term *terms, int64_t count, eck_error *err)
{
    eck_status status = ECK_OK;

    ECK_REQUIRE(count > 0, ECK_E_RANGE, -1, "a sum of no products");
    for (int64_t i = 0; i < count; i++) {
        const eck_view *first = &terms[i].first, *last = &terms[i].last;
        ECK_REQUIRE(first->ndim == 2 && last->ndim == 2 && first->shape[0] == last->shape[1],
                    ECK_E_SHAPE, -1, "factors of term %lld do not fit each other", (long long)i);
        ECK_REQUIRE(last->shape[0] == terms[0].last.shape[0] &&
                        first->shape[1] == terms[0].first.shape[1],
                    ECK_E_SHAPE, -1, "term %lld is %lld x %lld, the first is %lld x %lld",
                    (long long)i, (long long)last->shape[0], (long long)first->shape[1],
                    (long long)terms[0].last.shape[0], (long long)terms[0].first.shape[1]);
        ECK_REQUIRE(eck_dtype_is_readable(first->dtype) && eck_dtype_is_readable(last->dtype),
                    ECK_E_RANGE, -1, "a factor of type %s holds no numbers",
                    eck_dtype_name(first->dtype));
        ECK_REQUIRE(isfinite(terms[i].weight), ECK_E_NONFINITE, -1,
                    "the weight of term %lld is no number", (long long)i);
        ECK_REQUIRE(ecki_add(f->info.width, first->shape[0], &f->info.width), ECK_E_SHAPE, -1,
                    "too many columns");
    }
    f->info.rows = terms[0].last.shape[0];
    f->info.cols = terms[0].first.shape[1];
done:
    return status;
}

/** The largest |x| of `count` numbers, all of them finite. */
static eck_status largest_of(double *out, const double *x, int64_t count, const char *what,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    double largest = 0;
    int64_t wrong = 0;

#pragma omp simd reduction(max : largest) reduction(+ : wrong)
    for (int64_t i = 0; i < count; i++) {
        const double size = fabs(x[i]);
        largest = size > largest ? size : largest;
        wrong += size <= DBL_MAX ? 0 : 1;
    }
    ECK_REQUIRE(wrong == 0, ECK_E_NONFINITE, ecki_first_nonfinite(x, count),
                "the %s factor holds NaN or infinity", what);
    *out = largest;
done:
    return status;
}

/** Scales by a power of two to a largest number in [1,2) where it is far from there; the inverse goes to
 * *unit. */
static eck_status normalise(double *x, int64_t count, double *unit, const char *what,
                            eck_error *err)
{
    eck_status status = ECK_OK;
    double largest = 0;
    int exponent = 0;

    ECK_TRY(largest_of(&largest, x, count, what, err));
    if (largest == 0) return ECK_OK;
    frexp(largest, &exponent);
    if (exponent > -FAR && exponent < FAR) return ECK_OK;
    const double scale = ldexp(1, 1 - exponent);
    for (int64_t i = 0; i < count; i++)
        x[i] *= scale;
    *unit *= ldexp(1, exponent - 1);
done:
    return status;
}

/** Side by side and one above the other; weights go into the last factors. */
static eck_status stack(eck_factored *f, const eck_term *terms, int64_t count, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t rows = f->info.rows, cols = f->info.cols, width = f->info.width;
    int64_t left = 0, right = 0, at = 0;

    ECK_REQUIRE(ecki_mul(rows, width, &left) && ecki_mul(cols, width, &right), ECK_E_SHAPE, -1,
                "factors are too large");
    ECK_ALLOC_RAW(f->last, left);
    ECK_ALLOC_RAW(f->first, right);
    for (int64_t i = 0; i < count; i++) {
        const int64_t r = terms[i].first.shape[0];
        const eck_panel top = { f->first + at * cols, ECK_DTYPE_F64, r, cols, cols };
        const eck_panel side = { f->last + at, ECK_DTYPE_F64, rows, r, width };
        ecki_view_read(&terms[i].first, 0, 0, top);
        ecki_view_read(&terms[i].last, 0, 0, side);
        for (int64_t a = 0; terms[i].weight != 1 && a < rows; a++)
            for (int64_t b = 0; b < r; b++)
                f->last[a * width + at + b] *= terms[i].weight;
        at += r;
    }
    f->unit = 1;
    ECK_TRY(normalise(f->first, right, &f->unit, "first", err));
    ECK_TRY(normalise(f->last, left, &f->unit, "last", err));
done:
    return status;
}

/* ---- values -------------------------------------------------------------------------------- */

eck_status ecki_factored_describe(eck_factored *f, const double *values, int64_t count,
                                  eck_error *err)
{
    eck_status status = ECK_OK;

    ecki_free(f->values);
    ecki_free(f->tails);
    f->values = f->tails = NULL;
    ECK_ALLOC(f->values, count);
    ECK_ALLOC(f->tails, count + 1);
    // tails[k]^2 = sum_{i>k} s_i^2 / sum_i s_i^2, from the small end
    double sum = 0;
    for (int64_t i = count - 1; i >= 0; i--) {
        f->values[i] = values[i] * f->unit;
        sum += values[i] * values[i];
        f->tails[i] = sum;
    }
    for (int64_t i = 0; i < count && sum > 0; i++)
        f->tails[i] = sqrt(f->tails[i] / sum);
    f->info.norm = sqrt(sum) * f->unit;
    f->info.values = f->values;
    f->info.tails = f->tails;
    f->info.count = count;
done:
    return status;
}

eck_status eck_factored_create(eck_factored **out, const eck_term *terms, int64_t count,
                               int64_t rank, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_factored *f = NULL;
    bool served = false;

    ECK_ALLOC(f, 1);
    ECK_REQUIRE(rank >= 0, ECK_E_RANGE, -1, "rank %lld", (long long)rank);
    ECK_TRY(check_terms(f, terms, count, err));
    ECK_REQUIRE(f->info.rows > 0 && f->info.cols > 0 && f->info.width > 0, ECK_E_SHAPE, -1,
                "a factor of size 0");
    ECK_TRY(stack(f, terms, count, err));
    if (rank > 0) ECK_TRY(ecki_factored_grams(&served, f, rank, err));
    if (!served) ECK_TRY(ecki_factored_reduce(f, err));
    *out = f;
    f = NULL;
done:
    eck_factored_free(f);
    return status;
}

void eck_factored_free(eck_factored *f)
{
    if (!f) return;
    ecki_free(f->last);
    ecki_free(f->first);
    ecki_free(f->values);
    ecki_free(f->tails);
    ecki_free(f->ql);
    ecki_free(f->qr);
    ecki_free(f->core_u);
    ecki_free(f->core_v);
    ecki_free(f->root);
    ecki_free(f->product);
    ecki_free(f->vectors);
    ecki_free(f);
}

const eck_factored_info *eck_factored_get_info(const eck_factored *f)
{
    return &f->info;
}

/* ---- truncation ---------------------------------------------------------------------------- */

/** Splits s_i between column i of last and row i of first: both arrive with unit vectors, first
 * with its values already in it where `carried`. */
static void split_values(double *last, double *first, const eck_factored *f, int64_t k,
                         bool carried, eck_split split)
{
    const int64_t rows = f->info.rows, cols = f->info.cols, width = k;
    const double unit = f->unit;

    for (int64_t i = 0; i < k; i++) {
        const double s = i < f->info.count ? f->values[i] : 0;
        const double left = split == ECK_SPLIT_LEFT ? s : split == ECK_SPLIT_RIGHT ? 1 : sqrt(s);
        const double right = split == ECK_SPLIT_LEFT ? 1 : split == ECK_SPLIT_RIGHT ? s : sqrt(s);
        // a carried row is s v^T / unit
        const double row = carried ? (s > 0 ? right / s * unit : 0) : right;
        for (int64_t j = 0; j < rows; j++)
            last[j * width + i] *= left;
        for (int64_t j = 0; j < cols; j++)
            first[i * cols + j] *= row;
    }
}

static eck_status round_to(eck_array **out, const double *x, int64_t rows, int64_t cols,
                           eck_dtype store, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_array *array = NULL;
    double *back = NULL;
    enum { CHUNK = 4096 };

    ECK_TRY(eck_array_create(&array, store, 2, (int64_t[]){ rows, cols }, err));
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

/** The first factor and what rounding changed in it, one above the other, and the same of the last side by
 * side: first [2k,cols] = (F; dF), last [rows,2k] = (dL, L + dL). */
typedef struct rounding {
    double *first, *last;
    int64_t rows, cols, k;
} rounding;

static eck_status rounding_init(rounding *out, const double *first, const double *last,
                                const eck_array *first_stored, const eck_array *last_stored,
                                eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t k = first_stored->shape[0], cols = first_stored->shape[1];
    const int64_t rows = last_stored->shape[0];
    rounding r = { NULL, NULL, rows, cols, k };
    double *row = NULL;

    ECK_ALLOC_RAW(r.first, 2 * k * cols);
    ECK_ALLOC_RAW(r.last, 2 * k * rows);
    memcpy(r.first, first, (size_t)(k * cols) * sizeof *first);
    double *change = r.first + k * cols;
    ecki_widen_f64(first_stored->dtype, first_stored->data, 1, change, k * cols);
    for (int64_t i = 0; i < k * cols; i++)
        change[i] -= first[i];
    ECK_ALLOC_RAW(row, rows * k);
    ecki_widen_f64(last_stored->dtype, last_stored->data, 1, row, rows * k);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < k; j++) {
            r.last[i * 2 * k + j] = row[i * k + j] - last[i * k + j];
            r.last[i * 2 * k + k + j] = row[i * k + j];
        }
    *out = r;
    memset(&r, 0, sizeof r);
done:
    ecki_free(row);
    ecki_free(r.first);
    ecki_free(r.last);
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
    const int64_t k = r->k, n = 2 * k;
    const double tail = f->tails[ecki_min(k, f->info.count)] * f->info.norm;
    double *left = NULL, *right = NULL, moved = 0, last = 0, first = 0;

    ECK_ALLOC_RAW(left, n * n);
    ECK_ALLOC_RAW(right, n * n);
    ECK_TRY(ecki_gemm(1, ecki_transposed(ecki_matrix_of(r->last, r->rows, n)),
                      ecki_matrix_of(r->last, r->rows, n), 0, ecki_panel(left, ECK_DTYPE_F64, n, n),
                      err));
    ECK_TRY(ecki_gemm(1, ecki_matrix_of(r->first, n, r->cols),
                      ecki_transposed(ecki_matrix_of(r->first, n, r->cols)), 0,
                      ecki_panel(right, ECK_DTYPE_F64, n, n), err));
    // the Grams are in the same order of blocks: <dL F + (L + dL) dF, itself> is the sum of all products
    for (int64_t i = 0; i < n * n; i++)
        moved += left[i] * right[i];
    for (int64_t i = 0; i < k; i++) {
        last += left[i * n + i];
        first += right[(k + i) * n + k + i];
    }
    *out = sqrt(tail * tail + fmax(0, moved) + 2 * tail * sqrt(fmax(0, last) * fmax(0, first)));
done:
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
    double *last = NULL, *first = NULL;
    eck_array *first_array = NULL, *last_array = NULL;
    rounding rounded = { NULL, NULL, 0, 0, 0 };
    bool carried = false;

    ECK_REQUIRE(rank >= 1 && rank <= most, ECK_E_RANGE, -1, "rank %lld, allowed: 1 .. %lld",
                (long long)rank, (long long)most);
    ECK_REQUIRE(eck_dtype_is_weight(store), ECK_E_RANGE, -1, "factors cannot be stored as %s",
                eck_dtype_name(store));
    ECK_ALLOC_RAW(last, rows * rank);
    ECK_ALLOC_RAW(first, rank * cols);
    ECK_TRY(ecki_factored_left(last, f, rank, err));
    ECK_TRY(ecki_factored_right(first, &carried, f, rank, err));
    split_values(last, first, f, rank, carried, truncation->split);
    ECK_TRY(round_to(&first_array, first, rank, cols, store, err));
    ECK_TRY(round_to(&last_array, last, rows, rank, store, err));
    if (distance) {
        ECK_TRY(rounding_init(&rounded, first, last, first_array, last_array, err));
        ECK_TRY(stored_distance(distance, f, &rounded, err));
    }
    *first_out = first_array;
    *last_out = last_array;
    first_array = last_array = NULL;
done:
    ecki_free(rounded.first);
    ecki_free(rounded.last);
    eck_array_free(first_array);
    eck_array_free(last_array);
    ecki_free(first);
    ecki_free(last);
    return status;
}
