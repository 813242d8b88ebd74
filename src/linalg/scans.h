/**
 * The scan of a matrix, block by block: largest absolute value, squares, numbers that are not finite. Always true: blocks
 * and their order depend on the shape of the matrix alone, and no bit of a sum on the processor.
 */
#ifndef ECKI_SCANS_H
#define ECKI_SCANS_H

#include <stdint.h>

#include "eckart/operator.h"

/** Of one block: sum holds the squares of its numbers times 2^(-2 exponent), 0 if one of them is not finite. */
typedef struct ecki_block_scan {
    double max, sum; /**< max: of the finite ones */
    int exponent;
    int64_t first_nonfinite, nonfinite; /**< index in A, or -1; how many */
} ecki_block_scan;

/** The scan of a contiguous block, whose first number is number `origin` of A and whose rows lie `stride` apart there. */
ecki_block_scan ecki_scan_block(const double *x, eck_panel shape, int64_t origin, int64_t stride);

/** All blocks in their order: the scan, and its squared norm once more as *sum_out 2^(2 *exponent_out), which may be
 * beyond the range. */
eck_scan ecki_scans_add(double *sum_out, int *exponent_out, const ecki_block_scan *scans,
                        int64_t count);

#endif
