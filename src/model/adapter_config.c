/**
 * adapter_config.json of PEFT and lora_adapter_metadata of diffusers: which scale each module has,
 * what variants there are that are no plain low-rank change, and the configuration of what we
 * write.
 *
 * What we write states ranks and alphas by full names, so that no pattern of ours needs a rule.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "format/json.h"
#include "model/adapter_parts.h"
#include "model/pattern.h"

/** The scale of a set of modules: one alpha, and patterns that say otherwise. */
typedef struct scale_rules {
    const json_t *alpha; /**< number, or NULL: alpha = rank */
    const json_t *alpha_pattern, *rank_pattern; /**< objects, or NULL */
    double default_alpha; /**< where alpha is NULL; 0: the rank */
    int64_t rank; /**< stated for all, 0: not */
    bool rslora;
} scale_rules;

/* ---- reading ------------------------------------------------------------------------------- */

static bool is_set(const json_t *value)
{
    if (!value || json_is_null(value) || json_is_false(value)) return false;
    if (json_is_array(value)) return json_array_size(value) > 0;
    return !json_is_object(value) || json_object_size(value) > 0;
}

/** Variants whose tensors are named like LoRA's and mean something else. */
static eck_status refuse_variants(const eck_adapter *adapter, eck_error *err)
{
    eck_status status = ECK_OK;
    static const char *const keys[] = {
        "use_qalora", "alora_invocation_tokens", "layer_replication",       "megatron_config",
        "use_bdlora", "target_parameters",       "trainable_token_indices", NULL
    };
    static const char *const harmless[] = { "loftq_config",   "eva_config",     "corda_config",
                                            "lora_ga_config", "runtime_config", NULL };
    const char *key;
    json_t *value;

    for (const char *const *k = keys; *k; k++)
        ECK_REQUIRE(!is_set(json_object_get(adapter->config, *k)), ECK_E_UNSUPPORTED, -1,
                    "cannot read adapter '%s': '%s' is set, so that it is no plain low-rank change",
                    adapter->path, *k);
    json_object_foreach(adapter->config, key, value)
    {
        const size_t length = strlen(key);
        bool known = length < 7 || strcmp(key + length - 7, "_config") != 0;
        for (const char *const *k = harmless; *k; k++)
            known = known || strcmp(key, *k) == 0;
        char shown[100];
        ecki_name_escape(shown, sizeof shown, key);
        ECK_REQUIRE(known || !is_set(value), ECK_E_UNSUPPORTED, -1,
                    "cannot read adapter '%s': '%s' marks a variant that is not known",
                    adapter->path, shown);
    }
done:
    return status;
}

/** An init that took its part out of the base: the adapter is wrong on the original one. */
static eck_status warn_of_start(eck_adapter *adapter, eck_error *err)
{
    static const char *const starts[] = { "pissa", "olora", "corda", "loftq", "lora_ga", NULL };
    const char *start = json_string_value(json_object_get(adapter->config, "init_lora_weights"));

    for (const char *const *s = starts; start && *s; s++)
        if (strncmp(start, *s, strlen(*s)) == 0)
            return ecki_adapter_warn(
                adapter, err,
                "it was begun with '%s', which changes the base: on the original base it is wrong",
                *s);
    return ECK_OK;
}

static eck_status config_check(eck_adapter *adapter, eck_error *err)
{
    eck_status status = ECK_OK;
    const char *type = json_string_value(json_object_get(adapter->config, "peft_type"));
    const char *base =
        json_string_value(json_object_get(adapter->config, "base_model_name_or_path"));
    char shown[100];

    ecki_name_escape(shown, sizeof shown, type ? type : "");
    ECK_REQUIRE(type, ECK_E_FORMAT, -1,
                "cannot read adapter '%s': adapter_config.json has no 'peft_type'", adapter->path);
    ECK_REQUIRE(strcmp(type, "LORA") == 0, ECK_E_UNSUPPORTED, -1,
                "cannot read adapter '%s': its method is '%s', and only LORA is read",
                adapter->path, shown);
    ECK_TRY(refuse_variants(adapter, err));
    ECK_TRY(warn_of_start(adapter, err));
    if (base) {
        adapter->base_name = ecki_strdup(base);
        ECK_HAVE(adapter->base_name);
    }
done:
    return status;
}

