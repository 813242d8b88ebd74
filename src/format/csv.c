/*
 * Small tables of numbers as text. One line a row; fields parted by ';', ',', tab or blanks,
 * whichever of these the first line has; a first line without any number is names; '#' begins a
 * remark; lines without fields are skipped. The result is a matrix of F64, held in memory.
 */
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"
#include "format/container.h"
#include "format/input.h"

static const int64_t bytes_max = INT64_C(1) << 30;

/** A table while it is read. */
typedef struct table {
    const char *text;
    int64_t length, at;
    int64_t line; /**< of the file, from 1 */
    char separator; /**< 0: not known yet; ' ': blanks */
    int64_t rows, columns, first_line;
    double *numbers;
    int64_t count, room;
    const char *file;
    eck_error *err;
} table;

/** Part of a line, from begin up to end. */
typedef struct span {
    int64_t begin, end;
} span;

/** True for space and tab. */
static bool is_blank(char byte)
{
    return byte == ' ' || byte == '\t';
}

/** Cuts blanks off both ends. */
static span trim(const table *t, span s)
{
    while (s.begin < s.end && is_blank(t->text[s.begin]))
        s.begin++;
    while (s.end > s.begin && is_blank(t->text[s.end - 1]))
        s.end--;
    return s;
}

/** The next line that has fields, without its end, remark and outer blanks; false at the end of the
 * text. */
static bool next_line(table *t, span *out)
{
    while (t->at < t->length) {
        const char *begin = t->text + t->at;
        const char *newline = memchr(begin, '\n', (size_t)(t->length - t->at));
        int64_t end = newline ? newline - t->text : t->length;
        const int64_t first = t->at;
        t->at = newline ? end + 1 : end;
        t->line++;
        if (end > first && t->text[end - 1] == '\r') end--;
        const char *remark = memchr(begin, '#', (size_t)(end - first));
        *out = trim(t, (span){ first, remark ? remark - t->text : end });
        if (out->begin < out->end) return true;
    }
    return false;
}

/** What parts the fields of a line: the first of ; , tab that it has outside quotes, else blanks.
 */
static char find_separator(const table *t, span line)
{
    static const char candidates[] = ";,\t";
    for (const char *candidate = candidates; *candidate; candidate++) {
        bool quoted = false;
        for (int64_t i = line.begin; i < line.end; i++) {
            if (t->text[i] == '"') quoted = !quoted;
            if (!quoted && t->text[i] == *candidate) return *candidate;
        }
    }
    return ' ';
}

/** Takes the next field off a line, without blanks and quotes around it; false when the line is
 * used up. */
static bool next_field(const table *t, span *line, bool *more, span *out)
{
    bool quoted = false;
    if (!*more) return false;
    int64_t end = line->begin;
    for (; end < line->end; end++) {
        if (t->text[end] == '"') quoted = !quoted;
        if (!quoted &&
            (t->separator == ' ' ? is_blank(t->text[end]) : t->text[end] == t->separator))
            break;
    }
    *out = trim(t, (span){ line->begin, end });
    if (out->end - out->begin >= 2 && t->text[out->begin] == '"' && t->text[out->end - 1] == '"') {
        out->begin++;
        out->end--;
    }
    *more = end < line->end;
    line->begin = end + 1;
    while (t->separator == ' ' && line->begin < line->end && is_blank(t->text[line->begin]))
        line->begin++;
    return true;
}

/** Appends a number. */
static eck_status add_number(table *t, double value)
{
    enum { FIRST_ROOM = 1024 };
    if (t->count == t->room) {
        const int64_t room = t->room ? 2 * t->room : FIRST_ROOM;
        double *numbers = ecki_realloc(t->numbers, room, sizeof *numbers);
        if (!numbers) return ecki_error_memory(t->err, ecki_bytes_of(room, sizeof *numbers));
        t->numbers = numbers;
        t->room = room;
    }
    t->numbers[t->count++] = value;
    return ECK_OK;
}

/** "line L, column C: '<field>' is not a number". */
static eck_status field_error(const table *t, span field, int64_t column)
{
    char copy[64], shown[100];
    const int64_t kept = ecki_min(field.end - field.begin, (int64_t)sizeof copy - 1);
    memcpy(copy, t->text + field.begin, (size_t)kept);
    copy[kept] = '\0';
    ecki_name_escape(shown, sizeof shown, copy);
    return ecki_read_error(t->err, ECK_E_FORMAT, field.begin, t->file,
                           "line %lld, column %lld: '%s' is not a number", (long long)t->line,
                           (long long)column, shown);
}

