/*
 * The ONNX reader: model, graphs, nodes and attributes as an index of spans. A node is walked three times, for its names,
 * for what it makes and for its attributes, so that inputs and outputs lie side by side whatever their order in the
 * file. Graphs in attributes are read by recursion, at most ECKI_ONNX_DEPTH deep.
 */
#include "format/onnx.h"

#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"
#include "format/input.h"

enum { NAME_MAX_BYTES = 1024, TEXT_MAX = 64, NODES_MAX = 1000000, NAMES_MAX = 8000000 };

static eck_status read_graph(ecki_onnx_reading *r, const ecki_field *field,
                             const ecki_onnx_graph *graph, int32_t depth);

eck_status ecki_onnx_string(const char **out, ecki_onnx_reading *r, const ecki_field *field,
                            const char *what)
{
    char bytes[NAME_MAX_BYTES];
    const int64_t length = field->end - field->begin;

    if (field->type != ECKI_WIRE_BYTES)
        return ecki_wire_fail(&r->wire, field->start, "%s is no text", what);
    if (length > NAME_MAX_BYTES)
        return ecki_wire_fail(&r->wire, field->start, "%s of %lld bytes, at most %d", what,
                              (long long)length, NAME_MAX_BYTES);
    const eck_status status = ecki_wire_bytes(bytes, &r->wire, field->begin, length);
    if (status != ECK_OK) return status;
    if (length > 0 && !ecki_name_valid(bytes, length))
        return ecki_wire_fail(&r->wire, field->start,
                              "%s that is not UTF-8 or has control characters", what);
    *out = length > 0 ? ecki_container_string(r->container, bytes, length) : "";
    return *out ? ECK_OK : ecki_error_memory(r->wire.err, length);
}

/** Fails unless a field is of the type its number has. */
static eck_status expect(const ecki_onnx_reading *r, const ecki_field *field, int32_t type,
                         const char *what)
{
    if (field->type == type) return ECK_OK;
    return ecki_wire_fail(&r->wire, field->start, "%s is a field of type %d, expected %d", what,
                          field->type, type);
}

/* ---- frames and names ------------------------------------------------------------------------------------------- */

/** A frame for what a field holds. */
static eck_status add_frame(int32_t *out, ecki_onnx_reading *r, const ecki_field *field,
                            int32_t parent)
{
    ecki_onnx *onnx = r->onnx;
    ecki_frame *frames = ecki_grow(onnx->frames, onnx->frame_count, sizeof *frames);
    if (!frames) return ecki_error_memory(r->wire.err, -1);
    onnx->frames = frames;
    frames[onnx->frame_count] =
        (ecki_frame){ field->length_at, { field->begin, field->end }, parent };
    *out = onnx->frame_count++;
    return ECK_OK;
}

/** One more input or output of a node. */
static eck_status add_name(ecki_onnx_reading *r, const ecki_field *field, const char *what)
{
    ecki_onnx *onnx = r->onnx;
    const char *name = NULL;

    if (onnx->name_count >= NAMES_MAX)
        return ecki_read_error(r->wire.err, ECK_E_UNSUPPORTED, field->start, r->wire.file->name,
                               "more than %d inputs and outputs", NAMES_MAX);
    const eck_status status = ecki_onnx_string(&name, r, field, what);
    if (status != ECK_OK) return status;
    const char **names = ecki_grow(onnx->names, onnx->name_count, sizeof *names);
    if (!names) return ecki_error_memory(r->wire.err, -1);
    onnx->names = names;
    names[onnx->name_count++] = name;
    return ECK_OK;
}

/* ---- attributes --------------------------------------------------------------------------------------------------- */

