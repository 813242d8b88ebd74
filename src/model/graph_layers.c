/**
 * From the tensors of a graph to layers. Here nodes decide what a weight is, not names: every use is known, and a weight
 * can be factored only if each of its uses is one whose sum of products a chain can stand for.
 */
#include <ctype.h>
#include <stdarg.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"
#include "eckart/decompose.h"
#include "model/graph.h"

enum { OPSET_MIN = 7, OPSET_PLAIN_GEMM = 11, IR_DEFAULTS = 4, HOPS_MAX = 4, NAME_ROOM = 900 };

/** A search through the uses of a weight. reason "": none against it so far. */
typedef struct search {
    const eck_model *model;
    const ecki_onnx *onnx;
    const ecki_onnx_tensor *tensor;
    ecki_sites sites;
    bool transposed; /**< the uses see the stored matrix as [in,out] */
    bool by_rows, by_columns; /**< factors must be stored [out,in]; [in,out] */
    eck_stage stage;
    char reason[300];
    bool impossible;
    bool sized; /**< some use has an output_shape */
    bool whole; /**< every use was followed */
} search;

/** Notes the first reason against factoring. */
static void refuse(search *s, const char *format, ...) ECKI_PRINTF(2, 3);
static void refuse(search *s, const char *format, ...)
{
    va_list arguments;
    if (s->reason[0]) return;
    va_start(arguments, format);
    ecki_vformat(s->reason, sizeof s->reason, format, arguments);
    va_end(arguments);
    s->impossible = true;
}

/** What a node is called in a reason. */
static const char *called(const ecki_onnx_node *node)
{
    return node->name[0] ? node->name : node->type;
}

/* ---- stages of uses ----------------------------------------------------------------------------------------------- */

/** `count` integers of an attribute, each at least `least`; the default where it is absent; false if they do not fit. */
static bool read_list(int64_t *out, const search *s, const ecki_onnx_node *node, const char *name,
                      int32_t count)
{
    const ecki_onnx_attribute *a = ecki_onnx_attribute_of(s->onnx, node, name);
    if (!a || a->int_count == 0) return true;
    if (a->int_count != count) return false;
    for (int32_t i = 0; i < count; i++)
        out[i] = s->onnx->integers[a->ints + i];
    return true;
}

/** The stage a Conv or ConvTranspose makes of the weight; kind 0 if its attributes do not fit. */
static eck_stage conv_stage(const search *s, const ecki_onnx_node *node, bool transposed)
{
    const ecki_entry *entry = &s->model->container->entries[s->tensor->entry];
    const eck_stage none = { .groups = 1 };
    const int32_t spatial = entry->ndim - 2;
    const int64_t groups = ecki_onnx_integer(s->onnx, node, "group", 1);
    int64_t kernel[ECK_SPATIAL_MAX] = { 0 }, other;

    if (spatial < 1 || spatial > ECK_SPATIAL_MAX || groups < 1 || entry->shape[0] % groups != 0 ||
        !ecki_mul(entry->shape[1], groups, &other))
        return none;
    memcpy(kernel, entry->shape + 2, (size_t)spatial * sizeof *kernel);
    const int64_t first = entry->shape[0];
    eck_stage stage = transposed ? eck_stage_conv(first, other, groups, spatial, kernel)
                                 : eck_stage_conv(other, first, groups, spatial, kernel);
    if (transposed) stage.kind = ECK_STAGE_CONV_TRANSPOSE;
    for (int32_t i = 0; i < spatial; i++)
        stage.stride[i] = stage.dilation[i] = 1;
    if (!read_list(stage.stride, s, node, "strides", spatial) ||
        !read_list(stage.dilation, s, node, "dilations", spatial) ||
        !read_list(kernel, s, node, "kernel_shape", spatial) ||
        memcmp(kernel, stage.kernel, (size_t)spatial * sizeof *kernel) != 0)
        return none;
    for (int32_t i = 0; i < spatial; i++)
        if (stage.stride[i] < 1 || stage.dilation[i] < 1) return none;
    return stage;
}