/** One row of numbers. */
static eck_status read_row(table *t, span line)
{
    bool more = true;
    int64_t column = 0;
    double value;

    const int64_t begin = line.begin;
    for (span field; next_field(t, &line, &more, &field);) {
        column++;
        if (!ecki_parse_double(t->text + field.begin, field.end - field.begin, &value))
            return field_error(t, field, column);
        const eck_status status = add_number(t, value);
        if (status != ECK_OK) return status;
    }
    if (t->rows == 0) {
        t->columns = column;
        t->first_line = t->line;
    }
    if (column != t->columns)
        return ecki_read_error(t->err, ECK_E_FORMAT, begin, t->file,
                               "line %lld has %lld numbers, line %lld has %lld", (long long)t->line,
                               (long long)column, (long long)t->first_line, (long long)t->columns);
    t->rows++;
    return ECK_OK;
}

/** True if no field of the line is a number. */
static bool is_header(const table *t, span line)
{
    bool more = true;
    double value;
    for (span field; next_field(t, &line, &more, &field);)
        if (ecki_parse_double(t->text + field.begin, field.end - field.begin, &value)) return false;
    return true;
}

/** The whole table. */
static eck_status read_table(table *t)
{
    bool first = true;
    for (span line; next_line(t, &line); first = false) {
        if (first) t->separator = find_separator(t, line);
        if (first && is_header(t, line)) continue;
        const eck_status status = read_row(t, line);
        if (status != ECK_OK) return status;
    }
    if (t->rows == 0)
        return ecki_read_error(t->err, ECK_E_FORMAT, t->length, t->file, "it holds no numbers");
    return ECK_OK;
}

/** Steps over the mark that some programs begin UTF-8 text with. */
static void skip_mark(table *t)
{
    if (t->length >= 3 && memcmp(t->text, "\xef\xbb\xbf", 3) == 0) t->at = 3;
}

/** Puts the numbers in the place of the text. */
static eck_status open_file(ecki_container *container, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_file *file = &container->files[0];
    table t = { .length = file->size, .file = file->name, .err = err };
    ecki_entry *entry;
    char *text = NULL;

    if (file->size > bytes_max)
        return ecki_read_error(err, ECK_E_UNSUPPORTED, -1, file->name,
                               "%lld bytes of text, at most %lld; save it as .npy",
                               (long long)file->size, (long long)bytes_max);
    if (!file->memory) {
        ECK_ALLOC_RAW(text, file->size);
        ECK_TRY(ecki_input_read(file, NULL, 0, text, file->size, err));
    }
    t.text = text ? text : file->memory;
    skip_mark(&t);
    ECK_TRY(read_table(&t));
    ECK_TRY(ecki_container_add_entry(&entry, container, err));
    *entry = (ecki_entry){ .name = "",
                           .dtype = ECK_DTYPE_F64,
                           .ndim = 2,
                           .shape = { t.rows, t.columns },
                           .bytes = t.count * (int64_t)sizeof(double) };
    ecki_free(file->memory);
    file->memory = t.numbers;
    if (file->descriptor < 0)
        file->size = entry->bytes; // of what is held, now that the text is gone
    t.numbers = NULL;
done:
    ecki_free(text);
    ecki_free(t.numbers);
    return status;
}

/** By name; on standard input by having no bytes that text has not. */
static ecki_match probe(const ecki_head *head)
{
    if (strcmp(head->path, "-") != 0)
        return ecki_ends_with(head->path, ".csv") || ecki_ends_with(head->path, ".tsv") ||
                       ecki_ends_with(head->path, ".txt")
                   ? ECKI_MATCH_ENDING
                   : ECKI_MATCH_NONE;
    for (int64_t i = 0; i < head->count; i++) {
        const unsigned char byte = (unsigned char)head->bytes[i];
        if (byte < 0x20 && !strchr("\t\r\n", byte)) return ECKI_MATCH_NONE;
        if (byte == 0) return ECKI_MATCH_NONE;
    }
    return ECKI_MATCH_ENDING;
}

const ecki_reader ecki_reader_csv = { "csv", probe, open_file };
