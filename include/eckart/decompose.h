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
        1, /**< linear: two linear stages; conv: k x k then 1 x 1 (channel SVD); lookup: lookup, linear */
    ECK_METHOD_SPATIAL = 2, /**< conv: k x 1 then 1 x k; 3-d: k x 1 x 1 then 1 x k x k */
    ECK_METHOD_TUCKER1 = 3, /**< conv: 1 x 1 then k x k. On the other side it is SVD */
    ECK_METHOD_TUCKER2 = 4, /**< conv: 1 x 1, k x k, 1 x 1 */
    ECK_METHOD_CP = 5, /**< conv: 1 x 1, a depthwise k for every dimension, 1 x 1 */
    ECK_METHOD_TT = 6, /**< conv, 2-d and 3-d: 1 x 1, a k for every dimension, 1 x 1 */
    ECK_METHOD_DEPTHWISE = 7 /**< conv: depthwise k x k with T outputs a channel, then 1 x 1 */
} eck_method; /**< of a transposed convolution: the adjoint of what the method makes of its mirror, last stage first */

/** "dense", "svd", "spatial", "tucker1", "tucker2", "cp", "tt", "depthwise"; static. */
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
    int64_t
        macs; /**< per output position, of a transposed convolution per input position; -1 unknown */
    bool estimated; /**< between ranks that were fitted (CP): fitted before it is written */
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
 * grouped convolution: one matrix a group) has the dense point alone. MACs count strides as carried by the first stage,
 * of a transposed convolution by the last; a lookup only copies.
 * out       owned by the caller, eck_curve_clear()
 * dense     the layer; kind, channels, kernel, groups
 * spectrum  of its matrix [out, in/groups * kernel], of a transposed convolution [in, out/groups * kernel]
 * store     type the factors will be stored in; dense stays in `original`
 */
ECK_API eck_status eck_curve_svd(eck_curve *out, const eck_stage *dense,
                                 const eck_spectrum_info *spectrum, eck_dtype original,
                                 eck_dtype store, eck_error *err);

/** True if a method makes a chain of this layer: SVD of linear layers, lookups and convolutions, transposed ones too; the
 *  others of convolutions with a kernel of more than one tap and more than one channel a group on both sides; SPATIAL and
 *  TT of kernels wide in two dimensions or more. */
ECK_API bool eck_method_applies(eck_method method, const eck_stage *dense);

/** Every method, as a set of bits 1 << method. */
enum { ECK_METHODS_ALL = 254 };

typedef struct eck_curve_options {
    uint32_t version; /**< 1 */
    uint32_t
        methods; /**< bits 1 << method; those that do not apply are passed over; default: SVD */
    eck_dtype original; /**< of the dense layer */
    eck_dtype store; /**< of the factors */
    /** Of methods with several ranks list multiples of it, of all ranks, before lists are cut; default 1. */
    int64_t rank_multiple;
} eck_curve_options;

#define ECK_CURVE_OPTIONS_INIT \
    { \
        1, 2, ECK_DTYPE_F32, ECK_DTYPE_F32, 1 \
    }

/** The point of least error among those of one method with at most so many parameters; borrowed; NULL if there is none. */
ECK_API const eck_point *eck_curve_best(const eck_curve *curve, eck_method method,
                                        int64_t parameters);

/** Largest rank at which two factors have fewer parameters than the layer, of all groups together; 0 if none does or
 *  they cannot replace it. */
ECK_API int64_t eck_break_even_rank(const eck_stage *dense);

/**
 * The chain a point makes of a layer, stages without numbers: what a writer needs to know before anything is computed.
 * out     owned by the caller, eck_chain_clear()
 * Errors  ECK_E_RANGE the point is of another method or has no rank; ECK_E_UNSUPPORTED the layer has no such chain
 */
ECK_API eck_status eck_chain_outline(eck_chain *out, const eck_stage *dense, const eck_point *point,
                                     eck_error *err);

