/**
 * From tensor names and shapes to layers, each with the reason why it is not to be factored, if there is one.
 *
 * Shapes decide what a weight is; names and config.json only say what shapes cannot: which matrices are looked up,
 * which are stored [in,out], which ones a parent module reads by itself. Reasons a user may overrule by `--include` are
 * told apart from impossible ones.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"
#include "decompose/adjoint.h"
#include "decompose/outline.h"
#include "model/graph.h"

/** What a reason function looks at. */
typedef struct subject {
    const eck_model *model;
    const eck_tensor *tensor;
    char module[1100]; /**< tensor name without ".weight" */
    const char *last; /**< last component of module */
    bool is_weight; /**< the name ends in ".weight" */
    bool conv1d; /**< stored [in,out] */
} subject;

typedef struct finding {
    char text[400]; /**< "" none */
    bool impossible;
} finding;

static bool ends_with(const char *text, const char *end)
{
    const size_t length = strlen(text), part = strlen(end);
    return length >= part && strcmp(text + length - part, end) == 0;
}

static bool one_of(const char *text, const char *const *list)
{
    for (; *list; list++)
        if (strcmp(text, *list) == 0) return true;
    return false;
}

/** True if the container holds `<module><suffix>`. */
static bool has_sibling(const subject *s, const char *module, const char *suffix)
{
    char name[1200];
    snprintf(name, sizeof name, "%s%s", module, suffix);
    return ecki_container_find(s->model->container, name) >= 0;
}

/** The module that holds this one: everything before the last dot, "" at the top. */
static void parent_of(char *out, size_t room, const char *module)
{
    const char *dot = strrchr(module, '.');
    snprintf(out, room, "%.*s", dot ? (int)(dot - module) : 0, module);
}

/** True if the parent of `module` holds a tensor of that name. */
static bool parent_has(const subject *s, const char *module, const char *name)
{
    char parent[1100], full[1300];
    parent_of(parent, sizeof parent, module);
    snprintf(full, sizeof full, "%s%s%s", parent, parent[0] ? "." : "", name);
    return ecki_container_find(s->model->container, full) >= 0;
}

static bool is_head(const subject *s)
{
    static const char *const names[] = { "lm_head", "embed_out", "vocab_projector", NULL };
    return s->tensor->ndim == 2 && (one_of(s->last, names) || strcmp(s->module, "output") == 0 ||
                                    ends_with(s->module, "predictions.decoder"));
}

/** Tables that are looked up. Names that go on after "embed" are matrices between embeddings and the rest. */
static bool is_embedding(const subject *s)
{
    static const char *const names[] = { "wte", "wpe", "shared", "emb", "relative_attention_bias",
                                         NULL };
    static const char *const matrices[] = { "embedder", "proj", "mapping", "linear", NULL };
    if (s->tensor->ndim != 2 || !s->is_weight || is_head(s)) return false;
    for (const char *const *word = matrices; *word; word++)
        if (strstr(s->last, *word)) return false;
    return strstr(s->last, "embed") || ends_with(s->last, "_emb") || one_of(s->last, names);
}

/** GPT-2's Conv1D holds [in,out]: told by model_type, or by the shape of a c_attn that makes three of one. */
static bool is_conv1d(const subject *s)
{
    static const char *const types[] = { "gpt2", "openai-gpt", "imagegpt", "decision_transformer",
                                         NULL };
    static const char *const modules[] = { "c_attn", "c_proj", "c_fc", "q_attn", NULL };
    const eck_model *model = s->model;

    if (s->tensor->ndim != 2 || !one_of(s->last, modules)) return false;
    if (model->model_type) return one_of(model->model_type, types);
    for (int64_t i = 0; i < model->container->entry_count; i++) {
        const eck_tensor *t = &model->tensors[i];
        if (t->ndim == 2 && ends_with(t->name, "c_attn.weight"))
            return t->shape[1] == 3 * t->shape[0];
    }
    return false;
}

static void find_reason_type(finding *f, const subject *s)
{
    static const char *const scales[] = {
        ".weight_scale_inv", ".weight_scale", ".SCB", ".weight.absmax", ".scales", ".qzeros", NULL
    };
    f->impossible = true;
    for (const char *const *scale = scales; *scale; scale++) {
        if (!has_sibling(s, s->module, *scale)) continue;
        snprintf(f->text, sizeof f->text, "quantised: its scales are in '%.200s%s'", s->module,
                 *scale);
        return;
    }
    if (!eck_dtype_is_weight(s->tensor->dtype))
        snprintf(f->text, sizeof f->text, "type %s holds no weights",
                 eck_dtype_name(s->tensor->dtype));
}

