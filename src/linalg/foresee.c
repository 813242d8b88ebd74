// Memory before the fact: for every phase of a decomposition what is alive in it, and the largest
// phase. Always true: eck_svd_compute() holds no more than this, and for COMPACT factors, or up to
// half of the values, not much less (the tests hold it against the allocator's own count).
#include <math.h>

#include "base/checked.h"
#include "base/parallel.h"
#include "eckart/svd.h"
#include "linalg/certificate.h"
#include "linalg/fused.h"
#include "linalg/inverse.h"
#include "linalg/krylov_lane.h"
#include "linalg/lapack.h"
#include "linalg/op.h"
#include "linalg/svd_job.h"
#include "linalg/tall.h"
#include "linalg/two_stage.h"

// Sizes of one decomposition; doubles, so that absurd shapes saturate instead of wrapping. All phases
// below count numbers of 8 bytes.
typedef struct sizes {
    double rows, cols, m, n, k; // m = max, n = min
    double threads;
    double stored; // of the factors as they are stored
    double solver; // of LAPACK's workspace for a [k,k] block
    bool compact, full, factors;
    bool resident, wide; // A lies in memory; factors are stored as F64
    eck_proof proof;
    double failure;
} sizes;

static double larger(double a, double b)
{
    return a > b ? a : b;
}

static double smaller(double a, double b)
{
    return a < b ? a : b;
}

// Panels of [height,width] over [rows,cols], one for each thread that finds work.
static double panels(const sizes *s, double rows, double cols, const double tile[2])
{
    const double tasks = ceil(rows / tile[0]) * ceil(cols / tile[1]);
    return smaller(s->threads, larger(tasks, 1.0)) * smaller(rows, tile[0]) *
           smaller(cols, tile[1]);
}

static const double TILE[2] = { ECKI_PANEL_ROWS, ECKI_PANEL_COLS };
static const double CHECK_TILE[2] = { ECKI_CHECK_ROWS, ECKI_CHECK_COLS };
static const double SCAN_TILE[2] = { ECKI_SCAN_ROWS, ECKI_PANEL_COLS };

// Panels of a product with A, and with A^T.
static double apply_panels(const sizes *s, double rows, double cols)
{
    const double tasks = larger(ceil(rows / ECKI_PANEL_ROWS), 1.0);
    return smaller(s->threads, tasks) * smaller(rows, ECKI_PANEL_ROWS) *
           smaller(cols, ECKI_PANEL_COLS);
}

static double transpose_panels(const sizes *s, double rows, double cols)
{
    const double tasks = larger(ceil(cols / ECKI_TRANSPOSE_COLS), 1.0);
    return smaller(s->threads, tasks) * smaller(rows, ECKI_TRANSPOSE_ROWS) *
           smaller(cols, ECKI_TRANSPOSE_COLS);
}

// What is done to a factor of the longer side in pieces works in.
static double tall(const sizes *s, double k)
{
    return ecki_tall_memory(s->m, k, (int32_t)s->threads);
}

// The scan: panels, and 40 bytes for each.
static double scan_phase(const sizes *s)
{
    return panels(s, s->rows, s->cols, SCAN_TILE) +
           5.0 * ceil(s->rows / SCAN_TILE[0]) * ceil(s->cols / SCAN_TILE[1]);
}

// True when the Gram will be reduced by way of a band.
static bool two_stages(const sizes *s)
{
    return s->n >= ECKI_TWO_STAGE_ORDER;
}

// What of the reduction stays for vectors.
static double kept(const sizes *s)
{
    const double square = s->n * s->n;
    return two_stages(s) ? square + 67.0 * s->n + s->n * s->n / ECKI_BAND : 0.5 * square;
}

// The Gram with one panel of it, then with what its reduction works in, then packed into half of it.
static double gram_phase(const sizes *s)
{
    const double panel = ecki_gram_memory(s->n, s->m, (int32_t)s->threads);
    const double packing = s->factors && !two_stages(s) ? kept(s) : 0.0;
    const double reduction = two_stages(s) ? 620.0 * s->n + 65536.0 : 64.0 * s->n;
    const double square = two_stages(s) && s->factors ? kept(s) : s->n * s->n;
    // a matrix in a file is scanned in the same read: 40 bytes for each block
    const double blocks = ecki_gram_blocks(s->n, s->m);
    return square + 5.0 * blocks + 6.0 * s->n + larger(larger(panel, reduction), packing);
}

