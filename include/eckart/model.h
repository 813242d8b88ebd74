/**
 * Models on disk: an index of tensors (bytes) and of layers (uses of a weight), and what is done with them: analyze,
 * plan, compress, verify, restore. A model holds file descriptors and the index, never weights.
 */
#ifndef ECKART_MODEL_H
#define ECKART_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "eckart/array.h"
#include "eckart/context.h"
#include "eckart/decompose.h"
#include "eckart/export.h"
#include "eckart/operator.h"
#include "eckart/stage.h"
#include "eckart/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- open, look ------------------------------------------------------------------------------------------------ */

typedef struct eck_model eck_model;

/** Borrowed until eck_model_close(). */
typedef struct eck_tensor {
    const char *name; /**< "" for the one array of a .npy or .csv file */
    const char *file; /**< of the container's files, the one that holds it, relative to the model */
    eck_dtype dtype;
    int32_t ndim;
    int64_t shape[ECK_DIMS_MAX];
    int64_t bytes;
} eck_tensor;

/** One place of a graph that runs a weight. */
typedef struct eck_use {
    int64_t
        rows; /**< how often: images of a convolution; rows of a linear layer, all leading dimensions together */
    int64_t input[ECK_SPATIAL_MAX], output[ECK_SPATIAL_MAX]; /**< spatial sizes of a convolution */
} eck_use;

/** One weight and all its uses; borrowed until eck_model_close(), numbers of uses until eck_model_set_input(). */
typedef struct eck_layer {
    const char
        *name; /**< module ("encoder.layer.0.attention.self.query"); a bare tensor's own name */
    const char *skipped; /**< why it is not to be factored, or NULL; eck_model_select() decides */
    eck_stage dense; /**< without weights */
    int64_t weight, bias; /**< indices of tensors; bias -1 none */
    bool stored_transposed; /**< the tensor holds W^T: GPT-2's Conv1D, embeddings */
    const char *tied_to; /**< module that uses the same weight, or NULL */
    bool
        factored; /**< the model is an output of ours and this layer is a chain; weight is then -1 */
    eck_method method; /**< of a factored layer, else DENSE */
    const eck_use *uses; /**< of a graph whose shapes are known */
    int64_t use_count; /**< 0: not known; a factored layer has none of its own */
    int64_t macs; /**< multiply-adds of one pass over all uses, biases aside; -1 unknown */
    const char *macs_unknown; /**< why, or NULL */
} eck_layer;

/**
 * Opens a model: a directory (Hugging Face layout, or one of ours), a .safetensors or .onnx file, a checkpoint of
 * PyTorch (nothing in it is run), a .npy, .npz or .csv file, or "-" (.npy on standard input, read whole). Reads indexes and configuration only.
 * out     owned by the caller, eck_model_close()
 * Errors  ECK_E_IO, ECK_E_FORMAT, ECK_E_UNSUPPORTED; a hub name or a cache root gets advice
 */
ECK_API eck_status eck_model_open(eck_model **out, const char *path, eck_error *err);
ECK_API void eck_model_close(eck_model *model);

/**
 * As eck_model_open(), for a checkpoint of PyTorch (.pt, .pth, .bin) that holds more than a model.
 * key     dotted key of the dictionary to read ("state_dict", "ema.model"); NULL: where tensors are, or the usual keys
 * Errors  ECK_E_RANGE no such key, or no checkpoint of PyTorch
 */
ECK_API eck_status eck_model_open_key(eck_model **out, const char *path, const char *key,
                                      eck_error *err);

/** As given to eck_model_open(); borrowed. */
ECK_API const char *eck_model_path(const eck_model *model);
/** Bytes of tensors read since it was opened: over the bytes of a tensor, how often that was read. */
ECK_API int64_t eck_model_bytes_read(const eck_model *model);
/** Tensors of all files together. */
ECK_API int64_t eck_model_tensor_count(const eck_model *model);
/** Tensor by index, borrowed; NULL past the end. */
ECK_API const eck_tensor *eck_model_tensor(const eck_model *model, int64_t index);
/** Layers: every weight of two and more dimensions, factored ones once. */
ECK_API int64_t eck_model_layer_count(const eck_model *model);
/** Layer by index, borrowed; NULL past the end. */
ECK_API const eck_layer *eck_model_layer(const eck_model *model, int64_t index);