static void find_reason_conv(finding *f, const subject *s)
{
    const eck_tensor *t = s->tensor;
    const char *text = NULL;

    if (t->ndim < 3) return;
    f->impossible = true;
    if (!s->is_weight || t->ndim > 5)
        text = "not the weight of a linear, convolution or embedding layer";
    else if (strstr(s->module, "transpose") || strstr(s->module, "deconv"))
        text = "transposed convolution";
    else if (t->shape[1] == 1 && t->shape[0] > 1)
        text = "depthwise convolution";
    if (text) {
        snprintf(f->text, sizeof f->text, "%s", text);
        return;
    }
    f->impossible = false;
    if (t->shape[1] <= 4) snprintf(f->text, sizeof f->text, "stem convolution");
}

/** Weights whose parent module reads them itself: a chain in their place would break its forward. */
static void find_reason_parent(finding *f, const subject *s)
{
    const char *text = NULL;

    if (ends_with(s->tensor->name, "in_proj_weight") ||
        (strcmp(s->last, "out_proj") == 0 && parent_has(s, s->module, "in_proj_weight")))
        text = "its parent reads it (MultiheadAttention)";
    else if ((strcmp(s->last, "linear1") == 0 || strcmp(s->last, "linear2") == 0) &&
             parent_has(s, s->module, "self_attn.in_proj_weight"))
        text = "its parent reads it (TransformerEncoderLayer)";
    else if (strstr(s->tensor->name, "weight_ih_l") || strstr(s->tensor->name, "weight_hh_l"))
        text = "its parent reads it (LSTM or GRU)";
    else if (s->tensor->ndim == 2 && !s->is_weight &&
             (strcmp(s->model->container->format, "safetensors") == 0 ||
              strcmp(s->model->container->format, "torch") == 0))
        text = "a bare parameter: its parent reads it";
    f->impossible = text != NULL;
    if (text) snprintf(f->text, sizeof f->text, "%s", text);
}

/** What chooses experts: named so, itself or the module that holds it, or a gate far wider than it is tall. */
static bool is_router(const subject *s)
{
    const eck_tensor *t = s->tensor;
    char parent[1100];

    parent_of(parent, sizeof parent, s->module);
    return strcmp(s->last, "router") == 0 || ends_with(parent, ".router") ||
           (strcmp(s->last, "gate") == 0 && t->shape[0] * 4 <= t->shape[1]);
}

static void find_reason_role(finding *f, const subject *s)
{
    const eck_tensor *t = s->tensor;
    const char *text = NULL;

    if (t->ndim != 2) return;
    if (is_embedding(s))
        text = strstr(s->last, "pos") || strcmp(s->last, "wpe") == 0 ? "position embeddings"
                                                                     : "embeddings";
    else if (is_router(s))
        text = "router";
    else if (is_head(s))
        text = "language-model head";
    if (text) snprintf(f->text, sizeof f->text, "%s", text);
}

static void find_reason_size(finding *f, const eck_stage *dense)
{
    if (eck_break_even_rank(dense) > 0) return;
    f->impossible = true;
    snprintf(f->text, sizeof f->text, "no rank makes it smaller");
}

/** The first reason found, in the order: cannot, should not. */
static void find_reason(finding *f, const subject *s, const eck_stage *dense)
{
    memset(f, 0, sizeof *f);
    find_reason_type(f, s);
    if (!f->text[0]) find_reason_conv(f, s);
    if (!f->text[0]) find_reason_parent(f, s);
    if (!f->text[0]) find_reason_size(f, dense);
    if (f->text[0]) return;
    f->impossible = false;
    find_reason_role(f, s);
}

static void subject_init(subject *s, const eck_model *model, const eck_tensor *tensor)
{
    memset(s, 0, sizeof *s);
    s->model = model;
    s->tensor = tensor;
    s->is_weight = ends_with(tensor->name, ".weight");
    snprintf(s->module, sizeof s->module, "%.*s",
             (int)(strlen(tensor->name) - (s->is_weight ? strlen(".weight") : 0)), tensor->name);
    const char *dot = strrchr(s->module, '.');
    s->last = dot ? dot + 1 : s->module;
    s->conv1d = is_conv1d(s);
}

