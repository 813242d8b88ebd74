/**
 * LoRA adapters on disk: changes dW = scale * last first of the layers of a base model, and what is
 * done with them. An adapter holds file descriptors and its index, never weights; dW is never
 * formed but where a merged weight is written.
 *
 * Read: PEFT directories, kohya / LyCORIS files (LoRA, LoCon with a Tucker core, LoHa, LoKr),
 * diffusers files. Written: plain LoRA in the same container, under the same names.
 */
#ifndef ECKART_ADAPTER_H
#define ECKART_ADAPTER_H

#include <stdbool.h>
#include <stdint.h>

#include "eckart/array.h"
#include "eckart/context.h"
#include "eckart/decompose.h"
#include "eckart/export.h"
#include "eckart/model.h"
#include "eckart/stage.h"
#include "eckart/status.h"
#include "eckart/svd.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- open, look ---------------------------------------------------------------------------- */

/** Container and naming; values are part of the ABI. */
typedef enum eck_adapter_layout {
    ECK_ADAPTER_AUTO = 0,
    ECK_ADAPTER_PEFT = 1, /**< directory: adapter_config.json, adapter_model.safetensors */
    ECK_ADAPTER_KOHYA = 2, /**< one file, lora_unet_a_b.lora_down.weight, .alpha */
    ECK_ADAPTER_DIFFUSERS = 3 /**< one file, unet.a.b.lora_A.weight */
} eck_adapter_layout;

/** "peft", "kohya", "diffusers", "auto"; static. */
ECK_API const char *eck_adapter_layout_name(eck_adapter_layout layout);

/** What is stored for a module. All of them are exact sums of thin products. */
typedef enum eck_adapter_form {
    ECK_FORM_LORA = 1, /**< two factors */
    ECK_FORM_TUCKER = 2, /**< two 1x1 factors and a core (LoCon with lora_mid) */
    ECK_FORM_LOHA = 3, /**< elementwise product of two products: rank r^2 */
    ECK_FORM_LOKR = 4 /**< Kronecker product */
} eck_adapter_form;

/** "lora", "tucker", "loha", "lokr"; static. */
ECK_API const char *eck_adapter_form_name(eck_adapter_form form);

typedef struct eck_adapter eck_adapter;

/** One adapted module; borrowed until eck_adapter_close(). */
typedef struct eck_adapter_module {
    const char
        *name; /**< the module's path as the file spells it: PEFT without base_model.model. */
    eck_adapter_form form;
    eck_stage dense; /**< LINEAR, CONV or LOOKUP, without weights; LOOKUP: dW is [d,V] */
    int64_t rank; /**< as stored */
    int64_t width; /**< inner width of the two factors that eck_adapter_load() gives */
    double alpha; /**< as it takes effect */
    double scale; /**< alpha / rank, alpha / sqrt(rank) for rsLoRA */
    eck_dtype dtype;
    bool dora; /**< a magnitude stands beside the factors: no plain low-rank change */
    int64_t parameters, bytes; /**< of everything stored for it */
} eck_adapter_module;

/**
 * Opens an adapter: a PEFT directory, or one safetensors file. Reads indexes and configuration
 * only, and the alpha scalars.
 * out     owned by the caller, eck_adapter_close()
 * Errors  ECK_E_FORMAT a missing half, shapes that do not fit, a pattern that does not resolve;
 *         ECK_E_UNSUPPORTED variants that are no plain low-rank change (named); ECK_E_IO
 */
ECK_API eck_status eck_adapter_open(eck_adapter **out, const char *path, eck_error *err);
ECK_API void eck_adapter_close(eck_adapter *adapter);

/** As given to eck_adapter_open(); borrowed. */
ECK_API const char *eck_adapter_path(const eck_adapter *adapter);
/** The container it was read from. */
ECK_API eck_adapter_layout eck_adapter_get_layout(const eck_adapter *adapter);

/** base_model_name_or_path of the configuration, or NULL. */
ECK_API const char *eck_adapter_base_name(const eck_adapter *adapter);

/** Modules it changes. */
ECK_API int64_t eck_adapter_module_count(const eck_adapter *adapter);

