/** Reading a convolution's kernel, and the candidates of its curves. */
#include "decompose/kernel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "linalg/op.h"
#include "tensor/codec.h"

void ecki_kernel_clear(ecki_kernel *kernel)
{
    for (int64_t g = 0; kernel->channels && g < kernel->groups; g++)
        ecki_tucker_work_clear(&kernel->channels[g]);
    ecki_free(kernel->channels);
    ecki_free(kernel->data);
    memset(kernel, 0, sizeof *kernel);
}

static void describe(ecki_kernel *k, const eck_stage *dense)
{
    int32_t axes[ECK_SPATIAL_MAX];

    k->dense = dense;
    k->groups = dense->groups;
    k->out = dense->out / dense->groups;
    k->in = dense->in / dense->groups;
    k->wide = ecki_wide_axes(axes, dense);
    k->taps = k->first = k->rest = 1;
    for (int32_t i = 0; i < k->wide; i++) {
        k->size[i] = dense->kernel[axes[i]];
        k->taps *= k->size[i];
        *(i == 0 ? &k->first : &k->rest) *= k->size[i];
    }
}

eck_status ecki_kernel_init(ecki_kernel *out, const eck_operator *w, const eck_stage *dense,
                            const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_kernel k = { .scale = 1.0 };
    const eck_operator_info *info = eck_operator_get_info(w);
    eck_scan scan;
    int64_t count;

    describe(&k, dense);
    ECK_REQUIRE(info->rows == dense->out && info->cols == k.in * k.taps, ECK_E_SHAPE, -1,
                "the matrix [%lld,%lld] is not that of the layer, [%lld,%lld]",
                (long long)info->rows, (long long)info->cols, (long long)dense->out,
                (long long)(k.in * k.taps));
    ECK_REQUIRE(ecki_mul(info->rows, info->cols, &count), ECK_E_SHAPE, -1,
                "the layer is too large");
    ECK_TRY(eck_operator_scan(&scan, w, context, err));
    ECK_REQUIRE(scan.nonfinite == 0, ECK_E_NONFINITE, scan.first_nonfinite,
                "cannot factor '%s': element %lld is not finite, and %lld more", info->name,
                (long long)scan.first_nonfinite, (long long)scan.nonfinite - 1);
    k.storage = info->storage;
    if (scan.max > 1e100 || scan.max < 1e-100) k.scale = ecki_scale_of(scan.max);
    ECK_ALLOC_RAW(k.data, count);
    for (int64_t row = 0; row < info->rows; row += ECKI_PANEL_ROWS) {
        const int64_t rows = ecki_min(ECKI_PANEL_ROWS, info->rows - row);
        ECK_TRY(ecki_operator_block(
            w, row, 0, ecki_panel(k.data + row * info->cols, ECK_DTYPE_F64, rows, info->cols),
            k.scale, err));
    }
    const double norm = ecki_norm_of(k.data, count);
    k.norm2 = norm * norm;
    *out = k;
    k.data = NULL;
done:
    ecki_free(k.data);
    return status;
}

eck_status ecki_kernel_find_channels(ecki_kernel *kernel, const eck_context *context,
                                     eck_error *err)
{
    eck_status status = ECK_OK;
    eck_tucker_options options = ECK_TUCKER_OPTIONS_INIT;

    if (kernel->channels) return ECK_OK;
    options.keep = ((1u << (2 + kernel->wide)) - 1u) & ~3u;
    ECK_ALLOC(kernel->channels, kernel->groups);
    for (int64_t g = 0; g < kernel->groups; g++) {
        const ecki_subject subject = ecki_kernel_subject(kernel, ecki_kernel_tensor(kernel, g));
        ECK_TRY(ecki_tucker_truncate(&kernel->channels[g], &subject, &options, context, err));
    }
done:
    return status;
}

const double *ecki_kernel_group(const ecki_kernel *kernel, int64_t group)
{
    return kernel->data + group * kernel->out * kernel->in * kernel->taps;
}

eck_view ecki_kernel_view(const ecki_kernel *kernel, int64_t group)
{
    const int64_t shape[] = { kernel->out, kernel->in, kernel->first, kernel->rest };

    return eck_view_of(ecki_kernel_group(kernel, group), ECK_DTYPE_F64, 4, shape);
}

eck_view ecki_kernel_tensor(const ecki_kernel *kernel, int64_t group)
{
    int64_t shape[ECK_DIMS_MAX] = { kernel->out, kernel->in };

    for (int32_t i = 0; i < kernel->wide; i++)
        shape[2 + i] = kernel->size[i];
    return eck_view_of(ecki_kernel_group(kernel, group), ECK_DTYPE_F64, 2 + kernel->wide, shape);
}

ecki_subject ecki_kernel_subject(const ecki_kernel *kernel, eck_view view)
{
    const double norm = ecki_norm_of(view.data, eck_view_count(&view));
    const ecki_subject subject = { view, kernel->storage, ECK_DTYPE_F64, 1.0, norm };

    return subject;
}

void ecki_candidates_clear(ecki_candidates *candidates)
{
    ecki_free(candidates->list);
    memset(candidates, 0, sizeof *candidates);
}

eck_status ecki_candidates_add(ecki_candidates *candidates, const ecki_candidate *candidate,
                               eck_error *err)
{
    eck_status status = ECK_OK;

    if (candidates->count == candidates->room) {
        const int64_t room = 2 * candidates->room + 64;
        ecki_candidate *list = ecki_realloc(candidates->list, room, sizeof *list);
        ECK_HAVE(list);
        candidates->list = list;
        candidates->room = room;
    }
    candidates->list[candidates->count++] = *candidate;
done:
    return status;
}

static int compare_candidates(const void *left, const void *right)
{
    const ecki_candidate *a = left, *b = right;

    if (a->parameters != b->parameters) return a->parameters < b->parameters ? -1 : 1;
    if (a->error2 != b->error2) return a->error2 < b->error2 ? -1 : 1;
    return memcmp(a->ranks, b->ranks, sizeof a->ranks);
}

void ecki_candidates_prune(ecki_candidates *candidates, int64_t most)
{
    ecki_candidate *list = candidates->list;
    int64_t kept = 0;

    if (candidates->count == 0) return;
    qsort(list, (size_t)candidates->count, sizeof *list, compare_candidates);
    for (int64_t i = 0; i < candidates->count; i++)
        if (kept == 0 || list[i].error2 < list[kept - 1].error2) list[kept++] = list[i];
    candidates->count = ecki_min(kept, most);
    // The first and the last stay.
    for (int64_t i = 0; kept > most && i < most; i++)
        list[i] = list[i * (kept - 1) / (most - 1)];
}
