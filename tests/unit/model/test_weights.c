/** Operators over files read what lies there: any block, either way round, either byte order. */
#include "scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** Every block of a rows x cols operator equals element(i,j), read as F64 and F32. */
static void expect_blocks(const eck_operator *a, int64_t rows, int64_t cols,
                          double (*element)(int64_t, int64_t))
{
    const int64_t starts[] = { 0, 1, 7 }, sizes[] = { 1, 5, 1000 };
    double *wide = malloc((size_t)(rows * cols) * sizeof *wide);
    assert_int_equal(eck_operator_get_info(a)->rows, rows);
    assert_int_equal(eck_operator_get_info(a)->cols, cols);
    for (int n = 0; n < 81; n++) {
        const int64_t row = starts[n % 3], col = starts[n / 3 % 3];
        const int64_t height = sizes[n / 9 % 3] < rows - row ? sizes[n / 9 % 3] : rows - row;
        const int64_t width = sizes[n / 27] < cols - col ? sizes[n / 27] : cols - col;
        const eck_panel out = { wide, ECK_DTYPE_F64, height, width, width };
        OK(eck_operator_read(a, row, col, out, err_));
        for (int64_t i = 0; i < height; i++)
            for (int64_t j = 0; j < width; j++)
                assert_true(wide[i * width + j] == element(row + i, col + j));
        float *narrow = (float *)(void *)wide;
        const eck_panel small = { narrow, ECK_DTYPE_F32, height, width, width };
        OK(eck_operator_read(a, row, col, small, err_));
        for (int64_t i = 0; i < height * width; i++)
            assert_true(narrow[i] == (float)element(row + i / width, col + i % width));
    }
    free(wide);
}

static double straight(int64_t i, int64_t j)
{
    return (double)(100 * i + j);
}

static double turned(int64_t i, int64_t j)
{
    return straight(j, i);
}

/** A .npy of 12 x 9 numbers 100 i + j; big-endian and column-major as asked. */
static void write_npy(const char *path, bool big, bool fortran)
{
    char header[118];
    FILE *file = fopen(path, "wb");
    snprintf(header, sizeof header, "{'descr': '%cf8', 'fortran_order': %s, 'shape': (12, 9), }",
             big ? '>' : '<', fortran ? "True" : "False");
    memset(header + strlen(header), ' ', 117 - strlen(header));
    header[117] = '\n';
    fwrite("\x93NUMPY\x01\x00\x76\x00", 1, 10, file);
    fwrite(header, 1, 118, file);
    for (int64_t n = 0; n < 108; n++) {
        const double value = fortran ? straight(n % 12, n / 12) : straight(n / 9, n % 9);
        unsigned char bytes[8], swapped[8];
        memcpy(bytes, &value, 8);
        for (int k = 0; k < 8; k++)
            swapped[k] = bytes[7 - k];
        fwrite(big ? swapped : bytes, 1, 8, file);
    }
    fclose(file);
}

static void numpy_orders(void **state)
{
    (void)state;
    char *folder = fixture_folder(), *path = fixture_path(folder, "a.npy");
    for (int n = 0; n < 4; n++) {
        eck_operator *a = NULL;
        write_npy(path, n & 1, n & 2);
        eck_model *model = scene_open(path);
        OK(eck_model_tensor_operator(&a, model, 0, err_));
        expect_blocks(a, 12, 9, straight);
        eck_operator_free(a);
        eck_model_close(model);
    }
    free(path);
    fixture_remove(folder);
}

/** 64 x 192 numbers 100 i + j under the name GPT-2 gives its Conv1D: the layer is the transpose. */
static void conv1d_is_turned(void **state)
{
    (void)state;
    char *folder = fixture_folder(), *path = fixture_path(folder, "m.safetensors");
    const char *header =
        "{\"h.c_attn.weight\":{\"dtype\":\"F32\",\"shape\":[64,192],\"data_offsets\":[0,49152]}}";
    const uint64_t length = strlen(header);
    eck_operator *a = NULL;
    FILE *file = fopen(path, "wb");
    fwrite(&length, 8, 1, file);
    fwrite(header, 1, length, file);
    for (int64_t n = 0; n < 64 * 192; n++) {
        const float value = (float)straight(n / 192, n % 192);
        fwrite(&value, 4, 1, file);
    }
    fclose(file);
    eck_model *model = scene_open(path);
    OK(eck_model_tensor_operator(&a, model, 0, err_));
    expect_blocks(a, 64, 192, straight);
    eck_operator_free(a);
    OK(eck_model_layer_operator(&a, model, 0, err_));
    expect_blocks(a, 192, 64, turned);
    eck_operator_free(a);
    eck_model_close(model);
    free(path);
    fixture_remove(folder);
}

static void kernels_and_vectors_are_matrices(void **state)
{
    (void)state;
    scene s = scene_make(false);
    eck_operator *a = NULL;
    eck_model *model = scene_open(s.in);
    for (int64_t i = 0; i < eck_model_tensor_count(model); i++) {
        const eck_tensor *t = eck_model_tensor(model, i);
        OK(eck_model_tensor_operator(&a, model, i, err_));
        const eck_operator_info *info = eck_operator_get_info(a);
        assert_int_equal(info->rows, t->ndim == 1 ? 1 : t->shape[0]);
        assert_int_equal(info->rows * info->cols * 4, t->bytes);
        eck_operator_free(a);
    }
    REFUSED(ECK_E_RANGE, "7", eck_model_tensor_operator(&a, model, 7, err_));
    REFUSED(ECK_E_RANGE, "4", eck_model_layer_operator(&a, model, 9, err_));
    eck_chain chain = { NULL, 0 };
    REFUSED(ECK_E_RANGE, "not factored", eck_model_layer_chain(&chain, model, 0, err_));
    eck_model_close(model);
    scene_remove(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numpy_orders),
        cmocka_unit_test(conv1d_is_turned),
        cmocka_unit_test(kernels_and_vectors_are_matrices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
