/*
 * The head of a .npy array: a parser for the few Python literals that may stand in it, and the
 * reader of .npy files. Nothing is evaluated; what NumPy would unpickle is refused.
 */
#include "format/npy.h"

#include <string.h>

#include "base/checked.h"
#include "format/container.h"
#include "tensor/codec.h"

enum {
    MAGIC = 6,
    PREFIX_1 = 10,
    PREFIX_2 = 12,
    TEXT_MAX = ECKI_NPY_HEAD_MAX - PREFIX_2,
    HEAD_MULTIPLE = 64
};
static const char magic[] = "\x93NUMPY";
static const int64_t dimension_max = INT64_C(1) << 48;

/** NumPy's names of types, without the byte order. */
static const struct {
    const char *name;
    eck_dtype dtype;
} types[] = {
    { "f8", ECK_DTYPE_F64 }, { "f4", ECK_DTYPE_F32 }, { "f2", ECK_DTYPE_F16 },
    { "i1", ECK_DTYPE_I8 },  { "u1", ECK_DTYPE_U8 },  { "i2", ECK_DTYPE_I16 },
    { "u2", ECK_DTYPE_U16 }, { "i4", ECK_DTYPE_I32 }, { "u4", ECK_DTYPE_U32 },
    { "i8", ECK_DTYPE_I64 }, { "u8", ECK_DTYPE_U64 }, { "b1", ECK_DTYPE_BOOL },
};
enum { TYPES = sizeof types / sizeof *types };

/** A cursor over the text of a head. */
typedef struct literal {
    const char *text;
    int64_t length, at;
    bool long_suffix; /**< versions 1 and 2 may come from Python 2, which wrote 3L */
    ecki_place place; /**< its offset is that of text[0] */
    eck_error *err;
} literal;

/** What the dictionary has said so far. */
typedef struct fields {
    bool has_descr, has_order, has_shape;
} fields;

/** Fails at a byte of the text. */
static eck_status literal_error(const literal *scan, int64_t at, const char *what)
{
    const ecki_place place = { scan->place.file, scan->place.tensor, scan->place.offset + at };
    return ecki_place_error(scan->err, ECK_E_FORMAT, place, "%s at byte %lld of its header", what,
                            (long long)at);
}

/** Skips blanks. */
static void skip_blanks(literal *scan)
{
    while (scan->at < scan->length && scan->text[scan->at] &&
           strchr(" \t\r\n\f", scan->text[scan->at]))
        scan->at++;
}

/** Skips blanks; takes the next byte if it is `byte`. */
static bool accept(literal *scan, char byte)
{
    skip_blanks(scan);
    if (scan->at >= scan->length || scan->text[scan->at] != byte) return false;
    scan->at++;
    return true;
}

/** A string in either kind of quotes, without escapes; borrowed. */
static eck_status read_string(literal *scan, const char **out, int64_t *length_out)
{
    const char quote = accept(scan, '\'') ? '\'' : '"';
    if (quote == '"' && !accept(scan, '"'))
        return literal_error(scan, scan->at, "a string is missing");
    const int64_t first = scan->at;
    while (scan->at < scan->length && scan->text[scan->at] != quote && scan->text[scan->at] != '\\')
        scan->at++;
    if (scan->at >= scan->length || scan->text[scan->at] != quote)
        return literal_error(scan, first, "a string without an end");
    *out = scan->text + first;
    *length_out = scan->at++ - first;
    return ECK_OK;
}

/** Takes a word if it comes next. */
static bool accept_word(literal *scan, const char *word)
{
    const int64_t length = (int64_t)strlen(word);
    skip_blanks(scan);
    if (scan->length - scan->at < length ||
        memcmp(scan->text + scan->at, word, (size_t)length) != 0)
        return false;
    scan->at += length;
    return true;
}

/** True or False. */
static eck_status read_bool(literal *scan, bool *out)
{
    *out = accept_word(scan, "True");
    if (*out || accept_word(scan, "False")) return ECK_OK;
    return literal_error(scan, scan->at, "True or False is missing");
}

/** One dimension. */
static eck_status read_dimension(literal *scan, int64_t *out)
{
    skip_blanks(scan);
    int64_t length = 0;
    while (scan->at + length < scan->length && scan->text[scan->at + length] >= '0' &&
           scan->text[scan->at + length] <= '9')
        length++;
    if (!ecki_parse_int(scan->text + scan->at, length, out) || *out > dimension_max)
        return literal_error(scan, scan->at, "a dimension of 0 to 2^48 is missing");
    scan->at += length;
    if (scan->long_suffix && scan->at < scan->length && scan->text[scan->at] == 'L') scan->at++;
    return ECK_OK;
}

