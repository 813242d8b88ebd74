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

/** The same archive, its numbers coming in pieces. */
typedef struct ecki_npz_writer ecki_npz_writer;

/** Lays the archive out and reserves its space. out: ecki_npz_writer_free(); output: borrowed until then; arrays: only
 * type and shape are looked at. */
eck_status ecki_npz_writer_create(ecki_npz_writer **out, ecki_output *output,
                                  const eck_named_array *arrays, int64_t count, eck_error *err);

/** Bytes of array `index` from `offset` on. */
eck_status ecki_npz_writer_write(ecki_npz_writer *writer, int64_t index, int64_t offset,
                                 const void *bytes, int64_t count, eck_error *err);

/** Reads the numbers again for their checksums, then writes headers and directory. */
eck_status ecki_npz_writer_finish(ecki_npz_writer *writer, eck_error *err);
void ecki_npz_writer_free(ecki_npz_writer *writer);

#endif
