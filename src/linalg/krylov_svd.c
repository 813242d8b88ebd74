// Engine KRYLOV: a Krylov space grown until its best rank-k approximation is as near to the optimum as was asked, which
// fresh probes have to confirm, then factors in F64. Always true: what is returned is proved by the F64 factors and by
// the probes, never by the F32 recurrence alone; what does not get there goes to the exact lane.
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/gemm.h"
#include "linalg/krylov.h"
#include "linalg/krylov_lane.h"
#include "linalg/op.h"
#include "linalg/orthonormal.h"
#include "linalg/spectrum.h"
#include "tensor/codec.h"

enum { PASSES_MOST = 120, TRAILING = 3 };

// F32 vectors are off by about 32 u sqrt(length) of their own length, which costs its square of what they capture.
#define NOISE (32.0 * 0x1p-24)
// An F32 product with a vector of value theta is off by about 8 u sigma_1 theta, and among values nearer to each other
// than that T does not know which are the larger.
#define ORDER (8.0 * 0x1p-24)
// A squared error below this share of ||A||^2 is all noise: it counts as reached, whatever the optimum.
#define FLOOR2 1e-9
#define UNIT 0x1p-53

// One computation on its way.
typedef struct krylov_run {
    ecki_svd_job *job;
    ecki_krylov space;
    eck_spectrum *spectrum;
    double norm2; // of scale A
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
    double *near, *far; // F64 vectors and A times them
} krylov_run;

int64_t ecki_krylov_block(int64_t rank)
{
    return rank <= 64 ? 16 : rank <= 512 ? 32 : 64;
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
    double rest = run->norm2;
    int64_t k = 0;
    while (rest > share * run->norm2 && k < run->space.length && k < cap)
        rest -= fmax(run->values[k++], 0.0);
    return rest > share * run->norm2 && k < cap ? -1 : k;
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
    run->tail2 = fmax(run->norm2 - kept, rest);
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
    const bool floor = tail2 <= FLOOR2 * run->norm2 && run->slack <= 2.0 * run->noise;
    return floor || excess_of(tail2, run->slack) <= share * run->job->options.excess;
}

