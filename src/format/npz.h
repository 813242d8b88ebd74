/**
 * Writing .npz: a zip of `<name>.npy` members, stored. The bytes depend on the arrays alone:
 * members in the order given, dated 1980-01-01 as NumPy dates them, zip64 fields only where a size
 * needs them.
 */
#ifndef ECKI_NPZ_H
#define ECKI_NPZ_H

#include "base/error.h"
#include "eckart/file.h"
#include "format/atomic.h"

/** Writes the whole archive into an empty output. */
eck_status ecki_npz_write(ecki_output *output, const eck_named_array *arrays, int64_t count,
                          eck_error *err);

#endif
