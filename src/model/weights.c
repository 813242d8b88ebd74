/**
 * Tensors as operators: blocks are read with pread, in runs of whole rows where possible, and widened. Nothing is kept
 * between reads, so any number of threads may read at once.
 *
 * The file holds a row-major matrix [R,C]. `transposed` asks for its transpose, and column-major bytes (npy) are the
 * same thing once more, so both fold into one flag.
 */
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "eckart/model.h"
#include "linalg/op.h"
#include "model/model.h"
#include "tensor/codec.h"

enum { STAGING_BYTES = 1 << 20 };

typedef struct source {
    const eck_model *model;
    int64_t entry;
    int64_t file_rows, file_cols; /**< as the bytes lie */
    bool transposed; /**< the operator is the transpose of what lies in the file */
    int64_t element; /**< bytes of one number */
} source;

/** Turns big-endian numbers around. */
static void swap_bytes(unsigned char *bytes, int64_t count, int64_t element)
{
    for (int64_t i = 0; i < count; i++, bytes += element)
        for (int64_t a = 0, b = element - 1; a < b; a++, b--) {
            const unsigned char keep = bytes[a];
            bytes[a] = bytes[b];
            bytes[b] = keep;
        }
}

/** Where a run of numbers goes: panel[row][col..], or down a column of it when it is the transpose. */
typedef struct place {
    eck_panel out;
    int64_t row, col;
} place;

static void widen_run(const source *s, const void *bytes, int64_t count, place to, double *spare)
{
    const eck_dtype dtype = s->model->tensors[s->entry].dtype;
    double *const wide = to.out.data;
    float *const narrow = to.out.data;

    if (!s->transposed) {
        const int64_t at = to.row * to.out.ld + to.col;
        if (to.out.dtype == ECK_DTYPE_F64)
            ecki_widen_f64(dtype, bytes, 1, wide + at, count);
        else
            ecki_widen_f32(dtype, bytes, 1, narrow + at, count);
        return;
    }
    ecki_widen_f64(dtype, bytes, 1, spare, count);
    for (int64_t i = 0; i < count; i++) {
        const int64_t at = (to.col + i) * to.out.ld + to.row;
        if (to.out.dtype == ECK_DTYPE_F64)
            wide[at] = spare[i];
        else
            narrow[at] = (float)spare[i];
    }
}

/** What one read asks of the file: rows x cols from (row, col), in runs that fit the staging buffer. */
typedef struct block {
    int64_t row, col, rows, cols;
} block;

static eck_status read_block(const source *s, block b, eck_panel out, eck_error *err)
{
    eck_status status = ECK_OK;
    unsigned char *staging = NULL;
    double *spare = NULL;
    const bool whole = b.cols == s->file_cols;
    const int64_t width = ecki_min(b.cols, ecki_max(1, STAGING_BYTES / s->element));
    const int64_t height =
        whole && width == b.cols ? ecki_max(1, STAGING_BYTES / (s->element * b.cols)) : 1;
    const bool swapped = s->model->container->entries[s->entry].swapped;

    ECK_ALLOC_RAW(staging, width * ecki_min(height, b.rows) * s->element);
    ECK_ALLOC_RAW(spare, s->transposed ? width : 1);
    for (int64_t i = 0; i < b.rows; i += height) {
        const int64_t rows = ecki_min(height, b.rows - i);
        for (int64_t j = 0; j < b.cols; j += width) {
            const int64_t cols = ecki_min(width, b.cols - j);
            const int64_t first = (b.row + i) * s->file_cols + b.col + j;
            ECK_TRY(ecki_container_read(s->model->container, s->entry, first * s->element, staging,
                                        rows * cols * s->element, err));
            if (swapped) swap_bytes(staging, rows * cols, s->element);
            for (int64_t r = 0; r < rows; r++)
                widen_run(s, staging + r * cols * s->element, cols, (place){ out, i + r, j },
                          spare);
        }
    }
done:
    ecki_free(spare);
    ecki_free(staging);
    return status;
}

static eck_status source_read(void *self, int64_t row, int64_t col, eck_panel out, eck_error *err)
{
    const source *s = self;
    const block straight = { row, col, out.rows, out.cols };
    const block turned = { col, row, out.cols, out.rows };

    if (out.rows == 0 || out.cols == 0) return ECK_OK;
    return read_block(s, s->transposed ? turned : straight, out, err);
}

static void source_free(void *self)
{
    ecki_free(self);
}

