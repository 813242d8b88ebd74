/*
 * The public writers: arrays by the path's ending, bytes, and small files read whole. Everything
 * but standard output goes through a target, so that it appears whole or not at all.
 */
#include "eckart/file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"
#include "format/atomic.h"
#include "format/container.h"
#include "format/json.h"
#include "format/npy.h"
#include "format/npz.h"
#include "format/safetensors.h"
#include "tensor/codec.h"

/** Arrays on their way into a file. */
typedef struct writing {
    const eck_named_array *arrays;
    int64_t count;
} writing;

typedef eck_status (*write_function)(ecki_output *output, const writing *job, eck_error *err);

/** Bytes of an array's numbers. */
static eck_status array_bytes(int64_t *out, const eck_named_array *named, eck_error *err)
{
    const eck_array *array = named->array;
    int64_t elements;
    if (ecki_shape_count(array->ndim, array->shape, &elements) &&
        ecki_dtype_bytes(array->dtype, elements, out))
        return ECK_OK;
    return ecki_error(err, ECK_E_SHAPE, -1, "cannot write array '%.200s': too large", named->name);
}

/** One array as .npy. */
static eck_status write_npy(ecki_output *output, const writing *job, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_text head = { 0 };
    int64_t bytes;

    ECK_TRY(ecki_npy_write_head(&head, job->arrays[0].array, err));
    ECK_TRY(array_bytes(&bytes, &job->arrays[0], err));
    ECK_TRY(ecki_output_reserve(output, head.length + bytes, err));
    ECK_TRY(ecki_output_write(output, 0, head.data, head.length, err));
    ECK_TRY(ecki_output_write(output, head.length, job->arrays[0].array->data, bytes, err));
done:
    ecki_text_clear(&head);
    return status;
}

/** Any number of arrays as .npz. */
static eck_status write_npz(ecki_output *output, const writing *job, eck_error *err)
{
    return ecki_npz_write(output, job->arrays, job->count, err);
}

/** Any number of arrays as .safetensors. */
static eck_status write_safetensors(ecki_output *output, const writing *job, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_tensor_spec *tensors = NULL;
    ecki_safetensors_writer *writer = NULL;
    int64_t bytes;

    ECK_ALLOC(tensors, job->count);
    for (int64_t i = 0; i < job->count; i++) {
        const eck_array *array = job->arrays[i].array;
        tensors[i] = (ecki_tensor_spec){ .name = job->arrays[i].name,
                                         .dtype = array->dtype,
                                         .ndim = array->ndim };
        memcpy(tensors[i].shape, array->shape, sizeof tensors[i].shape);
    }
    ECK_TRY(ecki_safetensors_writer_create(
        &writer, output, &(ecki_safetensors_layout){ .tensors = tensors, .count = job->count },
        err));
    for (int64_t i = 0; i < job->count; i++) {
        ECK_TRY(array_bytes(&bytes, &job->arrays[i], err));
        ECK_TRY(
            ecki_safetensors_writer_write(writer, i, 0, job->arrays[i].array->data, bytes, err));
    }
    ECK_TRY(ecki_safetensors_writer_finish(writer, err));
done:
    ecki_safetensors_writer_free(writer);
    ecki_free(tensors);
    return status;
}

/** Writes to standard output, which is a stream and cannot be undone. */
static eck_status write_stream(const void *bytes, int64_t count, eck_error *err)
{
    const char *from = bytes;
    for (int64_t done = 0; done < count;) {
        const ssize_t put = write(STDOUT_FILENO, from + done, (size_t)(count - done));
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return ecki_error_system(err, errno, "cannot write", "-");
        done += put;
    }
    return ECK_OK;
}

/** One array as .npy to standard output. */
static eck_status stream_npy(const eck_named_array *named, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_text head = { 0 };
    int64_t bytes;

    ECK_TRY(ecki_npy_write_head(&head, named->array, err));
    ECK_TRY(array_bytes(&bytes, named, err));
    ECK_TRY(write_stream(head.data, head.length, err));
    ECK_TRY(write_stream(named->array->data, bytes, err));
done:
    ecki_text_clear(&head);
    return status;
}

/** The writer of the path's ending; NULL if there is none. */
static write_function find_writer(const char *path)
{
    if (ecki_ends_with(path, ".npy")) return write_npy;
    if (ecki_ends_with(path, ".npz")) return write_npz;
    return ecki_ends_with(path, ".safetensors") ? write_safetensors : NULL;
}

