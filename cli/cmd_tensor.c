// eckart tensor: CP, Tucker and tensor train of an array of any number of modes, each with its residual.
#include <float.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "eckart/file.h"
#include "eckart/multilinear.h"
#include "eckart/report.h"
#include "figures.h"
#include "interrupt.h"
#include "settings.h"
#include "table.h"

typedef struct tensor_settings {
    settings common; // first, so that the shared tables fit
    const char *ranks;
    int64_t sweeps, restarts, iterations, seed;
    int dtype;
} tensor_settings;

#define PLACE(member) offsetof(tensor_settings, member)

static const opt_entry rank_options[] = {
    { OPT_INTEGER, '\0', "rank", "K", PLACE(common.rank), 1, 100000,
      "keep K terms (cp), or K in every mode (tucker) or cut (tt)" },
    { OPT_TEXT, '\0', "ranks", "A,B,..", PLACE(ranks), 0, 0,
      "one rank for every mode (tucker) or cut (tt); 0 keeps all there is" },
    { OPT_PART, '\0', "energy", "E", PLACE(common.energy), DBL_MIN, 1,
      "tucker: energy kept in every mode; tt: in the whole: 0.99 or 99%" },
    { OPT_PART, '\0', "error", "E", PLACE(common.error), 0, 1 - DBL_EPSILON,
      "relative error of the whole, at most: 0.1 or 10%" },
    { 0 }
};

static const opt_entry output_options[] = {
    { OPT_TEXT, 'o', "output", "FILE", PLACE(common.output), 0, 0,
      "write core and factors, weights and factors, or cores: .npz, .safetensors" },
    { OPT_FLAG, 'f', "force", NULL, PLACE(common.force), 0, 0, "replace the file if it exists" },
    { OPT_CHOICE, '\0', "dtype", "auto|f64|f32|f16|bf16", PLACE(dtype), 0, 0,
      "storage type of the factors; auto: f64 for f64 input, else f32" },
    { 0 }
};

static const opt_entry how_options[] = {
    { OPT_INTEGER, '\0', "sweeps", "N", PLACE(sweeps), 0, 1e9,
      "tucker: sweeps of HOOI after ST-HOSVD, at most; default 20" },
    { OPT_INTEGER, '\0', "iterations", "N", PLACE(iterations), 1, 1e9,
      "cp: iterations of a start, at most; default 200" },
    { OPT_INTEGER, '\0', "restarts", "N", PLACE(restarts), 0, 1e6,
      "cp: random starts beside the one from mode vectors; default 2" },
    { OPT_INTEGER, '\0', "seed", "N", PLACE(seed), 0, 1e18, "cp: of random starts; default 0" },
    { 0 }
};

static const opt_group groups[] = {
    { "How many terms (tucker and tt without any: all)", rank_options },
    { "Output", output_options },
    { "How", how_options },
    { "Every command", run_options },
    { NULL, NULL },
};

static const eck_dtype TYPES[] = { ECK_DTYPE_NONE, ECK_DTYPE_F64, ECK_DTYPE_F32, ECK_DTYPE_F16,
                                   ECK_DTYPE_BF16 };

// The tensor in F32 or F64, in memory.
static eck_status read_whole(eck_array **out, session *run, const eck_model *model, int64_t index)
{
    eck_status status = ECK_OK;
    eck_operator *a = NULL;
    eck_array *array = NULL;
    const eck_tensor *const t = eck_model_tensor(model, index);

    TRY(eck_model_tensor_operator(&a, model, index, &run->error));
    const eck_operator_info *const info = eck_operator_get_info(a);
    const eck_dtype dtype = info->storage == ECK_DTYPE_F64 ? ECK_DTYPE_F64 : ECK_DTYPE_F32;
    TRY(eck_array_create(&array, dtype, t->ndim, t->shape, &run->error));
    const eck_panel all = { array->data, dtype, info->rows, info->cols, info->cols };
    if (eck_array_count(array) > 0) TRY(eck_operator_read(a, 0, 0, all, &run->error));
    *out = array;
    array = NULL;
done:
    eck_array_free(array);
    eck_operator_free(a);
    return status;
}

static eck_status open_tensor(eck_array **out, session *run, const char *operand)
{
    eck_status status = ECK_OK;
    eck_model *model = NULL;
    const char *const separator = strstr(operand, "::");
    const size_t length = separator ? (size_t)(separator - operand) : strlen(operand);
    char *const path = session_alloc(length + 1, 1);
    int64_t index = separator ? -1 : 0;

    memcpy(path, operand, length);
    TRY(eck_model_open(&model, path, &run->error));
    for (int64_t i = 0; separator && eck_model_tensor(model, i); i++)
        if (strcmp(eck_model_tensor(model, i)->name, separator + 2) == 0) index = i;
    if (index < 0) TRY(session_usage(run, "'%s' holds no tensor '%s'", path, separator + 2));
    if (!separator && eck_model_tensor_count(model) != 1)
        TRY(session_usage(run, "'%s' holds %lld tensors, name one as '%s::NAME'", path,
                          (long long)eck_model_tensor_count(model), path));
    TRY(read_whole(out, run, model, index));
done:
    eck_model_close(model);
    free(path);
    return status;
}

