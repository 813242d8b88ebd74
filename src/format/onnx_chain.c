/*
 * Nodes of chains.
 *
 * A product X W becomes X W0 W1 ..., a product W X becomes ... W1 (W0 X). Of a Gemm, what turns the input goes to the
 * first product, factor and addend to the last. Of a convolution, each dimension has its stride and padding where the
 * kernel is: padding with the first stage that has more than one tap along it, the stride with the last (the first
 * stage, if there is none), so that stages of one tap only mix channels. A stage between pads nothing and adds nothing,
 * so zeros stay zeros through it. Of a transposed convolution one stage has everything about a dimension: the one that is
 * wide there, or else the last transposed one; what it cuts off, no other stage would have changed.
 */
#include "format/onnx_chain.h"

#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "format/input.h"

enum { OPSET_PLAIN_GEMM = 11 };

/** A chain being written. */
typedef struct writing {
    ecki_text *out;
    const ecki_onnx_site *site;
    const ecki_onnx_node *node;
    const ecki_onnx_stage *stages;
    int32_t count;
    const char *data; /**< name of what the next stage is given */
    char *made; /**< owned text behind data */
    ecki_text kept; /**< fields of the node that every node keeps: its domain */
    ecki_text remarks; /**< and those that only the last keeps */
    eck_error *err;
} writing;

/* ---- attributes --------------------------------------------------------------------------------------------------- */

static void put_attribute(ecki_text *node, const char *name, ecki_text *content, int32_t type)
{
    ecki_text attribute = { 0 };
    ecki_put_string(&attribute, 1, name);
    ecki_text_add(&attribute, content->data, content->length);
    ecki_put_varint(&attribute, 20, (uint64_t)type);
    ecki_put_bytes(node, 5, attribute.data, attribute.length);
    node->failed = node->failed || attribute.failed || content->failed;
    ecki_text_clear(&attribute);
    ecki_text_clear(content);
}

static void put_integer(ecki_text *node, const char *name, int64_t value)
{
    ecki_text content = { 0 };
    ecki_put_varint(&content, 3, (uint64_t)value);
    put_attribute(node, name, &content, ECKI_ONNX_INT);
}

static void put_integers(ecki_text *node, const char *name, const int64_t *values, int32_t count)
{
    ecki_text content = { 0 };
    for (int32_t i = 0; i < count; i++)
        ecki_put_varint(&content, 8, (uint64_t)values[i]);
    put_attribute(node, name, &content, ECKI_ONNX_INTS_LIST);
}

/** Copies an attribute as it is. */
static eck_status copy_attribute(ecki_text *node, const writing *w, const char *name)
{
    eck_status status = ECK_OK;
    eck_error *err = w->err;
    const ecki_onnx_attribute *a = ecki_onnx_attribute_of(w->site->onnx, w->node, name);
    char *bytes = NULL;

    if (!a) return ECK_OK;
    ECK_ALLOC_RAW(bytes, a->field.end - a->field.begin);
    ECK_TRY(ecki_input_read(w->site->file, NULL, a->field.begin, bytes,
                            a->field.end - a->field.begin, err));
    ecki_text_add(node, bytes, a->field.end - a->field.begin);
done:
    ecki_free(bytes);
    return status;
}

/* ---- nodes -------------------------------------------------------------------------------------------------------- */

/** Sorts the node's fields but those that are written anew. */
static eck_status keep_fields(writing *w)
{
    eck_status status = ECK_OK;
    eck_error *err = w->err;
    ecki_wire wire = { 0 };
    ecki_field field;
    char *bytes = NULL;

    ECK_TRY(ecki_wire_open(&wire, w->site->file, w->node->content, err));
    do {
        ECK_TRY(ecki_wire_next(&field, &wire));
        if (field.number <= 5 || field.number == 8) continue;
        const int64_t count = field.end - field.start;
        ECK_ALLOC_RAW(bytes, count);
        ECK_TRY(ecki_wire_bytes(bytes, &wire, field.start, count));
        ecki_text_add(field.number == 7 ? &w->kept : &w->remarks, bytes, count);
        ecki_free(bytes);
        bytes = NULL;
    } while (field.number != 0);
done:
    ecki_free(bytes);
    ecki_wire_close(&wire);
    return status;
}

/** The name of what stage i makes: the node's own for the last. Owned. */
static char *made_by(const writing *w, int32_t i)
{
    const char *name = ecki_onnx_output(w->site->onnx, w->node, 0);
    return i == w->count - 1 ? ecki_strdup(name) : ecki_format("%s.%d", name, i);
}

