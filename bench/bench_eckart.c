/**
 * One timed call of eckart: bench_eckart INPUT.npy svd|values|deflated|krylov RANK [OUT.npz]. Prints one JSON line.
 *
 * The matrix is read into memory first, as the opponents do; seconds are those of the call,
 * certificate included.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eckart/eckart.h"
#include "npy_input.h"

static void check(eck_status status, const eck_error *err)
{
    if (status == ECK_OK) return;
    fprintf(stderr, "bench_eckart: %s\n", err->message);
    exit(1);
}

static void write_factors(const char *path, const eck_svd *svd)
{
    eck_error err = ECK_ERROR_INIT;
    const eck_named_array arrays[] = { { "U", svd->u }, { "S", svd->s }, { "V", svd->v } };
    const eck_named_array values[] = { { "S", svd->s } };
    if (svd->u && svd->v)
        check(eck_file_write_arrays(path, arrays, 3, true, &err), &err);
    else
        check(eck_file_write_arrays(path, values, 1, true, &err), &err);
}

int main(int argc, char **argv)
{
    if (argc < 4) bench_die("bench_eckart INPUT.npy svd|values|deflated|krylov RANK [OUT.npz]");
    eck_error err = ECK_ERROR_INIT;
    eck_operator *a = NULL;
    eck_svd *svd = NULL;
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    int64_t rows, cols;
    float *const data = bench_npy_read(argv[1], &rows, &cols);
    options.rank = atol(argv[3]);
    if (strcmp(argv[2], "values") == 0) {
        options.want = ECK_WANT_VALUES;
        options.rank = 0;
    }
    if (strcmp(argv[2], "krylov") == 0) options.engine = ECK_ENGINE_KRYLOV;
    if (strcmp(argv[2], "deflated") == 0) options.engine = ECK_ENGINE_DEFLATED;
    const double start = bench_seconds();
    check(eck_operator_dense(&a, eck_view_matrix(data, ECK_DTYPE_F32, rows, cols), &err), &err);
    check(eck_svd_compute(&svd, a, &options, NULL, &err), &err);
    const double seconds = bench_seconds() - start;
    printf("{\"seconds\": %.6f, \"blas\": \"%s\", \"solver\": \"%s\", \"error\": %.9g, "
           "\"error_high\": %.9g}\n",
           seconds, eck_blas_description(), svd->solver, svd->certificate.error,
           svd->certificate.error_high);
    if (argc > 4) write_factors(argv[4], svd);
    eck_svd_free(svd);
    eck_operator_free(a);
    free(data);
    return 0;
}
