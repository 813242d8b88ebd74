/** A sum of thin products from inside, for the factored*.c files and for adapters that store what they cut. */
#ifndef ECKI_FACTORED_PARTS_H
#define ECKI_FACTORED_PARTS_H

#include "base/error.h"
#include "eckart/factored.h"

/**
 * dW = unit * last first, where last stands for the weighted last factors side by side and first for the first ones one
 * above the other, each times a power of two, so that no square leaves the range. Neither is ever held widened: what
 * needs them goes through panels.
 *
 * By QR: last = Ql Rl, first^T = Qr Rr, and Rl Rr^T = core_u diag(s) core_v^T. A side that is not
 * taller than wide has no Q: its R is the factor itself.
 * By Grams: first first^T = L L^T, G = last^T last, L^T G L = V diag(s^2) V^T, left_mix = L V, right_mix = G L V.
 */
struct eck_factored {
    eck_factored_info info;
    double unit;
    double scale[2]; /**< by eck_side: of last, of first */
    eck_term *terms; /**< their views look into `owned`, or what the caller lent */
    int64_t count;
    eck_array **owned; /**< [2 count]; NULL: borrowed */
    double *values, *tails;
    double *ql, *qr; /**< [rows,nl], [cols,nr]; NULL: the identity */
    int64_t nl, nr;
    double *core_u, *core_v; /**< [nl,count], [nr,count] */
    double *left_mix, *right_mix; /**< [width,known] */
    int64_t known; /**< leading terms whose vectors are known */
};

/** As eck_factored_create(), but borrows what the terms look at until eck_factored_free(); for rank > 0 info may know
 * of that many values alone, and of all others what they sum to. */
eck_status ecki_factored_borrow(eck_factored **out, const eck_term *terms, int64_t count,
                                int64_t rank, eck_error *err);

/* ---- factored_panels.c --------------------------------------------------------------------- */

/** Checks the terms and takes them, copies of them if `copy`; sizes of info, unit and scales are set. */
eck_status ecki_factored_take(eck_factored *f, const eck_term *terms, int64_t count, bool copy,
                              eck_error *err);

/** What one pass over a side needs and finds. */
typedef struct ecki_panels {
    const eck_factored *f;
    eck_side side;
    int64_t length; /**< of the side: rows or cols */
    int64_t height; /**< lines of a panel */
    double *room; /**< [height, width], or for the right side [width, height] */
    double *chunk; /**< [height, widest term] */
    double largest; /**< |number| so far; infinite: something was not finite */
} ecki_panels;

eck_status ecki_panels_init(ecki_panels *out, const eck_factored *f, eck_side side, eck_error *err);
void ecki_panels_clear(ecki_panels *panels);

/** Lines at .. at + count - 1 into out: [count,width] of last, or [width,count] of first. */
void ecki_panels_read(ecki_panels *panels, double *out, int64_t at, int64_t count);

/** After a whole pass: fails if a number was not finite; *far_out: numbers were far from 1, and the scale of the side is
 * another from now on. */
eck_status ecki_panels_judge(const ecki_panels *panels, eck_factored *f, bool *far_out,
                             eck_error *err);

/* ---- factored_grams.c, factored_qr.c ------------------------------------------------------- */

/** By Grams, if the leading `rank` terms come out right; *served tells. Every value, or the leading ones alone. */
eck_status ecki_factored_grams(bool *served, eck_factored *f, int64_t rank, bool all,
                               eck_error *err);

/** By QR. */
eck_status ecki_factored_reduce(eck_factored *f, eck_error *err);

/** info.values, tails and norm from `count` values of last first, descending; rest2: sum of the squares of all others. */
eck_status ecki_factored_describe(eck_factored *f, const double *values, int64_t count,
                                  double rest2, eck_error *err);

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
