// Values and vectors of a symmetric matrix that lies in memory, for the inner problems of the lanes.
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "linalg/spectrum.h"

// Values of the reduced matrix, descending.
static eck_status values_of(double *values, const ecki_tridiagonal *t, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = t->n;
    double *d = NULL;
    int64_t info = 0;
    ECK_ALLOC_RAW(d, 2 * n);
    memcpy(d, t->diagonal, (size_t)n * sizeof *d);
    memcpy(d + n, t->off_diagonal, (size_t)n * sizeof *d);
    ECK_TRY(ecki_dsterf(n, d, d + n, &info, err));
    ECK_REQUIRE(info == 0, ECK_E_SOLVER, -1, "dsterf did not converge: %lld values left",
                (long long)info);
    for (int64_t i = 0; i < n; i++)
        values[i] = d[n - 1 - i];
done:
    ecki_free(d);
    return status;
}

eck_status ecki_small_eigen(double *values, double *vectors, const double *matrix, int64_t n,
                            int64_t k, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_spectrum *spectrum = NULL;
    double *copy = NULL;
    const ecki_vector_request request = { k, true, NULL };
    const char *solver;
    int64_t room = 0;
    ECK_TRY(ecki_spectrum_room(&room, n, err));
    ECK_TRY(ecki_spectrum_new(&spectrum, n, n, vectors != NULL, err));
    ECK_ALLOC_RAW(copy, room);
    memcpy(copy, matrix, (size_t)(n * n) * sizeof *copy);
    ECK_TRY(ecki_spectrum_reduce(spectrum, &copy, NULL, err));
    ECK_TRY(values_of(values, &spectrum->t, err));
    if (vectors) ECK_TRY(ecki_spectrum_vectors(vectors, &solver, spectrum, &request, err));
done:
    ecki_free(copy);
    eck_spectrum_free(spectrum);
    return status;
}
