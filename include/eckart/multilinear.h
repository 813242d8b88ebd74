/**
 * Tensors of any number of modes: unfoldings, and the three decompositions Tucker, CP and tensor train, each with a
 * residual computed in F64 from the factors as stored.
 *
 * A mode is a dimension; the unfolding of a mode is the matrix whose rows it numbers. All errors are relative Frobenius
 * norms.
 */
#ifndef ECKART_MULTILINEAR_H
#define ECKART_MULTILINEAR_H

#include <stdbool.h>
#include <stdint.h>

#include "eckart/array.h"
#include "eckart/context.h"
#include "eckart/export.h"
#include "eckart/operator.h"
#include "eckart/status.h"
#include "eckart/svd.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- unfoldings ------------------------------------------------------------------------------------------------ */

/**
 * The unfolding as a view, without moving a number: rows are numbered by the listed modes, columns by the others, each
 * in row-major order.
 * out     [rows,cols]; borrows what the tensor borrows; written only if there is such a view
 * modes   `count` different modes, 0 <= count <= ndim
 * Returns false where strides allow no such view, or the modes are none of the tensor's
 */
ECK_API bool eck_view_unfold(eck_view *out, const eck_view *tensor, const int32_t *modes,
                             int32_t count);

/**
 * The same as an operator, for any strides: nothing is copied but the blocks that are read.
 * out     owned by the caller, eck_operator_free(); borrows the tensor's numbers
 * Errors  ECK_E_RANGE modes; ECK_E_UNSUPPORTED a type without numbers; ECK_E_SHAPE sizes overflow; ECK_E_NOMEM
 */
ECK_API eck_status eck_operator_unfolding(eck_operator **out, eck_view tensor, const int32_t *modes,
                                          int32_t count, eck_error *err);

/**
 * Gram matrix of the unfolding of one mode, X_(n) X_(n)^T, products and sums in F64.
 * out     F64 panel [n,n], both triangles
 * Cost    n times the elements of the tensor; no unfolding is formed
 * Errors  ECK_E_RANGE mode, panel; those of eck_operator_unfolding()
 */
ECK_API eck_status eck_mode_gram(eck_panel out, eck_view tensor, int32_t mode,
                                 const eck_context *context, eck_error *err);

/** Frobenius norm of a view of any shape, summed in F64 after exact scaling. Errors: ECK_E_NONFINITE offset = flat
 *  index; ECK_E_UNSUPPORTED a type without numbers. */
ECK_API eck_status eck_view_norm(double *out, eck_view tensor, eck_error *err);

/* ---- Tucker ---------------------------------------------------------------------------------------------------- */

typedef struct eck_tucker_options {
    uint32_t version; /**< 1 */
    /** RANK (default): ranks; ENERGY: `target` of every mode by itself; ERROR: `target` for the whole; EVBMF,
     *  HARD_THRESHOLD: every mode by itself. */
    eck_rule rule;
    double target;
    /** RANK: of every mode, clamped to its size; else a cap; 0: all, no cap. */
    int64_t ranks[ECK_DIMS_MAX];
    uint32_t keep; /**< bit n: mode n gets no factor (partial Tucker); default 0 */
    int64_t sweeps; /**< of HOOI after ST-HOSVD, at most; default 0 */
    double
        tolerance; /**< HOOI ends when a sweep lowers the squared error by less than this part of the squared norm;
                           default 1e-8 */
    eck_dtype store; /**< type of core and factors; NONE (default): F64 for F64 storage, else F32 */
} eck_tucker_options;

#define ECK_TUCKER_OPTIONS_INIT \
    { \
        1, ECK_RULE_RANK, 0.0, { 0, 0, 0, 0, 0, 0, 0, 0 }, 0, 0, 1e-8, ECK_DTYPE_NONE \
    }

/** The same defaults, for bindings. */
ECK_API void eck_tucker_options_init(eck_tucker_options *options);

/** X ~ core x_1 factors[0] x_2 factors[1] ..., factors with orthonormal columns. Owned by the caller,
 *  eck_tucker_free(). */
