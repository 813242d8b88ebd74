/** One problem in both forms: dense, and as a list of all its entries. They must agree. */
#ifndef ALS_MADE_H
#define ALS_MADE_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "decompose/als_parts.h"

enum { ROWS = 70, COLS = 45, RANK = 5 };

/** Random A, mask of ones, factors. */
typedef struct made {
    double a[ROWS * COLS];
    unsigned char ones[ROWS * COLS];
    double u[ROWS * RANK], v[COLS * RANK], x[ROWS * RANK], y[ROWS * RANK];
    eck_operator *matrix, *mask;
    ecki_als_problem dense, listed;
    eck_error err;
} made;

static inline void made_open(made *m, double ridge, int32_t threads)
{
    memset(m, 0, sizeof *m);
    ecki_random_fill_normal(m->a, ROWS * COLS, 5, 1, 0);
    ecki_random_fill_normal(m->u, ROWS * RANK, 5, 2, 0);
    ecki_random_fill_normal(m->v, COLS * RANK, 5, 3, 0);
    memset(m->ones, 1, sizeof m->ones);
    assert_int_equal(
        eck_operator_dense(&m->matrix, eck_view_matrix(m->a, ECK_DTYPE_F64, ROWS, COLS), &m->err),
        ECK_OK);
    assert_int_equal(
        eck_operator_dense(&m->mask, eck_view_matrix(m->ones, ECK_DTYPE_U8, ROWS, COLS), &m->err),
        ECK_OK);
    m->dense = (ecki_als_problem){
        .a = m->matrix, .threads = threads, .rows = ROWS, .cols = COLS, .rank = RANK, .dense = true
    };
    m->listed = m->dense;
    m->listed.dense = false;
    m->listed.mask = m->mask;
    assert_int_equal(ecki_als_dense_open(&m->dense, &m->err), ECK_OK);
    assert_int_equal(ecki_als_entries_open(&m->listed, &m->err), ECK_OK);
    m->dense.ridge = m->listed.ridge = ridge;
}

static inline void made_clear(made *m)
{
    ecki_als_problem_clear(&m->dense);
    ecki_als_problem_clear(&m->listed);
    eck_operator_free(m->matrix);
    eck_operator_free(m->mask);
}

static inline void at_most(const char *what, double measured, double allowed)
{
    printf("%s: %.3g, allowed %.3g\n", what, measured, allowed);
    assert_true(measured <= allowed);
}

static inline double largest_difference(const double *a, const double *b, int64_t count)
{
    double worst = 0.0;
    for (int64_t i = 0; i < count; i++)
        worst = fmax(worst, fabs(a[i] - b[i]));
    return worst;
}

/** Objective of the scaled problem by its definition. */
static inline double objective_of(const made *m, const double *u, const double *v)
{
    double sum = 0.0;
    for (int64_t i = 0; i < ROWS; i++)
        for (int64_t j = 0; j < COLS; j++) {
            double off = m->a[i * COLS + j] * m->dense.scale;
            for (int64_t l = 0; l < RANK; l++)
                off -= u[i * RANK + l] * v[j * RANK + l];
            sum += off * off;
        }
    for (int64_t i = 0; i < ROWS * RANK; i++)
        sum += m->dense.ridge * u[i] * u[i];
    for (int64_t i = 0; i < COLS * RANK; i++)
        sum += m->dense.ridge * v[i] * v[i];
    return sum;
}

#endif