/** The layer a weight makes: linear, stored either way, looked up, or a convolution with groups 1. */
static eck_stage stage_of(const subject *s)
{
    const eck_tensor *t = s->tensor;

    if (t->ndim > 2) {
        const int32_t spatial = t->ndim - 2 <= ECK_SPATIAL_MAX ? t->ndim - 2 : ECK_SPATIAL_MAX;
        return eck_stage_conv(t->shape[1], t->shape[0], 1, spatial, t->shape + 2);
    }
    if (is_embedding(s)) {
        eck_stage stage = eck_stage_linear(t->shape[0], t->shape[1]);
        stage.kind = ECK_STAGE_LOOKUP;
        return stage;
    }
    return s->conv1d ? eck_stage_linear(t->shape[0], t->shape[1])
                     : eck_stage_linear(t->shape[1], t->shape[0]);
}

/** A bias that is no vector of the layer's outputs cannot go to a chain's last stage. */
static void find_reason_bias(finding *f, const eck_model *model, const eck_layer *layer)
{
    if (layer->bias < 0) return;
    const eck_tensor *bias = &model->tensors[layer->bias];
    if (bias->ndim == 1 && bias->shape[0] == layer->dense.out) return;
    f->impossible = true;
    snprintf(f->text, sizeof f->text, "its bias does not fit its weight");
}

static eck_status layer_describe(ecki_layer *layer, const eck_model *model, int64_t index,
                                 eck_error *err)
{
    eck_status status = ECK_OK;
    subject s;
    finding f;
    char bias[1200];

    subject_init(&s, model, &model->tensors[index]);
    layer->module = -1;
    layer->name = ecki_strdup(s.module);
    ECK_HAVE(layer->name);
    layer->view.name = layer->name;
    layer->view.dense = stage_of(&s);
    layer->view.weight = index;
    layer->view.stored_transposed = s.conv1d || layer->view.dense.kind == ECK_STAGE_LOOKUP;
    snprintf(bias, sizeof bias, "%s.bias", s.module);
    layer->view.bias = s.is_weight ? ecki_container_find(model->container, bias) : -1;
    find_reason(&f, &s, &layer->view.dense);
    if (!f.text[0] || !f.impossible) find_reason_bias(&f, model, &layer->view);
    if (f.text[0]) {
        layer->reason = ecki_strdup(f.text);
        ECK_HAVE(layer->reason);
        layer->impossible = f.impossible;
    }
done:
    return status;
}

static eck_status layer_from_module(ecki_layer *layer, const eck_model *model, int32_t index,
                                    eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_module *module = &model->manifest->modules[index];

    layer->module = index;
    layer->name = ecki_strdup(module->name);
    ECK_HAVE(layer->name);
    layer->reason = ecki_strdup("factored already");
    ECK_HAVE(layer->reason);
    layer->impossible = true;
    layer->view.name = layer->name;
    layer->view.dense = ecki_module_dense(module);
    layer->view.stored_transposed =
        layer->view.dense.kind == ECK_STAGE_LOOKUP || strcmp(module->kind, "conv1d_gpt2") == 0;
    layer->view.weight = -1;
    layer->view.bias = module->bias ? ecki_container_find(model->container, module->bias) : -1;
    layer->view.factored = true;
    layer->view.method = module->method;
done:
    return status;
}

/** claimed[entry] = 1 + module for the tensors of chains; the first stage's entry is where the layer stands. */
static void claim_stages(int32_t *claimed, const eck_model *model)
{
    const ecki_manifest *manifest = model->manifest;
    for (int64_t m = 0; manifest && m < manifest->module_count; m++) {
        const ecki_module *module = &manifest->modules[m];
        for (int32_t i = 0; i < module->stage_count; i++)
            claimed[ecki_container_find(model->container, module->stages[i].weight)] =
                (int32_t)m + 1;
    }
}

static bool is_first_stage(const eck_model *model, int32_t module, int64_t entry)
{
    const char *first = model->manifest->modules[module].stages[0].weight;
    return strcmp(first, model->tensors[entry].name) == 0;
}

