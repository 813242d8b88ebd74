/**
 * Extraction: the change from a base model to a tuned one as an adapter. Layers are compared first
 * (which differ, is it a fine-tune at all), then decomposed one at a time.
 *
 * Every difference is an operator over the two files: neither model nor any dW is held whole.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "eckart/svd.h"
#include "format/hash_file.h"
#include "linalg/certificate.h"
#include "model/adapter_extract.h"
#include "model/knapsack.h"
#include "tensor/codec.h"

/* ---- what changed -------------------------------------------------------------------------- */

/** Layers the selection leaves, and those it leaves out only because compressing them would hurt; but
 * nothing adapts a part of a MultiheadAttention. */
static bool takes_part(const ecki_layer *layer)
{
    if (layer->view.factored) return false;
    if (!layer->view.skipped) return true;
    if (!layer->reason || strcmp(layer->view.skipped, layer->reason) != 0) return false;
    if (strstr(layer->reason, "(MultiheadAttention)")) return false;
    return !layer->impossible || strcmp(layer->reason, "no rank makes it smaller") == 0;
}

/** Compares one layer; appended to the targets if it differs. */
static eck_status look_at(ecki_extracting *job, int64_t layer, ecki_difference_sums *total,
                          eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_layer *l = &job->base->layers[layer].view;
    const eck_tensor *weight = &job->base->tensors[l->weight];
    const int64_t entry = ecki_container_find(job->tuned->container, weight->name);
    ecki_difference_pair pair = { 0 };
    ecki_extract_target *t = &job->targets[job->count];

    if (entry < 0 || !ecki_extract_same_shape(weight, &job->tuned->tensors[entry])) return ECK_OK;
    if (!eck_dtype_is_weight(weight->dtype) ||
        !eck_dtype_is_weight(job->tuned->tensors[entry].dtype))
        return ECK_OK;
    ECK_TRY(ecki_difference_open(&pair, job->base, layer, job->tuned, entry, err));
    ECK_TRY(ecki_difference_scan(&t->sums, &pair, job->context, err));
    job->expressed[entry] = true;
    total->base += t->sums.base;
    total->tuned += t->sums.tuned;
    total->difference += t->sums.difference;
    if (t->sums.changed == 0) goto done;
    t->layer = layer;
    t->entry = entry;
    t->full = ecki_min(l->dense.out, ecki_stage_columns(&l->dense));
    job->room.largest = ecki_max(job->room.largest, l->dense.out * ecki_stage_columns(&l->dense));
    job->count++;
done:
    ecki_difference_close(&pair);
    return status;
}

static eck_status targets_find(ecki_extracting *job, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_difference_sums total = { 0 };
    int64_t shared = 0;

    ECK_ALLOC(job->targets, job->base->layer_count);
    ECK_ALLOC(job->expressed, job->tuned->container->entry_count);
    for (int64_t i = 0; i < job->base->layer_count; i++) {
        ECK_TRY(ecki_progress(job->context, "comparing", i, job->base->layer_count, err));
        if (takes_part(&job->base->layers[i])) ECK_TRY(look_at(job, i, &total, err));
    }
    for (int64_t i = 0; i < job->base->container->entry_count; i++)
        shared += ecki_container_find(job->tuned->container, job->base->tensors[i].name) >= 0;
    ECK_REQUIRE(shared > 0, ECK_E_RANGE, -1,
                "'%s' is not a fine-tune of '%s': they share no tensor name", job->tuned->path,
                job->base->path);
    const double both = total.base + total.tuned;
    ECK_REQUIRE(job->options->unrelated || total.difference <= both / 2, ECK_E_RANGE, -1,
                "'%s' is not a fine-tune of '%s': the change is %.0f %% of both together, where "
                "unrelated weights give 100 %%",
                job->tuned->path, job->base->path, 100 * total.difference / both);
    ECK_REQUIRE(job->count > 0 || job->options->full_modules, ECK_E_NOTHING, -1,
                "no selected layer of '%s' differs from '%s'", job->tuned->path, job->base->path);
done:
    return status;
}

/* ---- ranks --------------------------------------------------------------------------------- */