eck_status ecki_tensor_operator(eck_operator **out, const eck_model *model, int64_t tensor,
                                int64_t rows, int64_t cols, bool transposed, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_operator_methods methods = { .version = 1, .read = source_read, .free = source_free };
    eck_operator_info info = ECK_OPERATOR_INFO_INIT;
    source *s = NULL;
    const ecki_entry *entry = &model->container->entries[tensor];
    int64_t count = 0;

    ECK_REQUIRE(eck_dtype_is_readable(entry->dtype), ECK_E_UNSUPPORTED, -1,
                "cannot read tensor '%s' of '%s' as numbers: its type is %s", entry->name,
                model->path, eck_dtype_name(entry->dtype));
    ECK_REQUIRE(ecki_mul(rows, cols, &count) &&
                    ecki_shape_count(entry->ndim, entry->shape, &(int64_t){ 0 }) &&
                    count * eck_dtype_bits(entry->dtype) / 8 == entry->bytes,
                ECK_E_SHAPE, -1, "tensor '%s' of '%s' is no %lld x %lld matrix", entry->name,
                model->path, (long long)rows, (long long)cols);
    ECK_ALLOC(s, 1);
    s->model = model;
    s->entry = tensor;
    s->transposed = transposed != entry->fortran_order;
    s->file_rows = s->transposed ? cols : rows;
    s->file_cols = s->transposed ? rows : cols;
    s->element = eck_dtype_bits(entry->dtype) / 8;
    info.rows = rows;
    info.cols = cols;
    info.storage = eck_dtype_is_weight(entry->dtype) ? entry->dtype : ECK_DTYPE_F64;
    // The one array of a .npy or .csv file has no name but the file's.
    info.name = entry->name[0] ? entry->name : model->path;
    ECK_TRY(eck_operator_create(out, &info, &methods, s, err));
    (*out)->stored = info.storage == entry->dtype;
    s = NULL;
done:
    ecki_free(s);
    return status;
}

/** The one matrix of a container that holds it by its entries. */
static eck_status sparse_operator(eck_operator **out, const eck_model *model, eck_error *err)
{
    const ecki_sparse *const sparse = model->container->sparse;
    const ecki_lines both[2] = { sparse->rows, sparse->cols };
    return ecki_operator_lines(out, both, model->path, sparse->symmetric, err);
}

eck_status eck_model_tensor_operator(eck_operator **out, const eck_model *model, int64_t tensor,
                                     eck_error *err)
{
    const eck_tensor *t = eck_model_tensor(model, tensor);
    int64_t rows = 1, cols = 1;

    if (!t)
        return ecki_error(err, ECK_E_RANGE, -1, "no tensor %lld in '%s': it has %lld",
                          (long long)tensor, model->path, (long long)eck_model_tensor_count(model));
    if (model->container->sparse) return sparse_operator(out, model, err);
    if (t->ndim >= 2) rows = t->shape[0];
    for (int32_t i = t->ndim >= 2 ? 1 : 0; i < t->ndim; i++)
        cols *= t->shape[i];
    if (t->ndim > 2 && model->container->entries[tensor].fortran_order)
        return ecki_error(err, ECK_E_UNSUPPORTED, -1,
                          "array '%s' of '%s' has %d dimensions in Fortran order: "
                          "save it in C order, or as a matrix",
                          t->name, model->path, t->ndim);
    return ecki_tensor_operator(out, model, tensor, rows, cols, false, err);
}

eck_status ecki_tensor_load(eck_array **out, const eck_model *model, int64_t tensor, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_array *array = NULL;
    const eck_tensor *t = &model->tensors[tensor];

    ECK_TRY(eck_array_create(&array, t->dtype, t->ndim, t->shape, err));
    if (t->bytes > 0)
        ECK_TRY(ecki_container_read(model->container, tensor, 0, array->data, t->bytes, err));
    *out = array;
    array = NULL;
done:
    eck_array_free(array);
    return status;
}

void ecki_turn(void *out, const void *in, int64_t rows, int64_t cols, int64_t size)
{
    enum { BLOCK = 32 };
    char *to = out;
    const char *from = in;

    for (int64_t i = 0; i < rows; i += BLOCK)
        for (int64_t j = 0; j < cols; j += BLOCK)
            for (int64_t k = i; k < ecki_min(i + BLOCK, rows); k++)
                for (int64_t l = j; l < ecki_min(j + BLOCK, cols); l++)
                    memcpy(to + (l * rows + k) * size, from + (k * cols + l) * size, (size_t)size);
}

