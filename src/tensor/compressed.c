// Compressed lines from what callers hold. Sorting is two transpositions: each is a counting sort that keeps the order
// of equals, so the second one gives lines in order whatever the order of the first.
#include "tensor/compressed.h"

#include <string.h>

#include "base/checked.h"
#include "base/memory.h"

static int64_t lines_of(const eck_sparse_view *view)
{
    return view->layout == ECK_SPARSE_ROWS ? view->rows : view->cols;
}

static int64_t width_of(const eck_sparse_view *view)
{
    return view->layout == ECK_SPARSE_ROWS ? view->cols : view->rows;
}

static const char *line_word(const eck_sparse_view *view)
{
    return view->layout == ECK_SPARSE_ROWS ? "row" : "column";
}

// starts[0] = 0 and no start lies below the one before it.
static eck_status check_starts(const eck_sparse_view *view, const char *name, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t lines = lines_of(view);
    ECK_REQUIRE(view->starts && view->starts[0] == 0, ECK_E_RANGE, 0,
                "sparse matrix '%s': the starts begin with %lld, not with 0", name,
                view->starts ? (long long)view->starts[0] : -1LL);
    for (int64_t i = 0; i < lines; i++)
        ECK_REQUIRE(view->starts[i + 1] >= view->starts[i], ECK_E_RANGE, i + 1,
                    "sparse matrix '%s': %s %lld would start at %lld and end at %lld", name,
                    line_word(view), (long long)i, (long long)view->starts[i],
                    (long long)view->starts[i + 1]);
    ECK_REQUIRE(view->starts[lines] == 0 || view->indices, ECK_E_RANGE, -1,
                "sparse matrix '%s' has %lld entries and no indices", name,
                (long long)view->starts[lines]);
done:
    return status;
}

eck_status ecki_sparse_check(const eck_sparse_view *view, const char *name, eck_error *err)
{
    eck_status status = ECK_OK;
    ECK_REQUIRE(view->layout == ECK_SPARSE_ROWS || view->layout == ECK_SPARSE_COLS, ECK_E_RANGE, -1,
                "sparse layout %d is unknown", (int)view->layout);
    ECK_REQUIRE(view->dtype == ECK_DTYPE_F64 || view->dtype == ECK_DTYPE_F32, ECK_E_RANGE, -1,
                "sparse matrix '%s' of type %s: F64 and F32 are allowed", name,
                eck_dtype_name(view->dtype));
    ECK_REQUIRE(view->rows >= 0 && view->cols >= 0 && view->rows <= INT32_MAX &&
                    view->cols <= INT32_MAX,
                ECK_E_SHAPE, -1, "sparse matrix '%s' is [%lld,%lld]: 0 to 2^31 - 1 are allowed",
                name, (long long)view->rows, (long long)view->cols);
    ECK_TRY(check_starts(view, name, err));
    const int64_t lines = lines_of(view), width = width_of(view);
    for (int64_t i = 0; i < lines; i++)
        for (int64_t e = view->starts[i]; e < view->starts[i + 1]; e++)
            ECK_REQUIRE(view->indices[e] >= 0 && view->indices[e] < width, ECK_E_RANGE, e,
                        "sparse matrix '%s': entry %lld of %s %lld has index %lld, 0 to %lld are "
                        "allowed",
                        name, (long long)(e - view->starts[i]), line_word(view), (long long)i,
                        (long long)view->indices[e], (long long)width - 1);
done:
    return status;
}

void ecki_lines_clear(ecki_lines *lines)
{
    ecki_free(lines->starts);
    ecki_free(lines->indices);
    ecki_free(lines->values);
    *lines = (ecki_lines){ 0, 0, ECK_DTYPE_NONE, NULL, NULL, NULL };
}

static size_t value_size(eck_dtype dtype)
{
    return dtype == ECK_DTYPE_F32 ? sizeof(float) : sizeof(double);
}

static eck_status lines_alloc(ecki_lines *out, int64_t lines, int64_t width, int64_t count,
                              eck_error *err)
{
    eck_status status = ECK_OK;
    out->lines = lines;
    out->width = width;
    ECK_ALLOC(out->starts, lines + 2); // one more, which scattering uses
    ECK_ALLOC_RAW(out->indices, count);
    out->values = ecki_malloc(count, value_size(out->dtype));
    ECK_HAVE(out->values);
done:
    return status;
}

// After counting, starts[i+2] holds the entries of line i: turns counts into the place where each line begins, one
// place further on than it will be, because scattering moves it forward.
static void sum_starts(ecki_lines *out)
{
    for (int64_t i = 2; i <= out->lines + 1; i++)
        out->starts[i] += out->starts[i - 1];
}

static void copy_value(void *to, int64_t to_entry, const void *from, int64_t from_entry,
                       eck_dtype dtype)
{
    if (dtype == ECK_DTYPE_F32)
        ((float *)to)[to_entry] = from ? ((const float *)from)[from_entry] : 1.0f;
    else
        ((double *)to)[to_entry] = from ? ((const double *)from)[from_entry] : 1.0;
}

// The other way round: lines of out are sorted by index, entries of one place in their old order.
static eck_status transpose_view(ecki_lines *out, const eck_sparse_view *view, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t lines = lines_of(view), count = view->starts[lines];
    out->dtype = view->dtype;
    ECK_TRY(lines_alloc(out, width_of(view), lines, count, err));
    for (int64_t e = 0; e < count; e++)
        out->starts[view->indices[e] + 2]++;
    sum_starts(out);
    for (int64_t i = 0; i < lines; i++)
        for (int64_t e = view->starts[i]; e < view->starts[i + 1]; e++) {
            const int64_t place = out->starts[view->indices[e] + 1]++;
            out->indices[place] = (int32_t)i;
            copy_value(out->values, place, view->values, e, view->dtype);
        }
done:
    return status;
}

