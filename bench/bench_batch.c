/**
 * Batches of small matrices by eckart: bench_batch INPUT.npy COUNT. The input is [COUNT m,n]. Seconds are the median of five
 * calls, results made anew each time. Prints one JSON line.
 */
#include <stdio.h>
#include <stdlib.h>

#include "batch_check.h"
#include "eckart/eckart.h"
#include "npy_input.h"

enum { CALLS = 5 };

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    if (argc < 3 || atol(argv[2]) < 1) bench_die("bench_batch INPUT.npy COUNT");
    eck_error err = ECK_ERROR_INIT;
    int64_t rows, n;
    float *const a = bench_npy_read(argv[1], &rows, &n);
    const int64_t count = atol(argv[2]), m = rows / count, shape[3] = { count, m, n };
    double seconds[CALLS], residual = 0, orthogonality = 0;
    const char *kernel = "";
    for (int i = 0; i < CALLS; i++) {
        eck_svd_batch *batch = NULL;
        const double start = bench_seconds();
        if (eck_svd_batch_compute(&batch, eck_view_of(a, ECK_DTYPE_F32, 3, shape), NULL, NULL,
                                  &err) != ECK_OK)
            bench_die(err.message);
        seconds[i] = bench_seconds() - start;
        const bench_factors first = {
            m, n, batch->rank, a, batch->u->data, batch->s->data, batch->vt->data
        };
        if (i == 0) bench_batch_check(&residual, &orthogonality, count, &first);
        kernel = batch->kernel;
        eck_svd_batch_free(batch);
    }
    qsort(seconds, CALLS, sizeof *seconds, by_size);
    printf("{\"seconds\": %.9f, \"blas\": \"%s\", \"kernel\": \"%s\", \"residual\": %.3f, "
           "\"orthogonality\": %.3f}\n",
           seconds[CALLS / 2], eck_blas_description(), kernel, residual, orthogonality);
    free(a);
    return 0;
}
