/**
 * Outputs of graphs: which spans of the source's file are replaced, and by what.
 *
 * A chain's tensors stand where the weight stood, in its form (an initializer, or Constant nodes); its nodes stand where
 * the node stood. Restoring is the same the other way round. Nothing else changes, but that tensors in external files
 * are told where they lie now. The edit is a function of source and request alone, which is how `verify` knows every byte
 * of an output without trusting it.
 */
#include <limits.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"
#include "format/container.h"
#include "format/input.h"
#include "model/graph.h"

enum { IR_DEFAULTS = 4, ALIGNMENT = 4096, RAW_DATA = 9 };

/** A tensor to be written. */
typedef struct fresh {
    const char *name;
    eck_dtype dtype;
    int32_t ndim;
    int64_t shape[ECK_DIMS_MAX], bytes;
} fresh;

static fresh fresh_tensor(const char *name, eck_dtype dtype, int32_t ndim, const int64_t *shape)
{
    fresh f = { .name = name, .dtype = dtype, .ndim = ndim, .bytes = eck_dtype_bits(dtype) / 8 };
    for (int32_t i = 0; i < ndim; i++) {
        f.shape[i] = shape[i];
        f.bytes *= shape[i];
    }
    return f;
}

/* ---- hexadecimal -------------------------------------------------------------------------------------------------- */