/** NULL past the end. */
ECK_API const eck_adapter_module *eck_adapter_get_module(const eck_adapter *adapter, int64_t index);

/** Tensors that are no part of a low-rank change (modules_to_save, biases), by name; NULL past the
 * end. */
ECK_API const char *eck_adapter_extra(const eck_adapter *adapter, int64_t index);

/** Remarks made while opening; NULL past the end. */
ECK_API const char *eck_adapter_warning(const eck_adapter *adapter, int64_t index);

/** dW = scale * last first, dW [out, in * kernel]; owned by the caller, eck_factors_clear(). */
typedef struct eck_factors {
    eck_array *first; /**< [width, in * kernel] */
    eck_array *last; /**< [out, width] */
    double scale;
} eck_factors;

ECK_API void eck_factors_clear(eck_factors *factors);

/**
 * The factors of a module: in the storage type for plain LoRA, in F64 for the others.
 * Errors  ECK_E_RANGE index; ECK_E_NONFINITE; ECK_E_UNSUPPORTED DoRA
 */
ECK_API eck_status eck_adapter_load(eck_factors *out, const eck_adapter *adapter, int64_t index,
                                    eck_error *err);

/* ---- results ------------------------------------------------------------------------------- */

/** What happened to one module; numbers that do not apply are -1. */
typedef struct eck_adapter_change {
    char *name;
    int64_t rank_before, rank;
    bool kept; /**< byte for byte as it was: it was small enough already */
    double norm; /**< || dW || before */
    double error; /**< || dW - as stored || / || dW || */
    double energy; /**< extract: of the whole change, 1 - error^2 */
    double energy_clean; /**< extract: of the change less its rounding noise */
    double noise; /**< extract: norm of the rounding noise expected of the storage types */
    int64_t rank50, rank80, rank90; /**< extract: ranks for that part of the clean energy; -1:
                                       more than were computed */
    double optimum_low,
        optimum_high; /**< extract: bracket of the least error any change of that rank has */
    eck_engine engine; /**< extract: the lane that answered; else AUTO */
} eck_adapter_change;

/** Zero it before use. Owned by the caller, eck_adapter_outcome_clear(). */
typedef struct eck_adapter_outcome {
    eck_adapter_layout layout;
    eck_adapter_change *changes;
    int64_t count;
    int64_t kept; /**< modules left as they were */
    int64_t bytes_before, bytes_after; /**< of tensors */
    double norm; /**< root of the sum of squares over the modules */
    double error; /**< root of the sum of squared errors, relative to norm */
    double worst; /**< largest error of a module */
    double energy, energy_clean; /**< extract: of all changes together; else -1 */
    char **remarks; /**< one line each: what was left out, what could not be expressed */
    int64_t remark_count;
    double seconds;
} eck_adapter_outcome;

ECK_API void eck_adapter_outcome_clear(eck_adapter_outcome *outcome);

/** How an adapter is written. */
typedef struct eck_adapter_write {
    uint32_t version; /**< 1 */
    const char *path; /**< what to write; may be NULL for a dry run */
    bool replace; /**< replace a file, or a directory that eckart wrote */
    bool dry_run; /**< do everything but write */
    eck_dtype store; /**< F32, F16 or BF16; NONE (default): each module's own */
    eck_split split; /**< default balanced */
    int64_t shard_bytes; /**< merge and residual: as eck_write_options; default 5,000,000,000 */
} eck_adapter_write;

#define ECK_ADAPTER_WRITE_INIT \
    { \
        1, NULL, false, false, ECK_DTYPE_NONE, ECK_SPLIT_BALANCED, INT64_C(5000000000) \
    }

/** Which ranks. Exactly one of rank, energy, error, or bytes / bytes_part; rank may stand beside
 * bytes as a cap. */
typedef struct eck_adapter_budget {
    uint32_t version; /**< 1 */
    int64_t rank; /**< of every module; -1 none */
    double energy, error; /**< of each module; -1 none */
    int64_t bytes; /**< tensors of the whole output; ranks by the knapsack of plans; -1 none */
    double bytes_part; /**< the same as a part of the bytes before; -1 none */
} eck_adapter_budget;