/**
 * Relative tails of the ranks whose singular values are known: from the small end where all are, from
 * the whole norm else.
 */
static eck_status tails_find(ecki_extract_target *t, const eck_svd *svd, eck_error *err)
{
    eck_status status = ECK_OK;
    const double *s = svd->s->data, whole = t->sums.difference;
    const int64_t known = ecki_min(eck_array_count(svd->s), t->full);
    double *tails = NULL, sum = 0;

    ECK_ALLOC(tails, known + 1);
    for (int64_t i = 0; known < t->full && i < known; i++)
        sum += s[i] * s[i];
    sum = known < t->full ? fmax(0, whole - sum) : 0;
    tails[known] = sum;
    for (int64_t i = known - 1; i >= 0; i--) {
        sum += s[i] * s[i];
        tails[i] = sum;
    }
    for (int64_t i = 0; i <= known; i++)
        tails[i] = sum > 0 ? sqrt(tails[i] / sum) : 0;
    t->tails = tails;
    t->known = known;
done:
    return status;
}

static double clean_at(const ecki_extract_target *t, const eck_layer *l, int64_t k)
{
    return ecki_clean_energy(t->tails[k], k, &t->sums, l->dense.out, ecki_stage_columns(&l->dense));
}

/** Fewest terms with that part of the clean energy; -1: more than are known. */
static int64_t rank_for(const ecki_extract_target *t, const eck_layer *l, double energy)
{
    int64_t k = 1;
    while (k < t->known && clean_at(t, l, k) < energy)
        k++;
    return k == t->full || clean_at(t, l, k) >= energy ? k : -1;
}

static eck_dtype store_of(const ecki_extracting *job, const ecki_extract_target *t)
{
    const eck_dtype own = job->tuned->tensors[t->entry].dtype;
    if (job->options->write.store != ECK_DTYPE_NONE) return job->options->write.store;
    return own == ECK_DTYPE_F64 ? ECK_DTYPE_F32 : own;
}

/** What is left to a decomposition of the memory that is allowed, beside the room of held differences. */
static eck_context beside_room(const ecki_extracting *job)
{
    const eck_context defaults = ECK_CONTEXT_INIT;
    eck_context rest = job->context ? *job->context : defaults;
    const int64_t room = job->room.count * (int64_t)sizeof *job->room.room;

    // at most a quarter of what is allowed (difference.c)
    if (rest.memory > 0) rest.memory -= room;
    return rest;
}

static eck_status values_find(ecki_extracting *job, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_difference_pair pair = { 0 };
    eck_svd *svd = NULL;
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;

    options.rule = ECK_RULE_THIN;
    options.want = ECK_WANT_VALUES;
    for (int64_t i = 0; i < job->count; i++) {
        ecki_extract_target *t = &job->targets[i];
        ECK_TRY(ecki_progress(job->context, "spectra", i, job->count, err));
        ECK_TRY(ecki_difference_open(&pair, job->base, t->layer, job->tuned, t->entry, err));
        ECK_TRY(ecki_difference_hold(&pair, &job->room, job->context, err));
        const eck_context rest = beside_room(job);
        ECK_TRY(eck_svd_compute(&svd, pair.difference, &options, &rest, err));
        ECK_TRY(tails_find(t, svd, err));
        eck_svd_free(svd);
        svd = NULL;
        ecki_difference_close(&pair);
    }
done:
    eck_svd_free(svd);
    ecki_difference_close(&pair);
    return status;
}

static int64_t bytes_at(const ecki_extracting *job, const ecki_extract_target *t, int64_t rank)
{
    const ecki_out_module m = { .dense = job->base->layers[t->layer].view.dense,
                                .rank = rank,
                                .dtype = store_of(job, t) };
    return ecki_out_module_bytes(&m, job->options->layout);
}

