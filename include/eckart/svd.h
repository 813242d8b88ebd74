/**
 * The singular value decomposition, its rank rules and its certificate.
 *
 * Lanes: ECK_ENGINE_EXACT for storage of at most 32 bits is the eigen-decomposition of the F64 Gram on the short side
 * (values first, vectors of the chosen rank after); for F64 storage it is QR and LAPACK's divide and conquer, with a
 * retry chain. ECK_ENGINE_DEFLATED goes the first way with the reduction in F32, for a given rank
 * (docs/methods/deflated.md). ECK_ENGINE_KRYLOV finds the leading terms alone, in a few reads of A (docs/methods/krylov.md).
 * What these two cannot do to a proven excess over the optimum they hand to EXACT. ECK_ENGINE_AUTO takes one of the three by a
 * table of costs (eck_svd_choose()): few terms of a large matrix go to KRYLOV. ECK_ENGINE_GOLUB_KAHAN is LAPACK on the whole
 * matrix in F64: the reference the others are held against.
 */
#ifndef ECKART_SVD_H
#define ECKART_SVD_H

#include <stdbool.h>
#include <stdint.h>

#include "eckart/array.h"
#include "eckart/context.h"
#include "eckart/export.h"
#include "eckart/operator.h"
#include "eckart/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum eck_engine {
    ECK_ENGINE_AUTO = 0,
    ECK_ENGINE_EXACT = 1,
    ECK_ENGINE_DEFLATED = 2,
    ECK_ENGINE_KRYLOV = 3,
    ECK_ENGINE_JACOBI = 4, /**< eck_svd_batch_compute() only */
    ECK_ENGINE_GOLUB_KAHAN = 5,
    ECK_ENGINE_ALS = 8, /**< eck_als_compute() only */
    ECK_ENGINE_GRADIENT = 9 /**< eck_als_compute() only */
} eck_engine;

/** Name used by option, plan, JSON and report ("exact", "deflated", "krylov", "jacobi" ..); static. */
ECK_API const char *eck_engine_name(eck_engine engine);

typedef enum eck_rule {
    ECK_RULE_RANK = 0, /**< options.rank terms, at most min(rows,cols) */
    ECK_RULE_ENERGY = 1, /**< fewest terms with energy 1 - error^2 >= target, 0 < target <= 1 */
    ECK_RULE_ERROR =
        2, /**< fewest terms with relative Frobenius error <= target, 0 <= target < 1 */
    ECK_RULE_THIN = 5, /**< min(rows,cols) terms */
    ECK_RULE_NUMERICAL = 6, /**< as many as the numerical rank, at least one */
    /** As many as stand above noise of one variance, found by empirical variational Bayes (Nakajima et al. 2013). */
    ECK_RULE_EVBMF = 3,
    /** Above the optimal hard threshold for unknown noise (Gavish and Donoho 2014). Both may choose none. */
    ECK_RULE_HARD_THRESHOLD = 4
} eck_rule;

typedef enum eck_proof {
    ECK_PROOF_TAIL =
        0, /**< JSON "exact": tail of the complete spectrum plus what rounding the factors can add */
    ECK_PROOF_RESIDUAL =
        1, /**< "residual": || A - factors ||, computed from the stored factors in F64 */
    ECK_PROOF_BOUND =
        2 /**< "bound": Gaussian probes of the stored factors' residual; holds but for `failure` */
} eck_proof;

/** "exact", "residual", "bound": the word of JSON and of the command; static. */
ECK_API const char *eck_proof_name(eck_proof proof);

enum {
    ECK_WANT_VALUES = 1,
    ECK_WANT_LEFT = 2,
    ECK_WANT_RIGHT = 4,
    /** Two factors only, u v^T ~ A: one side orthonormal, the other carries the values. Cheapest, and best suited to
     *  compression: no division by small values. Takes the place of LEFT and RIGHT. */
    ECK_WANT_COMPACT = 8,
    /** U square [rows,rows] and V square [cols,cols], completed to orthonormal bases (`--full`). */
    ECK_WANT_FULL = 16
};