/** Bytes of the source as text; owned. */
static eck_status span_text(char **out, const eck_model *model, ecki_span span, eck_error *err)
{
    static const char digits[] = "0123456789abcdef";
    eck_status status = ECK_OK;
    const int64_t count = span.end - span.begin;
    unsigned char *bytes = NULL;
    char *text = NULL;

    ECK_ALLOC_RAW(bytes, count + 1);
    ECK_ALLOC_RAW(text, 2 * count + 1);
    ECK_TRY(ecki_input_read(&model->container->files[0], NULL, span.begin, bytes, count, err));
    for (int64_t i = 0; i < count; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    text[2 * count] = '\0';
    *out = text;
    text = NULL;
done:
    ecki_free(bytes);
    ecki_free(text);
    return status;
}

/** Value of a hexadecimal digit, -1 if it is none. */
static int32_t digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/** The bytes of a text as a file in memory; owned, ecki_input_close(). */
static eck_status text_file(ecki_file *out, const char *text, const ecki_module *module,
                            eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_file file = ECKI_FILE_NONE;
    const int64_t count = (int64_t)strlen(text);
    unsigned char *bytes = NULL;

    file.name = ecki_strdup(module->name);
    ECK_HAVE(file.name);
    file.path = ecki_strdup(module->name);
    ECK_HAVE(file.path);
    ECK_ALLOC_RAW(bytes, count / 2 + 1);
    file.memory = bytes;
    file.size = count / 2;
    for (int64_t i = 0; i < count; i++) {
        const int32_t value = digit(text[i]);
        ECK_REQUIRE(value >= 0 && count % 2 == 0, ECK_E_FORMAT, -1,
                    "cannot use the manifest: module '%s': a node is not in hexadecimal",
                    module->name);
        bytes[i / 2] = (unsigned char)(i % 2 ? bytes[i / 2] | value : value << 4);
    }
    *out = file;
    file = ECKI_FILE_NONE;
done:
    ecki_input_close(&file);
    return status;
}

/* ---- outline ------------------------------------------------------------------------------------------------------ */

/** Nodes of the source as texts. */
static eck_status nodes_text(ecki_strings *out, const eck_model *model, const int64_t *nodes,
                             int64_t count, eck_error *err)
{
    eck_status status = ECK_OK;

    ECK_ALLOC(out->list, count);
    for (int64_t i = 0; i < count; i++) {
        ECK_TRY(
            span_text(&out->list[i], model, model->container->onnx->nodes[nodes[i]].content, err));
        out->count++;
    }
done:
    return status;
}

eck_status ecki_graph_outline(ecki_module *module, const eck_model *model, const ecki_layer *layer,
                              eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_onnx *onnx = model->container->onnx;
    ecki_sites sites = { 0 };
    int64_t *nodes = NULL, taken;

    ECK_TRY(ecki_sites_find(&sites, model, layer, err));
    for (int32_t i = 0; i < module->stage_count; i++) {
        ecki_manifest_stage *stage = &module->stages[i];
        const bool looked_up = sites.list[0].kind == ECKI_SITE_GATHER;
        stage->turned = stage->stage.kind == ECK_STAGE_LINEAR && (looked_up || sites.turned);
        ecki_onnx_find(onnx, stage->weight, &taken);
        ECK_REQUIRE(taken == 0, ECK_E_RANGE, -1,
                    "cannot name a factor '%s': the graph has a value of that name", stage->weight);
    }
    module->tensor = ecki_strdup(onnx->tensors[sites.tensor].name);
    ECK_HAVE(module->tensor);
    ECK_ALLOC(nodes, sites.count);
    for (int64_t i = 0; i < sites.count; i++)
        nodes[i] = sites.list[i].node;
    ECK_TRY(nodes_text(&module->nodes, model, nodes, sites.count, err));
    ECK_TRY(nodes_text(&module->between, model, sites.between, sites.between_count, err));
done:
    ecki_free(nodes);
    ecki_sites_clear(&sites);
    return status;
}

/* ---- tensors ------------------------------------------------------------------------------------------------------ */

/** Notes a tensor of the output and where it lies. */
static eck_status note(ecki_graph_edit *e, const char *name, int64_t bytes, int64_t entry,
                       eck_error *err)
{
    ecki_graph_tensor *tensors = ecki_grow(e->tensors, e->tensor_count, sizeof *tensors);
    if (!tensors) return ecki_error_memory(err, -1);
    e->tensors = tensors;
    ecki_graph_tensor *t = &tensors[e->tensor_count];
    *t = (ecki_graph_tensor){ name, bytes, -1, -1, entry };
    if (e->location) {
        t->offset = (e->data_size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        if (!ecki_add(t->offset, bytes, &e->data_size))
            return ecki_error(err, ECK_E_SHAPE, -1, "the output is too large");
    } else {
        t->hole = e->tensor_count; // without a data file, every tensor is a hole
    }
    e->tensor_count++;
    return ECK_OK;
}

static void put_pair(ecki_text *tensor, const char *key, const char *value)
{
    ecki_text pair = { 0 };
    ecki_put_string(&pair, 1, key);
    ecki_put_string(&pair, 2, value);
    ecki_put_bytes(tensor, 13, pair.data, pair.length);
    tensor->failed = tensor->failed || pair.failed;
    ecki_text_clear(&pair);
}

/** Where the last noted tensor lies in the data file. */
static void put_external(ecki_text *tensor, const ecki_graph_edit *e)
{
    const ecki_graph_tensor *t = &e->tensors[e->tensor_count - 1];
    ecki_text number = { 0 };

    put_pair(tensor, "location", e->location);
    ecki_text_printf(&number, "%lld", (long long)t->offset);
    put_pair(tensor, "offset", number.data ? number.data : "");
    tensor->failed = tensor->failed || number.failed;
    ecki_text_clear(&number);
    ecki_text_printf(&number, "%lld", (long long)t->bytes);
    put_pair(tensor, "length", number.data ? number.data : "");
    tensor->failed = tensor->failed || number.failed;
    ecki_text_clear(&number);
}

/** A TensorProto up to its numbers, all of it if they lie elsewhere; behind: bytes that follow. */
static void put_tensor(ecki_text *out, int64_t *behind, const ecki_graph_edit *e, const fresh *f)
{
    for (int32_t i = 0; i < f->ndim; i++)
        ecki_put_varint(out, 1, (uint64_t)f->shape[i]);
    ecki_put_varint(out, 2, (uint64_t)ecki_onnx_type(f->dtype));
    ecki_put_string(out, 8, f->name);
    *behind = e->location ? 0 : f->bytes;
    if (e->location) {
        put_external(out, e);
        ecki_put_varint(out, 14, 1);
    } else {
        unsigned char digits[10];
        ecki_put_tag(out, RAW_DATA, ECKI_WIRE_BYTES);
        ecki_text_add(out, (const char *)digits, ecki_varint_put(digits, (uint64_t)f->bytes));
    }
}

/** Puts tag and length before what is in `inner`, with `behind` bytes to follow it. */
static void wrap(ecki_text *inner, int32_t number, int64_t behind)
{
    unsigned char digits[10];
    ecki_text whole = { 0 };
    ecki_put_tag(&whole, number, ECKI_WIRE_BYTES);
    ecki_text_add(&whole, (const char *)digits,
                  ecki_varint_put(digits, (uint64_t)(inner->length + behind)));
    ecki_text_add(&whole, inner->data, inner->length);
    whole.failed = whole.failed || inner->failed;
    ecki_text_clear(inner);
    *inner = whole;
}

/** Makes a Constant node of a tensor: the tensor comes last in its attribute, and that in the node. */
static void make_constant(ecki_text *tensor, const char *name, int64_t behind)
{
    ecki_text attribute = { 0 }, node = { 0 };

    wrap(tensor, 5, behind);
    ecki_put_string(&attribute, 1, "value");
    ecki_put_varint(&attribute, 20, ECKI_ONNX_TENSOR);
    ecki_text_add(&attribute, tensor->data, tensor->length);
    wrap(&attribute, 5, behind);
    ecki_put_string(&node, 2, name);
    ecki_put_string(&node, 4, "Constant");
    ecki_text_add(&node, attribute.data, attribute.length);
    node.failed = node.failed || attribute.failed || tensor->failed;
    ecki_text_clear(&attribute);
    ecki_text_clear(tensor);
    *tensor = node;
}

/** Adds a tensor in the form that tensor `like` of the source has. */
static eck_status add_tensor(ecki_graph_edit *e, int64_t like, const fresh *f, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_text text = { 0 };
    int64_t behind = 0;
    const bool constant = e->model->container->onnx->tensors[like].node >= 0;

    ECK_TRY(note(e, f->name, f->bytes, -1, err));
    put_tensor(&text, &behind, e, f);
    if (constant) make_constant(&text, f->name, behind);
    wrap(&text, constant ? 1 : 5, behind);
    ECK_REQUIRE(!text.failed, ECK_E_NOMEM, -1, "not enough memory");
    ECK_TRY(ecki_splice_add(e->splice, text.data, text.length, err));
    if (!e->location) ECK_TRY(ecki_splice_hole(e->splice, f->bytes, err));
done:
    ecki_text_clear(&text);
    return status;
}

/** Cuts a tensor out; what is added next stands in its place. */
static eck_status cut_tensor(ecki_graph_edit *e, int64_t tensor, eck_error *err)
{
    const ecki_onnx *onnx = e->model->container->onnx;
    const ecki_onnx_tensor *t = &onnx->tensors[tensor];

    e->gone[tensor] = true;
    return ecki_splice_cut(e->splice, onnx->graphs[t->graph].frame,
                           t->node >= 0 ? onnx->nodes[t->node].field : t->field, err);
}

/** The tensor that a name stands for in the graph, or -1. */
static int64_t tensor_named(const ecki_onnx *onnx, const char *name)
{
    int64_t count = 0;
    const ecki_onnx_use *uses = ecki_onnx_find(onnx, name, &count);

    for (int64_t i = 0; i < count; i++) {
        if (uses[i].role == ECKI_ONNX_IS_TENSOR) return uses[i].index;
        if (uses[i].role != ECKI_ONNX_IS_MADE) continue;
        for (int64_t k = 0; k < onnx->tensor_count; k++)
            if (onnx->tensors[k].node == uses[i].index) return k;
    }
    return -1;
}

/* ---- inputs of the graph, which initializers are too below IR version 4 ----------------------------------------------- */

static void put_value(ecki_text *out, const fresh *f)
{
    ecki_text shape = { 0 }, tensor = { 0 }, value = { 0 }, dimension = { 0 };

    for (int32_t i = 0; i < f->ndim; i++) {
        ecki_put_varint(&dimension, 1, (uint64_t)f->shape[i]);
        wrap(&dimension, 1, 0);
        ecki_text_add(&shape, dimension.data, dimension.length);
        shape.failed = shape.failed || dimension.failed;
        ecki_text_clear(&dimension);
    }
    wrap(&shape, 2, 0);
    ecki_put_varint(&tensor, 1, (uint64_t)ecki_onnx_type(f->dtype));
    ecki_text_add(&tensor, shape.data, shape.length);
    wrap(&tensor, 1, 0);
    wrap(&tensor, 2, 0);
    ecki_put_string(&value, 1, f->name);
    ecki_text_add(&value, tensor.data, tensor.length);
    wrap(&value, 11, 0);
    ecki_text_add(out, value.data, value.length);
    out->failed = out->failed || value.failed || tensor.failed || shape.failed;
    ecki_text_clear(&shape);
    ecki_text_clear(&tensor);
    ecki_text_clear(&value);
}

/** Replaces the input of a tensor's name, if it has one, by inputs for tensors that replace it. */
static eck_status replace_input(ecki_graph_edit *e, const char *name, const fresh *by,
                                int64_t count, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_onnx *onnx = e->model->container->onnx;
    ecki_text text = { 0 };
    int64_t uses_count = 0;
    const ecki_onnx_use *uses = ecki_onnx_find(onnx, name, &uses_count);

    for (int64_t i = 0; i < uses_count; i++) {
        if (uses[i].role != ECKI_ONNX_IS_INPUT) continue;
        ECK_TRY(ecki_splice_cut(e->splice, onnx->graphs[uses[i].graph].frame,
                                onnx->values[uses[i].index].field, err));
        for (int64_t k = 0; k < count; k++)
            put_value(&text, &by[k]);
        ECK_REQUIRE(!text.failed, ECK_E_NOMEM, -1, "not enough memory");
        if (text.length > 0) ECK_TRY(ecki_splice_add(e->splice, text.data, text.length, err));
        ecki_text_clear(&text);
    }
done:
    ecki_text_clear(&text);
    return status;
}

/* ---- compressing -------------------------------------------------------------------------------------------------- */

/** The tensor of stage i. */
static fresh stage_tensor(const ecki_onnx_stage *stage, ecki_site_kind kind, eck_dtype dtype)
{
    int64_t shape[ECK_DIMS_MAX];
    const int32_t ndim = ecki_onnx_stage_shape(stage, kind, shape);
    return fresh_tensor(stage->weight, dtype, ndim, shape);
}

/** Every use of the weight becomes the nodes of the chain. */
static eck_status replace_sites(ecki_graph_edit *e, const ecki_sites *sites,
                                const ecki_onnx_stage *stages, int32_t count, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_onnx *onnx = e->model->container->onnx;
    ecki_text text = { 0 };

    for (int64_t i = 0; i < sites->between_count; i++) {
        const ecki_onnx_node *node = &onnx->nodes[sites->between[i]];
        ECK_TRY(ecki_splice_cut(e->splice, onnx->graphs[node->graph].frame, node->field, err));
    }
    for (int64_t i = 0; i < sites->count; i++) {
        const ecki_onnx_node *node = &onnx->nodes[sites->list[i].node];
        const ecki_onnx_site site = { onnx, &e->model->container->files[0], sites->list[i].node,
                                      sites->list[i].kind };
        ECK_TRY(ecki_onnx_put_chain(&text, &site, stages, count, err));
        ECK_TRY(ecki_splice_cut(e->splice, onnx->graphs[node->graph].frame, node->field, err));
        ECK_TRY(ecki_splice_add(e->splice, text.data, text.length, err));
        ecki_text_clear(&text);
    }
done:
    ecki_text_clear(&text);
    return status;
}

/** Nodes multiply numbers of one type: what replaces a tensor has its type. */
static eck_status check_dtype(const eck_model *model, int64_t entry, eck_dtype dtype,
                              eck_error *err)
{
    const eck_dtype own = model->container->entries[entry].dtype;
    if (dtype == own) return ECK_OK;
    return ecki_error(
        err, ECK_E_RANGE, -1, "cannot write '%s' as %s: its nodes multiply numbers of type %s",
        model->container->entries[entry].name, eck_dtype_name(dtype), eck_dtype_name(own));
}

/** A layer becomes a chain. */
static eck_status factor_module(ecki_graph_edit *e, const ecki_module *module, eck_dtype dtype,
                                eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t index = ecki_layer_find(e->model, module->name);
    ecki_sites sites = { 0 };
    ecki_onnx_stage *stages = NULL;
    fresh *tensors = NULL;

    ECK_REQUIRE(index >= 0, ECK_E_RANGE, -1, "no layer '%s'", module->name);
    ECK_TRY(check_dtype(e->model, e->model->layers[index].view.weight, dtype, err));
    ECK_TRY(ecki_sites_find(&sites, e->model, &e->model->layers[index], err));
    ECK_ALLOC(stages, module->stage_count);
    ECK_ALLOC(tensors, module->stage_count);
    ECK_TRY(cut_tensor(e, sites.tensor, err));
    for (int32_t i = 0; i < module->stage_count; i++) {
        const ecki_manifest_stage *stage = &module->stages[i];
        stages[i] = (ecki_onnx_stage){ stage->stage, stage->weight, stage->turned };
        tensors[i] = stage_tensor(&stages[i], sites.list[0].kind, dtype);
        ECK_TRY(add_tensor(e, sites.tensor, &tensors[i], err));
    }
    ECK_TRY(replace_input(e, e->model->container->onnx->tensors[sites.tensor].name, tensors,
                          module->stage_count, err));
    ECK_TRY(replace_sites(e, &sites, stages, module->stage_count, err));
done:
    ecki_free(stages);
    ecki_free(tensors);
    ecki_sites_clear(&sites);
    return status;
}

/* ---- restoring ---------------------------------------------------------------------------------------------------- */

/** Fails about what the manifest says of a graph. */
static eck_status unlike(const ecki_module *module, eck_error *err)
{
    return ecki_error_where(err,
                            ecki_error(err, ECK_E_FORMAT, -1,
                                       "the graph around '%s' is not as the manifest says",
                                       module->name),
                            NULL, module->name);
}

/** The node that makes the value of that name; -1 none. */
static int64_t maker(const ecki_onnx *onnx, const char *name)
{
    int64_t count = 0;
    const ecki_onnx_use *uses = ecki_onnx_find(onnx, name, &count);
    for (int64_t i = 0; i < count; i++)
        if (uses[i].role == ECKI_ONNX_IS_MADE) return uses[i].index;
    return -1;
}

/** The first output of a node that stands in the manifest. Owned. */
static eck_status first_output(char **out, const ecki_file *file, const ecki_module *module,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_wire wire = { 0 };
    ecki_field field;
    char *name = NULL;

    ECK_TRY(ecki_wire_open(&wire, file, (ecki_span){ 0, file->size }, err));
    do {
        ECK_TRY(ecki_wire_next(&field, &wire));
    } while (field.number != 0 && field.number != 2);
    if (field.number != 2 || field.type != ECKI_WIRE_BYTES) {
        status = unlike(module, err);
        goto done;
    }
    name = ecki_strndup((const char *)file->memory + field.begin, field.end - field.begin);
    ECK_HAVE(name);
    *out = name;
done:
    ecki_wire_close(&wire);
    return status;
}

/** The nodes of a chain, from the last, which makes `output`, back to the first. nodes: one a stage. */
static eck_status find_chain(int64_t *nodes, const eck_model *model, const ecki_module *module,
                             const char *output, eck_error *err)
{
    const ecki_onnx *onnx = model->container->onnx;
    const char *made = output;

    for (int32_t i = module->stage_count - 1; i >= 0; i--) {
        nodes[i] = maker(onnx, made);
        if (nodes[i] < 0) return unlike(module, err);
        const ecki_onnx_node *node = &onnx->nodes[nodes[i]];
        const bool second = strcmp(ecki_onnx_input(onnx, node, 1), module->stages[i].weight) == 0;
        const bool first = strcmp(ecki_onnx_input(onnx, node, 0), module->stages[i].weight) == 0;
        if (!first && !second) return unlike(module, err);
        made = ecki_onnx_input(onnx, node, second ? 0 : 1);
    }
    return ECK_OK;
}

/** One use: the node as it was, in the place of the first node of the chain. */
static eck_status restore_site(ecki_graph_edit *e, const ecki_module *module, const char *text,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_onnx *onnx = e->model->container->onnx;
    ecki_file file = ECKI_FILE_NONE;
    ecki_text node = { 0 };
    char *output = NULL;
    int64_t *nodes = NULL;

    ECK_ALLOC(nodes, module->stage_count);
    ECK_TRY(text_file(&file, text, module, err));
    ECK_TRY(first_output(&output, &file, module, err));
    ECK_TRY(find_chain(nodes, e->model, module, output, err));
    for (int32_t i = 0; i < module->stage_count; i++) {
        const ecki_onnx_node *old = &onnx->nodes[nodes[i]];
        ECK_TRY(ecki_splice_cut(e->splice, onnx->graphs[old->graph].frame, old->field, err));
        if (i > 0) continue;
        ecki_put_bytes(&node, 1, file.memory, file.size);
        ECK_REQUIRE(!node.failed, ECK_E_NOMEM, -1, "not enough memory");
        ECK_TRY(ecki_splice_add(e->splice, node.data, node.length, err));
    }
done:
    ecki_text_clear(&node);
    ecki_free(output);
    ecki_free(nodes);
    ecki_input_close(&file);
    return status;
}

/** Nodes that stood between weight and uses: right behind a Constant, else before every other node of the graph. */
static eck_status restore_between(ecki_graph_edit *e, const ecki_module *module, int64_t tensor,
                                  eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_onnx *onnx = e->model->container->onnx;
    const int32_t graph = onnx->tensors[tensor].graph;
    ecki_file file = ECKI_FILE_NONE;
    ecki_text node = { 0 };
    int64_t first = 0;

    if (module->between.count == 0) return ECK_OK;
    while (onnx->nodes[first].graph != graph)
        first++;
    if (onnx->tensors[tensor].node < 0) {
        const int64_t at = onnx->nodes[first].field.begin;
        ECK_TRY(ecki_splice_cut(e->splice, onnx->graphs[graph].frame, (ecki_span){ at, at }, err));
    }
    for (int64_t i = 0; i < module->between.count; i++) {
        ECK_TRY(text_file(&file, module->between.list[i], module, err));
        ecki_put_bytes(&node, 1, file.memory, file.size);
        ECK_REQUIRE(!node.failed, ECK_E_NOMEM, -1, "not enough memory");
        ECK_TRY(ecki_splice_add(e->splice, node.data, node.length, err));
        ecki_text_clear(&node);
        ecki_input_close(&file);
    }
done:
    ecki_text_clear(&node);
    ecki_input_close(&file);
    return status;
}

/** A chain becomes the layer it was. */
static eck_status restore_module(ecki_graph_edit *e, const ecki_module *module, eck_dtype dtype,
                                 eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_onnx *onnx = e->model->container->onnx;

    if (!module->tensor) return unlike(module, err);
    const fresh dense = fresh_tensor(module->tensor, dtype, module->ndim, module->shape);
    for (int32_t i = 0; i < module->stage_count; i++) {
        const int64_t tensor = tensor_named(onnx, module->stages[i].weight);
        if (tensor < 0 || onnx->tensors[tensor].entry < 0) return unlike(module, err);
        ECK_TRY(check_dtype(e->model, onnx->tensors[tensor].entry, dtype, err));
        ECK_TRY(cut_tensor(e, tensor, err));
        if (i == 0) ECK_TRY(add_tensor(e, tensor, &dense, err));
        if (i == 0) ECK_TRY(restore_between(e, module, tensor, err));
        ECK_TRY(replace_input(e, module->stages[i].weight, &dense, i == 0, err));
    }
    for (int64_t i = 0; i < module->nodes.count; i++)
        ECK_TRY(restore_site(e, module, module->nodes.list[i], err));
done:
    return status;
}

/* ---- external data that stays ----------------------------------------------------------------------------------------- */

/** The fields of a tensor but where it lies. */
static eck_status copy_head(ecki_text *out, const eck_model *model, const ecki_onnx_tensor *tensor,
                            eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_wire wire = { 0 };
    ecki_field field;
    char *bytes = NULL;

    ECK_TRY(ecki_wire_open(&wire, &model->container->files[0], tensor->content, err));
    do {
        ECK_TRY(ecki_wire_next(&field, &wire));
        if (field.number == 13 || field.number == 0) continue;
        ECK_ALLOC_RAW(bytes, field.end - field.start);
        ECK_TRY(ecki_wire_bytes(bytes, &wire, field.start, field.end - field.start));
        ecki_text_add(out, bytes, field.end - field.start);
        ecki_free(bytes);
        bytes = NULL;
    } while (field.number != 0);
done:
    ecki_free(bytes);
    ecki_wire_close(&wire);
    return status;
}

/** Tensors of external files move to the output's data file. */
static eck_status move_external(ecki_graph_edit *e, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_onnx *onnx = e->model->container->onnx;
    ecki_text text = { 0 };

    for (int64_t i = 0; i < onnx->tensor_count; i++) {
        const ecki_onnx_tensor *tensor = &onnx->tensors[i];
        if (!tensor->external || e->gone[i]) continue;
        ECK_REQUIRE(tensor->node < 0 && tensor->entry >= 0, ECK_E_UNSUPPORTED, -1,
                    "cannot move tensor '%s' of '%s': external data of a Constant node, or of a "
                    "type that holds no numbers",
                    tensor->name, e->model->path);
        const ecki_entry *entry = &e->model->container->entries[tensor->entry];
        ECK_TRY(note(e, entry->name, entry->bytes, tensor->entry, err));
        ECK_TRY(copy_head(&text, e->model, tensor, err));
        put_external(&text, e);
        wrap(&text, 5, 0);
        ECK_REQUIRE(!text.failed, ECK_E_NOMEM, -1, "not enough memory");
        ECK_TRY(ecki_splice_cut(e->splice, onnx->graphs[tensor->graph].frame, tensor->field, err));
        ECK_TRY(ecki_splice_add(e->splice, text.data, text.length, err));
        ecki_text_clear(&text);
    }
done:
    ecki_text_clear(&text);
    return status;
}

/* ---- the whole ---------------------------------------------------------------------------------------------------- */

void ecki_graph_edit_clear(ecki_graph_edit *edit)
{
    ecki_splice_free(edit->splice);
    ecki_free(edit->tensors);
    ecki_free(edit->gone);
    memset(edit, 0, sizeof *edit);
}

/** True if some tensor lies in an external file. */
static bool has_external(const ecki_onnx *onnx)
{
    for (int64_t i = 0; i < onnx->tensor_count; i++)
        if (onnx->tensors[i].external) return true;
    return false;
}

/** Lays an output out, with or without a data file. */
static eck_status lay_out(ecki_graph_edit *e, const eck_model *model,
                          const ecki_graph_request *request, bool external, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_onnx *onnx = model->container->onnx;

    e->model = model;
    e->location = external ? request->location : NULL;
    ECK_ALLOC(e->gone, onnx->tensor_count);
    ECK_TRY(ecki_splice_create(&e->splice, &model->container->files[0], onnx->frames,
                               onnx->frame_count, err));
    for (int64_t i = 0; i < request->manifest->module_count; i++) {
        const ecki_module *module = &request->manifest->modules[i];
        ECK_TRY(request->restore ? restore_module(e, module, request->dtypes[i], err)
                                 : factor_module(e, module, request->dtypes[i], err));
    }
    if (onnx->manifest.end > 0) ECK_TRY(ecki_splice_cut(e->splice, 0, onnx->manifest, err));
    ECK_TRY(move_external(e, err));
    ECK_TRY(ecki_splice_lay_out(&e->size, e->splice, err));
done:
    return status;
}

eck_status ecki_graph_edit_make(ecki_graph_edit *out, const eck_model *model,
                                const ecki_graph_request *request, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_graph_edit edit = { 0 };
    const bool external = has_external(model->container->onnx);

    ECK_TRY(lay_out(&edit, model, request, external, err));
    if (!external && edit.size > INT32_MAX) { // what protobuf can hold
        ecki_graph_edit_clear(&edit);
        ECK_TRY(lay_out(&edit, model, request, true, err));
    }
    *out = edit;
    memset(&edit, 0, sizeof edit);
done:
    ecki_graph_edit_clear(&edit);
    return status;
}
