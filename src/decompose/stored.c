/**
 * The two ends of every tensor decomposition: what is asked of the tensor, and what is proven of the factors as they were
 * stored.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "decompose/multilinear_parts.h"
#include "linalg/gemm.h"
#include "linalg/op.h"
#include "tensor/codec.h"

static eck_status check_shape(const eck_view *tensor, eck_error *err)
{
    eck_status status = ECK_OK;
    int64_t total;

    ECK_REQUIRE(tensor->ndim >= 2 && tensor->ndim <= ECK_DIMS_MAX, ECK_E_SHAPE, -1,
                "a tensor of %d modes cannot be decomposed: 2 to %d are allowed", tensor->ndim,
                ECK_DIMS_MAX);
    for (int32_t n = 0; n < tensor->ndim; n++)
        ECK_REQUIRE(tensor->shape[n] >= 1, ECK_E_SHAPE, -1,
                    "mode %d of the tensor has size %lld, at least 1 is needed", n,
                    (long long)tensor->shape[n]);
    ECK_REQUIRE(ecki_shape_count(tensor->ndim, tensor->shape, &total) &&
                    total <= INT64_MAX / (int64_t)sizeof(double),
                ECK_E_SHAPE, -1, "the sizes of the tensor overflow");
    ECK_REQUIRE(eck_dtype_is_readable(tensor->dtype), ECK_E_UNSUPPORTED, -1,
                "type %s holds no numbers to factor", eck_dtype_name(tensor->dtype));
done:
    return status;
}

eck_status ecki_subject_init(ecki_subject *out, const eck_view *tensor, eck_dtype store,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_context alone = { 1, 1, 0, NULL, NULL };
    ecki_subject s = { .view = *tensor, .store = store };
    eck_operator *a = NULL;
    eck_scan scan;

    ECK_TRY(check_shape(tensor, err));
    ECK_TRY(eck_operator_unfolding(&a, *tensor, &(int32_t){ 0 }, 1, err));
    s.storage = eck_operator_get_info(a)->storage;
    if (store == ECK_DTYPE_NONE)
        s.store = s.storage == ECK_DTYPE_F64 ? ECK_DTYPE_F64 : ECK_DTYPE_F32;
    ECK_REQUIRE(eck_dtype_is_weight(s.store), ECK_E_RANGE, -1,
                "factors cannot be stored as %s: F64, F32, F16 or BF16", eck_dtype_name(s.store));
    ECK_TRY(eck_operator_scan(&scan, a, &alone, err));
    ECK_REQUIRE(scan.nonfinite == 0, ECK_E_NONFINITE, scan.first_nonfinite,
                "cannot decompose the tensor: element %lld is not finite, and %lld more",
                (long long)scan.first_nonfinite, (long long)scan.nonfinite - 1);
    // Squares of what lies between 1e-100 and 1e100 stay inside the range, and so do sums of them.
    s.scale = scan.max > 1e100 || scan.max < 1e-100 ? ecki_scale_of(scan.max) : 1.0;
    s.norm = sqrt(scan.norm2);
    if (s.scale != 1.0 && scan.max > 0.0)
        ECK_TRY(ecki_derive_norm(&s.norm, a, s.scale, &alone, err));
    *out = s;
done:
    eck_operator_free(a);
    return status;
}

eck_status ecki_subject_block(ecki_block *out, const ecki_subject *subject, const int32_t *order,
                              eck_error *err)
{
    const eck_status status = ecki_block_init(out, &subject->view, order, err);
    const int64_t count = status == ECK_OK ? ecki_block_count(out) : 0;

    for (int64_t i = 0; i < count && subject->scale != 1.0; i++)
        out->data[i] *= subject->scale;
    return status;
}

eck_status ecki_store(eck_array **out, const double *numbers, double factor, eck_dtype store,
                      int32_t ndim, const int64_t *shape, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_array *array = NULL;
    double *scaled = NULL;
    double most = 0.0, back;

    ECK_TRY(eck_array_create(&array, store, ndim, shape, err));
    const int64_t count = eck_array_count(array);
    ECK_ALLOC_RAW(scaled, count);
    for (int64_t i = 0; i < count; i++) {
        scaled[i] = numbers[i] * factor;
        most = fmax(most, fabs(scaled[i]));
    }
    ecki_round_f64(store, &most, array->data, 1);
    ecki_widen_f64(store, array->data, 1, &back, 1);
    ECK_REQUIRE(isfinite(back), ECK_E_RANGE, -1,
                "a factor does not fit %s: its largest value is %.3g", eck_dtype_name(store), most);
    ecki_round_f64(store, scaled, array->data, count);
    *out = array;
    array = NULL;
done:
    ecki_free(scaled);
    eck_array_free(array);
    return status;
}

eck_status ecki_widened(double **out, const eck_array *array, eck_error *err)
{
    eck_status status = ECK_OK;
    double *numbers = NULL;
    const int64_t count = eck_array_count(array);

    ECK_ALLOC_RAW(numbers, count);
    ecki_widen_f64(array->dtype, array->data, 1, numbers, count);
    *out = numbers;
done:
    return status;
}

eck_status ecki_subject_operator(eck_operator **out, double **held_out, const ecki_subject *subject,
                                 const int32_t *order, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_block block = { 0 };
    eck_view turned = subject->view;
    const ecki_made made = { subject->storage, 0.0 };

    *held_out = NULL;
    for (int32_t i = 0; i < turned.ndim && order; i++) {
        turned.shape[i] = subject->view.shape[order[i]];
        turned.stride[i] = subject->view.stride[order[i]];
    }
    if (subject->scale == 1.0) return eck_operator_unfolding(out, turned, &(int32_t){ 0 }, 1, err);
    ECK_TRY(ecki_subject_block(&block, subject, order, err));
    ECK_TRY(ecki_operator_made(out, block.data, turned.shape[0],
                               ecki_block_count(&block) / turned.shape[0], &made, err));
    *held_out = block.data;
    block.data = NULL;
done:
    ecki_block_clear(&block);
    return status;
}

void ecki_halves_clear(ecki_halves *halves)
{
    ecki_free(halves->left);
    ecki_free(halves->right);
    memset(halves, 0, sizeof *halves);
}

eck_status ecki_halves_array(eck_array **out, const ecki_halves *h, int32_t ndim,
                             const int64_t *shape, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_array *array = NULL;

    ECK_TRY(eck_array_create(&array, ECK_DTYPE_F64, ndim, shape, err));
    if (h->left)
        ECK_TRY(ecki_gemm(1.0, ecki_matrix_of(h->left, h->rows, h->rank),
                          ecki_matrix_of(h->right, h->rank, h->cols), 0.0,
                          ecki_panel(array->data, ECK_DTYPE_F64, h->rows, h->cols), err));
    else
        memcpy(array->data, h->right, (size_t)(h->rows * h->cols) * sizeof *h->right);
    *out = array;
    array = NULL;
done:
    eck_array_free(array);
    return status;
}

eck_status ecki_subject_certify(eck_certificate *out, const ecki_subject *subject,
                                const ecki_halves *h, int32_t modes, const eck_context *context,
                                eck_error *err)
{
    eck_status status = ECK_OK;
    eck_operator *a = NULL, *left = NULL, *right = NULL, *product = NULL;
    int32_t first[ECK_DIMS_MAX];
    const eck_dtype storage = subject->store == ECK_DTYPE_F64 ? ECK_DTYPE_F64 : ECK_DTYPE_F32;
    const ecki_made made[] = { { storage, h->left_error }, { storage, h->right_error } };

    for (int32_t i = 0; i < modes; i++)
        first[i] = i;
    ECK_TRY(eck_operator_unfolding(&a, subject->view, first, modes, err));
    ECK_TRY(ecki_operator_made(&right, h->right, h->rank, h->cols, &made[1], err));
    if (h->left) {
        ECK_TRY(ecki_operator_made(&left, h->left, h->rows, h->rank, &made[0], err));
        ECK_TRY(eck_operator_product(&product, left, right, 1.0, err));
    }
    ECK_TRY(
        eck_certify(out, a, product ? product : right, ECK_PROOF_RESIDUAL, 0.0, 0, context, err));
    out->stored = subject->store;
done:
    eck_operator_free(product);
    eck_operator_free(left);
    eck_operator_free(right);
    eck_operator_free(a);
    return status;
}

double ecki_norm_of(const double *x, int64_t count)
{
    double most = 0.0, sum = 0.0;

    for (int64_t i = 0; i < count; i++)
        most = fmax(most, fabs(x[i]));
    if (!(most > 0.0) || !isfinite(most)) return most;
    for (int64_t i = 0; i < count; i++)
        sum += (x[i] / most) * (x[i] / most);
    return most * sqrt(sum);
}
