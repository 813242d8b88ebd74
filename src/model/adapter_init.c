/**
 * An adapter to begin training with. PiSSA and OLoRA move a part of every weight into the factors,
 * so that the base to train on is the residual, written beside by merging the adapter with weight
 * -1: base + adapter is the original, up to the rounding of both.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/random.h"
#include "eckart/svd.h"
#include "linalg/orthonormal.h"
#include "model/adapter_parts.h"
#include "model/model.h"
#include "tensor/codec.h"

typedef struct starting {
    const eck_model *base;
    const eck_init_options *options;
    const eck_context *context;
    int64_t *layers;
    ecki_out_module *modules;
    int64_t count;
    eck_adapter_outcome *outcome;
    ecki_adapter_writer *writer;
} starting;

/** Both factors of one layer in F64; scale last first is what they stand for. */
typedef struct pair {
    eck_array *first, *last;
} pair;

static eck_status pair_create(pair *out, int64_t rows, int64_t cols, int64_t rank, eck_error *err)
{
    eck_status status = ECK_OK;
    pair p = { 0 };

    ECK_TRY(eck_array_create(&p.first, ECK_DTYPE_F64, 2, (int64_t[]){ rank, cols }, err));
    ECK_TRY(eck_array_create(&p.last, ECK_DTYPE_F64, 2, (int64_t[]){ rows, rank }, err));
    *out = p;
    p.first = p.last = NULL;
done:
    eck_array_free(p.first);
    eck_array_free(p.last);
    return status;
}

/** first ~ N(0, 1/rank^2), one stream a layer; last = 0. */
static void start_gaussian(const starting *job, pair *p, int64_t index)
{
    const int64_t rank = p->first->shape[0];
    double *first = p->first->data;

    ecki_random_fill_normal(first, eck_array_count(p->first), job->options->seed, (uint64_t)index,
                            0);
    for (int64_t i = 0; i < eck_array_count(p->first); i++)
        first[i] /= (double)rank;
}

/** U S V^T = scale last first, the leading triplets, roots of S / scale on both sides. */
static eck_status start_pissa(const starting *job, pair *p, const eck_operator *w, double scale,
                              eck_error *err)
{
    eck_status status = ECK_OK;
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    eck_svd *svd = NULL;
    const int64_t rank = p->first->shape[0], cols = p->first->shape[1], rows = p->last->shape[0];

    options.rank = rank;
    options.store = ECK_DTYPE_F64;
    options.proof = ECK_PROOF_TAIL;
    ECK_TRY(eck_svd_compute(&svd, w, &options, job->context, err));
    const double *u = svd->u->data, *s = svd->s->data, *v = svd->v->data;
    double *first = p->first->data, *last = p->last->data;
    for (int64_t k = 0; k < rank; k++) {
        const double root = sqrt(s[k] / scale);
        for (int64_t i = 0; i < rows; i++)
            last[i * rank + k] = u[i * rank + k] * root;
        for (int64_t j = 0; j < cols; j++)
            first[k * cols + j] = v[j * rank + k] * root;
    }
done:
    eck_svd_free(svd);
    return status;
}

/** W = Q R without pivoting: last = the leading columns of Q, first = the leading rows of R; the
 * leading columns of Q are a basis of those of W, and R = Q^T W. */
static eck_status start_olora(const starting *job, pair *p, const eck_operator *w, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t rank = p->first->shape[0], cols = p->first->shape[1], rows = p->last->shape[0];
    double *last = p->last->data, *first = p->first->data, *turned = NULL;
    const eck_panel q = ecki_panel(last, ECK_DTYPE_F64, rows, rank);

    ECK_TRY(eck_operator_read(w, 0, 0, q, err));
    ECK_TRY(ecki_orthonormalize(last, rows, rank, NULL, err));
    ECK_ALLOC_RAW(turned, cols * rank);
    ECK_TRY(eck_operator_apply_transpose(w, 1, q, ecki_panel(turned, ECK_DTYPE_F64, cols, rank),
                                         job->context, err));
    for (int64_t j = 0; j < cols; j++)
        for (int64_t k = 0; k < rank; k++)
            first[k * cols + j] = turned[j * rank + k];
done:
    ecki_free(turned);
    return status;
}

