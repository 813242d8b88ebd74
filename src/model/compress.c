/**
 * Compressing: the plan's layers become chains, everything else is copied byte for byte. Layers are fitted side by side,
 * each by one thread, and written as they are finished; the output appears at the end, whole, or not at all.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "decompose/adjoint.h"
#include "eckart/model.h"
#include "model/analysis.h"
#include "model/output.h"

/** One layer to be factored. */
typedef struct job_layer {
    int64_t layer; /**< in the model */
    int64_t first_item; /**< of its stages among the items; the bias follows them */
    const eck_choice *choice;
} job_layer;

/** What the tasks of one run share. jobs[i] makes manifest->modules[i]. */
typedef struct compressing {
    const eck_model *model;
    const eck_plan *plan;
    const eck_write_options *options;
    const eck_context *context;
    ecki_content *content;
    ecki_cache *cache;
    ecki_manifest *manifest;
    job_layer *jobs;
    int64_t job_count;
    ecki_items items;
    ecki_carried carried;
    ecki_model_output *output; /**< NULL in a dry run */
    int64_t done;
} compressing;

static eck_dtype store_of(const compressing *job, const eck_layer *layer)
{
    const eck_store_options options = { 1, NULL, job->plan->store, job->plan->split, 1, 0 };
    return ecki_store_dtype(job->model, layer, &options);
}

/* ---- what is to be done ------------------------------------------------------------------------------------------ */

static eck_status choice_check(const compressing *job, const eck_choice *choice, int64_t layer,
                               eck_error *err)
{
    eck_status status = ECK_OK;

    ECK_REQUIRE(layer >= 0, ECK_E_RANGE, -1, "the plan names layer '%s', which '%s' does not have",
                choice->layer, job->model->path);
    const ecki_layer *l = &job->model->layers[layer];
    const int64_t parameters = eck_stage_parameters(&l->view.dense);
    const int64_t rows = ecki_stage_rows(&l->view.dense);
    const int64_t groups = l->view.dense.groups, columns = parameters / ecki_max(1, rows);
    // a group is a matrix by itself
    const int64_t limit = groups * ecki_min(rows / groups, columns);
    ECK_REQUIRE(!l->impossible, ECK_E_RANGE, -1, "the plan factors layer '%s', which cannot be: %s",
                choice->layer, l->reason);
    // written without: of an older release, which knew only the groups of graphs, or of a layer that had one
    ECK_REQUIRE(choice->groups == groups ||
                    (choice->groups == 0 && (groups == 1 || job->model->container->onnx)),
                ECK_E_RANGE, -1,
                "the plan was made for %lld groups of layer '%s', here it has %lld: --groups says "
                "how many a file of weights does not tell",
                (long long)ecki_max(1, choice->groups), choice->layer, (long long)groups);
    ECK_REQUIRE(ecki_layer_takes(l, choice->point.method), ECK_E_RANGE, -1,
                "the plan gives layer '%s' method '%s', which does not apply to it", choice->layer,
                eck_method_name(choice->point.method));
    ECK_REQUIRE(choice->point.method != ECK_METHOD_SVD || choice->point.rank_count == 1,
                ECK_E_RANGE, -1, "the plan gives layer '%s' %d ranks: svd has one", choice->layer,
                choice->point.rank_count);
    ECK_REQUIRE(choice->point.method != ECK_METHOD_SVD || choice->point.ranks[0] <= limit,
                ECK_E_RANGE, -1, "the plan gives layer '%s' rank %lld: 1 to %lld are possible",
                choice->layer, (long long)choice->point.ranks[0], (long long)limit);
done:
    return status;
}

static eck_status jobs_find(compressing *job, eck_error *err)
{
    eck_status status = ECK_OK;
    bool *taken = NULL;

    ECK_ALLOC(taken, job->model->layer_count);
    ECK_ALLOC(job->jobs, job->plan->count);
    for (int64_t i = 0; i < job->plan->count; i++) {
        const eck_choice *choice = &job->plan->choices[i];
        if (choice->point.method == ECK_METHOD_DENSE) continue;
        const int64_t layer = ecki_layer_find(job->model, choice->layer);
        ECK_TRY(choice_check(job, choice, layer, err));
        ECK_REQUIRE(!taken[layer], ECK_E_RANGE, -1, "the plan names layer '%s' twice",
                    choice->layer);
        taken[layer] = true;
        job->jobs[job->job_count++] = (job_layer){ layer, -1, choice };
    }
done:
    ecki_free(taken);
    return status;
}