/**
 * What is known about a result; in every one. Errors are relative Frobenius norms, || A - A_k || / || A ||, of the
 * factors as rounded to `stored`. error_low <= true error <= error_high, deterministic when failure is 0.
 */
typedef struct eck_certificate {
    eck_proof proof;
    eck_dtype stored;
    double norm2; /**< squared Frobenius norm of A */
    double error; /**< best estimate, between low and high */
    double error_low, error_high;
    double optimum_low, optimum_high; /**< bracket of the Eckart-Young optimum of this rank */
    double excess_high; /**< error_high / optimum_low - 1; infinity when optimum_low is 0 */
    double floor; /**< nothing below this is claimed */
    double
        failure; /**< probability that the bound is wrong; 0 = deterministic. Engine KRYLOV: that optimum_low is */
    double orthogonality; /**< max | V^T V - I | of the orthonormal factor in F64; -1 none wanted */
} eck_certificate;

/** What is proved of || A - B ||_2, the largest singular value of what an approximation misses. */
typedef struct eck_spectral_proof {
    double bound; /**< || A - B ||_2 <= bound; deterministic, every rounding included; -1: not
                     asked for */
    int64_t
        above; /**< singular values of A above `bound`; with a B of rank k at most k, by Weyl's inequality */
    double blur; /**< values of A nearer to `bound` than this may be counted on either side */
} eck_spectral_proof;

typedef struct eck_svd_options {
    uint32_t version; /**< 3; 2 = without `spectral_proof`, 1 = without `excess` */
    eck_engine engine; /**< default AUTO */
    eck_rule rule; /**< default RANK */
    double target; /**< for ENERGY and ERROR */
    int64_t rank; /**< for RANK, 0 = none at all; else a cap, 0 = no cap */
    uint32_t want; /**< default VALUES | LEFT | RIGHT */
    eck_proof proof; /**< default RESIDUAL */
    double failure; /**< for BOUND and KRYLOV: default 1e-6, 1e-12 .. 0.5 */
    uint64_t seed; /**< of the probes and of KRYLOV; default 0 */
    eck_dtype
        store; /**< type of the factors: F64, F32, F16, BF16; NONE (default): F64 for F64 storage, else F32 */
    double
        excess; /**< largest error / optimum - 1 that an iterative lane may stop at: default 1e-4, 0 < excess <= 1 */
    bool spectral_proof; /**< eck_certify_spectral() of the factors as well; default false */
} eck_svd_options;

#define ECK_SVD_OPTIONS_INIT \
    { \
        3, ECK_ENGINE_AUTO, ECK_RULE_RANK, 0.0, 0, \
            ECK_WANT_VALUES | ECK_WANT_LEFT | ECK_WANT_RIGHT, ECK_PROOF_RESIDUAL, 1e-6, 0, \
            ECK_DTYPE_NONE, 1e-4, false \
    }

/** The same defaults, for bindings. */
ECK_API void eck_svd_options_init(eck_svd_options *options);

/** Owned by the caller, eck_svd_free(); members not wanted are NULL. */
typedef struct eck_svd {
    int64_t rows, cols, rank;
    int64_t
        numerical_rank; /**< values above tolerance; -1 unknown: engine KRYLOV finds the leading values only */
    double tolerance; /**< max(rows,cols) * epsilon of the storage type * s_1 */
    eck_engine engine; /**< the lane that answered */
    const char
        *solver; /**< "dstemr", "dstedc", "dgesdd", "dgesvd", "dgesvj", "block-krylov"; static */
    bool reproducible; /**< same bytes for any number of threads */
    eck_array *u; /**< [rows,rank]; FULL: [rows,rows]; COMPACT: last */
    eck_array *
        s; /**< F64, descending: all min(rows,cols) values; engine KRYLOV: [rank], each at most the true one */
    eck_array *v; /**< [cols,rank]; FULL: [cols,cols]; COMPACT: first^T */
    eck_side orthonormal; /**< COMPACT: the side whose factor is orthonormal (RIGHT: v) */
    double energy; /**< 1 - tail^2/norm2 of the kept values, before storage rounding */
    eck_certificate certificate;
    double seconds; /**< first number read to certificate done */
    int64_t bytes_read; /**< of the file of A, for reports, by whoever counted them; 0 unknown */
    double passes; /**< the same over the bytes of A */
    bool compact; /**< u v^T ~ A: the values are in one of the two */
    eck_spectral_proof spectral; /**< of || A - factors ||_2, where it was asked for */
} eck_svd;

