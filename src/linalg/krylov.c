// The block Krylov space (block Lanczos with full re-orthogonalisation). Always true: the basis is orthonormal to F32,
// whatever A is: columns that carry nothing new are replaced by fresh random ones, so that a space never ends before its
// dimension does. Random columns are drawn by number from one seed and never twice.
#include "linalg/krylov.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/random.h"
#include "linalg/op.h"
#include "linalg/spectrum.h"
#include "tensor/codec.h"

enum { STREAM = 0x6b72 }; // of the starting vectors and probes, apart from those of certificates

// What is left of a column after projection is rounding below this share of what was there.
#define NOTHING 2.5e-7

static ecki_block basis_of(const ecki_krylov *s, int64_t first, int64_t columns)
{
    return (ecki_block){ s->basis + first, s->n, columns, s->most + s->block };
}

static ecki_block narrow(const ecki_krylov *s, float *data, int64_t columns)
{
    return (ecki_block){ data, s->n, columns, columns };
}

void ecki_krylov_clear(ecki_krylov *s)
{
    ecki_free(s->basis);
    ecki_free(s->x);
    ecki_free(s->z);
    ecki_free(s->t);
    ecki_free(s->c);
    ecki_free(s->h);
    ecki_room_clear(&s->room);
    s->basis = s->x = s->z = NULL;
    s->t = s->c = s->h = NULL;
}

eck_status ecki_krylov_draw(ecki_krylov *s, float *out, int64_t columns, eck_error *err)
{
    eck_status status = ECK_OK;
    const int32_t threads = ecki_threads(s->context);
    double *column = NULL, *h = NULL;
    ECK_ALLOC_RAW(column, s->n);
    ECK_ALLOC_RAW(h, ecki_max(1, s->length) * columns);
    for (int64_t j = 0; j < columns; j++) {
        ecki_random_fill_normal(column, s->n, s->seed, STREAM + s->drawn++, 0);
        for (int64_t i = 0; i < s->n; i++)
            out[i * columns + j] = (float)column[i];
    }
    for (int pass = 0; pass < 2 && s->length > 0; pass++)
        ECK_TRY(ecki_block_project(h, basis_of(s, 0, s->length), narrow(s, out, columns), threads,
                                   err));
done:
    ecki_free(h);
    ecki_free(column);
    return status;
}

// Puts x beside the basis.
static void place_next(ecki_krylov *s)
{
    const ecki_block next = basis_of(s, s->length, s->block);
    for (int64_t i = 0; i < s->n; i++)
        memcpy(next.data + i * next.ld, s->x + i * s->block, (size_t)s->block * sizeof *next.data);
}

// Fills columns of zeros of x with fresh ones, orthonormal to the basis and to the other columns of x.
static eck_status fill_fresh(ecki_krylov *s, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t b = s->block;
    const int32_t threads = ecki_threads(s->context);
    double *sums = NULL, *r = NULL;
    float *drawn = NULL;
    int64_t left = b;
    ECK_ALLOC(sums, 2 * b);
    ECK_ALLOC_RAW(r, b * b);
    ECK_ALLOC_RAW(drawn, s->n * b);
    for (int round = 0; round < 4 && left > 0; round++) {
        ecki_block_lengths(sums, narrow(s, s->x, b));
        ECK_TRY(ecki_krylov_draw(s, drawn, b, err));
        for (int64_t i = 0; i < s->n; i++)
            for (int64_t j = 0; j < b; j++)
                s->z[i * b + j] = sums[j] > 0.5 ? s->x[i * b + j] : drawn[i * b + j];
        ECK_TRY(ecki_block_orthonormalize(narrow(s, s->x, b), narrow(s, s->z, b), r, sums + b,
                                          &left, threads, err));
    }
    ECK_REQUIRE(left == 0, ECK_E_SOLVER, -1,
                "no %lld further directions in %lld dimensions of '%s'", (long long)b,
                (long long)s->n, s->a->name);
done:
    ecki_free(drawn);
    ecki_free(r);
    ecki_free(sums);
    return status;
}

eck_status ecki_krylov_init(ecki_krylov *s, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t b = s->block;
    int64_t count = 0;
    s->n = s->side == ECK_SIDE_RIGHT ? s->a->info.cols : s->a->info.rows;
    ECK_REQUIRE(ecki_mul(s->n, s->most + b, &count), ECK_E_NOMEM, -1,
                "not enough memory for a basis");
    ECK_ALLOC_RAW(s->basis, count);
    ECK_ALLOC(s->x, s->n * b);
    ECK_ALLOC_RAW(s->z, s->n * b);
    ECK_ALLOC(s->t, s->most * s->most);
    ECK_ALLOC(s->c, b * s->most);
    ECK_ALLOC_RAW(s->h, 2 * s->most * b);
    s->length = 0;
    ECK_TRY(fill_fresh(s, err));
    place_next(s);
done:
    return status;
}

// z = M next.
static eck_status multiply(ecki_krylov *s, eck_error *err)
{
    const eck_panel panels[2] = { ecki_panel(s->x, ECK_DTYPE_F32, s->n, s->block),
                                  ecki_panel(s->z, ECK_DTYPE_F32, s->n, s->block) };
    s->passes++;
    return ecki_operator_normal(s->a, s->side, s->scale, panels, s->context, &s->room, err);
}

