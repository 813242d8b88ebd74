/*
 * What is named where in an ONNX model. All places of all names, sorted: definitions of a name before its uses, by graph.
 * A use sees the graph it stands in and those around it. Always true of a linked model: every name that is used is
 * defined in sight, once in a graph, and the nodes can be put in an order.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"
#include "format/input.h"
#include "format/onnx.h"

static bool is_definition(const ecki_onnx_use *use)
{
    return use->role <= ECKI_ONNX_IS_SPARSE;
}

/** By name, definitions first, then by graph, role and place. */
static int compare_uses(const void *a, const void *b)
{
    const ecki_onnx_use *x = a, *y = b;
    const int order = strcmp(x->name, y->name);
    if (order != 0) return order;
    if (is_definition(x) != is_definition(y)) return is_definition(x) ? -1 : 1;
    if (x->graph != y->graph) return x->graph < y->graph ? -1 : 1;
    if (x->role != y->role) return x->role < y->role ? -1 : 1;
    if (x->index != y->index) return x->index < y->index ? -1 : 1;
    return (x->slot > y->slot) - (x->slot < y->slot);
}

/** First place whose name is not below the one wanted, or is above it. */
static int64_t bound(const ecki_onnx *onnx, const char *name, bool above)
{
    int64_t low = 0, high = onnx->use_count;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        const int order = strcmp(onnx->uses[middle].name, name);
        if (order < 0 || (above && order == 0))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

const ecki_onnx_use *ecki_onnx_find(const ecki_onnx *onnx, const char *name, int64_t *count_out)
{
    const int64_t first = bound(onnx, name, false);
    *count_out = bound(onnx, name, true) - first;
    return *count_out > 0 ? &onnx->uses[first] : NULL;
}

const ecki_onnx_attribute *ecki_onnx_attribute_of(const ecki_onnx *onnx, const ecki_onnx_node *node,
                                                  const char *name)
{
    for (int32_t i = 0; i < node->attribute_count; i++)
        if (strcmp(onnx->attributes[node->attributes + i].name, name) == 0)
            return &onnx->attributes[node->attributes + i];
    return NULL;
}

int64_t ecki_onnx_integer(const ecki_onnx *onnx, const ecki_onnx_node *node, const char *name,
                          int64_t otherwise)
{
    const ecki_onnx_attribute *attribute = ecki_onnx_attribute_of(onnx, node, name);
    return attribute ? attribute->integer : otherwise;
}

bool ecki_onnx_is(const ecki_onnx *onnx, const ecki_onnx_node *node, const char *type)
{
    if (node->domain[0] || strcmp(node->type, type) != 0) return false;
    for (int64_t i = 0; i < onnx->function_count; i++)
        if (strcmp(onnx->functions[i], type) == 0) return false;
    return true;
}

const char *ecki_onnx_input(const ecki_onnx *onnx, const ecki_onnx_node *node, int32_t slot)
{
    return slot < node->input_count ? onnx->names[node->inputs + slot] : "";
}

const char *ecki_onnx_output(const ecki_onnx *onnx, const ecki_onnx_node *node, int32_t slot)
{
    return slot < node->output_count ? onnx->names[node->outputs + slot] : "";
}

/** Fails about a place. */
static eck_status fail_use(const ecki_onnx *onnx, const ecki_onnx_use *use, const char *what,
                           const ecki_onnx_reading *r)
{
    char name[200], node[200];
    const bool of_node = use->role == ECKI_ONNX_IS_USED || use->role == ECKI_ONNX_IS_MADE;

    ecki_name_escape(name, sizeof name, use->name);
    if (!of_node)
        return ecki_read_error(r->wire.err, ECK_E_FORMAT, -1, r->wire.file->name, "name '%s' %s",
                               name, what);
    const ecki_onnx_node *n = &onnx->nodes[use->index];
    ecki_name_escape(node, sizeof node, n->name[0] ? n->name : n->type);
    return ecki_read_error(r->wire.err, ECK_E_FORMAT, n->field.begin, r->wire.file->name,
                           "name '%s' of node '%s' %s", name, node, what);
}

/* ---- definitions -------------------------------------------------------------------------------------------------- */

/** The places of one name: definitions, then the rest. */
typedef struct group {
    const ecki_onnx_use *uses;
    int64_t definitions, count;
} group;

/** Two definitions of one name in one graph are an input and its default, or an error. */
static eck_status check_definitions(const ecki_onnx *onnx, const group *g,
                                    const ecki_onnx_reading *r)
{
    for (int64_t i = 1; i < g->definitions; i++) {
        const ecki_onnx_use *a = &g->uses[i - 1], *b = &g->uses[i];
        if (a->graph != b->graph) continue;
        if (a->role == ECKI_ONNX_IS_INPUT && b->role == ECKI_ONNX_IS_TENSOR) continue;
        return fail_use(onnx, b, "is defined twice", r);
    }
    return ECK_OK;
}

/** The definition that a place sees: in its graph or the nearest around it; NULL if there is none. */
static const ecki_onnx_use *seen_from(const ecki_onnx *onnx, const group *g, int32_t graph)
{
    for (int32_t h = graph; h >= 0; h = onnx->graphs[h].parent) {
        int64_t low = 0, high = g->definitions;
        while (low < high) {
            const int64_t middle = low + (high - low) / 2;
            if (g->uses[middle].graph < h)
                low = middle + 1;
            else
                high = middle;
        }
        if (low < g->definitions && g->uses[low].graph == h) return &g->uses[low];
    }
    return NULL;
}

/** The next group from `first` on. */
static group next_group(const ecki_onnx *onnx, int64_t first)
{
    group g = { &onnx->uses[first], 0, 0 };
    while (first + g.count < onnx->use_count && strcmp(g.uses[g.count].name, g.uses[0].name) == 0) {
        g.definitions += is_definition(&g.uses[g.count]);
        g.count++;
    }
    return g;
}

/* ---- order -------------------------------------------------------------------------------------------------------- */

/** Who waits for whom: node p is waited for by waiting[first[p] .. first[p + 1]). */
typedef struct order {
    int32_t *pairs,
        *waiting; /**< edges: producer and consumer as they are met; consumers by producer */
    int64_t edges;
    int64_t *first;
    int32_t *left; /**< what a node still waits for */
    int32_t *ready;
} order;

static void order_clear(order *o)
{
    ecki_free(o->pairs);
    ecki_free(o->waiting);
    ecki_free(o->first);
    ecki_free(o->left);
    ecki_free(o->ready);
}

/** The node of graph `graph` in whose attributes node `index` lies, or it itself. */
static int64_t lifted(const ecki_onnx *onnx, int64_t index, int32_t graph)
{
    while (onnx->nodes[index].graph != graph)
        index = onnx->graphs[onnx->nodes[index].graph].owner;
    return index;
}

/** Holds the uses of a group against its definitions and notes who waits. */
static eck_status link_group(order *o, const ecki_onnx *onnx, const group *g,
                             const ecki_onnx_reading *r)
{
    for (int64_t i = g->definitions; i < g->count; i++) {
        const ecki_onnx_use *use = &g->uses[i];
        if (use->role != ECKI_ONNX_IS_USED && use->role != ECKI_ONNX_IS_OUTPUT) continue;
        const ecki_onnx_use *definition = seen_from(onnx, g, use->graph);
        if (!definition) return fail_use(onnx, use, "comes from nowhere", r);
        if (definition->role != ECKI_ONNX_IS_MADE || use->role != ECKI_ONNX_IS_USED) continue;
        const int64_t consumer = lifted(onnx, use->index, definition->graph);
        if (consumer == definition->index) return fail_use(onnx, use, "goes in a circle", r);
        o->pairs[2 * o->edges] = (int32_t)definition->index;
        o->pairs[2 * o->edges + 1] = (int32_t)consumer;
        o->edges++;
    }
    return ECK_OK;
}

/** Edges by producer. */
static eck_status order_sort(order *o, int64_t nodes, eck_error *err)
{
    eck_status status = ECK_OK;
    const int32_t *pairs = o->pairs;

    ECK_ALLOC(o->waiting, o->edges);
    ECK_ALLOC(o->first, nodes + 2);
    ECK_ALLOC(o->left, nodes);
    ECK_ALLOC(o->ready, nodes);
    for (int64_t i = 0; i < o->edges; i++) {
        o->first[pairs[2 * i] + 2]++;
        o->left[pairs[2 * i + 1]]++;
    }
    for (int64_t i = 2; i <= nodes + 1; i++)
        o->first[i] += o->first[i - 1];
    for (int64_t i = 0; i < o->edges; i++)
        o->waiting[o->first[pairs[2 * i] + 1]++] = pairs[2 * i + 1];
done:
    return status;
}

/** Takes away nodes that wait for nothing until none is left; what remains goes in a circle. */
static eck_status order_check(const order *o, const ecki_onnx *onnx, const ecki_onnx_reading *r)
{
    int64_t count = 0;
    char name[200];

    for (int64_t i = 0; i < onnx->node_count; i++)
        if (o->left[i] == 0) o->ready[count++] = (int32_t)i;
    for (int64_t i = 0; i < count; i++)
        for (int64_t k = o->first[o->ready[i]]; k < o->first[o->ready[i] + 1]; k++)
            if (--o->left[o->waiting[k]] == 0) o->ready[count++] = o->waiting[k];
    if (count == onnx->node_count) return ECK_OK;
    int64_t stuck = 0;
    while (o->left[stuck] == 0)
        stuck++;
    const ecki_onnx_node *node = &onnx->nodes[stuck];
    ecki_name_escape(name, sizeof name, node->name[0] ? node->name : node->type);
    return ecki_read_error(r->wire.err, ECK_E_FORMAT, node->field.begin, r->wire.file->name,
                           "node '%s' waits for what it makes itself: the graph goes in a circle",
                           name);
}

/* ---- the whole ---------------------------------------------------------------------------------------------------- */

/** Tensors of inner graphs whose name another graph defines too get one of their own: "name#3", 3 the graph. */
static eck_status rename_entries(const ecki_onnx *onnx, const ecki_onnx_reading *r)
{
    eck_status status = ECK_OK;
    eck_error *err = r->wire.err;
    char *name = NULL;

    for (int64_t i = 0; i < onnx->tensor_count; i++) {
        const ecki_onnx_tensor *tensor = &onnx->tensors[i];
        int64_t count = 0;
        if (tensor->graph == 0 || tensor->entry < 0) continue;
        const ecki_onnx_use *uses = ecki_onnx_find(onnx, tensor->name, &count);
        if (count < 2 || !is_definition(&uses[1])) continue;
        name = ecki_format("%s#%d", tensor->name, tensor->graph);
        ECK_HAVE(name);
        r->container->entries[tensor->entry].name =
            ecki_container_string(r->container, name, (int64_t)strlen(name));
        ECK_HAVE(r->container->entries[tensor->entry].name);
        ecki_free(name);
        name = NULL;
    }
done:
    ecki_free(name);
    return status;
}

eck_status ecki_onnx_link(ecki_onnx *onnx, const ecki_onnx_reading *r)
{
    eck_status status = ECK_OK;
    eck_error *err = r->wire.err;
    order o = { 0 };
    group g;

    if (onnx->use_count > 0)
        qsort(onnx->uses, (size_t)onnx->use_count, sizeof *onnx->uses, compare_uses);
    ECK_ALLOC_RAW(o.pairs, 2 * onnx->use_count);
    for (int64_t i = 0; i < onnx->use_count; i += g.count) {
        g = next_group(onnx, i);
        ECK_TRY(check_definitions(onnx, &g, r));
        ECK_TRY(link_group(&o, onnx, &g, r));
    }
    ECK_TRY(order_sort(&o, onnx->node_count, err));
    ECK_TRY(order_check(&o, onnx, r));
    ECK_TRY(rename_entries(onnx, r));
    ECK_ALLOC(onnx->by_entry, r->container->entry_count);
    for (int64_t i = 0; i < onnx->tensor_count; i++)
        if (onnx->tensors[i].entry >= 0) onnx->by_entry[onnx->tensors[i].entry] = i;
done:
    order_clear(&o);
    return status;
}