// "4,5,6" into count numbers of at least 0.
static eck_status parse_ranks(int64_t *out, session *run, const char *text, int32_t count)
{
    const char *at = text;
    for (int32_t i = 0; i < count; i++) {
        char *end = NULL;
        out[i] = at[0] >= '0' && at[0] <= '9' ? strtoll(at, &end, 10) : -1;
        const bool last = i + 1 == count;
        if (out[i] < 0 || *end != (last ? '\0' : ','))
            return session_usage(run, "option '--ranks': found '%s', allowed: %d numbers as 4,5,6",
                                 text, count);
        at = end + 1;
    }
    return ECK_OK;
}

// Rule, target and ranks of tucker and tt.
static eck_status choose(eck_rule *rule, double *target, int64_t *ranks, session *run,
                         const tensor_settings *from, int32_t count)
{
    const settings *const common = &from->common;
    *rule = common->energy >= 0  ? ECK_RULE_ENERGY
            : common->error >= 0 ? ECK_RULE_ERROR
                                 : ECK_RULE_RANK;
    *target = common->energy >= 0 ? common->energy : common->error >= 0 ? common->error : 0;
    for (int32_t i = 0; i < count; i++)
        ranks[i] = common->rank >= 0 ? common->rank : 0;
    return from->ranks ? parse_ranks(ranks, run, from->ranks, count) : ECK_OK;
}

static eck_status write_all(session *run, const tensor_settings *from,
                            const eck_named_array *arrays, int64_t count)
{
    if (!from->common.output) return ECK_OK;
    return eck_file_write_arrays(from->common.output, arrays, count, from->common.force,
                                 &run->error);
}

static void print_numbers(session *run, const char *what, const int64_t *numbers, int32_t count)
{
    char text[ECK_DIMS_MAX * 24] = "";
    size_t length = 0;
    for (int32_t i = 0; i < count; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%lld",
                                   i > 0 ? " x " : "", (long long)numbers[i]);
    table_line(run->out, what, "%s", text);
}

static void print_error(session *run, const eck_certificate *c, double seconds)
{
    table_line(run->out, "error", "%s, proven at most %s, of the factors as stored",
               figure_error(c->error).text, figure_upper(c->error_high).text);
    table_line(run->out, "time", "%s", figure_seconds(seconds).text);
}

static const char *const NAMES[] = { "factor_0", "factor_1", "factor_2", "factor_3",
                                     "factor_4", "factor_5", "factor_6", "factor_7" };
static const char *const CORES[] = { "core_0", "core_1", "core_2", "core_3",
                                     "core_4", "core_5", "core_6", "core_7" };

static eck_status do_tucker(session *run, const tensor_settings *from, const eck_array *x)
{
    eck_status status = ECK_OK;
    eck_tucker_options o = ECK_TUCKER_OPTIONS_INIT;
    eck_tucker *t = NULL;
    eck_named_array arrays[ECK_DIMS_MAX + 1];
    char *text = NULL;

    TRY(choose(&o.rule, &o.target, o.ranks, run, from, x->ndim));
    o.sweeps = from->sweeps;
    o.store = TYPES[from->dtype];
    TRY(eck_tucker_compute(&t, eck_array_view(x), &o, &run->context, &run->error));
    arrays[0] = (eck_named_array){ "core", t->core };
    for (int32_t n = 0; n < t->ndim; n++)
        arrays[n + 1] = (eck_named_array){ NAMES[n], t->factors[n] };
    TRY(write_all(run, from, arrays, t->ndim + 1));
    if (run->json) {
        TRY(eck_report_tucker(&text, t, &run->error));
        session_take(run, text);
        goto done;
    }
    print_numbers(run, "tensor", t->shape, t->ndim);
    print_numbers(run, "ranks", t->ranks, t->ndim);
    table_line(run->out, "sweeps", "%lld, %s", (long long)t->sweeps,
               t->converged ? "converged" : "not converged");
    print_error(run, &t->certificate, t->seconds);
done:
    eck_tucker_free(t);
    return status;
}

