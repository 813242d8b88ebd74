// Which lane answers when nobody says: a table of costs made of the shape, the rank and the kind of processor. Always
// true: nothing measured at run time enters, so that the same call gives the same lane, and the same bytes, every time.
#include "linalg/choose.h"

#include <math.h>
#include <stddef.h>

#include "base/checked.h"
#include "base/cpu.h"
#include "base/parallel.h"
#include "linalg/krylov_lane.h"
#include "linalg/op.h"
#include "linalg/svd_job.h"
#include "linalg/two_stage.h"

// What parts of the lanes cost: operations for each that the formula counts, where one of an F64 product costs 1. Columns
// are the kinds of processors; docs/methods/choice.md tells what they were found from.
typedef struct prices {
    double gram; // of m n^2
    double two_stage, one_stage; // of 4/3 n^3
    double near, far; // of n^2 k and m n k: vectors, factors, proof
    double fused,
        plain; // of 4 m n b a read, where the matrix lies in memory as the kernels want it, and elsewhere
    double skinny; // of 4 n L^2: projections
    double inner; // of L^3: eigenvalues of T at every look
    double factors; // of m n k: F64 factors from the space
} prices;

static const prices WIDE = { 1.2, 3.0, 6.0, 12.0, 10.0, 1.1, 2.5, 2.0, 100.0, 4.0 };
static const prices PLAIN = { 1.2, 2.5, 4.5, 12.0, 10.0, 1.1, 2.0, 1.5, 80.0, 4.0 };

// KRYLOV must be this much cheaper than EXACT to be taken: its cost is less certain.
#define MARGIN 1.3
// A number read from elsewhere than memory costs about as many operations.
#define ELSEWHERE 50.0
// Reads that KRYLOV makes for a rank, for each k / b and anyway, of a spectrum like i^-0.5 (docs/methods/krylov.md).
#define STEPS 2.3
#define STEPS_MORE 6.0

typedef struct sizes {
    double m, n, k, nonzeros;
    bool resident, fused;
} sizes;

static sizes sizes_of(const eck_operator *a, const eck_svd_options *o)
{
    const eck_operator_info *const info = &a->info;
    const double rows = (double)info->rows, cols = (double)info->cols;
    const int64_t least = ecki_min(info->rows, info->cols);
    sizes s = { .m = fmax(rows, cols), .n = fmin(rows, cols), .resident = info->resident };
    s.k = (double)(o->rank > 0 ? ecki_min(o->rank, least) : least);
    s.nonzeros = info->nonzeros > 0 ? (double)info->nonzeros : rows * cols;
    s.fused = a->view != NULL || info->nonzeros > 0;
    return s;
}

static const prices *prices_here(void)
{
    const ecki_cpu cpu = ecki_cpu_features();
    return cpu.avx512 ? &WIDE : &PLAIN;
}

// Reading a matrix so many times.
static double reading(const sizes *s, double reads)
{
    return s->resident ? 0.0 : reads * ELSEWHERE * s->nonzeros;
}

static double exact_cost(const sizes *s, const prices *p)
{
    const double reduction = s->n >= ECKI_TWO_STAGE_ORDER ? p->two_stage : p->one_stage;
    return p->gram * s->m * s->n * s->n + reduction * 4.0 / 3.0 * s->n * s->n * s->n +
           p->near * s->n * s->n * s->k + p->far * s->m * s->n * s->k + reading(s, 3.0);
}

// For so many reads.
static double krylov_cost(const sizes *s, const prices *p, double reads)
{
    const double b = (double)ecki_krylov_block((int64_t)s->k), length = s->k + b * STEPS_MORE;
    const double basis = fmin(fmax(length, reads * b), 4.0 * s->k + 12.0 * b);
    const double step = 4.0 * s->nonzeros * b * (s->fused ? p->fused : p->plain);
    return reads * (step + p->skinny * 4.0 * s->n * basis * b) + p->inner * basis * basis * basis +
           p->factors * s->nonzeros * s->k + reading(s, reads);
}

// As many reads as keep KRYLOV below a cost.
static int64_t reads_within(const sizes *s, const prices *p, double cost)
{
    int64_t reads = 0;
    while (reads < ECKI_KRYLOV_READS && krylov_cost(s, p, (double)(reads + 1)) <= cost)
        reads++;
    return reads;
}

// What only EXACT can do; NULL when there is a choice.
static const char *exact_alone(const eck_operator *a, const eck_svd_options *o)
{
    const bool ruled = o->rule == ECK_RULE_ENERGY || o->rule == ECK_RULE_ERROR;
    if (a->info.storage == ECK_DTYPE_F64)
        return "F64 numbers deserve F64 vectors, which the lanes for few terms do not have";
    if (!ecki_wants_factors(o)) return "all values are wanted";
    if (o->rule != ECK_RULE_RANK && !ruled) return "the rank depends on all values";
    if (ruled && o->rank <= 0) return "the rank the rule will choose is not known beforehand";
    if ((o->want & ECK_WANT_FULL) && !(o->want & ECK_WANT_COMPACT)) return "all vectors are wanted";
    return NULL;
}

