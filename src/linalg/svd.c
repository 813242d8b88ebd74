// The front of the engine: options checked, a lane chosen, a rank chosen, memory foreseen.
#include "eckart/svd.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/choose.h"
#include "linalg/deflated.h"
#include "linalg/krylov_lane.h"
#include "linalg/noise.h"
#include "linalg/op.h"
#include "linalg/svd_job.h"

// Below this many multiplications threads cost more than they save.
#define SMALL_WORK 4e6

const char *eck_engine_name(eck_engine engine)
{
    switch (engine) {
    case ECK_ENGINE_AUTO:
        return "auto";
    case ECK_ENGINE_EXACT:
        return "exact";
    case ECK_ENGINE_KRYLOV:
        return "krylov";
    case ECK_ENGINE_DEFLATED:
        return "deflated";
    case ECK_ENGINE_JACOBI:
        return "jacobi";
    case ECK_ENGINE_GOLUB_KAHAN:
        return "golub-kahan";
    case ECK_ENGINE_ALS:
        return "als";
    case ECK_ENGINE_GRADIENT:
        return "gradient";
    }
    return "?";
}

void eck_svd_options_init(eck_svd_options *options)
{
    const eck_svd_options defaults = ECK_SVD_OPTIONS_INIT;
    *options = defaults;
}

eck_status eck_rule_rank(int64_t *rank_out, const eck_spectrum_info *spectrum, eck_rule rule,
                         double target, int64_t rank, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t n = spectrum->count;
    int64_t k = 0;
    ECK_REQUIRE(rank >= 0, ECK_E_RANGE, -1, "rank %lld is negative", (long long)rank);
    switch (rule) {
    case ECK_RULE_RANK:
        k = rank;
        break;
    case ECK_RULE_ENERGY:
        ECK_REQUIRE(target > 0.0 && target <= 1.0, ECK_E_RANGE, -1, "energy %g lies outside (0,1]",
                    target);
        while (k < n && spectrum->tails[k] * spectrum->tails[k] > 1.0 - target)
            k++;
        break;
    case ECK_RULE_ERROR:
        ECK_REQUIRE(target >= 0.0 && target < 1.0, ECK_E_RANGE, -1, "error %g lies outside [0,1)",
                    target);
        while (k < n && spectrum->tails[k] > target)
            k++;
        break;
    case ECK_RULE_THIN:
        k = n;
        break;
    case ECK_RULE_NUMERICAL:
        k = ecki_max(spectrum->numerical_rank, 1);
        break;
    case ECK_RULE_EVBMF:
        k = ecki_rank_evbmf(spectrum);
        break;
    case ECK_RULE_HARD_THRESHOLD:
        k = ecki_rank_hard_threshold(spectrum);
        break;
    default:
        ECK_REQUIRE(false, ECK_E_RANGE, -1, "rank rule %d is unknown", (int)rule);
    }
    if (rule != ECK_RULE_RANK && rank > 0) k = ecki_min(k, rank);
    *rank_out = ecki_min(k, n);
done:
    return status;
}