/**
 * Multiply-adds of a chain for one input, stages of every kind.
 * input, output  spatial sizes of the layer [spatial]; NULL for layers without
 * Returns INT64_MAX when that overflows
 */
ECK_API int64_t eck_chain_macs(const eck_chain *chain, const int64_t *input, const int64_t *output);

/**
 * Points worth timing: of every method asked for that applies, at a tenth, a quarter, a half, three quarters and nine tenths
 * of the layer's parameters, or as near below as ranks allow. Ranks are multiples of `multiple`, unless none of them makes
 * the layer smaller; of groups, multiples of their number.
 *
 * out       owned by the caller, eck_curve_clear(); by method, then rising; errors are NaN, the dense point is not listed
 * methods   bits 1 << eck_method
 * multiple  at least 1
 * Errors    ECK_E_RANGE multiple; ECK_E_NOMEM
 */
ECK_API eck_status eck_trial_points(eck_curve *out, const eck_stage *dense, uint32_t methods,
                                    int64_t multiple, eck_error *err);

typedef struct eck_fit_options {
    uint32_t version; /**< 1 */
    eck_dtype store; /**< F64, F32, F16, BF16 */
    eck_split split;
    eck_proof proof; /**< RESIDUAL, or BOUND */
} eck_fit_options;

/** What is to be factored; all borrowed. */
typedef struct eck_weight {
    const eck_operator *w; /**< [out, in/groups * kernel]; transposed [in, out/groups * kernel] */
    const eck_spectrum *spectrum; /**< of w, or NULL: computed */
    const eck_stage *dense; /**< the layer it is the weight of */
} eck_weight;

/**
 * The curves of several methods together, by rising parameters, none with as many as the layer, then dense. Errors are
 * those a fit will have, at most: SVD, SPATIAL, TUCKER1, DEPTHWISE exactly; TUCKER2 of the truncated HOSVD; TT of its
 * cuts; CP fitted at a few ranks and estimated between them. Groups have equal ranks. Of two ranks and more only pairs
 * that no other pair with fewer parameters equals are listed, and at most 256 of them.
 *
 * out      owned by the caller, eck_curve_clear()
 * weight   spectrum may be NULL where SVD is not asked for, or then is computed
 * Cost     of the singular values of one matrix a method and group; for CP a few short fits
 * Errors   those of the SVD; ECK_E_SHAPE the matrix is not that of the layer
 */
ECK_API eck_status eck_curve_compute(eck_curve *out, const eck_weight *weight,
                                     const eck_curve_options *options, const eck_context *context,
                                     eck_error *err);

/**
 * Factors of one point, rounded to their storage type, with the certificate of the rounded chain. The split matters where
 * there are two stages; CP shares its weights evenly, TUCKER2 and TT keep orthonormal factors.
 *
 * out              owned by the caller, eck_chain_clear()
 * certificate_out  error as stored
 * Cost             of the vectors of the point's rank, one product and one residual; of the
 *                  spectrum too where none is given
 * Errors           ECK_E_RANGE the point does not fit the layer, or a factor leaves the range of
 *                  its type; ECK_E_UNSUPPORTED a method that does not apply to the layer; those of the
 *                  SVD
 */
ECK_API eck_status eck_chain_fit(eck_chain *out, eck_certificate *certificate_out,
                                 const eck_weight *weight, const eck_point *point,
                                 const eck_fit_options *options, const eck_context *context,
                                 eck_error *err);

/**
 * The chain as the matrix of the layer it stands for, [out, in/groups * kernel], of a transposed convolution
 * [in, out/groups * kernel]: reads are products in F64, one block of rows at a time, never the whole. Any number of
 * stages; linear, scale, conv (grouped too), lookup first; of a transposed convolution conv of one tap, transposed conv
 * and scale. All but the last stage (transposed: the first) are multiplied out once if they are more than one.
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
