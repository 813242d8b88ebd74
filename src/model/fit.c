/**
 * Spectra and factors through the cache. Three kinds of blob, all keyed by the weight's bytes and shape:
 *
 *   values     every singular value and what follows from them: what plans are made of
 *   spectrum   the reduction from which vectors of any rank follow
 *   factors    a fitted chain and its certificate, keyed by rank, storage type and split too
 *
 * Each layer is worked on by one thread, so results do not depend on how many run.
 */
#include "model/fit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/spectrum.h"
#include "tensor/codec.h"

/** Part of every key, beside the release: raise it when an algorithm changes what it computes. */
#define CACHE_VERSION "2"

/* ---- keys ------------------------------------------------------------------------------------------------------- */

/** Hash of a description of the work: the weight's content and how it is laid out, then what is asked. */
static eck_status key_of(char hex[ECKI_HASH_HEX], const ecki_work *work, const char *what,
                         eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_hash *hash = NULL;
    char *text = NULL;
    const eck_layer *layer = &work->model->layers[work->layer].view;
    const eck_tensor *tensor = &work->model->tensors[layer->weight];
    const eck_stage *d = &layer->dense;

    text = ecki_format("%s %s %s %s %s %d %lld %lld %lld %d", CACHE_VERSION, eck_version(),
                       work->content->tensors[layer->weight], what, eck_dtype_name(tensor->dtype),
                       (int)d->kind, (long long)d->in, (long long)d->out, (long long)d->groups,
                       layer->stored_transposed);
    ECK_HAVE(text);
    ECK_TRY(ecki_hash_create(&hash, err));
    ecki_hash_add(hash, text, (int64_t)strlen(text));
    ecki_hash_add(hash, tensor->shape, (int64_t)sizeof *tensor->shape * tensor->ndim);
    ecki_hash_hex(hash, hex);
done:
    ecki_free(text);
    ecki_hash_free(hash);
    return status;
}

/* ---- values ----------------------------------------------------------------------------------------------------- */

enum { HEAD = 9 };

void ecki_values_clear(ecki_values *values)
{
    ecki_free(values->numbers);
    memset(values, 0, sizeof *values);
}

/** Points info into numbers = head, values[count], tails[count + 1]. Integers below 2^53 are exact as doubles. */
static void values_bind(ecki_values *values)
{
    const double *n = values->numbers;
    eck_spectrum_info *info = &values->info;

    info->rows = (int64_t)n[0];
    info->cols = (int64_t)n[1];
    info->count = (int64_t)n[2];
    info->norm2 = n[3];
    info->tail_error = n[4];
    info->numerical_rank = (int64_t)n[5];
    info->tolerance = n[6];
    info->stable_rank = n[7];
    info->effective_rank = n[8];
    info->values = n + HEAD;
    info->tails = n + HEAD + info->count;
}

static int64_t values_count(int64_t count)
{
    return HEAD + 2 * count + 1;
}

static eck_status values_copy(ecki_values *out, const eck_spectrum_info *info, eck_error *err)
{
    eck_status status = ECK_OK;
    double *n = NULL;

    ECK_ALLOC_RAW(n, values_count(info->count));
    const double head[HEAD] = { (double)info->rows,  (double)info->cols,
                                (double)info->count, info->norm2,
                                info->tail_error,    (double)info->numerical_rank,
                                info->tolerance,     info->stable_rank,
                                info->effective_rank };
    memcpy(n, head, sizeof head);
    memcpy(n + HEAD, info->values, (size_t)info->count * sizeof *n);
    memcpy(n + HEAD + info->count, info->tails, (size_t)(info->count + 1) * sizeof *n);
    out->numbers = n;
    values_bind(out);
done:
    return status;
}

/** Values from a blob, if it fits the layer. */
static bool values_recall(ecki_values *out, char **bytes, int64_t bytes_count, int64_t rows,
                          int64_t cols)
{
    const int64_t count = ecki_min(rows, cols);
    const double *n = (const double *)(const void *)*bytes;

    if (!*bytes || bytes_count != values_count(count) * (int64_t)sizeof(double)) return false;
    if (n[0] != (double)rows || n[1] != (double)cols || n[2] != (double)count) return false;
    out->numbers = (double *)(void *)*bytes;
    *bytes = NULL;
    values_bind(out);
    return true;
}

