/**
 * From one weight to a curve (every way to store it, with its error and cost) and to a chain (the shorter layers).
 */
#ifndef ECKART_DECOMPOSE_H
#define ECKART_DECOMPOSE_H

#include <stdbool.h>
#include <stdint.h>

#include "eckart/context.h"
#include "eckart/export.h"
#include "eckart/operator.h"
#include "eckart/stage.h"
#include "eckart/status.h"
#include "eckart/svd.h"

#ifdef __cplusplus
extern "C" {
#endif

/** One vocabulary for option, plan, manifest and report; values are part of the ABI. */
typedef enum eck_method {
    ECK_METHOD_DENSE = 0,
    ECK_METHOD_SVD =
        1 /**< linear: two linear stages; conv: k x k then 1 x 1 (channel SVD); lookup: lookup, linear */
} eck_method;

/** "dense", "svd"; static. */
ECK_API const char *eck_method_name(eck_method method);

/** ECK_OK and the method of a name, else ECK_E_RANGE naming the known ones. */
ECK_API eck_status eck_method_parse(eck_method *out, const char *name, eck_error *err);

enum { ECK_RANKS_MAX = 4 };

/** Where the singular values go. */
typedef enum eck_split {
    ECK_SPLIT_BALANCED =
        0, /**< square roots into both factors: smallest range, safest in 16 bits */
    ECK_SPLIT_LEFT = 1, /**< all into the last stage */
    ECK_SPLIT_RIGHT = 2 /**< all into the first stage */
} eck_split;

/** One way to store one layer; staying dense is a point too, with error 0. */
typedef struct eck_point {
    eck_method method;
    int32_t rank_count;
    int64_t ranks[ECK_RANKS_MAX]; /**< inner widths in the order of the chain */
    double error; /**< hypot(tail, floor of the storage type): what the file will hold, relative */
    double damage; /**< what a plan adds up: error^2 */
    int64_t parameters, bytes; /**< of the weights of all stages */
    int64_t macs; /**< per output position; -1 unknown */
} eck_point;

/** A set of points by rising parameters, the dense one last. Owned by the caller, eck_curve_clear(). */
typedef struct eck_curve {
    eck_point *points;
    int64_t count;
} eck_curve;

ECK_API void eck_curve_clear(eck_curve *curve);

/** Relative error that storing two factors in `store` costs by itself, 0.6 unit roundoffs: 2.3e-3 for BF16, 2.9e-4 F16,
 *  3.6e-8 F32, 6.7e-17 F64; a statistical figure used for planning, never for a promise (docs/methods/chains.md derives
 *  and measures it). */
ECK_API double eck_storage_floor(eck_dtype store);

/**
 * The curve of plain SVD: every rank up to break-even, then dense. A layer that plain SVD does not factor (scale,
 * transposed or grouped convolution: one matrix a group) has the dense point alone. MACs count strides as carried by
 * the first stage; a lookup only copies.
 * out       owned by the caller, eck_curve_clear()
 * dense     the layer; kind, channels, kernel, groups
 * spectrum  of its matrix [out, in/groups * kernel]
 * store     type the factors will be stored in; dense stays in `original`
 */
ECK_API eck_status eck_curve_svd(eck_curve *out, const eck_stage *dense,
                                 const eck_spectrum_info *spectrum, eck_dtype original,
                                 eck_dtype store, eck_error *err);

/** Largest rank at which two factors have fewer parameters than the layer; 0 if none does or they cannot replace it. */
ECK_API int64_t eck_break_even_rank(const eck_stage *dense);

/**
 * The chain a point makes of a layer, stages without numbers: what a writer needs to know before anything is computed.
 * out     owned by the caller, eck_chain_clear()
 * Errors  ECK_E_RANGE the point is of another method or has no rank; ECK_E_UNSUPPORTED the layer has no such chain
 */
ECK_API eck_status eck_chain_outline(eck_chain *out, const eck_stage *dense, const eck_point *point,
                                     eck_error *err);

typedef struct eck_fit_options {
    uint32_t version; /**< 1 */
    eck_dtype store; /**< F64, F32, F16, BF16 */
    eck_split split;
    eck_proof proof; /**< RESIDUAL, or BOUND */
} eck_fit_options;

/** What is to be factored; all borrowed. */
typedef struct eck_weight {
    const eck_operator *w; /**< [out, in/groups * kernel] */
    const eck_spectrum *spectrum; /**< of w, or NULL: computed */
    const eck_stage *dense; /**< the layer it is the weight of */
} eck_weight;

/**
 * Factors of one point, rounded to their storage type, with the certificate of the rounded chain.
 *
 * out              owned by the caller, eck_chain_clear()
 * certificate_out  error as stored
 * Cost             of the vectors of the point's rank, one product and one residual; of the
 *                  spectrum too where none is given
 * Errors           ECK_E_RANGE the point does not fit the layer, or a factor leaves the range of
 *                  its type; ECK_E_UNSUPPORTED a grouped or transposed convolution; those of the
 *                  SVD
 */
ECK_API eck_status eck_chain_fit(eck_chain *out, eck_certificate *certificate_out,
                                 const eck_weight *weight, const eck_point *point,
                                 const eck_fit_options *options, const eck_context *context,
                                 eck_error *err);

/**
 * The chain as the matrix of the layer it stands for, [out, in/groups * kernel]: reads are products in F64, one block
 * of rows at a time, never the whole. Any number of stages; linear, scale, conv (grouped too), lookup first. All but
 * the last stage are multiplied out once if they are more than one.
 * chain   borrowed; weights of any readable type
 * dense   only looked at
 * Errors        ECK_E_SHAPE a stage does not fit its neighbour or `dense`; ECK_E_UNSUPPORTED a kind in that place
 */
ECK_API eck_status eck_operator_chain(eck_operator **out, const eck_chain *chain,
                                      const eck_stage *dense, eck_error *err);

#ifdef __cplusplus
}
#endif
#endif