static eck_status ranks_by_size(ecki_extracting *job, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t limits[] = { job->options->budget.bytes, -1 };
    const int64_t cap = job->options->budget.rank > 0 ? job->options->budget.rank : INT64_MAX;
    ecki_group *groups = NULL;
    ecki_option *options = NULL;
    int64_t *choice = NULL;
    ecki_packing packing = { 0 };

    ECK_ALLOC(groups, job->count);
    ECK_ALLOC(choice, job->count);
    for (int64_t i = 0; i < job->count; i++) {
        const ecki_extract_target *t = &job->targets[i];
        const int64_t most = ecki_min(t->full, cap);
        ECK_ALLOC(options, most);
        for (int64_t k = 1; k <= most; k++)
            options[k - 1] = (ecki_option){ t->tails[k] * t->tails[k] * t->sums.difference,
                                            { bytes_at(job, t, k), 0 } };
        groups[i] = (ecki_group){ options, most };
        options = NULL;
    }
    status = ecki_knapsack(choice, &packing, groups, job->count, limits, 1e-3, err);
    ECK_REQUIRE(status != ECK_E_RANGE, ECK_E_RANGE, -1,
                "cannot extract into %lld bytes of tensors: at rank 1 it has %lld",
                (long long)limits[0], (long long)packing.cost[0]);
    if (status != ECK_OK) goto done;
    for (int64_t i = 0; i < job->count; i++)
        job->targets[i].rank = choice[i] + 1;
done:
    for (int64_t i = 0; groups && i < job->count; i++)
        ecki_free((void *)(uintptr_t)groups[i].options);
    ecki_free(options);
    ecki_free(groups);
    ecki_free(choice);
    return status;
}

static eck_status ranks_find(ecki_extracting *job, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_adapter_budget *b = &job->options->budget;
    const bool rule = b->energy >= 0 || b->error >= 0;

    ECK_REQUIRE(b->bytes_part < 0, ECK_E_RANGE, -1, "a size must be in bytes: nothing was before");
    ECK_REQUIRE((b->energy >= 0) + (b->error >= 0) + (b->bytes >= 0) <= 1, ECK_E_RANGE, -1,
                "more than one of energy, error and size");
    ECK_REQUIRE(b->energy <= 1 && b->error < 1 && b->rank != 0, ECK_E_RANGE, -1,
                "energy at most 1, error below 1, rank at least 1");
    ECK_REQUIRE(rule || b->bytes >= 0 || b->rank > 0, ECK_E_RANGE, -1,
                "no budget: give a rank, an energy, an error or a size");
    if (!rule && b->bytes < 0) {
        for (int64_t i = 0; i < job->count; i++)
            job->targets[i].rank = ecki_min(b->rank, job->targets[i].full);
        goto done;
    }
    ECK_TRY(values_find(job, err));
    if (b->bytes >= 0) {
        ECK_TRY(ranks_by_size(job, err));
        goto done;
    }
    for (int64_t i = 0; i < job->count; i++) {
        ecki_extract_target *t = &job->targets[i];
        const eck_layer *l = &job->base->layers[t->layer].view;
        int64_t k = 1;
        while (b->error >= 0 && k < t->full &&
               hypot(t->tails[k], eck_storage_floor(store_of(job, t))) > b->error)
            k++;
        if (b->energy >= 0) k = rank_for(t, l, b->energy);
        t->rank = b->rank > 0 ? ecki_min(k, b->rank) : k;
    }
done:
    return status;
}

/* ---- factors ------------------------------------------------------------------------------- */

enum { TURNED = 16 }; // numbers of a column that become a piece of a row together

/** What columns of u and v of a compact SVD, where one side has all of the values, are multiplied by so that they are split as
 *  was asked. */
static void weigh(double *left, double *right, const eck_svd *svd, bool turned, eck_split split)
{
    const double *const s = svd->s->data;
    const bool near_right = svd->orthonormal == ECK_SIDE_RIGHT;

    if (turned && split != ECK_SPLIT_BALANCED)
        split = split == ECK_SPLIT_LEFT ? ECK_SPLIT_RIGHT : ECK_SPLIT_LEFT;
    for (int64_t p = 0; p < svd->rank; p++) {
        // what the value becomes on the left; a value of zero has nothing to share
        const double l = s[p] == 0                  ? 1
                         : split == ECK_SPLIT_LEFT  ? s[p]
                         : split == ECK_SPLIT_RIGHT ? 1
                                                    : sqrt(s[p]);
        const double whole = s[p] == 0 ? 1 : s[p];
        left[p] = near_right ? l / whole : l;
        right[p] = near_right ? whole / l : 1 / l;
    }
}

