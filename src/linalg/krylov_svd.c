// Engine KRYLOV: a Krylov space grown until its best rank-k approximation is as near to the optimum as was asked, which
// fresh probes have to confirm, then factors in F64. Always true: what is returned is proved by the F64 factors and by
// the probes, never by the F32 recurrence alone; what does not get there goes to the exact lane.
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/krylov.h"
#include "linalg/krylov_lane.h"
#include "linalg/op.h"
#include "linalg/orthonormal.h"
#include "linalg/ritz.h"
#include "tensor/codec.h"

enum { TRAILING = 3 };

// F32 vectors are off by about 32 u sqrt(length) of their own length, which costs its square of what they capture.
#define NOISE (32.0 * 0x1p-24)
// An F32 product with a vector of value theta is off by about 8 u sigma_1 theta, and among values nearer to each other
// than that T does not know which are the larger.
#define ORDER (8.0 * 0x1p-24)
// A squared error below this share of ||A||^2 is all noise: it counts as reached, whatever the optimum.
#define FLOOR2 1e-9
// One computation on its way.
typedef struct krylov_run {
    ecki_svd_job *job;
    ecki_krylov space;
    ecki_ritz ritz;
    double *values; // [most], of T, descending
    int64_t k; // the rank the rule chooses now; -1 none yet
    double
        slack; // by how much the k largest eigenvalues of M may exceed what F64 vectors of the space capture
    double noise; // the part of it that further steps cannot lower
    double tail2; // ||A||^2 less the k largest values of T, at least what the space has beyond them
    int64_t next; // length of the space at which to look again
    double before; // excess at the last look
    int32_t rounds; // of probes
    bool hopeless; // further steps cannot help
} krylov_run;

int64_t ecki_krylov_block(int64_t rank)
{
    return rank <= 128 ? 16 : rank <= 1024 ? 32 : 64;
}

int64_t ecki_krylov_room(int64_t rank, int64_t least)
{
    const int64_t b = ecki_krylov_block(rank);
    return ecki_min(4 * rank + 12 * b, least / b * b);
}

eck_side ecki_krylov_side(const eck_operator *a)
{
    // Where columns lie side by side their products are the fast ones.
    const eck_view *const view = a->view;
    return view && view->stride[0] == 1 && view->stride[1] != 1 ? ECK_SIDE_LEFT : ECK_SIDE_RIGHT;
}

bool ecki_krylov_fits(const eck_operator_info *info, const eck_svd_options *o)
{
    const int64_t least = ecki_min(info->rows, info->cols);
    const bool rule =
        o->rule == ECK_RULE_RANK || o->rule == ECK_RULE_ENERGY || o->rule == ECK_RULE_ERROR;
    const int64_t rank = ecki_min(o->rank, least);
    if (!rule || !ecki_wants_factors(o) ||
        ((o->want & ECK_WANT_FULL) && !(o->want & ECK_WANT_COMPACT)))
        return false;
    return rank + 4 * ecki_krylov_block(rank) <= least && (o->rule != ECK_RULE_RANK || rank > 0);
}

// The rank of the rule from the values of T; -1 when the space does not hold enough yet.
static int64_t wanted_rank(const krylov_run *run)
{
    const eck_svd_options *const o = &run->job->options;
    const int64_t cap = o->rank > 0 ? o->rank : INT64_MAX;
    if (o->rule == ECK_RULE_RANK) return o->rank;
    const double share = o->rule == ECK_RULE_ENERGY ? 1.0 - o->target : o->target * o->target;
    double rest = run->ritz.norm2;
    int64_t k = 0;
    while (rest > share * run->ritz.norm2 && k < run->space.length && k < cap)
        rest -= fmax(run->values[k++], 0.0);
    return rest > share * run->ritz.norm2 && k < cap ? -1 : k;
}

// The least room the present rank needs to be looked at.
static bool room_to_look(const krylov_run *run)
{
    return run->k >= 0 && run->k + 2 * run->space.block <= run->space.length;
}

static eck_status values_of(double *values, const ecki_krylov *s, int64_t first, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t l = s->length - first;
    double *matrix = NULL;
    ECK_ALLOC_RAW(matrix, l * l);
    for (int64_t i = 0; i < l; i++)
        memcpy(matrix + i * l, s->t + (first + i) * s->most + first, (size_t)l * sizeof *matrix);
    ECK_TRY(ecki_small_eigen(values, NULL, matrix, l, 0, err));
done:
    ecki_free(matrix);
    return status;
}

