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

enum { BLOCK = 32 };

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
static eck_status few_vectors(double *out, const eck_spectrum *spectrum,
                              const ecki_vector_request *request, int64_t *info_out, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = spectrum->t.n, k = request->k;
    double *z = NULL;
    ECK_ALLOC_RAW(z, n * k);
    ECK_TRY(ecki_dstemr(z, &spectrum->t, k, info_out, err));
    if (*info_out != 0) goto done;
    ECK_TRY(ecki_spectrum_back_transform(z, spectrum, k, request->context, err));
    reverse_transpose(out, z, n, k);
done:
    ecki_free(z);
    return status;
}

// All of the tridiagonal matrix by divide and conquer, of which the last k are kept.
static eck_status all_vectors(double *out, const eck_spectrum *spectrum,
                              const ecki_vector_request *request, int64_t *info_out, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = spectrum->t.n, k = request->k;
    double *z = NULL;
    int64_t square = 0;
    ECK_REQUIRE(ecki_mul(n, n, &square), ECK_E_SHAPE, -1, "size is too large for dstedc");
    ECK_ALLOC_RAW(z, square);
    ECK_TRY(ecki_dstedc(z, &spectrum->t, info_out, err));
    if (*info_out != 0) goto done;
    double *const last = z + (n - k) * n;
    ECK_TRY(ecki_spectrum_back_transform(last, spectrum, k, request->context, err));
    reverse_transpose(out, last, n, k);
done:
    ecki_free(z);
    return status;
}

eck_status ecki_spectrum_vectors(double *out, const char **solver_out, const eck_spectrum *spectrum,
                                 const ecki_vector_request *request, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = spectrum->t.n, k = request->k;
    int64_t info = 1;
    *solver_out = "dstedc";
    if (k == 0) return ECK_OK;
    if (k <= n / 4 && !request->thorough) {
        ECK_TRY(few_vectors(out, spectrum, request, &info, err));
        if (info == 0) *solver_out = "dstemr";
    }
    if (info != 0) ECK_TRY(all_vectors(out, spectrum, request, &info, err));
    ECK_REQUIRE(info == 0, ECK_E_SOLVER, -1,
                "neither dstemr nor dstedc found the vectors: info %lld", (long long)info);
done:
    return status;
}
