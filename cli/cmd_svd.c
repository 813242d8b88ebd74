// eckart svd: one matrix, taken apart, with a certificate.
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "eckart/als.h"
#include "eckart/report.h"
#include "eckart/svd.h"
#include "figures.h"
#include "interrupt.h"
#include "matrix.h"
#include "settings.h"
#include "svd_output.h"
#include "svd_stream.h"

typedef struct svd_settings {
    settings common; // first, so that the shared tables fit
    bool full, thin, reduced;
    bool compact, subspaces, symmetric, center, explain, spectral;
    const char *curve;
    int engine, proof, dtype;
    int64_t seed;
    const char *mask, *weights; // of a fit, as the four below
    int64_t iterations; // -1 not given
    double tolerance, ridge; // -1 not given
    double excess; // -1 not given
} svd_settings;

#define PLACE(member) offsetof(svd_settings, member)

static const opt_entry rule_options[] = {
    { OPT_INTEGER, '\0', "rank", "K", PLACE(common.rank), 1, 1e15, "keep K terms" },
    { OPT_PART, '\0', "energy", "E", PLACE(common.energy), DBL_MIN, 1,
      "keep the fewest terms with energy E or more: 0.99 or 99%" },
    { OPT_PART, '\0', "error", "E", PLACE(common.error), 0, 1 - DBL_EPSILON,
      "keep the fewest terms with relative error E or less: 0.1 or 10%" },
    { OPT_FLAG, '\0', "reduced", NULL, PLACE(reduced), 0, 0,
      "keep as many terms as the numerical rank" },
    { OPT_FLAG, '\0', "thin", NULL, PLACE(thin), 0, 0,
      "keep all min(rows, cols) terms; the default with --output" },
    { OPT_FLAG, '\0', "full", NULL, PLACE(full), 0, 0,
      "keep all terms, U and V completed to square" },
    { 0 }
};

static const opt_entry matrix_options[] = {
    { OPT_FLAG, '\0', "symmetric", NULL, PLACE(symmetric), 0, 0,
      "spectral decomposition V diag(values) V^T of a symmetric matrix" },
    { OPT_FLAG, '\0', "center", NULL, PLACE(center), 0, 0,
      "subtract the mean of every column first: principal components" },
    { 0 }
};

static const opt_entry output_options[] = {
    { OPT_TEXT, 'o', "output", "FILE", PLACE(common.output), 0, 0,
      "write the factors: .npz or .safetensors" },
    { OPT_FLAG, 'f', "force", NULL, PLACE(common.force), 0, 0, "replace files that exist" },
    { OPT_FLAG, '\0', "compact", NULL, PLACE(compact), 0, 0,
      "two factors, first [k,n] and last [m,k], instead of U, S and Vt" },
    { OPT_FLAG, '\0', "subspaces", NULL, PLACE(subspaces), 0, 0,
      "bases of the four subspaces: column, left_null, row, null" },
    { OPT_TEXT, '\0', "curve", "FILE", PLACE(curve), 0, 0,
      "write error and energy against rank as CSV: k,sigma,error,energy" },
    { OPT_CHOICE, '\0', "dtype", "auto|f64|f32|f16|bf16", PLACE(dtype), 0, 0,
      "storage type of the factors; auto: f64 for f64 input, else f32" },
    { 0 }
};

static const opt_entry how_options[] = {
    { OPT_CHOICE, '\0', "engine", "auto|exact|deflated|krylov|golub-kahan|als|gradient",
      PLACE(engine), 0, 0, "how to compute; golub-kahan is LAPACK in f64; als and gradient fit" },
    { OPT_PART, '\0', "excess", "E", PLACE(excess), DBL_MIN, 1,
      "error over optimum - 1 that deflated, krylov may have; default 1e-4" },
    { OPT_CHOICE, '\0', "proof", "exact|residual|bound", PLACE(proof), 0, 0,
      "how the error is proven; default residual" },
    { OPT_FLAG, '\0', "spectral-proof", NULL, PLACE(spectral), 0, 0,
      "also prove the spectral norm of the error, and that no value was missed" },
    { OPT_INTEGER, '\0', "seed", "N", PLACE(seed), 0, 1e18,
      "seed of probes, of --engine krylov and of the start of a fit; default 0" },
    { OPT_FLAG, '\0', "explain", NULL, PLACE(explain), 0, 0,
      "say what will be computed, how, and what it costs" },
    { 0 }
};

