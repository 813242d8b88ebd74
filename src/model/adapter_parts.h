/**
 * What the files about adapters share: the opened adapter, its modules as records, how names are
 * spelled, and the writer.
 *
 * Every tensor of the container belongs to exactly one module part or is an extra. A module that
 * opened well has all the parts of its form, with shapes that fit each other.
 */
#ifndef ECKI_ADAPTER_PARTS_H
#define ECKI_ADAPTER_PARTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "eckart/adapter.h"
#include "eckart/factored.h"
#include "format/format.h"

/** The tensors a module may have. */
typedef enum ecki_part {
    ECKI_PART_FIRST,
    ECKI_PART_LAST,
    ECKI_PART_CORE, /**< lora_mid */
    ECKI_PART_ALPHA,
    ECKI_PART_MAGNITUDE, /**< DoRA */
    ECKI_PART_BIAS, /**< lora_B.bias */
    ECKI_PART_HADA_1A,
    ECKI_PART_HADA_1B,
    ECKI_PART_HADA_2A,
    ECKI_PART_HADA_2B,
    ECKI_PART_HADA_T1,
    ECKI_PART_HADA_T2,
    ECKI_PART_KRON_1,
    ECKI_PART_KRON_1A,
    ECKI_PART_KRON_1B,
    ECKI_PART_KRON_2,
    ECKI_PART_KRON_2A,
    ECKI_PART_KRON_2B,
    ECKI_PART_KRON_T2,
    ECKI_PARTS
} ecki_part;

/** How the two halves of a module are called in a file; indices of a table. */
typedef enum ecki_spelling {
    ECKI_SPELLING_AB, /**< .lora_A.weight, .lora_B.weight */
    ECKI_SPELLING_EMBEDDING, /**< .lora_embedding_A, .lora_embedding_B */
    ECKI_SPELLING_KOHYA, /**< .lora_down.weight, .lora_up.weight */
    ECKI_SPELLING_LORA_DOWN, /**< .lora.down.weight */
    ECKI_SPELLING_UNDERSCORE, /**< _lora.down.weight */
    ECKI_SPELLING_LINEAR_LAYER, /**< .lora_linear_layer.down.weight */
    ECKI_SPELLINGS
} ecki_spelling;

typedef struct ecki_adapter_module {
    eck_adapter_module view;
    char *name;
    ecki_spelling spelling;
    int64_t parts[ECKI_PARTS]; /**< entries of the container, -1 none */
} ecki_adapter_module;

struct eck_adapter {
    char *path, *base_name;
    eck_adapter_layout layout;
    ecki_container *container;
    json_t *config; /**< PEFT: the whole adapter_config.json; else NULL */
    ecki_adapter_module *modules;
    int64_t module_count;
    int64_t *extras; /**< entries that belong to no module */
    int64_t extra_count;
    char **warnings;
    int64_t warning_count;
};

/* ---- adapter_names.c ----------------------------------------------------------------------- */

/** What a tensor's name says. */
typedef struct ecki_part_name {
    ecki_part part;
    ecki_spelling spelling; /**< of FIRST and LAST; KOHYA for the other parts */
    int64_t module_length; /**< bytes of the name before the part's suffix */
} ecki_part_name;

/** False: no part of a low-rank module. */
bool ecki_part_parse(ecki_part_name *out, const char *name);

/** `<module><suffix>` of the first (or last) half; owned, ecki_free(), NULL when out of memory. */
char *ecki_part_spell(eck_adapter_layout layout, ecki_spelling spelling, ecki_part part,
                      const char *module);

/** True if a name is one of an adapter's kind that is not read; then `what_out` says what it is. */
bool ecki_part_foreign(const char **what_out, const char *name);

/** Names of two layouts as one: components stripped, '.' and '_' the same. */
bool ecki_module_names_equal(const char *a, const char *b);

/** The part of a name behind its component ("lora_unet_", "unet."); the name itself if none. */
const char *ecki_module_stem(const char *name);

/** The component of a name as diffusers spells it ("unet", "text_encoder"), or NULL; static. */
const char *ecki_module_component(const char *name);