/** A tuple: (), (3,), (3, 4). */
static eck_status read_shape(literal *scan, ecki_npy_head *head)
{
    bool comma = false;
    if (!accept(scan, '(')) return literal_error(scan, scan->at, "'(' is missing");
    while (!accept(scan, ')')) {
        if (head->ndim > 0 && !comma) return literal_error(scan, scan->at, "',' or ')' is missing");
        if (head->ndim == ECK_DIMS_MAX)
            return ecki_place_error(scan->err, ECK_E_UNSUPPORTED, scan->place,
                                    "more than %d dimensions", ECK_DIMS_MAX);
        const eck_status status = read_dimension(scan, &head->shape[head->ndim++]);
        if (status != ECK_OK) return status;
        comma = accept(scan, ',');
    }
    if (head->ndim == 1 && !comma)
        return literal_error(scan, scan->at, "',' is missing in a tuple of one");
    return ECK_OK;
}

/** Why numbers of this type are not read. */
static eck_status type_error(const literal *scan, const char *name, int64_t length)
{
    char shown[100], copy[100];
    const char *hint = "";
    const int64_t kept = ecki_min(length, (int64_t)sizeof copy - 1);
    memcpy(copy, name, (size_t)kept);
    copy[kept] = '\0';
    ecki_name_escape(shown, sizeof shown, copy);
    if (length == 2 && name[1] == 'O') hint = ": pickled Python objects are never read";
    if (length == 3 && name[1] == 'V' && name[2] == '2')
        hint = ": bfloat16 loses its name in NumPy's format, save it as float32 or in safetensors";
    return ecki_place_error(scan->err, ECK_E_UNSUPPORTED, scan->place, "values of type '%s'%s",
                            shown, hint);
}

/** 'descr': byte order and type. */
static eck_status read_descr(literal *scan, ecki_npy_head *head)
{
    const char *name;
    int64_t length;

    if (accept(scan, '[') || accept(scan, '('))
        return ecki_place_error(scan->err, ECK_E_UNSUPPORTED, scan->place,
                                "records of several fields");
    const eck_status status = read_string(scan, &name, &length);
    if (status != ECK_OK) return status;
    for (int32_t i = 0; i < TYPES && length == 3 && name[0] && strchr("<>=|", name[0]); i++) {
        if (memcmp(name + 1, types[i].name, 2) != 0) continue;
        head->dtype = types[i].dtype;
        head->swapped = name[0] == '>' && eck_dtype_bits(head->dtype) > 8;
        return ECK_OK;
    }
    return type_error(scan, name, length);
}

/** One key and its value. */
static eck_status read_item(literal *scan, ecki_npy_head *head, fields *seen)
{
    const char *key;
    int64_t length;

    skip_blanks(scan);
    const int64_t at = scan->at;
    const eck_status status = read_string(scan, &key, &length);
    if (status != ECK_OK) return status;
    if (!accept(scan, ':')) return literal_error(scan, scan->at, "':' is missing");
    const bool is_descr = length == 5 && memcmp(key, "descr", 5) == 0;
    const bool is_order = length == 13 && memcmp(key, "fortran_order", 13) == 0;
    const bool is_shape = length == 5 && memcmp(key, "shape", 5) == 0;
    if (!is_descr && !is_order && !is_shape) return literal_error(scan, at, "an unknown key");
    bool *has = is_descr ? &seen->has_descr : is_order ? &seen->has_order : &seen->has_shape;
    if (*has) return literal_error(scan, at, "a key that comes twice");
    *has = true;
    if (is_descr) return read_descr(scan, head);
    return is_order ? read_bool(scan, &head->fortran_order) : read_shape(scan, head);
}

/** The whole dictionary. */
static eck_status read_items(literal *scan, ecki_npy_head *head)
{
    fields seen = { false, false, false };
    bool comma = true;

    if (!accept(scan, '{')) return literal_error(scan, scan->at, "'{' is missing");
    while (!accept(scan, '}')) {
        if (!comma) return literal_error(scan, scan->at, "',' or '}' is missing");
        const eck_status status = read_item(scan, head, &seen);
        if (status != ECK_OK) return status;
        comma = accept(scan, ',');
    }
    skip_blanks(scan);
    if (scan->at < scan->length) return literal_error(scan, scan->at, "more text");
    if (!seen.has_descr) return literal_error(scan, scan->at, "no 'descr'");
    if (!seen.has_order) return literal_error(scan, scan->at, "no 'fortran_order'");
    return seen.has_shape ? ECK_OK : literal_error(scan, scan->at, "no 'shape'");
}

