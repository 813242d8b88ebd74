/**
 * The factors of a sum of thin products, read in panels: widened, weighted and scaled where they lie in cache, so that
 * the stacked factors are never held in F64.
 *
 * Always true: after ecki_panels_judge() of both sides the largest numbers of each are within 2^-60 .. 2^60, so that
 * squares of squares stay within F64.
 */
#include <float.h>
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/compiler.h"
#include "base/memory.h"
#include "decompose/factored_parts.h"
#include "tensor/codec.h"
#include "tensor/view.h"

enum {
    FAR = 60, // exponents beyond which factors are scaled
    PANEL_NUMBERS =
        1 << 16, // half a megabyte: stays in cache beside the Gram while it is multiplied
    LINES_LEAST = 16
};

/* ---- terms --------------------------------------------------------------------------------- */

static eck_status check_term(const eck_term *terms, int64_t i, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_view *first = &terms[i].first, *last = &terms[i].last;

    ECK_REQUIRE(first->ndim == 2 && last->ndim == 2 && first->shape[0] == last->shape[1],
                ECK_E_SHAPE, -1, "factors of term %lld do not fit each other", (long long)i);
    ECK_REQUIRE(last->shape[0] == terms[0].last.shape[0] &&
                    first->shape[1] == terms[0].first.shape[1],
                ECK_E_SHAPE, -1, "term %lld is %lld x %lld, the first is %lld x %lld", (long long)i,
                (long long)last->shape[0], (long long)first->shape[1],
                (long long)terms[0].last.shape[0], (long long)terms[0].first.shape[1]);
    ECK_REQUIRE(eck_dtype_is_readable(first->dtype) && eck_dtype_is_readable(last->dtype),
                ECK_E_RANGE, -1, "a factor of type %s holds no numbers",
                eck_dtype_name(first->dtype));
    ECK_REQUIRE(isfinite(terms[i].weight), ECK_E_NONFINITE, -1,
                "the weight of term %lld is no number", (long long)i);
done:
    return status;
}

/** Each view becomes one of a copy in the same type. */
static eck_status copy_terms(eck_factored *f, eck_error *err)
{
    eck_status status = ECK_OK;

    ECK_ALLOC(f->owned, 2 * f->count);
    for (int64_t i = 0; i < f->count; i++) {
        eck_view *views[2] = { &f->terms[i].first, &f->terms[i].last };
        for (int64_t half = 0; half < 2; half++) {
            eck_array **own = &f->owned[2 * i + half];
            ECK_TRY(eck_array_convert(own, *views[half], views[half]->dtype, err));
            *views[half] = eck_array_view(*own);
        }
    }
done:
    return status;
}

eck_status ecki_factored_take(eck_factored *f, const eck_term *terms, int64_t count, bool copy,
                              eck_error *err)
{
    eck_status status = ECK_OK;
    int64_t numbers = 0;

    ECK_REQUIRE(count > 0, ECK_E_RANGE, -1, "a sum of no products");
    ECK_ALLOC(f->terms, count);
    f->count = count;
    for (int64_t i = 0; i < count; i++) {
        ECK_TRY(check_term(terms, i, err));
        f->terms[i] = terms[i];
        ECK_REQUIRE(ecki_add(f->info.width, terms[i].first.shape[0], &f->info.width), ECK_E_SHAPE,
                    -1, "too many columns");
    }
    f->info.rows = terms[0].last.shape[0];
    f->info.cols = terms[0].first.shape[1];
    ECK_REQUIRE(f->info.rows > 0 && f->info.cols > 0 && f->info.width > 0, ECK_E_SHAPE, -1,
                "a factor of size 0");
    ECK_REQUIRE(ecki_mul(f->info.rows, f->info.width, &numbers) &&
                    ecki_mul(f->info.cols, f->info.width, &numbers) &&
                    ecki_mul(f->info.width, f->info.width, &numbers),
                ECK_E_SHAPE, -1, "factors are too large");
    f->unit = f->scale[ECK_SIDE_LEFT] = f->scale[ECK_SIDE_RIGHT] = 1;
    if (copy) ECK_TRY(copy_terms(f, err));
done:
    return status;
}

/* ---- panels -------------------------------------------------------------------------------- */

eck_status ecki_panels_init(ecki_panels *out, const eck_factored *f, eck_side side, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_panels panels = { .f = f, .side = side };
    int64_t widest = 0;

    for (int64_t i = 0; i < f->count; i++)
        widest = ecki_max(widest, f->terms[i].first.shape[0]);
    panels.length = side == ECK_SIDE_LEFT ? f->info.rows : f->info.cols;
    panels.height = ecki_min(panels.length, ecki_max(LINES_LEAST, PANEL_NUMBERS / f->info.width));
    ECK_ALLOC_RAW(panels.room, panels.height * f->info.width);
    ECK_ALLOC_RAW(panels.chunk, panels.height * widest);
    *out = panels;
    panels.room = panels.chunk = NULL;
done:
    ecki_panels_clear(&panels);
    return status;
}

