/**
 * Opening an adapter: container, configuration, tensors grouped into modules, scales. Nothing but
 * indexes, the configuration and the alpha scalars is read here.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "base/text.h"
#include "model/adapter_parts.h"
#include "tensor/codec.h"

static const char weights_name[] = "adapter_model.safetensors";
static const char config_name[] = "adapter_config.json";
static const char peft_prefix[] = "base_model.model.";

enum { LISTED = 5 };

const char *eck_adapter_layout_name(eck_adapter_layout layout)
{
    static const char *const names[] = { "auto", "peft", "kohya", "diffusers" };
    return layout >= ECK_ADAPTER_AUTO && layout <= ECK_ADAPTER_DIFFUSERS ? names[layout] : "?";
}

const char *eck_adapter_form_name(eck_adapter_form form)
{
    static const char *const names[] = { "?", "lora", "tucker", "loha", "lokr" };
    return form >= ECK_FORM_LORA && form <= ECK_FORM_LOKR ? names[form] : "?";
}

eck_status ecki_adapter_warn(eck_adapter *adapter, eck_error *err, const char *format, ...)
{
    eck_status status = ECK_OK;
    char line[600];
    va_list arguments;

    va_start(arguments, format);
    ecki_vformat(line, sizeof line, format, arguments);
    va_end(arguments);
    char **list =
        ecki_realloc(adapter->warnings, adapter->warning_count + 1, sizeof *adapter->warnings);
    ECK_HAVE(list);
    adapter->warnings = list;
    list[adapter->warning_count] = ecki_strdup(line);
    ECK_HAVE(list[adapter->warning_count]);
    adapter->warning_count++;
done:
    return status;
}

/* ---- grouping ------------------------------------------------------------------------------ */

/** One tensor and the module its name belongs to; the name is not ended. */
typedef struct piece {
    const char *module;
    ecki_part_name name;
    int64_t entry;
} piece;

static int compare_pieces(const void *a, const void *b)
{
    const piece *x = a, *y = b;
    const int64_t common = x->name.module_length < y->name.module_length ? x->name.module_length
                                                                         : y->name.module_length;
    const int order = memcmp(x->module, y->module, (size_t)common);
    if (order != 0) return order;
    if (x->name.module_length != y->name.module_length)
        return x->name.module_length < y->name.module_length ? -1 : 1;
    return x->entry < y->entry ? -1 : x->entry > y->entry;
}

static bool same_module(const piece *a, const piece *b)
{
    return a->name.module_length == b->name.module_length &&
           memcmp(a->module, b->module, (size_t)a->name.module_length) == 0;
}

/** "'a', 'b', ... and 7 more" of the entries for which `wanted` is set. */
static void list_names(ecki_text *text, const ecki_container *container, const bool *wanted)
{
    int64_t count = 0;
    char shown[200];

    for (int64_t i = 0; i < container->entry_count; i++) {
        if (!wanted[i] || count++ >= LISTED) continue;
        ecki_name_escape(shown, sizeof shown, container->entries[i].name);
        ecki_text_printf(text, "%s'%s'", count > 1 ? ", " : "", shown);
    }
    if (count > LISTED) ecki_text_printf(text, " and %lld more", (long long)(count - LISTED));
}

/** Refuses tensors that are neither parts nor plain extras. */
static eck_status refuse_strangers(const eck_adapter *adapter, const bool *strange,
                                   const char *what, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_text text = { 0 };

    list_names(&text, adapter->container, strange);
    ECK_REQUIRE(!text.failed, ECK_E_NOMEM, -1, "not enough memory for a message");
    ECK_REQUIRE(false, ECK_E_UNSUPPORTED, -1, "cannot read adapter '%s': %s%s%s: %s", adapter->path,
                what ? "it holds " : "no part of a low-rank change is known by the names",
                what ? what : "", what ? ", which is no plain low-rank change" : "", text.data);
done:
    ecki_text_clear(&text);
    return status;
}

/** What one tensor is: a piece (true), an extra, or strange. PEFT may carry any whole tensors. */
static bool classify(piece *out, const eck_adapter *adapter, int64_t entry, bool *strange,
                     const char **foreign)
{
    const char *name = adapter->container->entries[entry].name;
    const bool peft = adapter->layout == ECK_ADAPTER_PEFT;
    const char *what = NULL;
    ecki_part_name part;

    if (ecki_part_foreign(&what, name)) {
        *strange = true;
        if (!*foreign) *foreign = what;
        return false;
    }
    if (!ecki_part_parse(&part, name)) {
        *strange = !peft || strstr(name, ".lora_") || strncmp(name, peft_prefix, 17) != 0;
        return false;
    }
    *out = (piece){ name, part, entry };
    if (!peft) return true;
    if (strncmp(name, peft_prefix, 17) != 0 || part.module_length <= 17) {
        *strange = true;
        return false;
    }
    out->module += 17;
    out->name.module_length -= 17;
    return true;
}

