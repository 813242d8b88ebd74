/**
 * Every JSON document eckart prints or writes, as text: the shapes have one home. All return text owned by the caller,
 * eck_text_free(), UTF-8, ending in a newline, locale-independent; fields may be added, never renamed.
 */
#ifndef ECKART_REPORT_H
#define ECKART_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "eckart/adapter.h"
#include "eckart/als.h"
#include "eckart/bench.h"
#include "eckart/export.h"
#include "eckart/machine.h"
#include "eckart/model.h"
#include "eckart/multilinear.h"
#include "eckart/status.h"
#include "eckart/svd.h"

#ifdef __cplusplus
extern "C" {
#endif

/** {"rows","cols","dtype","rank","numerical_rank","tolerance","engine","solver","reproducible","seconds",
 *   "seconds_total","bytes_read","passes","error","energy","certificate":{...},"singular_values":[...]}; bytes and
 *   passes are null when nobody counted */
ECK_API eck_status eck_report_svd(char **out, const eck_svd *svd, const eck_operator_info *info,
                                  double seconds_total, eck_error *err);

/** {"rows","cols","dtype","rank","engine","iterations","converged","objective","observed","empty_rows","empty_cols",
 *   "reproducible","seconds","seconds_total","error","energy","certificate":{...},"singular_values":[...]} */
ECK_API eck_status eck_report_als(char **out, const eck_als *als, const eck_operator_info *info,
                                  double seconds_total, eck_error *err);

/** {"rows","cols","dtype","rank","engine","asymmetry","seconds","error","certificate":{...},"eigenvalues":[...]} */
ECK_API eck_status eck_report_eigen(char **out, const eck_eigen *eigen,
                                    const eck_operator_info *info, eck_error *err);

/**
 * Error and energy against rank as CSV, header "k,sigma,error,energy", one line for each k = 1..count: the relative
 * Frobenius error of the best rank k and 1 - error^2, from the values alone.
 * values  [count] singular values, descending
 */
ECK_API eck_status eck_report_curve(char **out, const double *values, int64_t count,
                                    eck_error *err);

/** {"model","format","tensors":n,"bytes":n,"layers":[{"name","kind","shape","dtype","parameters","factored","skipped",
 *   "tied_to"}],"totals":{"layers","selected","parameters","selected_parameters"},"warnings":[...]} */
ECK_API eck_status eck_report_inspect(char **out, const eck_model *model, eck_error *err);

/** {"model","layers":[{"name","kind","shape","parameters","numerical_rank","stable_rank","effective_rank",
 *   "break_even_rank","rank_at_energy":{"0.90","0.95","0.99"}}],"totals":{...}}; spectrum: + "singular_values" */
ECK_API eck_status eck_report_analyze(char **out, const eck_model *model,
                                      const eck_analysis *analysis, bool spectrum, eck_error *err);

/** {"format":"eckart-plan","version":1,"source",...}: what eck_plan_parse() reads. */
ECK_API eck_status eck_report_plan(char **out, const eck_plan *plan, eck_error *err);

/** {"model","frontier":[{"keep","factored","parameters","bytes","error","mean","worst"}]} */
ECK_API eck_status eck_report_frontier(char **out, const eck_model *model,
                                       const eck_frontier_row *rows, int64_t count, eck_error *err);

/** {"output","factored","copied","bytes_before","bytes_after","error","worst","left_out":[...],"peak_bytes","seconds",
 *   "verify": null | {...}} */
ECK_API eck_status eck_report_outcome(char **out, const char *path, const eck_outcome *outcome,
                                      const eck_verdict *verdict, eck_error *err);

/** {"ok","layers":[{"name","error","promised","ok"}],"identical":n,"failed":[{"name","reason"}]} */
ECK_API eck_status eck_report_verify(char **out, const eck_verdict *verdict, eck_error *err);

/** A BLAS core that was tried in a process of its own. */
typedef struct eck_core_trial {
    const char *core; /**< value of OPENBLAS_CORETYPE; "" = not set */
    bool ran; /**< false: the process did not end well; the rest is then 0 */
    double gemm_f64, gemm_f32, check_f64, check_f32; /**< as of eck_machine */
} eck_core_trial;

/** Everything `eckart doctor` found; all borrowed. */
typedef struct eck_diagnosis {
    const eck_machine *machine;
    const char *const *settings; /**< name, value, name, value, ...; a value NULL: not set */
    int64_t settings_count; /**< pairs */
    const eck_core_trial *trials;
    int64_t trial_count;
    const char *const *advice; /**< what is set wrongly and how to mend it */
    int64_t advice_count;
} eck_diagnosis;

/** {"cpu","features":{"avx2","avx512","avx512_bf16","amx","neon"},"threads","blas","gemm_f64","gemm_f32","bandwidth",
 *   "check_f64","check_f32","ok","settings":{...},"cores":[{"core","ran","gemm_f64","gemm_f32","check_f64",
 *   "check_f32"}],"advice":[...]}; ok: both checks are at most 1 */
ECK_API eck_status eck_report_doctor(char **out, const eck_diagnosis *diagnosis, eck_error *err);

/** {"error":{"status","message","file","tensor","offset"}} */
ECK_API eck_status eck_report_error(char **out, const eck_error *error);

/** {"adapter","layout","base","modules":[{"name","form","kind","shape","rank","alpha","scale","dtype","dora",
 *   "parameters","bytes"}],"extras":[...],"totals":{"modules","parameters","bytes"},"warnings":[...]} */
ECK_API eck_status eck_report_adapter(char **out, const eck_adapter *adapter, eck_error *err);

/** {"output","layout","modules":[{"name","rank_before","rank","kept","norm","error", of extract also "energy",
 *   "energy_clean","noise","rank_at_energy":{"0.50","0.80","0.90"},"optimum":[low,high],"engine"}],"totals":{"modules","kept","bytes_before",
 *   "bytes_after","norm","error","worst", of extract also "energy","energy_clean"},"remarks":[...],"seconds"};
 *   what does not apply is null. path NULL: nothing was written */
ECK_API eck_status eck_report_adapter_outcome(char **out, const char *path,
                                              const eck_adapter_outcome *outcome, eck_error *err);

/** {"modules":[{"name","rank_a","rank_b","norm_a","norm_b","cosine","distance","overlap_left","overlap_right",
 *   "angle_left","angle_right"}],"totals":{"modules","common","norm_a","norm_b","cosine","distance"}} */
ECK_API eck_status eck_report_adapter_comparison(char **out,
                                                 const eck_adapter_comparison *comparison,
                                                 eck_error *err);

/** {"method":"tucker","shape","ranks","tails","sweeps","converged","parameters","dtype","error","error_low","error_high",
 *   "floor","seconds"} */
ECK_API eck_status eck_report_tucker(char **out, const eck_tucker *tucker, eck_error *err);

/** {"method":"cp","shape","ranks":[terms],"weights","degeneracy","degeneracy_before","iterations","converged","start",
 *   "parameters","dtype","error","error_low","error_high","floor","seconds"} */
ECK_API eck_status eck_report_cp(char **out, const eck_cp *cp, eck_error *err);

/** {"method":"tt","shape","ranks","tails","parameters","dtype","error","error_low","error_high","floor","seconds"} */
ECK_API eck_status eck_report_tt(char **out, const eck_tt *tt, eck_error *err);

/** Everything `eckart bench` found; all borrowed. */
typedef struct eck_bench_report {
    const char *model, *cpu; /**< path; name of the processor */
    const eck_context *context; /**< that it ran with; or NULL */
    int64_t rounds;
    const eck_bench_layer *layers;
    const eck_timing *const *timings; /**< of every layer: dense, then its points */
    int64_t count;
} eck_bench_report;

/** {"format":"eckart-timings","version":1,"model","runtime":"oneDNN","runtime_version","cpu","threads","rounds",
 *   "inputs":{},"whole":null,"layers":[{"name","kind","shape","uses":[{"rows","input","output"}],"points":[{"method",
 *   "ranks","milliseconds","low","high"}]}]}: what eck_timings_parse() reads */
ECK_API eck_status eck_report_timings(char **out, const eck_bench_report *report, eck_error *err);

#ifdef __cplusplus
}
#endif
#endif
