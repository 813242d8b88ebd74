/**
 * Verifying: the promise of every factored layer is judged by a residual computed anew from the two files, in F64, and
 * every other tensor is compared byte for byte. Nothing the writer knew is used but the manifest it wrote.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "decompose/adjoint.h"
#include "eckart/model.h"
#include "linalg/op.h"
#include "model/fit.h"
#include "model/graph_output.h"

enum { CHUNK = 1 << 20 };

/** checks[0..factored) are the factored layers, in the manifest's order; then one for every tensor of the source; then
 *  what the output should not hold. */
typedef struct verifying {
    const eck_model *before, *after;
    const eck_context *context;
    eck_check *checks;
    char **reasons; /**< owned text behind checks[i].reason */
    int64_t *layers; /**< of `after`, one for every factored check */
    int64_t factored, count, done;
    bool *replaced; /**< tensors of `before` that a chain stands for */
} verifying;

/** Marks a check as failed; the text is owned by the run. */
static eck_status fail(verifying *job, int64_t check, char *reason, eck_error *err)
{
    if (!reason) return ecki_error_memory(err, -1);
    ecki_free(job->reasons[check]);
    job->reasons[check] = reason;
    job->checks[check].kept = false;
    return ECK_OK;
}

/* ---- factored layers --------------------------------------------------------------------------------------------- */

static eck_status compare_tensors(bool *same_out, const eck_model *a, int64_t x, const eck_model *b,
                                  int64_t y, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_tensor *s = &a->tensors[x], *t = &b->tensors[y];
    char *first = NULL, *second = NULL;
    bool same = s->dtype == t->dtype && s->ndim == t->ndim && s->bytes == t->bytes &&
                memcmp(s->shape, t->shape, (size_t)s->ndim * sizeof *s->shape) == 0;

    ECK_ALLOC_RAW(first, CHUNK);
    ECK_ALLOC_RAW(second, CHUNK);
    for (int64_t at = 0; same && at < s->bytes; at += CHUNK) {
        const int64_t count = ecki_min(CHUNK, s->bytes - at);
        ECK_TRY(ecki_container_read(a->container, x, at, first, count, err));
        ECK_TRY(ecki_container_read(b->container, y, at, second, count, err));
        same = memcmp(first, second, (size_t)count) == 0;
    }
    *same_out = same;
done:
    ecki_free(first);
    ecki_free(second);
    return status;
}

/** A certificate may be wider than the figure it stands beside, but none of ours is twice as wide. */
static const double widest = 2;

/** The residual of one layer against what the manifest says of it. */
static eck_status certify_layer(verifying *job, int64_t check, int64_t original, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_operator *w = NULL, *product = NULL;
    eck_certificate c = { 0 };
    const eck_context one = { 1, 1, 0, NULL, NULL };
    const ecki_module *module =
        &job->after->manifest->modules[job->after->layers[job->layers[check]].module];

    ECK_TRY(eck_model_layer_operator(&w, job->before, original, err));
    status = eck_model_layer_operator(&product, job->after, job->layers[check], err);
    if (status == ECK_E_NONFINITE) {
        job->checks[check].error = INFINITY;
        status = fail(job, check, ecki_strdup("its factors hold NaN or infinity"), err);
        goto done;
    }
    ECK_TRY(status);
    ECK_TRY(eck_certify(&c, w, product, ECK_PROOF_RESIDUAL, 0, 0, &one, err));
    job->checks[check].error = c.error;
    job->checks[check].promised = module->error_high;
    // Both figures bound one number: the promise is broken only if even our lower bound lies above the one given.
    if (!(c.error_low <= module->error_high && c.error_low <= widest * module->error))
        ECK_TRY(fail(job, check,
                     ecki_format("error %.6g, promised %.6g", c.error,
                                 fmin(module->error, module->error_high)),
                     err));
done:
    eck_operator_free(product);
    eck_operator_free(w);
    return status;
}

static eck_status check_bias(verifying *job, int64_t check, const ecki_layer *original,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_layer *made = &job->after->layers[job->layers[check]].view;
    bool same = original->view.bias < 0 && made->bias < 0;

    if (original->view.bias >= 0 && made->bias >= 0)
        ECK_TRY(
            compare_tensors(&same, job->before, original->view.bias, job->after, made->bias, err));
    if (!same) ECK_TRY(fail(job, check, ecki_strdup("its bias differs"), err));
done:
    return status;
}

