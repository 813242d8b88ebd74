// The two stages put together. Always true: between the stages no more than the packed panels, the band and the room
// for the sweeps is held.
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/real.h"
#include "linalg/two_stage.h"

enum { S = ECKI_BAND_STRIDE };

void ECKI_FN(ecki_reflector_triangle)(real *t, const real *gram, const real *tau, int64_t count)
{
    // T[0..j,j] = -tau_j T[0..j,0..j] (V^T V)[0..j,j], T[j,j] = tau_j.
    memset(t, 0, (size_t)(count * count) * sizeof *t);
    for (int64_t j = 0; j < count; j++) {
        for (int64_t i = 0; i < j; i++) {
            real sum = 0.0;
            for (int64_t l = i; l < j; l++)
                sum += t[i * count + l] * gram[l * count + j];
            t[i * count + j] = -tau[j] * sum;
        }
        t[j * count + j] = tau[j];
    }
}

// Diagonal and off-diagonal of a band that is tridiagonal by now.
static void take_tridiagonal(ecki_tridiagonal *t, const real *band)
{
    for (int64_t i = 0; i < t->n; i++) {
        t->diagonal[i] = band[i * S + i];
        t->off_diagonal[i] = i + 1 < t->n ? band[i * S + i + 1] : 0.0;
    }
}

// The panels of `matrix` and room for the sweeps; matrix is moved on success.
static eck_status make_store(real **store_out, real **matrix, int64_t n, eck_error *err)
{
    const ecki_two_stage_layout layout = ecki_two_stage_layout_of(n);
    ECKI_FN(ecki_band_pack)(*matrix, n);
    real *const moved = ecki_realloc(*matrix, layout.count, sizeof **matrix);
    if (!moved) return ecki_error_memory(err, ecki_bytes_of(layout.count, sizeof **matrix));
    *store_out = moved;
    *matrix = NULL;
    return ECK_OK;
}

eck_status ECKI_FN(ecki_two_stage_reduce)(ecki_tridiagonal *t, real **matrix, real **store_out,
                                          const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = t->n;
    const ecki_two_stage_layout layout = ecki_two_stage_layout_of(n);
    real *band = NULL, *triangles = NULL, *store = NULL;
    const int64_t band_count = n * (S + 1);
    ECK_ALLOC(band, band_count);
    if (store_out) ECK_ALLOC(triangles, layout.sweeps - layout.panel_t);
    ECK_TRY(ECKI_FN(ecki_band_reduce)(band, *matrix, n, triangles, context, err));
    if (store_out) {
        ECK_TRY(make_store(&store, matrix, n, err));
        memcpy(store + layout.panel_t, triangles,
               (size_t)(layout.sweeps - layout.panel_t) * sizeof *store);
        memset(store + layout.sweeps, 0, (size_t)(layout.count - layout.sweeps) * sizeof *store);
    }
    ECK_TRY(ecki_progress(context, "chase", 0, 1, err));
    ECK_TRY(ECKI_FN(ecki_chase)(band, n, store ? store + layout.sweeps : NULL,
                                store ? store + layout.sweep_tau : NULL, context, err));
    take_tridiagonal(t, band);
    if (store_out) *store_out = store;
    store = NULL;
    ecki_free(*matrix);
    *matrix = NULL;
done:
    ecki_free(store);
    ecki_free(triangles);
    ecki_free(band);
    return status;
}

eck_status ECKI_FN(ecki_two_stage_apply)(real *z, int64_t k, const real *store, int64_t n,
                                         const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    ECK_TRY(ECKI_FN(ecki_chase_apply)(z, k, store, n, context, err));
    ECK_TRY(ECKI_FN(ecki_band_apply)(z, k, store, n, context, err));
done:
    return status;
}