eck_status ecki_svd_check_options(eck_svd_options *out, const eck_svd_options *given,
                                  const eck_operator_info *info, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_svd_options o = ECK_SVD_OPTIONS_INIT;
    ECK_REQUIRE(!given || (given->version >= 1 && given->version <= 3), ECK_E_RANGE, -1,
                "unknown version %u of SVD options", given->version);
    if (given && given->version < 3)
        memcpy(&o, given,
               given->version == 1 ? offsetof(eck_svd_options, excess)
                                   : offsetof(eck_svd_options, spectral_proof));
    else if (given)
        o = *given;
    const uint32_t both = ECK_WANT_LEFT | ECK_WANT_RIGHT;
    ECK_REQUIRE(!o.spectral_proof || (o.want & (ECK_WANT_COMPACT | ECK_WANT_FULL)) ||
                    (o.want & both) == both,
                ECK_E_RANGE, -1, "a spectral proof is one of factors: both have to be wanted");
    if (o.store == ECK_DTYPE_NONE)
        o.store = info->storage == ECK_DTYPE_F64 ? ECK_DTYPE_F64 : ECK_DTYPE_F32;
    ECK_REQUIRE(eck_dtype_is_weight(o.store), ECK_E_RANGE, -1,
                "factors cannot be stored as %s: F64, F32, F16 or BF16", eck_dtype_name(o.store));
    ECK_REQUIRE(o.engine == ECK_ENGINE_AUTO || o.engine == ECK_ENGINE_EXACT ||
                    o.engine == ECK_ENGINE_DEFLATED || o.engine == ECK_ENGINE_KRYLOV ||
                    o.engine == ECK_ENGINE_GOLUB_KAHAN,
                ECK_E_RANGE, -1,
                "engine %d has no lane here: auto, exact, deflated, krylov or golub-kahan",
                (int)o.engine);
    ECK_REQUIRE(o.excess > 0.0 && o.excess <= 1.0, ECK_E_RANGE, -1, "excess %g lies outside (0,1]",
                o.excess);
    ECK_REQUIRE(o.proof == ECK_PROOF_TAIL || o.proof == ECK_PROOF_RESIDUAL ||
                    o.proof == ECK_PROOF_BOUND,
                ECK_E_RANGE, -1, "proof %d is unknown", (int)o.proof);
    const bool random = o.proof == ECK_PROOF_BOUND || o.engine == ECK_ENGINE_KRYLOV;
    ECK_REQUIRE(!random || (o.failure >= 1e-12 && o.failure <= 0.5), ECK_E_RANGE, -1,
                "failure %g lies outside 1e-12 .. 0.5", o.failure);
    ECK_REQUIRE(o.rank >= 0, ECK_E_RANGE, -1, "rank %lld is negative", (long long)o.rank);
    if (o.engine == ECK_ENGINE_AUTO) o.engine = ECK_ENGINE_EXACT;
    *out = o;
done:
    return status;
}

eck_status ecki_svd_require_memory(const ecki_svd_job *job, int64_t rank, eck_error *err)
{
    if (!job->context || job->context->memory <= 0) return ECK_OK;
    const int32_t threads = ecki_threads(job->context);
    const int64_t needed = ecki_svd_memory(&job->a->info, &job->options, rank, threads);
    if (needed <= job->context->memory) return ECK_OK;
    return ecki_error(err, ECK_E_BUDGET, -1, "factoring '%s' needs %lld bytes, %lld are allowed",
                      job->a->name, (long long)needed, (long long)job->context->memory);
}

// The exact lane from a spectrum: rank, factors, result.
static eck_status finish_exact(eck_svd **out, ecki_svd_job *job, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_svd_options *const o = &job->options;
    job->solver = "bisection";
    ECK_TRY(eck_rule_rank(&job->rank, &job->spectrum->info, o->rule, o->target, o->rank, err));
    if (ecki_wants_factors(o)) {
        ECK_TRY(ecki_svd_require_memory(job, job->rank, err));
        ECK_TRY(ecki_factor_exact(job, err));
        if (job->own) ecki_spectrum_drop_reduction(job->own);
    }
    ECK_TRY(ecki_svd_finish(out, job, err));
done:
    return status;
}

static eck_status compute_exact(eck_svd **out, ecki_svd_job *job, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_spectrum *spectrum = NULL;
    const bool factors = ecki_wants_factors(&job->options);
    ECK_TRY(ecki_spectrum_build(&spectrum, job->a, factors, job->context, err));
    job->spectrum = job->own = spectrum;
    job->one_thread = spectrum->one_thread;
    ECK_TRY(finish_exact(out, job, err));
done:
    job->spectrum = job->own = NULL;
    eck_spectrum_free(spectrum);
    return status;
}

// Hands a result on once its spectral proof is done; without that there is none.
static eck_status hand_on(eck_svd **out, eck_svd *svd, const ecki_svd_job *job, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_operator *factors = NULL;
    if (job->options.spectral_proof) {
        ECK_TRY(eck_svd_operator(&factors, svd, err));
        ECK_TRY(eck_certify_spectral(&svd->spectral, job->a, factors, job->context, err));
        svd->seconds = ecki_clock() - job->start;
    }
    *out = svd;
    svd = NULL;
done:
    eck_operator_free(factors);
    eck_svd_free(svd);
    return status;
}