eck_status ecki_adapter_config_parse(eck_adapter *adapter, const char *text, int64_t length,
                                     const char *path, eck_error *err)
{
    eck_status status = ECK_OK;

    ECK_TRY(ecki_json_parse(&adapter->config, text, length, &ecki_json_config, path, err));
    ECK_REQUIRE(json_is_object(adapter->config), ECK_E_FORMAT, 0,
                "cannot read '%s': it is no JSON object", path);
    ECK_TRY(config_check(adapter, err));
done:
    return status;
}

eck_status ecki_adapter_config_read(eck_adapter *adapter, const char *directory, eck_error *err)
{
    eck_status status = ECK_OK;
    char *path = ecki_format("%s/adapter_config.json", directory), *text = NULL;
    int64_t length = 0;

    ECK_HAVE(path);
    ECK_TRY(ecki_read_file(&text, &length, path, ecki_json_config.bytes, err));
    ECK_TRY(ecki_adapter_config_parse(adapter, text, length, path, err));
done:
    ecki_free(text);
    ecki_free(path);
    return status;
}

/* ---- scales -------------------------------------------------------------------------------- */

/** A pattern object, compiled: keys in the order of the file. */
typedef struct pattern_list {
    ecki_pattern **patterns;
    const json_t **values;
    int64_t count;
} pattern_list;

static void pattern_list_clear(pattern_list *list)
{
    for (int64_t i = 0; i < list->count; i++)
        ecki_pattern_free(list->patterns[i]);
    ecki_free(list->patterns);
    ecki_free(list->values);
}

static eck_status pattern_list_init(pattern_list *out, const json_t *object, eck_error *err)
{
    eck_status status = ECK_OK;
    pattern_list list = { 0 };
    const char *key;
    json_t *value;

    ECK_ALLOC(list.patterns, (int64_t)json_object_size(object));
    ECK_ALLOC(list.values, (int64_t)json_object_size(object));
    json_object_foreach((json_t *)(uintptr_t)object, key, value)
    {
        ECK_TRY(ecki_pattern_create(&list.patterns[list.count], key, err));
        list.values[list.count++] = value;
    }
    *out = list;
    memset(&list, 0, sizeof list);
done:
    pattern_list_clear(&list);
    return status;
}

/** The value of the first pattern that matches, or NULL. */
static eck_status pattern_list_find(const json_t **out, const pattern_list *list, const char *name,
                                    eck_error *err)
{
    eck_status status = ECK_OK;
    bool matches = false;

    *out = NULL;
    for (int64_t i = 0; i < list->count; i++) {
        ECK_TRY(ecki_pattern_matches(&matches, list->patterns[i], name, err));
        if (!matches) continue;
        *out = list->values[i];
        break;
    }
done:
    return status;
}

static eck_status number_of(double *out, const eck_adapter *adapter, const json_t *value,
                            const char *what, eck_error *err)
{
    if (!json_is_number(value) || !isfinite(json_number_value(value)))
        return ecki_error(err, ECK_E_FORMAT, -1, "cannot read adapter '%s': %s is no number",
                          adapter->path, what);
    *out = json_number_value(value);
    return ECK_OK;
}

/** s = alpha / r, or alpha / sqrt(r). */
static eck_status module_scale(ecki_adapter_module *module, eck_adapter *adapter,
                               const scale_rules *rules, const json_t *alpha, const json_t *rank,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    eck_adapter_module *view = &module->view;
    double stated = (double)rules->rank;

    view->alpha = rules->default_alpha > 0 ? rules->default_alpha : (double)view->rank;
    if (!alpha) alpha = rules->alpha;
    if (alpha) ECK_TRY(number_of(&view->alpha, adapter, alpha, "lora_alpha", err));
    if (rank) ECK_TRY(number_of(&stated, adapter, rank, "a rank of rank_pattern", err));
    view->scale = view->alpha / (rules->rslora ? sqrt((double)view->rank) : (double)view->rank);
    if (stated > 0 && stated != (double)view->rank)
        ECK_TRY(ecki_adapter_warn(adapter, err,
                                  "module '%.200s' has rank %lld, the configuration says %g",
                                  module->name, (long long)view->rank, stated));
    if (view->scale == 0)
        ECK_TRY(ecki_adapter_warn(adapter, err, "module '%.200s' has alpha 0: it changes nothing",
                                  module->name));
done:
    return status;
}

