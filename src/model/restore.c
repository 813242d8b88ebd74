/**
 * Restoring: factors multiplied out under their stock names, so that everything loads the result.
 */
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "eckart/model.h"
#include "model/output.h"
#include "tensor/codec.h"

enum { PANEL_NUMBERS = 1 << 19 };

/** What one run carries along; dense[i] is the layer an item multiplies out, -1 for copies. */
typedef struct restoring {
    const eck_model *model;
    const eck_write_options *options;
    const eck_context *context;
    ecki_items items;
    int64_t *dense;
    ecki_carried carried;
    ecki_model_output *output;
} restoring;

static eck_dtype dtype_of(const restoring *job, const ecki_module *module)
{
    return job->options->store.store == ECK_DTYPE_NONE ? module->dtype : job->options->store.store;
}

static eck_status add_dense(restoring *job, int64_t layer, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_layer *l = &job->model->layers[layer];
    const ecki_module *module = &job->model->manifest->modules[l->module];
    char *name = module->tensor ? ecki_strdup(module->tensor) : ecki_format("%s.weight", l->name);

    ECK_HAVE(name);
    job->dense[job->items.count] = layer;
    ecki_tensor_spec spec = { name, dtype_of(job, module), module->ndim, { 0 } };
    memcpy(spec.shape, module->shape, sizeof spec.shape);
    ECK_TRY(ecki_items_add(&job->items, job->model, &spec, -1, err));
    ecki_free(name);
    name = NULL;
    if (l->view.bias < 0) goto done;
    name = ecki_format("%s.bias", l->name);
    ECK_HAVE(name);
    job->dense[job->items.count] = -1;
    ECK_TRY(ecki_items_copy(&job->items, job->model, name, l->view.bias, err));
done:
    ecki_free(name);
    return status;
}

/** 1 + layer for the entry of a first stage, -1 for its other stages and its bias, 0 for copies. */
static eck_status owners_find(int64_t *owner, const eck_model *model)
{
    for (int64_t i = 0; i < model->layer_count; i++) {
        const ecki_layer *l = &model->layers[i];
        if (l->module < 0) continue;
        const ecki_module *module = &model->manifest->modules[l->module];
        for (int32_t s = 0; s < module->stage_count; s++)
            owner[ecki_container_find(model->container, module->stages[s].weight)] =
                s == 0 ? i + 1 : -1;
        if (l->view.bias >= 0) owner[l->view.bias] = -1;
    }
    return ECK_OK;
}

static eck_status items_find(restoring *job, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_model *model = job->model;
    const int64_t count = model->container->entry_count;
    int64_t *owner = NULL;

    ECK_ALLOC(owner, count);
    ECK_ALLOC(job->dense, 2 * count);
    ECK_TRY(owners_find(owner, model));
    for (int64_t i = 0; i < count; i++) {
        if (owner[i] > 0) ECK_TRY(add_dense(job, owner[i] - 1, err));
        if (owner[i] != 0) continue;
        job->dense[job->items.count] = -1;
        ECK_TRY(ecki_items_copy(&job->items, model, model->tensors[i].name, i, err));
    }
    ECK_TRY(ecki_items_finish(
        &job->items, model->container->directory ? job->options->shard_bytes : INT64_MAX, err));
done:
    ecki_free(owner);
    return status;
}

/** Rows of the weight as stored, a panel at a time: product in F64, rounded once. */
static eck_status write_rows(restoring *job, int64_t item, const eck_operator *stored,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_operator_info *info = eck_operator_get_info(stored);
    const ecki_item *it = &job->items.list[item];
    const int64_t height =
        ecki_max(1, ecki_min(info->rows, PANEL_NUMBERS / ecki_max(1, info->cols)));
    const int64_t element = eck_dtype_bits(it->dtype) / 8;
    double *wide = NULL;
    char *bytes = NULL;

    ECK_ALLOC_RAW(wide, height * info->cols);
    ECK_ALLOC_RAW(bytes, height * info->cols * element);
    for (int64_t row = 0; row < info->rows; row += height) {
        const int64_t rows = ecki_min(height, info->rows - row);
        const int64_t count = rows * info->cols;
        ECK_TRY(eck_operator_read(stored, row, 0, ecki_panel(wide, ECK_DTYPE_F64, rows, info->cols),
                                  err));
        ecki_round_f64(it->dtype, wide, bytes, count);
        if (!job->output) continue;
        ECK_TRY(ecki_model_output_write(job->output, item, row * info->cols * element, bytes,
                                        count * element, err));
    }
done:
    ecki_free(bytes);
    ecki_free(wide);
    return status;
}

static eck_status restore_layer(restoring *job, int64_t item, int64_t layer, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_operator *w = NULL, *turned = NULL;

    ECK_TRY(eck_model_layer_operator(&w, job->model, layer, err));
    if (job->model->layers[layer].view.stored_transposed)
        ECK_TRY(eck_operator_transposed(&turned, w, err));
    ECK_TRY(write_rows(job, item, turned ? turned : w, err));
done:
    eck_operator_free(turned);
    eck_operator_free(w);
    return status;
}

static eck_status write_items(restoring *job, eck_error *err)
{
    eck_status status = ECK_OK;

    for (int64_t i = 0; i < job->items.count; i++) {
        ECK_TRY(ecki_progress(job->context, "restoring", i, job->items.count, err));
        if (job->dense[i] >= 0)
            ECK_TRY(restore_layer(job, i, job->dense[i], err));
        else if (job->output)
            ECK_TRY(ecki_model_output_copy(job->output, i, err));
    }
done:
    return status;
}

static void outcome_fill(eck_outcome *out, restoring *job, double start)
{
    memset(out, 0, sizeof *out);
    for (int64_t i = 0; i < job->items.count; i++) {
        out->copied += job->dense[i] < 0;
        out->factored += job->dense[i] >= 0;
    }
    for (int64_t i = 0; i < job->model->container->entry_count; i++)
        out->bytes_before += job->model->tensors[i].bytes;
    out->bytes_after = job->items.bytes;
    out->left_out = job->carried.left_out;
    out->left_out_count = job->carried.left_out_count;
    job->carried.left_out = NULL;
    job->carried.left_out_count = 0;
    out->seconds = ecki_clock() - start;
}

eck_status eck_model_restore(eck_outcome *out, const eck_model *model, const char *path,
                             const eck_write_options *options, const eck_context *context,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_write_options defaults = ECK_WRITE_OPTIONS_INIT;
    restoring job = { .model = model,
                      .options = options ? options : &defaults,
                      .context = context };
    const ecki_output_options output = { path, "model",         job.options->replace,
                                         0,    model->manifest, true };
    const double start = ecki_clock();

    ECK_REQUIRE(model->manifest, ECK_E_RANGE, -1,
                "cannot restore '%s': it holds no factors of eckart", model->path);
    ECK_TRY(items_find(&job, err));
    ECK_TRY(ecki_output_carried(&job.carried, model, err));
    if (!job.options->dry_run)
        ECK_TRY(ecki_model_output_create(&job.output, model, &job.items, &output, err));
    ECK_TRY(write_items(&job, err));
    if (job.output) ECK_TRY(ecki_model_output_publish(job.output, NULL, &job.carried, err));
    outcome_fill(out, &job, start);
done:
    if (status != ECK_OK) ecki_error_where(err, status, model->path, NULL);
    ecki_model_output_free(job.output);
    ecki_carried_clear(&job.carried);
    ecki_items_clear(&job.items);
    ecki_free(job.dense);
    return status;
}
