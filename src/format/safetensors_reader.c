/*
 * The safetensors reader. The header is parsed in one pass straight into entries: its text, the
 * entries and their names are all that is ever held. Entries end up in the order of their bytes,
 * which must fill the data without a hole.
 */
#include "format/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"
#include "format/container.h"
#include "format/input.h"
#include "format/scan.h"
#include "tensor/codec.h"

enum { HEADER_MAX = 100000000, PREFIX = 8, HEADER_DEPTH = 32, WORD = 64 };
static const int64_t dimension_max = INT64_C(1) << 48;

/** One file while its header is read. */
typedef struct header_reader {
    ecki_scan scan;
    ecki_container *container;
    int32_t file;
    int64_t data, data_bytes; /**< where the data begin, and how many bytes of it the file has */
    int64_t first_entry;
    bool has_metadata;
    int64_t unknown_keys; /**< keys of tensors that we do not know */
    char unknown_example[WORD];
} header_reader;

/** What one tensor's object has said so far. */
typedef struct tensor_fields {
    bool has_dtype, has_shape, has_offsets;
    eck_dtype dtype;
    int32_t ndim;
    int64_t shape[ECK_DIMS_MAX];
    int64_t begin, end;
} tensor_fields;

/** Little-endian 64 bits. */
static uint64_t read_u64(const unsigned char bytes[8])
{
    uint64_t value = 0;
    for (int32_t i = 7; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

/** The string that comes next, unescaped; "" for one too long to be a word we know. */
static eck_status read_word(char out[WORD], ecki_scan *scan)
{
    char room[WORD * 6];
    const char *raw;
    int64_t length;

    const eck_status status = ecki_scan_string(scan, &raw, &length);
    if (status != ECK_OK) return status;
    out[0] = '\0';
    if (length >= (int64_t)sizeof room) return ECK_OK;
    length = ecki_scan_unescape(room, raw, length);
    if (length < WORD) memcpy(out, room, (size_t)length + 1);
    return ECK_OK;
}

/** The string that comes next, unescaped, as long as the container lives. */
static eck_status read_text(char **out, header_reader *reader)
{
    const char *raw;
    int64_t length;
    const eck_status status = ecki_scan_string(&reader->scan, &raw, &length);
    if (status != ECK_OK) return status;
    char *text = ecki_container_room(reader->container, length + 1);
    if (!text) return ecki_error_memory(reader->scan.err, length);
    ecki_scan_unescape(text, raw, length);
    *out = text;
    return ECK_OK;
}

/** Fails with what is wrong about a tensor, at a byte of the header. */
#define TENSOR_ERROR(reader, code, at, tensor, ...) \
    ecki_place_error((reader)->scan.err, code, \
                     (ecki_place){ (reader)->scan.file, tensor, (reader)->scan.start + (at) }, \
                     __VA_ARGS__)

/** "dtype": one we know. */
static eck_status read_dtype(tensor_fields *fields, header_reader *reader, const char *tensor)
{
    char word[WORD], shown[WORD];
    ecki_scan_blank(&reader->scan);
    const int64_t at = reader->scan.at;
    const eck_status status = read_word(word, &reader->scan);
    if (status != ECK_OK) return status;
    // eck_dtype_parse() is lenient about case, the format is not
    fields->dtype = eck_dtype_parse(word);
    fields->has_dtype = true;
    if (fields->dtype != ECK_DTYPE_NONE && strcmp(eck_dtype_name(fields->dtype), word) == 0)
        return ECK_OK;
    ecki_name_escape(shown, sizeof shown, word);
    return TENSOR_ERROR(reader, ECK_E_UNSUPPORTED, at, tensor, "unknown dtype '%s'", shown);
}

/** "shape": [d, ...]. */
static eck_status read_shape(tensor_fields *fields, header_reader *reader, const char *tensor)
{
    ecki_scan *scan = &reader->scan;
    eck_status status = ECK_OK;

    fields->has_shape = true;
    ECK_TRY(ecki_scan_expect(scan, '[', "'[' is missing"));
    if (ecki_scan_accept(scan, ']')) goto done;
    do {
        int64_t dimension;
        if (fields->ndim == ECK_DIMS_MAX) {
            status = TENSOR_ERROR(reader, ECK_E_UNSUPPORTED, scan->at, tensor,
                                  "more than %d dimensions", ECK_DIMS_MAX);
            goto done;
        }
        ecki_scan_blank(scan);
        const int64_t at = scan->at;
        ECK_TRY(ecki_scan_integer(scan, &dimension));
        if (dimension > dimension_max) {
            status =
                TENSOR_ERROR(reader, ECK_E_FORMAT, at, tensor, "dimension %d is %lld, at most 2^48",
                             fields->ndim, (long long)dimension);
            goto done;
        }
        fields->shape[fields->ndim++] = dimension;
    } while (ecki_scan_accept(scan, ','));
    ECK_TRY(ecki_scan_expect(scan, ']', "',' or ']' is missing"));
done:
    return status;
}

/** "data_offsets": [begin, end]. */
static eck_status read_offsets(tensor_fields *fields, header_reader *reader)
{
    ecki_scan *scan = &reader->scan;
    eck_status status = ECK_OK;

    fields->has_offsets = true;
    ECK_TRY(ecki_scan_expect(scan, '[', "'[' is missing"));
    ECK_TRY(ecki_scan_integer(scan, &fields->begin));
    ECK_TRY(ecki_scan_expect(scan, ',', "',' is missing"));
    ECK_TRY(ecki_scan_integer(scan, &fields->end));
    ECK_TRY(ecki_scan_expect(scan, ']', "']' is missing"));
done:
    return status;
}

/** One key of a tensor's object and its value. */
static eck_status read_field(tensor_fields *fields, header_reader *reader, const char *tensor)
{
    eck_status status = ECK_OK;
    char key[WORD];

    ecki_scan_blank(&reader->scan);
    const int64_t at = reader->scan.at;
    ECK_TRY(read_word(key, &reader->scan));
    ECK_TRY(ecki_scan_expect(&reader->scan, ':', "':' is missing"));
    const bool is_dtype = strcmp(key, "dtype") == 0, is_shape = strcmp(key, "shape") == 0;
    const bool is_offsets = strcmp(key, "data_offsets") == 0;
    if ((is_dtype && fields->has_dtype) || (is_shape && fields->has_shape) ||
        (is_offsets && fields->has_offsets))
        return TENSOR_ERROR(reader, ECK_E_FORMAT, at, tensor, "'%s' comes twice", key);
    if (is_dtype) return read_dtype(fields, reader, tensor);
    if (is_shape) return read_shape(fields, reader, tensor);
    if (is_offsets) return read_offsets(fields, reader);
    if (reader->unknown_keys++ == 0)
        ecki_name_escape(reader->unknown_example, sizeof reader->unknown_example, key);
    ECK_TRY(ecki_scan_skip(&reader->scan));
done:
    return status;
}

/** The whole object of one tensor. */
static eck_status read_fields(tensor_fields *fields, header_reader *reader, const char *tensor)
{
    ecki_scan *scan = &reader->scan;
    eck_status status = ECK_OK;

    memset(fields, 0, sizeof *fields);
    ECK_TRY(ecki_scan_expect(scan, '{', "'{' is missing"));
    scan->depth++;
    if (!ecki_scan_accept(scan, '}')) {
        do {
            ECK_TRY(read_field(fields, reader, tensor));
        } while (ecki_scan_accept(scan, ','));
        ECK_TRY(ecki_scan_expect(scan, '}', "',' or '}' is missing"));
    }
    scan->depth--;
    const char *missing = !fields->has_dtype   ? "dtype"
                          : !fields->has_shape ? "shape"
                                               : "data_offsets";
    if (!fields->has_dtype || !fields->has_shape || !fields->has_offsets)
        status =
            TENSOR_ERROR(reader, ECK_E_FORMAT, scan->at - 1, tensor, "'%s' is missing", missing);
done:
    return status;
}

/** Holds a tensor's shape, type and offsets against each other and against the file. */
static eck_status check_fields(const tensor_fields *fields, const header_reader *reader,
                               const char *tensor)
{
    const int64_t at = reader->scan.at - 1;
    int64_t count, bytes;

    if (!ecki_shape_count(fields->ndim, fields->shape, &count))
        return TENSOR_ERROR(reader, ECK_E_FORMAT, at, tensor,
                            "the product of its dimensions exceeds 2^63");
    if (!ecki_dtype_bytes(fields->dtype, count, &bytes))
        return TENSOR_ERROR(reader, ECK_E_FORMAT, at, tensor,
                            "%lld elements of %d bits are no number of bytes", (long long)count,
                            eck_dtype_bits(fields->dtype));
    if (fields->end < fields->begin)
        return TENSOR_ERROR(reader, ECK_E_FORMAT, at, tensor,
                            "it begins at byte %lld and ends at %lld", (long long)fields->begin,
                            (long long)fields->end);
    if (fields->end - fields->begin != bytes)
        return TENSOR_ERROR(reader, ECK_E_FORMAT, at, tensor,
                            "its shape takes %lld bytes, its offsets hold %lld", (long long)bytes,
                            (long long)(fields->end - fields->begin));
    if (fields->end > reader->data_bytes)
        return TENSOR_ERROR(reader, ECK_E_FORMAT, at, tensor, "%lld bytes missing of %lld",
                            (long long)ecki_min(bytes, fields->end - reader->data_bytes),
                            (long long)bytes);
    return ECK_OK;
}

/** The tensor `name`, whose object comes next. */
static eck_status read_tensor(header_reader *reader, const char *name)
{
    eck_status status = ECK_OK;
    tensor_fields fields;
    ecki_entry *entry;

    ECK_TRY(read_fields(&fields, reader, name));
    ECK_TRY(check_fields(&fields, reader, name));
    ECK_TRY(ecki_container_add_entry(&entry, reader->container, reader->scan.err));
    entry->name = name;
    entry->file = reader->file;
    entry->dtype = fields.dtype;
    entry->ndim = fields.ndim;
    memcpy(entry->shape, fields.shape, sizeof entry->shape);
    entry->offset = reader->data + fields.begin;
    entry->bytes = fields.end - fields.begin;
done:
    return status;
}

/** Order of metadata by key. */
static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/** Refuses a metadata key that comes twice; pairs are sorted by key. */
static eck_status check_metadata(header_reader *reader, char **pairs, int64_t count)
{
    char shown[200];
    qsort(pairs, (size_t)count / 2, 2 * sizeof *pairs, compare_keys);
    for (int64_t i = 2; i < count; i += 2) {
        if (strcmp(pairs[i - 2], pairs[i]) != 0) continue;
        ecki_name_escape(shown, sizeof shown, pairs[i]);
        return TENSOR_ERROR(reader, ECK_E_FORMAT, reader->scan.at, NULL,
                            "metadata key '%s' comes twice", shown);
    }
    return ECK_OK;
}

/** "__metadata__": {"key": "value", ...} or null. That of the first file is the container's. */
static eck_status read_metadata(header_reader *reader)
{
    ecki_scan *scan = &reader->scan;
    ecki_container *container = reader->container;
    const int64_t before = container->metadata_count;
    eck_status status = ECK_OK;
    char *key, *value;

    ecki_scan_blank(scan);
    if (scan->length - scan->at >= 4 && memcmp(scan->text + scan->at, "null", 4) == 0)
        return ecki_scan_skip(scan);
    ECK_TRY(ecki_scan_expect(scan, '{', "'{' is missing"));
    if (ecki_scan_accept(scan, '}')) goto done;
    do {
        ECK_TRY(read_text(&key, reader));
        ECK_TRY(ecki_scan_expect(scan, ':', "':' is missing"));
        ECK_TRY(read_text(&value, reader));
        ECK_TRY(ecki_container_add_metadata(container, key, value, scan->err));
    } while (ecki_scan_accept(scan, ','));
    ECK_TRY(ecki_scan_expect(scan, '}', "',' or '}' is missing"));
    ECK_TRY(
        check_metadata(reader, container->metadata + before, container->metadata_count - before));
    if (reader->file > 0) container->metadata_count = before;
done:
    return status;
}

/** One member of the header: metadata or a tensor. */
static eck_status read_member(header_reader *reader)
{
    ecki_scan *scan = &reader->scan;
    eck_status status = ECK_OK;
    char *name;

    ecki_scan_blank(scan);
    const int64_t at = scan->at;
    ECK_TRY(read_text(&name, reader));
    ECK_TRY(ecki_scan_expect(scan, ':', "':' is missing"));
    if (strcmp(name, "__metadata__") == 0) {
        if (reader->has_metadata) return ecki_scan_fail(scan, at, "a second '__metadata__'");
        reader->has_metadata = true;
        return read_metadata(reader);
    }
    const int64_t length = (int64_t)strlen(name);
    if (length == 0) return ecki_scan_fail(scan, at, "a tensor without a name");
    if (!ecki_name_valid(name, length))
        return TENSOR_ERROR(reader, ECK_E_FORMAT, at, name,
                            "its name has control characters or more than 1024 bytes (%lld)",
                            (long long)length);
    ECK_TRY(read_tensor(reader, name));
done:
    return status;
}

/** The whole header. */
static eck_status read_members(header_reader *reader)
{
    ecki_scan *scan = &reader->scan;
    eck_status status = ECK_OK;

    ECK_TRY(ecki_scan_expect(scan, '{', "'{' is missing"));
    scan->depth = 1;
    if (!ecki_scan_accept(scan, '}')) {
        do {
            ECK_TRY(read_member(reader));
        } while (ecki_scan_accept(scan, ','));
        ECK_TRY(ecki_scan_expect(scan, '}', "',' or '}' is missing"));
    }
    ECK_TRY(ecki_scan_end(scan));
done:
    return status;
}

/** Order by place; empty tensors before the one that begins where they lie. */
static int compare_places(const void *a, const void *b)
{
    const ecki_entry *first = a, *second = b;
    if (first->offset != second->offset) return first->offset < second->offset ? -1 : 1;
    if (first->bytes != second->bytes) return first->bytes < second->bytes ? -1 : 1;
    return strcmp(first->name, second->name);
}

/** Sorts the file's entries by place and refuses holes, overlaps and what follows the last. */
static eck_status check_places(header_reader *reader)
{
    eck_error *err = reader->scan.err;
    const char *file = reader->scan.file;
    const int64_t count = reader->container->entry_count - reader->first_entry;
    ecki_entry *entries = count > 0 ? &reader->container->entries[reader->first_entry] : NULL;
    int64_t end = reader->data;
    char shown[200];

    if (count > 0) qsort(entries, (size_t)count, sizeof *entries, compare_places);
    for (int64_t i = 0; i < count; i++) {
        const ecki_entry *entry = &entries[i];
        if (entry->offset > end)
            return ecki_place_error(err, ECK_E_FORMAT, (ecki_place){ file, entry->name, end },
                                    "%lld bytes before it belong to no tensor",
                                    (long long)(entry->offset - end));
        if (entry->offset < end) {
            ecki_name_escape(shown, sizeof shown, entries[i - 1].name);
            return ecki_place_error(err, ECK_E_FORMAT,
                                    (ecki_place){ file, entry->name, entry->offset },
                                    "it overlaps '%s'", shown);
        }
        end += entry->bytes;
    }
    const int64_t left = reader->data + reader->data_bytes - end;
    if (left > 0)
        return ecki_read_error(err, ECK_E_FORMAT, end, file, "%lld bytes follow the last tensor",
                               (long long)left);
    return ECK_OK;
}

/** Length of the header, from the first eight bytes. */
static eck_status read_length(int64_t *out, const ecki_file *file, eck_error *err)
{
    unsigned char prefix[PREFIX];
    if (file->size < PREFIX)
        return ecki_read_error(err, ECK_E_FORMAT, file->size, file->name,
                               "%lld bytes, a header needs %d", (long long)file->size, PREFIX);
    const eck_status status = ecki_input_read(file, NULL, 0, prefix, PREFIX, err);
    if (status != ECK_OK) return status;
    const uint64_t length = read_u64(prefix);
    if (length > HEADER_MAX)
        return ecki_read_error(err, ECK_E_FORMAT, 0, file->name,
                               "a header of %llu bytes, at most %d", (unsigned long long)length,
                               HEADER_MAX);
    if ((int64_t)length > file->size - PREFIX)
        return ecki_read_error(err, ECK_E_FORMAT, 0, file->name,
                               "a header of %llu bytes, the file has %lld",
                               (unsigned long long)length, (long long)(file->size - PREFIX));
    *out = (int64_t)length;
    return ECK_OK;
}

eck_status ecki_safetensors_index(ecki_container *container, int32_t index, eck_error *err)
{
    eck_status status = ECK_OK;
    char *text = NULL;
    int64_t length = 0;
    const ecki_file *file = &container->files[index];

    ECK_TRY(read_length(&length, file, err));
    ECK_ALLOC_RAW(text, length + 1);
    ECK_TRY(ecki_input_read(file, NULL, PREFIX, text, length, err));
    header_reader reader = { .scan = { .text = text,
                                       .length = length,
                                       .start = PREFIX,
                                       .file = file->name,
                                       .depth_limit = HEADER_DEPTH,
                                       .err = err },
                             .container = container,
                             .file = index,
                             .data = PREFIX + length,
                             .data_bytes = file->size - PREFIX - length,
                             .first_entry = container->entry_count };
    ECK_TRY(read_members(&reader));
    ECK_TRY(check_places(&reader));
    if (reader.unknown_keys > 0)
        ECK_TRY(ecki_container_warn(
            container, err, "%lld unknown keys in the header of '%s' ignored ('%s')",
            (long long)reader.unknown_keys, file->name, reader.unknown_example));
done:
    ecki_free(text);
    return status;
}

/** By the first bytes: a length that fits the file, then the header's brace. */
static ecki_match probe(const ecki_head *head)
{
    const bool named = ecki_ends_with(head->path, ".safetensors");
    if (head->count > PREFIX) {
        const uint64_t length = read_u64((const unsigned char *)head->bytes);
        const bool fits = length <= HEADER_MAX && (int64_t)length <= head->size - PREFIX;
        if (fits && head->bytes[PREFIX] && strchr("{ \t\r\n", head->bytes[PREFIX]))
            return ECKI_MATCH_CONTENT;
    }
    return named ? ECKI_MATCH_ENDING : ECKI_MATCH_NONE;
}

/** One file. */
static eck_status open_file(ecki_container *container, eck_error *err)
{
    return ecki_safetensors_index(container, 0, err);
}

const ecki_reader ecki_reader_safetensors = { "safetensors", probe, open_file };