/** first [k,n] = sqrt(s) V^T and last [m,k] = U sqrt(s), or as split, in F64, from compact factors; these change places if
 *  the transpose was decomposed. */
static eck_status factors_of(eck_array **first_out, eck_array **last_out, const eck_svd *svd,
                             bool turned, eck_split split, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t m = turned ? svd->cols : svd->rows, n = turned ? svd->rows : svd->cols;
    const int64_t k = svd->rank;
    const double *const u = turned ? svd->v->data : svd->u->data;
    const double *const v = turned ? svd->u->data : svd->v->data;
    double *left = NULL, *right = NULL;

    ECK_TRY(eck_array_create(first_out, ECK_DTYPE_F64, 2, (int64_t[]){ k, n }, err));
    ECK_TRY(eck_array_create(last_out, ECK_DTYPE_F64, 2, (int64_t[]){ m, k }, err));
    ECK_ALLOC_RAW(left, k);
    ECK_ALLOC_RAW(right, k);
    weigh(left, right, svd, turned, split);
    const double *const by_u = turned ? right : left, *const by_v = turned ? left : right;
    double *first = (*first_out)->data, *last = (*last_out)->data;
    for (int64_t i = 0; i < m; i++)
        for (int64_t p = 0; p < k; p++)
            last[i * k + p] = u[i * k + p] * by_u[p];
    for (int64_t j = 0; j < n; j += TURNED)
        for (int64_t p = 0; p < k; p++)
            for (int64_t i = j; i < ecki_min(n, j + TURNED); i++)
                first[p * n + i] = v[i * k + p] * by_v[p];
done:
    ecki_free(right);
    ecki_free(left);
    return status;
}

/** || difference - last first || / || difference || of the factors as stored. */
static eck_status certify(double *out, const ecki_extracting *job, const ecki_difference_pair *pair,
                          const eck_array *first, const eck_array *last, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_view f = eck_array_view(first), l = eck_array_view(last);
    eck_operator *a = NULL, *b = NULL, *product = NULL;
    eck_certificate certificate;

    ECK_TRY(eck_operator_dense(&a, pair->turned ? eck_view_transposed(l) : f, err));
    ECK_TRY(eck_operator_dense(&b, pair->turned ? eck_view_transposed(f) : l, err));
    ECK_TRY(eck_operator_product(&product, b, a, 1, err));
    ECK_TRY(ecki_certify_narrow(&certificate, pair->difference, product, job->context, err));
    *out = certificate.error;
done:
    eck_operator_free(product);
    eck_operator_free(b);
    eck_operator_free(a);
    return status;
}

/** What is true of the held difference is true of the real one to within `rounded`, relative to its norm. */
static void change_fill(eck_adapter_change *change, ecki_extract_target *t, const eck_layer *l,
                        const eck_certificate *certificate, double rounded)
{
    const double error = change->error;
    change->rank = t->rank;
    change->optimum_low = fmax(0, certificate->optimum_low - rounded);
    change->optimum_high = fmin(1, certificate->optimum_high + rounded);
    change->norm = sqrt(t->sums.difference);
    change->noise = sqrt(t->sums.noise);
    change->energy = 1 - error * error;
    change->energy_clean =
        ecki_clean_energy(error, t->rank, &t->sums, l->dense.out, ecki_stage_columns(&l->dense));
    change->rank50 = rank_for(t, l, 0.5);
    change->rank80 = rank_for(t, l, 0.8);
    change->rank90 = rank_for(t, l, 0.9);
}

