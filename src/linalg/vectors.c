// Vectors of a rank chosen from the values: those of the tridiagonal matrix, then the reflectors
// of the reduction applied to the chosen columns only.
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/orthonormal.h"
#include "linalg/spectrum.h"
#include "tensor/codec.h"

enum { REFLECTORS = 256, BLOCK = 32 };

// The reflectors are unpacked a block at a time. Reflector c is column c of the reduced triangle: a 1
// in row c-1 and its numbers above.
eck_status ecki_spectrum_back_transform(double *z, const eck_spectrum *spectrum, int64_t columns,
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
        const ecki_reflectors h = { block, rows, count, spectrum->t.tau + first - 1 };
        ECK_TRY(ecki_dormql(z, n, columns, &h, err));
    }
done:
    ecki_free(block);
    return status;
}

// out row-major [n,k] = the last k of the columns of z, column-major, the last first.
static void reverse_transpose(double *out, const double *z, int64_t n, int64_t k)
{
    for (int64_t i0 = 0; i0 < n; i0 += BLOCK)
        for (int64_t j0 = 0; j0 < k; j0 += BLOCK)
            for (int64_t i = i0; i < ecki_min(i0 + BLOCK, n); i++)
                for (int64_t j = j0; j < ecki_min(j0 + BLOCK, k); j++)
                    out[i * k + j] = z[(k - 1 - j) * n + i];
}

// The k largest by relatively robust representations; info_out > 0: not all were found.
static eck_status few_vectors(double *out, const eck_spectrum *spectrum, int64_t k,
                              int64_t *info_out, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = spectrum->t.n;
    double *z = NULL;
    ECK_ALLOC_RAW(z, n * k);
    ECK_TRY(ecki_dstemr(z, &spectrum->t, k, info_out, err));
    if (*info_out != 0) goto done;
    ECK_TRY(ecki_spectrum_back_transform(z, spectrum, k, err));
    reverse_transpose(out, z, n, k);
done:
    ecki_free(z);
    return status;
}

// All of the tridiagonal matrix by divide and conquer, of which the last k are kept.
static eck_status all_vectors(double *out, const eck_spectrum *spectrum, int64_t k,
                              int64_t *info_out, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = spectrum->t.n;
    double *z = NULL;
    int64_t square = 0;
    ECK_REQUIRE(ecki_mul(n, n, &square), ECK_E_SHAPE, -1, "size is too large for dstedc");
    ECK_ALLOC_RAW(z, square);
    ECK_TRY(ecki_dstedc(z, &spectrum->t, info_out, err));
    if (*info_out != 0) goto done;
    double *const last = z + (n - k) * n;
    ECK_TRY(ecki_spectrum_back_transform(last, spectrum, k, err));
    reverse_transpose(out, last, n, k);
done:
    ecki_free(z);
    return status;
}

eck_status ecki_spectrum_vectors(double *out, const char **solver_out, const eck_spectrum *spectrum,
                                 int64_t k, bool thorough, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = spectrum->t.n;
    int64_t info = 1;
    *solver_out = "dstedc";
    if (k == 0) return ECK_OK;
    if (k <= n / 4 && !thorough) {
        ECK_TRY(few_vectors(out, spectrum, k, &info, err));
        if (info == 0) *solver_out = "dstemr";
    }
    if (info != 0) ECK_TRY(all_vectors(out, spectrum, k, &info, err));
    ECK_REQUIRE(info == 0, ECK_E_SOLVER, -1,
                "neither dstemr nor dstedc found the vectors: info %lld", (long long)info);
done:
    return status;
}