/** The linear stage of a matrix; [out,in] unless transposed. */
static eck_stage linear_stage(const search *s, bool transposed)
{
    const int64_t *shape = s->model->container->entries[s->tensor->entry].shape;
    return transposed ? eck_stage_linear(shape[0], shape[1]) : eck_stage_linear(shape[1], shape[0]);
}

/** Notes one use; all of a weight must make the same of it. */
static eck_status add_site(search *s, int64_t node, ecki_site_kind kind, eck_stage stage,
                           bool transposed, eck_error *err)
{
    ecki_sites *sites = &s->sites;
    if (sites->count == 0) {
        s->stage = stage;
        s->transposed = transposed;
    } else if (s->stage.kind != stage.kind || s->transposed != transposed ||
               s->stage.groups != stage.groups) {
        refuse(s, "tied: '%.100s' and '%.100s' use it in different ways",
               called(&s->onnx->nodes[sites->list[0].node]), called(&s->onnx->nodes[node]));
        return ECK_OK;
    }
    ecki_site *list = ecki_grow(sites->list, sites->count, sizeof *list);
    if (!list) return ecki_error_memory(err, -1);
    sites->list = list;
    list[sites->count++] = (ecki_site){ node, kind };
    return ECK_OK;
}

/** A matrix product: which side the weight stands on, and how its factors must lie. */
static eck_status add_product(search *s, const ecki_onnx_use *use, bool gemm, bool turned,
                              eck_error *err)
{
    const ecki_onnx_node *node = &s->onnx->nodes[use->index];
    const bool left = use->slot == 0;
    const ecki_site_kind kind = gemm ? (left ? ECKI_SITE_GEMM_LEFT : ECKI_SITE_GEMM)
                                     : (left ? ECKI_SITE_MATMUL_LEFT : ECKI_SITE_MATMUL);
    const bool flag = gemm && ecki_onnx_integer(s->onnx, node, left ? "transA" : "transB", 0) != 0;
    // what the node multiplies with is [out,in] on the left, [in,out] on the right
    const bool transposed = (left == flag) != turned;
    // a Gemm without an addend is there from opset 11 on; before, the first product is a MatMul
    const bool plain = !gemm || s->onnx->opset < OPSET_PLAIN_GEMM;
    const bool other = gemm && ecki_onnx_integer(s->onnx, node, left ? "transB" : "transA", 0) != 0;

    if (use->slot > 1) {
        refuse(s, "'%.200s' adds it", called(node));
        return ECK_OK;
    }
    if (gemm && plain && other)
        refuse(s, "'%.200s' transposes its input, below opset %d", called(node), OPSET_PLAIN_GEMM);
    s->by_rows = s->by_rows || (plain && left);
    s->by_columns = s->by_columns || (plain && !left);
    if (s->by_rows && s->by_columns) refuse(s, "tied: it multiplies from both sides");
    return add_site(s, use->index, kind, linear_stage(s, transposed), transposed, err);
}

/** Rows of a table. */
static eck_status add_lookup(search *s, const ecki_onnx_use *use, bool turned, eck_error *err)
{
    const ecki_onnx_node *node = &s->onnx->nodes[use->index];
    eck_stage stage = linear_stage(s, true);

    stage.kind = ECK_STAGE_LOOKUP;
    if (use->slot != 0 || turned || ecki_onnx_integer(s->onnx, node, "axis", 0) != 0)
        refuse(s, "'%.200s' takes it apart in another way", called(node));
    return add_site(s, use->index, ECKI_SITE_GATHER, stage, true, err);
}