// slack for a bound mu of what is left out: of the exact recurrence, and of the F32 rounding of its vectors.
static eck_status find_slack(krylov_run *run, double mu, eck_error *err)
{
    eck_status status = ECK_OK;
    const double first = fmax(run->values[0], 0.0),
                 kth = fmax(run->values[run->k > 0 ? run->k - 1 : 0], 0.0);
    const double step = NOISE * sqrt(first);
    double sum = 0.0, kept = 0.0, bound = 0.0, rest = 0.0;
    run->slack = 0.0;
    for (int64_t i = 0; i < run->space.length; i++)
        *(i < run->k ? &kept : &rest) += fmax(run->values[i], 0.0);
    run->tail2 = fmax(run->ritz.norm2 - kept, rest);
    if (run->k == 0) goto done;
    const double mu_safe = mu * 1.001 + step * step;
    ECK_TRY(ecki_krylov_bound(&bound, &run->space, run->k, kth, mu_safe, err));
    for (int64_t i = 0; i < run->k; i++)
        sum += run->values[i];
    run->noise = NOISE * NOISE * (double)run->space.length * kept +
                 (double)run->k * ORDER * sqrt(first * kth);
    run->slack = fmax(bound - sum, 0.0) + run->noise;
done:
    return status;
}

// error / optimum - 1, at most.
static double excess_of(double tail2, double slack)
{
    const double optimum2 = tail2 - slack;
    return optimum2 > 0.0 ? sqrt(tail2 / optimum2) - 1.0 : INFINITY;
}

static bool near_enough(const krylov_run *run, double tail2, double share)
{
    const bool floor = tail2 <= FLOOR2 * run->ritz.norm2 && run->slack <= 2.0 * run->noise;
    return floor || excess_of(tail2, run->slack) <= share * run->job->options.excess;
}

// True when the noise alone keeps the excess above what was asked: the exact lane can do better.
static bool hopeless(const krylov_run *run, double tail2)
{
    return tail2 > FLOOR2 * run->ritz.norm2 &&
           excess_of(tail2, run->noise) > run->job->options.excess;
}

// A guess of what the space leaves out: the largest value of the last blocks of T, which are a Krylov space of their
// own of what the blocks before them left out.
static eck_status guess_left_out(double *out, const krylov_run *run, eck_error *err)
{
    const ecki_krylov *const s = &run->space;
    double *values = NULL;
    eck_status status = ECK_OK;
    ECK_ALLOC_RAW(values, s->length);
    ECK_TRY(values_of(values, s, ecki_max(0, s->length - TRAILING * s->block), err));
    *out = fmin(values[0], 0.9 * run->values[run->k > 0 ? run->k - 1 : 0]);
done:
    ecki_free(values);
    return status;
}

// Steps that take as long as a look: two eigenproblems of the order of the space, on one thread.
static double steps_of_a_look(const krylov_run *run)
{
    const ecki_krylov *const s = &run->space;
    const double l = (double)s->length, b = (double)s->block;
    const eck_operator_info *const info = &run->job->a->info;
    const double entries =
        info->nonzeros > 0 ? (double)info->nonzeros : (double)info->rows * (double)info->cols;
    return 40.0 * l * l * l / (4.0 * entries * b + 8.0 * (double)s->n * l * b);
}

// When to look again: a step takes off a constant factor.
static void plan_next(krylov_run *run, double excess)
{
    const double goal = 0.8 * run->job->options.excess, least = fmax(1.0, steps_of_a_look(run));
    double steps = 1.0;
    if (isfinite(excess) && isfinite(run->before) && excess < run->before)
        steps = floor(log(excess / goal) / log(run->before / excess));
    run->before = excess;
    steps = fmax(least, fmin(steps, 2.0 * least));
    run->next = run->space.length + run->space.block * (int64_t)fmin(steps, 64.0);
}

// Probes until the bound is good enough or they have nothing more to tell.
static eck_status confirm(krylov_run *run, bool *good_out, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_deflated probe;
    memset(&probe, 0, sizeof probe);
    double before = INFINITY;
    *good_out = false;
    // The probabilities of all rounds together stay below the one that was asked for.
    const double failure = ldexp(run->job->options.failure, -++run->rounds);
    ECK_TRY(ecki_deflated_init(&probe, &run->space, failure, err));
    while (!*good_out && probe.count < ECKI_DEFLATED_MOST) {
        ECK_TRY(ecki_progress(run->job->context, "confirm", probe.count, 0, err));
        ECK_TRY(ecki_deflated_step(&probe, &run->space, err));
        if (probe.mu > 1.5 * run->values[run->k - 1] && probe.count < 3) continue;
        ECK_TRY(find_slack(run, probe.mu, err));
        *good_out = near_enough(run, run->tail2, 0.9);
        if (probe.mu > 0.97 * before) break;
        before = probe.mu;
    }
done:
    ecki_deflated_clear(&probe);
    return status;
}