static eck_status extract_layer(ecki_extracting *job, int64_t index, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_extract_target *t = &job->targets[index];
    const eck_layer *l = &job->base->layers[t->layer].view;
    ecki_difference_pair pair = { 0 };
    eck_svd *svd = NULL;
    eck_array *wide_first = NULL, *wide_last = NULL, *first = NULL, *last = NULL;
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    double error = 0;

    options.engine = job->options->engine;
    options.excess = job->options->excess;
    options.rank = t->rank;
    options.store = ECK_DTYPE_F64;
    options.proof = ECK_PROOF_TAIL;
    options.want = ECK_WANT_COMPACT;
    ECK_TRY(ecki_progress(job->context, "extracting", index, job->count, err));
    ECK_TRY(ecki_difference_open(&pair, job->base, t->layer, job->tuned, t->entry, err));
    ECK_TRY(ecki_difference_hold(&pair, &job->room, job->context, err));
    const eck_context rest = beside_room(job);
    ECK_TRY(eck_svd_compute(&svd, pair.difference, &options, &rest, err));
    if (!t->tails) ECK_TRY(tails_find(t, svd, err));
    ECK_TRY(factors_of(&wide_first, &wide_last, svd, pair.turned, job->options->write.split, err));
    ECK_TRY(eck_array_convert(&first, eck_array_view(wide_first), store_of(job, t), err));
    ECK_TRY(eck_array_convert(&last, eck_array_view(wide_last), store_of(job, t), err));
    ECK_TRY(certify(&error, job, &pair, first, last, err));
    ECK_REQUIRE(isfinite(error), ECK_E_RANGE, -1, "a factor leaves the range of %s",
                eck_dtype_name(store_of(job, t)));
    const double rounded = pair.rounded / sqrt(t->sums.difference);
    eck_adapter_change *change = &job->outcome->changes[index];
    change->error = fmin(error + rounded, 1);
    change->engine = svd->engine;
    change_fill(change, t, l, &svd->certificate, rounded);
    if (job->writer) ECK_TRY(ecki_adapter_writer_put(job->writer, index, first, last, err));
done:
    if (status != ECK_OK) ecki_error_where(err, status, job->tuned->path, l->name);
    eck_array_free(wide_first);
    eck_array_free(wide_last);
    eck_array_free(first);
    eck_array_free(last);
    eck_svd_free(svd);
    ecki_difference_close(&pair);
    return status;
}

/* ---- the whole ----------------------------------------------------------------------------- */

/** The name of a layer in the layout asked for. */
static char *spell(const ecki_extracting *job, const char *layer)
{
    const char *component = job->options->component ? job->options->component : "unet";
    const char *prefix = ecki_kohya_prefix(component, false);

    if (job->options->layout == ECK_ADAPTER_PEFT) return ecki_strdup(layer);
    if (job->options->layout == ECK_ADAPTER_DIFFUSERS)
        return ecki_format("%s.%s", component, layer);
    char *name = ecki_format("%s_%s", prefix ? prefix : component, layer);
    for (char *at = name; at && *at; at++)
        if (*at == '.') *at = '_';
    return name;
}

static eck_status describe(ecki_extracting *job, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_adapter_layout layout = job->options->layout;
    bool mixed = false;

    ECK_ALLOC(job->modules, job->count);
    ECK_ALLOC(job->outcome->changes, job->count);
    for (int64_t i = 0; i < job->count; i++) {
        ecki_extract_target *t = &job->targets[i];
        const eck_layer *l = &job->base->layers[t->layer].view;
        const bool lookup = l->dense.kind == ECK_STAGE_LOOKUP;
        ECK_REQUIRE(!lookup || layout == ECK_ADAPTER_PEFT, ECK_E_UNSUPPORTED, -1,
                    "%s has no place for the embedding '%s'; exclude it",
                    eck_adapter_layout_name(layout), l->name);
        t->name = spell(job, l->name);
        ECK_HAVE(t->name);
        mixed = mixed || t->rank != job->targets[0].rank;
        job->modules[i] = (ecki_out_module){
            .name = t->name,
            .spelling = layout == ECK_ADAPTER_KOHYA ? ECKI_SPELLING_KOHYA
                        : lookup                    ? ECKI_SPELLING_EMBEDDING
                                                    : ECKI_SPELLING_AB,
            .dense = l->dense,
            .rank = t->rank,
            .alpha = (double)t->rank,
            .dtype = store_of(job, t),
            .source = -1,
            .has_alpha = layout == ECK_ADAPTER_KOHYA,
        };
        ECK_TRY(ecki_outcome_change(&job->outcome->changes[i], t->name, err));
        job->outcome->count++;
    }
    for (int64_t i = 0; i < job->count; i++) {
        if (mixed && layout == ECK_ADAPTER_DIFFUSERS) job->modules[i].has_alpha = true;
        job->outcome->bytes_after += ecki_out_module_bytes(&job->modules[i], layout);
    }
    for (int64_t i = 0; i < job->extra_count; i++)
        job->outcome->bytes_after += job->tuned->tensors[job->extra_entries[i]].bytes;
done:
    return status;
}