/** One integer of a list; the first ECKI_ONNX_INTS are kept. */
static eck_status add_integer(ecki_onnx_reading *r, ecki_onnx_attribute *attribute, uint64_t value)
{
    ecki_onnx *onnx = r->onnx;

    if (attribute->int_count < 0) return ECK_OK;
    if (attribute->int_count == ECKI_ONNX_INTS) {
        onnx->integer_count -= attribute->int_count;
        attribute->int_count = -1;
        return ECK_OK;
    }
    int64_t *integers = ecki_grow(onnx->integers, onnx->integer_count, sizeof *integers);
    if (!integers) return ecki_error_memory(r->wire.err, -1);
    onnx->integers = integers;
    integers[onnx->integer_count++] = (int64_t)value;
    attribute->int_count++;
    return ECK_OK;
}

/** Integers, one a field or packed. */
static eck_status read_integers(ecki_onnx_reading *r, ecki_onnx_attribute *attribute,
                                const ecki_field *field)
{
    if (field->type == ECKI_WIRE_VARINT) return add_integer(r, attribute, field->value);
    eck_status status = expect(r, field, ECKI_WIRE_BYTES, "a list of integers");
    ecki_wire list = ecki_wire_inside(&r->wire, field);
    while (status == ECK_OK && list.at < list.end) {
        uint64_t value;
        status = ecki_wire_varint(&value, &list);
        if (status == ECK_OK) status = add_integer(r, attribute, value);
    }
    return status;
}

/** Keeps a string that is short. */
static eck_status read_text(ecki_onnx_reading *r, ecki_onnx_attribute *attribute,
                            const ecki_field *field)
{
    char bytes[TEXT_MAX];
    const int64_t length = field->end - field->begin;
    eck_status status = expect(r, field, ECKI_WIRE_BYTES, "a text");

    if (status != ECK_OK || length > TEXT_MAX) return status;
    status = ecki_wire_bytes(bytes, &r->wire, field->begin, length);
    if (status != ECK_OK || memchr(bytes, '\0', (size_t)length)) return status;
    attribute->text = ecki_container_string(r->container, bytes, length);
    return attribute->text ? ECK_OK : ecki_error_memory(r->wire.err, length);
}

/** One field of an attribute but its graphs and its tensor. */
static eck_status read_attribute_field(ecki_onnx_reading *r, ecki_onnx_attribute *attribute,
                                       const ecki_field *field)
{
    uint32_t bits;
    eck_status status = ECK_OK;

    switch (field->number) {
    case 1:
        return ecki_onnx_string(&attribute->name, r, field, "an attribute's name");
    case 2:
        status = expect(r, field, ECKI_WIRE_FOUR, "a number");
        bits = (uint32_t)field->value;
        memcpy(&attribute->real, &bits, sizeof bits);
        return status;
    case 3:
        attribute->integer = (int64_t)field->value;
        return expect(r, field, ECKI_WIRE_VARINT, "an integer");
    case 4:
        return read_text(r, attribute, field);
    case 8:
        return read_integers(r, attribute, field);
    case 20:
        attribute->type = (int32_t)ecki_min((int64_t)(field->value & INT32_MAX), INT32_MAX);
        return expect(r, field, ECKI_WIRE_VARINT, "an attribute's type");
    default:
        return ECK_OK;
    }
}

/** The frame of a node, made when the first graph in it is met. */
static eck_status node_frame(int32_t *out, ecki_onnx_reading *r, int64_t index)
{
    const ecki_onnx_node *node = &r->onnx->nodes[index];
    const ecki_field whole = { .length_at = node->length_at,
                               .begin = node->content.begin,
                               .end = node->content.end };
    eck_status status = ECK_OK;

    *out = node->frame;
    if (*out > 0) return ECK_OK;
    status = add_frame(out, r, &whole, r->onnx->graphs[node->graph].frame);
    if (status == ECK_OK) r->onnx->nodes[index].frame = *out;
    return status;
}

/** An attribute on the way to a graph; frame 0: none yet. */
typedef struct way {
    int64_t node;
    const ecki_field *attribute;
    int32_t frame, depth;
} way;

