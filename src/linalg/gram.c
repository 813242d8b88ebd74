// Packing of panels and the walk over the tiles of their Gram. Always true: a tile belongs to one task, which adds the
// parts of the panel in their order, and nothing depends on how wide a strip is.
#include "linalg/gram.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"

// A task has about TASK_COLUMNS lines of the result; NEAR_COLUMNS columns of a part stay in the second cache meanwhile.
enum {
    DEPTH = ECKI_GRAM_DEPTH,
    TASK_COLUMNS = 96,
    NEAR_COLUMNS = 672,
    STRIP_MOST = 24,
    ROWS_MOST = 8,
    TURNED = 8
};

const ecki_gram_kernels *ecki_gram_kernels_of(const ecki_cpu *cpu)
{
#if defined(__x86_64__)
    if (cpu->avx512) return &ecki_gram_avx512;
    if (cpu->avx2) return &ecki_gram_avx2;
#endif
    return cpu->neon ? &ecki_gram_portable : NULL;
}

const ecki_gram_kernels *ecki_gram_kernels_here(void)
{
    const ecki_cpu cpu = ecki_cpu_features();
    return ecki_gram_kernels_of(&cpu);
}

static int64_t parts_of(int64_t count, int64_t each)
{
    return (count + each - 1) / each;
}

// Where the numbers of a line lie in a strip; the lines after it follow until the part ends.
static double *place(const ecki_gram_panel *panel, int64_t line, int64_t strip)
{
    const int64_t at = (line / DEPTH * panel->strips + strip) * DEPTH + line % DEPTH;
    return panel->data + at * panel->strip;
}

double ecki_gram_panel_numbers(double order, double lines)
{
    return (order + STRIP_MOST) * (lines + DEPTH);
}

eck_status ecki_gram_panel_init(ecki_gram_panel *out, const ecki_gram_kernels *kernels,
                                int64_t order, int64_t lines, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_gram_panel panel = { .kernels = kernels, .order = order };
    int64_t width = 0, count = 0;
    panel.strip = kernels ? kernels->strip : ecki_max(order, 1);
    panel.strips = parts_of(order, panel.strip);
    ECK_REQUIRE(ecki_add(lines, DEPTH - 1, &panel.lines) &&
                    ecki_mul(panel.strips, panel.strip, &width) &&
                    ecki_mul(width, panel.lines / DEPTH * DEPTH, &count),
                ECK_E_NOMEM, -1, "not enough memory for a Gram panel");
    panel.lines = panel.lines / DEPTH * DEPTH;
    ECK_ALLOC_RAW(panel.data, count);
    // What is beyond the last column is never written and stays 0: no odd numbers slow a tile.
    for (int64_t line = 0; order % panel.strip != 0 && line < panel.lines; line += DEPTH)
        memset(place(&panel, line, panel.strips - 1), 0,
               (size_t)(DEPTH * panel.strip) * sizeof *panel.data);
    *out = panel;
done:
    return status;
}

void ecki_gram_panel_clear(ecki_gram_panel *panel)
{
    ecki_free(panel->data);
    panel->data = NULL;
}

int64_t ecki_gram_columns(const ecki_gram_panel *panel, int64_t wish)
{
    const int64_t most = panel->kernels ? parts_of(wish, panel->strip) * panel->strip : wish;
    return ecki_min(panel->order, most);
}

double ecki_gram_columns_most(int64_t wish)
{
    return (double)(wish + STRIP_MOST - 1);
}

// Part of a strip: columns first .. end of the panel, which is `at` in the block.
typedef struct strip_part {
    int64_t strip, first, end;
    int64_t at;
} strip_part;

static void pack_lines(ecki_gram_panel *panel, int64_t line, strip_part part, ecki_matrix block)
{
    const int64_t count = part.end - part.first, start = part.first % panel->strip;
    for (int64_t i = 0; i < block.rows; i++) {
        double *const to = place(panel, line + i, part.strip) + start;
        memcpy(to, block.data + i * block.ld + part.at, (size_t)count * sizeof *to);
    }
}

// The block holds columns: its line i is number i of each.
static void pack_turned(ecki_gram_panel *panel, int64_t line, strip_part part, ecki_matrix block)
{
    const int64_t count = part.end - part.first, start = part.first % panel->strip;
    const double *const from = block.data + part.at * block.ld;
    int64_t i = 0;
    if (panel->kernels && count == panel->strip && line % TURNED == 0)
        for (; i + TURNED <= block.rows; i += TURNED)
            panel->kernels->turn(from + i, block.ld, place(panel, line + i, part.strip));
    for (; i < block.rows; i++) {
        double *const to = place(panel, line + i, part.strip) + start;
        for (int64_t j = 0; j < count; j++)
            to[j] = from[j * block.ld + i];
    }
}