// Looks at the space: *good_out when it is confirmed; else run->next says when to look again.
static eck_status look(krylov_run *run, bool *good_out, eck_error *err)
{
    eck_status status = ECK_OK;
    double mu = 0.0;
    *good_out = false;
    ECK_TRY(values_of(run->values, &run->space, 0, err));
    run->k = wanted_rank(run);
    run->next = run->space.length + run->space.block;
    if (!room_to_look(run)) {
        if (run->k > 0) run->next = ecki_max(run->next, run->k + 2 * run->space.block);
        goto done;
    }
    if (run->k == 0) {
        *good_out = true;
        goto done;
    }
    ECK_TRY(guess_left_out(&mu, run, err));
    ECK_TRY(find_slack(run, mu, err));
    if (near_enough(run, run->tail2, 1.0)) {
        ECK_TRY(confirm(run, good_out, err));
        run->before = INFINITY;
    } else {
        plan_next(run, excess_of(run->tail2, run->slack));
    }
done:
    return status;
}

// The k leading Ritz vectors of T, [length,k].
static eck_status ritz_vectors(double **out, krylov_run *run, int64_t k, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_krylov *const s = &run->space;
    double *matrix = NULL, *vectors = NULL;
    ECK_ALLOC_RAW(matrix, s->length * s->length);
    ECK_ALLOC_RAW(vectors, s->length * k);
    for (int64_t i = 0; i < s->length; i++)
        memcpy(matrix + i * s->length, s->t + i * s->most, (size_t)s->length * sizeof *matrix);
    ECK_TRY(ecki_small_eigen(run->values, vectors, matrix, s->length, k, err));
    *out = vectors;
    vectors = NULL;
done:
    ecki_free(vectors);
    ecki_free(matrix);
    return status;
}

// Makes room by keeping the vectors that matter.
static eck_status restart(krylov_run *run, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_krylov *const s = &run->space;
    const int64_t wish = (run->k > 0 ? run->k : s->most / 2) + s->block;
    const int64_t keep = ecki_min(wish, s->most - 2 * s->block);
    double *vectors = NULL;
    ECK_TRY(ritz_vectors(&vectors, run, keep, err));
    ECK_TRY(ecki_krylov_restart(s, run->values, vectors, keep, err));
    run->next = ecki_max(keep + 2 * s->block, ecki_min(run->next, s->most));
done:
    ecki_free(vectors);
    return status;
}

// Grows until confirmed; *good_out false when the passes allowed are used up.
static eck_status grow(krylov_run *run, bool *good_out, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_krylov *const s = &run->space;
    *good_out = false;
    while (!*good_out && s->passes < run->job->reads) {
        ECK_TRY(ecki_progress(run->job->context, "krylov", s->length, 0, err));
        if (s->length + s->block > s->most) {
            if (run->job->options.rule != ECK_RULE_RANK && run->k < 0) break;
            ECK_TRY(restart(run, err));
        }
        ECK_TRY(ecki_krylov_step(s, err));
        if (s->length >= run->next || s->length + s->block > s->most)
            ECK_TRY(look(run, good_out, err));
    }
done:
    return status;
}

// Vectors of the present rank in F64, made orthonormal, into the ritz in the place of those before.
static eck_status extract(krylov_run *run, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_krylov *const s = &run->space;
    const int64_t k = run->k;
    double *vectors = NULL;
    float *turned = NULL;
    int64_t count = 0;
    ECK_REQUIRE(ecki_mul(s->n, k, &count), ECK_E_NOMEM, -1, "not enough memory for factors");
    ecki_free(run->ritz.near);
    ecki_free(run->ritz.far);
    run->ritz.near = run->ritz.far = NULL;
    ECK_TRY(ecki_progress(run->job->context, "vectors", 0, 1, err));
    ECK_TRY(ritz_vectors(&vectors, run, k, err));
    ECK_ALLOC_RAW(turned, count);
    const ecki_block basis = { s->basis, s->n, s->length, s->most + s->block };
    ECK_TRY(ecki_block_turn((ecki_block){ turned, s->n, k, k }, basis, vectors,
                            ecki_threads(run->job->context), err));
    ECK_ALLOC_RAW(run->ritz.near, count);
    for (int64_t i = 0; i < count; i++)
        run->ritz.near[i] = (double)turned[i];
    ECK_TRY(ecki_orthonormalize(run->ritz.near, s->n, k, NULL, err));
done:
    ecki_free(turned);
    ecki_free(vectors);
    return status;
}