static eck_status transpose_lines(ecki_lines *out, const ecki_lines *a, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t count = a->starts[a->lines];
    out->dtype = a->dtype;
    ECK_TRY(lines_alloc(out, a->width, a->lines, count, err));
    for (int64_t e = 0; e < count; e++)
        out->starts[a->indices[e] + 2]++;
    sum_starts(out);
    for (int64_t i = 0; i < a->lines; i++)
        for (int64_t e = a->starts[i]; e < a->starts[i + 1]; e++) {
            const int64_t place = out->starts[a->indices[e] + 1]++;
            out->indices[place] = (int32_t)i;
            copy_value(out->values, place, a->values, e, a->dtype);
        }
done:
    return status;
}

// Adds entries of one place, in F64 and in their order, into the first of them. Returns how many went.
static int64_t add_equals(ecki_lines *a)
{
    int64_t to = 0, from = 0;
    for (int64_t i = 0; i < a->lines; i++) {
        const int64_t end = a->starts[i + 1];
        a->starts[i] = to;
        while (from < end) {
            const int32_t index = a->indices[from];
            double sum = ecki_lines_value(a, from++);
            for (; from < end && a->indices[from] == index; from++)
                sum += ecki_lines_value(a, from);
            a->indices[to] = index;
            if (a->dtype == ECK_DTYPE_F32)
                ((float *)a->values)[to] = (float)sum;
            else
                ((double *)a->values)[to] = sum;
            to++;
        }
    }
    a->starts[a->lines] = to;
    return from - to;
}

eck_status ecki_lines_create(ecki_lines *rows_out, ecki_lines *cols_out, int64_t *added_out,
                             const eck_sparse_view *view, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_lines across = { .dtype = ECK_DTYPE_NONE }, along = { .dtype = ECK_DTYPE_NONE };
    ECK_TRY(transpose_view(&across, view, err));
    const int64_t added = add_equals(&across);
    ECK_TRY(transpose_lines(&along, &across, err));
    *rows_out = view->layout == ECK_SPARSE_ROWS ? along : across;
    *cols_out = view->layout == ECK_SPARSE_ROWS ? across : along;
    if (added_out) *added_out = added;
    return status;
done:
    ecki_lines_clear(&along);
    ecki_lines_clear(&across);
    return status;
}

// The first pass by row keeps the order of the list, the others sort.
eck_status ecki_lines_of_triples(ecki_lines *rows_out, ecki_lines *cols_out, int64_t *added_out,
                                 const ecki_triples *entries, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_lines listed = { .dtype = ECK_DTYPE_F64 }, across = { .dtype = ECK_DTYPE_NONE };
    ecki_lines along = { .dtype = ECK_DTYPE_NONE };
    ECK_TRY(lines_alloc(&listed, entries->rows, entries->cols, entries->count, err));
    for (int64_t e = 0; e < entries->count; e++)
        listed.starts[entries->row[e] + 2]++;
    sum_starts(&listed);
    for (int64_t e = 0; e < entries->count; e++) {
        const int64_t place = listed.starts[entries->row[e] + 1]++;
        listed.indices[place] = entries->col[e];
        ((double *)listed.values)[place] = entries->value[e];
    }
    ECK_TRY(transpose_lines(&across, &listed, err));
    ecki_lines_clear(&listed);
    const int64_t added = add_equals(&across);
    ECK_TRY(transpose_lines(&along, &across, err));
    *rows_out = along;
    *cols_out = across;
    *added_out = added;
    return status;
done:
    ecki_lines_clear(&along);
    ecki_lines_clear(&across);
    ecki_lines_clear(&listed);
    return status;
}

// In place: a float is written where a double was read before.
static void narrow_values(ecki_lines *a)
{
    const int64_t count = a->starts[a->lines];
    for (int64_t e = 0; e < count; e++) {
        const float value = (float)((const double *)a->values)[e];
        memcpy((char *)a->values + (size_t)e * sizeof value, &value, sizeof value);
    }
    void *const smaller = ecki_realloc(a->values, count, sizeof(float));
    if (smaller) a->values = smaller;
    a->dtype = ECK_DTYPE_F32;
}

void ecki_lines_narrow(ecki_lines *rows, ecki_lines *cols)
{
    const int64_t count = rows->starts[rows->lines];
    const double *const values = rows->values;
    for (int64_t e = 0; e < count; e++)
        if ((double)(float)values[e] != values[e]) return;
    narrow_values(rows);
    narrow_values(cols);
}

void ecki_lines_dense(char *out, const ecki_lines *rows, int64_t offset, int64_t count)
{
    const int64_t size = (int64_t)value_size(rows->dtype);
    if (count <= 0) return;
    memset(out, 0, (size_t)count);
    const int64_t first = offset / size, last = (offset + count - 1) / size;
    for (int64_t i = first / rows->width; i <= last / rows->width; i++) {
        const int64_t from = ecki_max(first - i * rows->width, 0);
        for (int64_t e = ecki_lines_find(rows, i, from);
             e < rows->starts[i + 1] && i * rows->width + rows->indices[e] <= last; e++) {
            const int64_t at = (i * rows->width + rows->indices[e]) * size - offset;
            const int64_t skip = ecki_max(-at, 0), bytes = ecki_min(size, count - at) - skip;
            memcpy(out + at + skip, (const char *)rows->values + e * size + skip, (size_t)bytes);
        }
    }
}

int64_t ecki_lines_find(const ecki_lines *a, int64_t line, int64_t index)
{
    int64_t low = a->starts[line], high = a->starts[line + 1];
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (a->indices[middle] < index)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
