/**
 * Spectra and curves of the selected layers, side by side, largest first.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "decompose/adjoint.h"
#include "decompose/curve.h"
#include "eckart/model.h"
#include "model/analysis.h"
#include "model/fit.h"

/** What the tasks of one analysis share. */
typedef struct analyzing {
    const eck_model *model;
    const eck_store_options *options;
    const eck_context *context;
    const ecki_content *content;
    const ecki_cache *cache;
    eck_analysis *analysis;
    int64_t *order; /**< of the layers in the analysis, by falling cost */
    int64_t done;
} analyzing;

eck_dtype ecki_store_dtype(const eck_model *model, const eck_layer *layer,
                           const eck_store_options *options)
{
    return options->store == ECK_DTYPE_NONE ? model->tensors[layer->weight].dtype : options->store;
}

/** Keeps points whose ranks are multiples, and dense; all of them where there is no such point. */
static void keep_multiples(eck_curve *curve, int64_t multiple)
{
    int64_t kept = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t i = 0; i < curve->count; i++) {
            const eck_point *p = &curve->points[i];
            bool keep = true;
            for (int32_t j = 0; j < p->rank_count; j++)
                keep = keep && p->ranks[j] % multiple == 0;
            if (keep && pass) curve->points[kept++] = *p;
            if (keep && !pass) kept++;
        }
        if (kept < 2) return; // dense alone
        if (pass == 0) kept = 0;
    }
    curve->count = kept;
}

/** Methods that are wanted of a layer: those given that apply, or else SVD. */
static uint32_t methods_of(const ecki_layer *layer, const eck_store_options *options)
{
    uint32_t methods = 0;
    for (int m = ECK_METHOD_SVD; m <= ECK_METHOD_DEPTHWISE; m++)
        if (options->methods >> m & 1u && ecki_layer_takes(layer, (eck_method)m))
            methods |= 1u << m;
    return methods ? methods : 1u << ECK_METHOD_SVD;
}

/** Points of other methods beside those of SVD, or instead of them; of groups, those of SVD too. */
static eck_status add_methods(eck_curve *curve, const ecki_work *work,
                              const eck_curve_options *wanted, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_curve more = { NULL, 0 };

    const uint32_t methods = wanted->methods;
    const bool grouped = work->model->layers[work->layer].view.dense.groups > 1;
    if ((methods & ~(1u << ECK_METHOD_SVD)) == 0 && !grouped) return ECK_OK;
    ECK_TRY(ecki_points_compute(&more, work, wanted, err));
    if (methods >> ECK_METHOD_SVD & 1u) {
        ECK_TRY(ecki_curve_join(curve, &more, err));
    } else {
        eck_curve_clear(curve);
        *curve = more;
        more = (eck_curve){ NULL, 0 };
    }
done:
    eck_curve_clear(&more);
    return status;
}

static eck_status analyze_layer(void *self, int64_t index, eck_error *err)
{
    eck_status status = ECK_OK;
    analyzing *job = self;
    ecki_analyzed *a = &job->analysis->layers[job->order[index]];
    const eck_layer *layer = &job->model->layers[a->view.layer].view;
    const ecki_work work = {
        job->model, job->content, job->cache, { 1, 1, 0, NULL, NULL }, a->view.layer
    };
    const double start = ecki_clock();

    ECK_TRY(ecki_values_compute(&a->values, &a->view.cached, &work, err));
    a->view.spectrum = a->values.info;
    a->view.break_even_rank = eck_break_even_rank(&layer->dense);
    const eck_dtype store = ecki_store_dtype(job->model, layer, job->options);
    ECK_TRY(eck_curve_svd(&a->view.curve, &layer->dense, &a->view.spectrum,
                          job->model->tensors[layer->weight].dtype, store, err));
    const eck_curve_options wanted = { 1,
                                       methods_of(&job->model->layers[a->view.layer], job->options),
                                       ECK_DTYPE_NONE, store, job->options->rank_multiple };
    ECK_TRY(add_methods(&a->view.curve, &work, &wanted, err));
    if (job->options->rank_multiple > 1)
        keep_multiples(&a->view.curve, job->options->rank_multiple);
    a->view.seconds = ecki_clock() - start;
    const int64_t done = __atomic_add_fetch(&job->done, 1, __ATOMIC_RELAXED);
    ECK_TRY(ecki_progress(job->context, "analyzing", done, job->analysis->count, err));
done:
    return status;
}

static double layer_cost(const eck_model *model, int64_t layer)
{
    const eck_stage *d = &model->layers[layer].view.dense;
    const double rows = (double)ecki_stage_rows(d), cols = (double)eck_stage_parameters(d) / rows;
    const double n = rows < cols ? rows : cols, m = rows < cols ? cols : rows;
    return m * n * n + 4.0 / 3.0 * n * n * n;
}