/** The last component of a path, however it is spelled: "m", "m/" and "m/." name one model. Length 0: none ("." or "/"). */
static int32_t name_in(const char **start_out, const char *path)
{
    int64_t end = (int64_t)strlen(path);

    while (end > 0 &&
           (path[end - 1] == '/' || (end > 1 && path[end - 1] == '.' && path[end - 2] == '/')))
        end--;
    int64_t start = end;
    while (start > 0 && path[start - 1] != '/')
        start--;
    const bool dots = end - start <= 2 && strncmp(path + start, "..", (size_t)(end - start)) == 0;
    *start_out = path + start;
    return dots ? 0 : (int32_t)(end - start);
}

static eck_status source_describe(compressing *job, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_manifest *m = job->manifest;
    const ecki_container *c = job->model->container;
    const char *name = NULL;
    const int32_t length = name_in(&name, job->model->path);

    m->source_name = length > 0 ? ecki_format("%.*s", length, name) : NULL;
    if (length > 0) ECK_HAVE(m->source_name);
    ECK_ALLOC(m->source_files, c->file_count);
    ECK_ALLOC(m->source_hashes, c->file_count);
    for (int32_t i = 0; i < c->file_count; i++) {
        const char *base = strrchr(c->files[i].name, '/');
        if (c->files[i].descriptor < 0) continue; // decoded from another of them
        const int64_t at = m->source_count++;
        m->source_files[at] = ecki_strdup(base ? base + 1 : c->files[i].name);
        ECK_HAVE(m->source_files[at]);
        m->source_hashes[at] = ecki_strdup(job->content->files[i]);
        ECK_HAVE(m->source_hashes[at]);
    }
done:
    return status;
}

static eck_status manifest_begin(compressing *job, eck_error *err)
{
    eck_status status = ECK_OK;

    ECK_ALLOC(job->manifest, 1);
    ECK_TRY(source_describe(job, err));
    ECK_ALLOC(job->manifest->modules, job->job_count);
    for (int64_t i = 0; i < job->job_count; i++) {
        job->manifest->module_count++;
        ECK_TRY(ecki_module_outline(&job->manifest->modules[i], job->model,
                                    &job->model->layers[job->jobs[i].layer].view,
                                    &job->jobs[i].choice->point, err));
    }
done:
    return status;
}

/* ---- items: what the output holds -------------------------------------------------------------------------------- */

static eck_status add_stages(compressing *job, int64_t index, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_module *module = &job->manifest->modules[index];
    const eck_layer *layer = &job->model->layers[job->jobs[index].layer].view;

    job->jobs[index].first_item = job->items.count;
    for (int32_t i = 0; i < module->stage_count; i++) {
        ecki_tensor_spec spec = { module->stages[i].weight, store_of(job, layer), 0, { 0 } };
        spec.ndim = ecki_stage_stored(&module->stages[i], spec.shape);
        ECK_TRY(ecki_items_add(&job->items, job->model, &spec, -1, err));
    }
    if (module->bias)
        ECK_TRY(ecki_items_copy(&job->items, job->model, module->bias, layer->bias, err));
done:
    return status;
}

/** In the source's order; a factored weight gives way to its stages and bias, in its place. */
static eck_status items_find(compressing *job, eck_error *err)
{
    eck_status status = ECK_OK;
    int64_t *owner = NULL; /**< 1 + job of a weight, -1 of a bias that moves */
    const int64_t count = job->model->container->entry_count;

    ECK_ALLOC(owner, count);
    for (int64_t i = 0; i < job->job_count; i++) {
        const eck_layer *layer = &job->model->layers[job->jobs[i].layer].view;
        owner[layer->weight] = i + 1;
        if (layer->bias >= 0) owner[layer->bias] = -1;
    }
    for (int64_t i = 0; i < count; i++) {
        if (owner[i] > 0)
            ECK_TRY(add_stages(job, owner[i] - 1, err));
        else if (owner[i] == 0)
            ECK_TRY(ecki_items_copy(&job->items, job->model, job->model->tensors[i].name, i, err));
    }
    ECK_TRY(ecki_items_finish(
        &job->items, job->model->container->directory ? job->options->shard_bytes : INT64_MAX,
        err));
done:
    ecki_free(owner);
    return status;
}

/* ---- the work ---------------------------------------------------------------------------------------------------- */