/** A graph in an attribute. */
static eck_status read_inner_graph(ecki_onnx_reading *r, way *to, const ecki_field *field)
{
    eck_status status = ECK_OK;
    ecki_onnx_graph graph = { .parent = r->onnx->nodes[to->node].graph, .owner = to->node };

    ECK_TRY(expect(r, field, ECKI_WIRE_BYTES, "a graph"));
    if (to->frame == 0) {
        ECK_TRY(node_frame(&graph.frame, r, to->node));
        ECK_TRY(add_frame(&to->frame, r, to->attribute, graph.frame));
    }
    graph.frame = to->frame;
    ECK_TRY(read_graph(r, field, &graph, to->depth + 1));
done:
    return status;
}

/** The tensor of an attribute; that of a Constant node is an entry. */
static eck_status read_attribute_tensor(ecki_onnx_reading *r, int64_t node,
                                        ecki_onnx_attribute *attribute, const ecki_field *field)
{
    const ecki_onnx_node *owner = &r->onnx->nodes[node];
    const bool constant = strcmp(owner->type, "Constant") == 0 && owner->output_count == 1 &&
                          owner->domain[0] == '\0' && attribute->name &&
                          strcmp(attribute->name, "value") == 0;
    eck_status status = expect(r, field, ECKI_WIRE_BYTES, "a tensor");

    if (status != ECK_OK || !constant) return status;
    ecki_onnx_tensor tensor = { .name = r->onnx->names[owner->outputs],
                                .graph = owner->graph,
                                .node = node,
                                .entry = -1,
                                .field = { field->start, field->end },
                                .content = { field->begin, field->end } };
    attribute->tensor = r->onnx->tensor_count;
    return ecki_onnx_read_tensor(r, &tensor);
}

/** One attribute; its name first, since what a tensor is depends on it. */
static eck_status read_attribute(ecki_onnx_reading *r, int64_t node, const ecki_field *whole,
                                 int32_t depth)
{
    eck_status status = ECK_OK;
    eck_error *err = r->wire.err;
    ecki_onnx_attribute attribute = { .name = "",
                                      .ints = r->onnx->integer_count,
                                      .tensor = -1,
                                      .field = { whole->start, whole->end } };
    way to = { node, whole, 0, depth };
    ecki_field field;

    ecki_wire wire = ecki_wire_inside(&r->wire, whole);
    do {
        ECK_TRY(ecki_wire_next(&field, &wire));
        ECK_TRY(read_attribute_field(r, &attribute, &field));
    } while (field.number != 0);
    wire = ecki_wire_inside(&r->wire, whole);
    do {
        ECK_TRY(ecki_wire_next(&field, &wire));
        if (field.number == 5) ECK_TRY(read_attribute_tensor(r, node, &attribute, &field));
        if (field.number == 6 || field.number == 11) ECK_TRY(read_inner_graph(r, &to, &field));
    } while (field.number != 0);
    ecki_onnx *onnx = r->onnx;
    // attributes of inner nodes came before: those of one node need not lie side by side
    ecki_onnx_attribute *attributes =
        ecki_grow(onnx->attributes, onnx->attribute_count, sizeof *attributes);
    ECK_HAVE(attributes);
    onnx->attributes = attributes;
    attributes[onnx->attribute_count++] = attribute;
done:
    return status;
}

/* ---- nodes -------------------------------------------------------------------------------------------------------- */

/** Names of a node: what it takes, its own, its type. */
static eck_status read_node_names(ecki_onnx_reading *r, ecki_onnx_node *node, ecki_wire wire)
{
    eck_status status = ECK_OK;
    ecki_field field;

    do {
        ECK_TRY(ecki_wire_next(&field, &wire));
        switch (field.number) {
        case 1:
            ECK_TRY(add_name(r, &field, "the name of an input"));
            node->input_count++;
            break;
        case 3:
            ECK_TRY(ecki_onnx_string(&node->name, r, &field, "a node's name"));
            break;
        case 4:
            ECK_TRY(ecki_onnx_string(&node->type, r, &field, "a node's type"));
            break;
        case 7:
            ECK_TRY(ecki_onnx_string(&node->domain, r, &field, "a node's domain"));
            break;
        default:
            break;
        }
    } while (field.number != 0);
    if (strcmp(node->domain, "ai.onnx") == 0) node->domain = "";
done:
    return status;
}

