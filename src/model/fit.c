/**
 * Spectra and factors through the cache. Four kinds of blob, all keyed by the weight's bytes and shape:
 *
 *   values     every singular value and what follows from them: what plans are made of
 *   spectrum   the reduction from which vectors of any rank follow
 *   points     the curves of methods for convolutions, keyed by methods and storage type too
 *   factors    a fitted chain and its certificate, keyed by ranks, storage type and split too
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
#include "decompose/adjoint.h"
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

/* ---- points ----------------------------------------------------------------------------------------------------- */

enum { POINT = 6 + ECK_RANKS_MAX }; // numbers of one point

static void point_write(double *to, const eck_point *p)
{
    const double head[] = { (double)p->method,     (double)p->rank_count, p->error,
                            (double)p->parameters, (double)p->macs,       (double)p->estimated };
    memcpy(to, head, sizeof head);
    for (int32_t i = 0; i < ECK_RANKS_MAX; i++)
        to[6 + i] = (double)p->ranks[i];
}

/** Integers below 2^53 are exact as doubles. */
static eck_point point_read(const double *from, eck_dtype store)
{
    eck_point p = { .method = (eck_method)from[0],
                    .rank_count = (int32_t)from[1],
                    .error = from[2],
                    .damage = from[2] * from[2],
                    .parameters = (int64_t)from[3],
                    .macs = (int64_t)from[4],
                    .estimated = from[5] != 0.0 };
    for (int32_t i = 0; i < ECK_RANKS_MAX; i++)
        p.ranks[i] = (int64_t)from[6 + i];
    p.bytes = p.parameters * (eck_dtype_bits(store) / 8);
    return p;
}

/** A curve as numbers, but for its dense point. */
static eck_status points_save(const ecki_work *work, const char *key, const eck_curve *curve,
                              eck_error *err)
{
    eck_status status = ECK_OK;
    double *numbers = NULL;
    const int64_t count = curve->count - 1;

    if (!work->cache) return ECK_OK;
    ECK_ALLOC_RAW(numbers, count * POINT);
    for (int64_t i = 0; i < count; i++)
        point_write(numbers + i * POINT, &curve->points[i]);
    status = ecki_cache_put(work->cache, "points", key, numbers,
                            count * POINT * (int64_t)sizeof *numbers, err);
done:
    ecki_free(numbers);
    return status;
}

/** Points of a blob behind each other, with the dense point of *out at the end. */
static eck_status points_recall(eck_curve *out, const char *bytes, int64_t size, eck_dtype store,
                                eck_error *err)
{
    eck_status status = ECK_OK;
    eck_point *points = NULL;
    const int64_t count = size / (POINT * (int64_t)sizeof(double));
    double numbers[POINT];

    ECK_ALLOC_RAW(points, count + 1);
    for (int64_t i = 0; i < count; i++) {
        memcpy(numbers, bytes + i * (int64_t)sizeof numbers, sizeof numbers);
        points[i] = point_read(numbers, store);
    }
    points[count] = out->points[0];
    ecki_free(out->points);
    out->points = points;
    out->count = count + 1;
done:
    return status;
}

/** What tells the points of one request from those of another. */
static void name_points(char *out, size_t room, const eck_curve_options *options)
{
    const int length =
        snprintf(out, room, "points %u %s", options->methods, eck_dtype_name(options->store));

    if (options->rank_multiple > 1)
        snprintf(out + length, room - (size_t)length, " of %lld",
                 (long long)options->rank_multiple);
}

