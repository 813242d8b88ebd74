// The two stages put together, and where their reflectors lie. Always true: between the stages no more than the
// packed panels, the band and the room for the sweeps is held.
#include "linalg/two_stage.h"

#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"

// Numbers of the explicit V of all panels: panel p has n - (p+1) b rows of b.
static int64_t panel_numbers(int64_t n)
{
    int64_t count = 0;
    for (int64_t first = ECKI_BAND; first < n; first += ECKI_BAND)
        count += (n - first) * ECKI_BAND;
    return count;
}

int64_t ecki_chase_blocks(int64_t n)
{
    return (n + ECKI_BAND - 1) / ECKI_BAND;
}

ecki_two_stage_layout ecki_two_stage_layout_of(int64_t n)
{
    ecki_two_stage_layout l;
    const int64_t blocks = ecki_chase_blocks(n);
    l.panels = 0;
    l.panel_t = panel_numbers(n);
    l.sweeps = l.panel_t + blocks * ECKI_BAND * ECKI_BAND;
    l.sweep_tau = l.sweeps + n * (n - 1) / 2;
    l.count = l.sweep_tau + n * blocks;
    return l;
}

bool ecki_two_stage_count(int64_t n, int64_t *out)
{
    int64_t square = 0;
    if (n < 0 || !ecki_mul(n, n, &square) || !ecki_mul(square, 4, &square)) return false;
    *out = ecki_two_stage_layout_of(n).count;
    return true;
}

void ecki_reflector_triangle(double *t, const double *gram, const double *tau, int64_t count)
{
    // T[0..j,j] = -tau_j T[0..j,0..j] (V^T V)[0..j,j], T[j,j] = tau_j.
    memset(t, 0, (size_t)(count * count) * sizeof *t);
    for (int64_t j = 0; j < count; j++) {
        for (int64_t i = 0; i < j; i++) {
            double sum = 0.0;
            for (int64_t l = i; l < j; l++)
                sum += t[i * count + l] * gram[l * count + j];
            t[i * count + j] = -tau[j] * sum;
        }
        t[j * count + j] = tau[j];
    }
}

// Diagonal and off-diagonal of a band that is tridiagonal by now.
static void take_tridiagonal(ecki_tridiagonal *t, const double *band)
{
    for (int64_t i = 0; i < t->n; i++) {
        t->diagonal[i] = band[i * ECKI_BAND_STRIDE + i];
        t->off_diagonal[i] = i + 1 < t->n ? band[i * ECKI_BAND_STRIDE + i + 1] : 0.0;
    }
}

// The panels of `gram` and room for the sweeps; gram is moved on success.
static eck_status make_store(double **store_out, double **gram, int64_t n, eck_error *err)
{
    const ecki_two_stage_layout layout = ecki_two_stage_layout_of(n);
    ecki_band_pack(*gram, n);
    double *const moved = ecki_realloc(*gram, layout.count, sizeof **gram);
    if (!moved) return ecki_error_memory(err, ecki_bytes_of(layout.count, sizeof **gram));
    *store_out = moved;
    *gram = NULL;
    return ECK_OK;
}

eck_status ecki_two_stage_reduce(ecki_tridiagonal *t, double **gram, double **store_out,
                                 const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = t->n;
    const ecki_two_stage_layout layout = ecki_two_stage_layout_of(n);
    double *band = NULL, *triangles = NULL, *store = NULL;
    const int64_t band_count = n * (ECKI_BAND_STRIDE + 1);
    ECK_ALLOC(band, band_count);
    if (store_out) ECK_ALLOC(triangles, layout.sweeps - layout.panel_t);
    ECK_TRY(ecki_band_reduce(band, *gram, n, triangles, context, err));
    if (store_out) {
        ECK_TRY(make_store(&store, gram, n, err));
        memcpy(store + layout.panel_t, triangles,
               (size_t)(layout.sweeps - layout.panel_t) * sizeof *store);
        memset(store + layout.sweeps, 0, (size_t)(layout.count - layout.sweeps) * sizeof *store);
    }
    ECK_TRY(ecki_progress(context, "chase", 0, 1, err));
    ECK_TRY(ecki_chase(band, n, store ? store + layout.sweeps : NULL,
                       store ? store + layout.sweep_tau : NULL, context, err));
    take_tridiagonal(t, band);
    if (store_out) *store_out = store;
    store = NULL;
    ecki_free(*gram);
    *gram = NULL;
done:
    ecki_free(store);
    ecki_free(triangles);
    ecki_free(band);
    return status;
}

eck_status ecki_two_stage_apply(double *z, int64_t k, const double *store, int64_t n,
                                const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    ECK_TRY(ecki_chase_apply(z, k, store, n, context, err));
    ECK_TRY(ecki_band_apply(z, k, store, n, context, err));
done:
    return status;
}
