/** What `eckart svd` writes and prints of a result. */
#ifndef ECKART_CLI_SVD_OUTPUT_H
#define ECKART_CLI_SVD_OUTPUT_H

#include "eckart/als.h"
#include "eckart/svd.h"
#include "session.h"

/** Factors to .npz or .safetensors: U, S, Vt; or first, last; mean beside them when there is one.
 */
typedef struct svd_file {
    const char *path;
    bool replace, compact;
    const eck_array *mean; /**< or NULL */
} svd_file;

eck_status svd_write(session *run, const eck_svd *svd, const svd_file *file);
eck_status svd_write_als(session *run, const eck_als *als, const svd_file *file);
eck_status svd_write_eigen(session *run, const eck_eigen *eigen, const svd_file *file);
eck_status svd_write_subspaces(session *run, const eck_subspaces *bases, const svd_file *file);

/** k,sigma,error,energy for every k. */
eck_status svd_write_curve(session *run, const eck_svd *svd, const char *path, bool replace);

/** Warns of what was not reached and of rows and columns nothing is known about. */
void svd_note_als(session *run, const eck_als *als);

/** The tables for people. */
void svd_print(session *run, const eck_svd *svd, const eck_operator_info *info, bool factors);
void svd_print_als(session *run, const eck_als *als, const eck_operator_info *info);
void svd_print_eigen(session *run, const eck_eigen *eigen, const eck_operator_info *info);
void svd_print_subspaces(session *run, const eck_subspaces *bases, const eck_svd *svd);

#endif