/** True if both tensors have one type and shape, and the same bytes at three places: what a tied pair saved twice has. */
static eck_status same_sample(bool *out, const eck_model *model, int64_t a, int64_t b,
                              eck_error *err)
{
    eck_status status = ECK_OK;
    enum { SAMPLE = 4096 };
    char first[SAMPLE], second[SAMPLE];
    const eck_tensor *x = &model->tensors[a], *y = &model->tensors[b];
    bool same = x->dtype == y->dtype && x->bytes == y->bytes && x->shape[0] == y->shape[0];
    const int64_t count = ecki_min(SAMPLE, x->bytes);

    for (int i = 0; same && i < 3; i++) {
        const int64_t offset = (x->bytes - count) / 2 * i;
        ECK_TRY(ecki_container_read(model->container, a, offset, first, count, err));
        ECK_TRY(ecki_container_read(model->container, b, offset, second, count, err));
        same = memcmp(first, second, (size_t)count) == 0;
    }
    *out = same;
done:
    return status;
}

static eck_status tie(ecki_layer *layer, const char *other, eck_error *err)
{
    eck_status status = ECK_OK;
    if (layer->tied_to) return ECK_OK;
    layer->tied_to = ecki_strdup(other);
    ECK_HAVE(layer->tied_to);
    layer->view.tied_to = layer->tied_to;
    ecki_free(layer->reason);
    layer->reason = ecki_format("tied to '%.200s': both uses or none", other);
    ECK_HAVE(layer->reason);
    layer->impossible = true;
done:
    return status;
}

/**
 * Ties input embeddings to the head. A head that is stored decides by its bytes; one that is absent from a model with a head
 * is tied unless the configuration denies it. What tie_word_embeddings says of a stored head is not believed.
 */
static eck_status ties_find(eck_model *model, eck_error *err)
{
    eck_status status = ECK_OK;
    static const char *const inputs[] = {
        "wte", "embed_tokens", "word_embeddings", "tok_embeddings", "embed_in", "shared", NULL
    };
    ecki_layer *head = NULL;

    for (int64_t i = 0; i < model->layer_count; i++)
        if (model->layers[i].reason && strcmp(model->layers[i].reason, "language-model head") == 0)
            head = &model->layers[i];
    for (int64_t i = 0; i < model->layer_count; i++) {
        ecki_layer *layer = &model->layers[i];
        const char *dot = strrchr(layer->name, '.');
        bool same = false;
        if (layer->view.factored || !one_of(dot ? dot + 1 : layer->name, inputs)) continue;
        if (!head && model->has_head && (!model->ties_known || model->ties_embeddings))
            ECK_TRY(tie(layer, model->causal ? "lm_head" : "the head", err));
        if (!head || head->view.factored) continue;
        ECK_TRY(same_sample(&same, model, layer->view.weight, head->view.weight, err));
        if (!same) continue;
        ECK_TRY(tie(layer, head->name, err));
        ECK_TRY(tie(head, layer->name, err));
    }
done:
    return status;
}

/** A layer's name beside its index, for sorting without a global. */
typedef struct named {
    const char *name;
    bool impossible;
    int64_t index;
} named;

/** By name; of a module and a bare parameter of one name, the one that can be factored comes first. */
static int by_name(const void *a, const void *b)
{
    const named *x = a, *y = b;
    const int order = strcmp(x->name, y->name);
    if (order != 0) return order;
    if (x->impossible != y->impossible) return x->impossible ? 1 : -1;
    return (x->index > y->index) - (x->index < y->index);
}

static eck_status index_create(eck_model *model, eck_error *err)
{
    eck_status status = ECK_OK;
    named *list = NULL;

    ECK_ALLOC(list, model->layer_count);
    ECK_ALLOC(model->layers_by_name, model->layer_count);
    for (int64_t i = 0; i < model->layer_count; i++)
        list[i] = (named){ model->layers[i].name, model->layers[i].impossible, i };
    qsort(list, (size_t)model->layer_count, sizeof *list, by_name);
    for (int64_t i = 0; i < model->layer_count; i++)
        model->layers_by_name[i] = list[i].index;
done:
    ecki_free(list);
    return status;
}

/** A layer and where its weight lies. */
typedef struct placed {
    int64_t layer, offset, bytes;
    int32_t file;
} placed;

