/**
 * The manifest, "eckart-factored" version 1 (docs/formats/manifest.md): which modules of an output are chains, of which
 * tensors, with which error, and from which files it was made.
 *
 * A parsed manifest is consistent with its container: every tensor it names is there and the shapes of a chain fit each
 * other and the dense layer. What is printed is a function of the struct alone, keys in a fixed order.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"
#include "decompose/compose.h"
#include "eckart/context.h"
#include "format/json.h"
#include "model/graph.h"

static const char *const module_kinds[] = { "linear",    "conv",        "conv_transpose",
                                            "embedding", "conv1d_gpt2", NULL };

static const struct {
    const char *name;
    eck_stage_kind kind;
} stage_kinds[] = { { "linear", ECK_STAGE_LINEAR },
                    { "conv", ECK_STAGE_CONV },
                    { "conv_transpose", ECK_STAGE_CONV_TRANSPOSE },
                    { "lookup", ECK_STAGE_LOOKUP },
                    { "scale", ECK_STAGE_SCALE } };
enum { STAGE_KINDS = sizeof stage_kinds / sizeof *stage_kinds, STAGES_MAX = 8 };

static const char *stage_kind_name(eck_stage_kind kind)
{
    for (int i = 0; i < STAGE_KINDS; i++)
        if (stage_kinds[i].kind == kind) return stage_kinds[i].name;
    return "?";
}

static void strings_clear(ecki_strings *strings)
{
    for (int64_t i = 0; i < strings->count; i++)
        ecki_free(strings->list[i]);
    ecki_free(strings->list);
}

void ecki_module_clear(ecki_module *module)
{
    strings_clear(&module->nodes);
    strings_clear(&module->between);
    ecki_free(module->tensor);
    for (int32_t i = 0; i < module->stage_count; i++)
        ecki_free(module->stages[i].weight);
    ecki_free(module->stages);
    ecki_free(module->name);
    ecki_free(module->kind);
    ecki_free(module->bias);
    memset(module, 0, sizeof *module);
}

void ecki_manifest_free(ecki_manifest *manifest)
{
    if (!manifest) return;
    for (int64_t i = 0; i < manifest->module_count; i++)
        ecki_module_clear(&manifest->modules[i]);
    for (int64_t i = 0; i < manifest->source_count; i++) {
        ecki_free(manifest->source_files[i]);
        ecki_free(manifest->source_hashes[i]);
    }
    ecki_free(manifest->source_files);
    ecki_free(manifest->source_hashes);
    ecki_free(manifest->source_name);
    ecki_free(manifest->modules);
    ecki_free(manifest);
}

eck_stage ecki_module_dense(const ecki_module *module)
{
    const bool lookup = strcmp(module->kind, "embedding") == 0;
    const int64_t *shape = module->shape;
    const eck_stage *first = &module->stages[0].stage;
    eck_stage dense;

    if (strcmp(module->kind, "conv_transpose") == 0) {
        // [in, out/groups, k...]: how many channels come out is what the last stage makes.
        const int64_t made = module->stages[module->stage_count - 1].stage.out;
        const int64_t groups = made % shape[1] == 0 ? made / shape[1] : 1;
        dense = eck_stage_conv(shape[0], shape[1] * groups, groups, module->ndim - 2, shape + 2);
        dense.kind = ECK_STAGE_CONV_TRANSPOSE;
    } else if (module->ndim > 2) {
        // [out, in/groups, k...]: how many channels come in is what the first stage takes.
        const int64_t groups = first->in % shape[1] == 0 ? first->in / shape[1] : 1;
        dense = eck_stage_conv(shape[1] * groups, shape[0], groups, module->ndim - 2, shape + 2);
    } else if (lookup || strcmp(module->kind, "conv1d_gpt2") == 0) {
        dense = eck_stage_linear(shape[0], shape[1]);
    } else {
        dense = eck_stage_linear(shape[1], shape[0]);
    }
    if (lookup) dense.kind = ECK_STAGE_LOOKUP;
    return dense;
}

int32_t ecki_stage_stored(const ecki_manifest_stage *stage, int64_t *shape_out)
{
    const int32_t ndim = eck_stage_shape(&stage->stage, shape_out);
    if (!stage->turned || ndim != 2) return ndim;
    const int64_t first = shape_out[0];
    shape_out[0] = shape_out[1];
    shape_out[1] = first;
    return ndim;
}

/* ---- reading ------------------------------------------------------------------------------------------------------ */

