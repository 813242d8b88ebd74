// Sixteen columns at a time stay in registers while the entries of a line go by: an F32 panel of 16 columns is one
// cache line an entry. Always true: every element is one sum in the order of the entries, so that no bit depends on
// threads or on the other columns; builds differ from the scalar twin only by fused multiplications.
#include "linalg/kernel_gather.h"

#include "base/checked.h"
#include "base/compiler.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

enum { WIDE = 16, AHEAD = 12 };

// The entries of a line.
typedef struct entries {
    const ecki_lines *a;
    double scale;
    int64_t first, end;
} entries;

static entries entries_of(const ecki_gather_line *line)
{
    const ecki_lines *const a = line->a;
    return (entries){ a, line->scale, a->starts[line->line], a->starts[line->line + 1] };
}

static inline double value_of(const entries *of, int64_t e)
{
    return of->scale * ecki_lines_value(of->a, e);
}

static void block_f32(const entries *of, const float *x, int64_t ld, float *out, int64_t width)
{
    float sum[WIDE] = { 0.0F };
    for (int64_t e = of->first; e < of->end; e++) {
        const float value = (float)value_of(of, e);
        const float *const row = x + of->a->indices[e] * ld;
        for (int64_t j = 0; j < width; j++)
            sum[j] += value * row[j];
    }
    for (int64_t j = 0; j < width; j++)
        out[j] = sum[j];
}

static void block_f64(const entries *of, const double *x, int64_t ld, double *out, int64_t width)
{
    double sum[WIDE] = { 0.0 };
    for (int64_t e = of->first; e < of->end; e++) {
        const double value = value_of(of, e);
        const double *const row = x + of->a->indices[e] * ld;
        for (int64_t j = 0; j < width; j++)
            sum[j] += value * row[j];
    }
    for (int64_t j = 0; j < width; j++)
        out[j] = sum[j];
}

static void gather_f32(const ecki_gather_line *line, eck_panel x, void *out)
{
    const entries of = entries_of(line);
    for (int64_t j = 0; j < x.cols; j += WIDE)
        block_f32(&of, (const float *)x.data + j, x.ld, (float *)out + j,
                  ecki_min(WIDE, x.cols - j));
}

static void gather_f64(const ecki_gather_line *line, eck_panel x, void *out)
{
    const entries of = entries_of(line);
    for (int64_t j = 0; j < x.cols; j += WIDE)
        block_f64(&of, (const double *)x.data + j, x.ld, (double *)out + j,
                  ecki_min(WIDE, x.cols - j));
}

#if defined(__x86_64__)

// The row of the entry some way ahead, so that it is near when its turn comes; harmless beyond the end.
static inline const void *row_ahead(const entries *of, int64_t e, const void *x, int64_t bytes)
{
    const int64_t next = e + AHEAD < of->end ? e + AHEAD : e;
    return (const char *)x + of->a->indices[next] * bytes;
}

ECKI_TARGET("avx512f")
static void wide_f32_avx512(const entries *of, const float *x, int64_t ld, float *out)
{
    __m512 sum = _mm512_setzero_ps();
    for (int64_t e = of->first; e < of->end; e++) {
        _mm_prefetch((const char *)row_ahead(of, e, x, ld * (int64_t)sizeof *x), _MM_HINT_T0);
        const __m512 value = _mm512_set1_ps((float)value_of(of, e));
        sum = _mm512_fmadd_ps(value, _mm512_loadu_ps(x + of->a->indices[e] * ld), sum);
    }
    _mm512_storeu_ps(out, sum);
}

ECKI_TARGET("avx512f")
static void wide_f64_avx512(const entries *of, const double *x, int64_t ld, double *out)
{
    __m512d low = _mm512_setzero_pd(), high = _mm512_setzero_pd();
    for (int64_t e = of->first; e < of->end; e++) {
        const char *const ahead = row_ahead(of, e, x, ld * (int64_t)sizeof *x);
        _mm_prefetch(ahead, _MM_HINT_T0);
        _mm_prefetch(ahead + 64, _MM_HINT_T0);
        const __m512d value = _mm512_set1_pd(value_of(of, e));
        const double *const row = x + of->a->indices[e] * ld;
        low = _mm512_fmadd_pd(value, _mm512_loadu_pd(row), low);
        high = _mm512_fmadd_pd(value, _mm512_loadu_pd(row + 8), high);
    }
    _mm512_storeu_pd(out, low);
    _mm512_storeu_pd(out + 8, high);
}

