/**
 * The kernel of sparse products: one compressed line times the rows of a panel that its entries point at.
 */
#ifndef ECKI_KERNEL_GATHER_H
#define ECKI_KERNEL_GATHER_H

#include "base/cpu.h"
#include "eckart/array.h"
#include "tensor/compressed.h"

/** One line of a sparse matrix; scale is a power of two and joins the values before they are rounded to the panel's type. */
typedef struct ecki_gather_line {
    const ecki_lines *a;
    int64_t line;
    double scale;
} ecki_gather_line;

/** out[0 .. x.cols) = sum over the entries e, in order, of scale value_e x[index_e, :]; out is of the type of x. */
typedef void (*ecki_gather)(const ecki_gather_line *line, eck_panel x, void *out);

/** The builds for F32 and F64 panels. */
typedef struct ecki_gathers {
    ecki_gather f32, f64;
} ecki_gathers;

/** The best a processor can run; all features false: the scalar twins, which run everywhere. */
ecki_gathers ecki_gather_choose(const ecki_cpu *cpu);

#endif
