/*
 * The safetensors writer. The layout is fixed before the first number; what has been written of
 * each tensor is kept as a sorted list of disjoint ranges, neighbours merged, so that a byte
 * written twice or never is an error here and not a wrong number elsewhere.
 */
#include "format/safetensors.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"
#include "format/container.h"
#include "tensor/codec.h"

enum { PREFIX = 8, ALIGNMENT = 8, HEADER_MAX = 100000000 };

/** Bytes [begin, end) of a tensor. */
typedef struct byte_range {
    int64_t begin, end;
} byte_range;

/** One tensor of the file. */
typedef struct slot {
    char *name;
    eck_dtype dtype;
    int32_t ndim;
    int64_t shape[ECK_DIMS_MAX];
    int64_t bytes, begin; /**< begin counts from the first byte of data */
    byte_range *written;
    int64_t written_count, written_room;
} slot;

struct ecki_safetensors_writer {
    ecki_output *output; /**< borrowed */
    slot *slots; /**< as given to create */
    int64_t *order; /**< slots in the order of the file */
    int64_t count;
    char **metadata; /**< key, value, ...; owned */
    int64_t metadata_count;
    int64_t header_bytes, data_bytes;
    atomic_flag lock; /**< of every list of ranges; held for a few instructions a write */
};

/** Place of a type in the reference's order, which rises with alignment. */
static int32_t type_order(eck_dtype dtype)
{
    static const eck_dtype order[] = {
        ECK_DTYPE_BOOL,    ECK_DTYPE_F4,          ECK_DTYPE_F6_E2M3,     ECK_DTYPE_F6_E3M2,
        ECK_DTYPE_U8,      ECK_DTYPE_I8,          ECK_DTYPE_F8_E5M2,     ECK_DTYPE_F8_E4M3,
        ECK_DTYPE_F8_E8M0, ECK_DTYPE_F8_E4M3FNUZ, ECK_DTYPE_F8_E5M2FNUZ, ECK_DTYPE_I16,
        ECK_DTYPE_U16,     ECK_DTYPE_F16,         ECK_DTYPE_BF16,        ECK_DTYPE_I32,
        ECK_DTYPE_U32,     ECK_DTYPE_F32,         ECK_DTYPE_C64,         ECK_DTYPE_F64,
        ECK_DTYPE_I64,     ECK_DTYPE_U64
    };
    const int32_t count = (int32_t)(sizeof order / sizeof *order);
    for (int32_t i = 0; i < count; i++)
        if (order[i] == dtype) return i;
    return -1;
}

/** Order in the file: type falling, name rising. */
static int compare_slots(const void *a, const void *b, void *slots)
{
    const slot *first = (const slot *)slots + *(const int64_t *)a;
    const slot *second = (const slot *)slots + *(const int64_t *)b;
    const int32_t difference = type_order(second->dtype) - type_order(first->dtype);
    return difference ? difference : strcmp(first->name, second->name);
}

/** Order of names alone. */
static int compare_slot_names(const void *a, const void *b, void *slots)
{
    const slot *all = slots;
    return strcmp(all[*(const int64_t *)a].name, all[*(const int64_t *)b].name);
}

/** Copies and checks one specification. */
static eck_status slot_init(slot *out, const ecki_tensor_spec *spec, eck_error *err)
{
    eck_status status = ECK_OK;
    char shown[200];
    int64_t count;

    ecki_name_escape(shown, sizeof shown, spec->name);
    ECK_REQUIRE(ecki_name_valid(spec->name, (int64_t)strlen(spec->name)) &&
                    strcmp(spec->name, "__metadata__") != 0,
                ECK_E_RANGE, -1, "cannot write tensor '%s': not a name a tensor may have", shown);
    ECK_REQUIRE(type_order(spec->dtype) >= 0, ECK_E_RANGE, -1, "cannot write tensor '%s': dtype %d",
                shown, (int)spec->dtype);
    ECK_REQUIRE(spec->ndim >= 0 && spec->ndim <= ECK_DIMS_MAX, ECK_E_SHAPE, -1,
                "cannot write tensor '%s': %d dimensions, at most %d", shown, spec->ndim,
                ECK_DIMS_MAX);
    for (int32_t i = 0; i < spec->ndim; i++)
        ECK_REQUIRE(spec->shape[i] >= 0, ECK_E_SHAPE, -1,
                    "cannot write tensor '%s': dimension %d is %lld", shown, i,
                    (long long)spec->shape[i]);
    ECK_REQUIRE(ecki_shape_count(spec->ndim, spec->shape, &count) &&
                    ecki_dtype_bytes(spec->dtype, count, &out->bytes),
                ECK_E_SHAPE, -1, "cannot write tensor '%s': too large", shown);
    out->dtype = spec->dtype;
    out->ndim = spec->ndim;
    memcpy(out->shape, spec->shape, sizeof out->shape);
    out->name = ecki_strdup(spec->name);
    ECK_HAVE(out->name);
done:
    return status;
}