static eck_status do_cp(session *run, const tensor_settings *from, const eck_array *x)
{
    eck_status status = ECK_OK;
    eck_cp_options o = ECK_CP_OPTIONS_INIT;
    eck_cp *cp = NULL;
    eck_named_array arrays[ECK_DIMS_MAX + 1];
    char *text = NULL;

    if (from->common.rank < 0 || from->ranks || from->common.energy >= 0 || from->common.error >= 0)
        TRY(session_usage(run, "cp needs --rank K, and takes none of --ranks, --energy, --error"));
    o.rank = from->common.rank;
    o.restarts = from->restarts;
    o.iterations = from->iterations;
    o.seed = (uint64_t)from->seed;
    o.store = TYPES[from->dtype];
    TRY(eck_cp_compute(&cp, eck_array_view(x), &o, &run->context, &run->error));
    arrays[0] = (eck_named_array){ "weights", cp->weights };
    for (int32_t n = 0; n < cp->ndim; n++)
        arrays[n + 1] = (eck_named_array){ NAMES[n], cp->factors[n] };
    TRY(write_all(run, from, arrays, cp->ndim + 1));
    if (run->json) {
        TRY(eck_report_cp(&text, cp, &run->error));
        session_take(run, text);
        goto done;
    }
    print_numbers(run, "tensor", cp->shape, cp->ndim);
    table_line(run->out, "terms", "%lld", (long long)cp->rank);
    table_line(run->out, "iterations", "%lld, %s", (long long)cp->iterations,
               cp->converged ? "converged" : "not converged");
    table_line(run->out, "degeneracy", "%s: sum of squares of the terms over that of their sum",
               figure_number(cp->degeneracy).text);
    print_error(run, &cp->certificate, cp->seconds);
done:
    eck_cp_free(cp);
    return status;
}

static eck_status do_tt(session *run, const tensor_settings *from, const eck_array *x)
{
    eck_status status = ECK_OK;
    eck_tt_options o = ECK_TT_OPTIONS_INIT;
    eck_tt *tt = NULL;
    eck_named_array arrays[ECK_DIMS_MAX];
    char *text = NULL;

    TRY(choose(&o.rule, &o.target, o.ranks, run, from, x->ndim - 1));
    o.store = TYPES[from->dtype];
    TRY(eck_tt_compute(&tt, eck_array_view(x), &o, &run->context, &run->error));
    for (int32_t n = 0; n < tt->ndim; n++)
        arrays[n] = (eck_named_array){ CORES[n], tt->cores[n] };
    TRY(write_all(run, from, arrays, tt->ndim));
    if (run->json) {
        TRY(eck_report_tt(&text, tt, &run->error));
        session_take(run, text);
        goto done;
    }
    print_numbers(run, "tensor", tt->shape, tt->ndim);
    print_numbers(run, "ranks", tt->ranks, tt->ndim - 1);
    print_error(run, &tt->certificate, tt->seconds);
done:
    eck_tt_free(tt);
    return status;
}

static eck_status check_usage(session *run, const tensor_settings *from, const char *method)
{
    const settings *const common = &from->common;
    const int rules =
        (common->rank >= 0) + (from->ranks != NULL) + (common->energy >= 0) + (common->error >= 0);
    if (strcmp(method, "cp") != 0 && strcmp(method, "tucker") != 0 && strcmp(method, "tt") != 0)
        return session_usage(run, "found '%s', allowed: cp, tucker or tt", method);
    if (rules > 1)
        return session_usage(
            run, "give one of --rank, --ranks, --energy, --error, found %d of them", rules);
    return common->output ? settings_check_output(run, common->output, common->force) : ECK_OK;
}

static eck_status cmd_tensor(session *run, char **arguments)
{
    eck_status status = ECK_OK;
    const char *operands[2] = { NULL, NULL };
    eck_array *x = NULL;
    tensor_settings from = { .sweeps = 20, .restarts = 2, .iterations = 200 };

    settings_init(&from.common);
    TRY(settings_parse(run, &command_tensor, &from.common, operands, arguments));
    TRY(check_usage(run, &from, operands[0]));
    TRY(open_tensor(&x, run, operands[1]));
    interrupt_catch();
    if (strcmp(operands[0], "tucker") == 0)
        TRY(do_tucker(run, &from, x));
    else if (strcmp(operands[0], "cp") == 0)
        TRY(do_cp(run, &from, x));
    else
        TRY(do_tt(run, &from, x));
done:
    eck_array_free(x);
    settings_clear(&from.common);
    return status;
}

const command command_tensor = {
    .name = "tensor",
    .run = cmd_tensor,
    .summary = "CP, Tucker or tensor train of an array of any number of modes",
    .operands = "cp|tucker|tt TENSOR [options]",
    .about = "TENSOR is T.npy, T.npz::NAME or M.safetensors::NAME. cp: a sum of products of "
             "vectors, by\n"
             "alternating least squares; tucker: a smaller core and a basis for every mode; tt: a "
             "chain\n"
             "of three-way cores. The error is the residual of the factors as stored.",
    .groups = groups,
    .examples = "eckart tensor tucker T.npy --ranks 8,8,3,3 -o core.npz\n"
                "eckart tensor cp T.npy --rank 16 --restarts 5 --json\n"
                "eckart tensor tt T.npy --error 0.1 -o train.npz",
    .operand_count = 2,
};
