/**
 * Times of runners side by side. What disturbs a measurement on a machine that does other things comes in stretches, so
 * rounds go through all runners, there and back, and a median is taken of each.
 */
#include <stdlib.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "runtime/runner.h"

enum { ROUNDS_MOST = 10000, PASSES_MOST = 1000000 };

typedef struct timing {
    eck_runner *const *runners;
    int64_t count;
    eck_timing_options options;
    int64_t *passes; /**< [count] of one sample */
    double *samples; /**< [count * rounds] seconds of one pass */
} timing;

/** Seconds of so many passes. */
static eck_status clock_passes(double *out, eck_runner *runner, int64_t passes, eck_error *err)
{
    const int32_t saved = ecki_openmp_enter(runner->threads);
    const double start = ecki_clock();
    const eck_status status = ecki_net_pass(runner->net, passes, err);

    *out = ecki_clock() - start;
    ecki_openmp_leave(saved);
    return status;
}

/** How many passes last as long as a sample must; makes everything ready on the way. */
static eck_status warm_up(int64_t *out, eck_runner *runner, double sample, eck_error *err)
{
    eck_status status = ECK_OK;
    int64_t passes = 1;
    double seconds;

    ECK_TRY(clock_passes(&seconds, runner, 1, err));
    for (;;) {
        ECK_TRY(clock_passes(&seconds, runner, passes, err));
        if (seconds >= sample || passes >= PASSES_MOST) break;
        const double wanted = 1.25 * sample / (seconds > 1e-9 ? seconds : 1e-9);
        passes = ecki_max(2 * passes, (int64_t)(wanted < 16 ? wanted * (double)passes : 0));
        passes = ecki_min(passes, PASSES_MOST);
    }
    *out = passes;
done:
    return status;
}

static eck_status take_round(const timing *t, int64_t round, eck_error *err)
{
    eck_status status = ECK_OK;

    for (int64_t i = 0; i < t->count; i++) {
        const int64_t which = round % 2 ? t->count - 1 - i : i;
        double seconds;
        ECK_TRY(clock_passes(&seconds, t->runners[which], t->passes[which], err));
        t->samples[which * t->options.rounds + round] = seconds / (double)t->passes[which];
    }
done:
    return status;
}

static int compare_seconds(const void *left, const void *right)
{
    const double *a = left;
    const double *b = right;

    return (*a > *b) - (*a < *b);
}

/** The number at `part` of the way through sorted samples, between two of them if it falls there. */
static double quantile(const double *sorted, int64_t count, double part)
{
    const double place = part * (double)(count - 1);
    const int64_t below = ecki_min((int64_t)place, count - 2);

    return sorted[below] + (place - (double)below) * (sorted[below + 1] - sorted[below]);
}

static void summarize(eck_timing *out, timing *t)
{
    for (int64_t i = 0; i < t->count; i++) {
        double *samples = t->samples + i * t->options.rounds;
        qsort(samples, (size_t)t->options.rounds, sizeof *samples, compare_seconds);
        out[i] = (eck_timing){ quantile(samples, t->options.rounds, 0.5),
                               quantile(samples, t->options.rounds, 0.25),
                               quantile(samples, t->options.rounds, 0.75), t->options.rounds };
    }
}

eck_status eck_runner_time(eck_timing *out, eck_runner *const *runners, int64_t count,
                           const eck_timing_options *options, const eck_context *context,
                           eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_timing_options usual = ECK_TIMING_OPTIONS_INIT;
    timing t = { runners, count, options ? *options : usual, NULL, NULL };

    ECK_REQUIRE(t.options.rounds >= 3 && t.options.rounds <= ROUNDS_MOST, ECK_E_RANGE, -1,
                "%lld rounds: 3 to %d are allowed", (long long)t.options.rounds, ROUNDS_MOST);
    ECK_REQUIRE(t.options.sample >= 0 && t.options.sample <= 60, ECK_E_RANGE, -1,
                "samples of %g s: 0 to 60 are allowed", t.options.sample);
    ECK_ALLOC(t.passes, count);
    ECK_ALLOC(t.samples, count * t.options.rounds);
    for (int64_t i = 0; i < count; i++)
        ECK_TRY(warm_up(&t.passes[i], runners[i], t.options.sample, err));
    for (int64_t round = 0; round < t.options.rounds; round++) {
        ECK_TRY(take_round(&t, round, err));
        ECK_TRY(ecki_progress(context, "rounds", round + 1, t.options.rounds, err));
    }
    summarize(out, &t);
done:
    ecki_free(t.passes);
    ecki_free(t.samples);
    return status;
}