/** What a node makes. */
static eck_status read_node_outputs(ecki_onnx_reading *r, ecki_onnx_node *node, ecki_wire wire)
{
    eck_status status = ECK_OK;
    ecki_field field;

    node->outputs = r->onnx->name_count;
    do {
        ECK_TRY(ecki_wire_next(&field, &wire));
        if (field.number != 2) continue;
        ECK_TRY(add_name(r, &field, "the name of an output"));
        node->output_count++;
    } while (field.number != 0);
done:
    return status;
}

/** Attributes of a node without graphs lie side by side, which is all that is asked for by name; the others are only
 * walked for what lies in them. */
static eck_status read_node_attributes(ecki_onnx_reading *r, int64_t index, int32_t depth)
{
    eck_status status = ECK_OK;
    ecki_field field;
    const ecki_onnx_node *node = &r->onnx->nodes[index];
    const int64_t first = r->onnx->attribute_count, graphs = r->onnx->graph_count;
    ecki_field whole = { .begin = node->content.begin, .end = node->content.end };
    ecki_wire wire = ecki_wire_inside(&r->wire, &whole);

    do {
        ECK_TRY(ecki_wire_next(&field, &wire));
        if (field.number != 5) continue;
        ECK_TRY(expect(r, &field, ECKI_WIRE_BYTES, "an attribute"));
        ECK_TRY(read_attribute(r, index, &field, depth));
    } while (field.number != 0);
    if (r->onnx->graph_count == graphs) {
        r->onnx->nodes[index].attributes = first;
        r->onnx->nodes[index].attribute_count = (int32_t)(r->onnx->attribute_count - first);
    }
done:
    return status;
}

static eck_status read_node(ecki_onnx_reading *r, int32_t graph, const ecki_field *field,
                            int32_t depth)
{
    eck_status status = ECK_OK;
    eck_error *err = r->wire.err;
    ecki_onnx *onnx = r->onnx;
    const ecki_wire wire = ecki_wire_inside(&r->wire, field);
    ecki_onnx_node node = { .graph = graph,
                            .field = { field->start, field->end },
                            .content = { field->begin, field->end },
                            .length_at = field->length_at,
                            .name = "",
                            .type = "",
                            .domain = "",
                            .inputs = onnx->name_count };

    ECK_TRY(expect(r, field, ECKI_WIRE_BYTES, "a node"));
    if (onnx->node_count >= NODES_MAX) {
        status = ecki_read_error(r->wire.err, ECK_E_UNSUPPORTED, field->start, r->wire.file->name,
                                 "more than %d nodes", NODES_MAX);
        goto done;
    }
    ECK_TRY(read_node_names(r, &node, wire));
    ECK_TRY(read_node_outputs(r, &node, wire));
    ecki_onnx_node *nodes = ecki_grow(onnx->nodes, onnx->node_count, sizeof *nodes);
    ECK_HAVE(nodes);
    onnx->nodes = nodes;
    nodes[onnx->node_count++] = node;
    ECK_TRY(read_node_attributes(r, onnx->node_count - 1, depth));
done:
    return status;
}

/* ---- values ------------------------------------------------------------------------------------------------------- */

/** One dimension: a size, a name or nothing. */
static eck_status read_dimension(ecki_onnx_reading *r, ecki_onnx_value *value,
                                 const ecki_field *whole)
{
    eck_status status = ECK_OK;
    ecki_field field;
    int64_t size = -1;

    ECK_TRY(expect(r, whole, ECKI_WIRE_BYTES, "a dimension"));
    ecki_wire wire = ecki_wire_inside(&r->wire, whole);
    do {
        ECK_TRY(ecki_wire_next(&field, &wire));
        if (field.number == 1 && field.type == ECKI_WIRE_VARINT &&
            field.value <= (UINT64_C(1) << 48))
            size = (int64_t)field.value;
    } while (field.number != 0);
    if (value->ndim < ECK_DIMS_MAX) value->shape[value->ndim] = size;
    value->ndim++;
done:
    return status;
}

