/**
 * What this machine and its BLAS do: features, rates, and whether products come out right.
 */
#ifndef ECKART_MACHINE_H
#define ECKART_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "eckart/context.h"
#include "eckart/export.h"
#include "eckart/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** By value; strings static. Rates are of this minute: they depend on what else runs. */
typedef struct eck_machine {
    const char *
        cpu; /**< best group of instructions: "avx512-amx", "avx512-bf16", "avx512", "avx2", "neon", "scalar" */
    bool avx2, avx512, avx512_bf16, amx, neon;
    int32_t threads; /**< the context's */
    const char *blas; /**< eck_blas_description() */
    double gemm_f64, gemm_f32; /**< 10^9 operations a second of products of [1024,1024] matrices */
    double bandwidth; /**< 10^9 bytes a second of a = b + s c */
    /** Worst error of an element of 60 products of odd sizes, over the bound of a sum of that length; at most 1 if the BLAS
     *  computes rightly. */
    double check_f64, check_f32;
} eck_machine;

/**
 * Measures for about a second.
 * Errors   ECK_E_NOMEM; ECK_E_CANCELLED
 * Source   the bound: Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., 3.5
 */
ECK_API eck_status eck_machine_measure(eck_machine *out, const eck_context *context,
                                       eck_error *err);

#ifdef __cplusplus
}
#endif
#endif