/** A convolution. */
static eck_status add_conv(search *s, const ecki_onnx_use *use, bool transposed, eck_error *err)
{
    const ecki_onnx_node *node = &s->onnx->nodes[use->index];
    const eck_stage stage = conv_stage(s, node, transposed);

    if (use->slot != 1)
        refuse(s, "it is input %d of '%.200s'", use->slot, called(node));
    else if (stage.kind == 0)
        refuse(s, "the attributes of '%.200s' do not fit its shape", called(node));
    s->sized = s->sized || (transposed && ecki_onnx_attribute_of(s->onnx, node, "output_shape"));
    return add_site(s, use->index, transposed ? ECKI_SITE_CONV_TRANSPOSE : ECKI_SITE_CONV, stage,
                    false, err);
}

/* ---- the search --------------------------------------------------------------------------------------------------- */

static eck_status follow(search *s, const char *name, bool turned, int32_t hops, eck_error *err);

/** True if a node only turns the matrix it is given. */
static bool turns(const ecki_onnx *onnx, const ecki_onnx_node *node)
{
    const ecki_onnx_attribute *order = ecki_onnx_attribute_of(onnx, node, "perm");
    if (!ecki_onnx_is(onnx, node, "Transpose")) return false;
    return !order || (order->int_count == 2 && onnx->integers[order->ints] == 1 &&
                      onnx->integers[order->ints + 1] == 0);
}

/** Goes on behind a Transpose or Identity. */
static eck_status pass(search *s, int64_t index, bool turned, int32_t hops, eck_error *err)
{
    const ecki_onnx_node *node = &s->onnx->nodes[index];
    int64_t *between = ecki_grow(s->sites.between, s->sites.between_count, sizeof *between);

    if (!between) return ecki_error_memory(err, -1);
    s->sites.between = between;
    between[s->sites.between_count++] = index;
    if (node->graph != s->tensor->graph)
        refuse(s, "'%.200s' passes it on in an inner graph", called(node));
    return follow(s, ecki_onnx_output(s->onnx, node, 0), turned, hops + 1, err);
}

/** One node that is given the weight. */
static eck_status add_use(search *s, const ecki_onnx_use *use, bool turned, int32_t hops,
                          eck_error *err)
{
    const ecki_onnx *onnx = s->onnx;
    const ecki_onnx_node *node = &onnx->nodes[use->index];
    const int32_t ndim = s->model->container->entries[s->tensor->entry].ndim;

    if (ndim == 2 && ecki_onnx_is(onnx, node, "MatMul"))
        return add_product(s, use, false, turned, err);
    if (ndim == 2 && ecki_onnx_is(onnx, node, "Gemm"))
        return add_product(s, use, true, turned, err);
    if (ndim == 2 && ecki_onnx_is(onnx, node, "Gather")) return add_lookup(s, use, turned, err);
    if (ecki_onnx_is(onnx, node, "Conv")) return add_conv(s, use, false, err);
    if (ecki_onnx_is(onnx, node, "ConvTranspose")) return add_conv(s, use, true, err);
    if (hops < HOPS_MAX && ndim == 2 && turns(onnx, node))
        return pass(s, use->index, !turned, hops, err);
    if (hops < HOPS_MAX && ecki_onnx_is(onnx, node, "Identity"))
        return pass(s, use->index, turned, hops, err);
    if (node->name[0])
        refuse(s, "'%.100s' uses it as input %d of %.60s", node->name, use->slot, node->type);
    else
        refuse(s, "a %.60s uses it as input %d", node->type, use->slot);
    return ECK_OK;
}

