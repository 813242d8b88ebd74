/**
 * TUCKER2 and TT of a kernel [out, in, taps..]. Both start from the leading vectors of the channels' unfoldings. With full
 * bases of both the core is the kernel in other coordinates, and what a pair of ranks keeps is the energy of a corner:
 *
 *     || K - K^(i,o) ||^2 = sum of core^2 outside the first i inputs and o outputs,
 *
 * so that one table holds the exact errors of all pairs. TT then cuts the corner between its taps; the residual of a cut is
 * orthogonal to what the corner left out, so that squares add up. TUCKER2 fits improve on it by ST-HOSVD and HOOI, neither
 * of which can be worse.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "decompose/kernel.h"
#include "tensor/codec.h"

enum { PAIRS = 16, LISTED = 256, SWEEPS = 20 };

/** Kernels of all groups in the bases of their channels. */
struct cores {
    const ecki_kernel *kernel; /**< its channels are found */
    const ecki_tucker_work *work; /**< [groups]; modes out, in, taps.. */
    int64_t outs, ins; /**< sizes of the cores */
    double *error2; /**< [outs + 1][ins + 1], over all groups */
};

static void cores_clear(struct cores *c)
{
    ecki_free(c->error2);
}

/** Energy of one core into the table: outside of every corner. spare [outs][ins + 1]. */
static void add_corners(struct cores *c, const double *core, double *spare)
{
    const int64_t outs = c->outs, ins = c->ins, taps = c->kernel->taps, row = ins + 1;

    // spare[o][i] = energy of outputs o and up at input i.
    for (int64_t o = outs - 1; o >= 0; o--)
        for (int64_t i = 0; i < ins; i++) {
            double sum = 0.0;
            for (int64_t s = 0; s < taps; s++)
                sum += core[(o * ins + i) * taps + s] * core[(o * ins + i) * taps + s];
            spare[o * row + i] = sum + (o + 1 < outs ? spare[(o + 1) * row + i] : 0.0);
        }
    // Outside of the corner (o, i): inputs from i on whole, and outputs from o on of those before.
    for (int64_t o = 0; o <= outs; o++) {
        double before = 0.0;
        for (int64_t i = 0; i <= ins; i++) {
            c->error2[o * row + i] += before;
            if (i < ins && o < outs) before += spare[o * row + i];
        }
        double after = 0.0;
        for (int64_t i = ins - 1; i >= 0; i--) {
            after += spare[i];
            c->error2[o * row + i] += after;
        }
    }
}

static eck_status cores_init(struct cores *c, const ecki_kernel *kernel, eck_error *err)
{
    eck_status status = ECK_OK;
    double *spare = NULL;

    c->kernel = kernel;
    c->work = kernel->channels;
    c->outs = c->work[0].ranks[0];
    c->ins = c->work[0].ranks[1];
    ECK_ALLOC(c->error2, (c->outs + 1) * (c->ins + 1));
    ECK_ALLOC_RAW(spare, c->outs * (c->ins + 1));
    for (int64_t g = 0; g < kernel->groups; g++)
        add_corners(c, c->work[g].core.data, spare);
done:
    ecki_free(spare);
    return status;
}

static eck_status list_pairs(ecki_candidates *out, const struct cores *c, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_kernel *k = c->kernel;
    const int64_t dense = eck_stage_parameters(k->dense);

    for (int64_t o = 1; o <= c->outs; o++)
        for (int64_t i = 1; i <= c->ins; i++) {
            ecki_candidate candidate = { .ranks = { i * k->groups, o * k->groups },
                                         .error2 = c->error2[o * (c->ins + 1) + i] };
            candidate.parameters =
                ecki_outline_parameters(k->dense, ECK_METHOD_TUCKER2, candidate.ranks);
            if (candidate.parameters >= dense) break; // more inputs cost more
            if (!ecki_kernel_lists(k, o) || !ecki_kernel_lists(k, i)) continue;
            ECK_TRY(ecki_candidates_add(out, &candidate, err));
        }
    ecki_candidates_prune(out, LISTED);
done:
    return status;
}