/** What the manifest says of the layer it replaces: what restoring and loading rely on. */
static eck_status check_description(bool *fits_out, verifying *job, int64_t check, int64_t original,
                                    const ecki_module *module, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_layer *layer = original >= 0 ? &job->before->layers[original] : NULL;
    const eck_tensor *dense = layer ? &job->before->tensors[layer->view.weight] : NULL;

    *fits_out =
        dense && dense->ndim == module->ndim &&
        memcmp(dense->shape, module->shape, (size_t)dense->ndim * sizeof *dense->shape) == 0;
    if (!*fits_out)
        ECK_TRY(fail(job, check, ecki_strdup("the source has no such layer"), err));
    else if (strcmp(ecki_layer_kind(&layer->view), module->kind) != 0)
        ECK_TRY(fail(
            job, check,
            ecki_format("kind %s, the source's is %s", module->kind, ecki_layer_kind(&layer->view)),
            err));
    else if (dense->dtype != module->dtype)
        ECK_TRY(fail(job, check,
                     ecki_format("type %s, the source's is %s", eck_dtype_name(module->dtype),
                                 eck_dtype_name(dense->dtype)),
                     err));
done:
    return status;
}

static eck_status check_layer(void *self, int64_t check, eck_error *err)
{
    eck_status status = ECK_OK;
    verifying *job = self;
    const ecki_layer *made = &job->after->layers[job->layers[check]];
    const ecki_module *module = &job->after->manifest->modules[made->module];
    const int64_t original = ecki_layer_find(job->before, made->name);
    bool fits = false;

    job->checks[check] = (eck_check){ made->name, true, true, 0, module->error_high, NULL };
    ECK_TRY(check_description(&fits, job, check, original, module, err));
    if (!fits) goto done;
    job->replaced[job->before->layers[original].view.weight] = true;
    if (job->before->layers[original].view.bias >= 0)
        job->replaced[job->before->layers[original].view.bias] = true;
    ECK_TRY(certify_layer(job, check, original, err));
    ECK_TRY(check_bias(job, check, &job->before->layers[original], err));
    const int64_t done = __atomic_add_fetch(&job->done, 1, __ATOMIC_RELAXED);
    ECK_TRY(ecki_progress(job->context, "verifying", done, job->factored, err));
done:
    return status;
}

/* ---- copied tensors ----------------------------------------------------------------------------------------------- */

static eck_status check_tensor(verifying *job, int64_t tensor, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t check = job->factored + tensor;
    const int64_t other =
        ecki_container_find(job->after->container, job->before->tensors[tensor].name);
    bool same = false;

    job->checks[check] = (eck_check){ job->before->tensors[tensor].name, false, true, 0, 0, NULL };
    if (job->replaced[tensor]) return ECK_OK;
    if (other < 0) return fail(job, check, ecki_strdup("missing in the output"), err);
    ECK_TRY(compare_tensors(&same, job->before, tensor, job->after, other, err));
    if (!same) ECK_TRY(fail(job, check, ecki_strdup("differs from the source"), err));
done:
    return status;
}

/** Marks the tensors of the output that its chains are made of. */
static void chains_mark(bool *known, const eck_model *after)
{
    for (int64_t i = 0; i < after->layer_count; i++) {
        const ecki_layer *l = &after->layers[i];
        if (l->module < 0) continue;
        const ecki_module *module = &after->manifest->modules[l->module];
        for (int32_t s = 0; s < module->stage_count; s++)
            known[ecki_container_find(after->container, module->stages[s].weight)] = true;
        if (l->view.bias >= 0) known[l->view.bias] = true;
    }
}

/** Tensors of the output that are neither copies nor factors, and what factors should have replaced. */
static eck_status check_extra(verifying *job, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_container *after = job->after->container;
    bool *known = NULL;

    ECK_ALLOC(known, after->entry_count);
    chains_mark(known, job->after);
    for (int64_t i = 0; i < after->entry_count; i++) {
        const int64_t source = ecki_container_find(job->before->container, after->entries[i].name);
        if (known[i] || (source >= 0 && !job->replaced[source])) continue;
        job->checks[job->count].name = after->entries[i].name;
        ECK_TRY(fail(job, job->count++,
                     ecki_strdup(source >= 0 ? "its factors are there too"
                                             : "not in the source, and no factor of it"),
                     err));
    }
done:
    ecki_free(known);
    return status;
}

/** A graph is a file of which every byte is known: one more check, if it fails. */
static eck_status check_graph(verifying *job, eck_error *err)
{
    eck_status status = ECK_OK;
    char *reason = NULL;

    if (!job->before->container->onnx || !job->after->container->onnx) return ECK_OK;
    ECK_TRY(ecki_graph_output_check(&reason, job->before, job->after, err));
    if (!reason) goto done;
    job->checks[job->count].name = job->after->path;
    ECK_TRY(fail(job, job->count++, reason, err));
    reason = NULL;
done:
    ecki_free(reason);
    return status;
}