/** "lora_unet", "lora_te", "lora_te2" for a diffusers component; `several`: text_encoder is
 * lora_te1. NULL if kohya has no name for it. */
const char *ecki_kohya_prefix(const char *component, bool several);

/* ---- adapter_config.c ---------------------------------------------------------------------- */

/** Reads and checks adapter_config.json of a PEFT directory. */
eck_status ecki_adapter_config_read(eck_adapter *adapter, const char *directory, eck_error *err);

/** The same from the text of it; path: for messages. */
eck_status ecki_adapter_config_parse(eck_adapter *adapter, const char *text, int64_t length,
                                     const char *path, eck_error *err);

/** Alpha, scale of the modules as the configuration says. */
eck_status ecki_adapter_config_apply(eck_adapter *adapter, eck_error *err);

/** Alpha of diffusers files: lora_adapter_metadata, or 1 a rank. */
eck_status ecki_adapter_metadata_apply(eck_adapter *adapter, eck_error *err);

/** One module as a configuration states it. */
typedef struct ecki_config_module {
    const char *name;
    int64_t rank;
    double alpha;
} ecki_config_module;

/** What a configuration is written from. */
typedef struct ecki_config_spec {
    const json_t *source; /**< configuration to keep what is not ours from, or NULL */
    const char *base_name; /**< where source is NULL; or NULL */
    const ecki_config_module *modules;
    int64_t count;
    const char *const *modules_to_save;
    int64_t modules_to_save_count; /**< -1: the source's */
    const char *bias; /**< NULL: the source's, or "none" */
    bool fan_in_fan_out;
    const char *init; /**< init_lora_weights: NULL true */
} ecki_config_spec;

/** adapter_config.json, owned, ecki_free(). */
eck_status ecki_adapter_config_print(char **out, const ecki_config_spec *spec, eck_error *err);

/* ---- adapter_open.c ------------------------------------------------------------------------ */

eck_status ecki_adapter_warn(eck_adapter *adapter, eck_error *err, const char *format, ...)
    ECKI_PRINTF(3, 4);

/** Modules and scales of an adapter that has its container, and its configuration where there is one. */
eck_status ecki_adapter_read(eck_adapter *adapter, eck_error *err);

/** ECK_E_UNSUPPORTED for DoRA, unless the caller can. */
eck_status ecki_adapter_plain(const eck_adapter *adapter, int64_t index, eck_error *err);

/* ---- adapter_factors.c --------------------------------------------------------------------- */

/** Rank, width, dense and form from the parts' shapes; checks that they fit. */
eck_status ecki_adapter_shapes(eck_adapter *adapter, ecki_adapter_module *module, eck_error *err);

/** Any tensor of an adapter as it is stored; owned by the caller, eck_array_free(). */
eck_status ecki_adapter_tensor(eck_array **out, const eck_adapter *adapter, int64_t entry,
                               eck_error *err);

/** As eck_adapter_load() without asking for plain LoRA. */
eck_status ecki_adapter_factors(eck_factors *out, const eck_adapter *adapter, int64_t index,
                                eck_error *err);

/** weight * scale * last first; borrows the factors. */
eck_term ecki_factors_term(const eck_factors *factors, double weight);

/* ---- adapter_writer.c ---------------------------------------------------------------------- */

/** A module to be written. */
typedef struct ecki_out_module {
    const char *name; /**< borrowed */
    ecki_spelling spelling;
    eck_stage dense;
    int64_t rank;
    double alpha;
    eck_dtype dtype;
    int64_t source; /**< module of the source adapter whose tensors are copied, -1: new factors */
    bool bias; /**< has a lora_B.bias */
    bool has_alpha; /**< an alpha tensor is written (kohya always) */
} ecki_out_module;

/** A tensor copied, or written by the caller, beside the modules. */
typedef struct ecki_out_extra {
    const char *name; /**< borrowed, whole */
    int64_t entry; /**< of the source adapter, or -1 */
    eck_dtype dtype;
    int32_t ndim;
    int64_t shape[ECK_DIMS_MAX];
} ecki_out_extra;

