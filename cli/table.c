// Tables of text: cells are kept until all are known, then columns get the width of their widest.
#include "table.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "fold.h"
#include "session.h"

void table_init(table *out, const char *align, const char *const *titles)
{
    memset(out, 0, sizeof *out);
    out->columns = (int)strlen(align);
    out->align = align;
    out->titles = titles;
}

// A copy fit for a terminal: control characters (C0, C1) and the marks that turn the writing
// direction become '?'.
static char *clean_copy(const char *text)
{
    char *const copy = session_alloc(strlen(text) + 1, 1);
    const unsigned char *const at = (const unsigned char *)text;
    size_t length = 0;
    for (size_t i = 0; at[i];) {
        const bool c1 = at[i] == 0xc2 && at[i + 1] >= 0x80 && at[i + 1] <= 0x9f;
        const bool mark =
            at[i] == 0xe2 && ((at[i + 1] == 0x80 && at[i + 2] >= 0x8b) ||
                              (at[i + 1] == 0x81 && at[i + 2] >= 0xa0 && at[i + 2] <= 0xaf));
        // Of U+2000 to U+203F only the marks from U+200B to U+200F and U+2028 to U+202E.
        const bool dash = at[i] == 0xe2 && at[i + 1] == 0x80 &&
                          ((at[i + 2] > 0x8f && at[i + 2] < 0xa8) || at[i + 2] > 0xae);
        const bool bad = at[i] < 0x20 || at[i] == 0x7f || c1 || (mark && !dash);
        copy[length++] = bad ? '?' : text[i];
        i += !bad || at[i] < 0x80 ? 1 : c1 ? 2 : 3;
    }
    return copy;
}

void table_add(table *rows, const char *const *cells)
{
    if (rows->count == rows->room) {
        const int64_t room = rows->room ? rows->room * 2 : 64;
        table_row *const grown = session_alloc((size_t)room, sizeof *grown);
        if (rows->count > 0) memcpy(grown, rows->rows, (size_t)rows->count * sizeof *grown);
        free(rows->rows);
        rows->rows = grown;
        rows->room = room;
    }
    table_row *const row = &rows->rows[rows->count++];
    for (int i = 0; i < rows->columns; i++)
        row->cells[i] = clean_copy(cells[i]);
    row->count = 1;
}

void table_clear(table *rows)
{
    for (int64_t i = 0; i < rows->count; i++)
        for (int j = 0; j < rows->columns; j++)
            free(rows->rows[i].cells[j]);
    free(rows->rows);
    memset(rows, 0, sizeof *rows);
}

// True if two rows agree in all cells but the name, and in the name but for its numbers.
static bool alike(const table *rows, const table_row *a, const table_row *b)
{
    for (int i = 1; i < rows->columns; i++)
        if (strcmp(a->cells[i], b->cells[i]) != 0) return false;
    return fold_alike(a->cells[0], b->cells[0]);
}

// Folds row `first` with all rows after it that are alike; the others keep their order.
static void fold_from(table *rows, int64_t first, const char **names, int64_t *places)
{
    int64_t count = 0;
    for (int64_t i = first; i < rows->count; i++) {
        if (!alike(rows, &rows->rows[first], &rows->rows[i])) continue;
        names[count] = rows->rows[i].cells[0];
        places[count++] = i;
    }
    char *folded = NULL;
    const int64_t taken = fold_names(&folded, names, count);
    if (taken < 2) {
        free(folded);
        return;
    }
    free(rows->rows[first].cells[0]);
    rows->rows[first].cells[0] = folded;
    rows->rows[first].count = taken;
    // fold_names() moved the names it took to the front of its list; the rows they came from go.
    for (int64_t i = 1; i < count; i++) {
        bool kept = false;
        for (int64_t j = taken; j < count; j++)
            kept = kept || names[j] == rows->rows[places[i]].cells[0];
        if (!kept) rows->rows[places[i]].count = 0;
    }
}

void table_fold(table *rows)
{
    const char **names = session_alloc((size_t)rows->count, sizeof *names);
    int64_t *places = session_alloc((size_t)rows->count, sizeof *places);
    for (int64_t i = 0; i < rows->count; i++) {
        fold_from(rows, i, names, places);
        // Rows that were taken have no count: close the gaps.
        int64_t kept = i + 1;
        for (int64_t j = i + 1; j < rows->count; j++) {
            if (rows->rows[j].count > 0) {
                rows->rows[kept++] = rows->rows[j];
                continue;
            }
            for (int cell = 0; cell < rows->columns; cell++)
                free(rows->rows[j].cells[cell]);
        }
        rows->count = kept;
    }
    free(names);
    free(places);
}

