/*
 * Tensors of ONNX: where their numbers lie. raw_data, packed floats and doubles and external files are read in place;
 * numbers stored one by one (varints, unpacked floats) are decoded when the file is opened, into one block of memory.
 * Every size is held against the shape before anything is believed.
 */
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"
#include "format/input.h"
#include "format/onnx.h"

enum { DECODED_MAX = 1 << 30, EXTERNAL = 1 };
static const int64_t dimension_max = INT64_C(1) << 48;

/** The types of ONNX by their numbers, and the field in which numbers of the type stand one by one. */
static const struct {
    eck_dtype dtype;
    int32_t field;
} types[] = {
    [1] = { ECK_DTYPE_F32, 4 },          [2] = { ECK_DTYPE_U8, 5 },
    [3] = { ECK_DTYPE_I8, 5 },           [4] = { ECK_DTYPE_U16, 5 },
    [5] = { ECK_DTYPE_I16, 5 },          [6] = { ECK_DTYPE_I32, 5 },
    [7] = { ECK_DTYPE_I64, 7 },          [8] = { ECK_DTYPE_NONE, 6 },
    [9] = { ECK_DTYPE_BOOL, 5 },         [10] = { ECK_DTYPE_F16, 5 },
    [11] = { ECK_DTYPE_F64, 10 },        [12] = { ECK_DTYPE_U32, 11 },
    [13] = { ECK_DTYPE_U64, 11 },        [14] = { ECK_DTYPE_C64, 4 },
    [16] = { ECK_DTYPE_BF16, 5 },        [17] = { ECK_DTYPE_F8_E4M3, 5 },
    [18] = { ECK_DTYPE_F8_E4M3FNUZ, 5 }, [19] = { ECK_DTYPE_F8_E5M2, 5 },
    [20] = { ECK_DTYPE_F8_E5M2FNUZ, 5 }, [24] = { ECK_DTYPE_F8_E8M0, 5 },
};
enum { TYPES = sizeof types / sizeof *types };

int32_t ecki_onnx_type(eck_dtype dtype)
{
    for (int32_t i = 1; i < TYPES; i++)
        if (types[i].dtype == dtype && dtype != ECK_DTYPE_NONE) return i;
    return 0;
}

/** What a TensorProto says. */
typedef struct tensor_fields {
    const char *name;
    int32_t type, ndim;
    int64_t shape[ECK_DIMS_MAX];
    int32_t location;
    ecki_span raw; /**< of raw_data */
    bool has_raw, has_external, segmented;
    int32_t listed; /**< field of the first list of numbers, 0 none */
    int32_t lists; /**< fields of that number */
    ecki_field first; /**< of them */
    const char *file; /**< of external_data; NULL: not said */
    int64_t offset, length; /**< -1: not said */
} tensor_fields;

/** What is read, for the functions below. */
typedef struct subject {
    ecki_onnx_reading *r;
    ecki_onnx_tensor *tensor;
    tensor_fields fields;
} subject;

/** Fails about the tensor. */
static eck_status fail(const subject *s, eck_status status, const char *what)
{
    const char *name = s->fields.name ? s->fields.name : s->tensor->name;
    return ecki_place_error(s->r->wire.err, status,
                            (ecki_place){ s->r->wire.file->name, name, s->tensor->field.begin },
                            "%s", what);
}

/** As fail(), with what was found and what is allowed. */
static eck_status fail_sizes(const subject *s, const char *what, int64_t found, int64_t wanted)
{
    char text[200];
    ecki_text out = { 0 };
    ecki_text_printf(&out, "%s of %lld, its shape needs %lld", what, (long long)found,
                     (long long)wanted);
    const char *detail = out.data ? out.data : what;
    const size_t length = ecki_min((int64_t)strlen(detail), (int64_t)sizeof text - 1);
    memcpy(text, detail, length);
    text[length] = '\0';
    ecki_text_clear(&out);
    return fail(s, ECK_E_FORMAT, text);
}