static const opt_entry fit_options[] = {
    { OPT_TEXT, '\0', "mask", "FILE", PLACE(mask), 0, 0,
      "a matrix with 0 where an entry is missing; NaN may stand there" },
    { OPT_TEXT, '\0', "weights", "FILE", PLACE(weights), 0, 0,
      "a matrix of weights, 0 or more, one for every entry" },
    { OPT_INTEGER, '\0', "iterations", "N", PLACE(iterations), 1, 1e9,
      "stop after N iterations; default 1000" },
    { OPT_PART, '\0', "tolerance", "T", PLACE(tolerance), 0, 1 - DBL_EPSILON,
      "stop when an iteration lowers the objective by less; default 1e-10" },
    { OPT_NUMBER, '\0', "ridge", "L", PLACE(ridge), 0, DBL_MAX,
      "add L (||first||^2 + ||last||^2) to the objective; default 0" },
    { 0 }
};

static const opt_group groups[] = {
    { "How many terms (one of these; without one and without --output: values only)",
      rule_options },
    { "Which decomposition", matrix_options },
    { "Output", output_options },
    { "How", how_options },
    { "Fits: --engine als (alternating least squares) or gradient (descent), with --rank",
      fit_options },
    { "Every command", run_options },
    { NULL, NULL }
};

static bool wants_factors(const svd_settings *from)
{
    const settings *const common = &from->common;
    return common->rank >= 0 || common->energy >= 0 || common->error >= 0 || from->reduced ||
           from->thin || from->full || from->subspaces || common->output;
}

// Which options exclude each other, said before anything is read.
static eck_status check_usage(session *run, const svd_settings *from)
{
    const settings *const common = &from->common;
    const int rules = (common->rank >= 0) + (common->energy >= 0) + (common->error >= 0) +
                      from->reduced + from->thin + from->full;
    if (rules > 1)
        return session_usage(run,
                             "give one of --rank, --energy, --error, --reduced, --thin, "
                             "--full, found %d of them",
                             rules);
    if (from->compact && from->full)
        return session_usage(run, "--compact keeps no square U and V: leave --full away");
    if (from->subspaces && (rules > from->full || from->compact))
        return session_usage(run,
                             "--subspaces needs every term: leave the rule and --compact away");
    if (from->symmetric &&
        (from->compact || from->subspaces || from->full || from->center || from->curve))
        return session_usage(run, "--symmetric goes with none of --compact, --subspaces, --full, "
                                  "--center, --curve");
    if (from->spectral && (from->symmetric || !wants_factors(from)))
        return session_usage(run, "--spectral-proof is of factors U, S and V: give a rule, such as "
                                  "--rank, and no --symmetric");
    if (from->compact && !common->output)
        return session_usage(run, "--compact says what to write: give --output FILE too");
    return ECK_OK;
}

static bool is_fit(const svd_settings *from)
{
    return from->engine >= 5;
}

// What goes with a fit, and what with a fit only.
static eck_status check_fit(session *run, const svd_settings *from)
{
    const bool only = from->mask || from->weights || from->iterations >= 0 ||
                      from->tolerance >= 0 || from->ridge >= 0;
    if (!is_fit(from))
        return only ? session_usage(run, "--mask, --weights, --iterations, --tolerance and --ridge "
                                         "go with --engine als or gradient")
                    : ECK_OK;
    if (from->common.rank < 0)
        return session_usage(run, "--engine als and gradient fit a rank you choose: give --rank K");
    if (from->symmetric || from->center || from->subspaces || from->curve || from->spectral ||
        from->proof != 1)
        return session_usage(
            run, "--engine als and gradient go with none of --symmetric, --center, "
                 "--subspaces, --curve, --spectral-proof, --proof exact and --proof bound");
    return ECK_OK;
}

