// Arrays that own their numbers, and the copies of views in another type that fill them.
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "tensor/codec.h"
#include "tensor/view.h"

// Checks a shape and counts its bytes.
static eck_status array_bytes(int64_t *bytes_out, eck_dtype dtype, int32_t ndim,
                              const int64_t *shape, eck_error *err)
{
    eck_status status = ECK_OK;
    int64_t count;
    const int32_t bits = eck_dtype_bits(dtype);

    ECK_REQUIRE(bits > 0 && bits % 8 == 0, ECK_E_RANGE, -1,
                "cannot make an array of type '%s' (%d)", eck_dtype_name(dtype), (int)dtype);
    ECK_REQUIRE(ndim >= 0 && ndim <= ECK_DIMS_MAX, ECK_E_SHAPE, -1,
                "cannot make an array of %d dimensions, at most %d", ndim, ECK_DIMS_MAX);
    for (int32_t i = 0; i < ndim; i++)
        ECK_REQUIRE(shape[i] >= 0, ECK_E_SHAPE, -1, "cannot make an array: dimension %d is %lld", i,
                    (long long)shape[i]);
    ECK_REQUIRE(ecki_shape_count(ndim, shape, &count) && ecki_dtype_bytes(dtype, count, bytes_out),
                ECK_E_SHAPE, -1, "cannot make an array: its shape has too many elements to count");
done:
    return status;
}

// eck_array_create(), zeroed or not.
static eck_status create(eck_array **out, bool zeroed, eck_dtype dtype, int32_t ndim,
                         const int64_t *shape, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_array *array = NULL;
    int64_t bytes;

    ECK_TRY(array_bytes(&bytes, dtype, ndim, shape, err));
    ECK_ALLOC(array, 1);
    array->dtype = dtype;
    array->ndim = ndim;
    if (ndim > 0) memcpy(array->shape, shape, (size_t)ndim * sizeof *shape);
    if (bytes > 0) {
        array->data = zeroed ? ecki_calloc(bytes, 1) : ecki_malloc(bytes, 1);
        if (!array->data) ECK_TRY(ecki_error_memory(err, bytes));
    }
    *out = array;
    array = NULL;
done:
    eck_array_free(array);
    return status;
}

eck_status eck_array_create(eck_array **out, eck_dtype dtype, int32_t ndim, const int64_t *shape,
                            eck_error *err)
{
    return create(out, true, dtype, ndim, shape, err);
}

eck_status ecki_array_create_raw(eck_array **out, eck_dtype dtype, int32_t ndim,
                                 const int64_t *shape, eck_error *err)
{
    return create(out, false, dtype, ndim, shape, err);
}

void eck_array_free(eck_array *array)
{
    if (!array) return;
    ecki_free(array->data);
    ecki_free(array);
}

int64_t eck_array_count(const eck_array *array)
{
    const eck_view view = eck_array_view(array);
    return eck_view_count(&view);
}

eck_view eck_array_view(const eck_array *array)
{
    return eck_view_of(array->data, array->dtype, array->ndim, array->shape);
}

// A 2-d view is walked in bands of so many columns, rows inside: the lines of memory that one row
// touches in a view with far-apart columns are still in the cache when the next row needs their
// next elements.
enum { BAND = 256 };

// Copies a 2-d view as it is, row-major.
static void copy_matrix(const eck_view *view, int64_t size, char *out)
{
    const int64_t rows = view->shape[0];
    const int64_t cols = view->shape[1];
    const char *const data = view->data;
    for (int64_t first = 0; first < cols; first += BAND) {
        const int64_t end = ecki_min(first + BAND, cols);
        for (int64_t i = 0; i < rows; i++) {
            const char *const row = data + i * view->stride[0] * size;
            for (int64_t j = first; j < end; j++)
                memcpy(out + (i * cols + j) * size, row + j * view->stride[1] * size, (size_t)size);
        }
    }
}