/** Writes the node of stage i; inputs "" at the end are left out. `attributes` is cleared. */
static eck_status put_node(writing *w, int32_t i, const char *type, const char *const inputs[3],
                           ecki_text *attributes)
{
    eck_status status = ECK_OK;
    eck_error *err = w->err;
    ecki_text node = { 0 };
    char *made = NULL, *name = NULL;
    int64_t taken = 0;

    made = made_by(w, i);
    ECK_HAVE(made);
    if (i < w->count - 1) ecki_onnx_find(w->site->onnx, made, &taken);
    ECK_REQUIRE(taken == 0, ECK_E_RANGE, -1, "cannot name a value '%s': the graph has one", made);
    for (int32_t k = 0; k < 3 && inputs[k] && inputs[k][0]; k++)
        ecki_put_string(&node, 1, inputs[k]);
    ecki_put_string(&node, 2, made);
    if (w->node->name[0]) {
        name =
            i == w->count - 1 ? ecki_strdup(w->node->name) : ecki_format("%s.%d", w->node->name, i);
        ECK_HAVE(name);
        ecki_put_string(&node, 3, name);
    }
    ecki_put_string(&node, 4, type);
    ecki_text_add(&node, attributes->data, attributes->length);
    ecki_text_add(&node, w->kept.data, w->kept.length);
    if (i == w->count - 1) ecki_text_add(&node, w->remarks.data, w->remarks.length);
    ecki_put_bytes(w->out, 1, node.data, node.length);
    if (node.failed || attributes->failed || w->out->failed) status = ecki_error_memory(err, -1);
    ecki_free(w->made);
    w->data = w->made = made;
    made = NULL;
done:
    ecki_text_clear(&node);
    ecki_text_clear(attributes);
    ecki_free(made);
    ecki_free(name);
    return status;
}

/** A stage that is a plain product, its weight on one side. */
static eck_status put_product(writing *w, int32_t i, bool left)
{
    const char *weight = w->stages[i].weight;
    const char *const inputs[3] = { left ? weight : w->data, left ? w->data : weight, NULL };
    ecki_text none = { 0 };
    return put_node(w, i, "MatMul", inputs, &none);
}

/** A stage that scales channels. */
static eck_status put_scale(writing *w, int32_t i)
{
    const char *const inputs[3] = { w->data, w->stages[i].weight, NULL };
    ecki_text none = { 0 };
    return put_node(w, i, "Mul", inputs, &none);
}

/** Refuses a stage. */
static eck_status no_such_stage(const writing *w, int32_t i)
{
    return ecki_error(w->err, ECK_E_UNSUPPORTED, -1,
                      "stage %d of node '%s' is of a kind (%d) that cannot stand in a %s", i,
                      w->node->name, (int)w->stages[i].stage.kind, w->node->type);
}

/* ---- Gemm --------------------------------------------------------------------------------------------------------- */

/** A stage of a Gemm. Before opset 11 a Gemm has an addend, so that all but the last are plain products. */
static eck_status put_gemm(writing *w, int32_t i, bool left)
{
    eck_status status = ECK_OK;
    const ecki_onnx *onnx = w->site->onnx;
    const bool first = i == 0, last = i == w->count - 1, turned = w->stages[i].turned;
    const char *weight = w->stages[i].weight;
    const char *const inputs[3] = { left ? weight : w->data, left ? w->data : weight,
                                    last ? ecki_onnx_input(onnx, w->node, 2) : NULL };
    ecki_text attributes = { 0 };

    if (!last && onnx->opset < OPSET_PLAIN_GEMM) return put_product(w, i, left);
    if (last) ECK_TRY(copy_attribute(&attributes, w, "alpha"));
    if (last) ECK_TRY(copy_attribute(&attributes, w, "beta"));
    const char *of_data = left ? "transB" : "transA", *of_weight = left ? "transA" : "transB";
    const bool data_turned = first && ecki_onnx_integer(onnx, w->node, of_data, 0) != 0;
    // [out,in] stands as it is on the left and turned on the right
    const bool weight_turned = left == turned;
    if (data_turned) put_integer(&attributes, of_data, 1);
    if (weight_turned) put_integer(&attributes, of_weight, 1);
    ECK_TRY(put_node(w, i, "Gemm", inputs, &attributes));
done:
    ecki_text_clear(&attributes);
    return status;
}