/** Walks type > tensor_type > shape; `level` 0 is the type. Other kinds of types say nothing here. */
static eck_status read_type(ecki_onnx_reading *r, ecki_onnx_value *value, const ecki_field *whole,
                            int32_t level)
{
    eck_status status = ECK_OK;
    ecki_field field;

    ECK_TRY(expect(r, whole, ECKI_WIRE_BYTES, "a type"));
    ecki_wire wire = ecki_wire_inside(&r->wire, whole);
    if (level == 2) value->ndim = 0;
    do {
        ECK_TRY(ecki_wire_next(&field, &wire));
        if (level == 0 && field.number == 1) ECK_TRY(read_type(r, value, &field, 1));
        if (level == 1 && field.number == 1)
            value->type = (int32_t)(field.value < INT32_MAX ? field.value : 0);
        if (level == 1 && field.number == 2) ECK_TRY(read_type(r, value, &field, 2));
        if (level == 2 && field.number == 1) ECK_TRY(read_dimension(r, value, &field));
    } while (field.number != 0);
    if (level == 2 && value->ndim > ECK_DIMS_MAX) value->ndim = -1;
done:
    return status;
}

/** One more place of a name. */
static eck_status add_use(ecki_onnx_reading *r, const ecki_onnx_use *use)
{
    ecki_onnx *onnx = r->onnx;
    ecki_onnx_use *uses = ecki_grow(onnx->uses, onnx->use_count, sizeof *uses);
    if (!uses) return ecki_error_memory(r->wire.err, -1);
    onnx->uses = uses;
    uses[onnx->use_count++] = *use;
    return ECK_OK;
}

/** An input, an output or a value_info. */
static eck_status read_value(ecki_onnx_reading *r, int32_t graph, const ecki_field *whole,
                             ecki_onnx_role role)
{
    eck_status status = ECK_OK;
    eck_error *err = r->wire.err;
    ecki_onnx *onnx = r->onnx;
    ecki_onnx_value value = {
        .name = "", .graph = graph, .ndim = -1, .field = { whole->start, whole->end }
    };
    ecki_field field;

    ECK_TRY(expect(r, whole, ECKI_WIRE_BYTES, "a value"));
    ecki_wire wire = ecki_wire_inside(&r->wire, whole);
    do {
        ECK_TRY(ecki_wire_next(&field, &wire));
        if (field.number == 1) ECK_TRY(ecki_onnx_string(&value.name, r, &field, "a value's name"));
        if (field.number == 2) ECK_TRY(read_type(r, &value, &field, 0));
    } while (field.number != 0);
    ecki_onnx_value *values = ecki_grow(onnx->values, onnx->value_count, sizeof *values);
    ECK_HAVE(values);
    onnx->values = values;
    values[onnx->value_count++] = value;
    if (value.name[0])
        ECK_TRY(add_use(r, &(ecki_onnx_use){ value.name, role, graph, 0, onnx->value_count - 1 }));
done:
    return status;
}

/* ---- graphs ------------------------------------------------------------------------------------------------------- */

static eck_status read_initializer(ecki_onnx_reading *r, int32_t graph, const ecki_field *field)
{
    ecki_onnx_tensor tensor = { .graph = graph,
                                .node = -1,
                                .entry = -1,
                                .field = { field->start, field->end },
                                .content = { field->begin, field->end } };
    const eck_status status = expect(r, field, ECKI_WIRE_BYTES, "an initializer");
    return status == ECK_OK ? ecki_onnx_read_tensor(r, &tensor) : status;
}