ECK_API void eck_svd_free(eck_svd *svd);

/**
 * Truncated, reduced, thin or full SVD, A ~ U diag(S) V^T, with its certificate.
 *
 * out      owned by the caller, eck_svd_free(). Signs: the largest |v_i| of every right vector is positive, lowest
 *          index on ties
 * a        any operator; read two or three times (scan and Gram in one read where that is exact)
 * options  NULL = defaults
 * Cost     m n^2 + 4/3 n^3 + 2 n^2 k operations in F64 for n = min(rows,cols), m = max; memory as eck_svd_memory()
 * Accuracy |s_i - sigma_i| <= 1 eps(F32) s_1 for storage up to 32 bits; LAPACK's for F64 (docs/methods/svd.md)
 * Errors   ECK_E_NONFINITE offset = flat index; ECK_E_RANGE options; ECK_E_SOLVER; ECK_E_BUDGET; ECK_E_CANCELLED
 * Source   Golub and Van Loan, Matrix Computations, 4th ed., 8.3 and 8.6; Eckart and Young 1936; Mirsky 1960
 */
ECK_API eck_status eck_svd_compute(eck_svd **out, const eck_operator *a,
                                   const eck_svd_options *options, const eck_context *context,
                                   eck_error *err);

/** Bytes engine EXACT of eck_svd_compute() holds at most, result included, beyond the operator's own; rank < 0: values only.
 *  KRYLOV holds less, but may keep a copy of A where memory is not limited or has room for it: eck_svd_choose() says which,
 *  and how much. */
ECK_API int64_t eck_svd_memory(const eck_operator_info *info, const eck_svd_options *options,
                               int64_t rank);

/** U diag(S) V^T, or u v^T of COMPACT factors, as an operator: the kept terms as stored. out owned by the caller,
 *  eck_operator_free(); borrows svd. Errors: ECK_E_RANGE a factor is missing; ECK_E_NOMEM. */
ECK_API eck_status eck_svd_operator(eck_operator **out, const eck_svd *svd, eck_error *err);

/** Engine AUTO for one matrix: the lane, and what a table of costs says of each. */
typedef struct eck_engine_choice {
    eck_engine engine; /**< EXACT or KRYLOV, or the one that was asked for */
    double exact,
        krylov; /**< cost, in the time of an F64 product of so many operations; infinity: the lane cannot do it */
    double
        expected_reads; /**< of A by KRYLOV, for a spectrum like i^-0.5; 0 where it cannot do it */
    int64_t reads; /**< KRYLOV: reads of A after which it gives up and EXACT answers; else 0 */
    const char *reason; /**< a sentence without its full stop; static */
    int64_t
        memory; /**< bytes that will be held at most, result included, beyond the operator's own */
} eck_engine_choice;

/**
 * What eck_svd_compute() will do for engine AUTO. The choice depends on shape, storage, nonzeros, options and the kind of
 * processor, and where the context limits memory on that and its threads: never on a timing.
 *
 * out      the choice; for another engine in the options that engine, with the costs
 * Cost     none worth naming
 * Errors   ECK_E_RANGE options
 * Source   docs/methods/choice.md
 */
ECK_API eck_status eck_svd_choose(eck_engine_choice *out, const eck_operator *a,
                                  const eck_svd_options *options, const eck_context *context,
                                  eck_error *err);