static eck_status start_layer(starting *job, int64_t index, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_out_module *m = &job->modules[index];
    const double scale = m->alpha / (double)m->rank;
    eck_operator *w = NULL;
    pair p = { 0 };
    eck_array *first = NULL, *last = NULL;

    ECK_TRY(ecki_progress(job->context, "starting", index, job->count, err));
    ECK_TRY(eck_model_layer_operator(&w, job->base, job->layers[index], err));
    ECK_TRY(pair_create(&p, m->dense.out, ecki_stage_columns(&m->dense), m->rank, err));
    if (job->options->start == ECK_START_GAUSSIAN)
        start_gaussian(job, &p, index);
    else if (job->options->start == ECK_START_PISSA)
        ECK_TRY(start_pissa(job, &p, w, scale, err));
    else
        ECK_TRY(start_olora(job, &p, w, err));
    ECK_TRY(eck_array_convert(&first, eck_array_view(p.first), m->dtype, err));
    ECK_TRY(eck_array_convert(&last, eck_array_view(p.last), m->dtype, err));
    if (job->writer) ECK_TRY(ecki_adapter_writer_put(job->writer, index, first, last, err));
done:
    if (status != ECK_OK) ecki_error_where(err, status, job->base->path, m->name);
    eck_operator_free(w);
    eck_array_free(p.first);
    eck_array_free(p.last);
    eck_array_free(first);
    eck_array_free(last);
    return status;
}

/** The selected linear layers, with their ranks. */
static eck_status layers_find(starting *job, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_init_options *o = job->options;

    ECK_ALLOC(job->layers, job->base->layer_count);
    ECK_ALLOC(job->modules, job->base->layer_count);
    for (int64_t i = 0; i < job->base->layer_count; i++) {
        const eck_layer *l = &job->base->layers[i].view;
        if (l->skipped || l->factored || l->dense.kind != ECK_STAGE_LINEAR) continue;
        const eck_dtype own = job->base->tensors[l->weight].dtype;
        const int64_t rank = ecki_min(o->rank, ecki_min(l->dense.in, l->dense.out));
        job->layers[job->count] = i;
        job->modules[job->count++] = (ecki_out_module){
            .name = l->name,
            .spelling = ECKI_SPELLING_AB,
            .dense = l->dense,
            .rank = rank,
            .alpha = o->alpha > 0 ? o->alpha : (double)rank,
            .dtype = o->write.store != ECK_DTYPE_NONE ? o->write.store
                     : own == ECK_DTYPE_F64           ? ECK_DTYPE_F32
                                                      : own,
            .source = -1,
        };
    }
    ECK_REQUIRE(job->count > 0, ECK_E_NOTHING, -1, "'%s' has no selected linear layer",
                job->base->path);
done:
    return status;
}

static eck_status describe(starting *job, eck_error *err)
{
    eck_status status = ECK_OK;

    ECK_ALLOC(job->outcome->changes, job->count);
    for (int64_t i = 0; i < job->count; i++) {
        ECK_TRY(ecki_outcome_change(&job->outcome->changes[i], job->modules[i].name, err));
        job->outcome->changes[i].rank = job->modules[i].rank;
        job->outcome->count++;
        job->outcome->bytes_after += ecki_out_module_bytes(&job->modules[i], ECK_ADAPTER_PEFT);
    }
    if (job->options->residual)
        ECK_TRY(ecki_outcome_remark(job->outcome, err,
                                    "train on '%s': the base has given its part to the adapter",
                                    job->options->residual));
done:
    return status;
}

