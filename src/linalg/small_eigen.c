// Values and vectors of a symmetric matrix that lies in memory, for the inner problems of the lanes.
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/bisect.h"
#include "linalg/spectrum.h"

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
    ECK_TRY(ecki_bisect(values, &spectrum->t, (ecki_places){ 0, n }, ecki_crew(), err));
    if (vectors) ECK_TRY(ecki_spectrum_vectors(vectors, &solver, spectrum, &request, err));
done:
    ecki_free(copy);
    eck_spectrum_free(spectrum);
    return status;
}