#define ECK_ADAPTER_BUDGET_INIT \
    { \
        1, -1, -1, -1, -1, -1 \
    }

/* ---- from adapters ------------------------------------------------------------------------- */

/**
 * Smaller ranks: the truncated SVD of every dW, from QR of the factors. Container and names stay;
 * scales become part of the factors (alpha = rank). A module that is already small enough keeps its
 * bytes.
 * Errors  ECK_E_RANGE budget; ECK_E_UNSUPPORTED DoRA; ECK_E_NONFINITE; and those of writing
 */
ECK_API eck_status eck_adapter_resize(eck_adapter_outcome *out, const eck_adapter *adapter,
                                      const eck_adapter_budget *budget,
                                      const eck_adapter_write *options, const eck_context *context,
                                      eck_error *err);

typedef struct eck_weighted_adapter {
    const eck_adapter *adapter; /**< borrowed */
    double weight; /**< any finite number; negative takes away */
} eck_weighted_adapter;

/** sum_i weight_i dW_i; borrows the terms. */
typedef struct eck_adapter_sum {
    const eck_weighted_adapter *terms;
    int64_t count;
} eck_adapter_sum;

/**
 * One adapter whose dW is sum_i weight_i dW_i. rank > 0: the best of that rank, from the stacked
 * factors; 0: the stacked factors themselves (exact). Layout and names are the first's; modules may
 * be missing from some. Extra tensors are not combined: a remark lists them.
 * Errors  ECK_E_SHAPE a module has other shapes in another adapter; ECK_E_UNSUPPORTED layouts differ
 */
ECK_API eck_status eck_adapter_combine(eck_adapter_outcome *out, const eck_adapter_sum *sum,
                                       int64_t rank, const eck_adapter_write *options,
                                       const eck_context *context, eck_error *err);

/** Two adapters in one module; borrowed name. */
typedef struct eck_adapter_relation {
    const char *name;
    int64_t rank_a, rank_b; /**< 0: not in that adapter */
    double norm_a, norm_b;
    double inner; /**< <dW_a, dW_b> */
    double cosine; /**< inner / (norm_a norm_b); 0 if one is 0 */
    double distance; /**< || dW_a - dW_b || / max(norm_a, norm_b) */
    double overlap_left; /**< mean squared cosine of the principal angles of the column spaces */
    double overlap_right; /**< the same of the row spaces */
    double angle_left, angle_right; /**< largest principal angle, radians */
} eck_adapter_relation;

/** Owned by the caller, eck_adapter_comparison_clear(); borrows both adapters. */
typedef struct eck_adapter_comparison {
    eck_adapter_relation *relations;
    int64_t count, common;
    double norm_a, norm_b, cosine, distance; /**< of all modules together */
} eck_adapter_comparison;

ECK_API void eck_adapter_comparison_clear(eck_adapter_comparison *comparison);

/** How alike two adapters are, module by module and as a whole. Modules are matched by name; names
 * of different layouts by what they say with '.' and '_' taken as one. */
ECK_API eck_status eck_adapter_compare(eck_adapter_comparison *out, const eck_adapter *a,
                                       const eck_adapter *b, const eck_context *context,
                                       eck_error *err);

/** Where names come from when '_' is ambiguous. */
typedef struct eck_adapter_base {
    const char
        *component; /**< "unet", "transformer", "text_encoder", "text_encoder_2"; NULL: any */
    const eck_model *model; /**< borrowed */
} eck_adapter_base;

typedef struct eck_convert_options {
    uint32_t version; /**< 1 */
    eck_adapter_layout layout; /**< PEFT, KOHYA or DIFFUSERS */
    const eck_adapter_base *bases; /**< models whose module names resolve kohya's; may be empty */
    int64_t base_count;
    const char *component; /**< for names that carry none (PEFT's): default "unet"; to PEFT: which
                              component to take where there are several */
    eck_adapter_write write;
} eck_convert_options;

#define ECK_CONVERT_OPTIONS_INIT \
    { \
        1, ECK_ADAPTER_PEFT, NULL, 0, NULL, ECK_ADAPTER_WRITE_INIT \
    }