// Portions of vectors side by side, each by whichever way takes more.
static double portions_of(const sizes *s)
{
    const double portions = larger(smaller(s->threads, floor(s->k / 96.0)), 1.0);
    return portions * larger(28.0 * s->n, ecki_inverse_numbers(s->n, smaller(s->k, ECKI_TOGETHER)));
}

// The packed reflectors, the near factor, a solver's vectors and workspace.
static double vectors_phase(const sizes *s)
{
    const bool few = s->k <= floor(s->n / 4.0);
    const double z = few ? s->n * s->k : s->n * s->n;
    const double solver = few ? portions_of(s) : s->n * s->n + 10.0 * s->n;
    const double apply = two_stages(s) ? 385.0 * s->n + 128.0 * s->k + 32768.0
                                       : smaller(256.0, s->n) * s->n + 64.0 * s->k + 4200.0;
    return kept(s) + 6.0 * s->n + s->n * s->k + z + larger(solver, apply);
}

// The same reflectors, both factors, and panels or what making far vectors orthonormal takes: R and
// the triangles of the rounds, or in a steep spectrum the SVD of a block of R.
static double far_phase(const sizes *s)
{
    const double held = kept(s) + 6.0 * s->n + (s->n + s->m) * s->k;
    const double padded =
        fmod(s->k, 8.0) != 0.0 ? s->n * (s->k + 8.0) : 0.0; // of the fused product
    const double product =
        larger(padded, s->rows >= s->cols ? apply_panels(s, s->rows, s->cols)
                                          : transpose_panels(s, s->rows, s->cols));
    const double rounds = 3.0 * s->k * s->k + larger(s->m * s->k, tall(s, s->k));
    const double block = 4.0 * s->k * s->k + larger(s->solver, s->m * s->k);
    return held + larger(product, s->compact ? 0.0 : larger(rounds, block));
}

// Engine DEFLATED beyond the exact lane, which may have to follow: the Gram with its rounded copy, then the reflectors in
// F32 with the vectors of the tridiagonal matrix and their copy in F32.
static double deflated_phase(const sizes *s)
{
    const double square = s->n * s->n * (1.0 + 1.0 / ECKI_BAND) + 67.0 * s->n;
    const double copies = square + 0.5 * square + s->n;
    const double outliers = square + 5.0 * 48.0 * s->n + 24.0 * 48.0 * 48.0;
    const double vectors = 0.5 * square + 1.5 * s->n * s->k +
                           larger(portions_of(s), 200.0 * s->n + 64.0 * s->k + 32768.0);
    const double turned = s->compact ? 0.0 : 6.0 * s->k * s->k + 512.0 * s->k;
    return larger(larger(copies, outliers), larger(vectors, (s->n + s->m) * s->k + turned));
}

// What the proof needs beside the factors.
static double proof_phase(const sizes *s)
{
    const double strip = smaller(256.0, s->k);
    const double *const size = s->resident ? CHECK_TILE : TILE;
    const double tile = panels(s, s->rows, s->cols, size);
    const double rows = smaller(s->rows, size[0]), cols = smaller(s->cols, size[1]);
    const double sums = 2.0 * ceil(s->rows / size[0]) * ceil(s->cols / size[1]);
    // of COMPACT factors the near one alone is orthonormal
    const double side = s->compact ? s->n : s->m;
    const double pieces = ceil(side / (double)ecki_tall_rows((int64_t)smaller(s->k, 1e9)));
    const double orthogonality = side * s->k + 258.0 * s->k + 2.0 * pieces * s->k;
    // up to 128 columns by Grams of factors with their roundings beside them, from there on by strips
    const double grams = s->k <= 128.0 ? 8.0 * s->k * s->k : 260.0 * s->k;
    if (s->proof == ECK_PROOF_TAIL && s->wide) return orthogonality;
    if (s->proof == ECK_PROOF_TAIL)
        return larger(orthogonality, 2.0 * (s->m + s->n) * s->k + grams + tall(s, 2.0 * s->k));
    if (s->proof == ECK_PROOF_RESIDUAL)
        return larger(orthogonality, 2.0 * tile + sums + s->threads * strip * (rows + cols));
    const double probes = (double)ecki_probe_count(s->failure);
    const double factors =
        s->k * probes + larger(transpose_panels(s, s->cols, s->k), apply_panels(s, s->rows, s->k));
    return larger(orthogonality, probes * (s->cols + 2.0 * s->rows) +
                                     larger(apply_panels(s, s->rows, s->cols), factors));
}