static eck_status write_chain(compressing *job, int64_t index, const eck_chain *chain,
                              eck_error *err)
{
    eck_status status = ECK_OK;

    char *turned = NULL;

    if (!job->output) return ECK_OK;
    for (int32_t i = 0; i < chain->count; i++) {
        const int64_t item = job->jobs[index].first_item + i;
        const int64_t bytes = job->items.list[item].bytes;
        const eck_array *weight = chain->stages[i].weight;
        const void *data = weight->data;
        if (job->manifest->modules[index].stages[i].turned) {
            ECK_ALLOC_RAW(turned, bytes);
            ecki_turn(turned, data, weight->shape[0], weight->shape[1],
                      eck_dtype_bits(weight->dtype) / 8);
            data = turned;
        }
        ECK_TRY(ecki_model_output_write(job->output, item, 0, data, bytes, err));
        ecki_free(turned);
        turned = NULL;
    }
done:
    ecki_free(turned);
    return status;
}

static eck_status compress_layer(void *self, int64_t index, eck_error *err)
{
    eck_status status = ECK_OK;
    compressing *job = self;
    const int64_t layer = job->jobs[index].layer;
    const ecki_work work = { job->model, job->content, job->cache, { 1, 1, 0, NULL, NULL }, layer };
    const eck_fit_options fit = { 1, store_of(job, &job->model->layers[layer].view),
                                  job->plan->split, ECK_PROOF_RESIDUAL };
    ecki_module *module = &job->manifest->modules[index];
    eck_chain chain = { NULL, 0 };

    ECK_TRY(ecki_factors_compute(&chain, &module->certificate, &work,
                                 &job->jobs[index].choice->point, &fit, err));
    module->error = module->certificate.error;
    module->error_high = module->certificate.error_high;
    module->floor = module->certificate.floor;
    ECK_TRY(write_chain(job, index, &chain, err));
    const int64_t done = __atomic_add_fetch(&job->done, 1, __ATOMIC_RELAXED);
    ECK_TRY(ecki_progress(job->context, "compressing", done, job->job_count, err));
done:
    eck_chain_clear(&chain);
    return status;
}

static eck_status copy_rest(compressing *job, eck_error *err)
{
    eck_status status = ECK_OK;

    for (int64_t i = 0; job->output && i < job->items.count; i++) {
        if (job->items.list[i].entry < 0) continue;
        ECK_TRY(ecki_progress(job->context, "copying", i, job->items.count, err));
        ECK_TRY(ecki_model_output_copy(job->output, i, err));
    }
done:
    return status;
}

/* ---- memory ------------------------------------------------------------------------------------------------------- */

/** What the hungriest choice needs. */
static ecki_hunger hungriest(const eck_model *model, const eck_plan *plan)
{
    ecki_hunger most = { 0, false };
    for (int64_t i = 0; i < plan->count; i++) {
        const eck_choice *choice = &plan->choices[i];
        const int64_t index = ecki_layer_find(model, choice->layer);
        if (index < 0 || choice->point.method == ECK_METHOD_DENSE) continue;
        const eck_layer *layer = &model->layers[index].view;
        const eck_dtype dtype =
            layer->weight >= 0 ? model->tensors[layer->weight].dtype : ECK_DTYPE_F32;
        ecki_hunger_add(&most, layer, dtype, 0, &choice->point);
    }
    return most;
}

int64_t eck_model_memory(const eck_model *model, const eck_plan *plan, const eck_context *context)
{
    const ecki_hunger most = hungriest(model, plan);
    const int64_t workers =
        ecki_min(ecki_workers(model, most, context), ecki_max(1, plan->factored));
    return workers * most.bytes + ecki_base_memory(model);
}

static eck_status memory_check(const compressing *job, eck_error *err)
{
    const int64_t need = eck_model_memory(job->model, job->plan, job->context);

    if (!job->context || job->context->memory <= 0 || need <= job->context->memory) return ECK_OK;
    return ecki_error(err, ECK_E_BUDGET, -1,
                      "cannot compress '%s' in %lld bytes of memory: one layer at a time needs "
                      "%lld",
                      job->model->path, (long long)job->context->memory, (long long)need);
}

/* ---- the whole ---------------------------------------------------------------------------------------------------- */

static void compressing_clear(compressing *job)
{
    ecki_model_output_free(job->output);
    ecki_items_clear(&job->items);
    ecki_carried_clear(&job->carried);
    ecki_manifest_free(job->manifest);
    ecki_content_free(job->content);
    ecki_cache_close(job->cache);
    ecki_free(job->jobs);
}