/** What parsing carries along: where it is, for messages. */
typedef struct reader {
    const ecki_container *container;
    const char *module;
    eck_error *err;
} reader;

static eck_status bad(const reader *r, const char *what)
{
    char name[200];
    ecki_name_escape(name, sizeof name, r->module ? r->module : "");
    ecki_error(r->err, ECK_E_FORMAT, -1, "cannot use the manifest: module '%s': %s", name, what);
    return ecki_error_where(r->err, ECK_E_FORMAT, NULL, r->module);
}

static eck_status copy_string(char **out, const json_t *value, const reader *r, const char *what)
{
    if (!json_is_string(value)) return bad(r, what);
    *out = ecki_strdup(json_string_value(value));
    return *out ? ECK_OK : ecki_error_memory(r->err, -1);
}

static eck_status read_numbers(int64_t *out, int32_t *count_out, int32_t room, const json_t *array,
                               const reader *r, const char *what)
{
    const size_t count = json_array_size(array);
    if (!json_is_array(array) || count > (size_t)room) return bad(r, what);
    for (size_t i = 0; i < count; i++) {
        const json_t *value = json_array_get(array, i);
        if (!json_is_integer(value) || json_integer_value(value) < 1) return bad(r, what);
        out[i] = json_integer_value(value);
    }
    *count_out = (int32_t)count;
    return ECK_OK;
}

/** Kind of a stage: as written, else what its tensor's dimensions say. */
static eck_status stage_kind_read(eck_stage_kind *out, const json_t *object,
                                  const ecki_module *module, const ecki_entry *entry,
                                  const reader *r)
{
    const json_t *kind = json_object_get(object, "kind");

    if (!kind) {
        const bool lookup = module->stage_count == 0 && strcmp(module->kind, "embedding") == 0;
        *out = entry->ndim == 1  ? ECK_STAGE_SCALE
               : entry->ndim > 2 ? ECK_STAGE_CONV
               : lookup          ? ECK_STAGE_LOOKUP
                                 : ECK_STAGE_LINEAR;
        return ECK_OK;
    }
    for (int i = 0; i < STAGE_KINDS && json_is_string(kind); i++) {
        if (strcmp(json_string_value(kind), stage_kinds[i].name) != 0) continue;
        *out = stage_kinds[i].kind;
        return ECK_OK;
    }
    return bad(r, "unknown kind of stage (allowed: linear, conv, conv_transpose, lookup, scale)");
}

/** A vector, maybe with dimensions of one behind it, as graphs need them. */
static bool is_vector(const ecki_entry *entry)
{
    bool vector = entry->ndim >= 1;
    for (int32_t i = 1; i < entry->ndim; i++)
        vector = vector && entry->shape[i] == 1;
    return vector;
}

