/**
 * CP of a kernel [out, in, taps..]: a term is a mixture of inputs, a filter along every dimension, and a mixture of outputs.
 * Errors are not known before a fit, so the curve is fitted briefly at a few ranks, and between them the logarithm of the
 * squared error is taken to be linear in that of the rank.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "decompose/cp_parts.h"
#include "decompose/kernel.h"
#include "tensor/codec.h"

enum { FITS = 5, POINTS = 64, BRIEF = 12, LONG = 80 };

/** Iterations on the whole: what the core leaves out is little, and found soon. */
enum { BRIEF_FINISH = 3, LONG_FINISH = 40 };

/** A fit's rank of one group, error and degeneracy. */
struct fitted {
    int64_t rank;
    double error2, degeneracy;
};

static eck_cp_options options_of(int64_t rank, int64_t iterations)
{
    eck_cp_options options = ECK_CP_OPTIONS_INIT;

    options.rank = rank;
    options.iterations = iterations;
    options.tolerance = iterations == BRIEF ? 1e-5 : 1e-6;
    return options;
}

/** The largest rank of one group that is smaller than the layer, as far as fits are tried. */
static int64_t largest_rank(const ecki_kernel *k)
{
    const int64_t dense = eck_stage_parameters(k->dense);
    int64_t rank = ecki_max(k->in, k->out);

    for (; rank > 0; rank--) {
        int64_t ranks[ECK_RANKS_MAX];
        for (int32_t i = 0; i < ECK_RANKS_MAX; i++)
            ranks[i] = rank * k->groups;
        if (ecki_outline_parameters(k->dense, ECK_METHOD_CP, ranks) < dense) break;
    }
    return rank;
}

/** Errors and the worst degeneracy of one rank, over all groups, whose channels are found. */
static eck_status fit_groups(struct fitted *out, const ecki_kernel *k, int64_t rank,
                             const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_cp_fit fit = { 0 };
    const eck_cp_options options = options_of(rank, BRIEF);

    *out = (struct fitted){ rank, 0.0, 1.0 };
    for (int64_t g = 0; g < k->groups; g++) {
        eck_cp report = { 0 };
        const ecki_subject subject = ecki_kernel_subject(k, ecki_kernel_tensor(k, g));
        if (!(subject.norm > 0.0)) continue;
        const ecki_cp_task task = { &subject, &options, &k->channels[g], BRIEF_FINISH, context };
        ECK_TRY(ecki_cp_decompose(&fit, &report, &task, err));
        out->error2 += fit.now.error2 * subject.norm * subject.norm;
        out->degeneracy = fmax(out->degeneracy, report.degeneracy);
        ecki_cp_fit_clear(&fit);
    }
done:
    ecki_cp_fit_clear(&fit);
    return status;
}

/** Between two fits; before the first, from the whole norm at rank 0. */
static ecki_candidate between(const struct fitted *low, const struct fitted *high, int64_t rank,
                              const ecki_kernel *k)
{
    ecki_candidate c = { .estimated = rank != high->rank };
    const double part =
        low ? log((double)rank / (double)low->rank) / log((double)high->rank / (double)low->rank)
            : (double)rank / (double)high->rank;
    const double from = low ? low->error2 : k->norm2;

    for (int32_t i = 0; i <= k->wide; i++)
        c.ranks[i] = rank * k->groups;
    c.degeneracy = high->degeneracy;
    c.error2 = from > 0.0 && high->error2 > 0.0 ? from * pow(high->error2 / from, part) : 0.0;
    c.parameters = ecki_outline_parameters(k->dense, ECK_METHOD_CP, c.ranks);
    return c;
}

eck_status ecki_cp_curve(ecki_candidates *out, const ecki_kernel *kernel,
                         const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    struct fitted fits[FITS];
    int count = 0;
    const int64_t most = largest_rank(kernel), step = ecki_max(1, most / POINTS);

    for (int i = FITS - 1; i >= 0 && most > 0; i--) {
        const int64_t rank = most >> i;
        if (rank < 1 || (count > 0 && fits[count - 1].rank == rank)) continue;
        ECK_TRY(fit_groups(&fits[count], kernel, rank, context, err));
        count++;
    }
    for (int i = 0; i < count; i++) {
        const struct fitted *low = i > 0 ? &fits[i - 1] : NULL;
        const int64_t from = low ? low->rank + 1 : 1;
        for (int64_t rank = from; rank <= fits[i].rank; rank++) {
            const bool listed = kernel->multiple < 2 ? rank == fits[i].rank || rank % step == 0
                                                     : ecki_kernel_lists(kernel, rank);
            if (!listed) continue;
            const ecki_candidate c = between(low, &fits[i], rank, kernel);
            ECK_TRY(ecki_candidates_add(out, &c, err));
        }
    }
    ecki_candidates_prune(out, 4 * POINTS);
done:
    return status;
}

/** Lengths shared out evenly over all factors, and each where its stage has it. */
static void place(double **at, ecki_cp_fit *fit, const ecki_kernel *k)
{
    const int64_t rank = fit->rank;
    const int32_t last = fit->ndim - 1;

    for (int64_t r = 0; r < rank; r++) {
        double sum = 0.0;
        for (int64_t i = 0; i < fit->shape[last]; i++)
            sum += fit->now.factor[last][i * rank + r] * fit->now.factor[last][i * rank + r];
        const double length = sqrt(sum), share = pow(length, 1.0 / (double)fit->ndim);
        for (int32_t n = 0; n < fit->ndim; n++)
            for (int64_t i = 0; i < fit->shape[n] && length > 0.0; i++)
                fit->now.factor[n][i * rank + r] *= n == last ? share / length : share;
    }
    memcpy(at[k->wide + 1], fit->now.factor[0], (size_t)(k->out * rank) * sizeof(double));
    ecki_transpose(at[0], fit->now.factor[1], k->in, rank);
    for (int32_t i = 0; i < k->wide; i++)
        ecki_transpose(at[i + 1], fit->now.factor[i + 2], k->size[i], rank);
}

eck_status ecki_cp_fit_kernel(double **weights, const ecki_kernel *kernel, const eck_point *point,
                              const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_cp_fit fit = { 0 };
    eck_stage stages[ECKI_STAGES_MAX];
    const int64_t rank = point->ranks[0] / kernel->groups;
    const int32_t count = ecki_outline(stages, kernel->dense, point->method, point->ranks);
    const eck_cp_options options = options_of(rank, LONG);
    double *at[ECKI_STAGES_MAX];

    for (int64_t g = 0; g < kernel->groups; g++) {
        eck_cp report = { 0 };
        const ecki_subject subject = ecki_kernel_subject(kernel, ecki_kernel_tensor(kernel, g));
        for (int32_t i = 0; i < count; i++)
            at[i] = weights[i] + g * (eck_stage_parameters(&stages[i]) / kernel->groups);
        if (!(subject.norm > 0.0)) continue; // weights are zero to begin with
        const ecki_cp_task task = { &subject, &options, NULL, LONG_FINISH, context };
        ECK_TRY(ecki_cp_decompose(&fit, &report, &task, err));
        place(at, &fit, kernel);
        ecki_cp_fit_clear(&fit);
    }
done:
    ecki_cp_fit_clear(&fit);
    return status;
}
