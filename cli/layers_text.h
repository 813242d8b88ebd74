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

/** Multiply-adds: "1.2 M", or "-" where they are not known. */
figure layer_macs(const session *run, int64_t macs);

/** True if those of any layer are known: a table has a column for them then. */
bool layers_have_macs(const eck_model *model);

/** Says once, to whoever asked nothing of the kind, why multiply-adds of a graph's layers are not known. */
void layers_tell_unknown(session *run, const eck_model *model);

/** Columns a table may take; 0, no limit, with --verbose. */
int layer_width(const session *run);

#endif