/** The name in a message whose name is field `path[0]`, or, with path[1], that of the message in that field. */
static eck_status read_named(ecki_onnx_reading *r, int32_t graph, const ecki_field *whole,
                             const int32_t path[2], ecki_onnx_role role)
{
    eck_status status = ECK_OK;
    ecki_field field;
    const char *name = "";

    ECK_TRY(expect(r, whole, ECKI_WIRE_BYTES, "a message"));
    ecki_wire wire = ecki_wire_inside(&r->wire, whole);
    do {
        ECK_TRY(ecki_wire_next(&field, &wire));
        if (field.number != path[0]) continue;
        if (path[1] == 0) {
            ECK_TRY(ecki_onnx_string(&name, r, &field, "a name"));
        } else {
            const int32_t inner[2] = { path[1], 0 };
            return read_named(r, graph, &field, inner, role);
        }
    } while (field.number != 0);
    if (name[0]) ECK_TRY(add_use(r, &(ecki_onnx_use){ name, role, graph, 0, -1 }));
done:
    return status;
}

/** One field of a graph. */
static eck_status read_graph_field(ecki_onnx_reading *r, int32_t graph, const ecki_field *field,
                                   int32_t depth)
{
    static const int32_t sparse[2] = { 1, 8 }, annotated[2] = { 1, 0 };

    switch (field->number) {
    case 1:
        return read_node(r, graph, field, depth);
    case 5:
        return read_initializer(r, graph, field);
    case 11:
        return read_value(r, graph, field, ECKI_ONNX_IS_INPUT);
    case 12:
        return read_value(r, graph, field, ECKI_ONNX_IS_OUTPUT);
    case 13:
        return read_value(r, graph, field, ECKI_ONNX_IS_SAID);
    case 14:
        return read_named(r, graph, field, annotated, ECKI_ONNX_IS_ANNOTATED);
    case 15:
        return read_named(r, graph, field, sparse, ECKI_ONNX_IS_SPARSE);
    default:
        return ECK_OK;
    }
}

static eck_status read_graph(ecki_onnx_reading *r, const ecki_field *field,
                             const ecki_onnx_graph *graph, int32_t depth)
{
    eck_status status = ECK_OK;
    eck_error *err = r->wire.err;
    ecki_onnx *onnx = r->onnx;
    ecki_field inner;

    if (depth > ECKI_ONNX_DEPTH)
        return ecki_read_error(r->wire.err, ECK_E_UNSUPPORTED, field->start, r->wire.file->name,
                               "graphs nested more than %d deep", ECKI_ONNX_DEPTH);
    ecki_onnx_graph *graphs = ecki_grow(onnx->graphs, onnx->graph_count, sizeof *graphs);
    ECK_HAVE(graphs);
    onnx->graphs = graphs;
    const int32_t index = onnx->graph_count++;
    graphs[index] = *graph;
    ECK_TRY(add_frame(&onnx->graphs[index].frame, r, field, graph->frame));
    ecki_wire wire = ecki_wire_inside(&r->wire, field);
    do {
        ECK_TRY(ecki_wire_next(&inner, &wire));
        ECK_TRY(read_graph_field(r, index, &inner, depth));
    } while (inner.number != 0);
done:
    return status;
}

/* ---- the model ---------------------------------------------------------------------------------------------------- */

/** "" and "ai.onnx" name the standard operators. */
static eck_status read_opset(ecki_onnx_reading *r, const ecki_field *whole)
{
    eck_status status = ECK_OK;
    ecki_field field;
    const char *domain = "";
    uint64_t version = 0;

    ECK_TRY(expect(r, whole, ECKI_WIRE_BYTES, "an operator set"));
    ecki_wire wire = ecki_wire_inside(&r->wire, whole);
    do {
        ECK_TRY(ecki_wire_next(&field, &wire));
        if (field.number == 1) ECK_TRY(ecki_onnx_string(&domain, r, &field, "a domain"));
        if (field.number == 2) version = field.value;
    } while (field.number != 0);
    if (domain[0] == '\0' || strcmp(domain, "ai.onnx") == 0)
        r->onnx->opset = version <= INT32_MAX ? (int64_t)version : INT32_MAX;
done:
    return status;
}

