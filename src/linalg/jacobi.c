// Plans of the lane-parallel Jacobi: what is worked on, in which order its columns meet, and by which build.
#include "linalg/jacobi.h"

#include "base/checked.h"

// BLOCK columns meet BLOCK others while both lie in the cache nearest to the processor.
enum { BLOCK = 4, ROWS_MAX = 1024, TINY = 4, SMALL = 16 };

bool ecki_jacobi_fits(int64_t rows, int64_t cols)
{
    return ecki_min(rows, cols) >= 1 && ecki_min(rows, cols) <= ECKI_JACOBI_ORDER &&
           ecki_max(rows, cols) <= ROWS_MAX;
}

static void add_pair(ecki_jacobi_plan *plan, int64_t p, int64_t q)
{
    if (ecki_max(p, q) >= plan->n) return;
    plan->first[plan->pairs] = (uint8_t)ecki_min(p, q);
    plan->second[plan->pairs++] = (uint8_t)ecki_max(p, q);
}

// All pairs within four columns, two that share none after each other.
static void add_block(ecki_jacobi_plan *plan, int64_t begin)
{
    for (int64_t i = 1; i < BLOCK; i++) {
        const int64_t other = i == 1 ? 2 : 1, last = 6 - i - other;
        add_pair(plan, begin, begin + i);
        add_pair(plan, begin + other, begin + last);
    }
}

// Every pair of columns once, block by block, neighbours in the list sharing no column, so that the processor can begin the
// next angle while it still rotates.
static void order_pairs(ecki_jacobi_plan *plan)
{
    for (int64_t i = 0; i < plan->n; i += BLOCK) {
        add_block(plan, i);
        for (int64_t j = i + BLOCK; j < plan->n; j += BLOCK)
            for (int64_t k = 0; k < BLOCK * BLOCK; k++)
                add_pair(plan, i + k % BLOCK, j + (k + k / BLOCK) % BLOCK);
    }
}

// Pairs from `begin` on, at most ECKI_JACOBI_TOGETHER, of which no two share a column.
static int64_t apart_from(const ecki_jacobi_plan *plan, int64_t begin)
{
    uint32_t taken = 0;
    int64_t end = begin;
    for (; end < ecki_min(plan->pairs, begin + ECKI_JACOBI_TOGETHER); end++) {
        const uint32_t both = (uint32_t)1 << plan->first[end] | (uint32_t)1 << plan->second[end];
        if (taken & both) break;
        taken |= both;
    }
    return end - begin;
}

void ecki_jacobi_plan_of(ecki_jacobi_plan *out, int64_t rows, int64_t cols, int64_t kept,
                         bool vectors)
{
    *out = (ecki_jacobi_plan){ .rows = rows, .cols = cols, .kept = kept, .vectors = vectors };
    out->m = ecki_max(rows, cols);
    out->n = ecki_min(rows, cols);
    out->flipped = rows < cols;
    out->by_qr = out->n > 1 && out->m >= 2 * out->n;
    out->groups = out->n <= TINY ? 4 : out->n <= SMALL ? 2 : 1;
    order_pairs(out);
    for (int64_t i = 0; i < out->pairs; i++)
        out->together[i] = (uint8_t)apart_from(out, i);
}

int64_t ecki_jacobi_work(const ecki_jacobi_plan *plan)
{
    const int64_t square = plan->n * plan->n;
    const int64_t triangle = plan->by_qr ? square : 0;
    const int64_t vectors = plan->vectors ? square + (plan->by_qr ? plan->m * plan->kept : 0) : 0;
    return plan->m * plan->n + 2 * plan->n + 2 + triangle + vectors;
}

int64_t ecki_jacobi_width(const ecki_jacobi_plan *plan, const ecki_jacobi_kernel *kernel)
{
    return (int64_t)plan->groups * kernel->lanes;
}

ecki_jacobi_kernel ecki_jacobi_kernel_of(eck_dtype dtype, const ecki_cpu *cpu)
{
    const bool wide = dtype == ECK_DTYPE_F64;
#if defined(__x86_64__)
    if (cpu->avx512)
        return (ecki_jacobi_kernel){ "avx512", wide ? 8 : 16,
                                     wide ? ecki_jacobi_f64_avx512 : ecki_jacobi_f32_avx512 };
    if (cpu->avx2)
        return (ecki_jacobi_kernel){ "avx2", wide ? 4 : 8,
                                     wide ? ecki_jacobi_f64_avx2 : ecki_jacobi_f32_avx2 };
#else
    (void)cpu;
#endif
    return (ecki_jacobi_kernel){ "portable", wide ? 2 : 4,
                                 wide ? ecki_jacobi_f64_portable : ecki_jacobi_f32_portable };
}