typedef struct eck_tucker {
    int32_t ndim;
    int64_t shape[ECK_DIMS_MAX], ranks[ECK_DIMS_MAX];
    eck_array *core; /**< [ranks] */
    eck_array *factors[ECK_DIMS_MAX]; /**< [shape[n],ranks[n]]; NULL: the mode was kept */
    double tails[ECK_DIMS_MAX]; /**< what ST-HOSVD discarded in each mode, relative to the tensor */
    double
        truncated; /**< root of the sum of squares of tails: the error of ST-HOSVD before rounding, exactly */
    /** After HOOI, before rounding: at most `truncated`. To some 1e-6 of the norm where sweeps multiply in F32. */
    double error;
    int64_t sweeps; /**< of HOOI done */
    bool converged; /**< HOOI ended by its tolerance; true without sweeps */
    eck_certificate
        certificate; /**< of core and factors as stored; nothing is known of the optimum from above */
    double seconds;
} eck_tucker;

ECK_API void eck_tucker_free(eck_tucker *tucker);

/**
 * Tucker decomposition by sequentially truncated HOSVD, then sweeps of HOOI if wanted.
 *
 * out      owned by the caller, eck_tucker_free()
 * tensor   2 .. 8 modes of any sizes but 0, any readable type, any strides; borrowed
 * options  NULL = defaults: every rank full
 * Cost     ST-HOSVD: for every mode the Gram and one product of what the modes before left over; modes in order of
 *          their shrinkage where ranks are given. HOOI: two products with the whole tensor a sweep. Memory 3 F64 copies
 * Accuracy the error identity holds to rounding; a basis is that of the SVD engine's exact lane
 * Errors   ECK_E_SHAPE, ECK_E_RANGE options; ECK_E_NONFINITE offset = flat index; ECK_E_SOLVER; ECK_E_NOMEM;
 *          ECK_E_CANCELLED
 * Source   Vannieuwenhoven, Vandebril and Meerbergen 2012 (ST-HOSVD); De Lathauwer, De Moor and Vandewalle 2000 (HOOI)
 */
ECK_API eck_status eck_tucker_compute(eck_tucker **out, eck_view tensor,
                                      const eck_tucker_options *options, const eck_context *context,
                                      eck_error *err);

/** The tensor a decomposition stands for, F64, owned by the caller, eck_array_free(). */
ECK_API eck_status eck_tucker_reconstruct(eck_array **out, const eck_tucker *tucker,
                                          const eck_context *context, eck_error *err);

/* ---- CP -------------------------------------------------------------------------------------------------------- */

typedef struct eck_cp_options {
    uint32_t version; /**< 1 */
    int64_t rank; /**< terms, 1 .. 100000 */
    int64_t iterations; /**< of each start, at most; default 200; one updates every factor */
    double
        tolerance; /**< done when an iteration lowers the squared error by less than this part of the squared norm;
                           default 1e-9 */
    /** Random starts tried beside the one from truncated mode SVDs; the least error wins; default 0. */
    int64_t restarts;
    uint64_t seed; /**< of random starts and of columns the mode SVDs lack; default 0 */
    /** Terms are made smaller at the price of this much error when their degeneracy is above `degeneracy`: a part of
     *  the error; default 0.001; 0: never. */
    double slack;
    double degeneracy; /**< default 10 */
    eck_dtype store; /**< type of the factors; NONE (default): F64 for F64 storage, else F32 */
} eck_cp_options;

#define ECK_CP_OPTIONS_INIT \
    { \
        1, 0, 200, 1e-9, 0, 0, 0.001, 10.0, ECK_DTYPE_NONE \
    }

/** The same defaults, for bindings. */
ECK_API void eck_cp_options_init(eck_cp_options *options);

/** X ~ sum_r weights[r] a_r o b_r o ..., columns of length 1. Owned by the caller, eck_cp_free(). */
typedef struct eck_cp {
    int32_t ndim;
    int64_t shape[ECK_DIMS_MAX], rank;
    eck_array *weights; /**< F64 [rank], descending, >= 0 */
    eck_array *factors[ECK_DIMS_MAX]; /**< [shape[n],rank] */
    double error; /**< before rounding */
    double
        degeneracy; /**< sum_r weights[r]^2 / || X^ ||^2: 1 for orthogonal terms, large when they cancel */
    double degeneracy_before; /**< of the fit, before terms were made smaller */
    int64_t iterations; /**< of the start that won */
    bool converged; /**< by the tolerance */
    int64_t start; /**< 0: mode SVDs; s: random start s */
    eck_certificate
        certificate; /**< of the factors as stored; nothing is known of the optimum from above */
    double seconds;
} eck_cp;

