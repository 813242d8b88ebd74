/** Checkpoints of PyTorch in a zip archive; those without one have a reader of their own (format/torch_reader.c). */
#ifndef ECKI_TORCH_H
#define ECKI_TORCH_H

#include <stdbool.h>

#include "format/container.h"
#include "format/zip.h"

/** True for an archive with the pickle of a checkpoint in it. */
bool ecki_torch_has_pickle(const ecki_zip *zip);

/** Adds the tensors of such an archive, which is files[0]. */
eck_status ecki_torch_open_zip(ecki_container *container, const ecki_zip *zip, eck_error *err);

#endif