// ---- cuts

/** The corner of a core [outs, ins, taps..] as a matrix: inputs and the first `taps` dimensions against the rest. */
static eck_status corner_matrix(ecki_block *out, int64_t *rows_out, const ecki_tucker_work *work,
                                const int64_t ranks[2], int32_t taps, eck_error *err)
{
    eck_view corner =
        eck_view_of(work->core.data, ECK_DTYPE_F64, work->core.ndim, work->core.shape);
    int32_t order[ECK_DIMS_MAX];

    corner.shape[0] = ranks[1];
    corner.shape[1] = ranks[0];
    for (int32_t i = 0; i + 1 < corner.ndim; i++)
        order[i] = i + 1;
    order[corner.ndim - 1] = 0;
    *rows_out = ranks[0];
    for (int32_t i = 0; i < taps; i++)
        *rows_out *= corner.shape[2 + i];
    return ecki_block_init(out, &corner, order, err);
}

/** tails2[r] += squared values from r on, of one cut of one corner; *count_out values. */
static eck_status add_cut(double *tails2, const ecki_tucker_work *work, const int64_t ranks[2],
                          int32_t taps, eck_dtype storage, const eck_context *context,
                          eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_block block = { 0 };
    eck_operator *m = NULL;
    eck_svd *svd = NULL;
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    const ecki_made made = { storage, 0.0 };
    int64_t rows;
    double tail = 0.0;

    options.engine = ECK_ENGINE_EXACT;
    options.rule = ECK_RULE_THIN;
    options.want = ECK_WANT_VALUES;
    options.proof = ECK_PROOF_TAIL;
    ECK_TRY(corner_matrix(&block, &rows, work, ranks, taps, err));
    const int64_t cols = ecki_block_count(&block) / rows;
    ECK_TRY(ecki_operator_made(&m, block.data, rows, cols, &made, err));
    ECK_TRY(eck_svd_compute(&svd, m, &options, context, err));
    const double *s = svd->s->data;
    for (int64_t r = ecki_min(rows, cols) - 1; r >= 0; r--) {
        tail += s[r] * s[r];
        tails2[r] += tail;
    }
done:
    eck_svd_free(svd);
    eck_operator_free(m);
    ecki_block_clear(&block);
    return status;
}

/** Most values a cut after `taps` dimensions can have. */
static int64_t cut_room(const ecki_kernel *k, const int64_t ranks[2], int32_t taps)
{
    int64_t rows = ranks[0], cols = ranks[1];

    for (int32_t i = 0; i < k->wide; i++)
        *(i < taps ? &rows : &cols) *= k->size[i];
    return ecki_min(rows, cols);
}

/** The ranks of later cuts that go with one of the first: the fewest that discard no more than it does. */
static void follow(ecki_candidate *candidate, double *const *tails2, const ecki_kernel *k,
                   const int64_t pair[2])
{
    const double discarded2 = tails2[0][candidate->ranks[1]];

    for (int32_t cut = 1; cut + 1 < k->wide; cut++) {
        const int64_t room =
            ecki_min(cut_room(k, pair, cut + 1), candidate->ranks[cut] * k->size[cut]);
        int64_t rank = 1;
        while (rank < room && tails2[cut][rank] > discarded2)
            rank++;
        candidate->ranks[cut + 1] = rank;
        candidate->error2 += tails2[cut][rank];
    }
}