ECKI_TARGET("avx2,fma")
static void wide_f32_avx2(const entries *of, const float *x, int64_t ld, float *out)
{
    __m256 low = _mm256_setzero_ps(), high = _mm256_setzero_ps();
    for (int64_t e = of->first; e < of->end; e++) {
        _mm_prefetch((const char *)row_ahead(of, e, x, ld * (int64_t)sizeof *x), _MM_HINT_T0);
        const __m256 value = _mm256_set1_ps((float)value_of(of, e));
        const float *const row = x + of->a->indices[e] * ld;
        low = _mm256_fmadd_ps(value, _mm256_loadu_ps(row), low);
        high = _mm256_fmadd_ps(value, _mm256_loadu_ps(row + 8), high);
    }
    _mm256_storeu_ps(out, low);
    _mm256_storeu_ps(out + 8, high);
}

ECKI_TARGET("avx2,fma")
static void wide_f64_avx2(const entries *of, const double *x, int64_t ld, double *out)
{
    __m256d sum[4] = { _mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd(),
                       _mm256_setzero_pd() };
    for (int64_t e = of->first; e < of->end; e++) {
        const char *const ahead = row_ahead(of, e, x, ld * (int64_t)sizeof *x);
        _mm_prefetch(ahead, _MM_HINT_T0);
        _mm_prefetch(ahead + 64, _MM_HINT_T0);
        const __m256d value = _mm256_set1_pd(value_of(of, e));
        const double *const row = x + of->a->indices[e] * ld;
        for (int j = 0; j < 4; j++)
            sum[j] = _mm256_fmadd_pd(value, _mm256_loadu_pd(row + 4 * j), sum[j]);
    }
    for (int j = 0; j < 4; j++)
        _mm256_storeu_pd(out + 4 * j, sum[j]);
}

static void gather_f32_avx512(const ecki_gather_line *line, eck_panel x, void *out)
{
    const entries of = entries_of(line);
    const float *const data = x.data;
    int64_t j = 0;
    for (; j + WIDE <= x.cols; j += WIDE)
        wide_f32_avx512(&of, data + j, x.ld, (float *)out + j);
    if (j < x.cols) block_f32(&of, data + j, x.ld, (float *)out + j, x.cols - j);
}

static void gather_f64_avx512(const ecki_gather_line *line, eck_panel x, void *out)
{
    const entries of = entries_of(line);
    const double *const data = x.data;
    int64_t j = 0;
    for (; j + WIDE <= x.cols; j += WIDE)
        wide_f64_avx512(&of, data + j, x.ld, (double *)out + j);
    if (j < x.cols) block_f64(&of, data + j, x.ld, (double *)out + j, x.cols - j);
}

static void gather_f32_avx2(const ecki_gather_line *line, eck_panel x, void *out)
{
    const entries of = entries_of(line);
    const float *const data = x.data;
    int64_t j = 0;
    for (; j + WIDE <= x.cols; j += WIDE)
        wide_f32_avx2(&of, data + j, x.ld, (float *)out + j);
    if (j < x.cols) block_f32(&of, data + j, x.ld, (float *)out + j, x.cols - j);
}

static void gather_f64_avx2(const ecki_gather_line *line, eck_panel x, void *out)
{
    const entries of = entries_of(line);
    const double *const data = x.data;
    int64_t j = 0;
    for (; j + WIDE <= x.cols; j += WIDE)
        wide_f64_avx2(&of, data + j, x.ld, (double *)out + j);
    if (j < x.cols) block_f64(&of, data + j, x.ld, (double *)out + j, x.cols - j);
}

#endif

ecki_gathers ecki_gather_choose(const ecki_cpu *cpu)
{
    (void)cpu;
#if defined(__x86_64__)
    if (cpu->avx512) return (ecki_gathers){ gather_f32_avx512, gather_f64_avx512 };
    if (cpu->avx2) return (ecki_gathers){ gather_f32_avx2, gather_f64_avx2 };
#endif
    return (ecki_gathers){ gather_f32, gather_f64 };
}