/** Values, tails and measures from n singular values alone, scaled by a power of two so that no square leaves the range. */
static eck_status values_describe(ecki_values *out, const double *s, int64_t rows, int64_t cols,
                                  eck_error *err)
{
    eck_status status = ECK_OK;
    eck_spectrum *spectrum = NULL;
    double *scaled = NULL, norm2 = 0;
    const int64_t n = ecki_min(rows, cols);
    int exponent = 0;

    ECK_ALLOC_RAW(scaled, n);
    ECK_TRY(ecki_spectrum_new(&spectrum, rows, cols, false, err));
    if (n > 0 && s[0] > 0) frexp(s[0], &exponent);
    // 2^1023 is the largest power there is; subnormal values stay small, and squares of those vanish beside the rest.
    spectrum->scale = ldexp(1, exponent < -1023 ? 1023 : -exponent);
    spectrum->storage = ECK_DTYPE_F64;
    for (int64_t i = n - 1; i >= 0; i--) {
        scaled[i] = s[i] * spectrum->scale;
        norm2 += scaled[i] * scaled[i];
    }
    ecki_spectrum_describe(spectrum, scaled, norm2);
    ECK_TRY(values_copy(out, eck_spectrum_get_info(spectrum), err));
done:
    ecki_free(scaled);
    eck_spectrum_free(spectrum);
    return status;
}

/** F64 storage has no reduction to keep: its values come from the lane for F64. */
static eck_status values_of_f64(ecki_values *out, const eck_operator *w, const eck_context *context,
                                eck_error *err)
{
    eck_status status = ECK_OK;
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    eck_svd *svd = NULL;

    options.rule = ECK_RULE_THIN;
    options.want = ECK_WANT_VALUES;
    ECK_TRY(eck_svd_compute(&svd, w, &options, context, err));
    ECK_TRY(values_describe(out, svd->s->data, svd->rows, svd->cols, err));
done:
    eck_svd_free(svd);
    return status;
}

static eck_status spectrum_store(const ecki_work *work, const eck_spectrum *spectrum,
                                 eck_error *err)
{
    eck_status status = ECK_OK;
    char *bytes = NULL;
    int64_t count = 0;
    char key[ECKI_HASH_HEX];

    if (!work->cache) return ECK_OK;
    ECK_TRY(key_of(key, work, "spectrum", err));
    ECK_TRY(eck_spectrum_save(&bytes, &count, spectrum, err));
    ECK_TRY(ecki_cache_put(work->cache, "spectrum", key, bytes, count, err));
done:
    eck_text_free(bytes);
    return status;
}

eck_status ecki_values_compute(ecki_values *out, bool *cached_out, const ecki_work *work,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    eck_operator *w = NULL;
    eck_spectrum *spectrum = NULL;
    char *bytes = NULL;
    int64_t count = 0;
    char key[ECKI_HASH_HEX];

    ECK_TRY(key_of(key, work, "values", err));
    ECK_TRY(ecki_cache_get(&bytes, &count, work->cache, "values", key, err));
    ECK_TRY(eck_model_layer_operator(&w, work->model, work->layer, err));
    const eck_operator_info *info = eck_operator_get_info(w);
    *cached_out = values_recall(out, &bytes, count, info->rows, info->cols);
    if (*cached_out) goto done;
    if (info->storage == ECK_DTYPE_F64) {
        ECK_TRY(values_of_f64(out, w, &work->context, err));
    } else {
        ECK_TRY(eck_spectrum_create(&spectrum, w, &work->context, err));
        ECK_TRY(spectrum_store(work, spectrum, err));
        ECK_TRY(values_copy(out, eck_spectrum_get_info(spectrum), err));
    }
    ECK_TRY(ecki_cache_put(work->cache, "values", key, out->numbers,
                           values_count(out->info.count) * (int64_t)sizeof(double), err));
done:
    if (status != ECK_OK) {
        ecki_values_clear(out);
        ecki_error_where(err, status, NULL, work->model->layers[work->layer].name);
    }
    eck_spectrum_free(spectrum);
    eck_operator_free(w);
    ecki_free(bytes);
    return status;
}

