// What the doctor found: the machine, what is set, cores that were tried, what to change.
#include "eckart/report.h"
#include "report/json_text.h"

static ecki_json features(const eck_machine *machine)
{
    ecki_json object = ecki_json_object();
    ecki_json_bool(&object, "avx2", machine->avx2);
    ecki_json_bool(&object, "avx512", machine->avx512);
    ecki_json_bool(&object, "avx512_bf16", machine->avx512_bf16);
    ecki_json_bool(&object, "amx", machine->amx);
    ecki_json_bool(&object, "neon", machine->neon);
    return object;
}

static ecki_json settings(const eck_diagnosis *diagnosis)
{
    ecki_json object = ecki_json_object();
    for (int64_t i = 0; i < diagnosis->settings_count; i++)
        ecki_json_text(&object, diagnosis->settings[2 * i], diagnosis->settings[2 * i + 1]);
    return object;
}

static ecki_json cores(const eck_diagnosis *diagnosis)
{
    ecki_json list = ecki_json_array();
    for (int64_t i = 0; i < diagnosis->trial_count; i++) {
        const eck_core_trial *const trial = &diagnosis->trials[i];
        ecki_json object = ecki_json_object();
        ecki_json_text(&object, "core", trial->core);
        ecki_json_bool(&object, "ran", trial->ran);
        ecki_json_real(&object, "gemm_f64", trial->gemm_f64);
        ecki_json_real(&object, "gemm_f32", trial->gemm_f32);
        ecki_json_real(&object, "check_f64", trial->check_f64);
        ecki_json_real(&object, "check_f32", trial->check_f32);
        ecki_json_put(&list, NULL, object);
    }
    return list;
}

eck_status eck_report_doctor(char **out, const eck_diagnosis *diagnosis, eck_error *err)
{
    const eck_machine *const machine = diagnosis->machine;
    ecki_json object = ecki_json_object(), advice = ecki_json_array();
    for (int64_t i = 0; i < diagnosis->advice_count; i++)
        ecki_json_text(&advice, NULL, diagnosis->advice[i]);
    ecki_json_text(&object, "cpu", machine->cpu);
    ecki_json_put(&object, "features", features(machine));
    ecki_json_integer(&object, "threads", machine->threads);
    ecki_json_text(&object, "blas", machine->blas);
    ecki_json_real(&object, "gemm_f64", machine->gemm_f64);
    ecki_json_real(&object, "gemm_f32", machine->gemm_f32);
    ecki_json_real(&object, "bandwidth", machine->bandwidth);
    ecki_json_real(&object, "check_f64", machine->check_f64);
    ecki_json_real(&object, "check_f32", machine->check_f32);
    ecki_json_bool(&object, "ok", machine->check_f64 <= 1.0 && machine->check_f32 <= 1.0);
    ecki_json_put(&object, "settings", settings(diagnosis));
    ecki_json_put(&object, "cores", cores(diagnosis));
    ecki_json_put(&object, "advice", advice);
    return ecki_json_finish(out, object, err);
}