/** Applies rules to the modules of a component (NULL: all), patterns seeing the name behind it. */
static eck_status rules_apply(eck_adapter *adapter, const scale_rules *rules, const char *component,
                              eck_error *err)
{
    eck_status status = ECK_OK;
    pattern_list alphas = { 0 }, ranks = { 0 };
    const size_t length = component ? strlen(component) : 0;
    const json_t *alpha, *rank;

    ECK_TRY(pattern_list_init(&alphas, rules->alpha_pattern, err));
    ECK_TRY(pattern_list_init(&ranks, rules->rank_pattern, err));
    for (int64_t i = 0; i < adapter->module_count; i++) {
        ecki_adapter_module *module = &adapter->modules[i];
        const char *name = module->name;
        if (module->parts[ECKI_PART_ALPHA] >= 0) continue;
        if (component && (strncmp(name, component, length) != 0 || name[length] != '.')) continue;
        if (component) name += length + 1;
        ECK_TRY(pattern_list_find(&alpha, &alphas, name, err));
        ECK_TRY(pattern_list_find(&rank, &ranks, name, err));
        ECK_TRY(module_scale(module, adapter, rules, alpha, rank, err));
    }
done:
    pattern_list_clear(&ranks);
    pattern_list_clear(&alphas);
    return status;
}

eck_status ecki_adapter_config_apply(eck_adapter *adapter, eck_error *err)
{
    eck_status status = ECK_OK;
    const json_t *config = adapter->config;
    const json_t *rank = json_object_get(config, "r");
    const scale_rules rules = { json_object_get(config, "lora_alpha"),
                                json_object_get(config, "alpha_pattern"),
                                json_object_get(config, "rank_pattern"),
                                8, // what PEFT takes where lora_alpha is missing
                                json_is_integer(rank) ? json_integer_value(rank) : 0,
                                json_is_true(json_object_get(config, "use_rslora")) };
    int64_t magnitudes = 0;

    ECK_TRY(rules_apply(adapter, &rules, NULL, err));
    for (int64_t i = 0; i < adapter->module_count; i++)
        magnitudes += adapter->modules[i].view.dora;
    ECK_REQUIRE(!json_is_true(json_object_get(config, "use_dora")) ||
                    magnitudes == adapter->module_count,
                ECK_E_FORMAT, -1,
                "cannot read adapter '%s': use_dora is set, and %lld of %lld modules have no "
                "lora_magnitude_vector",
                adapter->path, (long long)(adapter->module_count - magnitudes),
                (long long)adapter->module_count);
done:
    return status;
}

/** Metadata keys are "unet.lora_alpha": a component, a dot, a key of LoraConfig. */
static eck_status metadata_component(eck_adapter *adapter, const json_t *metadata,
                                     const char *component, eck_error *err)
{
    eck_status status = ECK_OK;
    static const char *const keys[] = { "lora_alpha", "alpha_pattern", "rank_pattern", "r",
                                        "use_rslora" };
    const json_t *values[5];
    char key[100];

    for (int32_t i = 0; i < 5; i++) {
        snprintf(key, sizeof key, "%s.%s", component, keys[i]);
        values[i] = json_object_get(metadata, key);
    }
    if (!values[0]) goto done;
    const scale_rules rules = { values[0],
                                values[1],
                                values[2],
                                0,
                                json_is_integer(values[3]) ? json_integer_value(values[3]) : 0,
                                json_is_true(values[4]) };
    ECK_TRY(rules_apply(adapter, &rules, component, err));
done:
    return status;
}

eck_status ecki_adapter_metadata_apply(eck_adapter *adapter, eck_error *err)
{
    eck_status status = ECK_OK;
    static const char *const components[] = { "unet",           "transformer",    "text_encoder",
                                              "text_encoder_2", "text_encoder_3", NULL };
    const char *text = ecki_container_metadata(adapter->container, "lora_adapter_metadata");
    json_t *metadata = NULL;

    if (!text) return ECK_OK;
    ECK_TRY(ecki_json_parse(&metadata, text, (int64_t)strlen(text), &ecki_json_config,
                            adapter->path, err));
    for (const char *const *component = components; *component; component++)
        ECK_TRY(metadata_component(adapter, metadata, *component, err));
done:
    json_decref(metadata);
    return status;
}

/* ---- writing ------------------------------------------------------------------------------- */