/** All uses of a name. */
static eck_status follow(search *s, const char *name, bool turned, int32_t hops, eck_error *err)
{
    int64_t count = 0, definitions = 0;
    const ecki_onnx_use *uses = ecki_onnx_find(s->onnx, name, &count);
    eck_status status = ECK_OK;

    for (int64_t i = 0; i < count && status == ECK_OK && !s->reason[0]; i++) {
        switch (uses[i].role) {
        case ECKI_ONNX_IS_USED:
            status = add_use(s, &uses[i], turned, hops, err);
            break;
        case ECKI_ONNX_IS_OUTPUT:
            refuse(s, "it is an output of the graph");
            break;
        case ECKI_ONNX_IS_ANNOTATED:
            refuse(s, "quantised: its scale stands in an annotation");
            break;
        case ECKI_ONNX_IS_INPUT:
            if (s->onnx->ir_version >= IR_DEFAULTS)
                refuse(s, "an input of the graph may override it");
            break;
        case ECKI_ONNX_IS_TENSOR:
        case ECKI_ONNX_IS_MADE:
        case ECKI_ONNX_IS_SPARSE:
            if (definitions++ > 0) refuse(s, "its name stands for another value too");
            break;
        default:
            break;
        }
    }
    return status;
}

/** Reasons that lie in the model, not in the uses. */
static void check_model(search *s)
{
    const ecki_onnx *onnx = s->onnx;
    const ecki_entry *entry = &s->model->container->entries[s->tensor->entry];

    if (!eck_dtype_is_weight(entry->dtype))
        refuse(s, "type %s holds no weights", eck_dtype_name(entry->dtype));
    else if (onnx->training)
        refuse(s, "the model carries training information");
    else if (onnx->opset < OPSET_MIN)
        refuse(s, "operators of opset %lld, below %d", (long long)onnx->opset, OPSET_MIN);
    else if (onnx->ir_version < IR_DEFAULTS && s->tensor->graph != 0)
        refuse(s, "an initializer of an inner graph, below IR version %d", IR_DEFAULTS);
    else if (strlen(entry->name) > NAME_ROOM)
        refuse(s, "its name leaves no room for those of factors");
}

/** Reasons that lie in the stage. */
static void check_stage(search *s)
{
    const int64_t *shape = s->model->container->entries[s->tensor->entry].shape;

    if (s->sites.count == 0) refuse(s, "nothing uses it");
    if (s->stage.kind == ECK_STAGE_CONV && s->stage.groups > 1 && shape[1] == 1)
        refuse(s, "depthwise convolution");
    if (s->stage.kind == ECK_STAGE_CONV_TRANSPOSE && s->stage.groups > 1 && shape[1] == 1 &&
        shape[0] == s->stage.groups)
        refuse(s, "depthwise convolution");
    if (eck_break_even_rank(&s->stage) > 0) return;
    if (s->stage.groups > 1)
        refuse(s, "grouped convolution");
    else
        refuse(s, "no rank makes it smaller");
}

/** What should not be factored, but may be. */
static void check_role(search *s)
{
    const bool single = s->sites.count == 1;
    const char *node = single ? s->onnx->nodes[s->sites.list[0].node].name : "";
    const char *text = NULL;

    if (s->reason[0]) return;
    if (s->stage.kind == ECK_STAGE_LOOKUP)
        text = "embeddings";
    else if (s->stage.kind == ECK_STAGE_CONV && s->stage.in / s->stage.groups <= 4)
        text = "stem convolution";
    else if (strstr(node, "lm_head") || strstr(s->tensor->name, "lm_head"))
        text = "language-model head";
    if (!text) return;
    refuse(s, "%s", text);
    s->impossible = false;
}

/** Everything about the weight that is tensor `tensor` of the graph. */
static eck_status search_run(search *s, const eck_model *model, int64_t tensor, eck_error *err)
{
    *s = (search){ .model = model,
                   .onnx = model->container->onnx,
                   .tensor = &model->container->onnx->tensors[tensor] };
    s->sites.tensor = tensor;
    check_model(s);
    const eck_status status = follow(s, s->tensor->name, false, 0, err);
    if (status != ECK_OK) return status;
    s->whole = !s->reason[0];
    check_stage(s);
    check_role(s);
    s->sites.turned = s->by_columns || (!s->by_rows && s->transposed);
    return ECK_OK;
}

void ecki_sites_clear(ecki_sites *sites)
{
    ecki_free(sites->list);
    ecki_free(sites->between);
    memset(sites, 0, sizeof *sites);
}

