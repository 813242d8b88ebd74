// eckart doctor: what this machine and its BLAS do, and what is set wrongly.
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "commands.h"
#include "core_trial.h"
#include "eckart/machine.h"
#include "eckart/report.h"
#include "figures.h"
#include "settings.h"
#include "table.h"

enum { ADVICE_MAX = 8, ADVICE_ROOM = 300, TRIALS_MAX = 4 };

// A core is worth a change of settings from here on.
#define WORTH 1.15

typedef struct doctor_settings {
    settings common; // first, so that the shared tables fit
    bool here;
} doctor_settings;

static const opt_entry doctor_options[] = {
    { OPT_FLAG, '\0', "here", NULL, offsetof(doctor_settings, here), 0, 0,
      "look at this process only: try no other core of the BLAS" },
    { 0 }
};

static const opt_group groups[] = {
    { "What to try", doctor_options },
    { "Every command", run_options },
    { NULL, NULL },
};

// Everything that is found, with room for it.
typedef struct findings {
    eck_machine machine;
    const char *set[10];
    int64_t set_count;
    eck_core_trial trials[TRIALS_MAX];
    int64_t trial_count;
    char room[ADVICE_MAX][ADVICE_ROOM];
    const char *advice[ADVICE_MAX];
    int64_t advice_count;
} findings;