/** The stage a tensor of that shape makes. */
static eck_status stage_from_shape(eck_stage *out, eck_stage_kind kind, const ecki_entry *entry,
                                   int64_t groups, const reader *r)
{
    const int64_t *shape = entry->shape;

    if (kind != ECK_STAGE_CONV && kind != ECK_STAGE_CONV_TRANSPOSE && groups != 1)
        return bad(r, "only a convolution has groups");
    if (kind == ECK_STAGE_CONV_TRANSPOSE && entry->ndim >= 3 && entry->ndim <= 5) {
        int64_t made;
        if (!ecki_mul(shape[1], groups, &made)) return bad(r, "groups: too many");
        *out = eck_stage_conv(shape[0], made, groups, entry->ndim - 2, shape + 2);
        out->kind = kind;
        return ECK_OK;
    }
    if (kind == ECK_STAGE_CONV && entry->ndim >= 3 && entry->ndim <= 5) {
        int64_t in;
        if (!ecki_mul(shape[1], groups, &in)) return bad(r, "groups: too many");
        *out = eck_stage_conv(in, shape[0], groups, entry->ndim - 2, shape + 2);
        return ECK_OK;
    }
    if (kind == ECK_STAGE_SCALE && is_vector(entry)) {
        *out = eck_stage_linear(shape[0], shape[0]);
    } else if (kind == ECK_STAGE_LINEAR && entry->ndim == 2) {
        *out = eck_stage_linear(shape[1], shape[0]);
    } else if (kind == ECK_STAGE_LOOKUP && entry->ndim == 2) {
        *out = eck_stage_linear(shape[0], shape[1]);
    } else {
        return bad(r, "a stage's tensor has the wrong number of dimensions for its kind");
    }
    out->kind = kind;
    return ECK_OK;
}

static eck_status stage_read(ecki_module *module, const json_t *object, const reader *r)
{
    eck_status status = ECK_OK;
    eck_error *err = r->err;
    ecki_manifest_stage *stage = &module->stages[module->stage_count];
    const json_t *groups = json_object_get(object, "groups");
    eck_stage_kind kind = ECK_STAGE_LINEAR;
    ecki_entry stored;

    if (!json_is_object(object)) return bad(r, "a stage is no object");
    ECK_TRY(
        copy_string(&stage->weight, json_object_get(object, "weight"), r, "a stage has no weight"));
    const int64_t index = ecki_container_find(r->container, stage->weight);
    if (index < 0) {
        char name[200];
        ecki_name_escape(name, sizeof name, stage->weight);
        status = ecki_error(err, ECK_E_FORMAT, -1,
                            "cannot use the manifest: tensor '%s' is missing", name);
        ecki_free(stage->weight);
        stage->weight = NULL;
        return ecki_error_where(err, status, NULL, name);
    }
    ECK_TRY(stage_kind_read(&kind, object, module, &r->container->entries[index], r));
    if (groups && !(json_is_integer(groups) && json_integer_value(groups) >= 1))
        ECK_TRY(bad(r, "groups: an integer of 1 or more is needed"));
    stored = r->container->entries[index];
    stage->turned = json_is_true(json_object_get(object, "transposed"));
    if (stage->turned && (kind != ECK_STAGE_LINEAR || stored.ndim != 2))
        ECK_TRY(bad(r, "transposed: only a matrix of a linear stage is"));
    if (stage->turned) {
        stored.shape[0] = r->container->entries[index].shape[1];
        stored.shape[1] = r->container->entries[index].shape[0];
    }
    ECK_TRY(
        stage_from_shape(&stage->stage, kind, &stored, groups ? json_integer_value(groups) : 1, r));
done:
    if (stage->weight) module->stage_count++;
    return status;
}

static eck_status stages_read(ecki_module *module, const json_t *stages, const reader *r)
{
    eck_status status = ECK_OK;
    eck_error *err = r->err;
    const size_t count = json_array_size(stages);

    if (!json_is_array(stages) || count < 1 || count > STAGES_MAX)
        return bad(r, "stages: 1 to 8 are allowed");
    ECK_ALLOC(module->stages, (int64_t)count);
    for (size_t i = 0; i < count; i++)
        ECK_TRY(stage_read(module, json_array_get(stages, i), r));
done:
    return status;
}

static double number_or(const json_t *object, const char *key, double otherwise)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : otherwise;
}

/** Dimensions of the dense weight fit the kind of module. */
static bool kind_fits_shape(const ecki_module *module)
{
    const bool conv =
        strcmp(module->kind, "conv") == 0 || strcmp(module->kind, "conv_transpose") == 0;
    return conv ? module->ndim >= 3 && module->ndim <= 5 : module->ndim == 2;
}