// A lane that may leave the work to the exact one. The iterative one has one thread of BLAS outside of its own tasks: its
// bytes then do not depend on threads.
static eck_status compute_leading(eck_svd **out, ecki_svd_job *job, bool *answered_out,
                                  eck_error *err)
{
    const bool krylov = job->engine == ECK_ENGINE_KRYLOV;
    const int32_t saved = ecki_blas_enter(krylov ? 1 : ecki_threads(job->context));
    const eck_status status = krylov ? ecki_svd_krylov(out, job, answered_out, err)
                                     : ecki_svd_deflated(out, job, answered_out, err);
    ecki_blas_leave(saved);
    if (status == ECK_OK && !*answered_out) {
        const double start = job->start;
        ecki_svd_job_clear(job);
        *job = (ecki_svd_job){ .a = job->a,
                               .context = job->context,
                               .options = job->options,
                               .captured = -1.0,
                               .start = start };
    }
    return status;
}

eck_context ecki_fit_context(const eck_context *context, const eck_operator_info *info)
{
    const eck_context defaults = ECK_CONTEXT_INIT;
    eck_context fit = context ? *context : defaults;
    const double n = (double)ecki_min(info->rows, info->cols);
    if ((double)info->rows * (double)info->cols * n < SMALL_WORK) fit.threads = 1;
    return fit;
}

eck_status eck_svd_compute(eck_svd **out, const eck_operator *a, const eck_svd_options *options,
                           const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_context fit = ecki_fit_context(context, &a->info);
    eck_engine_choice choice = { .reads = ECKI_KRYLOV_READS };
    eck_svd *svd = NULL;
    ecki_svd_job job = { .a = a, .context = &fit, .captured = -1.0, .start = ecki_clock() };
    const int32_t saved = ecki_blas_enter(ecki_threads(&fit));
    ECK_TRY(ecki_svd_check_options(&job.options, options, &a->info, err));
    if (!options || options->engine == ECK_ENGINE_AUTO) {
        ecki_choose(&choice, a, &job.options, &fit);
        job.options.engine = choice.engine;
    }
    job.engine = job.options.engine;
    job.reads = choice.reads;
    bool answered = false;
    if (job.engine == ECK_ENGINE_KRYLOV || job.engine == ECK_ENGINE_DEFLATED) {
        if (job.engine == ECK_ENGINE_DEFLATED)
            ECK_TRY(ecki_svd_require_memory(&job, job.options.rank, err));
        ECK_TRY(compute_leading(&svd, &job, &answered, err));
        if (!answered) job.engine = job.options.engine = ECK_ENGINE_EXACT;
    }
    if (!answered) {
        ECK_TRY(ecki_svd_require_memory(&job, ecki_wants_factors(&job.options) ? 0 : -1, err));
        if (a->info.storage == ECK_DTYPE_F64 || job.engine == ECK_ENGINE_GOLUB_KAHAN)
            ECK_TRY(ecki_svd_dense(&svd, &job, err));
        else
            ECK_TRY(compute_exact(&svd, &job, err));
    }
    status = hand_on(out, svd, &job, err);
done:
    ecki_svd_job_clear(&job);
    ecki_blas_leave(saved);
    return status;
}

eck_status eck_spectrum_svd(eck_svd **out, const eck_spectrum *spectrum, const eck_operator *a,
                            const eck_svd_options *options, const eck_context *context,
                            eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_context fit = ecki_fit_context(context, &a->info);
    ecki_svd_job job = { .a = a, .context = &fit, .captured = -1.0, .start = ecki_clock() };
    const int32_t threads = ecki_threads(&fit), saved = ecki_blas_enter(threads);
    const eck_spectrum_info *const info = &spectrum->info;
    eck_svd *svd = NULL;
    ECK_REQUIRE(a->info.rows == info->rows && a->info.cols == info->cols, ECK_E_SHAPE, -1,
                "the spectrum of a [%lld,%lld] matrix is not that of '%s' [%lld,%lld]",
                (long long)info->rows, (long long)info->cols, a->name, (long long)a->info.rows,
                (long long)a->info.cols);
    ECK_REQUIRE(!options || options->engine != ECK_ENGINE_GOLUB_KAHAN, ECK_E_RANGE, -1,
                "a spectrum belongs to the exact engine");
    ECK_TRY(ecki_svd_check_options(&job.options, options, &a->info, err));
    job.engine = ECK_ENGINE_EXACT;
    job.spectrum = spectrum;
    job.one_thread = spectrum->one_thread && (saved == 0 || threads == 1);
    ECK_TRY(finish_exact(&svd, &job, err));
    status = hand_on(out, svd, &job, err);
done:
    ecki_svd_job_clear(&job);
    ecki_blas_leave(saved);
    return status;
}
