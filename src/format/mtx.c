/*
 * Matrix Market files, as text:
 *
 *   1. "%%MatrixMarket matrix", then coordinate or array; real, double, integer or pattern; general, symmetric or
 *      skew-symmetric; in either case
 *   2. lines that begin with %, and empty ones: skipped, here and further down
 *   3. "rows columns entries" of coordinates, "rows columns" of an array
 *   4. coordinates: "row column value" an entry, from 1, a pattern without the value; an array: one value a line, by
 *      columns. Symmetric ones list the lower triangle, skew-symmetric ones without the diagonal
 *
 * Coordinates become compressed lines, an array numbers in memory, column-major. Both are F64; F32 where the header says
 * integer or pattern and F32 holds every value.
 */
#include <math.h>
#include <string.h>
#include <strings.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"
#include "format/container.h"
#include "format/input.h"

enum { WINDOW = 1 << 16, LINE_MAX_BYTES = 4096, FIELDS_MAX = 6, LEAST_ENTRY = 4, LEAST_VALUE = 2 };
// Rows and columns cost memory without standing in the file: so many, and four more for each byte.
static const int64_t free_lines = 1 << 20;

/** Part of the window. */
typedef struct field {
    const char *text;
    int64_t length;
} field;

/** What the first line says. */
typedef struct banner {
    bool array, pattern, integer, symmetric, skew;
} banner;

/** A file on its way through a window. */
typedef struct text_file {
    const ecki_file *file;
    char *window;
    int64_t start; /**< byte of window[0] in the file */
    int64_t have, at;
    int64_t line; /**< from 1 */
    int64_t line_byte; /**< where it begins */
    field fields[FIELDS_MAX];
    int32_t count; /**< of fields; one more than FIELDS_MAX: too many */
    eck_error *err;
} text_file;

/** "cannot read '<file>': line L: ..." at the byte where the line begins. */
#define FAIL(t, code, ...) \
    ecki_read_error((t)->err, code, (t)->line_byte, (t)->file->name, __VA_ARGS__)

/** Moves what is left to the front of the window and fills it up. */
static eck_status refill(text_file *t)
{
    const int64_t left = t->have - t->at;
    memmove(t->window, t->window + t->at, (size_t)left);
    t->start += t->at;
    t->at = 0;
    t->have = left;
    const int64_t more = ecki_min(WINDOW - left, t->file->size - t->start - left);
    if (t->file->memory)
        memcpy(t->window + left, (const char *)t->file->memory + t->start + left, (size_t)more);
    else {
        const eck_status status =
            ecki_input_read(t->file, NULL, t->start + left, t->window + left, more, t->err);
        if (status != ECK_OK) return status;
    }
    t->have += more;
    return ECK_OK;
}

/** Takes one line off, without its end; false at the end of the file. */
static eck_status take_line(text_file *t, field *out, bool *more)
{
    const char *newline = memchr(t->window + t->at, '\n', (size_t)(t->have - t->at));
    if (!newline && t->start + t->have < t->file->size) {
        const eck_status status = refill(t);
        if (status != ECK_OK) return status;
        newline = memchr(t->window + t->at, '\n', (size_t)(t->have - t->at));
    }
    *more = t->at < t->have;
    if (!*more) return ECK_OK;
    t->line++;
    t->line_byte = t->start + t->at;
    const char *const begin = t->window + t->at;
    int64_t length = newline ? newline - begin : t->have - t->at;
    if (length > LINE_MAX_BYTES)
        return FAIL(t, ECK_E_FORMAT, "line %lld is longer than %d bytes", (long long)t->line,
                    LINE_MAX_BYTES);
    t->at += length + (newline ? 1 : 0);
    if (length > 0 && begin[length - 1] == '\r') length--;
    *out = (field){ begin, length };
    return ECK_OK;
}

/** Cuts a line into fields at blanks. */
static void cut_fields(text_file *t, field line)
{
    t->count = 0;
    for (int64_t i = 0; i < line.length;) {
        while (i < line.length && (line.text[i] == ' ' || line.text[i] == '\t'))
            i++;
        const int64_t first = i;
        while (i < line.length && line.text[i] != ' ' && line.text[i] != '\t')
            i++;
        if (i == first) return;
        if (t->count < FIELDS_MAX) t->fields[t->count] = (field){ line.text + first, i - first };
        if (t->count++ == FIELDS_MAX) return;
    }
}