/** The weight of a stage in the layout of its kind. */
static eck_status stage_load(eck_array **out, const eck_model *model,
                             const ecki_manifest_stage *stage, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_array *stored = NULL, *array = NULL;
    int64_t shape[ECK_DIMS_MAX];
    const int32_t ndim = eck_stage_shape(&stage->stage, shape);

    ECK_TRY(ecki_tensor_load(&stored, model, ecki_container_find(model->container, stage->weight),
                             err));
    if (!stage->turned && stored->ndim == ndim) {
        *out = stored;
        return ECK_OK;
    }
    ECK_TRY(eck_array_create(&array, stored->dtype, ndim, shape, err));
    const int64_t size = eck_dtype_bits(array->dtype) / 8;
    if (stage->turned)
        ecki_turn(array->data, stored->data, shape[1], shape[0], size);
    else // a scale, with dimensions of one behind it
        memcpy(array->data, stored->data, (size_t)(eck_array_count(array) * size));
    *out = array;
    array = NULL;
done:
    eck_array_free(stored);
    eck_array_free(array);
    return status;
}

eck_status eck_model_layer_chain(eck_chain *out, const eck_model *model, int64_t layer,
                                 eck_error *err)
{
    eck_status status = ECK_OK;
    eck_chain chain = { NULL, 0 };
    const ecki_layer *l = NULL;

    ECK_REQUIRE(layer >= 0 && layer < model->layer_count && model->layers[layer].module >= 0,
                ECK_E_RANGE, -1, "layer %lld of '%s' is not factored", (long long)layer,
                model->path);
    l = &model->layers[layer];
    const ecki_module *module = &model->manifest->modules[l->module];
    ECK_ALLOC(chain.stages, module->stage_count);
    chain.count = module->stage_count;
    for (int32_t i = 0; i < chain.count; i++) {
        chain.stages[i] = module->stages[i].stage;
        ECK_TRY(stage_load(&chain.stages[i].weight, model, &module->stages[i], err));
    }
    if (l->view.bias >= 0)
        ECK_TRY(ecki_tensor_load(&chain.stages[chain.count - 1].bias, model, l->view.bias, err));
    *out = chain;
    memset(&chain, 0, sizeof chain);
done:
    eck_chain_clear(&chain);
    return status;
}

/** An operator that owns the chain it multiplies out. */
typedef struct owned_chain {
    eck_chain chain;
    eck_operator *product;
} owned_chain;

static eck_status owned_chain_read(void *self, int64_t row, int64_t col, eck_panel out,
                                   eck_error *err)
{
    return eck_operator_read(((owned_chain *)self)->product, row, col, out, err);
}

static void owned_chain_free(void *self)
{
    owned_chain *owned = self;
    if (!owned) return;
    eck_operator_free(owned->product);
    eck_chain_clear(&owned->chain);
    ecki_free(owned);
}

static eck_status chain_operator(eck_operator **out, const eck_model *model, int64_t layer,
                                 eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_operator_methods methods = { .version = 1,
                                           .read = owned_chain_read,
                                           .free = owned_chain_free };
    owned_chain *owned = NULL;

    ECK_ALLOC(owned, 1);
    ECK_TRY(eck_model_layer_chain(&owned->chain, model, layer, err));
    ECK_TRY(
        eck_operator_chain(&owned->product, &owned->chain, &model->layers[layer].view.dense, err));
    ECK_TRY(eck_operator_create(out, eck_operator_get_info(owned->product), &methods, owned, err));
    owned = NULL;
done:
    if (status != ECK_OK) ecki_error_where(err, status, model->path, model->layers[layer].name);
    owned_chain_free(owned);
    return status;
}

eck_status eck_model_layer_operator(eck_operator **out, const eck_model *model, int64_t layer,
                                    eck_error *err)
{
    const eck_layer *l = eck_model_layer(model, layer);
    int64_t shape[ECK_DIMS_MAX];
    int64_t rows = 0, cols = 1;

    if (!l)
        return ecki_error(err, ECK_E_RANGE, -1, "no layer %lld in '%s': it has %lld",
                          (long long)layer, model->path, (long long)model->layer_count);
    if (l->factored) return chain_operator(out, model, layer, err);
    const int32_t ndim = eck_stage_shape(&l->dense, shape);
    rows = l->dense.kind == ECK_STAGE_LOOKUP ? shape[1] : shape[0];
    if (ndim == 2) cols = l->dense.kind == ECK_STAGE_LOOKUP ? shape[0] : shape[1];
    for (int32_t i = 1; ndim > 2 && i < ndim; i++)
        cols *= shape[i];
    return ecki_tensor_operator(out, model, l->weight, rows, cols, l->stored_transposed, err);
}