static eck_status check_files(session *run, const svd_settings *from)
{
    const settings *const common = &from->common;
    const char *const ending = common->output ? strrchr(common->output, '.') : NULL;
    if (common->output &&
        !(ending && (strcmp(ending, ".npz") == 0 || strcmp(ending, ".safetensors") == 0)))
        return session_usage(run,
                             "option '--output': found '%s', allowed: a file that ends in "
                             ".npz or .safetensors",
                             common->output);
    if (ending && strcmp(ending, ".npz") == 0 && from->dtype == 4)
        return session_usage(run, "NumPy has no bf16: write --dtype bf16 to a .safetensors file");
    if (common->output) {
        const eck_status status = settings_check_output(run, common->output, common->force);
        if (status != ECK_OK) return status;
    }
    return from->curve ? settings_check_output(run, from->curve, common->force) : ECK_OK;
}

static eck_svd_options make_options(const svd_settings *from)
{
    static const eck_engine engines[] = { ECK_ENGINE_AUTO, ECK_ENGINE_EXACT, ECK_ENGINE_DEFLATED,
                                          ECK_ENGINE_KRYLOV, ECK_ENGINE_GOLUB_KAHAN };
    static const eck_proof proofs[] = { ECK_PROOF_TAIL, ECK_PROOF_RESIDUAL, ECK_PROOF_BOUND };
    static const eck_dtype types[] = { ECK_DTYPE_NONE, ECK_DTYPE_F64, ECK_DTYPE_F32, ECK_DTYPE_F16,
                                       ECK_DTYPE_BF16 };
    eck_svd_options options = ECK_SVD_OPTIONS_INIT;
    const settings *const common = &from->common;
    options.engine = engines[from->engine];
    options.proof = proofs[from->proof];
    options.store = types[from->dtype];
    options.seed = (uint64_t)from->seed;
    if (from->excess >= 0) options.excess = from->excess;
    options.rule = common->rank >= 0     ? ECK_RULE_RANK
                   : common->energy >= 0 ? ECK_RULE_ENERGY
                   : common->error >= 0  ? ECK_RULE_ERROR
                   : from->reduced       ? ECK_RULE_NUMERICAL
                                         : ECK_RULE_THIN;
    options.target = common->energy >= 0 ? common->energy : common->error >= 0 ? common->error : 0;
    options.rank = common->rank >= 0 ? common->rank : 0;
    if (from->full || from->subspaces) options.want |= ECK_WANT_FULL;
    if (from->compact) options.want = ECK_WANT_VALUES | ECK_WANT_COMPACT;
    options.spectral_proof = from->spectral;
    if (from->curve && options.engine == ECK_ENGINE_AUTO)
        options.engine = ECK_ENGINE_EXACT; // a curve needs every value
    if (!wants_factors(from)) {
        options.want = ECK_WANT_VALUES;
        options.rule = ECK_RULE_NUMERICAL;
        options.proof = ECK_PROOF_TAIL;
    }
    return options;
}

// The leading terms alone, which read A a number of times that only the spectrum knows.
static void explain_krylov(session *run, const eck_svd_options *options, double reads)
{
    session_say(run, "a block Krylov space in f32, then factors in f64");
    if (options->rule == ECK_RULE_RANK && reads > 0)
        session_say(run, "about %.0f reads of A for rank %lld, more for flat spectra", reads,
                    (long long)options->rank);
    session_say(
        run,
        "it grows until random probes confirm an error within %g of the optimum, wrong with "
        "probability %g; what it cannot do goes to --engine exact",
        options->excess, options->failure);
}