/** The files of both models, base first, with their digests. */
typedef struct hashing {
    const eck_model *models[2];
    char (*hex)[ECKI_HASH_HEX];
} hashing;

static eck_status hash_file(void *self, int64_t index, eck_error *err)
{
    const hashing *job = self;
    const int64_t first = job->models[0]->container->file_count;
    const ecki_container *c = job->models[index < first ? 0 : 1]->container;
    return ecki_file_hash(job->hex[index], &c->files[index < first ? index : index - first], err);
}

/** {"name", "sha256": {file: hash}}. */
static eck_status source_record(json_t **out, const eck_model *model,
                                char (*const hex)[ECKI_HASH_HEX], eck_error *err)
{
    eck_status status = ECK_OK;
    json_t *hashes = json_object(), *record = NULL;

    ECK_HAVE(hashes);
    for (int32_t i = 0; i < model->container->file_count; i++) {
        const ecki_file *file = &model->container->files[i];
        const char *slash = strrchr(file->name, '/');
        json_object_set_new(hashes, slash ? slash + 1 : file->name, json_string(hex[i]));
    }
    const char *slash = strrchr(model->path, '/');
    record = json_pack("{s:s, s:O}", "name", slash && slash[1] ? slash + 1 : model->path, "sha256",
                       hashes);
    ECK_HAVE(record);
    *out = record;
done:
    json_decref(hashes);
    return status;
}

static eck_status record_build(ecki_extracting *job, eck_error *err)
{
    eck_status status = ECK_OK;
    json_t *base = NULL, *tuned = NULL;
    hashing files = { { job->base, job->tuned }, NULL };
    const int64_t first = job->base->container->file_count;
    const int64_t count = first + job->tuned->container->file_count;

    ECK_ALLOC(files.hex, count);
    ECK_TRY(ecki_parallel_for(count, ecki_threads(job->context), hash_file, &files, err));
    ECK_TRY(source_record(&base, job->base, files.hex, err));
    ECK_TRY(source_record(&tuned, job->tuned, files.hex + first, err));
    job->record =
        json_pack("{s:s, s:i, s:s, s:s, s:O, s:O}", "format", "eckart-adapter", "version", 1,
                  "made_by", "extract", "eckart", eck_version(), "base", base, "tuned", tuned);
    ECK_HAVE(job->record);
done:
    json_decref(base);
    json_decref(tuned);
    ecki_free(files.hex);
    return status;
}

/** GPT-2's Conv1D is told to PEFT by one flag for all linear layers. */
static bool any_transposed(const ecki_extracting *job)
{
    for (int64_t i = 0; i < job->count; i++) {
        const eck_layer *l = &job->base->layers[job->targets[i].layer].view;
        if (l->stored_transposed && l->dense.kind == ECK_STAGE_LINEAR) return true;
    }
    return false;
}

