/** A decomposition whose long factor goes straight to its file. */
#ifndef ECKART_CLI_SVD_STREAM_H
#define ECKART_CLI_SVD_STREAM_H

#include "eckart/svd.h"
#include "svd_output.h"

/** True if what --memory allows takes a stream: less than eck_svd_compute() might need, and a file to stream to. */
bool svd_must_stream(const session *run, const eck_operator_info *info,
                     const eck_svd_options *options, const svd_file *file);

/** Computes and writes; as svd_write(). out: eck_svd_free(); its long factor is NULL. */
eck_status svd_stream(eck_svd **out, session *run, const eck_operator *a,
                      const eck_svd_options *options, const svd_file *file);

#endif