// Characters, not bytes.
static int columns_of(const char *text)
{
    int count = 0;
    for (; *text; text++)
        count += ((unsigned char)*text & 0xc0) != 0x80;
    return count;
}

// Prints `count` characters of a text from character `first` on.
static void put_part(FILE *stream, const char *text, int first, int count)
{
    int at = -1;
    for (; *text; text++) {
        at += ((unsigned char)*text & 0xc0) != 0x80;
        if (at >= first && at < first + count) fputc(*text, stream);
    }
}

// A cell in its width; too long: the beginning of a name, which it shares with its neighbours, or
// the end of anything else gives way.
static void put_cell(FILE *stream, const char *text, int width, bool name)
{
    const int length = columns_of(text);
    if (length <= width) {
        fputs(text, stream);
        return;
    }
    const int kept = width > 3 ? width - 3 : 0;
    if (!name) put_part(stream, text, 0, kept);
    fputs("...", stream);
    if (name) put_part(stream, text, length - kept, kept);
}

// Narrows the widest giver until the sum fits: the last column if it holds words, then the names.
static void fit_widths(const table *rows, int *widths, int spare)
{
    const int last = rows->columns - 1;
    if (spare < 0 && last > 0 && rows->align[last] == 'l') {
        const int least = widths[last] < 24 ? widths[last] : 24;
        const int give = widths[last] - least < -spare ? widths[last] - least : -spare;
        widths[last] -= give;
        spare += give;
    }
    if (spare < 0) widths[0] = widths[0] + spare > 16 ? widths[0] + spare : 16;
}

static void put_padded(FILE *stream, const char *text, int width, char align, bool name)
{
    const int length = columns_of(text) < width ? columns_of(text) : width;
    if (align == 'r') fprintf(stream, "%*s", width - length, "");
    put_cell(stream, text, width, name);
    if (align == 'l') fprintf(stream, "%*s", width - length, "");
}

// One line; the count column stands after the name.
static void put_row(const table *rows, FILE *stream, const char *const *cells, int64_t count,
                    const int *widths)
{
    const int count_width = widths[TABLE_COLUMNS];
    char number[32] = "";
    if (count > 1) snprintf(number, sizeof number, "x%lld", (long long)count);
    for (int i = 0; i < rows->columns; i++) {
        // No blanks at the end of a line.
        const bool last = i + 1 == rows->columns;
        if (i > 0) fputs("  ", stream);
        if (last && rows->align[i] == 'l')
            put_cell(stream, cells[i], widths[i], false);
        else
            put_padded(stream, cells[i], widths[i], rows->align[i], i == 0);
        if (i == 0 && count_width > 0) fprintf(stream, "  %*s", -count_width, number);
    }
    fputc('\n', stream);
}

void table_print(const table *rows, FILE *stream, int width)
{
    int widths[TABLE_COLUMNS + 1] = { 0 };
    int total = 2 * (rows->columns - 1);
    for (int j = 0; j < rows->columns; j++) {
        widths[j] = columns_of(rows->titles[j]);
        for (int64_t i = 0; i < rows->count; i++) {
            const int needed = columns_of(rows->rows[i].cells[j]);
            if (needed > widths[j]) widths[j] = needed;
        }
        total += widths[j];
    }
    for (int64_t i = 0; i < rows->count; i++) {
        const int needed = rows->rows[i].count > 1
                               ? snprintf(NULL, 0, "x%lld", (long long)rows->rows[i].count)
                               : 0;
        if (needed > widths[TABLE_COLUMNS]) widths[TABLE_COLUMNS] = needed;
    }
    if (widths[TABLE_COLUMNS] > 0) total += 2 + widths[TABLE_COLUMNS];
    if (width > 0) fit_widths(rows, widths, width - total);
    put_row(rows, stream, rows->titles, 1, widths);
    for (int64_t i = 0; i < rows->count; i++)
        put_row(rows, stream, (const char *const *)rows->rows[i].cells, rows->rows[i].count,
                widths);
}

void table_line(FILE *stream, const char *label, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stream, "%-17s ", label);
    vfprintf(stream, format, arguments);
    fputc('\n', stream);
    va_end(arguments);
}