/** Every rank of the first cut for one pair of channel ranks. */
static eck_status list_cuts(ecki_candidates *out, const struct cores *c, const int64_t pair[2],
                            const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_kernel *k = c->kernel;
    double *tails2[ECK_SPATIAL_MAX] = { NULL };
    const int64_t dense = eck_stage_parameters(k->dense);

    for (int32_t cut = 0; cut + 1 < k->wide; cut++) {
        ECK_ALLOC(tails2[cut], cut_room(k, pair, cut + 1) + 1);
        for (int64_t g = 0; g < k->groups; g++)
            ECK_TRY(add_cut(tails2[cut], &c->work[g], pair, cut + 1, k->storage, context, err));
    }
    for (int64_t r = 1; r <= cut_room(k, pair, 1); r++) {
        ecki_candidate candidate = { .ranks = { pair[0], r },
                                     .error2 = c->error2[pair[1] * (c->ins + 1) + pair[0]] +
                                               tails2[0][r] };
        follow(&candidate, tails2, k, pair);
        candidate.ranks[k->wide] = pair[1];
        for (int32_t i = 0; i <= k->wide; i++)
            candidate.ranks[i] *= k->groups;
        candidate.parameters = ecki_outline_parameters(k->dense, ECK_METHOD_TT, candidate.ranks);
        if (candidate.parameters >= dense) break;
        if (!ecki_kernel_lists(k, r)) continue;
        ECK_TRY(ecki_candidates_add(out, &candidate, err));
    }
done:
    for (int32_t cut = 0; cut < ECK_SPATIAL_MAX; cut++)
        ecki_free(tails2[cut]);
    return status;
}

eck_status ecki_tucker_curve(ecki_candidates *out, const ecki_kernel *kernel, eck_method method,
                             const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    struct cores c = { .kernel = kernel };
    ecki_candidates pairs = { NULL, 0, 0 };

    ECK_TRY(cores_init(&c, kernel, err));
    if (method == ECK_METHOD_TUCKER2) {
        status = list_pairs(out, &c, err);
        goto done;
    }
    ECK_TRY(list_pairs(&pairs, &c, err));
    ecki_candidates_prune(&pairs, PAIRS);
    for (int64_t i = 0; i < pairs.count; i++) {
        const int64_t pair[] = { pairs.list[i].ranks[0] / kernel->groups,
                                 pairs.list[i].ranks[1] / kernel->groups };
        ECK_TRY(list_cuts(out, &c, pair, context, err));
    }
    ecki_candidates_prune(out, LISTED);
done:
    ecki_candidates_clear(&pairs);
    cores_clear(&c);
    return status;
}

// ---- fits

/** The first `terms` columns of a basis [rows,width], transposed into a stage [terms,rows]. */
static void put_transposed(double *to, const double *basis, int64_t rows, int64_t width,
                           int64_t terms)
{
    for (int64_t r = 0; r < terms; r++)
        for (int64_t i = 0; i < rows; i++)
            to[r * rows + i] = basis[i * width + r];
}

/** The first `terms` columns of a basis into a stage [rows,terms]. */
static void put_columns(double *to, const double *basis, int64_t rows, int64_t width, int64_t terms)
{
    for (int64_t i = 0; i < rows; i++)
        memcpy(to + i * terms, basis + i * width, (size_t)terms * sizeof *to);
}

static eck_status fit_tucker2(double **weights, const ecki_kernel *k, int64_t group,
                              const int64_t ranks[2], const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_subject subject = ecki_kernel_subject(k, ecki_kernel_tensor(k, group));
    eck_tucker_options options = ECK_TUCKER_OPTIONS_INIT;
    ecki_tucker_work work = { 0 };
    eck_tucker report = { 0 };

    options.keep = ((1u << (2 + k->wide)) - 1u) & ~3u;
    options.ranks[0] = ranks[1];
    options.ranks[1] = ranks[0];
    options.sweeps = SWEEPS;
    ECK_TRY(ecki_tucker_truncate(&work, &subject, &options, context, err));
    report.truncated = sqrt(work.discarded2);
    ECK_TRY(ecki_tucker_sweep(&report, &work, &subject, &options, context, err));
    put_transposed(weights[0], work.basis[1], k->in, ranks[0], ranks[0]);
    memcpy(weights[1], work.core.data, (size_t)ecki_block_count(&work.core) * sizeof(double));
    put_columns(weights[2], work.basis[0], k->out, ranks[1], ranks[1]);
done:
    ecki_tucker_work_clear(&work);
    return status;
}