/** A pair of texts; only our manifest is kept. */
static eck_status read_metadata(ecki_onnx_reading *r, const ecki_field *whole)
{
    eck_status status = ECK_OK;
    eck_error *err = r->wire.err;
    ecki_field field, value = { 0 };
    const char *key = "";
    char *text = NULL;

    ECK_TRY(expect(r, whole, ECKI_WIRE_BYTES, "metadata"));
    ecki_wire wire = ecki_wire_inside(&r->wire, whole);
    do {
        ECK_TRY(ecki_wire_next(&field, &wire));
        // others' keys may be anything
        if (field.number == 1 && field.end - field.begin == (int64_t)strlen("eckart"))
            ECK_TRY(ecki_onnx_string(&key, r, &field, "a key"));
        if (field.number == 2) value = field;
    } while (field.number != 0);
    if (strcmp(key, "eckart") != 0) goto done;
    if (r->onnx->manifest.end > 0) {
        status = ecki_wire_fail(&r->wire, whole->start, "metadata key 'eckart' comes twice");
        goto done;
    }
    r->onnx->manifest = (ecki_span){ whole->start, whole->end };
    const int64_t length = value.end - value.begin;
    ECK_ALLOC_RAW(text, length + 1);
    ECK_TRY(ecki_wire_bytes(text, &r->wire, value.begin, length));
    text[length] = '\0';
    ECK_TRY(ecki_container_add_metadata(r->container, key, text, r->wire.err));
done:
    ecki_free(text);
    return status;
}

/** The model's own function: one in the standard domain stands in for the operator of its name. */
static eck_status read_function(ecki_onnx_reading *r, const ecki_field *whole)
{
    eck_status status = ECK_OK;
    eck_error *err = r->wire.err;
    ecki_onnx *onnx = r->onnx;
    ecki_field field;
    const char *name = "", *domain = "";

    ECK_TRY(expect(r, whole, ECKI_WIRE_BYTES, "a function"));
    ecki_wire wire = ecki_wire_inside(&r->wire, whole);
    do {
        ECK_TRY(ecki_wire_next(&field, &wire));
        if (field.number == 1) ECK_TRY(ecki_onnx_string(&name, r, &field, "a function's name"));
        if (field.number == 10)
            ECK_TRY(ecki_onnx_string(&domain, r, &field, "a function's domain"));
    } while (field.number != 0);
    if (domain[0] != '\0' && strcmp(domain, "ai.onnx") != 0) goto done;
    const char **functions = ecki_grow(onnx->functions, onnx->function_count, sizeof *functions);
    ECK_HAVE(functions);
    onnx->functions = functions;
    functions[onnx->function_count++] = name;
done:
    return status;
}

/** One field of the model; *graphs counts graphs. */
static eck_status read_model_field(ecki_onnx_reading *r, const ecki_field *field, int32_t *graphs)
{
    const ecki_onnx_graph graph = { .parent = -1, .owner = -1 };
    eck_status status = ECK_OK;

    switch (field->number) {
    case 1:
        r->onnx->ir_version = field->value <= INT32_MAX ? (int64_t)field->value : INT32_MAX;
        return expect(r, field, ECKI_WIRE_VARINT, "ir_version");
    case 7:
        if ((*graphs)++ > 0) return ecki_wire_fail(&r->wire, field->start, "a second graph");
        status = expect(r, field, ECKI_WIRE_BYTES, "the graph");
        return status == ECK_OK ? read_graph(r, field, &graph, 1) : status;
    case 8:
        return read_opset(r, field);
    case 14:
        return read_metadata(r, field);
    case 20:
        r->onnx->training = true;
        return ECK_OK;
    case 25:
        return read_function(r, field);
    default:
        return ECK_OK;
    }
}