// All values, then the vectors of the rank.
static void explain_exact(session *run, const eck_operator_info *info,
                          const eck_svd_options *options, bool stream)
{
    const double n = (double)(info->rows > info->cols ? info->cols : info->rows);
    if (stream)
        session_say(run, "more would not be allowed: the long factor is written as it is made, and "
                         "the error comes from the tail of all values; A is read twice");
    if (options->engine == ECK_ENGINE_GOLUB_KAHAN)
        session_say(run, "LAPACK's Golub-Kahan SVD of the whole matrix in f64");
    else if (info->storage == ECK_DTYPE_F64)
        session_say(run, "QR and LAPACK's divide and conquer: f64 numbers would lose half their "
                         "digits in a Gram matrix");
    else
        session_say(run,
                    "eigenvalues of the %.0f x %.0f Gram matrix in f64, whose rounding is "
                    "below that of %s storage; then the vectors of the chosen rank",
                    n, n, eck_dtype_name(info->storage));
}

static void explain_proof(session *run, const eck_svd_options *options)
{
    session_say(run, "proof '%s': %s", eck_proof_name(options->proof),
                options->proof == ECK_PROOF_TAIL ? "the tail of all values; costs nothing more"
                : options->proof == ECK_PROOF_RESIDUAL
                    ? "|| A - factors || from the stored factors; reads A once more"
                    : "random probes of A - factors; cheap, and wrong with a printed probability");
}

// What a lane would cost, in operations of an f64 product; nothing for one that cannot do it.
static void explain_cost(session *run, const char *name, double cost)
{
    if (isfinite(cost)) session_say(run, "  %-6s about %.3g GFLOP", name, cost / 1e9);
}

// What will be computed, how, why so, and what it costs.
static eck_status explain(session *run, const eck_operator *a, const eck_svd_options *options,
                          bool stream)
{
    eck_status status = ECK_OK;
    eck_engine_choice choice;
    const eck_operator_info *const info = eck_operator_get_info(a);
    const int64_t n = info->rows > info->cols ? info->cols : info->rows;
    const bool values = (options->want & ~(uint32_t)ECK_WANT_VALUES) == 0;
    const int64_t rank = values ? -1 : options->rule == ECK_RULE_RANK ? options->rank : n;
    TRY(eck_svd_choose(&choice, a, options, &run->context, &run->error));
    const eck_engine engine = stream ? ECK_ENGINE_EXACT : choice.engine;
    session_say(
        run, "%lld x %lld, %s, at most %s of memory", (long long)info->rows, (long long)info->cols,
        eck_dtype_name(info->storage),
        figure_bytes(stream ? eck_svd_stream_memory(info, options, rank) : choice.memory).text);
    session_say(run, "engine %s: %s; in the time of f64 products:", eck_engine_name(engine),
                stream ? "the matrix is larger than the memory allowed" : choice.reason);
    explain_cost(run, "exact", choice.exact);
    explain_cost(run, "krylov", choice.krylov);
    if (engine == ECK_ENGINE_KRYLOV)
        explain_krylov(run, options, choice.expected_reads);
    else
        explain_exact(run, info, options, stream);
    session_say(run, "BLAS: %s", eck_blas_description());
    if (!values && !stream && engine != ECK_ENGINE_KRYLOV) explain_proof(run, options);
done:
    return status;
}

// Means of the columns, (1/m) A^T 1, for the file of a centred matrix. out owned by the caller.
static eck_status column_means(eck_array **out, session *run, const eck_operator *a)
{
    eck_status status = ECK_OK;
    const eck_operator_info *const info = eck_operator_get_info(a);
    eck_array *ones = NULL;
    eck_array *means = NULL;

    TRY(eck_array_create(&ones, ECK_DTYPE_F64, 1, &info->rows, &run->error));
    TRY(eck_array_create(&means, ECK_DTYPE_F64, 1, &info->cols, &run->error));
    for (int64_t i = 0; i < info->rows; i++)
        ((double *)ones->data)[i] = 1;
    const eck_panel one = { ones->data, ECK_DTYPE_F64, info->rows, 1, 1 };
    const eck_panel sum = { means->data, ECK_DTYPE_F64, info->cols, 1, 1 };
    TRY(eck_operator_apply_transpose(a, 1, one, sum, &run->context, &run->error));
    for (int64_t j = 0; j < info->cols; j++)
        ((double *)means->data)[j] /= (double)info->rows;
    *out = means;
    means = NULL;
done:
    eck_array_free(ones);
    eck_array_free(means);
    return status;
}