// Factors in F64 and as stored, with a square being completed, or with the proof.
static double finish_phase(const sizes *s)
{
    const double square = s->full ? 2.0 * s->m * s->m : 0.0;
    return (s->n + s->m) * s->k + 8.0 * s->n + s->stored + larger(square, proof_phase(s));
}

// LAPACK on the whole matrix: the matrix, U, V^T, workspace; or the same for R after a QR.
static double dense_phase(const sizes *s, bool by_qr)
{
    const double m = by_qr ? s->n : s->m, square = s->factors ? s->n * s->n : 0.0;
    const int64_t wide = (int64_t)smaller(m, 1e9), n = (int64_t)smaller(s->n, 1e9);
    const double work = (double)ecki_dgesvx_work(wide, n, s->factors, ECKI_DGESDD) + 4.0 * s->n;
    const double inside = m * s->n * (s->factors ? 2.0 : 1.0) + square + 6.0 * s->n;
    const double rounds =
        larger(258.0 * s->k, 2.0 * s->k * s->k + larger(s->m * s->k, tall(s, s->k)));
    const double taken = (s->m + s->n) * s->k + (by_qr ? s->m * s->k : 0.0) + rounds;
    const double reduced = by_qr ? s->m * s->n + s->n : 0.0;
    return reduced + inside + larger(larger(work, s->factors ? taken : 0.0), 64.0 * s->cols);
}

static sizes sizes_of(const eck_operator_info *info, const eck_svd_options *o, int64_t rank,
                      int32_t threads)
{
    sizes s = { .rows = (double)info->rows, .cols = (double)info->cols, .threads = threads };
    eck_dtype store = o->store;
    if (store == ECK_DTYPE_NONE)
        store = info->storage == ECK_DTYPE_F64 ? ECK_DTYPE_F64 : ECK_DTYPE_F32;
    s.m = larger(s.rows, s.cols);
    s.n = smaller(s.rows, s.cols);
    s.factors = rank >= 0 && ecki_wants_factors(o);
    s.k = s.factors ? smaller((double)rank, s.n) : 0.0;
    s.compact = (o->want & ECK_WANT_COMPACT) != 0;
    s.full = s.factors && (o->want & ECK_WANT_FULL) && !s.compact;
    const double u = s.full ? s.rows : s.k, v = s.full ? s.cols : s.k;
    s.stored = (s.rows * u + s.cols * v) * eck_dtype_bits(store) / 64.0;
    s.solver = 4.0 * s.k * s.k + 140.0 * s.k;
    s.resident = info->resident;
    s.wide = store == ECK_DTYPE_F64;
    s.proof = o->proof;
    s.failure = o->failure;
    return s;
}

