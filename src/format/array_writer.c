/*
 * Arrays written in pieces: a file whose numbers come bit by bit, so that nobody has to hold them all. Everything is laid
 * out and reserved before the first number, and the file appears whole or not at all.
 */
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"
#include "eckart/file.h"
#include "format/atomic.h"
#include "format/container.h"
#include "format/npz.h"
#include "format/safetensors.h"
#include "tensor/codec.h"

struct eck_array_writer {
    char *path;
    ecki_target *target;
    ecki_npz_writer *npz; /**< one of these two */
    ecki_safetensors_writer *safetensors;
    int64_t count;
    int64_t *bytes; /**< of every array */
    int64_t *written; /**< of these, so far */
};

void eck_array_writer_free(eck_array_writer *writer)
{
    if (!writer) return;
    ecki_npz_writer_free(writer->npz);
    ecki_safetensors_writer_free(writer->safetensors);
    ecki_target_free(writer->target);
    ecki_free(writer->bytes);
    ecki_free(writer->written);
    ecki_free(writer->path);
    ecki_free(writer);
}

/** A layout as either format wants it; nothing of it is kept. */
static eck_status lay_out(eck_array_writer *writer, ecki_output *output,
                          const eck_array_spec *arrays, bool npz, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_array *shapes = NULL;
    eck_named_array *named = NULL;
    ecki_tensor_spec *tensors = NULL;
    const int64_t count = writer->count;

    ECK_ALLOC(shapes, count);
    ECK_ALLOC(named, count);
    ECK_ALLOC(tensors, count);
    for (int64_t i = 0; i < count; i++) {
        const eck_array_spec *const from = &arrays[i];
        shapes[i] = (eck_array){ NULL, from->dtype, from->ndim, { 0 } };
        tensors[i] =
            (ecki_tensor_spec){ .name = from->name, .dtype = from->dtype, .ndim = from->ndim };
        memcpy(shapes[i].shape, from->shape, sizeof from->shape);
        memcpy(tensors[i].shape, from->shape, sizeof from->shape);
        named[i] = (eck_named_array){ from->name, &shapes[i] };
    }
    const ecki_safetensors_layout layout = { .tensors = tensors, .count = count };
    if (npz)
        status = ecki_npz_writer_create(&writer->npz, output, named, count, err);
    else
        status = ecki_safetensors_writer_create(&writer->safetensors, output, &layout, err);
done:
    ecki_free(tensors);
    ecki_free(named);
    ecki_free(shapes);
    return status;
}

/** Names and sizes, checked. */
static eck_status check_arrays(eck_array_writer *writer, const eck_array_spec *arrays,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    int64_t elements = 0;
    for (int64_t i = 0; i < writer->count; i++) {
        ECK_REQUIRE(ecki_name_valid(arrays[i].name, (int64_t)strlen(arrays[i].name)), ECK_E_RANGE,
                    -1, "cannot write array %lld: not a name an array may have", (long long)i);
        for (int64_t j = 0; j < i; j++)
            ECK_REQUIRE(strcmp(arrays[i].name, arrays[j].name) != 0, ECK_E_RANGE, -1,
                        "cannot write array '%.200s': the name comes twice", arrays[i].name);
        ECK_REQUIRE(arrays[i].ndim >= 0 && arrays[i].ndim <= ECK_DIMS_MAX &&
                        ecki_shape_count(arrays[i].ndim, arrays[i].shape, &elements) &&
                        ecki_dtype_bytes(arrays[i].dtype, elements, &writer->bytes[i]),
                    ECK_E_SHAPE, -1, "cannot write array '%.200s': no shape or too large",
                    arrays[i].name);
    }
done:
    return status;
}

eck_status eck_array_writer_create(eck_array_writer **out, const char *path,
                                   const eck_array_spec *arrays, int64_t count, bool replace,
                                   eck_error *err)
{
    eck_status status = ECK_OK;
    eck_array_writer *writer = NULL;
    ecki_output *output;
    const bool npz = ecki_ends_with(path, ".npz");

    ECK_REQUIRE(npz || ecki_ends_with(path, ".safetensors"), ECK_E_RANGE, -1,
                "cannot write '%.200s': its name must end in .npz or .safetensors", path);
    ECK_REQUIRE(count >= 1, ECK_E_RANGE, -1, "cannot write '%.200s': %lld arrays", path,
                (long long)count);
    ECK_ALLOC(writer, 1);
    writer->count = count;
    writer->path = ecki_strdup(path);
    ECK_HAVE(writer->path);
    ECK_ALLOC(writer->bytes, count);
    ECK_ALLOC(writer->written, count);
    ECK_TRY(check_arrays(writer, arrays, err));
    ECK_TRY(ecki_target_create(&writer->target,
                               &(ecki_target_options){ .path = path, .replace = replace }, err));
    ECK_TRY(ecki_target_open(&output, writer->target, NULL, err));
    ECK_TRY(lay_out(writer, output, arrays, npz, err));
    *out = writer;
    writer = NULL;
done:
    eck_array_writer_free(writer);
    return ecki_error_where(err, status, path, NULL);
}

eck_status eck_array_writer_write(eck_array_writer *writer, int64_t index, int64_t offset,
                                  const void *bytes, int64_t count, eck_error *err)
{
    eck_status status = ECK_OK;
    ECK_REQUIRE(index >= 0 && index < writer->count, ECK_E_RANGE, -1, "array %lld of %lld",
                (long long)index, (long long)writer->count);
    ECK_REQUIRE(offset >= 0 && count >= 0 && offset <= writer->bytes[index] - count, ECK_E_RANGE,
                offset, "%lld bytes from %lld on, of %lld", (long long)count, (long long)offset,
                (long long)writer->bytes[index]);
    if (writer->npz)
        ECK_TRY(ecki_npz_writer_write(writer->npz, index, offset, bytes, count, err));
    else
        ECK_TRY(
            ecki_safetensors_writer_write(writer->safetensors, index, offset, bytes, count, err));
    writer->written[index] += count;
done:
    return ecki_error_where(err, status, writer->path, NULL);
}

eck_status eck_array_writer_publish(eck_array_writer *writer, eck_error *err)
{
    eck_status status = ECK_OK;
    for (int64_t i = 0; i < writer->count; i++)
        ECK_REQUIRE(writer->written[i] == writer->bytes[i], ECK_E_RANGE, -1,
                    "cannot write '%.200s': %lld bytes of array %lld were given, it has %lld",
                    writer->path, (long long)writer->written[i], (long long)i,
                    (long long)writer->bytes[i]);
    if (writer->npz)
        ECK_TRY(ecki_npz_writer_finish(writer->npz, err));
    else
        ECK_TRY(ecki_safetensors_writer_finish(writer->safetensors, err));
    ECK_TRY(ecki_target_publish(writer->target, err));
done:
    return ecki_error_where(err, status, writer->path, NULL);
}