// Subspaces to the file, if there is one, and to the table.
static eck_status do_subspaces(session *run, const eck_svd *svd, const svd_file *file)
{
    eck_status status = ECK_OK;
    eck_subspaces bases = { 0, NULL, NULL, NULL, NULL };
    TRY(eck_subspaces_compute(&bases, svd, &run->error));
    if (file->path) TRY(svd_write_subspaces(run, &bases, file));
    if (!run->json) svd_print_subspaces(run, &bases, svd);
done:
    eck_subspaces_clear(&bases);
    return status;
}

// How much of the file was read for the result.
static void count_reads(eck_svd *svd, const matrix *input)
{
    svd->bytes_read = eck_model_bytes_read(input->model);
    svd->passes = input->bytes > 0 ? (double)svd->bytes_read / (double)input->bytes : 0;
}

static eck_status do_svd(session *run, const svd_settings *from, const matrix *input)
{
    eck_status status = ECK_OK;
    eck_svd *svd = NULL;
    eck_array *mean = NULL;
    char *text = NULL;
    const eck_svd_options options = make_options(from);
    const eck_operator_info *const info = eck_operator_get_info(input->a);
    svd_file file = { from->common.output, from->common.force, from->compact, NULL };
    const bool stream = !from->subspaces && svd_must_stream(run, info, &options, &file);

    if (from->explain) TRY(explain(run, input->a, &options, stream));
    if (from->center && file.path) TRY(column_means(&mean, run, input->plain));
    file.mean = mean;
    if (stream)
        TRY(svd_stream(&svd, run, input->a, &options, &file));
    else
        TRY(eck_svd_compute(&svd, input->a, &options, &run->context, &run->error));
    // Until here a signal ends the program at once; from here it must not leave half a file.
    interrupt_catch();
    count_reads(svd, input);
    if (from->curve) TRY(svd_write_curve(run, svd, from->curve, file.replace));
    if (!run->json) svd_print(run, svd, info, wants_factors(from));
    if (from->subspaces)
        TRY(do_subspaces(run, svd, &file));
    else if (file.path && !stream)
        TRY(svd_write(run, svd, &file));
    if (run->json) {
        TRY(eck_report_svd(&text, svd, info, session_seconds(run), &run->error));
        session_take(run, text);
    }
done:
    eck_array_free(mean);
    eck_svd_free(svd);
    return status;
}

// The operators of mask and weights are borrowed by the options.
static eck_als_options make_fit(const svd_settings *from, const matrix *mask, const matrix *weights)
{
    eck_als_options options = ECK_ALS_OPTIONS_INIT;
    options.engine = from->engine == 5 ? ECK_ENGINE_ALS : ECK_ENGINE_GRADIENT;
    options.rank = from->common.rank;
    options.store = make_options(from).store;
    options.seed = (uint64_t)from->seed;
    options.mask = mask->a;
    options.weights = weights->a;
    if (from->iterations >= 0) options.iterations = from->iterations;
    if (from->tolerance >= 0) options.tolerance = from->tolerance;
    if (from->ridge >= 0) options.ridge = from->ridge;
    return options;
}

// What an iteration is and costs.
static void explain_fit(session *run, const eck_operator_info *info, const eck_als_options *options)
{
    const bool listed = options->mask || options->weights, als = options->engine == ECK_ENGINE_ALS;
    const double all = (double)info->rows * (double)info->cols, k = (double)options->rank;
    session_say(run, "%lld x %lld, %s, %s: at most %lld iterations of %s%.3g GFLOP in f64",
                (long long)info->rows, (long long)info->cols, eck_dtype_name(info->storage),
                als ? "alternating least squares" : "gradient descent with momentum",
                (long long)options->iterations, listed ? "at most " : "",
                (!listed ? 4 * all * k
                 : als   ? 2 * all * k * k
                         : 8 * all * k) /
                    1e9);
}