// h1 += h2 r for [length,b] and an upper [b,b].
static void add_second(double *h1, const double *h2, const double *r, int64_t length, int64_t b)
{
    for (int64_t i = 0; i < length; i++)
        for (int64_t j = 0; j < b; j++)
            for (int64_t t = 0; t <= j; t++)
                h1[i * b + j] += h2[i * b + t] * r[t * b + j];
}

// Writes h as the last columns and rows of t, the corner made symmetric.
static void extend(ecki_krylov *s, const double *h)
{
    const int64_t b = s->block, old = s->length - b, ld = s->most;
    for (int64_t i = 0; i < s->length; i++)
        for (int64_t j = 0; j < b; j++) {
            const double corner =
                i < old ? h[i * b + j] : 0.5 * (h[i * b + j] + h[(old + j) * b + (i - old)]);
            s->t[i * ld + old + j] = s->t[(old + j) * ld + i] = corner;
        }
}

// z = basis h + x r: projected, orthonormal, and both again: what the first round leaves of the basis in small columns
// is large beside them.
static eck_status split(ecki_krylov *s, double *r, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t b = s->block;
    const int32_t threads = ecki_threads(s->context);
    const ecki_block basis = basis_of(s, 0, s->length), x = narrow(s, s->x, b),
                     z = narrow(s, s->z, b);
    double *const h2 = s->h + s->most * b, *least = NULL;
    int64_t fresh = 0, more = 0;
    ECK_ALLOC(least, b * b + b);
    double *const second = least + b;
    ecki_block_lengths(least, z);
    for (int64_t j = 0; j < b; j++)
        least[j] = NOTHING * sqrt(least[j]);
    ECK_TRY(ecki_block_project(s->h, basis, z, threads, err));
    ECK_TRY(ecki_block_orthonormalize(x, z, r, least, &fresh, threads, err));
    ECK_TRY(ecki_block_project(h2, basis, x, threads, err));
    add_second(s->h, h2, r, s->length, b);
    for (int64_t i = 0; i < s->n * b; i++)
        s->z[i] = s->x[i];
    for (int64_t j = 0; j < b; j++)
        least[j] =
            0.1; // of a column of length 1: below, it was rounding, and twice would not be enough
    ECK_TRY(ecki_block_orthonormalize(x, z, second, least, &more, threads, err));
    for (int64_t j = 0; j < b; j++) // r = second r
        for (int64_t i = 0; i <= j; i++) {
            double sum = 0.0;
            for (int64_t t = i; t <= j; t++)
                sum += second[i * b + t] * r[t * b + j];
            r[i * b + j] = sum;
        }
    if (more > 0) ECK_TRY(fill_fresh(s, err));
done:
    ecki_free(least);
    return status;
}

eck_status ecki_krylov_step(ecki_krylov *s, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t b = s->block;
    double *r = NULL;
    ECK_ALLOC(r, b * b);
    ECK_TRY(multiply(s, err));
    s->length += b;
    ECK_TRY(split(s, r, err));
    extend(s, s->h);
    memset(s->c, 0, (size_t)(b * s->most) * sizeof *s->c);
    for (int64_t i = 0; i < b; i++)
        memcpy(s->c + i * s->most + s->length - b, r + i * b, (size_t)b * sizeof *r);
    place_next(s);
done:
    ecki_free(r);
    return status;
}

// c = c vectors: what the kept vectors have of the last block leads to next.
static eck_status turn_coupling(ecki_krylov *s, const double *vectors, int64_t keep, eck_error *err)
{
    eck_status status = ECK_OK;
    double *turned = NULL;
    ECK_ALLOC(turned, s->block * keep);
    for (int64_t i = 0; i < s->block; i++)
        for (int64_t l = 0; l < s->length; l++)
            for (int64_t j = 0; j < keep; j++)
                turned[i * keep + j] += s->c[i * s->most + l] * vectors[l * keep + j];
    memset(s->c, 0, (size_t)(s->block * s->most) * sizeof *s->c);
    for (int64_t i = 0; i < s->block; i++)
        memcpy(s->c + i * s->most, turned + i * keep, (size_t)keep * sizeof *turned);
done:
    ecki_free(turned);
    return status;
}

eck_status ecki_krylov_restart(ecki_krylov *s, const double *values, const double *vectors,
                               int64_t keep, eck_error *err)
{
    eck_status status = ECK_OK;
    float *kept = NULL;
    int64_t count = 0;
    ECK_REQUIRE(ecki_mul(s->n, keep, &count), ECK_E_NOMEM, -1, "not enough memory to restart");
    ECK_ALLOC_RAW(kept, count);
    ECK_TRY(ecki_block_turn(narrow(s, kept, keep), basis_of(s, 0, s->length), vectors,
                            ecki_threads(s->context), err));
    ECK_TRY(turn_coupling(s, vectors, keep, err));
    for (int64_t i = 0; i < s->n; i++)
        memcpy(s->basis + i * (s->most + s->block), kept + i * keep, (size_t)keep * sizeof *kept);
    memset(s->t, 0, (size_t)(s->most * s->most) * sizeof *s->t);
    for (int64_t i = 0; i < keep; i++)
        s->t[i * s->most + i] = values[i];
    s->length = keep;
    place_next(s);
done:
    ecki_free(kept);
    return status;
}