/** Takes the long factor of a decomposition as it is made; one call at a time. A failure ends the decomposition. */
typedef struct eck_svd_sink {
    void *user;
    /** Before the first row: the rank that was chosen. */
    eck_status (*begin)(void *user, int64_t rank, eck_error *err);
    /** Rows first .. first+rows-1 of the factor, contiguous [rows,rank] in the stored type, in order. */
    eck_status (*take)(void *user, int64_t first, int64_t rows, const void *numbers,
                       eck_error *err);
} eck_svd_sink;

/**
 * eck_svd_compute() of a matrix, or with factors, too large for memory: the factor of the long side goes to a sink in
 * blocks of rows (U when rows >= cols, else V; COMPACT: last, else first^T) and is not in the result. Exact lane, proof
 * TAIL.
 *
 * out      owned by the caller, eck_svd_free(); the long one of u and v is NULL. Signs as of eck_svd_compute() for
 *          rows >= cols; for a wide matrix the largest |u_i| of every left vector is positive
 * a        storage of at most 32 bits; read twice, thrice for U where s_1 > 1000 s_k or so
 * options  not ECK_WANT_FULL; as eck_svd_compute() otherwise
 * Cost     as eck_svd_compute(); memory as eck_svd_stream_memory(), which does not grow with the long side
 * Errors   as eck_svd_compute(); ECK_E_RANGE F64 storage, another lane, U of a value below 2^-20 s_1; those of the sink
 */
ECK_API eck_status eck_svd_stream(eck_svd **out, const eck_operator *a,
                                  const eck_svd_options *options, const eck_svd_sink *sink,
                                  const eck_context *context, eck_error *err);

/** Bytes eck_svd_stream() holds at most, result included, beyond the operator's own and the sink's. */
ECK_API int64_t eck_svd_stream_memory(const eck_operator_info *info, const eck_svd_options *options,
                                      int64_t rank);

/**
 * The exact lane cut in two: every value, and the reduction from which vectors of a rank chosen later follow without
 * reading or reducing A again. Owned by the caller, eck_spectrum_free(). Holds n^2 / 2 F64, n = min(rows,cols), from
 * n = 1536 on n^2. Storage of at most 32 bits and engine EXACT only.
 */
typedef struct eck_spectrum eck_spectrum;

/** What a spectrum tells; borrowed until eck_spectrum_free(). */
typedef struct eck_spectrum_info {
    int64_t rows, cols, count; /**< count = min(rows,cols) */
    const double *values; /**< [count], descending, >= 0 */
    const double *tails; /**< [count+1]: tails[k] = relative Frobenius error of the best rank-k */
    double norm2, tail_error; /**< tail_error: bound of the absolute error of tails[k]^2 */
    int64_t numerical_rank;
    double tolerance;
    double stable_rank; /**< ||A||_F^2 / s_1^2 */
    double effective_rank; /**< exp of the entropy of s / sum s (Roy and Vetterli 2007) */
} eck_spectrum_info;

/**
 * out     owned by the caller, eck_spectrum_free()
 * a       storage of at most 32 bits; read twice
 * Cost    m n^2 + 4/3 n^3 operations in F64, n = min(rows,cols)
 * Errors  ECK_E_NONFINITE offset = flat index; ECK_E_RANGE F64 storage; ECK_E_SOLVER; ECK_E_NOMEM
 */
ECK_API eck_status eck_spectrum_create(eck_spectrum **out, const eck_operator *a,
                                       const eck_context *context, eck_error *err);
ECK_API void eck_spectrum_free(eck_spectrum *spectrum);
/** Borrowed until eck_spectrum_free(). */
ECK_API const eck_spectrum_info *eck_spectrum_get_info(const eck_spectrum *spectrum);

/** The SVD of a rank chosen from the values; reads A once for the second factor and once for the residual. */
ECK_API eck_status eck_spectrum_svd(eck_svd **out, const eck_spectrum *spectrum,
                                    const eck_operator *a, const eck_svd_options *options,
                                    const eck_context *context, eck_error *err);

/** Rank a rule chooses from a spectrum; clamped to 0..count. */
ECK_API eck_status eck_rule_rank(int64_t *rank_out, const eck_spectrum_info *spectrum,
                                 eck_rule rule, double target, int64_t rank, eck_error *err);