/* ---- convolutions ------------------------------------------------------------------------------------------------- */

/** The stage that carries padding (first) or stride (last) of dimension d. */
static int32_t carrier(const writing *w, int32_t d, bool last)
{
    int32_t found = -1, any = -1;
    for (int32_t i = 0; i < w->count; i++) {
        const eck_stage *stage = &w->stages[i].stage;
        if (stage->kind != ECK_STAGE_CONV) continue;
        if (any < 0) any = i;
        if (stage->kernel[d] > 1 && (found < 0 || last)) found = i;
    }
    return found >= 0 ? found : any;
}

/** Number d of a list of the node, or what stands for it where there is none. */
static int64_t listed(const writing *w, const char *name, int32_t d, int64_t otherwise)
{
    const ecki_onnx_attribute *a = ecki_onnx_attribute_of(w->site->onnx, w->node, name);
    return a && d < a->int_count ? w->site->onnx->integers[a->ints + d] : otherwise;
}

/** True for paddings that follow from the size of the input. */
static bool pads_same(const ecki_onnx_attribute *automatic)
{
    return automatic && automatic->text && strncmp(automatic->text, "SAME_", 5) == 0;
}

/** True for words in whose place no list of paddings may stand. */
static bool pads_automatic(const ecki_onnx_attribute *automatic)
{
    return pads_same(automatic) ||
           (automatic && automatic->text && strcmp(automatic->text, "VALID") == 0);
}

/** Kernel, groups, and this stage's part of stride, dilation and padding. */
static eck_status put_geometry(ecki_text *attributes, const writing *w, int32_t i)
{
    const ecki_onnx *onnx = w->site->onnx;
    const ecki_onnx_attribute *automatic = ecki_onnx_attribute_of(onnx, w->node, "auto_pad");
    const ecki_onnx_attribute *padding = ecki_onnx_attribute_of(onnx, w->node, "pads");
    const eck_stage *stage = &w->stages[i].stage;
    const int32_t spatial = stage->spatial;
    int64_t stride[ECK_SPATIAL_MAX], dilation[ECK_SPATIAL_MAX], pads[2 * ECK_SPATIAL_MAX] = { 0 };
    const bool same = pads_same(automatic);
    bool moves = false;

    for (int32_t d = 0; d < spatial; d++) {
        const int32_t first = carrier(w, d, false), last = carrier(w, d, true);
        if (same && first != last)
            return ecki_error(w->err, ECK_E_UNSUPPORTED, -1,
                              "two stages of node '%s' are wide along dimension %d, whose padding "
                              "follows the input",
                              w->node->name, d);
        stride[d] = i == last ? listed(w, "strides", d, 1) : 1;
        dilation[d] = stage->kernel[d] > 1 ? listed(w, "dilations", d, 1) : 1;
        moves = moves || stride[d] > 1 || stage->kernel[d] > 1;
        if (i != first || !padding || padding->int_count != 2 * spatial) continue;
        pads[d] = onnx->integers[padding->ints + d];
        pads[d + spatial] = onnx->integers[padding->ints + d + spatial];
    }
    put_integer(attributes, "group", stage->groups);
    put_integers(attributes, "kernel_shape", stage->kernel, spatial);
    put_integers(attributes, "strides", stride, spatial);
    put_integers(attributes, "dilations", dilation, spatial);
    if (same) return moves ? copy_attribute(attributes, w, "auto_pad") : ECK_OK;
    // the other words for padding are zeros and what pads says
    if (!pads_automatic(automatic)) put_integers(attributes, "pads", pads, 2 * spatial);
    return ECK_OK;
}

/** A stage of a convolution; the node's bias goes to the last. */
static eck_status put_conv(writing *w, int32_t i)
{
    eck_status status = ECK_OK;
    const bool last = i == w->count - 1;
    const char *const inputs[3] = { w->data, w->stages[i].weight,
                                    last ? ecki_onnx_input(w->site->onnx, w->node, 2) : NULL };
    ecki_text attributes = { 0 };

    ECK_TRY(put_geometry(&attributes, w, i));
    ECK_TRY(put_node(w, i, "Conv", inputs, &attributes));
done:
    ecki_text_clear(&attributes);
    return status;
}

/** The stages that are transposed convolutions themselves. */
static int32_t transposed_count(const writing *w)
{
    int32_t count = 0;
    for (int32_t i = 0; i < w->count; i++)
        count += w->stages[i].stage.kind == ECK_STAGE_CONV_TRANSPOSE;
    return count;
}