/** What checking the hungriest layer holds: a tile of the weight and one of the product, strips of two stages, and bytes
 *  as they are read. */
static int64_t memory_of_a_check(const verifying *job)
{
    int64_t most = 0;
    for (int64_t i = 0; i < job->factored; i++) {
        const eck_stage *dense = &job->after->layers[job->layers[i]].view.dense;
        const int64_t all = ecki_stage_rows(dense), rows = ecki_min(all, ECKI_PANEL_ROWS);
        const int64_t wide = eck_stage_parameters(dense) / ecki_max(1, all);
        const int64_t cols = ecki_min(wide, ECKI_PANEL_COLS);
        most = ecki_max(most, 5 * rows * cols * (int64_t)sizeof(double));
    }
    return most;
}

/* ---- the verdict --------------------------------------------------------------------------------------------------- */

static eck_status verifying_init(verifying *job, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t tensors = job->before->container->entry_count;

    ECK_ALLOC(job->layers, job->after->layer_count);
    for (int64_t i = 0; i < job->after->layer_count; i++)
        if (job->after->layers[i].module >= 0) job->layers[job->factored++] = i;
    job->count = job->factored + tensors;
    const int64_t room = job->count + job->after->container->entry_count + 1;
    ECK_ALLOC(job->checks, room);
    ECK_ALLOC(job->reasons, room);
    ECK_ALLOC(job->replaced, tensors);
done:
    return status;
}

static void verifying_clear(verifying *job)
{
    for (int64_t i = 0; job->reasons && i < job->count; i++)
        ecki_free(job->reasons[i]);
    ecki_free(job->reasons);
    ecki_free(job->checks);
    ecki_free(job->layers);
    ecki_free(job->replaced);
}

/** Copies what is reported, names and reasons included, into one block behind the checks. */
static eck_status verdict_fill(eck_verdict *out, const verifying *job, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_verdict v = { true, job->factored, 0, 0, NULL, 0 };
    const char *reason;

    ECK_ALLOC(v.checks, job->count + 1);
    for (int64_t i = 0; i < job->count; i++) {
        const eck_check *check = &job->checks[i];
        const bool failed = job->reasons[i] != NULL;
        if (!failed && i >= job->factored) {
            v.identical += !job->replaced[i - job->factored];
            continue;
        }
        eck_check *kept = &v.checks[v.count++];
        *kept = *check;
        kept->name = ecki_strdup(check->name);
        ECK_HAVE(kept->name);
        reason = failed ? ecki_strdup(job->reasons[i]) : NULL;
        if (failed) ECK_HAVE(reason);
        kept->reason = reason;
        v.failed += failed;
    }
    v.kept = v.failed == 0;
    *out = v;
    memset(&v, 0, sizeof v);
done:
    eck_verdict_clear(&v);
    return status;
}

void eck_verdict_clear(eck_verdict *verdict)
{
    for (int64_t i = 0; i < verdict->count; i++) {
        eck_text_free((char *)(uintptr_t)verdict->checks[i].name);
        eck_text_free((char *)(uintptr_t)verdict->checks[i].reason);
    }
    ecki_free(verdict->checks);
    memset(verdict, 0, sizeof *verdict);
}

eck_status eck_model_verify(eck_verdict *out, const eck_model *before, const eck_model *after,
                            const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    verifying job = { .before = before, .after = after, .context = context };

    ECK_REQUIRE(after->manifest, ECK_E_RANGE, -1,
                "cannot verify '%s': it holds no manifest of eckart", after->path);
    ECK_REQUIRE(!before->manifest, ECK_E_RANGE, -1,
                "cannot verify against '%s': it is compressed itself", before->path);
    ECK_TRY(verifying_init(&job, err));
    const int32_t workers =
        ecki_workers(before, (ecki_hunger){ memory_of_a_check(&job), false }, context);
    ECK_TRY(ecki_parallel_for(job.factored, workers, check_layer, &job, err));
    for (int64_t i = 0; i < before->container->entry_count; i++)
        ECK_TRY(check_tensor(&job, i, err));
    ECK_TRY(check_extra(&job, err));
    ECK_TRY(check_graph(&job, err));
    ECK_TRY(verdict_fill(out, &job, err));
done:
    verifying_clear(&job);
    return status;
}