/** Order of arrays by name. */
static int compare_names(const void *a, const void *b)
{
    return strcmp((*(const eck_named_array *const *)a)->name,
                  (*(const eck_named_array *const *)b)->name);
}

/** Refuses names that are none or come twice. */
static eck_status check_names(const eck_named_array *arrays, int64_t count, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_named_array **order = NULL;
    char shown[200];

    ECK_ALLOC(order, count);
    for (int64_t i = 0; i < count; i++) {
        order[i] = &arrays[i];
        ecki_name_escape(shown, sizeof shown, arrays[i].name);
        ECK_REQUIRE(ecki_name_valid(arrays[i].name, (int64_t)strlen(arrays[i].name)), ECK_E_RANGE,
                    -1, "cannot write array '%s': not a name an array may have", shown);
    }
    qsort(order, (size_t)count, sizeof *order, compare_names);
    for (int64_t i = 1; i < count; i++)
        ECK_REQUIRE(strcmp(order[i - 1]->name, order[i]->name) != 0, ECK_E_RANGE, -1,
                    "cannot write array '%.200s': the name comes twice", order[i]->name);
done:
    ecki_free(order);
    return status;
}

/** Refuses arguments that cannot be written at this path. */
static eck_status check_arrays(const char *path, const writing *job, write_function writer,
                               eck_error *err)
{
    const bool stream = strcmp(path, "-") == 0;
    if (!stream && !writer) {
        ecki_error(err, ECK_E_RANGE, -1,
                   "cannot write '%.200s': its name must end in .npy, .npz or .safetensors", path);
        return ecki_error_where(err, ECK_E_RANGE, path, NULL);
    }
    const bool single = stream || writer == write_npy;
    if (job->count < 0 || (single && job->count != 1)) {
        ecki_error(err, ECK_E_RANGE, -1, "cannot write '%.200s': %lld arrays where one is needed",
                   path, (long long)job->count);
        return ecki_error_where(err, ECK_E_RANGE, path, NULL);
    }
    return single ? ECK_OK : check_names(job->arrays, job->count, err);
}

/** Reads what was written with our own reader before anybody else can. */
static eck_status check_output(const ecki_target *target, const writing *job, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_container *container = NULL;

    ECK_TRY(ecki_container_open(&container, ecki_target_temporary(target), err));
    ECK_REQUIRE(container->entry_count == job->count, ECK_E_IO, -1,
                "%lld arrays were written and %lld are read again", (long long)job->count,
                (long long)container->entry_count);
done:
    ecki_container_close(container);
    return status;
}

eck_status eck_file_write_arrays(const char *path, const eck_named_array *arrays, int64_t count,
                                 bool replace, eck_error *err)
{
    eck_status status = ECK_OK;
    const writing job = { arrays, count };
    const write_function writer = find_writer(path);
    ecki_target *target = NULL;
    ecki_output *output;

    ECK_TRY(check_arrays(path, &job, writer, err));
    if (strcmp(path, "-") == 0) return stream_npy(&arrays[0], err);
    ECK_TRY(ecki_target_create(&target, &(ecki_target_options){ .path = path, .replace = replace },
                               err));
    ECK_TRY(ecki_target_open(&output, target, NULL, err));
    ECK_TRY(writer(output, &job, err));
    ECK_TRY(check_output(target, &job, err));
    ECK_TRY(ecki_target_publish(target, err));
done:
    ecki_target_free(target);
    return ecki_error_where(err, status, path, NULL);
}

eck_status eck_file_write(const char *path, const void *bytes, int64_t count, bool replace,
                          eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_target *target = NULL;
    ecki_output *output;

    if (strcmp(path, "-") == 0) return write_stream(bytes, count, err);
    ECK_TRY(ecki_target_create(&target, &(ecki_target_options){ .path = path, .replace = replace },
                               err));
    ECK_TRY(ecki_target_open(&output, target, NULL, err));
    ECK_TRY(ecki_output_reserve(output, count, err));
    ECK_TRY(ecki_output_write(output, 0, bytes, count, err));
    ECK_TRY(ecki_target_publish(target, err));
done:
    ecki_target_free(target);
    return status;
}

eck_status eck_file_read(char **out, int64_t *length_out, const char *path, int64_t limit,
                         eck_error *err)
{
    return ecki_read_file(out, length_out, path, limit, err);
}