/** The stage of a transposed convolution that moves along dimension d; -1: several are wide there. */
static int32_t mover(const writing *w, int32_t d)
{
    int32_t found = -1, any = -1;
    for (int32_t i = 0; i < w->count; i++) {
        const eck_stage *stage = &w->stages[i].stage;
        if (stage->kind != ECK_STAGE_CONV_TRANSPOSE) continue;
        any = i;
        if (stage->kernel[d] == 1) continue;
        if (found >= 0) return -1;
        found = i;
    }
    return found >= 0 ? found : any;
}

/** Everything about places, for the only stage that has any. */
static eck_status copy_places(ecki_text *attributes, const writing *w)
{
    static const char *const copied[] = { "auto_pad",       "dilations",    "kernel_shape",
                                          "output_padding", "output_shape", "pads",
                                          "strides" };
    eck_status status = ECK_OK;

    for (size_t k = 0; k < sizeof copied / sizeof *copied; k++)
        ECK_TRY(copy_attribute(attributes, w, copied[k]));
done:
    return status;
}

/** This stage's part of stride, dilation and padding; dimensions are independent of each other, with automatic padding too. */
static eck_status share_places(ecki_text *attributes, const writing *w, int32_t i)
{
    const ecki_onnx *onnx = w->site->onnx;
    const ecki_onnx_attribute *automatic = ecki_onnx_attribute_of(onnx, w->node, "auto_pad");
    const eck_stage *stage = &w->stages[i].stage;
    const int32_t spatial = stage->spatial;
    int64_t stride[ECK_SPATIAL_MAX], dilation[ECK_SPATIAL_MAX], added[ECK_SPATIAL_MAX] = { 0 };
    int64_t pads[2 * ECK_SPATIAL_MAX] = { 0 };

    if (ecki_onnx_attribute_of(onnx, w->node, "output_shape"))
        return ecki_error(w->err, ECK_E_UNSUPPORTED, -1,
                          "several stages of node '%s' move, whose output has a size of its own",
                          w->node->name);
    for (int32_t d = 0; d < spatial; d++) {
        const int32_t place = mover(w, d);
        if (place < 0)
            return ecki_error(w->err, ECK_E_UNSUPPORTED, -1,
                              "two stages of node '%s' are wide along dimension %d", w->node->name,
                              d);
        const bool mine = place == i;
        stride[d] = mine ? listed(w, "strides", d, 1) : 1;
        dilation[d] = mine && stage->kernel[d] > 1 ? listed(w, "dilations", d, 1) : 1;
        added[d] = mine ? listed(w, "output_padding", d, 0) : 0;
        pads[d] = mine ? listed(w, "pads", d, 0) : 0;
        pads[d + spatial] = mine ? listed(w, "pads", d + spatial, 0) : 0;
    }
    put_integers(attributes, "kernel_shape", stage->kernel, spatial);
    put_integers(attributes, "strides", stride, spatial);
    put_integers(attributes, "dilations", dilation, spatial);
    put_integers(attributes, "output_padding", added, spatial);
    if (pads_automatic(automatic)) return copy_attribute(attributes, w, "auto_pad");
    put_integers(attributes, "pads", pads, 2 * spatial);
    return ECK_OK;
}

/** A stage of a transposed convolution that is one itself. */
static eck_status put_conv_transpose(writing *w, int32_t i)
{
    eck_status status = ECK_OK;
    const bool last = i == w->count - 1;
    const char *const inputs[3] = { w->data, w->stages[i].weight,
                                    last ? ecki_onnx_input(w->site->onnx, w->node, 2) : NULL };
    ecki_text attributes = { 0 };

    if (transposed_count(w) == 1)
        ECK_TRY(copy_places(&attributes, w));
    else
        ECK_TRY(share_places(&attributes, w, i));
    put_integer(&attributes, "group", w->stages[i].stage.groups);
    ECK_TRY(put_node(w, i, "ConvTranspose", inputs, &attributes));
done:
    ecki_text_clear(&attributes);
    return status;
}

/** A stage of one tap beside a transposed convolution. */
static eck_status put_pointwise(writing *w, int32_t i)
{
    const bool last = i == w->count - 1;
    const char *const inputs[3] = { w->data, w->stages[i].weight,
                                    last ? ecki_onnx_input(w->site->onnx, w->node, 2) : NULL };
    ecki_text attributes = { 0 };

    for (int32_t d = 0; d < w->stages[i].stage.spatial; d++)
        if (w->stages[i].stage.kernel[d] != 1) return no_such_stage(w, i);
    put_integer(&attributes, "group", w->stages[i].stage.groups);
    return put_node(w, i, "Conv", inputs, &attributes);
}