/** Cost beside index, for sorting without a global. */
typedef struct costed {
    double cost;
    int64_t index;
} costed;

static int by_falling_cost(const void *a, const void *b)
{
    const costed *x = a, *y = b;
    if (x->cost != y->cost) return x->cost > y->cost ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

static eck_status order_create(int64_t **out, const eck_analysis *analysis, const eck_model *model,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    costed *list = NULL;

    ECK_ALLOC(list, analysis->count);
    for (int64_t i = 0; i < analysis->count; i++)
        list[i] = (costed){ layer_cost(model, analysis->layers[i].view.layer), i };
    qsort(list, (size_t)analysis->count, sizeof *list, by_falling_cost);
    ECK_ALLOC(*out, analysis->count);
    for (int64_t i = 0; i < analysis->count; i++)
        (*out)[i] = list[i].index;
done:
    ecki_free(list);
    return status;
}

/** The hungriest layer decides how many are worked on at once; one must fit. */
static eck_status analysis_workers(int32_t *out, const eck_analysis *analysis,
                                   const eck_model *model, uint32_t methods,
                                   const eck_context *context, eck_error *err)
{
    const int64_t base = ecki_base_memory(model);
    ecki_hunger most = { 0, false };

    for (int64_t i = 0; i < analysis->count; i++) {
        const eck_layer *layer = &model->layers[analysis->layers[i].view.layer].view;
        ecki_hunger_add(&most, layer, model->tensors[layer->weight].dtype, methods, NULL);
    }
    if (context && context->memory > 0 && base + most.bytes > context->memory)
        return ecki_error(err, ECK_E_BUDGET, -1,
                          "cannot analyze '%s' in %lld bytes of memory: one layer at a time needs "
                          "%lld",
                          model->path, (long long)context->memory, (long long)(base + most.bytes));
    *out = ecki_workers(model, most, context);
    return ECK_OK;
}

static eck_status analysis_create(eck_analysis **out, const eck_model *model, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_analysis *analysis = NULL;

    ECK_ALLOC(analysis, 1);
    ECK_ALLOC(analysis->layers, model->layer_count);
    for (int64_t i = 0; i < model->layer_count; i++)
        if (!model->layers[i].view.skipped) analysis->layers[analysis->count++].view.layer = i;
    *out = analysis;
    analysis = NULL;
done:
    eck_analysis_free(analysis);
    return status;
}

eck_status eck_model_analyze(eck_analysis **out, const eck_model *model,
                             const eck_store_options *options, const eck_context *context,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_store_options defaults = ECK_STORE_OPTIONS_INIT;
    analyzing job = { model, options ? options : &defaults, context, NULL, NULL, NULL, NULL, 0 };
    ecki_content *content = NULL;
    ecki_cache *cache = NULL;
    int32_t workers = 1;

    ECK_REQUIRE(job.options->rank_multiple >= 1, ECK_E_RANGE, -1,
                "rank multiple %lld: at least 1 is needed", (long long)job.options->rank_multiple);
    ECK_REQUIRE((job.options->methods & ~(uint32_t)ECK_METHODS_ALL) == 0, ECK_E_RANGE, -1,
                "methods %#x: bits of no method", job.options->methods);
    ECK_TRY(ecki_cache_open(&cache, job.options->cache, err));
    ECK_TRY(analysis_create(&job.analysis, model, err));
    ECK_TRY(analysis_workers(&workers, job.analysis, model, job.options->methods, context, err));
    ECK_TRY(ecki_content_compute(&content, model, cache, context, err));
    memcpy(job.analysis->source, content->source, sizeof job.analysis->source);
    ECK_TRY(order_create(&job.order, job.analysis, model, err));
    job.content = content;
    job.cache = cache;
    ECK_TRY(ecki_parallel_for(job.analysis->count, workers, analyze_layer, &job, err));
    *out = job.analysis;
    job.analysis = NULL;
done:
    if (status != ECK_OK) ecki_error_where(err, status, model->path, NULL);
    ecki_free(job.order);
    eck_analysis_free(job.analysis);
    ecki_content_free(content);
    ecki_cache_close(cache);
    return status;
}

void eck_analysis_free(eck_analysis *analysis)
{
    if (!analysis) return;
    for (int64_t i = 0; i < analysis->count; i++) {
        eck_curve_clear(&analysis->layers[i].view.curve);
        ecki_values_clear(&analysis->layers[i].values);
    }
    ecki_free(analysis->layers);
    ecki_free(analysis);
}

int64_t eck_analysis_count(const eck_analysis *analysis)
{
    return analysis->count;
}

const eck_layer_analysis *eck_analysis_layer(const eck_analysis *analysis, int64_t index)
{
    return index >= 0 && index < analysis->count ? &analysis->layers[index].view : NULL;
}