// True when the noise alone keeps the excess above what was asked: the exact lane can do better.
static bool hopeless(const krylov_run *run, double tail2)
{
    return tail2 > FLOOR2 * run->norm2 && excess_of(tail2, run->noise) > run->job->options.excess;
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

// When to look again: a step takes off a constant factor.
static void plan_next(krylov_run *run, double excess)
{
    const double goal = 0.8 * run->job->options.excess;
    double steps = 1.0;
    if (isfinite(excess) && isfinite(run->before) && excess < run->before)
        steps = floor(log(excess / goal) / log(run->before / excess));
    run->before = excess;
    run->next = run->space.length + run->space.block * (int64_t)fmax(1.0, fmin(steps, 2.0));
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
    while (!*good_out && s->passes < PASSES_MOST) {
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

// far = scale A near, or scale A^T near.
static eck_status far_product(krylov_run *run, int64_t k, eck_error *err)
{
    const ecki_svd_job *const job = run->job;
    const bool right = run->space.side == ECK_SIDE_RIGHT;
    const int64_t m = right ? job->a->info.rows : job->a->info.cols;
    const eck_panel x = ecki_panel(run->near, ECK_DTYPE_F64, run->space.n, k);
    const eck_panel y = ecki_panel(run->far, ECK_DTYPE_F64, m, k);
    return right ? eck_operator_apply(job->a, run->space.scale, x, y, job->context, err)
                 : eck_operator_apply_transpose(job->a, run->space.scale, x, y, job->context, err);
}

// x = x turn for a row-major x [m,k], a piece at a time.
static eck_status turn_rows(double *x, int64_t m, int64_t k, const double *turn, eck_error *err)
{
    enum { ROWS = 512 };
    eck_status status = ECK_OK;
    double *piece = NULL;
    ECK_ALLOC_RAW(piece, ROWS * k);
    for (int64_t i = 0; i < m; i += ROWS) {
        const int64_t rows = ecki_min(ROWS, m - i);
        memcpy(piece, x + i * k, (size_t)(rows * k) * sizeof *x);
        ECK_TRY(ecki_gemm(1.0, ecki_matrix_of(piece, rows, k), ecki_matrix_of(turn, k, k), 0.0,
                          ecki_panel(x + i * k, ECK_DTYPE_F64, rows, k), err));
    }
done:
    ecki_free(piece);
    return status;
}

// Rayleigh-Ritz in F64 on the k vectors: W^T W = P diag(s^2) P^T, V = V P, W = W P.
static eck_status rotate(krylov_run *run, double *s2, int64_t k, eck_error *err)
{
    eck_status status = ECK_OK;
    const bool right = run->space.side == ECK_SIDE_RIGHT;
    const int64_t m = right ? run->job->a->info.rows : run->job->a->info.cols;
    double *gram = NULL, *turn = NULL;
    ECK_ALLOC_RAW(gram, k * k);
    ECK_ALLOC_RAW(turn, k * k);
    ECK_TRY(ecki_syrk(1.0, ecki_transposed(ecki_matrix_of(run->far, m, k)), 0.0,
                      ecki_panel(gram, ECK_DTYPE_F64, k, k), err));
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = 0; j < i; j++)
            gram[j * k + i] = gram[i * k + j];
    ECK_TRY(ecki_small_eigen(s2, turn, gram, k, k, err));
    ECK_TRY(turn_rows(run->near, run->space.n, k, turn, err));
    ECK_TRY(turn_rows(run->far, m, k, turn, err));
    if (run->job->options.store == ECK_DTYPE_F64)
        ECK_TRY(ecki_sharpen(run->near, run->space.n, k, err));
done:
    ecki_free(turn);
    ecki_free(gram);
    return status;
}

// Vectors of the present rank in F64 and their products; captured and values into the job.
static eck_status extract(krylov_run *run, double *s2, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_krylov *const s = &run->space;
    const int64_t k = run->k,
                  m = s->side == ECK_SIDE_RIGHT ? run->job->a->info.rows : run->job->a->info.cols;
    double *vectors = NULL;
    float *turned = NULL;
    int64_t near_count = 0, far_count = 0;
    ECK_REQUIRE(ecki_mul(s->n, k, &near_count) && ecki_mul(m, k, &far_count), ECK_E_NOMEM, -1,
                "not enough memory for factors");
    ECK_TRY(ecki_progress(run->job->context, "vectors", 0, 1, err));
    ECK_TRY(ritz_vectors(&vectors, run, k, err));
    ECK_ALLOC_RAW(turned, near_count);
    const ecki_block basis = { s->basis, s->n, s->length, s->most + s->block };
    ECK_TRY(ecki_block_turn((ecki_block){ turned, s->n, k, k }, basis, vectors,
                            ecki_threads(run->job->context), err));
    ECK_ALLOC_RAW(run->near, near_count);
    for (int64_t i = 0; i < near_count; i++)
        run->near[i] = (double)turned[i];
    ecki_free(turned);
    turned = NULL;
    ECK_TRY(ecki_orthonormalize(run->near, s->n, k, NULL, err));
    ECK_ALLOC_RAW(run->far, far_count);
    ECK_TRY(far_product(run, k, err));
    ECK_TRY(rotate(run, s2, k, err));
done:
    ecki_free(turned);
    ecki_free(vectors);
    return status;
}

// Values, tails and energy of what was found; the spectrum knows k values and no more.
static void describe(krylov_run *run, const double *s2)
{
    eck_spectrum *const spectrum = run->spectrum;
    ecki_svd_job *const job = run->job;
    const int64_t k = run->k;
    double captured = 0.0;
    for (int64_t i = k - 1; i >= 0; i--)
        captured += fmax(s2[i], 0.0);
    double rest = fmax(run->norm2 - captured, 0.0);
    job->captured = captured;
    spectrum->info.count = k;
    spectrum->norm2 = run->norm2;
    spectrum->info.norm2 = run->norm2 / spectrum->scale / spectrum->scale;
    for (int64_t i = k; i >= 0; i--) {
        spectrum->tails[i] = fmin(1.0, sqrt(rest / run->norm2));
        if (i > 0) rest += fmax(s2[i - 1], 0.0);
        if (i > 0) spectrum->values[i - 1] = sqrt(fmax(s2[i - 1], 0.0)) / spectrum->scale;
    }
    spectrum->info.numerical_rank = -1;
    spectrum->info.tolerance = (double)ecki_max(spectrum->info.rows, spectrum->info.cols) *
                               eck_dtype_epsilon(spectrum->storage) *
                               (k > 0 ? spectrum->values[0] : 0.0);
}

// Factors of the rank from the space. *good_out false: the rule does not hold for them, or the F64 tail is so small that
// the bracket is not as narrow as was asked.
static eck_status settle(krylov_run *run, bool *good_out, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_svd_job *const job = run->job;
    const eck_svd_options *const o = &job->options;
    double *s2 = NULL;
    ecki_free(run->near);
    ecki_free(run->far);
    run->near = run->far = NULL;
    ECK_ALLOC(s2, ecki_max(run->k, 1));
    ECK_TRY(extract(run, s2, err));
    describe(run, s2);
    const double tail2 = run->norm2 - job->captured;
    const double share = o->rule == ECK_RULE_ENERGY ? 1.0 - o->target : o->target * o->target;
    const bool kept = o->rule == ECK_RULE_RANK || tail2 <= share * run->norm2 || run->k == o->rank;
    *good_out = kept && near_enough(run, tail2, 0.95);
    run->hopeless = hopeless(run, tail2);
    job->gap = (ecki_gap){ true, run->slack, 0.0, job->options.failure };
    // W is off by (n + 8) u ||A|| a column, the norm by the sums of the scan.
    job->gap.rounding = (2.0 * sqrt((double)run->k) + 2.0) *
                        (double)(job->a->info.rows + job->a->info.cols + 64) * UNIT;
done:
    ecki_free(s2);
    return status;
}

// Space and spectrum for the first look.
static eck_status begin(krylov_run *run, const eck_scan *scan, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_svd_job *const job = run->job;
    const eck_operator_info *const info = &job->a->info;
    ecki_krylov *const s = &run->space;
    const int64_t least = ecki_min(info->rows, info->cols),
                  rank = ecki_min(job->options.rank, least);
    ECK_TRY(ecki_spectrum_new(&run->spectrum, info->rows, info->cols, false, err));
    run->spectrum->storage = info->storage;
    run->spectrum->scale = ecki_scale_of(scan->max);
    run->norm2 = scan->norm2 * run->spectrum->scale * run->spectrum->scale;
    s->a = job->a;
    s->context = job->context;
    s->side = ecki_krylov_side(job->a);
    s->scale = run->spectrum->scale;
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

eck_status ecki_svd_krylov(eck_svd **out, ecki_svd_job *job, bool *answered_out, eck_error *err)
{
    eck_status status = ECK_OK;
    krylov_run run = { .job = job };
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
    ECK_TRY(begin(&run, &scan, err));
    ECK_TRY(find_factors(&run, &good, err));
    if (!good) goto done;
    ecki_krylov_clear(&run.space);
    job->rank = run.k;
    job->spectrum = run.spectrum;
    job->orthonormal = run.space.side;
    job->engine = ECK_ENGINE_KRYLOV;
    job->solver = "block-krylov";
    job->one_thread = true;
    ECK_TRY(ecki_factor_expand(job, &run.near, &run.far, err));
    ECK_TRY(ecki_svd_finish(out, job, err));
    *answered_out = true;
done:
    job->spectrum = NULL;
    ecki_krylov_clear(&run.space);
    ecki_free(run.values);
    ecki_free(run.near);
    ecki_free(run.far);
    eck_spectrum_free(run.spectrum);
    return status;
}
