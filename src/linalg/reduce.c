// The reduction of a symmetric matrix to tridiagonal form, in one stage or two as its order says, kept in half the
// memory of the matrix (one stage) or in its own (two), and the way back for vectors.
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "linalg/spectrum.h"
#include "linalg/two_stage.h"

enum { REFLECTORS = 256 };

int64_t ecki_spectrum_packed(int64_t order, bool two_stage)
{
    int64_t count = order * (order - 1) / 2;
    if (two_stage) ecki_two_stage_count(order, &count);
    return count;
}

eck_status ecki_spectrum_room(int64_t *out, int64_t order, eck_error *err)
{
    int64_t store = 0;
    if (!ecki_two_stage_count(order, &store))
        return ecki_error(err, ECK_E_SHAPE, -1, "a symmetric matrix of order %lld is too large",
                          (long long)order);
    *out = order < ECKI_TWO_STAGE_ORDER ? order * order : ecki_max(order * order, store);
    return ECK_OK;
}

// Keeps the reflectors of a reduced [n,n] triangle, in half the memory. matrix is moved on success.
static eck_status pack(eck_spectrum *spectrum, double **matrix, eck_error *err)
{
    const int64_t n = spectrum->t.n;
    double *to = *matrix;
    for (int64_t c = 1; c < n; c++) {
        memmove(to, *matrix + c * n, (size_t)c * sizeof *to);
        to += c;
    }
    const int64_t count = ecki_max(ecki_spectrum_packed(n, false), 1);
    double *const shrunk = ecki_realloc(*matrix, count, sizeof *to);
    if (!shrunk) return ecki_error_memory(err, ecki_bytes_of(count, sizeof *to));
    spectrum->packed = shrunk;
    *matrix = NULL;
    return ECK_OK;
}

// Values only: LAPACK wants room for the factors of the reflectors all the same.
static eck_status reduce_without_keeping(eck_spectrum *spectrum, double **matrix, eck_error *err)
{
    eck_status status = ECK_OK;
    double *tau = NULL;
    ECK_ALLOC_RAW(tau, spectrum->t.n);
    spectrum->t.tau = tau;
    status = ecki_dsytrd(&spectrum->t, *matrix, err);
    spectrum->t.tau = NULL;
    if (status != ECK_OK) goto done;
    ecki_free(*matrix);
    *matrix = NULL;
done:
    ecki_free(tau);
    return status;
}

eck_status ecki_spectrum_reduce(eck_spectrum *spectrum, double **matrix, const eck_context *context,
                                eck_error *err)
{
    eck_status status = ECK_OK;
    spectrum->two_stage = spectrum->t.n >= ECKI_TWO_STAGE_ORDER;
    if (spectrum->two_stage)
        return ecki_two_stage_reduce_f64(&spectrum->t, matrix,
                                         spectrum->t.tau ? &spectrum->packed : NULL, context, err);
    if (!spectrum->t.tau) return reduce_without_keeping(spectrum, matrix, err);
    ECK_TRY(ecki_dsytrd(&spectrum->t, *matrix, err));
    ECK_TRY(pack(spectrum, matrix, err));
done:
    return status;
}

// The reflectors are unpacked a block at a time. Reflector c is column c of the reduced triangle: a 1
// in row c-1 and its numbers above.
static eck_status apply_one_stage(double *z, const eck_spectrum *spectrum, int64_t columns,
                                  eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = spectrum->t.n;
    double *block = NULL;
    ECK_ALLOC_RAW(block, n * ecki_min(REFLECTORS, n));
    for (int64_t first = 1; first < n; first += REFLECTORS) {
        const int64_t count = ecki_min(REFLECTORS, n - first), rows = first + count - 1;
        for (int64_t c = 0; c < count; c++)
            memcpy(block + c * rows, spectrum->packed + (first + c) * (first + c - 1) / 2,
                   (size_t)(first + c) * sizeof *block);
        const ecki_reflectors h = { block, rows, count, spectrum->t.tau + first - 1, 0 };
        ECK_TRY(ecki_dormql(z, n, columns, &h, err));
    }
done:
    ecki_free(block);
    return status;
}

eck_status ecki_spectrum_back_transform(double *z, const eck_spectrum *spectrum, int64_t columns,
                                        const eck_context *context, eck_error *err)
{
    if (!spectrum->two_stage) return apply_one_stage(z, spectrum, columns, err);
    // A column-major [n,columns] is a row-major [columns,n].
    return ecki_two_stage_apply_f64(z, columns, spectrum->packed, spectrum->t.n, context, err);
}
