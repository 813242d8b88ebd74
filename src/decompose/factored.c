/**
 * Sums of thin products: stacking, values, the truncated factors. How the decomposition is found
 * lies in factored_qr.c and factored_grams.c.
 *
 * Always true: the stacked factors are finite and scaled to a largest number in [1,2), so that
 * squares of squares stay within F64.
 */
#include "decompose/factored_parts.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "linalg/gemm.h"
#include "tensor/codec.h"
#include "tensor/view.h"

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

/** Scales `count` numbers by a power of two to a largest one in [1,2); the inverse goes to *unit. */
static eck_status normalise(double *x, int64_t count, double *unit, const char *what,
                            eck_error *err)
{
    eck_status status = ECK_OK;
    double largest = 0;
    int exponent = 0;

    const int64_t bad = ecki_first_nonfinite(x, count);
    ECK_REQUIRE(bad < 0, ECK_E_NONFINITE, bad, "the %s factor holds NaN or infinity", what);
    for (int64_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(x[i]));
    if (largest == 0) return ECK_OK;
    frexp(largest, &exponent);
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
        for (int64_t a = 0; a < rows; a++)
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

eck_status eck_factored_truncate(eck_array **first_out, eck_array **last_out, const eck_factored *f,
                                 const eck_truncation *truncation, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t rows = f->info.rows, cols = f->info.cols, rank = truncation->rank;
    const eck_dtype store = truncation->store;
    const int64_t most = f->info.orthogonal ? ecki_min(rows, cols) : f->known;
    double *last = NULL, *first = NULL;
    eck_array *first_array = NULL, *last_array = NULL;
    bool carried = false;

    ECK_REQUIRE(rank >= 1 && rank <= most, ECK_E_RANGE, -1, "rank %lld, allowed: 1 .. %lld",
                (long long)rank, (long long)most);
    ECK_REQUIRE(eck_dtype_is_weight(store), ECK_E_RANGE, -1, "factors cannot be stored as %s",
                eck_dtype_name(store));
    ECK_ALLOC(last, rows * rank);
    ECK_ALLOC(first, rank * cols);
    ECK_TRY(ecki_factored_left(last, f, rank, err));
    ECK_TRY(ecki_factored_right(first, &carried, f, rank, err));
    split_values(last, first, f, rank, carried, truncation->split);
    ECK_TRY(round_to(&first_array, first, rank, cols, store, err));
    ECK_TRY(round_to(&last_array, last, rows, rank, store, err));
    *first_out = first_array;
    *last_out = last_array;
    first_array = last_array = NULL;
done:
    eck_array_free(first_array);
    eck_array_free(last_array);
    ecki_free(first);
    ecki_free(last);
    return status;
}