static eck_status read_model(ecki_onnx_reading *r)
{
    eck_status status = ECK_OK;
    int32_t graphs = 0, frame;
    ecki_field field = { .length_at = -1, .end = r->wire.file->size };

    ECK_TRY(add_frame(&frame, r, &field, -1));
    ecki_wire wire = ecki_wire_inside(&r->wire, &field);
    do {
        ECK_TRY(ecki_wire_next(&field, &wire));
        ECK_TRY(read_model_field(r, &field, &graphs));
    } while (field.number != 0);
    if (graphs == 0) status = ecki_wire_fail(&r->wire, wire.end, "a model without a graph");
done:
    return status;
}

/** What the nodes take and make, as places of names. */
static eck_status add_node_uses(ecki_onnx_reading *r)
{
    eck_status status = ECK_OK;
    const ecki_onnx *onnx = r->onnx;

    for (int64_t i = 0; i < onnx->node_count; i++) {
        const ecki_onnx_node *node = &onnx->nodes[i];
        for (int32_t k = 0; k < node->input_count + node->output_count; k++) {
            const bool made = k >= node->input_count;
            const int32_t slot = made ? k - node->input_count : k;
            const char *name = onnx->names[(made ? node->outputs : node->inputs) + slot];
            if (!name[0]) continue;
            ECK_TRY(add_use(r, &(ecki_onnx_use){ name, made ? ECKI_ONNX_IS_MADE : ECKI_ONNX_IS_USED,
                                                 node->graph, slot, i }));
        }
    }
    for (int64_t i = 0; i < onnx->tensor_count; i++)
        if (onnx->tensors[i].node < 0)
            ECK_TRY(add_use(r, &(ecki_onnx_use){ onnx->tensors[i].name, ECKI_ONNX_IS_TENSOR,
                                                 onnx->tensors[i].graph, 0, i }));
done:
    return status;
}

void ecki_onnx_free(ecki_onnx *onnx)
{
    if (!onnx) return;
    ecki_free(onnx->frames);
    ecki_free(onnx->graphs);
    ecki_free(onnx->nodes);
    ecki_free(onnx->attributes);
    ecki_free(onnx->names);
    ecki_free(onnx->integers);
    ecki_free(onnx->tensors);
    ecki_free(onnx->by_entry);
    ecki_free(onnx->values);
    ecki_free(onnx->uses);
    ecki_free(onnx->functions);
    ecki_free(onnx);
}

/** By the first bytes: ir_version, then another small field of a model. */
static ecki_match probe(const ecki_head *head)
{
    static const char next[] = "\x12\x1a\x22\x28\x32\x3a\x42\x72";
    const char *bytes = head->bytes;
    const bool version = head->count > 2 && bytes[0] == 8 && bytes[1] >= 1 && bytes[1] < 64;
    if (version && bytes[2] && strchr(next, bytes[2])) return ECKI_MATCH_CONTENT;
    return ecki_ends_with(head->path, ".onnx") ? ECKI_MATCH_ENDING : ECKI_MATCH_NONE;
}

/** Directory of a file's path; owned, NULL out of memory. */
static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? ecki_strndup(path, ecki_max(slash - path, 1)) : ecki_strdup(".");
}

static eck_status open_file(ecki_container *container, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_onnx_reading r = { .container = container, .decoded = -1 };
    // a copy: the container's files may move when external ones join them
    const ecki_file file = container->files[0];

    ECK_ALLOC(container->onnx, 1);
    r.onnx = container->onnx;
    if (file.descriptor >= 0) {
        r.directory = directory_of(file.path);
        ECK_HAVE(r.directory);
    }
    ECK_TRY(ecki_wire_open(&r.wire, &file, (ecki_span){ 0, file.size }, err));
    ECK_TRY(read_model(&r));
    ECK_TRY(add_node_uses(&r));
    ECK_TRY(ecki_onnx_link(r.onnx, &r));
    if (r.onnx->opaque > 0)
        ECK_TRY(ecki_container_warn(container, err,
                                    "%lld tensors of '%s' are of types that hold no numbers",
                                    (long long)r.onnx->opaque, file.name));
done:
    ecki_wire_close(&r.wire);
    ecki_free(r.directory);
    return status;
}

const ecki_reader ecki_reader_onnx = { "onnx", probe, open_file };
