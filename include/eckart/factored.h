/**
 * Matrices that are known as sums of products of thin factors: dW = sum_i w_i last_i first_i. Their
 * singular value decomposition costs O((rows + cols) r^2) for r columns in all, and dW itself is
 * never formed.
 */
#ifndef ECKART_FACTORED_H
#define ECKART_FACTORED_H

#include <stdbool.h>
#include <stdint.h>

#include "eckart/array.h"
#include "eckart/context.h"
#include "eckart/decompose.h"
#include "eckart/export.h"
#include "eckart/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** weight * last first; borrows. Any readable type, any strides, 2-d. */
typedef struct eck_term {
    double weight;
    eck_view first; /**< [r,cols] */
    eck_view last; /**< [rows,r] */
} eck_term;

/** The sum with its decomposition. Owned by the caller, eck_factored_free(); borrows nothing. */
typedef struct eck_factored eck_factored;

/** What a sum tells; borrowed until eck_factored_free(). */
typedef struct eck_factored_info {
    int64_t rows, cols;
    int64_t width; /**< columns of all last factors together */
    int64_t count; /**< values: at most min(rows, cols, width) */
    const double *values; /**< [count], descending */
    const double *tails; /**< [count+1]: relative Frobenius error of the best rank k */
    double norm; /**< Frobenius norm of dW */
    bool orthogonal; /**< by QR of both factors; else by their Grams */
    double
        magnitude; /**< sum of |column| |row| over the products: a norm of some eps of it is rounding */
} eck_factored_info;

/**
 * Stacks the factors, reduces both sides, and finds every singular value.
 * out      owned by the caller, eck_factored_free()
 * terms    at least one, all of one shape
 * rank     leading terms that must be right to 1e-9 of || dW ||: lets Grams serve where they can;
 *          0: all, by QR
 * Cost     (rows + cols) r^2 operations by Grams, three times that by QR, and O(r^3)
 * Accuracy values to c eps || dW || by QR; the leading `rank` to 1e-9 || dW || by Grams
 * Errors   ECK_E_SHAPE; ECK_E_NONFINITE a factor holds NaN or infinity; ECK_E_SOLVER; ECK_E_NOMEM
 */
ECK_API eck_status eck_factored_create(eck_factored **out, const eck_term *terms, int64_t count,
                                       int64_t rank, eck_error *err);
ECK_API void eck_factored_free(eck_factored *factored);
ECK_API const eck_factored_info *eck_factored_get_info(const eck_factored *factored);

/** Which approximation, and how it is stored. */
typedef struct eck_truncation {
    int64_t rank; /**< 1 .. min(rows,cols); terms beyond the values there are stand as zeros */
    eck_split split;
    eck_dtype store; /**< F64, F32, F16 or BF16 */
} eck_truncation;

/**
 * The two factors of the best approximation of a rank, rounded once to their storage type.
 * first_out  [rank,cols], last_out [rows,rank]; owned by the caller, eck_array_free()
 * Errors     ECK_E_RANGE rank, type, or a number that leaves the range of its type
 */
ECK_API eck_status eck_factored_truncate(eck_array **first_out, eck_array **last_out,
                                         const eck_factored *factored,
                                         const eck_truncation *truncation, eck_error *err);

/** <a, b> = sum_ij a_ij b_ij of two sums of one shape, from products of thin factors alone. */
ECK_API eck_status eck_factored_inner(double *out, const eck_factored *a, const eck_factored *b,
                                      eck_error *err);

/** || dW - weight last first ||_F, from inner products: exact to about 1e-8 || dW ||. */
ECK_API eck_status eck_factored_distance(double *out, const eck_factored *factored,
                                         const eck_term *term, eck_error *err);

/**
 * Cosines of the principal angles between the ranges of two sums (side LEFT: columns, RIGHT: rows),
 * descending. Only the singular vectors above the numerical rank take part.
 * cosines_out  owned by the caller, eck_array_free(); F64 [min of the two numerical ranks]
 */
ECK_API eck_status eck_factored_angles(eck_array **cosines_out, const eck_factored *a,
                                       const eck_factored *b, eck_side side, eck_error *err);

#ifdef __cplusplus
}
#endif
#endif