/** Remarks made while opening (trailing bytes, unmapped tensors, ...), one line each; NULL past the end. */
ECK_API const char *eck_model_warning(const eck_model *model, int64_t index);

/** "safetensors", "onnx", "torch", "npy", "npz", "csv", "mtx"; static. */
ECK_API const char *eck_model_format(const eck_model *model);

/** True if the model carries our manifest. */
ECK_API bool eck_model_is_factored(const eck_model *model);

/**
 * A tensor as a matrix: 2-d as it is, conv kernels [d0, d1*d2*...], 1-d as one row.
 * out     owned by the caller, eck_operator_free(); borrows the model; reads with pread
 * Errors  ECK_E_RANGE index; ECK_E_UNSUPPORTED a type that holds no numbers
 */
ECK_API eck_status eck_model_tensor_operator(eck_operator **out, const eck_model *model,
                                             int64_t tensor, eck_error *err);

/** The matrix [out, in/groups * kernel] of a layer, dense or factored; as above. */
ECK_API eck_status eck_model_layer_operator(eck_operator **out, const eck_model *model,
                                            int64_t layer, eck_error *err);

/** The stages of a factored layer, weights and bias loaded; owned by the caller, eck_chain_clear(). */
ECK_API eck_status eck_model_layer_chain(eck_chain *out, const eck_model *model, int64_t layer,
                                         eck_error *err);

/**
 * Says how large an input of a graph is, and finds shapes and multiply-adds of all layers anew.
 *
 * name    of an input of the graph
 * ndim    0 .. ECK_DIMS_MAX
 * shape   [ndim], each at least 1 and what the file says where it says a number
 * Cost    of opening a graph, a few times its nodes
 * Errors  ECK_E_RANGE no such input, one that was given, or another shape in the file; ECK_E_SHAPE ndim;
 *         ECK_E_UNSUPPORTED no graph; ECK_E_NOMEM
 */
ECK_API eck_status eck_model_set_input(eck_model *model, const char *name, int32_t ndim,
                                       const int64_t *shape, eck_error *err);

/**
 * Multiply-adds of one pass when a layer is stored as `point` (NULL: as it is), over all its uses, biases aside; every
 * stage counts at the sizes it has in the chain. -1: not known (layer->macs_unknown), or no point of the layer.
 */
ECK_API int64_t eck_layer_macs(const eck_layer *layer, const eck_point *point);

/** The point of least error among those of one method with at most so many multiply-adds; borrowed; NULL if there is none
 *  or they are not known. */
ECK_API const eck_point *eck_layer_best(const eck_layer *layer, const eck_curve *curve,
                                        eck_method method, int64_t macs);

/**
 * Says how many groups convolutions have, which a file of weights without a graph does not tell: a kernel
 * [out, in/groups, k...] is taken apart group by group then, and its chain stands for a layer with groups.
 *
 * glob    on whole names of layers, as those of a selection; before layers are analyzed
 * groups  at least 1
 * Errors  ECK_E_RANGE groups below 1, or no convolution that may be factored matches; ECK_E_SHAPE a matching one has
 *         outputs they do not divide; ECK_E_UNSUPPORTED a graph, which says it itself. Then nothing has changed
 */
ECK_API eck_status eck_model_set_groups(eck_model *model, const char *glob, int64_t groups,
                                        eck_error *err);

typedef struct eck_selection {
    uint32_t version; /**< 1 */
    const char *const *include;
    int64_t include_count; /**< globs on whole module names; `*` crosses dots */
    const char *const *exclude;
    int64_t exclude_count;
    int64_t min_size; /**< elements; default 4096 */
} eck_selection;