// Bytes of the Krylov lane with `most` columns of basis: what is held throughout, and the largest of a step, a small
// eigenproblem beside the factors, and finishing.
static double krylov_bytes(const ecki_svd_job *job, const sizes *s, double most)
{
    const double b = (double)ecki_krylov_block((int64_t)(s->k > 0.0 ? s->k : 512.0));
    const ecki_holding copy = job->holding;
    const bool right =
        copy.bytes > 0 ? !copy.by_columns : ecki_krylov_side(job->a) == ECK_SIDE_RIGHT;
    const double n = right ? s->cols : s->rows, m = right ? s->rows : s->cols;
    const double panel = 0.5 * (double)ecki_normal_lines((int64_t)smaller(n, 1e12)) * (n + b);
    const double pieces = 0.5 * ceil(n / 512.0) * most * b;
    const bool dense = copy.bytes > 0 || job->a->view;
    const double fused = dense ? ecki_fused_memory(m, n, b, (int32_t)s->threads) : 0.0;
    // the room of the fused product is kept until the factors are there
    const double held = 0.5 * n * (most + b) + n * b + most * most + 4.0 * b * most + fused;
    const double product = larger(panel, n * b);
    const double step = 3.0 * n * b + larger(product, larger(pieces, scan_phase(s)));
    const double small = 5.0 * most * most + 20.0 * most;
    const double k = s->k > 0.0 ? s->k : most;
    const double products =
        larger(apply_panels(s, s->rows, s->cols), transpose_panels(s, s->rows, s->cols));
    const double factors =
        (n + m) * k +
        larger(0.5 * n * k + small, larger(3.0 * k * k + 600.0 * k + tall(s, k), products));
    const double grams = k <= 128.0 ? 8.0 * k * k : 0.0;
    sizes whole = *s; // which of the factors is orthonormal does not go by their lengths here
    whole.compact = false;
    const double finish = 2.0 * (n + m) * k + grams + tall(s, 2.0 * k) + finish_phase(&whole);
    // tiles of the copy are gone before anything else is held
    const double tiles = copy.bytes > 0 ? ecki_held_tiles(job->a, s->threads) : 0.0;
    const double run = larger(held + larger(step, larger(small, factors)), finish);
    return 8.0 * larger(run, tiles) + 65536.0 + (double)copy.bytes;
}

ecki_holding ecki_krylov_holding(const ecki_svd_job *job)
{
    const ecki_holding none = { 0, false };
    const int64_t allowed = job->context ? job->context->memory : 0;
    ecki_svd_job with = *job;
    eck_svd_options exact = job->options;
    with.holding = ecki_hold_plan(job->a);
    if (with.holding.bytes == 0) return none;
    if (allowed > 0) return ecki_krylov_memory(&with) <= allowed ? with.holding : none;
    eck_context alone = ECK_CONTEXT_INIT;
    alone.threads = 1;
    with.context = &alone;
    exact.engine = ECK_ENGINE_EXACT;
    const int64_t most = ecki_max(ecki_svd_memory(&job->a->info, &exact, job->options.rank, 1),
                                  3 * with.holding.bytes);
    return ecki_krylov_memory(&with) <= most ? with.holding : none;
}

eck_status ecki_krylov_foresee(int64_t *most_out, const ecki_svd_job *job, eck_error *err)
{
    const eck_operator_info *const info = &job->a->info;
    const int64_t allowed = job->context ? job->context->memory : 0,
                  least = ecki_min(info->rows, info->cols);
    const eck_svd_options *const o = &job->options;
    const sizes s = sizes_of(info, o, o->rank, ecki_threads(job->context));
    const int64_t rank = o->rank > 0 ? ecki_min(o->rank, least) : 512, b = ecki_krylov_block(rank);
    int64_t most = ecki_krylov_room(rank, least);
    const int64_t fewest = ecki_min(most, rank + 4 * b);
    while (allowed > 0 && most > fewest && krylov_bytes(job, &s, (double)most) > (double)allowed)
        most -= b;
    const double needed = krylov_bytes(job, &s, (double)most);
    if (allowed > 0 && needed > (double)allowed)
        return ecki_error(err, ECK_E_BUDGET, -1,
                          "factoring '%s' needs %.0f bytes, %lld are allowed", job->a->name, needed,
                          (long long)allowed);
    *most_out = most;
    return ECK_OK;
}

int64_t ecki_krylov_memory(const ecki_svd_job *job)
{
    const eck_operator_info *const info = &job->a->info;
    const int64_t least = ecki_min(info->rows, info->cols), given = job->options.rank;
    const sizes s = sizes_of(info, &job->options, given, ecki_threads(job->context));
    const int64_t rank = given > 0 ? ecki_min(given, least) : 512;
    const double bytes = krylov_bytes(job, &s, (double)ecki_krylov_room(rank, least));
    return bytes < 9e18 ? (int64_t)bytes : INT64_MAX;
}