static eck_status prepare(compressing *job, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_model *model = job->model;

    ECK_REQUIRE(strcmp(model->container->format, "safetensors") == 0 || model->container->onnx ||
                    strcmp(model->container->format, "torch") == 0,
                ECK_E_UNSUPPORTED, -1,
                "cannot compress '%s', a %s file: a directory, a .safetensors or .onnx file or a "
                "checkpoint of PyTorch is needed (svd takes arrays)",
                model->path, model->container->format);
    ECK_REQUIRE(!model->manifest, ECK_E_UNSUPPORTED, -1,
                "cannot compress '%s': it is compressed already (restore it first)", model->path);
    ECK_TRY(ecki_cache_open(&job->cache, job->options->store.cache, err));
    ECK_TRY(ecki_content_compute(&job->content, model, job->cache, job->context, err));
    ECK_REQUIRE(strcmp(job->content->source, job->plan->source) == 0, ECK_E_RANGE, -1,
                "the plan is not of '%s': it was made for content %.12s, this is %.12s",
                model->path, job->plan->source, job->content->source);
    ECK_TRY(jobs_find(job, err));
    ECK_TRY(memory_check(job, err));
    ECK_TRY(manifest_begin(job, err));
    ECK_TRY(items_find(job, err));
    ECK_TRY(ecki_output_carried(&job->carried, model, err));
done:
    return status;
}

/** What a file becomes is named by its ending, where the input's own would mislead or another would. */
static eck_status path_check(const eck_model *model, const char *path, eck_error *err)
{
    const bool graph = model->container->onnx != NULL;
    const char *wanted = graph ? ".onnx" : ".safetensors";
    const size_t length = strlen(path), tail = strlen(wanted);

    if (!graph && strcmp(model->container->format, "torch") != 0) return ECK_OK;
    if (length > tail && strcmp(path + length - tail, wanted) == 0) return ECK_OK;
    return ecki_error(err, ECK_E_RANGE, -1, "cannot write '%s': what becomes of %s is a file in %s",
                      path, graph ? "a graph" : "a checkpoint of PyTorch", wanted);
}

static eck_status output_open(compressing *job, const char *path, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_output_options options = {
        path, "eckart", job->options->replace, 0, job->manifest, false
    };

    ECK_TRY(path_check(job->model, path, err));
    if (job->options->dry_run) return ECK_OK;
    if (!job->model->container->directory && !job->model->container->onnx)
        ECK_TRY(ecki_manifest_room(&options.reserved, job->manifest, err));
    ECK_TRY(ecki_model_output_create(&job->output, job->model, &job->items, &options, err));
done:
    return status;
}

/** Moves what was left out into the outcome, and adds up errors. */
static void outcome_fill(eck_outcome *out, compressing *job, double start)
{
    double damage = 0;

    memset(out, 0, sizeof *out);
    for (int64_t i = 0; i < job->job_count; i++) {
        const double error = job->manifest->modules[i].error;
        damage += error * error;
        out->worst = fmax(out->worst, error);
    }
    for (int64_t i = 0; i < job->items.count; i++)
        out->copied += job->items.list[i].entry >= 0;
    for (int64_t i = 0; i < job->model->container->entry_count; i++)
        out->bytes_before += job->model->tensors[i].bytes;
    out->factored = job->job_count;
    out->bytes_after = job->items.bytes;
    out->error = sqrt(damage);
    out->left_out = job->carried.left_out;
    out->left_out_count = job->carried.left_out_count;
    job->carried.left_out = NULL;
    job->carried.left_out_count = 0;
    out->peak_bytes = eck_model_memory(job->model, job->plan, job->context);
    out->seconds = ecki_clock() - start;
}

eck_status eck_model_compress(eck_outcome *out, const eck_model *model, const eck_plan *plan,
                              const char *path, const eck_write_options *options,
                              const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_write_options defaults = ECK_WRITE_OPTIONS_INIT;
    compressing job = {
        .model = model, .plan = plan, .options = options ? options : &defaults, .context = context
    };
    const double start = ecki_clock();

    ECK_TRY(prepare(&job, err));
    ECK_TRY(output_open(&job, path, err));
    const int32_t workers = ecki_workers(model, hungriest(model, plan), context);
    ECK_TRY(ecki_parallel_for(job.job_count, workers, compress_layer, &job, err));
    ECK_TRY(copy_rest(&job, err));
    if (job.output) ECK_TRY(ecki_model_output_publish(job.output, job.manifest, &job.carried, err));
    outcome_fill(out, &job, start);
done:
    if (status != ECK_OK) ecki_error_where(err, status, model->path, NULL);
    compressing_clear(&job);
    return status;
}

void eck_outcome_clear(eck_outcome *outcome)
{
    for (int64_t i = 0; i < outcome->left_out_count; i++)
        ecki_free(outcome->left_out[i]);
    ecki_free(outcome->left_out);
    memset(outcome, 0, sizeof *outcome);
}