static eck_status write_adapter(starting *job, eck_error *err)
{
    eck_status status = ECK_OK;
    static const char *const names[] = { "?", "gaussian", "pissa", "olora" };
    const eck_init_options *o = job->options;
    const char *inputs[] = { job->base->path };
    bool transposed = false;

    for (int64_t i = 0; i < job->count; i++)
        transposed = transposed || job->base->layers[job->layers[i]].view.stored_transposed;
    ecki_out_spec spec = {
        .layout = ECK_ADAPTER_PEFT,
        .path = o->write.path,
        .replace = o->write.replace,
        .inputs = inputs,
        .input_count = 1,
        .modules = job->modules,
        .count = job->count,
        .config = { .base_name = o->residual ? o->residual : job->base->path,
                    .fan_in_fan_out = transposed },
    };
    spec.record = json_pack("{s:s, s:i, s:s, s:s, s:s}", "format", "eckart-adapter", "version", 1,
                            "made_by", "init", "eckart", eck_version(), "init", names[o->start]);
    ECK_HAVE(spec.record);
    if (!o->write.dry_run) ECK_TRY(ecki_adapter_writer_create(&job->writer, &spec, err));
    for (int64_t i = 0; i < job->count; i++)
        ECK_TRY(start_layer(job, i, err));
    ECK_TRY(ecki_container_unchanged(job->base->container, err));
    if (job->writer) ECK_TRY(ecki_adapter_writer_publish(job->writer, err));
done:
    ecki_adapter_writer_free(job->writer);
    job->writer = NULL;
    json_decref(spec.record);
    return status;
}

/** base - adapter, as stored. */
static eck_status write_residual(const starting *job, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_adapter *adapter = NULL;
    eck_adapter_outcome outcome = { 0 };
    eck_adapter_write options = job->options->write;

    if (!job->options->residual || options.dry_run) return ECK_OK;
    ECK_TRY(eck_adapter_open(&adapter, options.path, err));
    const eck_weighted_adapter term = { adapter, -1 };
    const eck_adapter_sum sum = { &term, 1 };
    options.path = job->options->residual;
    ECK_TRY(eck_adapter_merge(&outcome, job->base, &sum, &options, job->context, err));
done:
    eck_adapter_outcome_clear(&outcome);
    eck_adapter_close(adapter);
    return status;
}

eck_status eck_adapter_init(eck_adapter_outcome *out, const eck_model *base,
                            const eck_init_options *options, const eck_context *context,
                            eck_error *err)
{
    eck_status status = ECK_OK;
    eck_adapter_outcome outcome = { .layout = ECK_ADAPTER_PEFT, .energy = -1, .energy_clean = -1 };
    starting job = { .base = base, .options = options, .context = context, .outcome = &outcome };
    const double start = ecki_clock();
    const bool moves = options->start != ECK_START_GAUSSIAN;

    ECK_REQUIRE(options->start >= ECK_START_GAUSSIAN && options->start <= ECK_START_OLORA,
                ECK_E_RANGE, -1, "no such start: gaussian, pissa or olora");
    ECK_REQUIRE(options->rank >= 1, ECK_E_RANGE, -1, "rank %lld: at least 1",
                (long long)options->rank);
    ECK_REQUIRE(isfinite(options->alpha) && options->alpha >= 0, ECK_E_RANGE, -1,
                "alpha %g: above 0", options->alpha);
    ECK_REQUIRE(!moves || options->residual || options->write.dry_run, ECK_E_RANGE, -1,
                "this start takes a part out of the base: say where to write the residual");
    ECK_REQUIRE(moves || !options->residual, ECK_E_RANGE, -1,
                "a gaussian start leaves the base as it is: there is no residual");
    ECK_TRY(layers_find(&job, err));
    ECK_TRY(write_adapter(&job, err));
    ECK_TRY(write_residual(&job, err));
    ECK_TRY(describe(&job, err));
    outcome.seconds = ecki_clock() - start;
    *out = outcome;
    memset(&outcome, 0, sizeof outcome);
done:
    ecki_free(job.layers);
    ecki_free(job.modules);
    eck_adapter_outcome_clear(&outcome);
    return status;
}