// Rounds a 2-d view to a 16-bit type, row-major. F32 rounded to odd on the way makes it one
// rounding.
static void round_matrix(const eck_view *view, eck_dtype dtype, char *out)
{
    const int64_t rows = view->shape[0];
    const int64_t cols = view->shape[1];
    const int64_t size = eck_dtype_bits(view->dtype) / 8;
    float wide[BAND];
    for (int64_t first = 0; first < cols; first += BAND) {
        const int64_t some = ecki_min(BAND, cols - first);
        for (int64_t i = 0; i < rows; i++) {
            const int64_t from = i * view->stride[0] + first * view->stride[1];
            ecki_widen_odd(view->dtype, (const char *)view->data + from * size, view->stride[1],
                           wide, some);
            ecki_round_f32(dtype, wide, out + (i * cols + first) * 2, some);
        }
    }
}

static void convert_matrix(const eck_view *view, eck_dtype dtype, char *out)
{
    if (view->dtype == dtype)
        copy_matrix(view, eck_dtype_bits(dtype) / 8, out);
    else if (dtype == ECK_DTYPE_F64 || dtype == ECK_DTYPE_F32)
        ecki_view_read(view, 0, 0, ecki_panel(out, dtype, view->shape[0], view->shape[1]));
    else
        round_matrix(view, dtype, out);
}

// True if the elements of a view lie one after the other.
static bool is_contiguous(const eck_view *view)
{
    int64_t step = 1;
    for (int32_t i = view->ndim - 1; i >= 0; i--) {
        if (view->shape[i] != 1 && view->stride[i] != step) return false;
        step *= view->shape[i];
    }
    return true;
}

// The last two dimensions of a view as a matrix, a vector as one row; a contiguous view as one row
// altogether.
static eck_view last_matrix(const eck_view *view, int64_t count)
{
    if (is_contiguous(view)) return eck_view_matrix(view->data, view->dtype, 1, count);
    eck_view matrix = eck_view_matrix(view->data, view->dtype, 1, view->shape[view->ndim - 1]);
    matrix.stride[1] = view->stride[view->ndim - 1];
    if (view->ndim > 1) {
        matrix.shape[0] = view->shape[view->ndim - 2];
        matrix.stride[0] = view->stride[view->ndim - 2];
    }
    return matrix;
}

// Converts matrix after matrix; the dimensions before them count like an odometer. `count` > 0
// elements.
static void convert_all(const eck_view *view, eck_dtype dtype, int64_t count, char *out)
{
    const int64_t in_size = eck_dtype_bits(view->dtype) / 8;
    const int64_t out_size = eck_dtype_bits(dtype) / 8;
    eck_view matrix = last_matrix(view, count);
    const int64_t each = matrix.shape[0] * matrix.shape[1];
    int64_t index[ECK_DIMS_MAX] = { 0 };
    for (int64_t done = 0; done < count; done += each) {
        int64_t at = 0;
        for (int32_t i = 0; i < view->ndim - 2; i++)
            at += index[i] * view->stride[i];
        matrix.data = (const char *)view->data + at * in_size;
        convert_matrix(&matrix, dtype, out + done * out_size);
        for (int32_t i = view->ndim - 3; i >= 0 && ++index[i] == view->shape[i]; i--)
            index[i] = 0;
    }
}

eck_status eck_array_convert(eck_array **out, eck_view view, eck_dtype dtype, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_array *array = NULL;
    const bool copies =
        dtype == view.dtype && eck_dtype_bits(dtype) % 8 == 0 && eck_dtype_bits(dtype) > 0;
    const bool converts = eck_dtype_is_readable(view.dtype) && eck_dtype_is_weight(dtype);

    ECK_REQUIRE(copies || converts, ECK_E_UNSUPPORTED, -1, "cannot convert type '%s' to type '%s'",
                eck_dtype_name(view.dtype), eck_dtype_name(dtype));
    ECK_TRY(create(&array, false, dtype, view.ndim, view.shape, err));
    if (array->data) convert_all(&view, dtype, eck_array_count(array), array->data);
    *out = array;
    array = NULL;
done:
    eck_array_free(array);
    return status;
}
