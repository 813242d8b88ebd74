/**
 * How often every layer of a graph runs in one pass: shapes from inputs to outputs, then the uses of weights.
 *
 * Nodes are asked in the order of the file, again as long as one of them learns something, since a file may have them in any
 * order. What operators do not say is then taken from what the file says of values, and the rest is asked once more.
 */
#include "model/shapes.h"

#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"
#include "decompose/outline.h"
#include "format/input.h"
#include "model/graph.h"
#include "tensor/codec.h"

enum { SWEEPS_MAX = 64 };

#define LARGE (INT64_C(1) << 40)

ecki_rule ecki_shape_rule(const ecki_onnx *onnx, const ecki_onnx_node *node)
{
    const ecki_named_rule *const tables[] = { ecki_window_rules, ecki_move_rules };

    for (int t = 0; t < 2; t++)
        for (const ecki_named_rule *r = tables[t]; r->type; r++)
            if (strcmp(r->type, node->type) == 0)
                return ecki_onnx_is(onnx, node, r->type) ? r->rule : NULL;
    return NULL;
}

/** Where a name's shape is kept; -1 for a name that stands nowhere. */
static int64_t slot_of(const ecki_shapes *shapes, const char *name)
{
    int64_t count = 0;
    const ecki_onnx_use *uses = name[0] ? ecki_onnx_find(shapes->onnx, name, &count) : NULL;
    return uses ? uses - shapes->onnx->uses : -1;
}

const ecki_shape *ecki_shapes_of(const ecki_shapes *shapes, const char *name)
{
    const int64_t slot = slot_of(shapes, name);
    return slot >= 0 ? shapes->known[slot] : NULL;
}

static void shapes_clear(ecki_shapes *shapes)
{
    for (int64_t i = 0; shapes->known && i < shapes->onnx->use_count; i++)
        ecki_free(shapes->known[i]);
    ecki_free(shapes->known);
    shapes->known = NULL;
}

/** Keeps a shape if it is one, and if the name has none yet. */
static eck_status learn(const ecki_shapes *shapes, const char *name, const ecki_shape *shape,
                        bool *news, eck_error *err)
{
    const int64_t slot = slot_of(shapes, name);

    if (slot < 0 || shapes->known[slot]) return ECK_OK;
    for (int32_t i = 0; i < shape->ndim; i++)
        if (shape->dims[i] < 0 || shape->dims[i] > LARGE) return ECK_OK;
    ecki_shape *copy = ecki_malloc(1, sizeof *copy);
    if (!copy) return ecki_error_memory(err, sizeof *copy);
    *copy = *shape;
    shapes->known[slot] = copy;
    *news = true;
    return ECK_OK;
}

/* ---- what the file says ----------------------------------------------------------------------------------------- */

/** Numbers of a small tensor, where they can be read. */
static void read_numbers(ecki_shape *shape, const eck_model *model, const ecki_entry *entry)
{
    char bytes[ECKI_NUMBERS_MAX * 8];
    const int64_t count = ecki_shape_size(shape);

    shape->count = -1;
    if (count < 0 || count > ECKI_NUMBERS_MAX || !eck_dtype_is_readable(entry->dtype)) return;
    if (entry->bytes > (int64_t)sizeof bytes ||
        entry->bytes * 8 != count * eck_dtype_bits(entry->dtype))
        return;
    if (ecki_input_read(&model->container->files[entry->file], NULL, entry->offset, bytes,
                        entry->bytes, NULL) != ECK_OK)
        return;
    ecki_widen_f64(entry->dtype, bytes, 1, shape->numbers, count);
    shape->count = (int32_t)count;
}

/** Weights and constants of the main graph. */
static eck_status learn_tensors(const ecki_shapes *shapes, const eck_model *model, eck_error *err)
{
    eck_status status = ECK_OK;
    bool news;

    for (int64_t i = 0; i < shapes->onnx->tensor_count; i++) {
        const ecki_onnx_tensor *t = &shapes->onnx->tensors[i];
        if (t->graph != 0 || t->entry < 0) continue;
        const ecki_entry *entry = &model->container->entries[t->entry];
        ecki_shape shape = ecki_shape_of(entry->ndim, entry->shape);
        read_numbers(&shape, model, entry);
        ECK_TRY(learn(shapes, t->name, &shape, &news, err));
    }
done:
    return status;
}