/** The ranks are the inner widths; a scale makes no width of its own. */
static bool ranks_fit(const ecki_module *module)
{
    int32_t widths = 0;
    int64_t width = 0;

    for (int32_t i = 0; i < module->stage_count; i++) {
        const eck_stage *stage = &module->stages[i].stage;
        if (stage->kind == ECK_STAGE_SCALE) continue;
        if (widths > 0 && (widths > module->rank_count || module->ranks[widths - 1] != width))
            return false;
        width = stage->out;
        widths++;
    }
    return module->rank_count == ecki_max(0, widths - 1);
}

/** The stages make a layer like the dense one. */
static eck_status chain_check(const ecki_module *module, const reader *r)
{
    eck_stage stages[STAGES_MAX];
    const eck_chain chain = { stages, module->stage_count };
    const eck_stage dense = ecki_module_dense(module);
    eck_error reason = ECK_ERROR_INIT;

    for (int32_t i = 0; i < module->stage_count; i++)
        stages[i] = module->stages[i].stage;
    return ecki_chain_check(&chain, &dense, &reason) == ECK_OK ? ECK_OK : bad(r, reason.message);
}

/** What the record says of the layer holds for the tensors it names. */
static eck_status module_check(const ecki_module *module, const reader *r)
{
    if (!kind_fits_shape(module))
        return bad(r, "shape: a conv has 3 to 5 dimensions, every other kind 2");
    const eck_status status = chain_check(module, r);
    if (status != ECK_OK) return status;
    if (!ranks_fit(module)) return bad(r, "its ranks are not the inner widths of its stages");
    if (module->bias) {
        const int64_t index = ecki_container_find(r->container, module->bias);
        const int64_t out = module->stages[module->stage_count - 1].stage.out;
        if (index < 0) return bad(r, "its bias is missing");
        if (r->container->entries[index].ndim != 1 || r->container->entries[index].shape[0] != out)
            return bad(r, "its bias has the wrong shape");
    }
    return ECK_OK;
}

static eck_status module_kind_read(ecki_module *module, const json_t *object, const reader *r)
{
    eck_status status = ECK_OK;
    bool known = false;
    const char *dtype = json_string_value(json_object_get(object, "dtype"));
    const char *method = json_string_value(json_object_get(object, "method"));

    ECK_TRY(copy_string(&module->kind, json_object_get(object, "kind"), r, "kind is missing"));
    for (const char *const *kind = module_kinds; *kind; kind++)
        known = known || strcmp(*kind, module->kind) == 0;
    if (!known) return bad(r, "unknown kind");
    if (!method || eck_method_parse(&module->method, method, NULL) != ECK_OK)
        return bad(r, "unknown method");
    module->dtype = dtype ? eck_dtype_parse(dtype) : ECK_DTYPE_F32;
    if (!eck_dtype_is_weight(module->dtype))
        return bad(r, "dtype: F64, F32, F16 or BF16 are allowed");
done:
    return status;
}

/** A list of texts; none is an empty list. */
static eck_status strings_read(ecki_strings *out, const json_t *array, const reader *r)
{
    eck_status status = ECK_OK;
    eck_error *err = r->err;
    const size_t count = json_array_size(array);

    ECK_ALLOC(out->list, (int64_t)count);
    for (size_t i = 0; i < count; i++) {
        ECK_TRY(
            copy_string(&out->list[i], json_array_get(array, i), r, "graph: a node is no text"));
        out->count++;
    }
done:
    return status;
}

/** Where the layer stood in a graph. */
static eck_status graph_read(ecki_module *module, const json_t *graph, const reader *r)
{
    eck_status status = ECK_OK;

    if (!graph) return ECK_OK;
    ECK_TRY(copy_string(&module->tensor, json_object_get(graph, "tensor"), r,
                        "graph: its tensor is missing"));
    ECK_TRY(strings_read(&module->nodes, json_object_get(graph, "nodes"), r));
    ECK_TRY(strings_read(&module->between, json_object_get(graph, "between"), r));
    if (module->nodes.count == 0) return bad(r, "graph: its nodes are missing");
done:
    return status;
}

