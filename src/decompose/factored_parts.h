/** A sum of thin products from inside, for the factored*.c files and for adapters that store what they cut. */
#ifndef ECKI_FACTORED_PARTS_H
#define ECKI_FACTORED_PARTS_H

#include "base/error.h"
#include "eckart/factored.h"

/**
 * dW = unit * last first, both scaled by powers of two so that no square leaves the range.
 *
 * By QR: last = Ql Rl, first^T = Qr Rr, and Rl Rr^T = core_u diag(s) core_v^T. A side that is not
 * taller than wide has no Q: its R is the factor itself.
 * By Grams: first first^T = L L^T, product = last^T last L, and L^T product = vectors diag(s^2)
 * vectors^T.
 */
struct eck_factored {
    eck_factored_info info;
    double unit;
    double *last, *first; /**< [rows,width], [width,cols] */
    double *values, *tails;
    double *ql, *qr; /**< [rows,nl], [cols,nr]; NULL: the identity */
    int64_t nl, nr;
    double *core_u, *core_v; /**< [nl,count], [nr,count] */
    double *root, *product; /**< [width,width] */
    double *vectors; /**< [width,known] */
    int64_t known; /**< leading terms whose vectors are known */
};

/** By Grams, if the leading `rank` terms come out right; *served tells. */
eck_status ecki_factored_grams(bool *served, eck_factored *f, int64_t rank, eck_error *err);

/** By QR. */
eck_status ecki_factored_reduce(eck_factored *f, eck_error *err);

/** info.values, tails and norm from `count` values of last first, descending. */
eck_status ecki_factored_describe(eck_factored *f, const double *values, int64_t count,
                                  eck_error *err);

/** U_k [rows,k] orthonormal, and V_k^T [k,cols] with rows times s where `carried` says so. */
eck_status ecki_factored_left(double *out, const eck_factored *f, int64_t k, eck_error *err);
eck_status ecki_factored_right(double *out, bool *carried, const eck_factored *f, int64_t k,
                               eck_error *err);

/** As eck_factored_truncate(); distance (or NULL): || sum - stored product ||, at most, from the tail and
 * what rounding to the stored type has moved. */
eck_status ecki_factored_store(eck_array **first_out, eck_array **last_out, double *distance,
                               const eck_factored *f, const eck_truncation *truncation,
                               eck_error *err);

#endif