static eck_status module_add_piece(eck_adapter *adapter, ecki_adapter_module *module,
                                   const piece *p, eck_error *err)
{
    eck_status status = ECK_OK;
    const bool half = p->name.part == ECKI_PART_FIRST || p->name.part == ECKI_PART_LAST;
    const int64_t other =
        module->parts[p->name.part == ECKI_PART_FIRST ? ECKI_PART_LAST : ECKI_PART_FIRST];

    ECK_REQUIRE(module->parts[p->name.part] < 0, ECK_E_FORMAT, -1,
                "cannot read adapter '%s': module '%s' has the same part twice, '%s'",
                adapter->path, module->name, adapter->container->entries[p->entry].name);
    ECK_REQUIRE(!half || other < 0 || module->spelling == p->name.spelling, ECK_E_FORMAT, -1,
                "cannot read adapter '%s': the halves of module '%s' have names of different kinds",
                adapter->path, module->name);
    if (half) module->spelling = p->name.spelling;
    module->parts[p->name.part] = p->entry;
done:
    return status;
}

/**
 * PEFT adapts a MultiheadAttention as a whole, its out_proj under ".base_layer", and (as of 0.21) adds
 * the change of that one twice, in training too: the file alone does not say what it stands for.
 */
static eck_status refuse_inner(const eck_adapter *adapter, const ecki_adapter_module *module,
                               eck_error *err)
{
    if (adapter->layout != ECK_ADAPTER_PEFT || !strstr(module->name, ".base_layer.")) return ECK_OK;
    return ecki_error(
        err, ECK_E_UNSUPPORTED, -1,
        "cannot read adapter '%s': module '%s' lies inside an adapted module, as PEFT "
        "does to MultiheadAttention, which is no plain low-rank change",
        adapter->path, module->name);
}

/** Sorted pieces to modules. */
static eck_status modules_build(eck_adapter *adapter, const piece *pieces, int64_t count,
                                eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_adapter_module *module = NULL;

    ECK_ALLOC(adapter->modules, count);
    for (int64_t i = 0; i < count; i++) {
        if (i == 0 || !same_module(&pieces[i - 1], &pieces[i])) {
            module = &adapter->modules[adapter->module_count++];
            for (int32_t p = 0; p < ECKI_PARTS; p++)
                module->parts[p] = -1;
            module->spelling = ECKI_SPELLING_KOHYA;
            module->name = ecki_strndup(pieces[i].module, pieces[i].name.module_length);
            ECK_HAVE(module->name);
            module->view.name = module->name;
        }
        ECK_TRY(module_add_piece(adapter, module, &pieces[i], err));
    }
    for (int64_t i = 0; i < adapter->module_count; i++) {
        ECK_TRY(refuse_inner(adapter, &adapter->modules[i], err));
        ECK_TRY(ecki_adapter_shapes(adapter, &adapter->modules[i], err));
    }
done:
    return status;
}

static eck_status modules_find(eck_adapter *adapter, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t entries = adapter->container->entry_count;
    piece *pieces = NULL;
    bool *strange = NULL;
    const char *foreign = NULL;
    int64_t count = 0, strangers = 0;

    ECK_ALLOC(pieces, entries);
    ECK_ALLOC(strange, entries);
    ECK_ALLOC(adapter->extras, entries);
    for (int64_t i = 0; i < entries; i++) {
        if (classify(&pieces[count], adapter, i, &strange[i], &foreign))
            count++;
        else if (!strange[i])
            adapter->extras[adapter->extra_count++] = i;
        strangers += strange[i];
    }
    if (strangers > 0) ECK_TRY(refuse_strangers(adapter, strange, foreign, err));
    ECK_REQUIRE(count > 0, ECK_E_FORMAT, -1,
                "'%s' is no adapter: it holds no tensor named like a LoRA factor", adapter->path);
    qsort(pieces, (size_t)count, sizeof *pieces, compare_pieces);
    ECK_TRY(modules_build(adapter, pieces, count, err));
done:
    ecki_free(strange);
    ecki_free(pieces);
    return status;
}

/* ---- alpha --------------------------------------------------------------------------------- */

