/**
 * What is proved about a result, from inside.
 */
#ifndef ECKI_CERTIFICATE_H
#define ECKI_CERTIFICATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "eckart/svd.h"
#include "linalg/op.h"

/** The difference scale_a A - scale_b B of two operators, as it is to be measured. */
typedef struct ecki_difference {
    const eck_operator *a, *b;
    double scale_a, scale_b; /**< powers of two */
    double failure; /**< of probes */
    uint64_t seed;
    bool
        narrow; /**< residual: F32 arithmetic will do where its rounding stays below 1e-3 of the result */
} ecki_difference;

/** Norms of a difference; all of the scaled matrices. */
typedef struct ecki_distance {
    double norm; /**< || scale_a A || */
    double residual; /**< best estimate of the norm of the difference */
    double low, high; /**< what it is between, rounding of this computation included */
    double
        floor; /**< 20 times the rounding: above it `high` is within 1.1 of the truth (RESIDUAL) */
} ecki_distance;

/** Every element of both, subtracted in F64; with `narrow` B may be a product computed in F32, and the bounds say so. */
eck_status ecki_distance_residual(ecki_distance *out, const ecki_difference *d,
                                  const eck_context *context, eck_error *err);

/** eck_certify() of a residual that may be `narrow`: a few times as fast for B a product of two stored factors. */
eck_status ecki_certify_narrow(eck_certificate *out, const eck_operator *a,
                               const eck_operator *approximation, const eck_context *context,
                               eck_error *err);

/** Gaussian probes; low and high hold together but with probability `failure`. `norm` is given. */
eck_status ecki_distance_probes(ecki_distance *out, const ecki_difference *d, double norm,
                                const eck_context *context, eck_error *err);

/** Probes for a probability of being wrong: so many that the claim stays within 1.7 of the truth. */
int64_t ecki_probe_count(double failure);

/** Relative errors of a distance, nothing known of the optimum. */
void ecki_certificate_fill(eck_certificate *out, const ecki_distance *distance);

#endif