eck_status ecki_points_compute(eck_curve *out, const ecki_work *work,
                               const eck_curve_options *wanted, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_layer *layer = &work->model->layers[work->layer].view;
    const eck_weight weight = { NULL, NULL, &layer->dense };
    const eck_dtype store = wanted->store;
    eck_curve_options options = { 1, 0, work->model->tensors[layer->weight].dtype, store,
                                  wanted->rank_multiple };
    eck_curve curve = { NULL, 0 };
    eck_operator *w = NULL;
    char what[100], key[ECKI_HASH_HEX], *bytes = NULL;
    int64_t count = 0;

    ECK_TRY(eck_curve_compute(&curve, &weight, &options, &work->context, err)); // dense alone
    const int first = layer->dense.groups > 1 ? ECK_METHOD_SVD : ECK_METHOD_SPATIAL;
    for (int m = first; m <= ECK_METHOD_DEPTHWISE; m++)
        if (wanted->methods >> m & 1u && eck_method_applies((eck_method)m, &layer->dense))
            options.methods |= 1u << m;
    if (options.methods == 0) goto moved;
    name_points(what, sizeof what, &options);
    ECK_TRY(key_of(key, work, what, err));
    ECK_TRY(ecki_cache_get(&bytes, &count, work->cache, "points", key, err));
    if (bytes && count % (POINT * (int64_t)sizeof(double)) == 0) {
        ECK_TRY(points_recall(&curve, bytes, count, store, err));
        goto moved;
    }
    eck_curve_clear(&curve);
    ECK_TRY(eck_model_layer_operator(&w, work->model, work->layer, err));
    const eck_weight whole = { w, NULL, &layer->dense };
    ECK_TRY(eck_curve_compute(&curve, &whole, &options, &work->context, err));
    ECK_TRY(points_save(work, key, &curve, err));
moved:
    *out = curve;
    curve = (eck_curve){ NULL, 0 };
done:
    if (status != ECK_OK)
        ecki_error_where(err, status, NULL, work->model->layers[work->layer].name);
    eck_curve_clear(&curve);
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
    if (point->method == ECK_METHOD_SVD && work->model->layers[work->layer].view.dense.groups == 1)
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

    int length = snprintf(what, sizeof what, "factors %s", eck_method_name(point->method));
    for (int32_t i = 0; i < ecki_max(point->rank_count, 1); i++)
        length += snprintf(what + length, sizeof what - (size_t)length, " %lld",
                           (long long)point->ranks[i]);
    snprintf(what + length, sizeof what - (size_t)length, " %s %d %d",
             eck_dtype_name(options->store), (int)options->split, (int)options->proof);
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

/**
 * Of methods that take a kernel apart: the kernel in F64, its copy in another order, in the bases of the channels with those
 * bases, a core of CP and its copy in F32, and the chain; Gram, vectors and product of the largest short side of its
 * matrices, three times its square; for CP three times the columns of the longer half, and twice factors and Grams.
 */
static int64_t kernel_memory(const eck_stage *dense, uint32_t methods, const eck_point *point)
{
    const int64_t groups = ecki_max(1, dense->groups), parameters = eck_stage_parameters(dense);
    const int64_t out = ecki_stage_rows(dense) / groups, in = ecki_mirror(dense).in / groups;
    const int64_t taps = parameters / ecki_max(1, out * groups * in);
    int64_t first = 1, rank = ecki_max(in, out);

    for (int32_t d = 0; d < dense->spatial; d++)
        if (first == 1) first = dense->kernel[d];
    const int64_t side = ecki_max(ecki_max(ecki_min(out, in * taps), ecki_min(in, out * taps)),
                                  ecki_min(in * first, out * (taps / first)));
    double bytes = 8.0 * (8.5 * (double)parameters + 7.0 * (double)side * (double)side);
    if (point && point->method == ECK_METHOD_CP) rank = point->ranks[0] / groups;
    if (methods >> ECK_METHOD_CP & 1u || (point && point->method == ECK_METHOD_CP))
        bytes += 8.0 * (double)rank *
                 (5.0 * (double)ecki_max(out, in * taps) + 6.0 * (double)(out + in + taps) +
                  12.0 * (double)rank);
    return bytes < 9e18 ? (int64_t)bytes : INT64_MAX;
}

static int64_t matrix_memory(const eck_layer *layer, eck_dtype dtype, int64_t rank)
{
    eck_operator_info info = ECK_OPERATOR_INFO_INIT;
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    const int64_t parameters = eck_stage_parameters(&layer->dense);

    info.rows = ecki_stage_rows(&layer->dense);
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

/** True if a method other than the SVD works on the layer, or may. */
static bool by_others(const eck_layer *layer, uint32_t methods, const eck_point *point)
{
    return point ? point->method != ECK_METHOD_SVD
                 : (methods & ~(1u << ECK_METHOD_SVD)) && layer->dense.spatial > 0;
}

int64_t ecki_work_memory(const eck_layer *layer, eck_dtype dtype, uint32_t methods,
                         const eck_point *point)
{
    const bool others = by_others(layer, methods, point);
    int64_t bytes = 0;

    if (!point || point->method == ECK_METHOD_SVD)
        bytes = matrix_memory(layer, dtype, point ? point->ranks[0] : -1);
    return others ? ecki_max(bytes, kernel_memory(&layer->dense, methods, point)) : bytes;
}

void ecki_hunger_add(ecki_hunger *most, const eck_layer *layer, eck_dtype dtype, uint32_t methods,
                     const eck_point *point)
{
    const int64_t bytes = ecki_work_memory(layer, dtype, methods, point);

    if (bytes <= most->bytes) return;
    *most = (ecki_hunger){ bytes, by_others(layer, methods, point) };
}

int64_t ecki_base_memory(const eck_model *model)
{
    return (INT64_C(8) << 20) + model->container->entry_count * 1024;
}

/** What kernels may hold together where one of them needs more than what is allowed by the sizes of tensors. */
#define KERNELS_MEMORY (INT64_C(1) << 30)

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

int32_t ecki_workers(const eck_model *model, ecki_hunger most, const eck_context *context)
{
    const bool limited = context && context->memory > 0;
    const int64_t few = 6 * largest_tensor(model);
    // A kernel that is taken apart by other methods takes more than that anyway.
    const bool more = most.kernel && most.bytes > few;
    const int64_t unlimited = more ? ecki_max(few, KERNELS_MEMORY) : few;
    const int64_t limit = limited ? context->memory - ecki_base_memory(model) : unlimited;
    const int64_t fit = most.bytes > 0 ? limit / most.bytes : ecki_threads(context);

    return (int32_t)ecki_max(1, ecki_min(fit, ecki_threads(context)));
}