void ecki_gram_pack(ecki_gram_panel *panel, int64_t line, int64_t col, ecki_matrix block)
{
    for (int64_t at = 0; at < block.cols;) {
        const int64_t strip = (col + at) / panel->strip;
        const int64_t end = ecki_min((strip + 1) * panel->strip, col + block.cols);
        const strip_part part = { strip, col + at, end, at };
        block.transposed ? pack_turned(panel, line, part, block)
                         : pack_lines(panel, line, part, block);
        at = end - col;
    }
}

typedef struct gram_job {
    const ecki_gram_panel *panel;
    eck_panel out;
    int64_t lines;
    int64_t each, tasks; // strips of a task
    bool fresh;
} gram_job;

// One tile: `row` and `col` are its place in the result. What crosses the diagonal or the edge goes by way of a copy.
static void add_tile(const gram_job *job, const double *rows, const double *columns, int64_t depth,
                     const int64_t at[2])
{
    const ecki_gram_kernels *const kernels = job->panel->kernels;
    const int64_t row = at[0], col = at[1], ld = job->out.ld;
    double *const out = (double *)job->out.data + row * ld + col;
    if (row + kernels->rows <= job->panel->order && col + kernels->strip <= row + 1) {
        kernels->tile(rows, columns, depth, out, ld);
        return;
    }
    double sum[ROWS_MOST * STRIP_MOST] = { 0.0 };
    const int64_t count = ecki_min(kernels->rows, job->panel->order - row);
    kernels->tile(rows, columns, depth, sum, kernels->strip);
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j < kernels->strip && col + j <= row + i; j++)
            out[i * ld + j] += sum[i * kernels->strip + j];
}

// Lines of the result from one strip, against strips near[0] .. near[1]-1 of the same part.
static void add_strip(const gram_job *job, int64_t line, int64_t strip, const int64_t near[2])
{
    const ecki_gram_panel *const panel = job->panel;
    const int64_t depth = ecki_min(DEPTH, job->lines - line);
    const int64_t last = ecki_min(near[1], strip + 1);
    for (int64_t i = 0; i < panel->strip; i += panel->kernels->rows) {
        const int64_t row = strip * panel->strip + i;
        if (row >= panel->order) break;
        for (int64_t j = near[0]; j < last; j++)
            add_tile(job, place(panel, line, strip) + i, place(panel, line, j), depth,
                     (int64_t[]){ row, j * panel->strip });
    }
}

static void clear_lines(eck_panel out, int64_t first, int64_t end)
{
    for (int64_t i = first; i < end && i < out.rows; i++)
        memset((double *)out.data + i * out.ld, 0, (size_t)(i + 1) * sizeof(double));
}

// The longest lines come first, so that threads end together.
static eck_status add_task(void *self, int64_t index, eck_error *err)
{
    const gram_job *const job = self;
    const int64_t first = (job->tasks - 1 - index) * job->each;
    const int64_t end = ecki_min(first + job->each, job->panel->strips);
    const int64_t near = NEAR_COLUMNS / job->panel->strip;
    (void)err;
    if (job->fresh) clear_lines(job->out, first * job->panel->strip, end * job->panel->strip);
    for (int64_t j = 0; j < end; j += near)
        for (int64_t line = 0; line < job->lines; line += DEPTH)
            for (int64_t strip = ecki_max(first, j); strip < end; strip++)
                add_strip(job, line, strip, (int64_t[]){ j, j + near });
    return ECK_OK;
}

eck_status ecki_gram_add(bool fresh, eck_panel out, const ecki_gram_panel *panel, int64_t lines,
                         int32_t threads, eck_error *err)
{
    if (!panel->kernels)
        return ecki_syrk(1.0, ecki_transposed(ecki_matrix_of(panel->data, lines, panel->order)),
                         fresh ? 0.0 : 1.0, out, err);
    const int64_t each = ecki_max(1, TASK_COLUMNS / panel->strip);
    gram_job job = { panel, out, lines, each, parts_of(panel->strips, each), fresh };
    return ecki_parallel_for(job.tasks, threads, add_task, &job, err);
}