int64_t ecki_svd_memory(const eck_operator_info *info, const eck_svd_options *options, int64_t rank,
                        int32_t threads)
{
    const sizes s = sizes_of(info, options, rank, threads);
    double numbers = scan_phase(&s);
    if (info->storage == ECK_DTYPE_F64 || options->engine == ECK_ENGINE_GOLUB_KAHAN) {
        const bool by_qr =
            options->engine != ECK_ENGINE_GOLUB_KAHAN && 6.0 * (s.m - s.n) >= 5.0 * s.n;
        numbers = larger(numbers, dense_phase(&s, by_qr));
    } else {
        numbers = larger(numbers, gram_phase(&s));
        if (s.factors) numbers = larger(numbers, larger(vectors_phase(&s), far_phase(&s)));
    }
    if (s.factors && options->engine == ECK_ENGINE_DEFLATED) {
        sizes first = s; // whatever the proof, the tail is looked at before it
        first.proof = ECK_PROOF_TAIL;
        numbers = larger(numbers, larger(deflated_phase(&s), finish_phase(&first)));
    }
    if (s.factors) numbers = larger(numbers, finish_phase(&s));
    if (s.factors && options->spectral_proof)
        numbers = larger(numbers, s.n + s.stored + (double)eck_spectral_memory(info) / 8.0);
    const double bytes = 8.0 * numbers + 16384.0; // objects, rows, names
    return bytes < 9e18 ? (int64_t)bytes : INT64_MAX;
}

// Of a stream behind its vectors: the near factor three times and as it is stored, one block of lines with its
// products, sums of their columns.
static double stream_phase(const sizes *s)
{
    const double lines = smaller(256.0, s->m);
    return 10.0 * s->n + 4.0 * s->n * s->k + lines * (s->n + 4.0 * s->k) + 6.0 * s->k * s->k +
           ecki_tall_memory(s->n, s->k, (int32_t)s->threads);
}

int64_t ecki_stream_memory(const eck_operator_info *info, const eck_svd_options *options,
                           int64_t rank, int32_t threads)
{
    const sizes s = sizes_of(info, options, rank, threads);
    const double scan = info->resident ? scan_phase(&s) : 0.0; // else it goes with the Gram
    const double numbers =
        larger(larger(scan, gram_phase(&s)), larger(vectors_phase(&s), stream_phase(&s)));
    const double bytes = 8.0 * numbers + 16384.0;
    return bytes < 9e18 ? (int64_t)bytes : INT64_MAX;
}

int64_t eck_svd_stream_memory(const eck_operator_info *info, const eck_svd_options *options,
                              int64_t rank)
{
    const eck_svd_options defaults = ECK_SVD_OPTIONS_INIT;
    const eck_context fit = ecki_fit_context(NULL, info);
    return ecki_stream_memory(info, options ? options : &defaults, rank, ecki_threads(&fit));
}

eck_status ecki_stream_require_memory(const ecki_svd_job *job, int64_t rank, eck_error *err)
{
    if (!job->context || job->context->memory <= 0) return ECK_OK;
    const int32_t threads = ecki_threads(job->context);
    const int64_t needed = ecki_stream_memory(&job->a->info, &job->options, rank, threads);
    if (needed <= job->context->memory) return ECK_OK;
    return ecki_error(err, ECK_E_BUDGET, -1, "streaming '%s' needs %lld bytes, %lld are allowed",
                      job->a->name, (long long)needed, (long long)job->context->memory);
}

int64_t eck_svd_memory(const eck_operator_info *info, const eck_svd_options *options, int64_t rank)
{
    const eck_svd_options defaults = ECK_SVD_OPTIONS_INIT;
    const eck_context fit = ecki_fit_context(NULL, info);
    return ecki_svd_memory(info, options ? options : &defaults, rank, ecki_threads(&fit));
}