/** The shape that was given for an input, or NULL. */
static const ecki_given *given_for(const eck_model *model, const char *name)
{
    for (int64_t i = 0; i < model->given_count; i++)
        if (strcmp(model->given[i].name, name) == 0) return &model->given[i];
    return NULL;
}

/** What is said of values of one role, where it is whole, or what was given. */
static eck_status learn_values(const ecki_shapes *shapes, const eck_model *model, bool inputs,
                               bool *news, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_onnx *onnx = shapes->onnx;

    for (int64_t i = 0; i < onnx->use_count; i++) {
        const ecki_onnx_use *use = &onnx->uses[i];
        const bool is_input = use->role == ECKI_ONNX_IS_INPUT;
        if (use->graph != 0 || is_input != inputs) continue;
        if (!is_input && use->role != ECKI_ONNX_IS_SAID && use->role != ECKI_ONNX_IS_OUTPUT)
            continue;
        const ecki_onnx_value *value = &onnx->values[use->index];
        const ecki_given *given = is_input ? given_for(model, use->name) : NULL;
        ecki_shape shape = given              ? ecki_shape_of(given->ndim, given->shape)
                           : value->ndim >= 0 ? ecki_shape_of(value->ndim, value->shape)
                                              : (ecki_shape){ .ndim = -1 };
        bool whole = shape.ndim >= 0;
        // 0 is how some exporters write a size they do not know
        for (int32_t d = 0; d < shape.ndim; d++)
            whole = whole && shape.dims[d] > 0;
        if (whole) ECK_TRY(learn(shapes, use->name, &shape, news, err));
    }
done:
    return status;
}

/** A field in a few bytes of a message; begin -1: it is not there. */
typedef struct small_field {
    int64_t begin, end;
    uint64_t value; /**< of a varint */
} small_field;

static uint64_t small_varint(const unsigned char *bytes, int64_t *at, int64_t end)
{
    uint64_t value = 0;
    for (int shift = 0; *at < end && shift < 64; shift += 7) {
        const unsigned char byte = bytes[(*at)++];
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) break;
    }
    return value;
}

/** The last field of that number in bytes [begin, end), which the reader has checked to be a message. */
static small_field find_field(const unsigned char *bytes, int64_t begin, int64_t end,
                              uint64_t number)
{
    small_field found = { -1, -1, 0 };

    for (int64_t at = begin; at < end;) {
        const uint64_t tag = small_varint(bytes, &at, end);
        small_field field = { at, at, 0 };
        if ((tag & 7) == ECKI_WIRE_VARINT) field.value = small_varint(bytes, &at, end);
        if ((tag & 7) == ECKI_WIRE_EIGHT) at += 8;
        if ((tag & 7) == ECKI_WIRE_FOUR) at += 4;
        if ((tag & 7) == ECKI_WIRE_BYTES) {
            const uint64_t length = small_varint(bytes, &at, end);
            field.begin = at;
            at += (int64_t)(length < (uint64_t)(end - at) ? length : (uint64_t)(end - at));
        }
        field.end = at;
        if (tag >> 3 == number && at <= end) found = field;
    }
    return found;
}

/** The element of a TensorProto: raw, or in the list of its type, packed or not. */
static bool read_element(double *out, const unsigned char *bytes, small_field tensor)
{
    enum { TYPE = 2, INT64_DATA = 7, RAW = 9, F32 = 1, I64 = 7 };
    const int64_t begin = tensor.begin, end = tensor.end;
    const small_field type = find_field(bytes, begin, end, TYPE);
    const small_field raw = find_field(bytes, begin, end, RAW);
    small_field list = find_field(bytes, begin, end, INT64_DATA);

    if (raw.begin >= 0 && type.value == I64 && raw.end - raw.begin == 8) {
        ecki_widen_f64(ECK_DTYPE_I64, bytes + raw.begin, 1, out, 1);
        return true;
    }
    if (raw.begin >= 0 && type.value == F32 && raw.end - raw.begin == 4) {
        ecki_widen_f64(ECK_DTYPE_F32, bytes + raw.begin, 1, out, 1);
        return true;
    }
    if (list.begin < 0 || type.value != I64) return false;
    *out = (double)(int64_t)small_varint(bytes, &list.begin, list.end);
    return true;
}