/** Copies all specifications and refuses a name given twice. */
static eck_status init_slots(ecki_safetensors_writer *writer, const ecki_tensor_spec *tensors,
                             int64_t count, eck_error *err)
{
    eck_status status = ECK_OK;

    ECK_REQUIRE(count >= 0 && count <= ECKI_TENSORS_MAX, ECK_E_RANGE, -1,
                "%lld tensors, at most %d", (long long)count, ECKI_TENSORS_MAX);
    ECK_ALLOC(writer->slots, count);
    writer->count = count;
    ECK_ALLOC(writer->order, count);
    for (int64_t i = 0; i < count; i++) {
        ECK_TRY(slot_init(&writer->slots[i], &tensors[i], err));
        writer->order[i] = i;
    }
    qsort_r(writer->order, (size_t)count, sizeof *writer->order, compare_slot_names, writer->slots);
    for (int64_t i = 1; i < count; i++)
        ECK_REQUIRE(compare_slot_names(&writer->order[i - 1], &writer->order[i], writer->slots) !=
                        0,
                    ECK_E_RANGE, -1, "cannot write tensor '%.200s': the name comes twice",
                    writer->slots[writer->order[i]].name);
done:
    return status;
}

/** Gives every tensor its place. */
static eck_status place_slots(ecki_safetensors_writer *writer, eck_error *err)
{
    qsort_r(writer->order, (size_t)writer->count, sizeof *writer->order, compare_slots,
            writer->slots);
    for (int64_t i = 0; i < writer->count; i++) {
        slot *tensor = &writer->slots[writer->order[i]];
        tensor->begin = writer->data_bytes;
        if (!ecki_add(writer->data_bytes, tensor->bytes, &writer->data_bytes))
            return ecki_error(err, ECK_E_SHAPE, -1,
                              "cannot write tensor '%.200s': too many bytes in one file",
                              tensor->name);
    }
    return ECK_OK;
}

/** Index of the pair a key stands in or belongs before. */
static int64_t find_key(const ecki_safetensors_writer *writer, const char *key, bool *found_out)
{
    int64_t at = 0;
    while (at < writer->metadata_count && strcmp(writer->metadata[at], key) < 0)
        at += 2;
    *found_out = at < writer->metadata_count && strcmp(writer->metadata[at], key) == 0;
    return at;
}

/** Adds a pair of metadata where its key belongs. */
static eck_status add_pair(ecki_safetensors_writer *writer, const char *key, const char *value,
                           eck_error *err)
{
    eck_status status = ECK_OK;
    char *key_copy = NULL, *value_copy = NULL;
    bool found;

    const int64_t at = find_key(writer, key, &found), count = writer->metadata_count;
    ECK_REQUIRE(!found, ECK_E_RANGE, -1, "metadata key '%.200s' comes twice", key);
    ECK_REQUIRE(ecki_utf8_valid(key, (int64_t)strlen(key)) &&
                    ecki_utf8_valid(value, (int64_t)strlen(value)),
                ECK_E_RANGE, -1, "metadata that is not UTF-8");
    key_copy = ecki_strdup(key);
    ECK_HAVE(key_copy);
    value_copy = ecki_strdup(value);
    ECK_HAVE(value_copy);
    char **metadata = ecki_realloc(writer->metadata, count + 2, sizeof *metadata);
    ECK_HAVE(metadata);
    memmove(metadata + at + 2, metadata + at, (size_t)(count - at) * sizeof *metadata);
    metadata[at] = key_copy;
    metadata[at + 1] = value_copy;
    key_copy = value_copy = NULL;
    writer->metadata = metadata;
    writer->metadata_count = count + 2;
done:
    ecki_free(key_copy);
    ecki_free(value_copy);
    return status;
}

