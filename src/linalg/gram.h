/**
 * Gram matrices of panels that are packed as they are read: P^T P in F64, with no widened copy of the matrix and no
 * product of a BLAS. Kernels for several processors give the same bits, and so does any number of threads: every number
 * of a Gram is a chain of fused multiplications over ECKI_GRAM_DEPTH lines, and the chains are added in their order.
 */
#ifndef ECKI_GRAM_H
#define ECKI_GRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cpu.h"
#include "base/error.h"
#include "linalg/gemm.h"

/** Lines of a panel whose products are added before the sum meets the Gram: a strip of them fits the first cache. */
enum { ECKI_GRAM_DEPTH = 128 };

/** A strip holds `strip` columns of a panel, line by line; a tile is `rows` of the columns of one strip by all of another. */
typedef struct ecki_gram_kernels {
    const char *name;
    int64_t strip, rows;
    /** to[line * strip + j] = from[j * ld + line], for 8 lines and all columns of a strip. */
    void (*turn)(const double *from, int64_t ld, double *to);
    /** out[i * ld + j] += sum over `depth` lines of rows[line * strip + i] columns[line * strip + j]. */
    void (*tile)(const double *rows, const double *columns, int64_t depth, double *out, int64_t ld);
} ecki_gram_kernels;

extern const ecki_gram_kernels ecki_gram_portable;
#if defined(__x86_64__)
extern const ecki_gram_kernels ecki_gram_avx2, ecki_gram_avx512;
#endif

/** The kernels for a processor; NULL where a BLAS is faster than the portable ones. */
const ecki_gram_kernels *ecki_gram_kernels_of(const ecki_cpu *cpu);

/** A panel of `lines` lines of `order` numbers, as strips: [lines / DEPTH][strips][DEPTH][strip]. Without kernels one
 * strip has all columns, and its products go to the BLAS. */
typedef struct ecki_gram_panel {
    const ecki_gram_kernels *kernels;
    double *data;
    int64_t order, lines;
    int64_t strip, strips;
} ecki_gram_panel;

/** Room for a panel; `kernels` NULL: by BLAS. Fails with ECK_E_NOMEM. */
eck_status ecki_gram_panel_init(ecki_gram_panel *out, const ecki_gram_kernels *kernels,
                                int64_t order, int64_t lines, eck_error *err);
void ecki_gram_panel_clear(ecki_gram_panel *panel);

/** The kernels of this processor, or NULL. */
const ecki_gram_kernels *ecki_gram_kernels_here(void);

/** Numbers that a panel of this size holds, at most. */
double ecki_gram_panel_numbers(double order, double lines);

/** Columns that a task should pack together, at least `wish` where there are as many: whole strips of kernels. And the most
 * that this can be. */
int64_t ecki_gram_columns(const ecki_gram_panel *panel, int64_t wish);
double ecki_gram_columns_most(int64_t wish);

/** Puts a block, a line a row, at (line, col) of the panel; a block that is transposed is read by columns. Blocks of
 * different lines, or of whole strips, may be put at the same time. */
void ecki_gram_pack(ecki_gram_panel *panel, int64_t line, int64_t col, ecki_matrix block);

/** The triangle i >= j of out += P^T P, or of out = P^T P where `fresh`, of the first `lines` lines; the other triangle
 * stays. On `threads` threads. */
eck_status ecki_gram_add(bool fresh, eck_panel out, const ecki_gram_panel *panel, int64_t lines,
                         int32_t threads, eck_error *err);

#endif