static eck_status module_read(ecki_module *module, const char *name, const json_t *object,
                              reader *r)
{
    eck_status status = ECK_OK;
    eck_error *err = r->err;
    const json_t *bias = json_object_get(object, "bias"),
                 *tied = json_object_get(object, "tied_to");

    r->module = name;
    if (!json_is_object(object) || !ecki_name_valid(name, (int64_t)strlen(name)))
        return bad(r, "not a module");
    if (tied && !json_is_null(tied)) return bad(r, "tied modules are not supported");
    module->name = ecki_strdup(name);
    ECK_HAVE(module->name);
    ECK_TRY(module_kind_read(module, object, r));
    ECK_TRY(read_numbers(module->shape, &module->ndim, ECK_DIMS_MAX,
                         json_object_get(object, "shape"), r,
                         "shape: positive integers are needed"));
    ECK_TRY(read_numbers(module->ranks, &module->rank_count, ECK_RANKS_MAX,
                         json_object_get(object, "ranks"), r,
                         "ranks: at most four positive integers are allowed"));
    ECK_TRY(stages_read(module, json_object_get(object, "stages"), r));
    if (bias && !json_is_null(bias))
        ECK_TRY(copy_string(&module->bias, bias, r, "bias is no name"));
    // null: made or trained elsewhere, nothing is promised; any error keeps a promise of infinity.
    const bool silent = json_is_null(json_object_get(object, "error"));
    module->error = number_or(object, "error", silent ? INFINITY : NAN);
    module->floor = number_or(object, "floor", 0);
    module->error_high = number_or(json_object_get(object, "certificate"), "high", module->error);
    if (!(module->error >= 0)) return bad(r, "error is missing");
    ECK_TRY(graph_read(module, json_object_get(object, "graph"), r));
    ECK_TRY(module_check(module, r));
done:
    return status;
}

static eck_status source_read_names(ecki_manifest *manifest, const json_t *source, reader *r)
{
    eck_status status = ECK_OK;
    eck_error *err = r->err;
    json_t *files = json_object_get(source, "files");
    const char *name;
    json_t *hash;

    if (json_is_string(json_object_get(source, "name")))
        ECK_TRY(copy_string(&manifest->source_name, json_object_get(source, "name"), r, "source"));
    ECK_ALLOC(manifest->source_files, (int64_t)json_object_size(files));
    ECK_ALLOC(manifest->source_hashes, (int64_t)json_object_size(files));
    json_object_foreach(files, name, hash)
    {
        const int64_t i = manifest->source_count++;
        ECK_TRY(copy_string(&manifest->source_hashes[i], hash, r, "source: a hash is no string"));
        manifest->source_files[i] = ecki_strdup(name);
        ECK_HAVE(manifest->source_files[i]);
    }
done:
    return status;
}

/** Every tensor belongs to one module: what two chains share would be restored once and verified once. */
static eck_status tensors_check(const ecki_manifest *manifest, const reader *whole)
{
    eck_status status = ECK_OK;
    eck_error *err = whole->err;
    bool *taken = NULL;

    ECK_ALLOC(taken, whole->container->entry_count);
    for (int64_t m = 0; m < manifest->module_count; m++) {
        const ecki_module *module = &manifest->modules[m];
        const reader r = { whole->container, module->name, err };
        for (int32_t i = 0; i <= module->stage_count; i++) {
            const bool bias = i == module->stage_count;
            if (bias && !module->bias) continue;
            bool *mark = &taken[ecki_container_find(r.container, bias ? module->bias
                                                                      : module->stages[i].weight)];
            if (*mark) ECK_TRY(bad(&r, "another place names one of its tensors too"));
            *mark = true;
        }
    }
done:
    ecki_free(taken);
    return status;
}