static eck_status write_all(ecki_extracting *job, eck_error *err)
{
    eck_status status = ECK_OK;
    const char *inputs[] = { job->base->path, job->tuned->path };
    ecki_out_spec spec = {
        .layout = job->options->layout,
        .path = job->options->write.path,
        .replace = job->options->write.replace,
        .inputs = inputs,
        .input_count = 2,
        .modules = job->modules,
        .count = job->count,
        .extras = job->extras,
        .extra_count = job->extra_count,
        .config = { .base_name = job->base->path,
                    .modules_to_save = (const char *const *)job->saved,
                    .modules_to_save_count = job->saved_count,
                    .bias = job->biases ? "lora_only" : NULL,
                    .fan_in_fan_out = any_transposed(job) },
    };

    ECK_TRY(record_build(job, err));
    spec.record = job->record;
    if (!job->options->write.dry_run) ECK_TRY(ecki_adapter_writer_create(&job->writer, &spec, err));
    for (int64_t i = 0; i < job->count; i++)
        ECK_TRY(extract_layer(job, i, err));
    ECK_TRY(ecki_extract_write_extras(job, err));
    ECK_TRY(ecki_container_unchanged(job->base->container, err));
    ECK_TRY(ecki_container_unchanged(job->tuned->container, err));
    if (job->writer) ECK_TRY(ecki_adapter_writer_publish(job->writer, err));
done:
    ecki_adapter_writer_free(job->writer);
    job->writer = NULL;
    return status;
}

/** Energies of all changes together. */
static void energies_total(ecki_extracting *job)
{
    double whole = 0, left = 0, clean = 0, clean_left = 0;

    for (int64_t i = 0; i < job->count; i++) {
        const eck_adapter_change *c = &job->outcome->changes[i];
        const double norm2 = c->norm * c->norm;
        const double pure = fmax(0, norm2 - c->noise * c->noise);
        whole += norm2;
        left += c->error * c->error * norm2;
        clean += pure;
        clean_left += (1 - c->energy_clean) * pure;
        job->outcome->bytes_before += job->tuned->tensors[job->targets[i].entry].bytes;
    }
    job->outcome->energy = whole > 0 ? 1 - left / whole : 1;
    job->outcome->energy_clean = clean > 0 ? 1 - clean_left / clean : 0;
}

static void extracting_clear(ecki_extracting *job)
{
    for (int64_t i = 0; job->targets && i < job->count; i++) {
        ecki_free(job->targets[i].tails);
        ecki_free(job->targets[i].name);
    }
    for (int64_t i = 0; job->extra_names && i < job->extra_count; i++)
        ecki_free(job->extra_names[i]);
    for (int64_t i = 0; job->saved && i < job->saved_count; i++)
        ecki_free(job->saved[i]);
    ecki_free(job->room.room);
    ecki_free(job->targets);
    ecki_free(job->expressed);
    ecki_free(job->modules);
    ecki_free(job->extras);
    ecki_free(job->extra_entries);
    ecki_free(job->extra_names);
    ecki_free(job->saved);
    json_decref(job->record);
}

eck_status eck_adapter_extract(eck_adapter_outcome *out, const eck_model *base,
                               const eck_model *tuned, const eck_extract_options *options,
                               const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_extract_options given = ECK_EXTRACT_OPTIONS_INIT;
    eck_adapter_outcome outcome = { .energy = -1, .energy_clean = -1 };
    ecki_extracting job = {
        .base = base, .tuned = tuned, .options = &given, .context = context, .outcome = &outcome
    };
    const double start = ecki_clock();

    ECK_REQUIRE(!options || options->version == 1 || options->version == 2, ECK_E_RANGE, -1,
                "unknown version %u of extraction options", options->version);
    if (options)
        memcpy(&given, options,
               options->version == 1 ? offsetof(eck_extract_options, engine) : sizeof given);
    outcome.layout = job.options->layout;
    ECK_REQUIRE(!job.options->full_modules || outcome.layout == ECK_ADAPTER_PEFT, ECK_E_UNSUPPORTED,
                -1, "%s has no place for whole modules", eck_adapter_layout_name(outcome.layout));
    ECK_TRY(targets_find(&job, err));
    ECK_TRY(ecki_extract_rest(&job, err));
    ECK_REQUIRE(job.count > 0, ECK_E_NOTHING, -1, "no selected layer of '%s' differs from '%s'",
                tuned->path, base->path);
    ECK_TRY(ranks_find(&job, err));
    ECK_TRY(describe(&job, err));
    ECK_TRY(write_all(&job, err));
    ecki_outcome_total(&outcome);
    energies_total(&job);
    outcome.seconds = ecki_clock() - start;
    *out = outcome;
    memset(&outcome, 0, sizeof outcome);
done:
    extracting_clear(&job);
    eck_adapter_outcome_clear(&outcome);
    return status;
}