/** Appends a JSON string; only what must be escaped is. */
static void add_string(ecki_text *text, const char *bytes)
{
    static const char special[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";

    ecki_text_add(text, "\"", 1);
    for (const char *at = bytes; *at;) {
        const char *end = at;
        while ((unsigned char)*end >= 0x20 && *end != '"' && *end != '\\')
            end++;
        ecki_text_add(text, at, end - at);
        at = end;
        if (!*at) break;
        const char *found = strchr(special, *at);
        if (found)
            ecki_text_printf(text, "\\%c", letters[found - special]);
        else
            ecki_text_printf(text, "\\u%04x", (unsigned)*at);
        at++;
    }
    ecki_text_add(text, "\"", 1);
}

/** Appends "name":{"dtype":..,"shape":[..],"data_offsets":[..]}. */
static void add_tensor(ecki_text *text, const slot *tensor)
{
    add_string(text, tensor->name);
    ecki_text_printf(text, ":{\"dtype\":\"%s\",\"shape\":[", eck_dtype_name(tensor->dtype));
    for (int32_t i = 0; i < tensor->ndim; i++)
        ecki_text_printf(text, "%s%lld", i ? "," : "", (long long)tensor->shape[i]);
    ecki_text_printf(text, "],\"data_offsets\":[%lld,%lld]}", (long long)tensor->begin,
                     (long long)(tensor->begin + tensor->bytes));
}

/** The header without its padding: compact JSON, metadata first. */
static eck_status make_header(ecki_text *out, const ecki_safetensors_writer *writer, eck_error *err)
{
    ecki_text_add(out, "{\"__metadata__\":{", -1);
    for (int64_t i = 0; i < writer->metadata_count; i += 2) {
        if (i > 0) ecki_text_add(out, ",", 1);
        add_string(out, writer->metadata[i]);
        ecki_text_add(out, ":", 1);
        add_string(out, writer->metadata[i + 1]);
    }
    ecki_text_add(out, "}", 1);
    for (int64_t i = 0; i < writer->count; i++) {
        ecki_text_add(out, ",", 1);
        add_tensor(out, &writer->slots[writer->order[i]]);
    }
    ecki_text_add(out, "}", 1);
    return out->failed ? ecki_error_memory(err, out->length) : ECK_OK;
}

/** Fixes the length of the header and reserves the space of the whole file. */
static eck_status reserve_file(ecki_safetensors_writer *writer, int64_t reserved, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_text header = { 0 };
    int64_t total;

    ECK_TRY(make_header(&header, writer, err));
    ECK_REQUIRE(reserved >= 0 && reserved <= HEADER_MAX &&
                    header.length + reserved <= HEADER_MAX - ALIGNMENT,
                ECK_E_RANGE, -1, "a header of %lld and %lld bytes, at most %d",
                (long long)header.length, (long long)reserved, HEADER_MAX);
    writer->header_bytes = (header.length + reserved + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    ECK_REQUIRE(ecki_add(writer->data_bytes, PREFIX + writer->header_bytes, &total), ECK_E_SHAPE,
                -1, "too many bytes in one file");
    ECK_TRY(ecki_output_reserve(writer->output, total, err));
done:
    ecki_text_clear(&header);
    return status;
}

eck_status ecki_safetensors_writer_create(ecki_safetensors_writer **out, ecki_output *output,
                                          const ecki_safetensors_layout *layout, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_safetensors_writer *writer = NULL;
    bool found;

    ECK_ALLOC(writer, 1);
    writer->output = output;
    atomic_flag_clear(&writer->lock);
    ECK_TRY(init_slots(writer, layout->tensors, layout->count, err));
    for (int64_t i = 0; i + 1 < layout->metadata_count; i += 2)
        ECK_TRY(add_pair(writer, layout->metadata[i], layout->metadata[i + 1], err));
    find_key(writer, "format", &found);
    if (!found) ECK_TRY(add_pair(writer, "format", "pt", err));
    ECK_TRY(place_slots(writer, err));
    ECK_TRY(reserve_file(writer, layout->reserved, err));
    *out = writer;
    writer = NULL;
done:
    ecki_safetensors_writer_free(writer);
    return status;
}

eck_status ecki_safetensors_writer_metadata(ecki_safetensors_writer *writer, const char *key,
                                            const char *value, eck_error *err)
{
    return add_pair(writer, key, value, err);
}

/** Makes room for one more range. */
static eck_status grow_ranges(slot *tensor, eck_error *err)
{
    if (tensor->written_count < tensor->written_room) return ECK_OK;
    const int64_t room = tensor->written_room ? 2 * tensor->written_room : 2;
    byte_range *ranges = ecki_realloc(tensor->written, room, sizeof *ranges);
    if (!ranges) return ecki_error_memory(err, ecki_bytes_of(room, sizeof *ranges));
    tensor->written = ranges;
    tensor->written_room = room;
    return ECK_OK;
}

/** Notes that [begin, end) is written; false in `new_out` if some of it was already. */
static eck_status note_range(slot *tensor, byte_range range, bool *new_out, eck_error *err)
{
    const eck_status status = grow_ranges(tensor, err);
    if (status != ECK_OK) return status;
    byte_range *ranges = tensor->written;
    int64_t at = tensor->written_count;
    while (at > 0 && ranges[at - 1].begin >= range.begin)
        at--;
    const bool has_next = at < tensor->written_count;
    *new_out = (at == 0 || ranges[at - 1].end <= range.begin) &&
               (!has_next || range.end <= ranges[at].begin);
    if (!*new_out) return ECK_OK;

    const bool joins_last = at > 0 && ranges[at - 1].end == range.begin;
    const bool joins_next = has_next && ranges[at].begin == range.end;
    if (joins_last) ranges[at - 1].end = range.end;
    if (joins_last && joins_next) {
        ranges[at - 1].end = ranges[at].end;
        tensor->written_count--;
        memmove(ranges + at, ranges + at + 1,
                (size_t)(tensor->written_count - at) * sizeof *ranges);
    } else if (joins_next) {
        ranges[at].begin = range.begin;
    } else if (!joins_last) {
        memmove(ranges + at + 1, ranges + at,
                (size_t)(tensor->written_count - at) * sizeof *ranges);
        ranges[at] = range;
        tensor->written_count++;
    }
    return ECK_OK;
}

eck_status ecki_safetensors_writer_write(ecki_safetensors_writer *writer, int64_t index,
                                         int64_t offset, const void *bytes, int64_t count,
                                         eck_error *err)
{
    eck_status status = ECK_OK;
    bool is_new;

    ECK_REQUIRE(index >= 0 && index < writer->count, ECK_E_RANGE, -1, "tensor %lld of %lld",
                (long long)index, (long long)writer->count);
    slot *tensor = &writer->slots[index];
    ECK_REQUIRE(
        offset >= 0 && count >= 0 && offset <= tensor->bytes && count <= tensor->bytes - offset,
        ECK_E_RANGE, offset, "cannot write tensor '%.200s': %lld bytes from %lld on, of %lld",
        tensor->name, (long long)count, (long long)offset, (long long)tensor->bytes);
    if (count == 0) goto done;
    while (atomic_flag_test_and_set_explicit(&writer->lock, memory_order_acquire)) {}
    status = note_range(tensor, (byte_range){ offset, offset + count }, &is_new, err);
    atomic_flag_clear_explicit(&writer->lock, memory_order_release);
    ECK_TRY(status);
    ECK_REQUIRE(is_new, ECK_E_RANGE, offset,
                "cannot write tensor '%.200s': bytes from %lld on are written twice", tensor->name,
                (long long)offset);
    ECK_TRY(ecki_output_write(
        writer->output, PREFIX + writer->header_bytes + tensor->begin + offset, bytes, count, err));
done:
    return status;
}

/** Refuses to finish while bytes are missing. */
static eck_status check_written(const ecki_safetensors_writer *writer, eck_error *err)
{
    for (int64_t i = 0; i < writer->count; i++) {
        const slot *tensor = &writer->slots[i];
        const byte_range *ranges = tensor->written;
        if (tensor->bytes == 0) continue;
        if (tensor->written_count == 1 && ranges[0].begin == 0 && ranges[0].end == tensor->bytes)
            continue;
        const int64_t at = tensor->written_count > 0 && ranges[0].begin == 0 ? ranges[0].end : 0;
        return ecki_error(err, ECK_E_RANGE, at,
                          "cannot write tensor '%.200s': bytes from %lld on were never given",
                          tensor->name, (long long)at);
    }
    return ECK_OK;
}

eck_status ecki_safetensors_writer_finish(ecki_safetensors_writer *writer, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_text header = { 0 };
    unsigned char prefix[PREFIX];

    ECK_TRY(check_written(writer, err));
    ECK_TRY(make_header(&header, writer, err));
    ECK_REQUIRE(header.length <= writer->header_bytes, ECK_E_RANGE, -1,
                "metadata of %lld bytes more than the header has room for",
                (long long)(header.length - writer->header_bytes));
    while (header.length < writer->header_bytes && !header.failed)
        ecki_text_add(&header, " ", 1);
    ECK_REQUIRE(!header.failed, ECK_E_NOMEM, -1, "not enough memory: %lld bytes",
                (long long)writer->header_bytes);
    for (int32_t i = 0; i < PREFIX; i++)
        prefix[i] = (unsigned char)((uint64_t)writer->header_bytes >> 8 * i);
    ECK_TRY(ecki_output_write(writer->output, 0, prefix, PREFIX, err));
    ECK_TRY(ecki_output_write(writer->output, PREFIX, header.data, header.length, err));
done:
    ecki_text_clear(&header);
    return status;
}

void ecki_safetensors_writer_free(ecki_safetensors_writer *writer)
{
    if (!writer) return;
    for (int64_t i = 0; i < writer->count; i++) {
        ecki_free(writer->slots[i].name);
        ecki_free(writer->slots[i].written);
    }
    for (int64_t i = 0; i < writer->metadata_count; i++)
        ecki_free(writer->metadata[i]);
    ecki_free(writer->slots);
    ecki_free(writer->order);
    ecki_free(writer->metadata);
    ecki_free(writer);
}