bool ecki_asked_filling(double *out, const ecki_asking *ask, const char *name)
{
    enum { MOST = 256, TENSOR = 5 };
    const ecki_onnx_attribute *a = ecki_onnx_attribute_of(ask->shapes->onnx, ask->node, name);
    unsigned char bytes[MOST];
    int64_t at = 0;

    *out = 0;
    if (!a) return true;
    const int64_t count = a->field.end - a->field.begin;
    if (count > MOST ||
        ecki_input_read(ask->shapes->file, NULL, a->field.begin, bytes, count, NULL) != ECK_OK)
        return false;
    small_varint(bytes, &at, count); // its tag and its length
    small_varint(bytes, &at, count);
    const small_field tensor = find_field(bytes, at, count, TENSOR);
    return tensor.begin >= 0 && read_element(out, bytes, tensor);
}

/* ---- what follows ----------------------------------------------------------------------------------------------- */

/** Asks a node for each of its outputs that is not known. */
static eck_status ask_node(const ecki_shapes *shapes, const ecki_onnx_node *node, bool *news,
                           eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_rule rule = ecki_shape_rule(shapes->onnx, node);

    for (int32_t i = 0; rule && i < node->output_count; i++) {
        const char *name = ecki_onnx_output(shapes->onnx, node, i);
        const int64_t slot = slot_of(shapes, name);
        const ecki_asking ask = { shapes, node, i };
        ecki_shape shape = { .ndim = -1 };
        if (slot < 0 || shapes->known[slot] || !rule(&shape, &ask)) continue;
        ECK_TRY(learn(shapes, name, &shape, news, err));
    }
done:
    return status;
}

static eck_status sweep(const ecki_shapes *shapes, eck_error *err)
{
    eck_status status = ECK_OK;
    bool news = true;

    for (int i = 0; news && i < SWEEPS_MAX; i++) {
        news = false;
        for (int64_t n = 0; n < shapes->onnx->node_count; n++)
            if (shapes->onnx->nodes[n].graph == 0)
                ECK_TRY(ask_node(shapes, &shapes->onnx->nodes[n], &news, err));
    }
done:
    return status;
}

static eck_status find_shapes(ecki_shapes *shapes, const eck_model *model, eck_error *err)
{
    eck_status status = ECK_OK;
    bool news = false;

    ECK_ALLOC(shapes->known, shapes->onnx->use_count);
    ECK_TRY(learn_tensors(shapes, model, err));
    ECK_TRY(learn_values(shapes, model, true, &news, err));
    ECK_TRY(sweep(shapes, err));
    news = false;
    ECK_TRY(learn_values(shapes, model, false, &news, err));
    if (news) ECK_TRY(sweep(shapes, err));
done:
    return status;
}

/* ---- why not ---------------------------------------------------------------------------------------------------- */

/** The node of the main graph that makes a value, or NULL. */
static const ecki_onnx_node *maker_of(const ecki_onnx *onnx, const char *name, bool *input_out)
{
    int64_t count = 0;
    const ecki_onnx_use *uses = ecki_onnx_find(onnx, name, &count);

    *input_out = false;
    for (int64_t i = 0; i < count; i++) {
        if (uses[i].graph != 0) continue;
        if (uses[i].role == ECKI_ONNX_IS_MADE) return &onnx->nodes[uses[i].index];
        *input_out = *input_out || uses[i].role == ECKI_ONNX_IS_INPUT;
    }
    return NULL;
}

/** Goes up from a value of unknown shape to where that begins, and says it; owned, NULL when out of memory. */
static char *explain(const ecki_shapes *shapes, const char *name)
{
    char shown[200];
    bool input = false;

    for (int64_t i = 0; i <= shapes->onnx->node_count; i++) {
        const ecki_onnx_node *node = maker_of(shapes->onnx, name, &input);
        ecki_name_escape(shown, sizeof shown, name);
        if (!node && input) return ecki_format("the shape of input '%s' is not fixed", shown);
        if (!node) return ecki_format("the shape of '%s' is not known", shown);
        const char *next = NULL;
        for (int32_t k = 0; k < node->input_count && !next; k++) {
            const char *one = ecki_onnx_input(shapes->onnx, node, k);
            if (one[0] && !ecki_shapes_of(shapes, one)) next = one;
        }
        if (!next || !ecki_shape_rule(shapes->onnx, node)) {
            char type[100];
            ecki_name_escape(type, sizeof type, node->type);
            return ecki_format("the shape that '%s' makes of its inputs is not known (value '%s')",
                               type, shown);
        }
        name = next;
    }
    return ecki_strdup("its nodes go in a circle");
}

