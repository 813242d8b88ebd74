/**
 * Test matrices, the same on every run and machine, and what every law needs to compare: made in F64, to be rounded once.
 */
#ifndef MATRICES_H
#define MATRICES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eckart/eckart.h"

/** Standard normal number i of a stream. */
double normal_number(uint64_t stream, uint64_t i);
/** Uniform in (0,1), number i of a stream. */
double uniform_number(uint64_t stream, uint64_t i);

/** Fills a row-major [m,n]; stream chooses the random numbers. */
typedef void (*matrix_fill)(double *a, int64_t m, int64_t n, uint64_t stream);

typedef struct matrix_class {
    const char *name;
    matrix_fill fill;
    bool square; /**< only for m = n */
    bool
        generic; /**< factors look like random numbers, so that their rounding errors average out */
} matrix_class;

/** Ended by a name of NULL. */
extern const matrix_class MATRIX_CLASSES[];

/** A matrix in storage, with its numbers as that storage holds them and an operator on it. */
typedef struct subject {
    int64_t m, n;
    eck_array *array;
    double *wide; /**< [m,n] */
    eck_operator *op;
} subject;

/** Rounds m n numbers to storage; false when that overflows to infinity (the subject is then empty). */
bool subject_of(subject *out, const double *a, int64_t m, int64_t n, eck_dtype storage);
subject subject_of_class(const matrix_class *c, int64_t m, int64_t n, eck_dtype storage,
                         uint64_t stream);
void subject_clear(subject *s);

/** eck_svd_compute() that must succeed. */
eck_svd *svd_of(const eck_operator *a, const eck_svd_options *options);

/** Any array as F64 numbers; free with test_free(). */
double *wide_of(const eck_array *array);

/** || A - u diag(s) v^T ||_F over the first k columns, summed in F64; s NULL: ones. */
double residual_norm(const subject *a, const eck_array *u, const double *s, const eck_array *v,
                     int64_t k);

/** max | X^T X - I |. */
double loss_of_orthogonality(const eck_array *x);

double norm_of(const double *x, int64_t count);

/** Fails unless measured <= allowed. The worst ratio seen under a name is printed by report_worst(). */
void hold(const char *what, const char *where, double measured, double allowed);
void report_worst(void);

void must(eck_status status, const eck_error *err);

#endif