/** Finds the text of the head. */
static eck_status read_prefix(literal *scan, const char *bytes, int64_t count)
{
    const ecki_place place = scan->place;
    const unsigned char *byte = (const unsigned char *)bytes;

    if (count < PREFIX_1 || memcmp(bytes, magic, MAGIC) != 0)
        return ecki_place_error(scan->err, ECK_E_FORMAT, place,
                                "it does not begin as a .npy array does");
    const int32_t major = byte[6], minor = byte[7];
    if (major < 1 || major > 3 || minor != 0)
        return ecki_place_error(scan->err, ECK_E_UNSUPPORTED, place,
                                "version %d.%d of the .npy format, 1.0 to 3.0", major, minor);
    const int64_t start = major == 1 ? PREFIX_1 : PREFIX_2;
    if (count < start)
        return ecki_place_error(scan->err, ECK_E_FORMAT, place, "its header is cut off");
    int64_t length = 0;
    for (int64_t i = start; i > 8; i--)
        length = length << 8 | byte[i - 1];
    if (length > TEXT_MAX)
        return ecki_place_error(scan->err, ECK_E_FORMAT, place,
                                "a header of %lld bytes, at most %d", (long long)length, TEXT_MAX);
    if (length > count - start)
        return ecki_place_error(scan->err, ECK_E_FORMAT, place,
                                "a header of %lld bytes, %lld are there", (long long)length,
                                (long long)(count - start));
    scan->text = bytes + start;
    scan->length = length;
    scan->long_suffix = major < 3;
    scan->place.offset += start;
    return ECK_OK;
}

eck_status ecki_npy_parse(ecki_npy_head *out, const char *bytes, int64_t count, ecki_place place,
                          eck_error *err)
{
    eck_status status = ECK_OK;
    literal scan = { .place = place, .err = err };
    ecki_npy_head head;
    int64_t elements;

    memset(&head, 0, sizeof head);
    ECK_TRY(read_prefix(&scan, bytes, count));
    ECK_TRY(read_items(&scan, &head));
    if (!ecki_shape_count(head.ndim, head.shape, &elements) ||
        !ecki_dtype_bytes(head.dtype, elements, &head.bytes)) {
        status = ecki_place_error(err, ECK_E_FORMAT, scan.place,
                                  "the product of its dimensions exceeds 2^63");
        goto done;
    }
    head.start = scan.text + scan.length - bytes;
    *out = head;
done:
    return status;
}

eck_status ecki_npy_write_head(ecki_text *out, const eck_array *array, eck_error *err)
{
    int32_t type = 0;
    while (type < TYPES && types[type].dtype != array->dtype)
        type++;
    if (type == TYPES)
        return ecki_error(
            err, ECK_E_UNSUPPORTED, -1,
            "cannot write %s as npy: NumPy has no such type; convert to F32 or write .safetensors",
            eck_dtype_name(array->dtype));

    ecki_text text = { 0 };
    const char order = eck_dtype_bits(array->dtype) > 8 ? '<' : '|';
    ecki_text_printf(&text, "{'descr': '%c%s', 'fortran_order': False, 'shape': (", order,
                     types[type].name);
    for (int32_t i = 0; i < array->ndim; i++)
        ecki_text_printf(&text, "%s%lld", i ? ", " : "", (long long)array->shape[i]);
    ecki_text_add(&text, array->ndim == 1 ? ",), }" : "), }", -1);
    // head and newline fill a multiple of 64
    while (!text.failed && (PREFIX_1 + text.length + 1) % HEAD_MULTIPLE != 0)
        ecki_text_add(&text, " ", 1);
    ecki_text_add(&text, "\n", 1);
    const bool failed = text.failed;
    if (!failed) {
        const char prefix[] = { 1, 0, (char)(text.length & 0xff), (char)(text.length >> 8) };
        ecki_text_add(out, magic, MAGIC);
        ecki_text_add(out, prefix, sizeof prefix);
        ecki_text_add(out, text.data, text.length);
    }
    ecki_text_clear(&text);
    return failed || out->failed ? ecki_error_memory(err, ECKI_NPY_HEAD_MAX) : ECK_OK;
}

/** By the magic. */
static ecki_match probe(const ecki_head *head)
{
    if (head->count >= MAGIC && memcmp(head->bytes, magic, MAGIC) == 0) return ECKI_MATCH_CONTENT;
    return ecki_ends_with(head->path, ".npy") ? ECKI_MATCH_ENDING : ECKI_MATCH_NONE;
}

/** The one array of a file. */
static eck_status open_file(ecki_container *container, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_file *file = &container->files[0];
    char bytes[ECKI_NPY_HEAD_MAX];
    ecki_npy_head head;
    ecki_entry *entry;

    const int64_t count = ecki_min(file->size, ECKI_NPY_HEAD_MAX);
    ECK_TRY(ecki_input_read(file, NULL, 0, bytes, count, err));
    ECK_TRY(ecki_npy_parse(&head, bytes, count, (ecki_place){ file->name, NULL, 0 }, err));
    const int64_t left = file->size - head.start;
    if (head.bytes > left)
        return ecki_read_error(err, ECK_E_FORMAT, file->size, file->name,
                               "%lld bytes missing of %lld", (long long)(head.bytes - left),
                               (long long)head.bytes);
    if (head.bytes < left)
        ECK_TRY(ecki_container_warn(container, err, "%lld bytes follow the array of '%s'",
                                    (long long)(left - head.bytes), file->name));
    ECK_TRY(ecki_container_add_array(&entry, container, "", &head, err));
done:
    return status;
}

const ecki_reader ecki_reader_npy = { "npy", probe, open_file };