/** The stored alpha of a module, or its rank when there is none or it is 0. */
static eck_status alpha_read(double *out, const eck_adapter *adapter,
                             const ecki_adapter_module *module, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t entry = module->parts[ECKI_PART_ALPHA];
    eck_array *array = NULL;
    double alpha = 0;

    if (entry < 0) {
        *out = (double)module->view.rank;
        return ECK_OK;
    }
    const ecki_entry *e = &adapter->container->entries[entry];
    ECK_REQUIRE(eck_dtype_is_readable(e->dtype) && e->bytes == eck_dtype_bits(e->dtype) / 8,
                ECK_E_FORMAT, -1, "cannot read adapter '%s': '%s' is not one number", adapter->path,
                e->name);
    ECK_TRY(ecki_adapter_tensor(&array, adapter, entry, err));
    ecki_widen_f64(e->dtype, array->data, 1, &alpha, 1);
    ECK_REQUIRE(isfinite(alpha), ECK_E_NONFINITE, 0, "cannot use adapter '%s': '%s' is no number",
                adapter->path, e->name);
    *out = alpha != 0 ? alpha : (double)module->view.rank;
done:
    eck_array_free(array);
    return status;
}

/** alpha / rank, but 1 for a LoKr without any rank. */
static eck_status scales_read(eck_adapter *adapter, eck_error *err)
{
    eck_status status = ECK_OK;

    for (int64_t i = 0; i < adapter->module_count; i++) {
        ecki_adapter_module *module = &adapter->modules[i];
        const int64_t *parts = module->parts;
        const bool full = parts[ECKI_PART_KRON_1] >= 0 && parts[ECKI_PART_KRON_2] >= 0;
        ECK_TRY(alpha_read(&module->view.alpha, adapter, module, err));
        if (full) module->view.alpha = (double)module->view.rank;
        module->view.scale = module->view.alpha / (double)module->view.rank;
    }
done:
    return status;
}

/* ---- layouts ------------------------------------------------------------------------------- */

/** kohya by any of its suffixes; diffusers by names with a component in front. */
static eck_status layout_guess(eck_adapter *adapter, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_container *c = adapter->container;
    const char *component = NULL;
    ecki_part_name part;

    for (int64_t i = 0; i < c->entry_count && adapter->layout == ECK_ADAPTER_AUTO; i++) {
        const char *name = c->entries[i].name;
        ECK_REQUIRE(strncmp(name, peft_prefix, 17) != 0, ECK_E_FORMAT, -1,
                    "cannot read adapter '%s': its names are PEFT's, and %s is not beside it, so "
                    "that scales are unknown",
                    adapter->path, config_name);
        if (!ecki_part_parse(&part, name)) continue;
        component = ecki_module_component(name);
        if (strncmp(name, "lora_", 5) == 0 || part.spelling == ECKI_SPELLING_KOHYA)
            adapter->layout = part.part == ECKI_PART_ALPHA && component && strchr(component, '.')
                                  ? ECK_ADAPTER_DIFFUSERS
                                  : ECK_ADAPTER_KOHYA;
        else
            adapter->layout = ECK_ADAPTER_DIFFUSERS;
    }
    ECK_REQUIRE(adapter->layout != ECK_ADAPTER_AUTO, ECK_E_FORMAT, -1,
                "'%s' is no adapter: it holds no tensor named like a LoRA factor", adapter->path);
done:
    return status;
}

static eck_status open_directory(eck_adapter *adapter, const char *directory, eck_error *err)
{
    eck_status status = ECK_OK;
    char *path = ecki_format("%s/%s", directory, weights_name);
    char *legacy = ecki_format("%s/adapter_model.bin", directory);
    struct stat info;

    ECK_HAVE(path);
    ECK_HAVE(legacy);
    adapter->layout = ECK_ADAPTER_PEFT;
    ECK_TRY(ecki_adapter_config_read(adapter, directory, err));
    ECK_REQUIRE(stat(path, &info) == 0 || stat(legacy, &info) != 0, ECK_E_UNSUPPORTED, -1,
                "cannot read adapter '%s': adapter_model.bin is a Python pickle; save it with "
                "safe_serialization=True",
                directory);
    ECK_TRY(ecki_container_open(&adapter->container, path, err));
done:
    ecki_free(legacy);
    ecki_free(path);
    return status;
}

/** The directory of a path that names one, or a PEFT weight file with its configuration beside; else NULL. */
static eck_status peft_directory(char **out, const char *path, eck_error *err)
{
    eck_status status = ECK_OK;
    struct stat info;
    const char *slash = strrchr(path, '/');
    char *directory = NULL, *config = NULL;

    *out = NULL;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode)) {
        *out = ecki_strdup(path);
        ECK_HAVE(*out);
        return ECK_OK;
    }
    if (strcmp(slash ? slash + 1 : path, weights_name) != 0) return ECK_OK;
    directory = slash ? ecki_strndup(path, slash - path) : ecki_strdup(".");
    ECK_HAVE(directory);
    config = ecki_format("%s/%s", directory, config_name);
    ECK_HAVE(config);
    if (stat(config, &info) == 0) {
        *out = directory;
        directory = NULL;
    }