static int by_place(const void *a, const void *b)
{
    const placed *x = a, *y = b;
    if (x->file != y->file) return x->file < y->file ? -1 : 1;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/** Ties weights that lie in one place: two names of one tensor in a checkpoint of PyTorch. */
static eck_status shared_find(eck_model *model, eck_error *err)
{
    eck_status status = ECK_OK;
    placed *list = NULL;

    if (strcmp(model->container->format, "torch") != 0) return ECK_OK;
    ECK_ALLOC(list, model->layer_count);
    for (int64_t i = 0; i < model->layer_count; i++) {
        const ecki_entry *entry = &model->container->entries[model->layers[i].view.weight];
        list[i] = (placed){ i, entry->offset, entry->bytes, entry->file };
    }
    qsort(list, (size_t)model->layer_count, sizeof *list, by_place);
    for (int64_t i = 1; i < model->layer_count; i++) {
        if (by_place(&list[i - 1], &list[i]) != 0 || list[i].bytes == 0) continue;
        ECK_TRY(tie(&model->layers[list[i].layer], model->layers[list[i - 1].layer].name, err));
        ECK_TRY(tie(&model->layers[list[i - 1].layer], model->layers[list[i].layer].name, err));
    }
done:
    ecki_free(list);
    return status;
}

eck_status ecki_layers_find(eck_model *model, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_container *container = model->container;
    const eck_selection selection = ECK_SELECTION_INIT;
    int32_t *claimed = NULL;

    ECK_ALLOC(claimed, container->entry_count);
    ECK_ALLOC(model->layers, container->entry_count);
    claim_stages(claimed, model);
    for (int64_t i = 0; i < container->entry_count; i++) {
        ecki_layer *layer = &model->layers[model->layer_count];
        if (claimed[i]) {
            if (!is_first_stage(model, claimed[i] - 1, i)) continue;
            model->layer_count++;
            ECK_TRY(layer_from_module(layer, model, claimed[i] - 1, err));
        } else if (container->entries[i].ndim >= 2) {
            model->layer_count++;
            ECK_TRY(container->onnx
                        ? ecki_graph_describe(layer, model, container->onnx->by_entry[i], err)
                        : layer_describe(layer, model, i, err));
        }
    }
    ECK_TRY(ties_find(model, err));
    ECK_TRY(shared_find(model, err));
    ECK_TRY(index_create(model, err));
    ECK_TRY(eck_model_select(model, &selection, err));
done:
    ecki_free(claimed);
    return status;
}

void ecki_layers_clear(eck_model *model)
{
    for (int64_t i = 0; i < model->layer_count; i++) {
        ecki_layer *layer = &model->layers[i];
        ecki_free(layer->name);
        ecki_free(layer->tied_to);
        ecki_free(layer->reason);
        ecki_free(layer->selected_reason);
        ecki_layer_forget(layer);
    }
    ecki_free(model->layers);
    ecki_free(model->layers_by_name);
    model->layers = NULL;
    model->layers_by_name = NULL;
    model->layer_count = 0;
}

int64_t ecki_layer_find(const eck_model *model, const char *name)
{
    int64_t low = 0, high = model->layer_count;

    // The first whose name is not below the one wanted.
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (strcmp(model->layers[model->layers_by_name[middle]].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == model->layer_count) return -1;
    const int64_t index = model->layers_by_name[low];
    return strcmp(model->layers[index].name, name) == 0 ? index : -1;
}

bool ecki_layer_takes(const ecki_layer *layer, eck_method method)
{
    const eck_stage *dense = &layer->view.dense;
    eck_stage stages[ECKI_STAGES_MAX];
    const int64_t ranks[ECK_RANKS_MAX] = { 1, 1, 1, 1 };
    int32_t moving = 0;

    if (!eck_method_applies(method, dense)) return false;
    if (!layer->sized) return true;
    // Kinds of stages do not depend on ranks.
    const int32_t count = ecki_outline(stages, dense, method, ranks);
    for (int32_t i = 0; i < count; i++)
        moving += ecki_is_adjoint(&stages[i]);
    return moving == 1;
}

const char *ecki_layer_kind(const eck_layer *layer)
{
    switch (layer->dense.kind) {
    case ECK_STAGE_CONV:
        return "conv";
    case ECK_STAGE_CONV_TRANSPOSE:
        return "conv_transpose";
    case ECK_STAGE_LOOKUP:
        return "embedding";
    default:
        return layer->stored_transposed ? "conv1d_gpt2" : "linear";
    }
}