// Factors of the rank from the space. *good_out false: the rule does not hold for them, or the F64 tail is so small that
// the bracket is not as narrow as was asked.
static eck_status settle(krylov_run *run, bool *good_out, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_svd_options *const o = &run->job->options;
    ECK_TRY(extract(run, err));
    ECK_TRY(ecki_ritz_settle(&run->ritz, run->k, err));
    const double norm2 = run->ritz.norm2, tail2 = norm2 - run->ritz.captured;
    const double share = o->rule == ECK_RULE_ENERGY ? 1.0 - o->target : o->target * o->target;
    const bool kept = o->rule == ECK_RULE_RANK || tail2 <= share * norm2 || run->k == o->rank;
    *good_out = kept && near_enough(run, tail2, 0.95);
    run->hopeless = hopeless(run, tail2);
done:
    return status;
}

// The space for the first look.
static eck_status begin(krylov_run *run, const eck_scan *scan, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_svd_job *const job = run->job;
    const eck_operator_info *const info = &job->a->info;
    ecki_krylov *const s = &run->space;
    const int64_t least = ecki_min(info->rows, info->cols),
                  rank = ecki_min(job->options.rank, least);
    s->a = job->a;
    s->context = job->context;
    s->side = ecki_krylov_side(job->a);
    ECK_TRY(ecki_ritz_init(&run->ritz, job, scan, s->side, err));
    s->scale = run->ritz.scale;
    s->block = ecki_krylov_block(rank > 0 ? rank : 512);
    ECK_TRY(ecki_krylov_foresee(&s->most, job, err));
    s->seed = job->options.seed;
    run->next = rank + 2 * s->block;
    run->before = INFINITY;
    run->k = job->options.rule == ECK_RULE_RANK ? rank : -1;
    ECK_ALLOC_RAW(run->values, s->most);
    ECK_TRY(ecki_krylov_init(s, err));
done:
    return status;
}

// Grows and settles in turn, since only the F64 factors tell how small the tail is.
static eck_status find_factors(krylov_run *run, bool *good_out, eck_error *err)
{
    eck_status status = ECK_OK;
    bool grown = false;
    *good_out = false;
    for (int round = 0; round < 4 && !*good_out && !run->hopeless; round++) {
        ECK_TRY(grow(run, &grown, err));
        if (!grown || run->k == 0) break;
        ECK_TRY(settle(run, good_out, err));
        run->next = run->space.length + run->space.block;
    }
done:
    return status;
}

// Puts a copy of A in the place of A where that makes products faster.
static eck_status hold(ecki_held *held, ecki_svd_job *job, eck_error *err)
{
    eck_status status = ECK_OK;
    job->holding = ecki_krylov_holding(job);
    if (job->holding.bytes == 0) return ECK_OK;
    ECK_TRY(ecki_progress(job->context, "read", 0, 1, err));
    ECK_TRY(ecki_held_make(held, job->a, job->holding, job->context, err));
    job->a = held->op;
done:
    return status;
}

eck_status ecki_svd_krylov(eck_svd **out, ecki_svd_job *job, bool *answered_out, eck_error *err)
{
    eck_status status = ECK_OK;
    const eck_operator *const given = job->a;
    krylov_run run = { .job = job };
    ecki_held held = { NULL, NULL };
    eck_scan scan;
    bool good = false;
    *answered_out = false;
    if (!ecki_krylov_fits(&job->a->info, &job->options)) return ECK_OK;
    ECK_TRY(eck_operator_scan(&scan, job->a, job->context, err));
    ECK_REQUIRE(scan.nonfinite == 0, ECK_E_NONFINITE, scan.first_nonfinite,
                "cannot factor '%s': element %lld is not finite, and %lld more", job->a->name,
                (long long)scan.first_nonfinite, (long long)scan.nonfinite - 1);
    if (!(scan.max > 0.0) || !isfinite(scan.norm2) || scan.norm2 < 1e-280)
        goto done; // the exact lane's
    ECK_TRY(hold(&held, job, err));
    ECK_TRY(begin(&run, &scan, err));
    ECK_TRY(find_factors(&run, &good, err));
    if (!good) goto done;
    ecki_krylov_clear(&run.space);
    job->rank = run.k;
    job->engine = ECK_ENGINE_KRYLOV;
    job->solver = "block-krylov";
    job->one_thread = true;
    ECK_TRY(ecki_ritz_finish(out, &run.ritz, run.slack, job->options.failure, err));
    *answered_out = true;
done:
    ecki_krylov_clear(&run.space);
    ecki_free(run.values);
    ecki_ritz_clear(&run.ritz);
    ecki_held_clear(&held);
    job->a = given;
    return status;
}