/* ---- layers ------------------------------------------------------------------------------------------------------- */

/** True for a name that an exporter made up: "onnx::MatMul_123", "/model/Constant_output_0", "123". */
static bool is_made_up(const char *name)
{
    if (strncmp(name, "onnx::", 6) == 0 || strncmp(name, "val_", 4) == 0 || name[0] == '/')
        return true;
    for (; *name; name++)
        if (!isdigit((unsigned char)*name)) return false;
    return true;
}

/** The module: the weight's name without ".weight", or that of the only node that uses a weight whose name says nothing. */
static char *layer_name(const search *s)
{
    static const char ending[] = ".weight";
    const char *name = s->model->container->entries[s->tensor->entry].name;
    const size_t length = strlen(name), tail = sizeof ending - 1;

    if (length > tail && strcmp(name + length - tail, ending) == 0)
        return ecki_strndup(name, (int64_t)(length - tail));
    if (s->sites.count == 1 && is_made_up(name)) {
        const char *node = s->onnx->nodes[s->sites.list[0].node].name;
        if (node[0] && strlen(node) <= NAME_ROOM) return ecki_strdup(node);
    }
    return ecki_strdup(name);
}

/** What a tensor that no node uses as a weight looks like. */
static eck_stage plain_stage(const search *s)
{
    const ecki_entry *entry = &s->model->container->entries[s->tensor->entry];
    const int32_t spatial = ecki_min(entry->ndim - 2, ECK_SPATIAL_MAX);
    if (entry->ndim == 2) return linear_stage(s, false);
    return eck_stage_conv(entry->shape[1], entry->shape[0], 1, spatial, entry->shape + 2);
}

eck_status ecki_graph_describe(ecki_layer *layer, const eck_model *model, int64_t tensor,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    search s = { 0 };

    layer->module = -1;
    ECK_TRY(search_run(&s, model, tensor, err));
    layer->name = layer_name(&s);
    ECK_HAVE(layer->name);
    layer->view.name = layer->name;
    layer->view.dense = s.stage.kind ? s.stage : plain_stage(&s);
    layer->view.weight = s.tensor->entry;
    layer->view.bias = -1; // it stays where the last node finds it
    layer->view.stored_transposed = s.transposed;
    layer->sized = s.sized;
    if (!s.reason[0]) goto done;
    layer->reason = ecki_strdup(s.reason);
    ECK_HAVE(layer->reason);
    layer->impossible = s.impossible;
done:
    ecki_sites_clear(&s.sites);
    return status;
}

eck_status ecki_sites_find(ecki_sites *out, const eck_model *model, const ecki_layer *layer,
                           eck_error *err)
{
    eck_status status = ECK_OK;
    search s = { 0 };
    const int64_t entry = layer->view.weight;

    ECK_REQUIRE(entry >= 0, ECK_E_RANGE, -1, "layer '%s' of '%s' has no weight of its own",
                layer->name, model->path);
    ECK_TRY(search_run(&s, model, model->container->onnx->by_entry[entry], err));
    ECK_REQUIRE(!s.reason[0] || !s.impossible, ECK_E_RANGE, -1,
                "layer '%s' of '%s' cannot be factored: %s", layer->name, model->path, s.reason);
    *out = s.sites;
    s.sites = (ecki_sites){ 0 };
done:
    ecki_sites_clear(&s.sites);
    return status;
}

eck_status ecki_sites_seen(ecki_sites *out, eck_stage *stage_out, const eck_model *model,
                           int64_t entry, eck_error *err)
{
    eck_status status = ECK_OK;
    search s = { 0 };

    ECK_TRY(search_run(&s, model, model->container->onnx->by_entry[entry], err));
    if (!s.whole) goto done;
    *stage_out = s.stage;
    *out = s.sites;
    s.sites = (ecki_sites){ 0 };
done:
    ecki_sites_clear(&s.sites);
    return status;
}