static eck_status do_fit(session *run, const svd_settings *from, const matrix *input)
{
    eck_status status = ECK_OK;
    matrix mask = { NULL, NULL, NULL, NULL, 0 }, weights = { NULL, NULL, NULL, NULL, 0 };
    eck_als *als = NULL;
    char *text = NULL;
    const eck_operator_info *const info = eck_operator_get_info(input->a);
    const svd_file file = { from->common.output, from->common.force, true, NULL };

    if (from->mask) TRY(matrix_open(&mask, run, from->mask, false));
    if (from->weights) TRY(matrix_open(&weights, run, from->weights, false));
    const eck_als_options options = make_fit(from, &mask, &weights);
    if (from->explain) explain_fit(run, info, &options);
    TRY(eck_als_compute(&als, input->a, &options, &run->context, &run->error));
    interrupt_catch();
    svd_note_als(run, als);
    if (file.path) TRY(svd_write_als(run, als, &file));
    if (run->json) {
        TRY(eck_report_als(&text, als, info, session_seconds(run), &run->error));
        session_take(run, text);
    } else {
        svd_print_als(run, als, info);
    }
done:
    eck_als_free(als);
    matrix_close(&weights);
    matrix_close(&mask);
    return status;
}

static eck_status do_eigen(session *run, const svd_settings *from, const matrix *input)
{
    eck_status status = ECK_OK;
    eck_eigen *eigen = NULL;
    char *text = NULL;
    const eck_svd_options options = make_options(from);
    const eck_operator_info *const info = eck_operator_get_info(input->a);
    const svd_file file = { from->common.output, from->common.force, false, NULL };

    TRY(eck_eigen_compute(&eigen, input->a, &options, &run->context, &run->error));
    interrupt_catch();
    if (file.path) TRY(svd_write_eigen(run, eigen, &file));
    if (run->json) {
        TRY(eck_report_eigen(&text, eigen, info, &run->error));
        session_take(run, text);
    } else {
        svd_print_eigen(run, eigen, info);
    }
done:
    eck_eigen_free(eigen);
    return status;
}

static eck_status cmd_svd(session *run, char **arguments)
{
    eck_status status = ECK_OK;
    const char *operand = NULL;
    matrix input = { NULL, NULL, NULL, NULL, 0 };
    svd_settings from = {
        .proof = 1, .iterations = -1, .tolerance = -1, .ridge = -1, .excess = -1
    };

    settings_init(&from.common);
    TRY(settings_parse(run, &command_svd, &from.common, &operand, arguments));
    TRY(check_usage(run, &from));
    TRY(check_fit(run, &from));
    TRY(check_files(run, &from));
    TRY(matrix_open(&input, run, operand, from.center));
    if (is_fit(&from))
        TRY(do_fit(run, &from, &input));
    else if (from.symmetric)
        TRY(do_eigen(run, &from, &input));
    else
        TRY(do_svd(run, &from, &input));
done:
    matrix_close(&input);
    settings_clear(&from.common);
    return status;
}

const command command_svd = {
    .name = "svd",
    .run = cmd_svd,
    .summary = "singular value decomposition of one matrix, with a certificate",
    .operands = "MATRIX [options]",
    .about =
        "MATRIX is A.npy, A.mtx, A.csv, A.npz::NAME, M.safetensors::NAME, DIR::NAME, or - for a\n"
        ".npy, .mtx or .csv on standard input. NAME is a tensor or a module. Convolution kernels "
        "are\n"
        "taken as [out, the rest]. Without --output the values and what they say are printed.",
    .groups = groups,
    .examples = "eckart svd A.npy\n"
                "eckart svd A.npy --rank 64 -o factors.npz\n"
                "eckart svd model.safetensors::lm_head.weight --energy 0.99 --json\n"
                "eckart svd A.csv --curve curve.csv\n"
                "eckart svd A.npy --subspaces -o bases.npz\n"
                "eckart svd ratings.npy --rank 8 --engine als --mask seen.npy -o fit.npz",
    .operand_count = 1,
};
