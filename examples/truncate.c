/**
 * The best rank-2 approximation of a matrix, and what is known about its error: the smallest
 * program that does something with eckart. Builds with: cc truncate.c $(pkg-config --cflags --libs
 * eckart)
 */
#include <stdio.h>

#include <eckart/eckart.h>

int main(void)
{
    // Row i, column j: 1/(i+j+1), the Hilbert matrix; its singular values fall fast.
    enum { ROWS = 6, COLS = 4 };
    double a[ROWS * COLS];
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < COLS; j++)
            a[i * COLS + j] = 1.0 / (i + j + 1);

    eck_error err = ECK_ERROR_INIT;
    eck_operator *matrix = NULL;
    eck_svd *svd = NULL;
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    options.rank = 2;
    if (eck_operator_dense(&matrix, eck_view_matrix(a, ECK_DTYPE_F64, ROWS, COLS), &err) !=
            ECK_OK ||
        eck_svd_compute(&svd, matrix, &options, NULL, &err) != ECK_OK) {
        fprintf(stderr, "truncate: %s\n", err.message);
        eck_operator_free(matrix);
        return 1;
    }

    const double *const s = svd->s->data;
    printf("eckart %s: rank %d of %d\n", eck_version(), (int)svd->rank, COLS);
    for (int i = 0; i < COLS; i++)
        printf("  s_%d = %.6f%s\n", i + 1, s[i], i < svd->rank ? "" : "  (dropped)");
    printf("relative error %.6f, between %.6f and %.6f\n", svd->certificate.error,
           svd->certificate.error_low, svd->certificate.error_high);
    eck_svd_free(svd);
    eck_operator_free(matrix);
    return 0;
}