#define ECK_SELECTION_INIT \
    { \
        1, NULL, 0, NULL, 0, 4096 \
    }

/**
 * Decides anew which layers may be factored: by default all but those with a built-in reason; an include makes the
 * list exactly what it matches (built-in reasons give way, impossible ones stay); an exclude takes away.
 * Errors  ECK_E_RANGE a glob that matches no layer
 */
ECK_API eck_status eck_model_select(eck_model *model, const eck_selection *selection,
                                    eck_error *err);

/* ---- analyze, plan --------------------------------------------------------------------------------------------- */

/** Where spectra and factors are kept between runs, by content. */
typedef struct eck_store_options {
    uint32_t version; /**< 1 */
    const char *cache; /**< directory, made if missing; NULL: no cache */
    eck_dtype store; /**< type of the factors; NONE (default): each layer's own */
    eck_split split;
    int64_t rank_multiple; /**< ranks are multiples of it; default 1 */
    /** Bits 1 << eck_method that may be chosen; a layer none of them applies to takes SVD; default 0: SVD alone. */
    uint32_t methods;
} eck_store_options;

#define ECK_STORE_OPTIONS_INIT \
    { \
        1, NULL, ECK_DTYPE_NONE, ECK_SPLIT_BALANCED, 1, 0 \
    }

/** The user's cache directory: $ECKART_CACHE, $XDG_CACHE_HOME/eckart, ~/.cache/eckart; made if missing. Owned,
 *  eck_text_free(). Errors: ECK_E_RANGE none of them is set; ECK_E_IO it cannot be made. */
ECK_API eck_status eck_cache_default(char **out, eck_error *err);

/** Spectra and curves of the selected layers. Owned by the caller, eck_analysis_free(). */
typedef struct eck_analysis eck_analysis;

/** Borrowed until eck_analysis_free(). */
typedef struct eck_layer_analysis {
    int64_t layer; /**< index in the model */
    eck_spectrum_info spectrum;
    eck_curve curve;
    int64_t break_even_rank;
    double seconds;
    bool cached;
} eck_layer_analysis;

/**
 * Spectra of the selected layers, side by side, each by one thread: results do not depend on how
 * many there are.
 *
 * out      owned by the caller, eck_analysis_free()
 * options  NULL = defaults: no cache, each layer's own type
 * Cost     that of eck_spectrum_create() for every layer the cache does not hold
 * Errors   ECK_E_NONFINITE a weight holds NaN or infinity, with its tensor and index; ECK_E_IO;
 *          ECK_E_CANCELLED; ECK_E_NOMEM
 */
ECK_API eck_status eck_model_analyze(eck_analysis **out, const eck_model *model,
                                     const eck_store_options *options, const eck_context *context,
                                     eck_error *err);
ECK_API void eck_analysis_free(eck_analysis *analysis);
/** Layers analyzed. */
ECK_API int64_t eck_analysis_count(const eck_analysis *analysis);
/** By index, in the order of the model; borrowed; NULL past the end. */
ECK_API const eck_layer_analysis *eck_analysis_layer(const eck_analysis *analysis, int64_t index);

/**
 * How long layers of a model take, dense and factored, on some machine: what `eckart bench` and `python -m eckart.measure`
 * wrote (docs/formats/json/timings.schema.json).
 */
typedef struct eck_timings eck_timings;

/**
 * Timings from their JSON text.
 * out     owned by the caller, eck_timings_free()
 * file    name for messages
 * Errors  ECK_E_FORMAT; ECK_E_UNSUPPORTED version
 */
ECK_API eck_status eck_timings_parse(eck_timings **out, const char *text, int64_t length,
                                     const char *file, eck_error *err);
ECK_API void eck_timings_free(eck_timings *timings);

/** Milliseconds of one pass of the whole model; -1 if only its layers were timed. */
ECK_API double eck_timings_whole(const eck_timings *timings);