done:
    ecki_free(directory);
    ecki_free(config);
    return status;
}

static eck_status open_container(eck_adapter *adapter, eck_error *err)
{
    eck_status status = ECK_OK;
    char *directory = NULL;

    ECK_TRY(peft_directory(&directory, adapter->path, err));
    if (directory) {
        ECK_TRY(open_directory(adapter, directory, err));
    } else {
        ECK_TRY(ecki_container_open(&adapter->container, adapter->path, err));
        ECK_REQUIRE(strcmp(adapter->container->format, "safetensors") == 0, ECK_E_UNSUPPORTED, -1,
                    "'%s' is no adapter: a PEFT directory or a safetensors file is needed",
                    adapter->path);
    }
done:
    ecki_free(directory);
    return status;
}

eck_status ecki_adapter_read(eck_adapter *adapter, eck_error *err)
{
    eck_status status = ECK_OK;

    if (adapter->layout == ECK_ADAPTER_AUTO) ECK_TRY(layout_guess(adapter, err));
    ECK_TRY(modules_find(adapter, err));
    ECK_TRY(scales_read(adapter, err));
    if (adapter->layout == ECK_ADAPTER_PEFT) ECK_TRY(ecki_adapter_config_apply(adapter, err));
    if (adapter->layout == ECK_ADAPTER_DIFFUSERS)
        ECK_TRY(ecki_adapter_metadata_apply(adapter, err));
done:
    return status;
}

eck_status eck_adapter_open(eck_adapter **out, const char *path, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_adapter *adapter = NULL;

    ECK_REQUIRE(path && path[0], ECK_E_RANGE, -1, "no adapter given: a directory or a file");
    ECK_ALLOC(adapter, 1);
    adapter->path = ecki_strdup(path);
    ECK_HAVE(adapter->path);
    ECK_TRY(open_container(adapter, err));
    ECK_TRY(ecki_adapter_read(adapter, err));
    *out = adapter;
    adapter = NULL;
done:
    if (status != ECK_OK) ecki_error_where(err, status, path, NULL);
    eck_adapter_close(adapter);
    return status;
}

void eck_adapter_close(eck_adapter *adapter)
{
    if (!adapter) return;
    for (int64_t i = 0; i < adapter->module_count; i++)
        ecki_free(adapter->modules[i].name);
    for (int64_t i = 0; i < adapter->warning_count; i++)
        ecki_free(adapter->warnings[i]);
    ecki_free(adapter->warnings);
    ecki_free(adapter->modules);
    ecki_free(adapter->extras);
    json_decref(adapter->config);
    ecki_container_close(adapter->container);
    ecki_free(adapter->base_name);
    ecki_free(adapter->path);
    ecki_free(adapter);
}

/* ---- looking ------------------------------------------------------------------------------- */

const char *eck_adapter_path(const eck_adapter *adapter)
{
    return adapter->path;
}

eck_adapter_layout eck_adapter_get_layout(const eck_adapter *adapter)
{
    return adapter->layout;
}

const char *eck_adapter_base_name(const eck_adapter *adapter)
{
    return adapter->base_name;
}

int64_t eck_adapter_module_count(const eck_adapter *adapter)
{
    return adapter->module_count;
}

const eck_adapter_module *eck_adapter_get_module(const eck_adapter *adapter, int64_t index)
{
    return index >= 0 && index < adapter->module_count ? &adapter->modules[index].view : NULL;
}

const char *eck_adapter_extra(const eck_adapter *adapter, int64_t index)
{
    return index >= 0 && index < adapter->extra_count
               ? adapter->container->entries[adapter->extras[index]].name
               : NULL;
}

const char *eck_adapter_warning(const eck_adapter *adapter, int64_t index)
{
    if (index < 0) return NULL;
    if (index < adapter->warning_count) return adapter->warnings[index];
    index -= adapter->warning_count;
    return index < adapter->container->warning_count ? adapter->container->warnings[index] : NULL;
}

eck_status ecki_adapter_plain(const eck_adapter *adapter, int64_t index, eck_error *err)
{
    if (!adapter->modules[index].view.dora) return ECK_OK;
    return ecki_error(err, ECK_E_UNSUPPORTED, -1,
                      "module '%s' of adapter '%s' is DoRA: its change depends on the base and has "
                      "no low rank; merge it with the base first",
                      adapter->modules[index].name, adapter->path);
}