/* ---- factors ---------------------------------------------------------------------------------------------------- */

/** A chain as bytes: the certificate, then the weights of its stages one after the other. */
static eck_status chain_save(char **out, int64_t *count_out, const eck_chain *chain,
                             const eck_certificate *certificate, eck_error *err)
{
    eck_status status = ECK_OK;
    int64_t count = sizeof *certificate;
    char *bytes = NULL;

    for (int32_t i = 0; i < chain->count; i++) {
        const eck_array *w = chain->stages[i].weight;
        count += ecki_bytes_of(eck_array_count(w), (size_t)eck_dtype_bits(w->dtype) / 8);
    }
    ECK_ALLOC_RAW(bytes, count);
    memcpy(bytes, certificate, sizeof *certificate);
    char *at = bytes + sizeof *certificate;
    for (int32_t i = 0; i < chain->count; i++) {
        const eck_array *w = chain->stages[i].weight;
        const size_t size = (size_t)eck_array_count(w) * (size_t)eck_dtype_bits(w->dtype) / 8;
        memcpy(at, w->data, size);
        at += size;
    }
    *out = bytes;
    *count_out = count;
done:
    return status;
}

/** What a cache gave. */
typedef struct blob {
    const char *bytes;
    int64_t count;
} blob;

/** The chain of a blob, shaped by its outline; *out stays empty when the blob does not fit. */
static eck_status chain_recall(eck_chain *out, eck_certificate *certificate, const blob *found,
                               const eck_stage *dense, const eck_point *point, eck_dtype store,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    const char *bytes = found->bytes;
    eck_chain chain = { NULL, 0 };
    int64_t shape[ECK_DIMS_MAX], need = sizeof *certificate;
    const int64_t size = eck_dtype_bits(store) / 8;

    ECK_TRY(eck_chain_outline(&chain, dense, point, err));
    for (int32_t i = 0; i < chain.count; i++)
        need += eck_stage_parameters(&chain.stages[i]) * size;
    if (need != found->count) goto done;
    memcpy(certificate, bytes, sizeof *certificate);
    bytes += sizeof *certificate;
    for (int32_t i = 0; i < chain.count; i++) {
        const int32_t ndim = eck_stage_shape(&chain.stages[i], shape);
        const size_t part = (size_t)(eck_stage_parameters(&chain.stages[i]) * size);
        ECK_TRY(eck_array_create(&chain.stages[i].weight, store, ndim, shape, err));
        memcpy(chain.stages[i].weight->data, bytes, part);
        bytes += part;
    }
    *out = chain;
    memset(&chain, 0, sizeof chain);
done:
    eck_chain_clear(&chain);
    return status;
}

/** The reduction of the layer: from the cache, or computed (and stored). F64 storage has none: *out stays NULL. */
static eck_status spectrum_obtain(eck_spectrum **out, const ecki_work *work, const eck_operator *w,
                                  eck_error *err)
{
    eck_status status = ECK_OK;
    eck_spectrum *spectrum = NULL;
    char *bytes = NULL;
    int64_t count = 0;
    char key[ECKI_HASH_HEX];
    eck_error foreign = ECK_ERROR_INIT;

    if (eck_operator_get_info(w)->storage == ECK_DTYPE_F64) return ECK_OK;
    ECK_TRY(key_of(key, work, "spectrum", err));
    ECK_TRY(ecki_cache_get(&bytes, &count, work->cache, "spectrum", key, err));
    if (!bytes || eck_spectrum_load(&spectrum, bytes, count, &foreign) != ECK_OK) {
        ECK_TRY(eck_spectrum_create(&spectrum, w, &work->context, err));
        ECK_TRY(spectrum_store(work, spectrum, err));
    }
    *out = spectrum;
    spectrum = NULL;
done:
    eck_spectrum_free(spectrum);
    ecki_free(bytes);
    return status;
}

