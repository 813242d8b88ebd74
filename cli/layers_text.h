/** How layers look in tables. */
#ifndef ECKART_CLI_LAYERS_TEXT_H
#define ECKART_CLI_LAYERS_TEXT_H

#include "eckart/model.h"
#include "figures.h"
#include "session.h"

/** "384x1536", "64x3x7x7". */
figure layer_shape(const eck_stage *dense);

/** "linear", "conv", "embedding"; static. */
const char *layer_kind(const eck_stage *dense);

/** Numbers of a layer: "147 k", or all digits with --verbose. */
figure layer_count(const session *run, int64_t count);

/** Bytes: "90.9 MB", or all digits with --verbose. */
figure layer_bytes(const session *run, int64_t bytes);

/** Columns a table may take; 0, no limit, with --verbose. */
int layer_width(const session *run);

#endif