static void advise(findings *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void advise(findings *f, const char *format, ...)
{
    va_list arguments;
    if (f->advice_count == ADVICE_MAX) return;
    va_start(arguments, format);
    vsnprintf(f->room[f->advice_count], ADVICE_ROOM, format, arguments);
    va_end(arguments);
    f->advice[f->advice_count] = f->room[f->advice_count];
    f->advice_count++;
}

static void read_settings(findings *f)
{
    static const char *const names[] = { "OPENBLAS_CORETYPE", "OPENBLAS_NUM_THREADS",
                                         "OMP_NUM_THREADS", "OMP_PROC_BIND", "OMP_WAIT_POLICY" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *const value = getenv(names[i]);
        f->set[2 * i] = names[i];
        f->set[2 * i + 1] = value && value[0] ? value : NULL;
        f->set_count++;
    }
}

static const char *setting(const findings *f, const char *name)
{
    for (int64_t i = 0; i < f->set_count; i++)
        if (strcmp(f->set[2 * i], name) == 0) return f->set[2 * i + 1];
    return NULL;
}

// The cores of OpenBLAS that this processor can run, other than the one that is set.
static void try_cores(session *run, findings *f)
{
    const char *const now = setting(f, "OPENBLAS_CORETYPE");
    const char *cores[TRIALS_MAX] = { "", NULL, NULL, NULL };
    int count = now ? 1 : 0;
    if (!strstr(f->machine.blas, "OpenBLAS")) return;
    if (f->machine.avx2) cores[count++] = "Haswell";
    if (f->machine.avx512) cores[count++] = "SkylakeX";
    if (f->machine.avx512_bf16) cores[count++] = "Cooperlake";
    for (int i = 0; i < count; i++) {
        if (now && strcmp(cores[i], now) == 0) continue;
        if (run->verbose > 0)
            session_note(run, "trying %s", cores[i][0] ? cores[i] : "the core OpenBLAS chooses");
        f->trials[f->trial_count++] = core_try(cores[i], f->machine.threads);
    }
}

static bool is_right(double check_f64, double check_f32)
{
    return check_f64 <= 1 && check_f32 <= 1; // false for NaN
}

// The fastest core among those whose products are right; NULL if there is none.
static const eck_core_trial *best_trial(const findings *f)
{
    const eck_core_trial *best = NULL;
    for (int64_t i = 0; i < f->trial_count; i++) {
        const eck_core_trial *const t = &f->trials[i];
        if (!t->ran || !is_right(t->check_f64, t->check_f32)) continue;
        if (!best || t->gemm_f64 + t->gemm_f32 > best->gemm_f64 + best->gemm_f32) best = t;
    }
    return best;
}

// Another load on the machine makes any core look slow for a moment: before one is praised above the core in use, that one
// is tried again, and the better of its rates counts.
static void try_again(findings *f)
{
    const eck_core_trial *const best = best_trial(f);
    eck_machine *const m = &f->machine;
    const char *const now = setting(f, "OPENBLAS_CORETYPE");
    if (!best || best->gemm_f64 + best->gemm_f32 <= WORTH * (m->gemm_f64 + m->gemm_f32)) return;
    const eck_core_trial again = core_try(now ? now : "", m->threads);
    if (!again.ran) return;
    m->gemm_f64 = fmax(m->gemm_f64, again.gemm_f64);
    m->gemm_f32 = fmax(m->gemm_f32, again.gemm_f32);
}

// How to come to a core, in words.
static void core_words(char out[100], const char *core)
{
    if (core[0])
        snprintf(out, 100, "set OPENBLAS_CORETYPE=%s", core);
    else
        snprintf(out, 100, "unset OPENBLAS_CORETYPE");
}

static void judge_blas(findings *f)
{
    const eck_machine *const m = &f->machine;
    const eck_core_trial *const best = best_trial(f);
    char words[100] = "";
    if (best) core_words(words, best->core);
    if (!is_right(m->check_f64, m->check_f32)) {
        advise(f, "this BLAS computes wrong products, %.3g times what rounding explains: %s%s",
               fmax(m->check_f64, m->check_f32), best ? words : "use another library",
               best ? ", with which 60 products were right" : "");
        return;
    }
    const double now = m->gemm_f64 + m->gemm_f32;
    const double other = best ? best->gemm_f64 + best->gemm_f32 : 0;
    if (other > WORTH * now)
        advise(f, "%s: products are %.1f times as fast with it, and 60 of odd sizes were right",
               words, other / now);
    if (!strstr(m->blas, "OpenBLAS") && !strstr(m->blas, "MKL") && !strstr(m->blas, "BLIS"))
        advise(f, "the BLAS is '%.100s': OpenBLAS, BLIS or MKL may be many times as fast", m->blas);
}

static void judge_threads(findings *f)
{
    static const char *const counts[] = { "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS" };
    for (int i = 0; i < 2; i++)
        if (setting(f, counts[i]))
            advise(f,
                   "%s=%s does not bind eckart: --threads says how many threads it uses, %d here",
                   counts[i], setting(f, counts[i]), (int)f->machine.threads);
    const char *const bind = setting(f, "OMP_PROC_BIND");
    if (bind && strcasecmp(bind, "false") != 0)
        advise(f,
               "OMP_PROC_BIND=%s ties threads to processors, those of other programs too: unset it "
               "unless the machine is yours alone",
               bind);
    const char *const wait = setting(f, "OMP_WAIT_POLICY");
    if (wait && strcasecmp(wait, "active") == 0)
        advise(f, "OMP_WAIT_POLICY=%s lets waiting threads keep their processors busy: unset it",
               wait);
}

static void print_check(session *run, const char *label, double f64, double f32)
{
    table_line(run->out, label,
               "60 products of odd sizes %s: errors %s (f64) and %s (f32) of what "
               "rounding allows",
               is_right(f64, f32) ? "are right" : "ARE WRONG", figure_number(f64).text,
               figure_number(f32).text);
}

static void print_findings(session *run, const findings *f)
{
    const eck_machine *const m = &f->machine;
    table_line(run->out, "processor", "%s, %d threads", m->cpu, (int)m->threads);
    table_line(run->out, "BLAS", "%s", m->blas);
    table_line(run->out, "products", "%.0f GFLOP/s in f64, %.0f in f32", m->gemm_f64, m->gemm_f32);
    print_check(run, "check", m->check_f64, m->check_f32);
    table_line(run->out, "memory", "%.1f GB/s", m->bandwidth);
    for (int64_t i = 0; i < f->set_count; i++)
        if (f->set[2 * i + 1])
            table_line(run->out, i == 0 ? "settings" : "", "%s=%s", f->set[2 * i],
                       f->set[2 * i + 1]);
    for (int64_t i = 0; i < f->trial_count; i++) {
        const eck_core_trial *const t = &f->trials[i];
        const char *const name = t->core[0] ? t->core : "(not set)";
        if (!t->ran)
            table_line(run->out, "core", "%s: does not run here", name);
        else
            table_line(run->out, "core", "%s: %.0f GFLOP/s in f64, %.0f in f32, products %s", name,
                       t->gemm_f64, t->gemm_f32,
                       is_right(t->check_f64, t->check_f32) ? "right" : "WRONG");
    }
    for (int64_t i = 0; i < f->advice_count; i++)
        table_line(run->out, "advice", "%s", f->advice[i]);
    if (f->advice_count == 0) table_line(run->out, "advice", "none: nothing is set wrongly");
}

static eck_status cmd_doctor(session *run, char **arguments)
{
    eck_status status = ECK_OK;
    doctor_settings from = { .here = false };
    findings *const f = session_alloc(1, sizeof *f);
    char *text = NULL;

    settings_init(&from.common);
    TRY(settings_parse(run, &command_doctor, &from.common, NULL, arguments));
    TRY(eck_machine_measure(&f->machine, &run->context, &run->error));
    read_settings(f);
    if (!from.here) {
        try_cores(run, f);
        try_again(f);
    }
    judge_blas(f);
    judge_threads(f);
    if (run->json) {
        const eck_diagnosis diagnosis = { &f->machine,    f->set,    f->set_count,   f->trials,
                                          f->trial_count, f->advice, f->advice_count };
        TRY(eck_report_doctor(&text, &diagnosis, &run->error));
        session_take(run, text);
    } else {
        print_findings(run, f);
    }
    if (!is_right(f->machine.check_f64, f->machine.check_f32)) run->exit_code = EXIT_PROMISE;
done:
    free(f);
    settings_clear(&from.common);
    return status;
}

const command command_doctor = {
    .name = "doctor",
    .run = cmd_doctor,
    .summary = "what this machine and its BLAS do, and what is set wrongly",
    .operands = "[options]",
    .about =
        "Shows the processor, the BLAS and its core, measured rates of products and memory, and\n"
        "checks 60 products of odd sizes. The other cores OpenBLAS has for this processor are "
        "tried\n"
        "in processes of their own; one is recommended only if its products are right. Exit "
        "status\n"
        "3 if the products here are wrong.",
    .groups = groups,
    .examples = "eckart doctor\n"
                "eckart doctor --json\n"
                "eckart doctor --here --threads 1",
    .operand_count = 0,
};
