/**
 * Anything that can read a block of itself can be factored: here the matrix min(i,j)/n, which is
 * never formed. Its singular values are known, 1/(4 n sin^2((2i-1) pi / (4n+2))), and are printed
 * beside those found.
 */
#include <math.h>
#include <stdio.h>

#include <eckart/eckart.h>

enum { SIZE = 300, SHOWN = 5 };

static const double pi = 3.14159265358979323846;

static eck_status read_block(void *self, int64_t row, int64_t col, eck_panel out, eck_error *err)
{
    (void)self;
    (void)err;
    for (int64_t i = 0; i < out.rows; i++) {
        for (int64_t j = 0; j < out.cols; j++) {
            const int64_t least = row + i < col + j ? row + i : col + j;
            const double value = (double)(least + 1) / SIZE;
            if (out.dtype == ECK_DTYPE_F64)
                ((double *)out.data)[i * out.ld + j] = value;
            else
                ((float *)out.data)[i * out.ld + j] = (float)value;
        }
    }
    return ECK_OK;
}

int main(void)
{
    eck_error err = ECK_ERROR_INIT;
    eck_operator *matrix = NULL;
    eck_svd *svd = NULL;
    eck_operator_info info = ECK_OPERATOR_INFO_INIT;
    eck_operator_methods methods = { 0 };
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    info.rows = info.cols = SIZE;
    info.storage = ECK_DTYPE_F64;
    info.name = "min(i,j)/n";
    methods.version = 1;
    methods.read = read_block;
    options.want = ECK_WANT_VALUES;

    if (eck_operator_create(&matrix, &info, &methods, NULL, &err) != ECK_OK ||
        eck_svd_compute(&svd, matrix, &options, NULL, &err) != ECK_OK) {
        fprintf(stderr, "own_operator: %s\n", err.message);
        eck_operator_free(matrix);
        return 1;
    }
    double worst = 0;
    for (int i = 0; i < SHOWN; i++) {
        const double sine = sin((2 * i + 1) * pi / (4 * SIZE + 2));
        const double known = 1 / (4 * SIZE * sine * sine),
                     found = ((const double *)svd->s->data)[i];
        printf("s_%d = %.12f, known %.12f\n", i + 1, found, known);
        worst = fmax(worst, fabs(found - known));
    }
    // LAPACK promises p(n) eps s_1 with p a modest function of n; p = n is generous.
    const double allowed = SIZE * 2.3e-16 * ((const double *)svd->s->data)[0];
    printf("worst difference %.1e, allowed %.1e\n", worst, allowed);
    eck_svd_free(svd);
    eck_operator_free(matrix);
    return worst <= allowed ? 0 : 1;
}
