/** One eck_svd_batch_compute() on its way: what its tasks share. */
#ifndef ECKI_BATCH_JOB_H
#define ECKI_BATCH_JOB_H

#include "eckart/batch.h"

typedef struct ecki_batch_job {
    eck_view a;
    const eck_context *context;
    int64_t count, rows, cols, kept;
    eck_dtype real; /**< F32 or F64 */
    bool vectors, errors;
    bool contiguous; /**< the numbers of all matrices follow each other */
    eck_svd_batch *out; /**< its arrays are there */
} ecki_batch_job;

/** Matrix `index` as a view of its own. */
eck_view ecki_batch_matrix(const ecki_batch_job *job, int64_t index);

/** Matrices first .. first+count-1, widened to the real of the job, one after the other. */
void ecki_batch_read(void *out, const ecki_batch_job *job, int64_t first, int64_t count);

/** Where matrix `index` lies in a result of `size` numbers a matrix; NULL if the result is not wanted. */
void *ecki_batch_place(const ecki_batch_job *job, const eck_array *array, int64_t index,
                       int64_t size);

/** Fails with the first number of matrix `index` that is not finite; a: the matrix as F64. */
eck_status ecki_batch_refuse(const ecki_batch_job *job, const double *a, int64_t index,
                             eck_error *err);

/** || A - U diag(s) V^T ||_F / || A ||_F of matrix `index`, summed in F64. room: ecki_batch_error_room() numbers that begin
 *  with the matrix. */
double ecki_batch_error(double *room, const ecki_batch_job *job, int64_t index);
int64_t ecki_batch_error_room(const ecki_batch_job *job);

/** F64 numbers of a buffer of one task. */
int64_t ecki_batch_lanes_each(const ecki_batch_job *job);

/** All matrices, by lanes or one by one. */
eck_status ecki_batch_lanes(ecki_batch_job *job, int32_t threads, eck_error *err);
eck_status ecki_batch_exact(ecki_batch_job *job, int32_t threads, eck_error *err);

/** Bytes one thread of ecki_batch_exact() holds. */
int64_t ecki_batch_exact_memory(const ecki_batch_job *job);

#endif
