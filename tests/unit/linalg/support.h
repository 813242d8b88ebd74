/** What the tests of linalg share: matrices by number, references, comparisons that print both
 * sides. */
#ifndef SUPPORT_H
#define SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eckart/svd.h"
#include "linalg/op.h"

/** An owned [rows,cols] matrix with a view and an operator on it. */
typedef struct sample {
    int64_t rows, cols;
    double *wide; /**< the numbers, F64, row-major, as the storage holds them */
    eck_array *array;
    eck_operator *op;
} sample;

/** Normal numbers, column j times decay^j, rounded to `storage`. */
sample sample_create(int64_t rows, int64_t cols, eck_dtype storage, double decay, uint64_t seed);
/** The same numbers, given. */
sample sample_of(const double *numbers, int64_t rows, int64_t cols, eck_dtype storage);
void sample_free(sample *s);

/** Fails unless status is ECK_OK, with the message. */
void expect_ok(eck_status status, const eck_error *err);

/** Fails unless measured <= allowed; prints both. */
void expect_at_most(const char *what, double measured, double allowed);

/** || A - u diag(s) v^T ||_F / || A ||_F in long double; s NULL: ones. Arrays of any float type,
 * first k columns. */
double true_error(const sample *a, const eck_array *u, const double *s, const eck_array *v,
                  int64_t k);

/** max | X^T X - I | of the first k columns, in long double. */
double true_orthogonality(const eck_array *x, int64_t k);

/** An array of any type as F64 numbers, owned, to be given to test_free(). */
double *wide_copy(const eck_array *array);

#endif