/** The next line with fields that is no remark. */
static eck_status next_line(text_file *t, bool *more)
{
    field line;
    for (;;) {
        const eck_status status = take_line(t, &line, more);
        if (status != ECK_OK || !*more) return status;
        if (line.length > 0 && line.text[0] == '%') continue;
        cut_fields(t, line);
        if (t->count > 0) return ECK_OK;
    }
}

/** True if a field is the word, in either case. */
static bool is_word(field f, const char *word)
{
    return f.length == (int64_t)strlen(word) && strncasecmp(f.text, word, (size_t)f.length) == 0;
}

/** A field for a message. */
static void show(char out[100], field f)
{
    char copy[64];
    const int64_t kept = ecki_min(f.length, (int64_t)sizeof copy - 1);
    memcpy(copy, f.text, (size_t)kept);
    copy[kept] = '\0';
    ecki_name_escape(out, 100, copy);
}

/** "line 1: '<field>' where coordinate or array must stand". */
static eck_status word_error(const text_file *t, int32_t index, eck_status code,
                             const char *allowed)
{
    char shown[100];
    show(shown, t->fields[index]);
    return FAIL(t, code, "line 1: '%s' where %s must stand", shown, allowed);
}

static eck_status read_banner(text_file *t, banner *out)
{
    field line = { NULL, 0 };
    bool more = false;
    const eck_status status = take_line(t, &line, &more);
    if (status != ECK_OK) return status;
    cut_fields(t, line);
    if (t->count != 5 || !is_word(t->fields[0], "%%MatrixMarket"))
        return FAIL(t, ECK_E_FORMAT,
                    "line 1 is not '%%%%MatrixMarket matrix' and three words more");
    if (!is_word(t->fields[1], "matrix")) return word_error(t, 1, ECK_E_UNSUPPORTED, "matrix");
    out->array = is_word(t->fields[2], "array");
    if (!out->array && !is_word(t->fields[2], "coordinate"))
        return word_error(t, 2, ECK_E_FORMAT, "coordinate or array");
    out->pattern = is_word(t->fields[3], "pattern");
    out->integer = is_word(t->fields[3], "integer");
    if (is_word(t->fields[3], "complex"))
        return word_error(t, 3, ECK_E_UNSUPPORTED, "real, integer or pattern");
    if ((out->pattern && out->array) ||
        (!out->pattern && !out->integer && !is_word(t->fields[3], "real") &&
         !is_word(t->fields[3], "double")))
        return word_error(t, 3, ECK_E_FORMAT,
                          out->array ? "real or integer" : "real, integer or pattern");
    out->symmetric = is_word(t->fields[4], "symmetric");
    out->skew = is_word(t->fields[4], "skew-symmetric");
    if (is_word(t->fields[4], "hermitian"))
        return word_error(t, 4, ECK_E_UNSUPPORTED, "general, symmetric or skew-symmetric");
    if ((out->skew && out->pattern) ||
        (!out->symmetric && !out->skew && !is_word(t->fields[4], "general")))
        return word_error(t, 4, ECK_E_FORMAT,
                          out->pattern ? "general or symmetric"
                                       : "general, symmetric or skew-symmetric");
    return ECK_OK;
}

/** A whole number without sign, at most 2^53. */
static bool parse_count(field f, int64_t *out)
{
    int64_t value = 0;
    if (f.length < 1 || f.length > 18) return false;
    for (int64_t i = 0; i < f.length; i++) {
        if (f.text[i] < '0' || f.text[i] > '9') return false;
        value = 10 * value + (f.text[i] - '0');
    }
    *out = value;
    return value <= INT64_C(1) << 53;
}

/** Fails unless so many fields stand on the line. */
static eck_status require_fields(const text_file *t, int32_t count, const char *what)
{
    if (t->count == count) return ECK_OK;
    return FAIL(t, ECK_E_FORMAT, "line %lld has %d fields%s where %s stand", (long long)t->line,
                t->count > FIELDS_MAX ? FIELDS_MAX : t->count,
                t->count > FIELDS_MAX ? " and more" : "", what);
}