ECK_API void eck_cp_free(eck_cp *cp);

/**
 * Canonical polyadic decomposition by alternating least squares with line search, in F64.
 *
 * out      owned by the caller, eck_cp_free()
 * tensor   2 .. 8 modes of any sizes but 0, any readable type, any strides; borrowed
 * options  rank is needed
 * Cost     an iteration: two products of the tensor with `rank` columns (four for a step of the line search that does
 *          not help), N rank^3 / 3. Memory one F64 copy and rank columns of the two halves' sizes
 * Accuracy a fixed point is a stationary point of the error; not the best there is: the problem has local minima and may
 *          have no minimum at all, which the degeneracy shows
 * Errors   as eck_tucker_compute(). Not converging is none
 * Source   Carroll and Chang 1970; Harshman 1970; Rajih, Comon and Harshman 2008 (line search); Phan, Tichavsky and
 *          Cichocki 2019 (smaller terms at a bounded error)
 */
ECK_API eck_status eck_cp_compute(eck_cp **out, eck_view tensor, const eck_cp_options *options,
                                  const eck_context *context, eck_error *err);

/** The tensor a decomposition stands for, F64, owned by the caller, eck_array_free(). */
ECK_API eck_status eck_cp_reconstruct(eck_array **out, const eck_cp *cp, const eck_context *context,
                                      eck_error *err);

/* ---- tensor train ---------------------------------------------------------------------------------------------- */

typedef struct eck_tt_options {
    uint32_t version; /**< 1 */
    /** RANK (default): ranks; ENERGY: 1 - target of the energy may go, over all cuts; ERROR: `target` for the whole. */
    eck_rule rule;
    double target;
    /** [ndim-1] between neighbours: RANK: clamped to what there is; else caps; 0: no cap. */
    int64_t ranks[ECK_DIMS_MAX];
    eck_dtype store; /**< type of the cores; NONE (default): F64 for F64 storage, else F32 */
} eck_tt_options;

#define ECK_TT_OPTIONS_INIT \
    { \
        1, ECK_RULE_RANK, 0.0, { 0, 0, 0, 0, 0, 0, 0, 0 }, ECK_DTYPE_NONE \
    }

/** The same defaults, for bindings. */
ECK_API void eck_tt_options_init(eck_tt_options *options);

/** X[i,j,..,l] ~ G_1[i] G_2[j] .. G_d[l], all cores but the last with orthonormal columns [r_(n-1) shape[n], r_n].
 *  Owned by the caller, eck_tt_free(). */
typedef struct eck_tt {
    int32_t ndim;
    int64_t shape[ECK_DIMS_MAX];
    int64_t ranks[ECK_DIMS_MAX]; /**< [ndim-1] */
    eck_array *cores[ECK_DIMS_MAX]; /**< [r_(n-1), shape[n], r_n], r of both ends 1 */
    double tails[ECK_DIMS_MAX]; /**< [ndim-1] what every cut discarded, relative to the tensor */
    double
        truncated; /**< root of the sum of squares of tails: the error before rounding, exactly */
    eck_certificate
        certificate; /**< of the cores as stored; nothing is known of the optimum from above */
    double seconds;
} eck_tt;

ECK_API void eck_tt_free(eck_tt *tt);

/**
 * Tensor train by successive truncated SVDs, from the first mode to the last. With the same ranks the error is at most
 * sqrt(ndim - 1) times the least any tensor train can have.
 *
 * out      owned by the caller, eck_tt_free()
 * tensor   2 .. 8 modes of any sizes but 0, any readable type, any strides; borrowed
 * options  NULL = defaults: every rank full
 * Cost     for every cut the Gram of the shorter side and one product of what the cuts before left over
 * Errors   as eck_tucker_compute()
 * Source   Oseledets 2011, Tensor-Train Decomposition
 */
ECK_API eck_status eck_tt_compute(eck_tt **out, eck_view tensor, const eck_tt_options *options,
                                  const eck_context *context, eck_error *err);

/** The tensor a decomposition stands for, F64, owned by the caller, eck_array_free(). */
ECK_API eck_status eck_tt_reconstruct(eck_array **out, const eck_tt *tt, const eck_context *context,
                                      eck_error *err);

#ifdef __cplusplus
}
#endif
#endif