/* ---- fields ------------------------------------------------------------------------------------------------------- */

static eck_status add_dimension(subject *s, uint64_t value)
{
    tensor_fields *f = &s->fields;
    if (value > (uint64_t)dimension_max)
        return fail(s, ECK_E_FORMAT, "a dimension that is negative or above 2^48");
    if (f->ndim == ECK_DIMS_MAX) return fail(s, ECK_E_UNSUPPORTED, "more than 8 dimensions");
    f->shape[f->ndim++] = (int64_t)value;
    return ECK_OK;
}

/** Dimensions, one a field or packed. */
static eck_status read_dimensions(subject *s, const ecki_wire *wire, const ecki_field *field)
{
    eck_status status = ECK_OK;
    ecki_wire list = ecki_wire_inside(wire, field);

    if (field->type == ECKI_WIRE_VARINT) return add_dimension(s, field->value);
    if (field->type != ECKI_WIRE_BYTES) return fail(s, ECK_E_FORMAT, "dimensions of a wrong type");
    while (status == ECK_OK && list.at < list.end) {
        uint64_t value;
        status = ecki_wire_varint(&value, &list);
        if (status == ECK_OK) status = add_dimension(s, value);
    }
    return status;
}

/** A number in external_data, in decimal. */
static eck_status read_decimal(subject *s, int64_t *out, const char *text)
{
    return ecki_parse_int(text, (int64_t)strlen(text), out)
               ? ECK_OK
               : fail(s, ECK_E_FORMAT, "external data whose offset or length is no number");
}

/** One pair of external_data. */
static eck_status read_external(subject *s, const ecki_wire *wire, const ecki_field *whole)
{
    eck_status status = ECK_OK;
    ecki_wire pair = ecki_wire_inside(wire, whole);
    const char *key = "", *value = "";
    ecki_field field;

    if (whole->type != ECKI_WIRE_BYTES) return fail(s, ECK_E_FORMAT, "external data of no pairs");
    do {
        ECK_TRY(ecki_wire_next(&field, &pair));
        if (field.number == 1)
            ECK_TRY(ecki_onnx_string(&key, s->r, &field, "a key of external data"));
        if (field.number == 2)
            ECK_TRY(ecki_onnx_string(&value, s->r, &field, "a value of external data"));
    } while (field.number != 0);
    s->fields.has_external = true;
    if (strcmp(key, "location") == 0) s->fields.file = value;
    if (strcmp(key, "offset") == 0) ECK_TRY(read_decimal(s, &s->fields.offset, value));
    if (strcmp(key, "length") == 0) ECK_TRY(read_decimal(s, &s->fields.length, value));
done:
    return status;
}

/** A list of numbers: only where it begins. */
static eck_status note_list(subject *s, const ecki_field *field)
{
    tensor_fields *f = &s->fields;
    if (f->lists > 0 && f->listed != field->number)
        return fail(s, ECK_E_FORMAT, "its numbers stand in two fields");
    if (f->lists++ == 0) f->first = *field;
    f->listed = field->number;
    return ECK_OK;
}

static eck_status read_field(subject *s, const ecki_wire *wire, const ecki_field *field)
{
    tensor_fields *f = &s->fields;

    switch (field->number) {
    case 1:
        return read_dimensions(s, wire, field);
    case 2:
        f->type = (int32_t)(field->value <= INT32_MAX ? field->value : 0);
        return ECK_OK;
    case 3:
        f->segmented = true;
        return ECK_OK;
    case 4:
    case 5:
    case 6:
    case 7:
    case 10:
    case 11:
        return note_list(s, field);
    case 8:
        return ecki_onnx_string(&f->name, s->r, field, "a tensor's name");
    case 9:
        if (field->type != ECKI_WIRE_BYTES || f->has_raw)
            return fail(s, ECK_E_FORMAT, "raw_data that is no bytes, or there twice");
        f->has_raw = true;
        f->raw = (ecki_span){ field->begin, field->end };
        return ECK_OK;
    case 13:
        return read_external(s, wire, field);
    case 14:
        f->location = (int32_t)(field->value <= INT32_MAX ? field->value : INT32_MAX);
        return ECK_OK;
    default:
        return ECK_OK;
    }
}