/** Sizes: rows, columns, entries. */
typedef struct sizes {
    int64_t rows, cols, entries;
} sizes;

/** How many values an array lists. */
static int64_t listed_values(const banner *b, const sizes *s)
{
    const int64_t n = s->rows;
    if (b->symmetric) return n * (n + 1) / 2;
    return b->skew ? n * (n - 1) / 2 : s->rows * s->cols;
}

/** Refuses sizes that the rest of the file cannot hold, or that memory would have to hold for it. */
static eck_status check_sizes(const text_file *t, const banner *b, sizes *s)
{
    int64_t elements = 0;
    const int64_t rest = t->file->size - (t->start + t->at);
    const int64_t most = rest / (b->array ? LEAST_VALUE : LEAST_ENTRY) + 1;
    const int64_t lines = ecki_min(INT32_MAX, free_lines + 4 * t->file->size);
    if ((b->symmetric || b->skew) && s->rows != s->cols)
        return FAIL(t, ECK_E_FORMAT, "line %lld: %lld x %lld is not square, as a %s matrix is",
                    (long long)t->line, (long long)s->rows, (long long)s->cols,
                    b->skew ? "skew-symmetric" : "symmetric");
    if (s->rows > lines || s->cols > lines)
        return FAIL(t, ECK_E_UNSUPPORTED,
                    "line %lld: %lld x %lld, at most %lld rows and columns in a file of %lld bytes",
                    (long long)t->line, (long long)s->rows, (long long)s->cols, (long long)lines,
                    (long long)t->file->size);
    if (!ecki_mul(s->rows, s->cols, &elements) || !ecki_mul(elements, 8, &elements))
        return FAIL(t, ECK_E_UNSUPPORTED, "line %lld: %lld x %lld is too large", (long long)t->line,
                    (long long)s->rows, (long long)s->cols);
    if (b->array) s->entries = listed_values(b, s);
    if (s->entries > most)
        return FAIL(t, ECK_E_FORMAT, "line %lld: %lld entries, %lld bytes of the file are left",
                    (long long)t->line, (long long)s->entries, (long long)rest);
    return ECK_OK;
}

/** "line L: '<field>' <what>" */
static eck_status field_error(const text_file *t, field f, const char *what)
{
    char shown[100];
    show(shown, f);
    return FAIL(t, ECK_E_FORMAT, "line %lld: '%s' %s", (long long)t->line, shown, what);
}

static eck_status read_sizes(text_file *t, const banner *b, sizes *out)
{
    eck_status status = ECK_OK;
    bool more = false;
    *out = (sizes){ 0, 0, 0 };
    ECK_TRY(next_line(t, &more));
    if (!more) return FAIL(t, ECK_E_FORMAT, "the file ends before its sizes");
    ECK_TRY(require_fields(t, b->array ? 2 : 3,
                           b->array ? "rows and columns" : "rows, columns and entries"));
    int64_t *const to[3] = { &out->rows, &out->cols, &out->entries };
    for (int32_t i = 0; i < t->count; i++)
        if (!parse_count(t->fields[i], to[i]))
            return field_error(t, t->fields[i], "is no size from 0 to 2^53");
    ECK_TRY(check_sizes(t, b, out));
done:
    return status;
}

/** The value in a field. */
static eck_status read_value(const text_file *t, const banner *b, field f, double *out)
{
    const int64_t sign = f.length > 1 && f.text[0] == '+' ? 1 : 0;
    if (!ecki_parse_double(f.text + sign, f.length - sign, out))
        return field_error(t, f, "is not a number");
    if (!isfinite(*out)) return field_error(t, f, "is not finite");
    if (b->integer && (*out != rint(*out) || fabs(*out) > 0x1p53))
        return field_error(t, f, "is no whole number up to 2^53");
    return ECK_OK;
}

/** One index, from 1 in the file and from 0 here. */
static eck_status read_index(const text_file *t, int64_t entry, int32_t place, int64_t limit,
                             int32_t *out)
{
    int64_t index = 0;
    if (!parse_count(t->fields[place], &index) || index < 1 || index > limit) {
        char shown[100];
        show(shown, t->fields[place]);
        return FAIL(t, ECK_E_FORMAT, "line %lld, entry %lld: %s '%s', 1 to %lld are allowed",
                    (long long)t->line, (long long)entry + 1, place ? "column" : "row", shown,
                    (long long)limit);
    }
    *out = (int32_t)(index - 1);
    return ECK_OK;
}