eck_status ecki_manifest_parse(ecki_manifest **out, const char *text, int64_t length,
                               const ecki_container *container, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_manifest *manifest = NULL;
    json_t *root = NULL, *modules, *object;
    const char *name;
    reader r = { container, NULL, err };

    ECK_TRY(ecki_json_parse(&root, text, length, &ecki_json_config, container->path, err));
    const char *format = json_string_value(json_object_get(root, "format"));
    const json_t *version = json_object_get(root, "version");
    ECK_REQUIRE(format && strcmp(format, "eckart-factored") == 0, ECK_E_FORMAT, -1,
                "cannot use the manifest of '%s': its format is not \"eckart-factored\"",
                container->path);
    ECK_REQUIRE(json_is_integer(version) && json_integer_value(version) == 1, ECK_E_UNSUPPORTED, -1,
                "cannot use the manifest of '%s': its version is not 1, the one this release reads",
                container->path);
    ECK_ALLOC(manifest, 1);
    ECK_TRY(source_read_names(manifest, json_object_get(root, "source"), &r));
    modules = json_object_get(root, "modules");
    ECK_REQUIRE(json_is_object(modules), ECK_E_FORMAT, -1,
                "cannot use the manifest of '%s': no modules", container->path);
    ECK_ALLOC(manifest->modules, (int64_t)json_object_size(modules));
    json_object_foreach(modules, name, object)
        ECK_TRY(module_read(&manifest->modules[manifest->module_count++], name, object, &r));
    ECK_TRY(tensors_check(manifest, &r));
    *out = manifest;
    manifest = NULL;
done:
    json_decref(root);
    ecki_manifest_free(manifest);
    return status;
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

/** A JSON number, or null for what JSON cannot say. */
static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *certificate_json(const eck_certificate *c)
{
    return json_pack("{s:s, s:s, s:o, s:o, s:[o,o], s:o, s:o, s:o}", "kind",
                     eck_proof_name(c->proof), "norm", "frobenius", "low", number(c->error_low),
                     "high", number(c->error_high), "optimum", number(c->optimum_low),
                     number(c->optimum_high), "excess", number(c->excess_high), "floor",
                     number(c->floor), "probability", number(1 - c->failure));
}

static json_t *integers(const int64_t *values, int32_t count)
{
    json_t *array = json_array();
    for (int32_t i = 0; i < count; i++)
        json_array_append_new(array, json_integer(values[i]));
    return array;
}

static json_t *strings_json(const ecki_strings *strings)
{
    json_t *array = json_array();
    for (int64_t i = 0; i < strings->count; i++)
        json_array_append_new(array, json_string(strings->list[i]));
    return array;
}

static json_t *stage_json(const ecki_manifest_stage *stage)
{
    json_t *object =
        json_pack("{s:s, s:s, s:I}", "weight", stage->weight, "kind",
                  stage_kind_name(stage->stage.kind), "groups", (json_int_t)stage->stage.groups);
    if (stage->turned) json_object_set_new(object, "transposed", json_true());
    return object;
}

static json_t *stages_json(const ecki_module *module)
{
    json_t *stages = json_array();
    for (int32_t i = 0; i < module->stage_count; i++)
        json_array_append_new(stages, stage_json(&module->stages[i]));
    return stages;
}

static json_t *module_json(const ecki_module *module)
{
    json_t *object = json_pack(
        "{s:s, s:s, s:o, s:s, s:o, s:o, s:s?, s:o, s:o, s:o, s:n}", "method",
        eck_method_name(module->method), "kind", module->kind, "shape",
        integers(module->shape, module->ndim), "dtype", eck_dtype_name(module->dtype), "ranks",
        integers(module->ranks, module->rank_count), "stages", stages_json(module), "bias",
        module->bias, "error", number(module->error), "floor", number(module->floor), "certificate",
        certificate_json(&module->certificate), "tied_to");
    if (module->tensor)
        json_object_set_new(object, "graph",
                            json_pack("{s:s, s:o, s:o}", "tensor", module->tensor, "nodes",
                                      strings_json(&module->nodes), "between",
                                      strings_json(&module->between)));
    return object;
}

static json_t *manifest_json(const ecki_manifest *manifest)
{
    json_t *files = json_object(), *modules = json_object();
    for (int64_t i = 0; i < manifest->source_count; i++)
        json_object_set_new(files, manifest->source_files[i],
                            json_string(manifest->source_hashes[i]));
    for (int64_t i = 0; i < manifest->module_count; i++)
        if (json_object_set_new(modules, manifest->modules[i].name,
                                module_json(&manifest->modules[i])) != 0) {
            json_decref(files);
            json_decref(modules);
            return NULL;
        }
    return json_pack("{s:s, s:i, s:{s:s, s:s}, s:{s:s?, s:o}, s:o}", "format", "eckart-factored",
                     "version", 1, "producer", "name", "eckart", "version", eck_version(), "source",
                     "name", manifest->source_name, "files", files, "modules", modules);
}

eck_status ecki_manifest_print(char **out, const ecki_manifest *manifest, int32_t indent,
                               eck_error *err)
{
    const int64_t refused = ecki_json_refused();
    json_t *root = manifest_json(manifest);
    const size_t flags = JSON_INDENT((size_t)indent) | JSON_REAL_PRECISION(17);
    // a list that lost an element to memory looks whole
    const eck_status status =
        ecki_json_refused() != refused
            ? ecki_error_memory(err, -1)
            : ecki_json_print(out, root, flags | (indent ? 0 : JSON_COMPACT), err);

    json_decref(root);
    return status;
}

eck_status ecki_manifest_room(int64_t *out, const ecki_manifest *manifest, eck_error *err)
{
    eck_status status = ECK_OK;
    char *text = NULL;
    enum {
        NUMBERS = 9,
        DIGITS = 25
    }; // error, floor, seven of the certificate; "-1.2345678901234567e-300," each

    ECK_TRY(ecki_manifest_print(&text, manifest, 0, err));
    // Every byte may need a backslash inside a JSON string, or be quoted twice: quotes only, names are escaped already.
    *out = 2 * ((int64_t)strlen(text) + manifest->module_count * NUMBERS * DIGITS) + 64;
done:
    ecki_free(text);
    return status;
}

/** Stages and their tensor names, as the decomposition lays the chain out. */
static eck_status outline_stages(ecki_module *module, const eck_layer *layer,
                                 const eck_point *point, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_chain outline = { NULL, 0 };

    ECK_TRY(eck_chain_outline(&outline, &layer->dense, point, err));
    ECK_ALLOC(module->stages, outline.count);
    for (int32_t i = 0; i < outline.count; i++) {
        module->stages[i].stage = outline.stages[i];
        module->stages[i].weight = ecki_format("%s.%d.weight", layer->name, i);
        ECK_HAVE(module->stages[i].weight);
        module->stage_count++;
    }
done:
    eck_chain_clear(&outline);
    return status;
}

eck_status ecki_module_outline(ecki_module *module, const eck_model *model, const eck_layer *layer,
                               const eck_point *point, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_tensor *dense = &model->tensors[layer->weight];

    module->method = point->method;
    module->dtype = dense->dtype;
    module->ndim = dense->ndim;
    memcpy(module->shape, dense->shape, sizeof module->shape);
    module->rank_count = point->rank_count;
    memcpy(module->ranks, point->ranks, sizeof module->ranks);
    module->name = ecki_strdup(layer->name);
    ECK_HAVE(module->name);
    module->kind = ecki_strdup(ecki_layer_kind(layer));
    ECK_HAVE(module->kind);
    ECK_TRY(outline_stages(module, layer, point, err));
    if (model->container->onnx)
        ECK_TRY(ecki_graph_outline(module, model,
                                   &model->layers[ecki_layer_find(model, layer->name)], err));
    if (layer->bias >= 0) {
        module->bias = ecki_format("%s.%d.bias", layer->name, module->stage_count - 1);
        ECK_HAVE(module->bias);
    }
done:
    return status;
}