/**
 * Milliseconds of a layer, over all its uses, when it is stored as `point`: as it was timed; between points that were
 * timed of the same method, linear in multiply-adds; above the largest, along the last two; below the smallest, its time.
 * point   NULL: dense
 * Returns -1: not known, since the layer is not there, is there with another shape, or nothing of that method was timed
 */
ECK_API double eck_timings_predict(const eck_timings *timings, const eck_layer *layer,
                                   const eck_point *point);

/** Every limit given must hold; the least total error that fits is chosen. */
typedef struct eck_budget {
    uint32_t version; /**< 1 */
    double keep; /**< parameters left / before, of the selected layers; -1 none */
    int64_t bytes; /**< tensor bytes of the whole output; -1 none */
    double bytes_part; /**< the same as a part of the bytes before; -1 none */
    /** The same rank for every layer (dense where that does not pay); of methods with several, none above it; -1 none. */
    int64_t rank;
    double energy; /**< at least, each layer; -1 none */
    double error; /**< at most, each layer, as stored; -1 none */
    bool allow_dense; /**< a plan that factors nothing is no error */
    /** What latencies are predicted from; borrowed; NULL: none. Layers that were not timed stay dense. */
    const eck_timings *timings;
    double
        latency; /**< milliseconds of one pass, of the whole model where that was timed; -1 none */
    double latency_part; /**< the same as a part of that before; -1 none */
    bool no_slower; /**< a layer stays dense unless its factored form is faster */
    int64_t macs; /**< multiply-adds of one pass over the selected layers; -1 none */
    double macs_part; /**< the same as a part of those before; -1 none */
} eck_budget;

#define ECK_BUDGET_INIT \
    { \
        1, -1, -1, -1, -1, -1, -1, false, NULL, -1, -1, false, -1, -1 \
    }

typedef struct eck_choice {
    char *layer; /**< by name: a plan is a file that people edit */
    eck_point point;
    int64_t parameters_before;
    double ms_before, ms_after; /**< predicted from the budget's timings; -1 not known */
    int64_t macs_before, macs_after; /**< multiply-adds of one pass; -1 unknown */
    int64_t groups; /**< of the layer; 0: the plan was written without */
} eck_choice;

/** Owned by the caller, eck_plan_free(). */
typedef struct eck_plan {
    eck_choice *choices; /**< every selected layer, in the model's order */
    int64_t count;
    char source[65]; /**< SHA-256 of index and weights: a plan of another model is refused */
    eck_dtype store; /**< NONE: each layer's own */
    eck_split split;
    int64_t parameters_before, parameters_after; /**< of the selected layers */
    int64_t bytes_before, bytes_after; /**< tensor bytes of the whole model */
    int64_t factored; /**< layers not dense */
    double error; /**< root of the sum of damages (squared relative errors); may exceed 1 */
    double worst, mean; /**< relative error of the worst layer; mean over the factored layers */
    double gap; /**< (total damage - lower bound of the optimum) / lower bound; 0 = optimal */
    double ms_before, ms_after; /**< of the whole model, or of its layers; -1 without timings */
    int64_t macs_before,
        macs_after; /**< of the selected layers; -1: of one of them they are not known */
} eck_plan;

/**
 * Chooses one point a layer: lower convex hulls and one multiplier, then the integer rest.
 * Errors  ECK_E_NOTHING nothing pays (message names the nearest break-even); ECK_E_RANGE limits that contradict each
 *         other or lie below the storage floor (the floor is named); ECK_E_UNSUPPORTED a limit on multiply-adds, and those
 *         of a selected layer are not known (it and the reason are named)
 */
ECK_API eck_status eck_plan_optimize(eck_plan **out, const eck_model *model,
                                     const eck_analysis *analysis, const eck_budget *budget,
                                     const eck_store_options *options, eck_error *err);
ECK_API void eck_plan_free(eck_plan *plan);

/** One row of the frontier: what a keep ratio costs. */
typedef struct eck_frontier_row {
    double keep;
    int64_t factored, parameters, bytes;
    double error, mean, worst;
    int64_t macs; /**< -1 unknown */
} eck_frontier_row;