/** Cuts a corner [ranks[0], taps.., ranks[wide]] into the stages between. */
static eck_status fit_cuts(double **weights, const ecki_kernel *k, ecki_block *rest,
                           const int64_t *ranks, const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_operator *m = NULL;
    ecki_truncated t = { 0 };
    const ecki_made made = { k->storage, 0.0 };
    int64_t total = ecki_block_count(rest);

    for (int32_t i = 0; i + 1 < k->wide; i++) {
        const int64_t rows = ranks[i] * k->size[i], cols = total / rows;
        const ecki_cut cut = { ECK_RULE_RANK, 0.0, ranks[i + 1] };
        ECK_REQUIRE(ranks[i + 1] <= ecki_min(rows, cols), ECK_E_RANGE, -1,
                    "rank %lld of a tensor train, at most %lld goes with its neighbours",
                    (long long)(ranks[i + 1] * k->groups),
                    (long long)(ecki_min(rows, cols) * k->groups));
        ECK_TRY(ecki_operator_made(&m, rest->data, rows, cols, &made, err));
        ECK_TRY(ecki_truncate(&t, m, &cut, context, err));
        put_transposed(weights[i + 1], t.basis, rows, t.rank, t.rank);
        ecki_transpose(rest->data, t.core, cols, t.rank);
        total = cols * t.rank;
        ecki_truncated_clear(&t);
        eck_operator_free(m);
        m = NULL;
    }
    const int64_t last = ranks[k->wide];
    put_transposed(weights[k->wide], rest->data, total / last, last, last);
done:
    ecki_truncated_clear(&t);
    eck_operator_free(m);
    return status;
}

static eck_status fit_train(double **weights, const struct cores *c, int64_t group,
                            const int64_t *ranks, const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_kernel *k = c->kernel;
    const ecki_tucker_work *work = &c->work[group];
    const int64_t pair[] = { ranks[0], ranks[k->wide] };
    ecki_block corner = { 0 };
    int64_t rows;

    ECK_TRY(corner_matrix(&corner, &rows, work, pair, 1, err));
    put_transposed(weights[0], work->basis[1], k->in, c->ins, pair[0]);
    put_columns(weights[k->wide + 1], work->basis[0], k->out, c->outs, pair[1]);
    ECK_TRY(fit_cuts(weights, k, &corner, ranks, context, err));
done:
    ecki_block_clear(&corner);
    return status;
}

/** Channel ranks within what there is. */
static eck_status check_pair(const ecki_kernel *k, int64_t in, int64_t out, eck_error *err)
{
    const int64_t ins = ecki_min(k->in, k->out * k->taps);
    const int64_t outs = ecki_min(k->out, k->in * k->taps);

    if (in <= ins && out <= outs) return ECK_OK;
    return ecki_error(err, ECK_E_RANGE, -1,
                      "ranks %lld and %lld of the channels, allowed 1..%lld and 1..%lld",
                      (long long)(in * k->groups), (long long)(out * k->groups),
                      (long long)(ins * k->groups), (long long)(outs * k->groups));
}

eck_status ecki_tucker_fit(double **weights, const ecki_kernel *kernel, const eck_point *point,
                           const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    struct cores c = { .kernel = kernel };
    eck_stage stages[ECKI_STAGES_MAX];
    const int32_t count = ecki_outline(stages, kernel->dense, point->method, point->ranks);
    int64_t ranks[ECK_RANKS_MAX];
    double *at[ECKI_STAGES_MAX];

    for (int32_t i = 0; i < point->rank_count; i++)
        ranks[i] = point->ranks[i] / kernel->groups;
    ECK_TRY(check_pair(kernel, ranks[0], ranks[point->rank_count - 1], err));
    if (point->method == ECK_METHOD_TT) ECK_TRY(cores_init(&c, kernel, err));
    for (int64_t g = 0; g < kernel->groups; g++) {
        for (int32_t i = 0; i < count; i++)
            at[i] = weights[i] + g * (eck_stage_parameters(&stages[i]) / kernel->groups);
        if (point->method == ECK_METHOD_TT)
            ECK_TRY(fit_train(at, &c, g, ranks, context, err));
        else
            ECK_TRY(fit_tucker2(at, kernel, g, ranks, context, err));
    }
done:
    cores_clear(&c);
    return status;
}
