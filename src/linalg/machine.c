// What the machine does: rates of products and of memory, and a check of the BLAS that is made of products with sizes
// that are multiples of nothing, where kernels have their edges.
#include "eckart/machine.h"

#include <float.h>
#include <math.h>

#include "base/checked.h"
#include "base/cpu.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/gemm.h"
#include "tensor/codec.h"

enum { ORDER = 1024, RUNS = 5, PRODUCTS = 60, LARGEST = 257, STREAM = 1 << 22, CHUNK = 1 << 16 };

// Numbers in [-1,1) that look like noise, the same every time.
static double noise(uint64_t i)
{
    uint64_t x = (i + 1) * 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 29)) * 0xbf58476d1ce4e5b9u;
    x ^= x >> 32;
    return (double)(int64_t)x * 0x1p-63;
}

static void fill(void *data, eck_dtype dtype, int64_t count, uint64_t start)
{
    for (int64_t i = 0; i < count; i++) {
        const double x = noise(start + (uint64_t)i);
        if (dtype == ECK_DTYPE_F32)
            ((float *)data)[i] = (float)x;
        else
            ((double *)data)[i] = x;
    }
}

// c = a b, or a^T b.
static eck_status multiply(eck_panel a, bool turned, eck_panel b, eck_panel c, eck_error *err)
{
    if (c.dtype == ECK_DTYPE_F32) return ecki_gemm_f32(1.0F, a, turned, b, 0.0F, c, err);
    const ecki_matrix left = ecki_matrix_panel(a);
    return ecki_gemm(1.0, turned ? ecki_transposed(left) : left, ecki_matrix_panel(b), 0.0, c, err);
}

// Best rate of a few products.
static eck_status gemm_rate(double *out, eck_dtype dtype, double *memory,
                            const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t count = (int64_t)ORDER * ORDER;
    const eck_panel a = ecki_panel(memory, dtype, ORDER, ORDER),
                    b = ecki_panel(memory + count, dtype, ORDER, ORDER),
                    c = ecki_panel(memory + 2 * count, dtype, ORDER, ORDER);
    double best = INFINITY;
    fill(a.data, dtype, count, 0);
    fill(b.data, dtype, count, (uint64_t)count);
    for (int run = 0; run < RUNS; run++) {
        ECK_TRY(ecki_progress(context, "products", run, RUNS, err));
        const double start = ecki_clock();
        ECK_TRY(multiply(a, false, b, c, err));
        best = fmin(best, ecki_clock() - start);
    }
    *out = 2.0 * ORDER * (double)count / fmax(best, 1e-9) * 1e-9;
done:
    return status;
}

// a = b + s c by chunks, a task each.
static eck_status triad_task(void *self, int64_t index, eck_error *err)
{
    double *const memory = self, *const a = memory + index * CHUNK;
    const double *const b = a + STREAM, *const c = b + STREAM;
    (void)err;
    for (int64_t i = 0; i < CHUNK; i++)
        a[i] = b[i] + 0.5 * c[i];
    return ECK_OK;
}

static eck_status memory_rate(double *out, const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    double *memory = NULL, best = INFINITY;
    ECK_ALLOC(memory, 3 * (int64_t)STREAM);
    for (int run = 0; run < RUNS; run++) {
        ECK_TRY(ecki_progress(context, "memory", run, RUNS, err));
        const double start = ecki_clock();
        ECK_TRY(ecki_parallel_for(STREAM / CHUNK, ecki_threads(context), triad_task, memory, err));
        best = fmin(best, ecki_clock() - start);
    }
    *out = 24.0 * STREAM / fmax(best, 1e-9) * 1e-9;
done:
    ecki_free(memory);
    return status;
}

static double element(eck_panel a, int64_t i, int64_t j)
{
    const int64_t at = i * a.ld + j;
    return a.dtype == ECK_DTYPE_F32 ? (double)((const float *)a.data)[at]
                                    : ((const double *)a.data)[at];
}