/* ---- uses of weights -------------------------------------------------------------------------------------------- */

/** Product of dims[from .. to), or -1. */
static int64_t product(const int64_t *dims, int32_t from, int32_t to)
{
    int64_t count;
    return to <= from ? 1 : ecki_shape_count(to - from, dims + from, &count) ? count : -1;
}

/** How often a site runs the weight. */
static bool use_of(eck_use *out, const ecki_shapes *shapes, const ecki_site *site,
                   const ecki_shape *x)
{
    const ecki_onnx_node *node = &shapes->onnx->nodes[site->node];
    const ecki_shape *y = ecki_shapes_of(shapes, ecki_onnx_output(shapes->onnx, node, 0));
    const bool turned = ecki_onnx_integer(
        shapes->onnx, node, site->kind == ECKI_SITE_GEMM_LEFT ? "transB" : "transA", 0);
    eck_use use = { .rows = -1 };

    switch (site->kind) {
    case ECKI_SITE_MATMUL:
        use.rows = product(x->dims, 0, x->ndim - 1);
        break;
    case ECKI_SITE_MATMUL_LEFT: // every column of every matrix
        use.rows = x->ndim < 2 ? 1 : product(x->dims, 0, x->ndim - 2) * x->dims[x->ndim - 1];
        break;
    case ECKI_SITE_GEMM:
        if (x->ndim == 2) use.rows = x->dims[turned ? 1 : 0];
        break;
    case ECKI_SITE_GEMM_LEFT:
        if (x->ndim == 2) use.rows = x->dims[turned ? 0 : 1];
        break;
    case ECKI_SITE_GATHER:
        use.rows = ecki_shape_size(x);
        break;
    case ECKI_SITE_CONV:
    case ECKI_SITE_CONV_TRANSPOSE:
        if (!y || x->ndim != y->ndim || x->ndim < 3 || x->ndim > 2 + ECK_SPATIAL_MAX) return false;
        use.rows = x->dims[0];
        for (int32_t d = 0; d < x->ndim - 2; d++) {
            use.input[d] = x->dims[2 + d];
            use.output[d] = y->dims[2 + d];
        }
        break;
    }
    *out = use;
    return use.rows >= 0;
}

/** Multiply-adds of stages at one use; -1 where they cannot be counted. */
static int64_t macs_at(const eck_use *use, const eck_chain *chain)
{
    int64_t macs = eck_chain_macs(chain, use->input, use->output);
    return macs == INT64_MAX || !ecki_mul(macs, use->rows, &macs) ? -1 : macs;
}

int64_t eck_layer_macs(const eck_layer *layer, const eck_point *point)
{
    eck_stage stages[ECKI_STAGES_MAX] = { layer->dense };
    eck_chain chain = { stages, 1 };
    int64_t sum = 0;

    if (layer->use_count == 0) return -1;
    if (point && point->method != ECK_METHOD_DENSE) {
        if (!eck_method_applies(point->method, &layer->dense) ||
            point->rank_count != ecki_rank_count(point->method, &layer->dense))
            return -1;
        chain.count = ecki_outline(stages, &layer->dense, point->method, point->ranks);
    }
    for (int64_t i = 0; i < layer->use_count; i++) {
        const int64_t macs = macs_at(&layer->uses[i], &chain);
        if (macs < 0 || !ecki_add(sum, macs, &sum)) return -1;
    }
    return sum;
}

const eck_point *eck_layer_best(const eck_layer *layer, const eck_curve *curve, eck_method method,
                                int64_t macs)
{
    const eck_point *best = NULL;

    for (int64_t i = 0; i < curve->count; i++) {
        const eck_point *p = &curve->points[i];
        if (p->method != method || (best && p->error >= best->error)) continue;
        const int64_t cost = eck_layer_macs(layer, p);
        if (cost >= 0 && cost <= macs) best = p;
    }
    return best;
}