static eck_status read_fields(subject *s)
{
    eck_status status = ECK_OK;
    const ecki_field whole = { .begin = s->tensor->content.begin, .end = s->tensor->content.end };
    ecki_wire wire = ecki_wire_inside(&s->r->wire, &whole);
    ecki_field field;

    s->fields.offset = s->fields.length = -1;
    do {
        ECK_TRY(ecki_wire_next(&field, &wire));
        ECK_TRY(read_field(s, &wire, &field));
    } while (field.number != 0);
done:
    return status;
}

/** The combinations that no reader of others takes the same way are refused. */
static eck_status check_fields(const subject *s)
{
    const tensor_fields *f = &s->fields;
    const bool external = f->location == EXTERNAL;

    if (f->type < 1) return fail(s, ECK_E_FORMAT, "it has no type");
    if (f->segmented) return fail(s, ECK_E_UNSUPPORTED, "it is one segment of a tensor");
    if (f->location > EXTERNAL) return fail(s, ECK_E_FORMAT, "an unknown data_location");
    if (f->has_raw && f->lists > 0)
        return fail(s, ECK_E_FORMAT, "its numbers stand in raw_data and in a list too");
    if (external && (f->has_raw || f->lists > 0))
        return fail(s, ECK_E_FORMAT, "its numbers stand in the file and in an external one too");
    if (external && (!f->file || !f->file[0]))
        return fail(s, ECK_E_FORMAT, "external data without a location");
    if (!external && f->has_external)
        return fail(s, ECK_E_FORMAT, "external data, and a data_location that denies it");
    return ECK_OK;
}

/* ---- numbers ------------------------------------------------------------------------------------------------------ */

/** Room for more decoded bytes; gives where they go. */
static eck_status decoded_room(char **out, subject *s, int64_t bytes)
{
    eck_status status = ECK_OK;
    ecki_onnx_reading *r = s->r;
    ecki_container *container = r->container;
    eck_error *err = r->wire.err;
    ecki_file fresh = ECKI_FILE_NONE;

    if (r->decoded < 0) {
        fresh.name = ecki_strdup(r->wire.file->name);
        ECK_HAVE(fresh.name);
        fresh.path = ecki_strdup(r->wire.file->path);
        ECK_HAVE(fresh.path);
        fresh.memory = ecki_malloc(1, 1);
        ECK_HAVE(fresh.memory);
        ECK_TRY(ecki_container_take_file(&r->decoded, container, &fresh, err));
    }
    ecki_file *file = &container->files[r->decoded];
    const int64_t need = file->size + bytes;
    if (need > DECODED_MAX) {
        status = fail(s, ECK_E_UNSUPPORTED,
                      "more than a gigabyte of numbers stored one by one; save them as raw_data");
        goto done;
    }
    if (need > r->decoded_room) {
        const int64_t room = ecki_max(need, 2 * r->decoded_room);
        void *memory = ecki_realloc(file->memory, room, 1);
        ECK_HAVE(memory);
        file->memory = memory;
        r->decoded_room = room;
    }
    *out = (char *)file->memory + file->size;
done:
    ecki_input_close(&fresh);
    return status;
}

/** A list being decoded: numbers of `size` bytes, of wire type `wire_type`. */
typedef struct decoding {
    char *out;
    int64_t size, count, limit;
    int32_t wire_type;
} decoding;