/** `count` rows from keep 0.95 down, plans as eck_plan_optimize() would make them; rows is the caller's. */
ECK_API eck_status eck_plan_frontier(eck_frontier_row *rows, int64_t count, const eck_model *model,
                                     const eck_analysis *analysis, const eck_store_options *options,
                                     eck_error *err);

/** A plan from its JSON text (eck_report_plan() writes it). Errors: ECK_E_FORMAT, ECK_E_UNSUPPORTED version. */
ECK_API eck_status eck_plan_parse(eck_plan **out, const char *text, int64_t length,
                                  const char *file, eck_error *err);

/* ---- compress, verify, restore --------------------------------------------------------------------------------- */

typedef struct eck_write_options {
    uint32_t version; /**< 1 */
    bool replace; /**< `--force`: replace a file, or a directory that holds our manifest, whole */
    bool dry_run; /**< do everything but write */
    eck_store_options store; /**< cache only; type and split are the plan's */
    int64_t
        shard_bytes; /**< a directory's files hold at most this many tensor bytes; default 5,000,000,000 */
} eck_write_options;

#define ECK_WRITE_OPTIONS_INIT \
    { \
        1, false, false, ECK_STORE_OPTIONS_INIT, INT64_C(5000000000) \
    }

/** What compress did; zero it before use. Owned by the caller, eck_outcome_clear(). */
typedef struct eck_outcome {
    int64_t factored, copied; /**< layers; other tensors */
    int64_t bytes_before, bytes_after;
    double error, worst; /**< as eck_plan, measured from what was stored */
    char **left_out; /**< files of the source that were not carried over */
    int64_t left_out_count;
    int64_t peak_bytes; /**< the memory formula's figure */
    double seconds;
} eck_outcome;

ECK_API void eck_outcome_clear(eck_outcome *outcome);

/**
 * Writes the model with the plan's layers factored; everything else byte for byte. OUT follows IN: a directory gives
 * a directory, one file gives one file. Output appears by one atomic step when it is whole.
 * Errors   ECK_E_EXISTS; ECK_E_RANGE plan of another model, output equal to input; ECK_E_IO disk full; ...
 * Memory   eck_model_memory()
 */
ECK_API eck_status eck_model_compress(eck_outcome *out, const eck_model *model,
                                      const eck_plan *plan, const char *path,
                                      const eck_write_options *options, const eck_context *context,
                                      eck_error *err);

/** Bytes that compressing holds at most, libraries aside (docs/design.md derives it). */
ECK_API int64_t eck_model_memory(const eck_model *model, const eck_plan *plan,
                                 const eck_context *context);

typedef struct eck_check {
    const char *name; /**< layer or tensor; borrowed until eck_verdict_clear() */
    bool factored, kept;
    double error, promised; /**< of factored layers */
    const char *reason; /**< why not kept, or NULL */
} eck_check;

typedef struct eck_verdict {
    bool kept; /**< every promise holds */
    int64_t factored, identical, failed;
    eck_check *checks; /**< factored layers, then everything that failed */
    int64_t count;
} eck_verdict;

ECK_API void eck_verdict_clear(eck_verdict *verdict);

/**
 * Recomputes every promised error in F64 from the two files, and compares every other tensor byte for byte.
 * A promise that does not hold is ECK_OK with kept = false; errors are what kept it from being judged.
 */
ECK_API eck_status eck_model_verify(eck_verdict *out, const eck_model *before,
                                    const eck_model *after, const eck_context *context,
                                    eck_error *err);

/** Factors multiplied out under their stock names: loads everywhere. dtype NONE: each layer's original. */
ECK_API eck_status eck_model_restore(eck_outcome *out, const eck_model *model, const char *path,
                                     const eck_write_options *options, const eck_context *context,
                                     eck_error *err);

#ifdef __cplusplus
}
#endif
#endif