/** Notes every use of a tensor, or why not. */
static eck_status find_uses(ecki_layer *layer, const ecki_shapes *shapes, const ecki_sites *sites,
                            eck_error *err)
{
    eck_status status = ECK_OK;

    ECK_ALLOC(layer->uses, sites->count);
    for (int64_t i = 0; i < sites->count && !layer->macs_unknown; i++) {
        const ecki_site *site = &sites->list[i];
        const ecki_onnx_node *node = &shapes->onnx->nodes[site->node];
        const char *name = ecki_onnx_site_data(shapes->onnx, site->node, site->kind);
        const ecki_shape *x = ecki_shapes_of(shapes, name);
        if (node->graph != 0) {
            layer->macs_unknown =
                ecki_strdup("an inner graph uses it, which runs who knows how often");
            ECK_HAVE(layer->macs_unknown);
        } else if (!x || !use_of(&layer->uses[i], shapes, site, x)) {
            layer->macs_unknown =
                explain(shapes, x ? ecki_onnx_output(shapes->onnx, node, 0) : name);
            ECK_HAVE(layer->macs_unknown);
        } else {
            layer->view.use_count++;
        }
    }
    if (layer->macs_unknown) layer->view.use_count = 0;
done:
    return status;
}

/** Multiply-adds of a layer that is a chain: of its stages, each a weight with uses of its own. */
static eck_status count_module(ecki_layer *layer, const ecki_shapes *shapes, const eck_model *model,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_module *module = &model->manifest->modules[layer->module];
    ecki_layer stage = { .module = -1 };
    ecki_sites sites = { 0 };
    int64_t sum = 0;

    for (int32_t i = 0; i < module->stage_count && sum >= 0; i++) {
        const int64_t entry = ecki_container_find(model->container, module->stages[i].weight);
        ECK_TRY(ecki_sites_seen(&sites, &stage.view.dense, model, entry, err));
        ECK_TRY(find_uses(&stage, shapes, &sites, err));
        stage.view.uses = stage.uses;
        const int64_t macs = eck_layer_macs(&stage.view, NULL);
        if (macs < 0 || !ecki_add(sum, macs, &sum)) sum = -1;
        ecki_free(stage.uses);
        if (!layer->macs_unknown)
            layer->macs_unknown = stage.macs_unknown;
        else
            ecki_free(stage.macs_unknown);
        stage = (ecki_layer){ .module = -1 };
        ecki_sites_clear(&sites);
    }
    layer->view.macs = sum;
done:
    ecki_free(stage.uses);
    ecki_free(stage.macs_unknown);
    ecki_sites_clear(&sites);
    return status;
}

static eck_status count_layer(ecki_layer *layer, const ecki_shapes *shapes, const eck_model *model,
                              eck_error *err)
{
    eck_status status = ECK_OK;
    eck_stage seen = { 0 };
    ecki_sites sites = { 0 };

    if (layer->module >= 0) {
        ECK_TRY(count_module(layer, shapes, model, err));
    } else {
        ECK_TRY(ecki_sites_seen(&sites, &seen, model, layer->view.weight, err));
        ECK_TRY(find_uses(layer, shapes, &sites, err));
        layer->view.uses = layer->uses;
        layer->view.macs = eck_layer_macs(&layer->view, NULL);
    }
    if (layer->view.macs < 0 && !layer->macs_unknown) {
        layer->macs_unknown = ecki_strdup(sites.count == 0 && layer->module < 0
                                              ? "nothing is known to multiply with it"
                                              : "they are too many to count");
        ECK_HAVE(layer->macs_unknown);
    }
    layer->view.macs_unknown = layer->macs_unknown;
done:
    ecki_sites_clear(&sites);
    return status;
}

void ecki_layer_forget(ecki_layer *layer)
{
    ecki_free(layer->uses);
    ecki_free(layer->macs_unknown);
    layer->uses = NULL;
    layer->macs_unknown = NULL;
    layer->view.uses = NULL;
    layer->view.use_count = 0;
    layer->view.macs = -1;
    layer->view.macs_unknown = NULL;
}