/** One number of a list. */
static bool put_number(decoding *d, uint64_t value)
{
    if (d->count == d->limit) return false;
    memcpy(d->out + d->count * d->size, &value, (size_t)d->size);
    d->count++;
    return true;
}

/** The numbers of one field: alone or packed. */
static eck_status decode_field(decoding *d, subject *s, const ecki_wire *wire,
                               const ecki_field *field)
{
    ecki_wire list = ecki_wire_inside(wire, field);
    eck_status status = ECK_OK;
    bool fits = true;

    if (field->type == d->wire_type) {
        fits = put_number(d, field->value);
    } else if (field->type != ECKI_WIRE_BYTES) {
        return fail(s, ECK_E_FORMAT, "its list of numbers is of a wrong type");
    }
    while (field->type == ECKI_WIRE_BYTES && fits && list.at < list.end) {
        uint64_t value = 0;
        if (d->wire_type == ECKI_WIRE_VARINT) {
            status = ecki_wire_varint(&value, &list);
        } else if (list.end - list.at < d->size) {
            return fail(s, ECK_E_FORMAT, "its list ends within a number");
        } else {
            status = ecki_wire_bytes(&value, &list, list.at, d->size);
            list.at += d->size;
        }
        if (status != ECK_OK) return status;
        fits = put_number(d, value);
    }
    return fits ? ECK_OK : fail(s, ECK_E_FORMAT, "more numbers than its shape has");
}

/** Walks the tensor once more and decodes its list into memory. */
static eck_status decode(subject *s, ecki_entry *entry)
{
    eck_status status = ECK_OK;
    const ecki_field whole = { .begin = s->tensor->content.begin, .end = s->tensor->content.end };
    const int32_t number = s->fields.listed;
    ecki_field field;
    decoding d = { .size = number == 4 ? 4 : eck_dtype_bits(entry->dtype) / 8,
                   .wire_type = number == 4    ? ECKI_WIRE_FOUR
                                : number == 10 ? ECKI_WIRE_EIGHT
                                               : ECKI_WIRE_VARINT };

    d.limit = entry->bytes / d.size;
    // a number takes a byte at least: a shape cannot ask for more than the file could hold
    if (d.limit > s->tensor->content.end - s->tensor->content.begin)
        return fail_sizes(s, "fewer numbers than its shape needs, a message",
                          s->tensor->content.end - s->tensor->content.begin, d.limit);
    ECK_TRY(decoded_room(&d.out, s, entry->bytes));
    ecki_wire wire = ecki_wire_inside(&s->r->wire, &whole);
    do {
        ECK_TRY(ecki_wire_next(&field, &wire));
        if (field.number == number) ECK_TRY(decode_field(&d, s, &wire, &field));
    } while (field.number != 0);
    if (d.count != d.limit) ECK_TRY(fail_sizes(s, "a list", d.count, d.limit));
    entry->file = s->r->decoded;
    entry->offset = s->r->container->files[entry->file].size;
    s->r->container->files[entry->file].size += entry->bytes;
done:
    return status;
}

/** A list of floats or doubles in one packed field lies in the file as it would in memory. */
static bool lies_in_place(const subject *s)
{
    const tensor_fields *f = &s->fields;
    return f->lists == 1 && f->first.type == ECKI_WIRE_BYTES && (f->listed == 4 || f->listed == 10);
}

static eck_status find_listed(subject *s, ecki_entry *entry)
{
    const tensor_fields *f = &s->fields;
    const int64_t bytes = f->first.end - f->first.begin;

    if (f->listed != types[f->type].field)
        return fail(s, ECK_E_FORMAT, "its numbers stand in a field of another type");
    if (!lies_in_place(s)) return decode(s, entry);
    if (bytes != entry->bytes)
        return fail_sizes(s, "a list of numbers, bytes", bytes, entry->bytes);
    entry->file = 0;
    entry->offset = f->first.begin;
    return ECK_OK;
}