/* ---- the chain ---------------------------------------------------------------------------------------------------- */

static eck_status put_stage(writing *w, int32_t i)
{
    const eck_stage_kind kind = w->stages[i].stage.kind;
    const bool bias_left = i == w->count - 1 && w->node->input_count > 2;

    if (kind == ECK_STAGE_SCALE && !bias_left && w->site->kind != ECKI_SITE_GEMM &&
        w->site->kind != ECKI_SITE_GEMM_LEFT)
        return put_scale(w, i);
    if (kind == ECK_STAGE_SCALE && i < w->count - 1) return put_scale(w, i);
    switch (w->site->kind) {
    case ECKI_SITE_MATMUL:
    case ECKI_SITE_MATMUL_LEFT:
        if (kind != ECK_STAGE_LINEAR) break;
        return put_product(w, i, w->site->kind == ECKI_SITE_MATMUL_LEFT);
    case ECKI_SITE_GEMM:
    case ECKI_SITE_GEMM_LEFT:
        if (kind != ECK_STAGE_LINEAR) break;
        return put_gemm(w, i, w->site->kind == ECKI_SITE_GEMM_LEFT);
    case ECKI_SITE_CONV:
        if (kind == ECK_STAGE_CONV) return put_conv(w, i);
        break;
    case ECKI_SITE_CONV_TRANSPOSE:
        if (kind == ECK_STAGE_CONV_TRANSPOSE) return put_conv_transpose(w, i);
        if (kind == ECK_STAGE_CONV) return put_pointwise(w, i);
        break;
    case ECKI_SITE_GATHER:
        if (kind == ECK_STAGE_LOOKUP) {
            const char *const inputs[3] = { w->stages[i].weight, w->data, NULL };
            ecki_text none = { 0 };
            return put_node(w, i, "Gather", inputs, &none);
        }
        if (kind == ECK_STAGE_LINEAR) return put_product(w, i, false);
        break;
    }
    return no_such_stage(w, i);
}

const char *ecki_onnx_site_data(const ecki_onnx *onnx, int64_t node, ecki_site_kind kind)
{
    const bool second =
        kind == ECKI_SITE_MATMUL_LEFT || kind == ECKI_SITE_GEMM_LEFT || kind == ECKI_SITE_GATHER;
    return ecki_onnx_input(onnx, &onnx->nodes[node], second ? 1 : 0);
}

eck_status ecki_onnx_put_chain(ecki_text *out, const ecki_onnx_site *site,
                               const ecki_onnx_stage *stages, int32_t count, eck_error *err)
{
    eck_status status = ECK_OK;
    writing w = { .out = out,
                  .site = site,
                  .node = &site->onnx->nodes[site->node],
                  .stages = stages,
                  .count = count,
                  .data = ecki_onnx_site_data(site->onnx, site->node, site->kind),
                  .err = err };

    ECK_TRY(keep_fields(&w));
    for (int32_t i = 0; i < count; i++)
        ECK_TRY(put_stage(&w, i));
done:
    ecki_free(w.made);
    ecki_text_clear(&w.kept);
    ecki_text_clear(&w.remarks);
    return status;
}

int32_t ecki_onnx_stage_shape(const ecki_onnx_stage *stage, ecki_site_kind kind, int64_t *shape_out)
{
    int32_t ndim = eck_stage_shape(&stage->stage, shape_out);

    if (stage->turned && ndim == 2) {
        const int64_t first = shape_out[0];
        shape_out[0] = shape_out[1];
        shape_out[1] = first;
    }
    if (stage->stage.kind != ECK_STAGE_SCALE) return ndim;
    // channels stand before the places of a convolution, and before the columns of W X
    const bool left = kind == ECKI_SITE_MATMUL_LEFT || kind == ECKI_SITE_GEMM_LEFT;
    const bool conv = kind == ECKI_SITE_CONV || kind == ECKI_SITE_CONV_TRANSPOSE;
    const int32_t behind = left ? 1 : conv ? stage->stage.spatial : 0;
    for (int32_t i = 0; i < behind; i++)
        shape_out[ndim++] = 1;
    return ndim;
}