/** Refuses an entry that a symmetric matrix does not list. */
static eck_status check_triangle(const text_file *t, const banner *b, int64_t entry,
                                 const int32_t at[2])
{
    if ((!b->symmetric && !b->skew) || at[0] > at[1] || (b->symmetric && at[0] == at[1]))
        return ECK_OK;
    return FAIL(t, ECK_E_FORMAT,
                "line %lld, entry %lld: (%d,%d) is not below the diagonal%s, which is all a %s "
                "matrix lists",
                (long long)t->line, (long long)entry + 1, at[0] + 1, at[1] + 1,
                b->symmetric ? " or on it" : "", b->symmetric ? "symmetric" : "skew-symmetric");
}

/** Adds an entry, and its mirror. */
static void add_entry(ecki_triples *to, const banner *b, const int32_t at[2], double value)
{
    for (int mirror = 0; mirror <= (b->symmetric || b->skew) && (!mirror || at[0] != at[1]);
         mirror++) {
        to->row[to->count] = at[mirror];
        to->col[to->count] = at[1 - mirror];
        to->value[to->count++] = mirror && b->skew ? -value : value;
    }
}

/** One line of coordinates. */
static eck_status read_entry(const text_file *t, const banner *b, int64_t entry, ecki_triples *to)
{
    eck_status status = ECK_OK;
    int32_t at[2];
    double value = 1.0;
    ECK_TRY(require_fields(t, b->pattern ? 2 : 3,
                           b->pattern ? "row and column" : "row, column and value"));
    ECK_TRY(read_index(t, entry, 0, to->rows, &at[0]));
    ECK_TRY(read_index(t, entry, 1, to->cols, &at[1]));
    ECK_TRY(check_triangle(t, b, entry, at));
    if (!b->pattern) ECK_TRY(read_value(t, b, t->fields[2], &value));
    add_entry(to, b, at, value);
done:
    return status;
}

/** Fails unless the file has as many entries as it says: `found` were read, `more` follow. */
static eck_status check_count(const text_file *t, int64_t found, int64_t stated, bool more)
{
    if (more)
        return FAIL(t, ECK_E_FORMAT, "line %lld: more than the %lld entries that were stated",
                    (long long)t->line, (long long)stated);
    if (found < stated)
        return ecki_read_error(t->err, ECK_E_FORMAT, t->file->size, t->file->name,
                               "%lld entries, %lld were stated", (long long)found,
                               (long long)stated);
    return ECK_OK;
}

/** All coordinates, compressed, into the container. */
static eck_status read_coordinates(text_file *t, const banner *b, const sizes *s,
                                   ecki_container *container)
{
    eck_status status = ECK_OK;
    eck_error *const err = t->err;
    ecki_triples all = { s->rows, s->cols, 0, NULL, NULL, NULL };
    const int64_t room = s->entries * (b->symmetric || b->skew ? 2 : 1);
    int64_t found = 0, added = 0;
    bool more = true;
    ECK_ALLOC_RAW(all.row, room);
    ECK_ALLOC_RAW(all.col, room);
    ECK_ALLOC_RAW(all.value, room);
    for (;; found++) {
        ECK_TRY(next_line(t, &more));
        if (!more || found == s->entries) break;
        ECK_TRY(read_entry(t, b, found, &all));
    }
    ECK_TRY(check_count(t, found, s->entries, more));
    ECK_ALLOC(container->sparse, 1);
    container->sparse->symmetric = b->symmetric;
    ECK_TRY(ecki_lines_of_triples(&container->sparse->rows, &container->sparse->cols, &added, &all,
                                  err));
    if (b->pattern || b->integer)
        ecki_lines_narrow(&container->sparse->rows, &container->sparse->cols);
    if (added > 0)
        ECK_TRY(ecki_container_warn(container, err,
                                    "%lld entries of '%s' are at the place of another: added to it",
                                    (long long)added, t->file->name));
done:
    ecki_free(all.row);
    ecki_free(all.col);
    ecki_free(all.value);
    return status;
}

/** Where the values of an array go: by columns, or down the lower triangle and its mirror. */
typedef struct cursor {
    int64_t row, col;
} cursor;

