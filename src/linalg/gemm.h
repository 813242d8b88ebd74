/**
 * The BLAS front: products of row-major F64 matrices. Sizes are int64 and refused when the BLAS
 * cannot take them.
 */
#ifndef ECKI_GEMM_H
#define ECKI_GEMM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "eckart/array.h"

/** By value; borrows a row-major matrix, or its transpose; rows and cols are those of what it
 * stands for. */
typedef struct ecki_matrix {
    const double *data;
    int64_t rows, cols;
    int64_t ld; /**< of the storage */
    bool transposed;
} ecki_matrix;

/** A contiguous row-major matrix. */
ecki_matrix ecki_matrix_of(const double *data, int64_t rows, int64_t cols);

/** Of an F64 panel. */
ecki_matrix ecki_matrix_panel(eck_panel panel);

/** The transpose, without moving anything. */
ecki_matrix ecki_transposed(ecki_matrix a);

/** c = alpha a b + beta c; c F64. */
eck_status ecki_gemm(double alpha, ecki_matrix a, ecki_matrix b, double beta, eck_panel c,
                     eck_error *err);

/** A panel, or its transpose. */
typedef struct ecki_factor {
    eck_panel panel;
    bool transposed;
} ecki_factor;

/** c = alpha a b + beta c; all three F64, or all three F32. */
eck_status ecki_multiply(double alpha, ecki_factor a, ecki_factor b, double beta, eck_panel c,
                         eck_error *err);

/** c = alpha a b + beta c for F32 panels, `turned`: a^T for a. */
eck_status ecki_gemm_f32(float alpha, eck_panel a, bool turned, eck_panel b, float beta,
                         eck_panel c, eck_error *err);

/** The triangle i >= j of c = alpha a a^T + beta c. */
eck_status ecki_syrk(double alpha, ecki_matrix a, double beta, eck_panel c, eck_error *err);

/** x = x L^-T for L lower triangular, [k,k], row-major; x [m,k]. */
eck_status ecki_trsm(ecki_matrix lower, eck_panel x, eck_error *err);

#endif