typedef struct ecki_out_spec {
    eck_adapter_layout layout;
    const char *path;
    bool replace;
    const eck_adapter *source; /**< of copies, or NULL */
    const char *const *inputs; /**< paths the output may not be */
    int64_t input_count;
    ecki_out_module *modules;
    int64_t count;
    const ecki_out_extra *extras;
    int64_t extra_count;
    ecki_config_spec config; /**< PEFT; modules and count are filled in */
    json_t *record; /**< what eckart says about it: eckart.json, or metadata of a single file */
} ecki_out_spec;

typedef struct ecki_adapter_writer ecki_adapter_writer;

/** spec: borrowed until free. */
eck_status ecki_adapter_writer_create(ecki_adapter_writer **out, const ecki_out_spec *spec,
                                      eck_error *err);

/** New factors of module `index`: first [rank, in * kernel], last [out, rank], of its dtype.
 * Thread-safe for different modules. */
eck_status ecki_adapter_writer_put(ecki_adapter_writer *writer, int64_t index,
                                   const eck_array *first, const eck_array *last, eck_error *err);

/** The lora_B.bias of module `index`, of its dtype. */
eck_status ecki_adapter_writer_bias(ecki_adapter_writer *writer, int64_t index,
                                    const eck_array *bias, eck_error *err);

/** Bytes of extra `index`. */
eck_status ecki_adapter_writer_extra(ecki_adapter_writer *writer, int64_t index, int64_t offset,
                                     const void *bytes, int64_t count, eck_error *err);

/** Copies what comes from the source, configuration and record, then the one step. record: may have
 * grown since create only for PEFT. */
eck_status ecki_adapter_writer_publish(ecki_adapter_writer *writer, eck_error *err);
void ecki_adapter_writer_free(ecki_adapter_writer *writer);

/** Bytes of the tensors of a module of this rank, alpha included. */
int64_t ecki_out_module_bytes(const ecki_out_module *module, eck_adapter_layout layout);

/* ---- adapter_match.c ----------------------------------------------------------------------- */

struct eck_model;

/** The path a module has in a base, dots as the file has them; owned, NULL when out of memory. Old
 * diffusers files put ".processor" before the projections of an attention, the last of which is the
 * first of two. */
char *ecki_adapter_path(const eck_adapter *adapter, const ecki_adapter_module *module);

/** True for an embedding [V,d] that the base takes for a linear layer: its dW [d,V] is transposed. */
bool ecki_adapter_turned(const eck_adapter_module *module, const eck_layer *layer);

/** The layer of a base that a module's name means, by its whole name or the only one that ends so;
 * ECK_E_RANGE with what is near if there is none. */
eck_status ecki_adapter_layer(int64_t *out, const eck_adapter *adapter, int64_t index,
                              const struct eck_model *base, eck_error *err);

/** The tensor of a base that an extra of a PEFT adapter stands for, -1 none; stem_out: its name in
 * a model, borrowed from the adapter but for `.base_layer`, owned, ecki_free(). */
eck_status ecki_adapter_extra_tensor(int64_t *out, char **stem_out, const eck_adapter *adapter,
                                     int64_t extra, const struct eck_model *base, eck_error *err);

/* ---- adapter_vocabulary.c ------------------------------------------------------------------ */

/** config.json of a base with its vocab_size raised from `before` to `after`; NULL if it says no such
 * size. Owned by the caller, ecki_free(). */
eck_status ecki_vocabulary_config(char **out, const struct eck_model *base, int64_t before,
                                  int64_t after, eck_error *err);

/** True if an extra is the second copy of a weight that two modules of the base share. */
eck_status ecki_extra_is_tied(bool *out, const eck_adapter *adapter, int64_t extra,
                              const struct eck_model *base, eck_error *err);

/** in * kernel. */
int64_t ecki_stage_columns(const eck_stage *dense);

/* ---- outcome ------------------------------------------------------------------------------- */

eck_status ecki_outcome_remark(eck_adapter_outcome *outcome, eck_error *err, const char *format,
                               ...) ECKI_PRINTF(3, 4);

/** A change with every number "does not apply". */
eck_status ecki_outcome_change(eck_adapter_change *out, const char *name, eck_error *err);

/** Sums over the changes: norm, error, worst, kept. */
void ecki_outcome_total(eck_adapter_outcome *outcome);

#endif