static eck_status factors_fit(eck_chain *out, eck_certificate *certificate_out,
                              const ecki_work *work, const eck_point *point,
                              const eck_fit_options *options, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_operator *w = NULL;
    eck_spectrum *spectrum = NULL;

    ECK_TRY(eck_model_layer_operator(&w, work->model, work->layer, err));
    ECK_TRY(spectrum_obtain(&spectrum, work, w, err));
    const eck_weight weight = { w, spectrum, &work->model->layers[work->layer].view.dense };
    ECK_TRY(eck_chain_fit(out, certificate_out, &weight, point, options, &work->context, err));
done:
    eck_spectrum_free(spectrum);
    eck_operator_free(w);
    return status;
}

eck_status ecki_factors_compute(eck_chain *out, eck_certificate *certificate_out,
                                const ecki_work *work, const eck_point *point,
                                const eck_fit_options *options, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_stage *dense = &work->model->layers[work->layer].view.dense;
    char what[200], key[ECKI_HASH_HEX];
    char *bytes = NULL;
    int64_t count = 0;

    snprintf(what, sizeof what, "factors %s %lld %s %d %d", eck_method_name(point->method),
             (long long)point->ranks[0], eck_dtype_name(options->store), (int)options->split,
             (int)options->proof);
    ECK_TRY(key_of(key, work, what, err));
    ECK_TRY(ecki_cache_get(&bytes, &count, work->cache, "factors", key, err));
    if (bytes)
        ECK_TRY(chain_recall(out, certificate_out, &(blob){ bytes, count }, dense, point,
                             options->store, err));
    if (out->stages) goto done;
    ecki_free(bytes);
    bytes = NULL;
    ECK_TRY(factors_fit(out, certificate_out, work, point, options, err));
    if (!work->cache) goto done;
    ECK_TRY(chain_save(&bytes, &count, out, certificate_out, err));
    ECK_TRY(ecki_cache_put(work->cache, "factors", key, bytes, count, err));
done:
    if (status != ECK_OK) {
        eck_chain_clear(out);
        ecki_error_where(err, status, NULL, work->model->layers[work->layer].name);
    }
    ecki_free(bytes);
    return status;
}

/* ---- memory ----------------------------------------------------------------------------------------------------- */

int64_t ecki_work_memory(const eck_layer *layer, eck_dtype dtype, int64_t rank)
{
    eck_operator_info info = ECK_OPERATOR_INFO_INIT;
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    const int64_t parameters = eck_stage_parameters(&layer->dense);

    info.rows = layer->dense.out;
    info.cols = parameters / ecki_max(1, info.rows);
    info.storage = dtype;
    options.store = ECK_DTYPE_F64;
    options.want = rank < 0 ? ECK_WANT_VALUES : ECK_WANT_VALUES | ECK_WANT_COMPACT;
    options.rank = rank;
    int64_t bytes = eck_svd_memory(&info, &options, rank);
    // The chain as stored, its first stage widened for the residual, and a copy of the factors on the way to the cache.
    if (rank > 0)
        bytes +=
            rank * (info.rows + info.cols) * (2 * (int64_t)sizeof(float) + (int64_t)sizeof(double));
    return bytes;
}

int64_t ecki_base_memory(const eck_model *model)
{
    return (INT64_C(8) << 20) + model->container->entry_count * 1024;
}

/** Bytes of the largest tensor, widened to F32. */
static int64_t largest_tensor(const eck_model *model)
{
    int64_t largest = 0;
    for (int64_t i = 0; i < model->container->entry_count; i++) {
        const eck_tensor *tensor = &model->tensors[i];
        const int64_t elements = tensor->bytes / ecki_max(1, eck_dtype_bits(tensor->dtype) / 8);
        largest = ecki_max(largest, elements * (int64_t)sizeof(float));
    }
    return largest;
}

int32_t ecki_workers(const eck_model *model, int64_t need, const eck_context *context)
{
    const bool limited = context && context->memory > 0;
    const int64_t limit =
        limited ? context->memory - ecki_base_memory(model) : 6 * largest_tensor(model);
    const int64_t fit = need > 0 ? limit / need : ecki_threads(context);

    return (int32_t)ecki_max(1, ecki_min(fit, ecki_threads(context)));
}