/** The spectrum as bytes, for a cache, and back; bytes owned by the caller, eck_text_free(). A damaged or foreign
 *  byte string is ECK_E_FORMAT. */
ECK_API eck_status eck_spectrum_save(char **bytes_out, int64_t *count_out,
                                     const eck_spectrum *spectrum, eck_error *err);
ECK_API eck_status eck_spectrum_load(eck_spectrum **out, const void *bytes, int64_t count,
                                     eck_error *err);

/**
 * Certificate of any rank-k product against any operator: || A - B C || / || A || by the named proof (RESIDUAL or
 * BOUND). The one function behind every printed error; `verify` calls it on what it read back.
 * approximation  any operator of the same shape
 */
ECK_API eck_status eck_certify(eck_certificate *out, const eck_operator *a,
                               const eck_operator *approximation, eck_proof proof, double failure,
                               uint64_t seed, const eck_context *context, eck_error *err);

/**
 * A deterministic bound of the spectral norm: tau^2 I - G, G = (A - B)^T (A - B) in F64, has a Cholesky factorisation. Then
 * the inertia of A^T A - bound^2 I counts the values of A above the bound: when they are as many as B has terms, none was
 * missed.
 *
 * approximation  any operator of the same shape: eck_svd_operator(), a product, a chain
 * Cost           2 m n^2 + n^3 operations in F64, one read of the approximation and two of A; n^2 numbers of memory
 * Accuracy       bound / || A - B ||_2 - 1 is about 1e-3, more where that norm lies below 1e-7 of || A - B ||_F; below
 *                about n u || A ||_F only roundings are left
 * Errors         ECK_E_SHAPE; ECK_E_NONFINITE offset = flat index; ECK_E_BUDGET; ECK_E_SOLVER; ECK_E_NOMEM; ECK_E_CANCELLED
 * Source         Rump, Verification of positive definiteness, BIT 46, 2006; Sylvester's law of inertia
 */
ECK_API eck_status eck_certify_spectral(eck_spectral_proof *out, const eck_operator *a,
                                        const eck_operator *approximation,
                                        const eck_context *context, eck_error *err);

/** Bytes eck_certify_spectral() holds at most, beyond the operators' own. */
ECK_API int64_t eck_spectral_memory(const eck_operator_info *info);

/** Spectral decomposition of a symmetric matrix, A = V diag(lambda) V^T. Owned by the caller, eck_eigen_free(). */
typedef struct eck_eigen {
    int64_t size, rank;
    eck_array *values; /**< F64 [size], signed, by descending absolute value */
    eck_array *vectors; /**< [size,rank] */
    double
        asymmetry; /**< max |A - A^T| found; at most 0 .. 8 eps max|A| is accepted and symmetrised */
    eck_certificate certificate;
    double seconds;
} eck_eigen;

ECK_API void eck_eigen_free(eck_eigen *eigen);

/** Errors: ECK_E_SHAPE not square; ECK_E_RANGE not symmetric, offset = flat index of the worst element. */
ECK_API eck_status eck_eigen_compute(eck_eigen **out, const eck_operator *a,
                                     const eck_svd_options *options, const eck_context *context,
                                     eck_error *err);

/** Orthonormal bases of the four fundamental subspaces, numerical rank r. Owned by the caller, eck_subspaces_clear(). */
typedef struct eck_subspaces {
    int64_t rank;
    eck_array *column; /**< range of A [rows,r] */
    eck_array *left_null; /**< null space of A^T [rows,rows-r] */
    eck_array *row; /**< range of A^T [cols,r] */
    eck_array *null; /**< null space of A [cols,cols-r] */
} eck_subspaces;

ECK_API void eck_subspaces_clear(eck_subspaces *subspaces);

/** Takes apart an SVD computed with rule THIN or more and ECK_WANT_FULL. */
ECK_API eck_status eck_subspaces_compute(eck_subspaces *out, const eck_svd *svd, eck_error *err);

#ifdef __cplusplus
}
#endif
#endif