void ecki_panels_clear(ecki_panels *panels)
{
    ecki_free(panels->room);
    ecki_free(panels->chunk);
    panels->room = panels->chunk = NULL;
}

/** Lane by lane the larger of what there is and the bits of |x|, which are in the order of the numbers, NaN last. */
ECKI_INLINE void keep_larger(ecki_i64x8 *largest, const ecki_f64x8 *x)
{
    const ecki_f64x8 zero = { 0 };
    const ecki_i64x8 size = (ecki_i64x8)*x & ~(ecki_i64x8)-zero;
    const ecki_i64x8 less = (*largest - size) >> 63;
    *largest = (size & less) | (*largest & ~less);
}

/** Rows of `to` = factor x [rows,cols]; the larger of `largest` and all |to|, infinite if one is not finite. */
ECKI_CLONES static double scaled(eck_panel to, const double *x, double factor, double largest)
{
    enum { LANES = 8 };
    ecki_i64x8 bits = { 0 };
    double sizes[LANES];

    for (int64_t i = 0; i < to.rows; i++, x += to.cols) {
        double *const row = (double *)to.data + i * to.ld;
        int64_t j = 0;
        for (; j + LANES <= to.cols; j += LANES) {
            ecki_f64x8 y;
            memcpy(&y, x + j, sizeof y);
            y *= factor;
            memcpy(row + j, &y, sizeof y);
            keep_larger(&bits, &y);
        }
        for (; j < to.cols; j++) {
            const ecki_f64x8 y = { row[j] = factor * x[j] };
            keep_larger(&bits, &y);
        }
    }
    memcpy(sizes, &bits, sizeof sizes);
    for (int i = 0; i < LANES; i++)
        largest = sizes[i] <= DBL_MAX ? fmax(largest, sizes[i]) : INFINITY;
    return largest;
}

/** Rows of one last factor into their columns of a panel. */
static void read_last(ecki_panels *panels, const eck_term *term, eck_panel to, int64_t at)
{
    const double factor = term->weight * panels->f->scale[ECK_SIDE_LEFT];
    double *const chunk = panels->chunk;

    ecki_view_read(&term->last, at, 0, ecki_panel(chunk, ECK_DTYPE_F64, to.rows, to.cols));
    panels->largest = scaled(to, chunk, factor, panels->largest);
}

void ecki_panels_read(ecki_panels *panels, double *out, int64_t at, int64_t count)
{
    const eck_factored *f = panels->f;
    const int64_t width = f->info.width;
    int64_t column = 0;

    for (int64_t i = 0; i < f->count; i++) {
        const eck_term *term = &f->terms[i];
        const int64_t r = term->first.shape[0];
        if (panels->side == ECK_SIDE_LEFT) {
            const eck_panel to = { out + column, ECK_DTYPE_F64, count, r, width };
            read_last(panels, term, to, at);
        } else {
            double *const rows = out + column * count;
            const eck_panel one = ecki_panel(rows, ECK_DTYPE_F64, 1, r * count);
            ecki_view_read(&term->first, 0, at, ecki_panel(rows, ECK_DTYPE_F64, r, count));
            panels->largest = scaled(one, rows, f->scale[ECK_SIDE_RIGHT], panels->largest);
        }
        column += r;
    }
}

/** Names the term that is not finite. */
static eck_status nonfinite(const ecki_panels *panels, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_factored *f = panels->f;
    const bool left = panels->side == ECK_SIDE_LEFT;
    eck_array *wide = NULL;

    for (int64_t i = 0; i < f->count; i++) {
        const eck_view view = left ? f->terms[i].last : f->terms[i].first;
        ECK_TRY(eck_array_convert(&wide, view, ECK_DTYPE_F64, err));
        const int64_t bad = ecki_first_nonfinite(wide->data, eck_array_count(wide));
        ECK_REQUIRE(bad < 0, ECK_E_NONFINITE, bad,
                    "the %s factor of term %lld holds NaN or infinity", left ? "last" : "first",
                    (long long)i);
        eck_array_free(wide);
        wide = NULL;
    }
    status =
        ecki_error(err, ECK_E_NONFINITE, -1, "a weight times its factor leaves the range of F64");
done:
    eck_array_free(wide);
    return status;
}

eck_status ecki_panels_judge(const ecki_panels *panels, eck_factored *f, bool *far_out,
                             eck_error *err)
{
    int exponent = 0;

    *far_out = false;
    if (!isfinite(panels->largest)) return nonfinite(panels, err);
    if (panels->largest == 0) return ECK_OK;
    frexp(panels->largest, &exponent);
    if (exponent > -FAR && exponent < FAR) return ECK_OK;
    // a power of two brings the largest number into [1,2)
    f->scale[panels->side] *= ldexp(1, 1 - exponent);
    f->unit *= ldexp(1, exponent - 1);
    *far_out = true;
    return ECK_OK;
}