static void place_value(double *to, const banner *b, int64_t rows, cursor *at, double value)
{
    const bool half = b->symmetric || b->skew;
    to[at->col * rows + at->row] = value;
    if (half) to[at->row * rows + at->col] = b->skew ? -value : value;
    if (half && at->row == at->col) to[at->col * rows + at->row] = value;
    if (++at->row < rows) return;
    at->col++;
    at->row = half ? at->col + (b->skew ? 1 : 0) : 0;
}

/** F32 in the place of F64, if it holds every number; returns the type. */
static eck_dtype narrow_array(double *numbers, int64_t count)
{
    float *const to = (float *)numbers;
    for (int64_t i = 0; i < count; i++)
        if ((double)(float)numbers[i] != numbers[i]) return ECK_DTYPE_F64;
    for (int64_t i = 0; i < count; i++) {
        const float value = (float)numbers[i];
        memcpy(&to[i], &value, sizeof value);
    }
    return ECK_DTYPE_F32;
}

/** All values of an array; the numbers take the place of the text. */
static eck_status read_array(text_file *t, const banner *b, const sizes *s, double **out)
{
    eck_status status = ECK_OK;
    eck_error *const err = t->err;
    double *numbers = NULL, value = 0.0;
    cursor at = { b->skew ? 1 : 0, 0 };
    bool more = true;
    int64_t found = 0;
    ECK_ALLOC(numbers, s->rows * s->cols);
    for (;; found++) {
        ECK_TRY(next_line(t, &more));
        if (!more || found == s->entries) break;
        ECK_TRY(require_fields(t, 1, "one value"));
        ECK_TRY(read_value(t, b, t->fields[0], &value));
        place_value(numbers, b, s->rows, &at, value);
    }
    ECK_TRY(check_count(t, found, s->entries, more));
    *out = numbers;
    numbers = NULL;
done:
    ecki_free(numbers);
    return status;
}

/** The one entry of the container. */
static eck_status add_matrix(ecki_container *container, const sizes *s, eck_dtype dtype,
                             eck_error *err)
{
    ecki_entry *entry = NULL;
    const eck_status status = ecki_container_add_entry(&entry, container, err);
    if (status != ECK_OK) return status;
    *entry = (ecki_entry){ .name = "",
                           .dtype = dtype,
                           .ndim = 2,
                           .shape = { s->rows, s->cols },
                           .fortran_order = !container->sparse,
                           .bytes = s->rows * s->cols * (eck_dtype_bits(dtype) / 8) };
    return ECK_OK;
}

static eck_status open_file(ecki_container *container, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_file *const file = &container->files[0];
    text_file t = { .file = file, .err = err };
    banner b = { false, false, false, false, false };
    sizes s;
    double *numbers = NULL;
    ECK_ALLOC_RAW(t.window, WINDOW);
    ECK_TRY(read_banner(&t, &b));
    ECK_TRY(read_sizes(&t, &b, &s));
    if (!b.array) {
        ECK_TRY(read_coordinates(&t, &b, &s, container));
        ECK_TRY(add_matrix(container, &s, container->sparse->rows.dtype, err));
        goto done;
    }
    ECK_TRY(read_array(&t, &b, &s, &numbers));
    const eck_dtype dtype = b.integer ? narrow_array(numbers, s.rows * s.cols) : ECK_DTYPE_F64;
    ECK_TRY(add_matrix(container, &s, dtype, err));
    ecki_free(file->memory);
    file->memory = numbers;
    if (file->descriptor < 0) file->size = container->entries[0].bytes;
    numbers = NULL;
done:
    ecki_free(numbers);
    ecki_free(t.window);
    return status;
}

/** By the first bytes, or by name, so that a damaged first line is told as one. */
static ecki_match probe(const ecki_head *head)
{
    static const char begin[] = "%%MatrixMarket";
    const size_t length = sizeof begin - 1;
    if (head->count >= (int64_t)length && strncasecmp(head->bytes, begin, length) == 0)
        return ECKI_MATCH_CONTENT;
    return ecki_ends_with(head->path, ".mtx") ? ECKI_MATCH_ENDING : ECKI_MATCH_NONE;
}

const ecki_reader ecki_reader_mtx = { "mtx", probe, open_file };
