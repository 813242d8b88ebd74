/**
 * One-sided Jacobi on many matrices at once, one a lane of a vector. A batch has one plan; blocks of at most `width`
 * matrices are solved by a kernel, in any order and on any thread. What a matrix gives depends on its numbers alone: not on
 * its neighbours in the block, nor on the build of the kernel.
 */
#ifndef ECKI_JACOBI_H
#define ECKI_JACOBI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/cpu.h"
#include "eckart/array.h"

enum {
    ECKI_JACOBI_ORDER = 32,
    ECKI_JACOBI_TOGETHER = 4,
    ECKI_JACOBI_PAIRS = ECKI_JACOBI_ORDER * (ECKI_JACOBI_ORDER - 1) / 2
};

/** What all blocks of a batch share. Made by ecki_jacobi_plan_of(). */
typedef struct ecki_jacobi_plan {
    int64_t rows, cols, kept; /**< of every matrix; terms handed out */
    int64_t m, n; /**< the longer and the shorter of rows and cols */
    bool flipped; /**< rows < cols: the transpose is worked on */
    bool vectors; /**< false: values only */
    bool by_qr; /**< triangular factor first */
    int groups; /**< vectors a number takes up: so many times LANES matrices make a block */
    int64_t pairs; /**< columns that are made orthogonal, in this order */
    uint8_t first[ECKI_JACOBI_PAIRS], second[ECKI_JACOBI_PAIRS];
    uint8_t together[ECKI_JACOBI_PAIRS]; /**< so many pairs from here on share no column */
} ecki_jacobi_plan;

/** Some matrices and where their factors go, all of the kernel's real. */
typedef struct ecki_jacobi_block {
    int64_t count; /**< 1 .. width */
    const void *a; /**< [count,rows,cols] */
    void *u; /**< [count,rows,kept], or NULL */
    void *s; /**< [count,kept] */
    void *vt; /**< [count,kept,cols], or NULL */
    void *work; /**< ecki_jacobi_work() bytes, on a cache line */
    bool finite; /**< out: false if a matrix holds NaN or infinity; nothing else is written then */
    int64_t unconverged; /**< out: matrices that were still rotated in the last sweep allowed */
} ecki_jacobi_block;

/** One build for one type. */
typedef struct ecki_jacobi_kernel {
    const char *name; /**< "avx512", "avx2", "portable"; static */
    int lanes;
    void (*solve)(const ecki_jacobi_plan *plan, ecki_jacobi_block *block);
} ecki_jacobi_kernel;

/** True if matrices of this shape fit the lanes. */
bool ecki_jacobi_fits(int64_t rows, int64_t cols);

/** kept <= min(rows,cols); the shape fits. */
void ecki_jacobi_plan_of(ecki_jacobi_plan *out, int64_t rows, int64_t cols, int64_t kept,
                         bool vectors);

/** The best build for a processor; dtype F32 or F64. */
ecki_jacobi_kernel ecki_jacobi_kernel_of(eck_dtype dtype, const ecki_cpu *cpu);

/** Matrices of a block. */
int64_t ecki_jacobi_width(const ecki_jacobi_plan *plan, const ecki_jacobi_kernel *kernel);

/** Numbers of workspace a matrix of a block takes. */
int64_t ecki_jacobi_work(const ecki_jacobi_plan *plan);

/** The builds; those of other architectures are not there. */
void ecki_jacobi_f32_avx512(const ecki_jacobi_plan *plan, ecki_jacobi_block *block);
void ecki_jacobi_f64_avx512(const ecki_jacobi_plan *plan, ecki_jacobi_block *block);
void ecki_jacobi_f32_avx2(const ecki_jacobi_plan *plan, ecki_jacobi_block *block);
void ecki_jacobi_f64_avx2(const ecki_jacobi_plan *plan, ecki_jacobi_block *block);
void ecki_jacobi_f32_portable(const ecki_jacobi_plan *plan, ecki_jacobi_block *block);
void ecki_jacobi_f64_portable(const ecki_jacobi_plan *plan, ecki_jacobi_block *block);

#endif