static eck_status find_external(subject *s, ecki_entry *entry)
{
    const tensor_fields *f = &s->fields;
    const int64_t offset = f->offset < 0 ? 0 : f->offset;

    if (f->length >= 0 && f->length != entry->bytes)
        return fail_sizes(s, "external data, a length", f->length, entry->bytes);
    const eck_status status =
        ecki_onnx_open_external(&entry->file, s->r, f->name ? f->name : "", f->file);
    if (status != ECK_OK) return status;
    const int64_t size = s->r->container->files[entry->file].size;
    if (offset > size || entry->bytes > size - offset)
        return ecki_place_error(
            s->r->wire.err, ECK_E_FORMAT,
            (ecki_place){ s->r->container->files[entry->file].name, f->name, offset },
            "%lld bytes from %lld on, the file has %lld", (long long)entry->bytes,
            (long long)offset, (long long)size);
    entry->offset = offset;
    return ECK_OK;
}

/** Where the numbers lie. */
static eck_status find_numbers(subject *s, ecki_entry *entry)
{
    const tensor_fields *f = &s->fields;
    const int64_t raw = f->raw.end - f->raw.begin;

    if (f->location == EXTERNAL) return find_external(s, entry);
    if (f->lists > 0) return find_listed(s, entry);
    if (f->has_raw && raw != entry->bytes) return fail_sizes(s, "raw_data", raw, entry->bytes);
    if (!f->has_raw && entry->bytes > 0) return fail(s, ECK_E_FORMAT, "it has no numbers");
    entry->file = 0;
    entry->offset = f->has_raw ? f->raw.begin : s->tensor->content.begin;
    return ECK_OK;
}

/* ---- the whole ---------------------------------------------------------------------------------------------------- */

static eck_status add_entry(subject *s)
{
    eck_status status = ECK_OK;
    eck_error *err = s->r->wire.err;
    ecki_entry entry = { .dtype = types[s->fields.type].dtype, .ndim = s->fields.ndim };
    ecki_entry *added = NULL;
    int64_t count = 0;

    memcpy(entry.shape, s->fields.shape, sizeof entry.shape);
    if (!ecki_shape_count(entry.ndim, entry.shape, &count) ||
        !ecki_mul(count, eck_dtype_bits(entry.dtype) / 8, &entry.bytes))
        return fail(s, ECK_E_FORMAT, "its shape has too many numbers");
    ECK_TRY(find_numbers(s, &entry));
    entry.name = s->fields.name;
    s->tensor->entry = s->r->container->entry_count;
    ECK_TRY(ecki_container_add_entry(&added, s->r->container, err));
    *added = entry;
done:
    return status;
}

eck_status ecki_onnx_read_tensor(ecki_onnx_reading *r, ecki_onnx_tensor *tensor)
{
    eck_status status = ECK_OK;
    eck_error *err = r->wire.err;
    subject s = { r, tensor, { 0 } };

    ECK_TRY(read_fields(&s));
    ECK_TRY(check_fields(&s));
    if (tensor->node >= 0)
        s.fields.name = tensor->name; // what a Constant's tensor is called says nothing
    if (!s.fields.name || !s.fields.name[0]) {
        status = fail(&s, ECK_E_FORMAT, "an initializer without a name");
        goto done;
    }
    tensor->name = s.fields.name;
    tensor->type = s.fields.type;
    tensor->external = s.fields.location == EXTERNAL;
    if (s.fields.type < TYPES && types[s.fields.type].dtype != ECK_DTYPE_NONE)
        ECK_TRY(add_entry(&s));
    else
        r->onnx->opaque++;
    ecki_onnx_tensor *tensors = ecki_grow(r->onnx->tensors, r->onnx->tensor_count, sizeof *tensors);
    ECK_HAVE(tensors);
    r->onnx->tensors = tensors;
    tensors[r->onnx->tensor_count++] = *tensor;
done:
    return status;
}
