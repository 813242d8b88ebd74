// Vectors of a rank chosen from the values: those of the tridiagonal matrix, then the reflectors
// of the reduction applied to the chosen columns only.
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/inverse.h"
#include "linalg/orthonormal.h"
#include "linalg/spectrum.h"
#include "tensor/codec.h"

enum { BLOCK = 32, PORTION = 96, REACH = 32, PORTIONS_MAX = 512 };

// Smallest distance of two eigenvalues, relative to the largest, at which vectors found apart are orthogonal: to
// about u / GAP.
static const double GAP = 1e-6;

// out row-major [n,k] = the last k of the columns of z, column-major, the last first.
static void reverse_transpose(double *out, const double *z, int64_t n, int64_t k)
{
    for (int64_t i0 = 0; i0 < n; i0 += BLOCK)
        for (int64_t j0 = 0; j0 < k; j0 += BLOCK)
            for (int64_t i = i0; i < ecki_min(i0 + BLOCK, n); i++)
                for (int64_t j = j0; j < ecki_min(j0 + BLOCK, k); j++)
                    out[i * k + j] = z[(k - 1 - j) * n + i];
}

// Vectors found a portion at a time, each by itself.
typedef struct portion_run {
    const eck_spectrum *spectrum;
    double *z; // column-major [n,k], rising values
    int64_t k, count;
    int64_t cut[PORTIONS_MAX + 1]; // portion i: places cut[i] .. cut[i+1] - 1
    int64_t info[PORTIONS_MAX];
    bool by_values[PORTIONS_MAX]; // inverse iteration answered
} portion_run;

// The place before which to cut near `wanted`: where neighbours are farthest apart; -1 if nowhere far enough.
static int64_t find_cut(const eck_spectrum *spectrum, int64_t wanted)
{
    const double *const s = spectrum->values;
    int64_t best = -1;
    double widest = GAP * s[0] * s[0];
    for (int64_t i = wanted - REACH; i <= wanted + REACH; i++) {
        const double gap = (s[i - 1] - s[i]) * (s[i - 1] + s[i]);
        if (gap > widest) {
            widest = gap;
            best = i;
        }
    }
    return best;
}

// Portions of about PORTION vectors; which they are depends on the values alone.
static void cut_portions(portion_run *run)
{
    const int64_t wanted = ecki_max(PORTION, (run->k + PORTIONS_MAX - 1) / PORTIONS_MAX);
    run->count = 0;
    run->cut[0] = 0;
    for (int64_t at = wanted; at + wanted / 2 < run->k; at += wanted) {
        const int64_t cut = find_cut(run->spectrum, at);
        if (cut > 0) run->cut[++run->count] = cut;
    }
    run->cut[++run->count] = run->k;
}

// By inverse iteration on the values that are known; dstemr looks for them again, which takes several times as long.
static eck_status portion_by_values(portion_run *run, int64_t index, double *z, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_spectrum *const spectrum = run->spectrum;
    const int64_t first = run->cut[index], count = run->cut[index + 1] - first;
    double *values = NULL;
    ECK_ALLOC_RAW(values, count);
    for (int64_t i = 0; i < count; i++) {
        const double s = spectrum->values[first + count - 1 - i] * spectrum->scale;
        values[i] = s * s;
    }
    ECK_TRY(ecki_inverse_iteration(z, &spectrum->t, values, count, &run->info[index], err));
done:
    ecki_free(values);
    return status;
}

static eck_status portion_task(void *self, int64_t index, eck_error *err)
{
    portion_run *const run = self;
    eck_status status = ECK_OK;
    const ecki_places places = { run->cut[index], run->cut[index + 1] - run->cut[index] };
    double *const z = run->z + (run->k - run->cut[index + 1]) * run->spectrum->t.n;
    run->info[index] = 1;
    if (places.count <= ECKI_TOGETHER) ECK_TRY(portion_by_values(run, index, z, err));
    run->by_values[index] = run->info[index] == 0;
    if (!run->by_values[index])
        ECK_TRY(ecki_dstemr(z, &run->spectrum->t, places, &run->info[index], err));
done:
    return status;
}

eck_status ecki_spectrum_portions(double *z, const char **solver_out, const eck_spectrum *spectrum,
                                  const ecki_vector_request *request, int64_t *info_out,
                                  eck_error *err)
{
    eck_status status = ECK_OK;
    portion_run run = { .spectrum = spectrum, .z = z, .k = request->k };
    cut_portions(&run);
    ECK_TRY(ecki_parallel_for(run.count, ecki_threads(request->context), portion_task, &run, err));
    *info_out = 0;
    *solver_out = "inverse iteration";
    for (int64_t i = 0; i < run.count; i++) {
        *info_out = ecki_max(*info_out, run.info[i]);
        if (!run.by_values[i]) *solver_out = "dstemr";
    }
done:
    return status;
}

// The k largest in portions; info_out > 0: not all were found.
static eck_status few_vectors(double *out, const char **solver_out, const eck_spectrum *spectrum,
                              const ecki_vector_request *request, int64_t *info_out, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = spectrum->t.n, k = request->k;
    double *z = NULL;
    ECK_ALLOC_RAW(z, n * k);
    ECK_TRY(ecki_spectrum_portions(z, solver_out, spectrum, request, info_out, err));
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
    if (k <= n / 4 && !request->thorough)
        ECK_TRY(few_vectors(out, solver_out, spectrum, request, &info, err));
    if (info == 0) goto done;
    *solver_out = "dstedc";
    ECK_TRY(all_vectors(out, spectrum, request, &info, err));
    ECK_REQUIRE(info == 0, ECK_E_SOLVER, -1,
                "none of inverse iteration, dstemr and dstedc found the vectors: info %lld",
                (long long)info);
done:
    return status;
}