// Memory takes lanes out of the choice: those that need more than is allowed, and KRYLOV where nothing is limited and it
// holds more than EXACT, both on one thread and without a copy of A: without a limit no number of threads enters.
static void weigh_memory(eck_engine_choice *out, const eck_operator *a, const eck_svd_options *o,
                         const eck_context *context)
{
    eck_context alone = *context;
    eck_svd_options exact = *o;
    int64_t columns = 0;
    exact.engine = ECK_ENGINE_EXACT;
    if (context->memory <= 0) {
        alone.threads = 1;
        const ecki_svd_job job = { .a = a, .context = &alone, .options = *o };
        if (ecki_krylov_memory(&job) > ecki_svd_memory(&a->info, &exact, o->rank, 1))
            out->krylov = INFINITY;
        return;
    }
    const ecki_svd_job job = { .a = a, .context = context, .options = *o };
    if (ecki_svd_memory(&a->info, &exact, o->rank, ecki_threads(context)) > context->memory)
        out->exact = INFINITY;
    if (ecki_krylov_foresee(&columns, &job, NULL) != ECK_OK) out->krylov = INFINITY;
}

void ecki_choose(eck_engine_choice *out, const eck_operator *a, const eck_svd_options *o,
                 const eck_context *context)
{
    const sizes s = sizes_of(a, o);
    const prices *const p = prices_here();
    const bool random = o->failure >= 1e-12 && o->failure <= 0.5;
    const char *const alone = exact_alone(a, o);
    *out = (eck_engine_choice){ ECK_ENGINE_EXACT, exact_cost(&s, p), INFINITY, 0.0, 0, alone, 0 };
    if (alone) return;
    out->reason = "the leading terms alone would not be much cheaper";
    if (!random || !ecki_krylov_fits(&a->info, o)) return;
    out->expected_reads = STEPS * s.k / (double)ecki_krylov_block((int64_t)s.k) + STEPS_MORE;
    out->krylov = krylov_cost(&s, p, out->expected_reads);
    weigh_memory(out, a, o, context);
    if (isinf(out->krylov) || out->krylov > out->exact / MARGIN) return;
    out->engine = ECK_ENGINE_KRYLOV;
    out->reads = reads_within(&s, p, out->exact);
    out->reason = isinf(out->exact) ? "the exact lane needs more memory than is allowed"
                                    : "few terms of a large matrix need few reads of it";
}

// Bytes of the lane, and of EXACT, which may follow it; a lane that finds no room in a limit refuses or holds less.
static int64_t memory_of(eck_engine engine, const eck_operator *a, const eck_svd_options *o,
                         const eck_context *context)
{
    const int64_t most = ecki_min(a->info.rows, a->info.cols);
    const bool known = o->rule == ECK_RULE_RANK || o->rank > 0;
    const int64_t rank = !ecki_wants_factors(o) ? -1 : known ? ecki_min(o->rank, most) : most;
    const bool krylov = engine == ECK_ENGINE_KRYLOV;
    eck_svd_options used = *o;
    used.engine = krylov ? ECK_ENGINE_EXACT : engine;
    const int64_t exact = ecki_svd_memory(&a->info, &used, rank, ecki_threads(context));
    if (!krylov) return exact;
    ecki_svd_job job = { .a = a, .context = context, .options = *o };
    job.holding = ecki_krylov_holding(&job);
    const int64_t either = ecki_max(exact, ecki_krylov_memory(&job));
    return context->memory > 0 ? ecki_min(either, context->memory) : either;
}

eck_status eck_svd_choose(eck_engine_choice *out, const eck_operator *a,
                          const eck_svd_options *options, const eck_context *context,
                          eck_error *err)
{
    eck_status status = ECK_OK;
    eck_svd_options checked = ECK_SVD_OPTIONS_INIT;
    const eck_context fit = ecki_fit_context(context, &a->info);
    ECK_TRY(ecki_svd_check_options(&checked, options, &a->info, err));
    ecki_choose(out, a, &checked, &fit);
    if (options && options->engine != ECK_ENGINE_AUTO) {
        out->engine = options->engine;
        out->reads = options->engine == ECK_ENGINE_KRYLOV ? ECKI_KRYLOV_READS : 0;
        out->reason = "it was asked for";
    }
    out->memory = memory_of(out->engine, a, &checked, &fit);
done:
    return status;
}
