/** The difference of two layers: operators, sums, rounding noise. */
#include "model/difference.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "model/adapter_parts.h"
#include "tensor/codec.h"

enum { PANEL_NUMBERS = 1 << 18 };

eck_status ecki_difference_open(ecki_difference_pair *out, const eck_model *base, int64_t layer,
                                const eck_model *tuned, int64_t entry, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_difference_pair pair = { 0 };
    const eck_layer *l = &base->layers[layer].view;

    ECK_TRY(eck_model_layer_operator(&pair.base, base, layer, err));
    ECK_TRY(ecki_tensor_operator(&pair.tuned, tuned, entry, l->dense.out,
                                 ecki_stage_columns(&l->dense), l->stored_transposed, err));
    ECK_TRY(eck_operator_sum(&pair.difference, (const eck_operator *[]){ pair.tuned, pair.base },
                             (double[]){ 1, -1 }, 2, err));
    *out = pair;
    memset(&pair, 0, sizeof pair);
done:
    ecki_difference_close(&pair);
    return status;
}

void ecki_difference_close(ecki_difference_pair *pair)
{
    eck_operator_free(pair->difference);
    eck_operator_free(pair->tuned);
    eck_operator_free(pair->base);
    memset(pair, 0, sizeof *pair);
}

double ecki_spacing(eck_dtype dtype, double x)
{
    const double epsilon = eck_dtype_epsilon(dtype);
    // smallest exponent with full precision: -126 for F32 and BF16, -14 for F16
    const int least = dtype == ECK_DTYPE_F16 ? -14 : -126;
    int exponent = 0;

    if (dtype == ECK_DTYPE_F64) return 0;
    frexp(x, &exponent);
    if (x == 0 || exponent - 1 < least) exponent = least + 1;
    return ldexp(epsilon, exponent - 1);
}

typedef struct scanning {
    const ecki_difference_pair *pair;
    int64_t height;
    ecki_difference_sums *sums; /**< one a panel, added in order */
} scanning;

static eck_status scan_panel(void *self, int64_t index, eck_error *err)
{
    eck_status status = ECK_OK;
    const scanning *job = self;
    const eck_operator_info *b = eck_operator_get_info(job->pair->base);
    const eck_operator_info *t = eck_operator_get_info(job->pair->tuned);
    const int64_t row = index * job->height, rows = ecki_min(job->height, b->rows - row);
    ecki_difference_sums sums = { 0 };
    double *x = NULL, *y = NULL;

    ECK_ALLOC_RAW(x, rows * b->cols);
    ECK_ALLOC_RAW(y, rows * b->cols);
    ECK_TRY(eck_operator_read(job->pair->base, row, 0, ecki_panel(x, ECK_DTYPE_F64, rows, b->cols),
                              err));
    ECK_TRY(eck_operator_read(job->pair->tuned, row, 0, ecki_panel(y, ECK_DTYPE_F64, rows, b->cols),
                              err));
    for (int64_t i = 0; i < rows * b->cols; i++) {
        const double d = y[i] - x[i];
        const double ulp = fmax(ecki_spacing(b->storage, x[i]), ecki_spacing(t->storage, y[i]));
        sums.base += x[i] * x[i];
        sums.tuned += y[i] * y[i];
        sums.difference += d * d;
        sums.noise += ulp * ulp / 12;
        sums.changed += d != 0;
    }
    ECK_REQUIRE(isfinite(sums.difference), ECK_E_NONFINITE, -1, "layer '%s' holds NaN or infinity",
                b->name);
    job->sums[index] = sums;
done:
    ecki_free(x);
    ecki_free(y);
    return status;
}

eck_status ecki_difference_scan(ecki_difference_sums *out, const ecki_difference_pair *pair,
                                const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_operator_info *info = eck_operator_get_info(pair->base);
    const int64_t height = ecki_max(1, PANEL_NUMBERS / ecki_max(1, info->cols));
    const int64_t panels = (info->rows + height - 1) / height;
    scanning job = { pair, height, NULL };
    ecki_difference_sums total = { 0 };

    ECK_ALLOC(job.sums, panels);
    ECK_TRY(ecki_parallel_for(panels, ecki_threads(context), scan_panel, &job, err));
    for (int64_t i = 0; i < panels; i++) {
        total.base += job.sums[i].base;
        total.tuned += job.sums[i].tuned;
        total.difference += job.sums[i].difference;
        total.noise += job.sums[i].noise;
        total.changed += job.sums[i].changed;
    }
    *out = total;
done:
    ecki_free(job.sums);
    return status;
}

double ecki_clean_energy(double tail, int64_t k, const ecki_difference_sums *sums, int64_t rows,
                         int64_t cols)
{
    const double m = (double)rows, n = (double)cols, r = (double)k;
    const double caught = fmin(1, r * (m + n - r) / (m * n));
    const double whole = sums->difference - sums->noise;
    const double left = tail * tail * sums->difference - sums->noise * (1 - caught);

    if (whole <= 0) return 0;
    return fmax(0, fmin(1, 1 - fmax(0, left) / whole));
}