// Largest |c_ij - sum a_il b_lj| / ((k + 1) u sum |a_il b_lj|), sums of the F32 in F64, of F64 in long double.
static double worst_ratio(eck_panel a, bool turned, eck_panel b, eck_panel c)
{
    const double unit = c.dtype == ECK_DTYPE_F32 ? FLT_EPSILON / 2 : DBL_EPSILON / 2;
    const int64_t inner = b.rows;
    double worst = 0.0;
    for (int64_t i = 0; i < c.rows; i++)
        for (int64_t j = 0; j < c.cols; j++) {
            long double exact = 0.0L, size = 0.0L;
            for (int64_t l = 0; l < inner; l++) {
                const long double term =
                    (long double)(turned ? element(a, l, i) : element(a, i, l)) * element(b, l, j);
                exact += term;
                size += fabsl(term);
            }
            const double error = fabs((double)(element(c, i, j) - exact));
            const double ratio = error / ((double)(inner + 1) * unit * (double)size);
            worst = ratio > worst || isnan(ratio) ? ratio : worst;
        }
    return worst;
}

// One product of odd sizes; worst_out grows, and stays NaN once it is.
static eck_status check_product(double *worst_out, eck_dtype dtype, double *memory, int product,
                                eck_error *err)
{
    static const int64_t sizes[] = { 1, 3, 7, 15, 17, 31, 33, 47, 63, 65, 97, 127, 129, 5, 23 };
    enum { SIZES = sizeof sizes / sizeof sizes[0] };
    const int64_t rows = sizes[product % SIZES];
    const int64_t cols = sizes[(product * 4 + product / SIZES + 2) % SIZES];
    const int64_t inner = product % 7 == 0 ? LARGEST : sizes[(product * 7 + 3) % SIZES];
    const int64_t each = (int64_t)LARGEST * LARGEST;
    const bool turned = product % 2 != 0;
    const eck_panel a = ecki_panel(memory, dtype, turned ? inner : rows, turned ? rows : inner);
    const eck_panel b = ecki_panel(memory + each, dtype, inner, cols);
    const eck_panel c = ecki_panel(memory + 2 * each, dtype, rows, cols);
    fill(a.data, dtype, rows * inner, (uint64_t)product * 7919);
    fill(b.data, dtype, inner * cols, (uint64_t)product * 104729);
    const eck_status status = multiply(a, turned, b, c, err);
    if (status != ECK_OK) return status;
    const double ratio = worst_ratio(a, turned, b, c);
    if (!(ratio <= *worst_out)) *worst_out = ratio;
    return ECK_OK;
}

static eck_status check_products(double *worst_out, eck_dtype dtype, double *memory,
                                 const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    double worst = 0.0;
    for (int i = 0; i < PRODUCTS; i++) {
        ECK_TRY(ecki_progress(context, "check", i, PRODUCTS, err));
        ECK_TRY(check_product(&worst, dtype, memory, i, err));
    }
    *worst_out = worst;
done:
    return status;
}

eck_status eck_machine_measure(eck_machine *out, const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_cpu cpu = ecki_cpu_features();
    const int32_t threads = ecki_threads(context), saved = ecki_blas_enter(threads);
    eck_machine m = { .cpu = ecki_cpu_name(&cpu),
                      .avx2 = cpu.avx2,
                      .avx512 = cpu.avx512,
                      .avx512_bf16 = cpu.avx512_bf16,
                      .amx = cpu.amx,
                      .neon = cpu.neon,
                      .threads = threads,
                      .blas = eck_blas_description() };
    double *memory = NULL;
    ECK_ALLOC_RAW(memory, 3 * (int64_t)ORDER * ORDER);
    ECK_TRY(check_products(&m.check_f64, ECK_DTYPE_F64, memory, context, err));
    ECK_TRY(check_products(&m.check_f32, ECK_DTYPE_F32, memory, context, err));
    ECK_TRY(gemm_rate(&m.gemm_f64, ECK_DTYPE_F64, memory, context, err));
    ECK_TRY(gemm_rate(&m.gemm_f32, ECK_DTYPE_F32, memory, context, err));
    ECK_TRY(memory_rate(&m.bandwidth, context, err));
    *out = m;
done:
    ecki_free(memory);
    ecki_blas_leave(saved);
    return status;
}