eck_status ecki_shapes_find(eck_model *model, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_shapes shapes = { model->container->onnx, NULL, model->container->files };

    for (int64_t i = 0; i < model->layer_count; i++) {
        ecki_layer_forget(&model->layers[i]);
        model->layers[i].view.macs_unknown =
            "the file has weights alone, neither strides nor sizes of inputs";
    }
    if (!shapes.onnx) return ECK_OK;
    ECK_TRY(find_shapes(&shapes, model, err));
    for (int64_t i = 0; i < model->layer_count; i++)
        ECK_TRY(count_layer(&model->layers[i], &shapes, model, err));
done:
    shapes_clear(&shapes);
    return status;
}

/* ---- shapes that are given -------------------------------------------------------------------------------------- */

/** "1x3x224x224", "?" where a size is open; owned. */
static char *shape_text(int32_t ndim, const int64_t *shape)
{
    ecki_text text = { 0 };

    if (ndim <= 0) ecki_text_add(&text, ndim < 0 ? "anything" : "a scalar", -1);
    for (int32_t i = 0; i < ndim; i++) {
        if (i > 0) ecki_text_add(&text, "x", 1);
        if (shape[i] > 0)
            ecki_text_printf(&text, "%lld", (long long)shape[i]);
        else
            ecki_text_add(&text, "?", 1);
    }
    return ecki_text_take(&text);
}

/** The input of the main graph of that name, or NULL. */
static const ecki_onnx_value *input_named(const ecki_onnx *onnx, const char *name)
{
    int64_t count = 0;
    const ecki_onnx_use *uses = ecki_onnx_find(onnx, name, &count);

    for (int64_t i = 0; i < count; i++)
        if (uses[i].role == ECKI_ONNX_IS_INPUT && uses[i].graph == 0)
            return &onnx->values[uses[i].index];
    return NULL;
}

/** The shape fits what the file says of the input. */
static eck_status check_given(const eck_model *model, const ecki_given *given, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_onnx *onnx = model->container->onnx;
    char *said = NULL, *found = NULL, name[200];

    ecki_name_escape(name, sizeof name, given->name);
    ECK_REQUIRE(onnx, ECK_E_UNSUPPORTED, -1,
                "'%s' has no input '%s': the file has weights alone, neither strides nor sizes of "
                "inputs",
                model->path, name);
    const ecki_onnx_value *value = input_named(onnx, given->name);
    ECK_REQUIRE(value, ECK_E_RANGE, -1, "the graph of '%s' has no input '%s'", model->path, name);
    bool fits = value->ndim < 0 || value->ndim == given->ndim;
    for (int32_t i = 0; i < given->ndim && fits; i++)
        fits = given->shape[i] >= 1 && given->shape[i] <= LARGE &&
               (value->ndim < 0 || value->shape[i] <= 0 || value->shape[i] == given->shape[i]);
    if (fits) goto done;
    said = shape_text(value->ndim, value->shape);
    ECK_HAVE(said);
    found = shape_text(given->ndim, given->shape);
    ECK_HAVE(found);
    ECK_TRY(ecki_error(err, ECK_E_RANGE, -1, "input '%s' of '%s' is %s in the file, found %s", name,
                       model->path, said, found));
done:
    ecki_free(said);
    ecki_free(found);
    return status;
}

eck_status eck_model_set_input(eck_model *model, const char *name, int32_t ndim,
                               const int64_t *shape, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_given given = { NULL, ndim, { 0 } };
    ecki_given *list = NULL;

    ECK_REQUIRE(ndim >= 0 && ndim <= ECK_DIMS_MAX, ECK_E_SHAPE, -1,
                "%d dimensions: 0 to %d are allowed", ndim, ECK_DIMS_MAX);
    if (ndim > 0) memcpy(given.shape, shape, (size_t)ndim * sizeof *shape);
    given.name = ecki_strdup(name);
    ECK_HAVE(given.name);
    ECK_TRY(check_given(model, &given, err));
    for (int64_t i = 0; i < model->given_count; i++)
        ECK_REQUIRE(strcmp(model->given[i].name, name) != 0, ECK_E_RANGE, -1,
                    "input '%s' is given two shapes", name);
    list = ecki_realloc(model->given, model->given_count + 1, sizeof *list);
    ECK_HAVE(list);
    model->given = list;
    list[model->given_count++] = given;
    given.name = NULL;
    ECK_TRY(ecki_shapes_find(model, err));
done:
    ecki_free(given.name);
    return status;
}