/**
 * The same changes in another layout. Factors keep their bytes wherever the scale can be expressed;
 * diffusers files get scale 1, put into the last factor.
 * Errors  ECK_E_UNSUPPORTED what the other layout cannot express; ECK_E_RANGE names that do not
 *         resolve (the message lists them)
 */
ECK_API eck_status eck_adapter_convert(eck_adapter_outcome *out, const eck_adapter *adapter,
                                       const eck_convert_options *options, eck_error *err);

/* ---- with models --------------------------------------------------------------------------- */

/**
 * Writes base + sum_i weight_i dW_i: each changed weight computed in F64 and rounded once, one
 * panel of rows at a time; everything else byte for byte. Extra tensors of PEFT (modules_to_save,
 * biases) replace the base's, with weight 1 only. DoRA is merged as it is defined, with weight 1
 * and alone on its module only.
 * Errors  ECK_E_SHAPE, ECK_E_RANGE an adapter of another base: shapes or names do not fit (named)
 */
ECK_API eck_status eck_adapter_merge(eck_adapter_outcome *out, const eck_model *base,
                                     const eck_adapter_sum *sum, const eck_adapter_write *options,
                                     const eck_context *context, eck_error *err);

typedef struct eck_extract_options {
    uint32_t version; /**< 2; 1 = without `engine` and `excess` */
    eck_adapter_budget budget; /**< default: rank 32 */
    eck_adapter_layout layout; /**< default PEFT */
    const char *component; /**< kohya and diffusers; default "unet" */
    bool full_modules; /**< carry what is no low-rank change in modules_to_save (PEFT) */
    bool unrelated; /**< extract even if tuned is no fine-tune of base */
    eck_adapter_write write;
    eck_engine engine; /**< default AUTO; of eck_svd_compute(), for given ranks */
    double excess; /**< largest error / optimum - 1 a lane may stop at: default 1e-3 */
} eck_extract_options;

#define ECK_EXTRACT_OPTIONS_INIT \
    { \
        2, { 1, 32, -1, -1, -1, -1 }, ECK_ADAPTER_PEFT, NULL, false, false, \
            ECK_ADAPTER_WRITE_INIT, ECK_ENGINE_AUTO, 1e-3 \
    }

/**
 * The change from base to tuned as an adapter: the best of its rank, layer by layer, each
 * difference an operator over the two files, or held in F32 where that is exact and at most 512 MiB.
 * base     its selected layers (eck_model_select) are compared; both borrowed
 * Errors   ECK_E_RANGE "not a fine-tune" (|| tuned - base ||^2 above half of || tuned ||^2 +
 *          || base ||^2); ECK_E_NOTHING no layer differs; ECK_E_SHAPE
 */
ECK_API eck_status eck_adapter_extract(eck_adapter_outcome *out, const eck_model *base,
                                       const eck_model *tuned, const eck_extract_options *options,
                                       const eck_context *context, eck_error *err);

typedef enum eck_adapter_start {
    ECK_START_GAUSSIAN = 1, /**< first ~ N(0, 1/rank^2), last = 0 */
    ECK_START_PISSA = 2, /**< the leading singular triplets; needs the residual base */
    ECK_START_OLORA = 3 /**< the leading columns of QR without pivoting; needs the residual base */
} eck_adapter_start;

typedef struct eck_init_options {
    uint32_t version; /**< 1 */
    eck_adapter_start start; /**< default GAUSSIAN */
    int64_t rank; /**< default 8 */
    double alpha; /**< default 0: alpha = rank */
    uint64_t seed; /**< of GAUSSIAN */
    const char *residual; /**< path of base - scale last first; needed but for GAUSSIAN */
    eck_adapter_write write;
} eck_init_options;

#define ECK_INIT_OPTIONS_INIT \
    { \
        1, ECK_START_GAUSSIAN, 8, 0, 0, NULL, ECK_ADAPTER_WRITE_INIT \
    }

/** An adapter to begin training with, for the selected layers of a model (PEFT). */
ECK_API eck_status eck_adapter_init(eck_adapter_outcome *out, const eck_model *base,
                                    const eck_init_options *options, const eck_context *context,
                                    eck_error *err);

#ifdef __cplusplus
}
#endif
#endif