/** An integer where the number is one: PEFT types lora_alpha as int. */
static json_t *json_alpha(double alpha)
{
    return alpha == floor(alpha) && fabs(alpha) < 1e15 ? json_integer((json_int_t)alpha)
                                                       : json_real(alpha);
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static eck_status names_sorted(json_t **out, const char *const *names, int64_t count,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    const char **sorted = NULL;
    json_t *list = json_array();

    ECK_HAVE(list);
    ECK_ALLOC(sorted, count);
    for (int64_t i = 0; i < count; i++)
        sorted[i] = names[i];
    qsort(sorted, (size_t)count, sizeof *sorted, compare_names);
    for (int64_t i = 0; i < count; i++)
        ECK_REQUIRE(json_array_append_new(list, json_string(sorted[i])) == 0, ECK_E_NOMEM, -1,
                    "not enough memory");
    *out = list;
    list = NULL;
done:
    json_decref(list);
    ecki_free(sorted);
    return status;
}

/** target_modules, r, lora_alpha and the patterns of what differs from those two. */
static eck_status config_ranks(json_t *config, const ecki_config_spec *spec, eck_error *err)
{
    eck_status status = ECK_OK;
    json_t *ranks = json_object(), *alphas = json_object(), *targets = NULL;
    const char **names = NULL;
    const ecki_config_module *largest = &spec->modules[0];

    ECK_ALLOC(names, spec->count);
    for (int64_t i = 0; i < spec->count; i++) {
        names[i] = spec->modules[i].name;
        if (spec->modules[i].rank > largest->rank) largest = &spec->modules[i];
    }
    for (int64_t i = 0; i < spec->count; i++) {
        const ecki_config_module *m = &spec->modules[i];
        if (m->rank == largest->rank && m->alpha == largest->alpha) continue;
        char *key = ecki_pattern_literal(m->name);
        ECK_HAVE(key);
        if (m->rank != largest->rank) json_object_set_new(ranks, key, json_integer(m->rank));
        if (m->alpha != largest->alpha) json_object_set_new(alphas, key, json_alpha(m->alpha));
        ecki_free(key);
    }
    ECK_TRY(names_sorted(&targets, names, spec->count, err));
    json_object_set(config, "target_modules", targets);
    json_object_set_new(config, "r", json_integer(largest->rank));
    json_object_set_new(config, "lora_alpha", json_alpha(largest->alpha));
    json_object_set(config, "rank_pattern", ranks);
    json_object_set(config, "alpha_pattern", alphas);
done:
    ecki_free(names);
    json_decref(targets);
    json_decref(ranks);
    json_decref(alphas);
    return status;
}

/** What is the source's to say: base, task, biases, whole modules. */
static eck_status config_keep(json_t *config, const ecki_config_spec *spec, eck_error *err)
{
    eck_status status = ECK_OK;
    static const char *const keys[] = {
        "base_model_name_or_path", "task_type",      "revision",     "bias", "lora_bias",
        "modules_to_save",         "fan_in_fan_out", "auto_mapping", NULL
    };
    json_t *saved = NULL;

    for (const char *const *key = keys; spec->source && *key; key++) {
        json_t *value = json_object_get(spec->source, *key);
        if (value) json_object_set(config, *key, value);
    }
    if (spec->base_name)
        json_object_set_new(config, "base_model_name_or_path", json_string(spec->base_name));
    if (spec->bias) json_object_set_new(config, "bias", json_string(spec->bias));
    if (spec->init) json_object_set_new(config, "init_lora_weights", json_string(spec->init));
    if (spec->fan_in_fan_out) json_object_set_new(config, "fan_in_fan_out", json_true());
    if (spec->modules_to_save_count <= 0) goto done;
    ECK_TRY(names_sorted(&saved, spec->modules_to_save, spec->modules_to_save_count, err));
    json_object_set(config, "modules_to_save", saved);
done:
    json_decref(saved);
    return status;
}

eck_status ecki_adapter_config_print(char **out, const ecki_config_spec *spec, eck_error *err)
{
    eck_status status = ECK_OK;
    json_t *config =
        json_pack("{s:s, s:n, s:n, s:b, s:s, s:b, s:b, s:b, s:n, s:f, s:b}", "peft_type", "LORA",
                  "base_model_name_or_path", "task_type", "inference_mode", 1, "bias", "none",
                  "fan_in_fan_out", 0, "use_rslora", 0, "use_dora", 0, "modules_to_save",
                  "lora_dropout", 0.0, "init_lora_weights", 1);
    char *text = NULL;

    ECK_HAVE(config);
    ECK_TRY(config_keep(config, spec, err));
    ECK_TRY(config_ranks(config, spec, err));
    ECK_TRY(ecki_json_print(&text, config, JSON_INDENT(2) | JSON_SORT_KEYS, err));
    *out = ecki_format("%s\n", text);
    ECK_HAVE(*out);
done:
    ecki_free(text);
    json_decref(config);
    return status;
}
