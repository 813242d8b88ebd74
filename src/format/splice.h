/**
 * A file as another with some spans replaced: everything else byte for byte, and the lengths of the messages on the way
 * to a change written anew. What replaces a span is known bytes and holes, runs of a known size that are filled later
 * and by others (the numbers of tensors), so that an output is laid out before any number of it is computed.
 */
#ifndef ECKI_SPLICE_H
#define ECKI_SPLICE_H

#include "base/error.h"
#include "format/onnx.h"

typedef struct ecki_splice ecki_splice;

/** file, frames: borrowed until it is freed. */
eck_status ecki_splice_create(ecki_splice **out, const ecki_file *file, const ecki_frame *frames,
                              int32_t frame_count, eck_error *err);
void ecki_splice_free(ecki_splice *splice);

/** Replaces a span, which lies in a message of frame `frame` and in no other replaced span, by nothing; what is added
 * next goes there. An empty span inserts. Several at one place keep their order. */
eck_status ecki_splice_cut(ecki_splice *splice, int32_t frame, ecki_span span, eck_error *err);

/** Bytes (copied) at the end of what the last cut is replaced by. */
eck_status ecki_splice_add(ecki_splice *splice, const void *bytes, int64_t count, eck_error *err);

/** A hole of `count` bytes in the same place. Holes are numbered from 0 in the order they are added. */
eck_status ecki_splice_hole(ecki_splice *splice, int64_t count, eck_error *err);

/** Computes where everything goes; nothing can be added any more. ECK_E_FORMAT: spans that overlap. */
eck_status ecki_splice_lay_out(int64_t *size_out, ecki_splice *splice, eck_error *err);

/** After it: byte of the output where a hole begins. */
int64_t ecki_splice_place(const ecki_splice *splice, int64_t hole);

/** Takes the output's bytes but those of holes, in order, in pieces of at most a megabyte. */
typedef eck_status (*ecki_splice_sink)(void *self, int64_t offset, const void *bytes, int64_t count,
                                       eck_error *err);
eck_status ecki_splice_emit(const ecki_splice *splice, ecki_splice_sink sink, void *self,
                            eck_error *err);

#endif
