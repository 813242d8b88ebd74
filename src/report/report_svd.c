// Documents of one decomposed matrix: singular values, a fit or eigenvalues, and their certificate.
#include "eckart/report.h"
#include "report/json_text.h"

// {"kind","norm","value","low","optimum":[low,high],"excess","floor","probability","stored",
//  "orthogonality"}; value is the bound above which the true error never lies. excess is null when
// the optimum is 0, orthogonality when no orthonormal factor was made.
static ecki_json certificate(const eck_certificate *known)
{
    const double optimum[] = { known->optimum_low, known->optimum_high };
    ecki_json object = ecki_json_object();
    ecki_json_text(&object, "kind", eck_proof_name(known->proof));
    ecki_json_text(&object, "norm", "frobenius");
    ecki_json_real(&object, "value", known->error_high);
    ecki_json_real(&object, "low", known->error_low);
    ecki_json_reals(&object, "optimum", optimum, 2);
    ecki_json_real(&object, "excess", known->excess_high);
    ecki_json_real(&object, "floor", known->floor);
    ecki_json_real(&object, "probability", known->failure);
    ecki_json_text(&object, "stored", eck_dtype_name(known->stored));
    if (known->orthogonality < 0)
        ecki_json_add(&object, "orthogonality", json_null());
    else
        ecki_json_real(&object, "orthogonality", known->orthogonality);
    return object;
}

// {"bound","relative","above","blur"}: relative to the largest value; null when nobody asked.
static void put_spectral(ecki_json *object, const eck_svd *svd)
{
    const eck_spectral_proof *const known = &svd->spectral;
    const double largest = svd->s->shape[0] > 0 ? ((const double *)svd->s->data)[0] : 0.0;
    if (known->bound < 0) {
        ecki_json_add(object, "spectral", json_null());
        return;
    }
    ecki_json proof = ecki_json_object();
    ecki_json_real(&proof, "bound", known->bound);
    ecki_json_real(&proof, "relative", largest > 0 ? known->bound / largest : 0.0);
    ecki_json_integer(&proof, "above", known->above);
    ecki_json_real(&proof, "blur", known->blur);
    ecki_json_put(object, "spectral", proof);
}

eck_status eck_report_svd(char **out, const eck_svd *svd, const eck_operator_info *info,
                          double seconds_total, eck_error *err)
{
    ecki_json object = ecki_json_object();
    ecki_json_integer(&object, "rows", svd->rows);
    ecki_json_integer(&object, "cols", svd->cols);
    ecki_json_text(&object, "dtype", eck_dtype_name(info->storage));
    ecki_json_integer(&object, "rank", svd->rank);
    if (svd->numerical_rank < 0)
        ecki_json_add(&object, "numerical_rank", json_null());
    else
        ecki_json_integer(&object, "numerical_rank", svd->numerical_rank);
    ecki_json_real(&object, "tolerance", svd->tolerance);
    ecki_json_text(&object, "engine", eck_engine_name(svd->engine));
    ecki_json_text(&object, "solver", svd->solver);
    ecki_json_bool(&object, "reproducible", svd->reproducible);
    ecki_json_real(&object, "seconds", svd->seconds);
    ecki_json_real(&object, "seconds_total", seconds_total);
    if (svd->bytes_read > 0) {
        ecki_json_integer(&object, "bytes_read", svd->bytes_read);
        ecki_json_real(&object, "passes", svd->passes);
    } else {
        ecki_json_add(&object, "bytes_read", json_null());
        ecki_json_add(&object, "passes", json_null());
    }
    ecki_json_real(&object, "error", svd->certificate.error);
    ecki_json_real(&object, "energy", svd->energy);
    ecki_json_put(&object, "certificate", certificate(&svd->certificate));
    put_spectral(&object, svd);
    ecki_json_reals(&object, "singular_values", svd->s->data, svd->s->shape[0]);
    return ecki_json_finish(out, object, err);
}

// objective is that of the last iteration, null before the first; energy 1 - error^2 of the factors.
eck_status eck_report_als(char **out, const eck_als *als, const eck_operator_info *info,
                          double seconds_total, eck_error *err)
{
    const double *const values = als->objective->data, error = als->certificate.error;
    ecki_json object = ecki_json_object();
    ecki_json_integer(&object, "rows", als->rows);
    ecki_json_integer(&object, "cols", als->cols);
    ecki_json_text(&object, "dtype", eck_dtype_name(info->storage));
    ecki_json_integer(&object, "rank", als->rank);
    ecki_json_text(&object, "engine", eck_engine_name(als->engine));
    ecki_json_integer(&object, "iterations", als->iterations);
    ecki_json_bool(&object, "converged", als->converged);
    if (als->iterations > 0)
        ecki_json_real(&object, "objective", values[als->iterations - 1]);
    else
        ecki_json_add(&object, "objective", json_null());
    ecki_json_integer(&object, "observed", als->observed);
    ecki_json_integer(&object, "empty_rows", als->empty_rows);
    ecki_json_integer(&object, "empty_cols", als->empty_cols);
    ecki_json_bool(&object, "reproducible", als->reproducible);
    ecki_json_real(&object, "seconds", als->seconds);
    ecki_json_real(&object, "seconds_total", seconds_total);
    ecki_json_real(&object, "error", error);
    ecki_json_real(&object, "energy", 1.0 - error * error);
    ecki_json_put(&object, "certificate", certificate(&als->certificate));
    ecki_json_reals(&object, "singular_values", als->values->data, als->rank);
    return ecki_json_finish(out, object, err);
}

eck_status eck_report_eigen(char **out, const eck_eigen *eigen, const eck_operator_info *info,
                            eck_error *err)
{
    ecki_json object = ecki_json_object();
    ecki_json_integer(&object, "rows", eigen->size);
    ecki_json_integer(&object, "cols", eigen->size);
    ecki_json_text(&object, "dtype", eck_dtype_name(info->storage));
    ecki_json_integer(&object, "rank", eigen->rank);
    ecki_json_text(&object, "engine", eck_engine_name(ECK_ENGINE_EXACT));
    ecki_json_real(&object, "asymmetry", eigen->asymmetry);
    ecki_json_real(&object, "seconds", eigen->seconds);
    ecki_json_real(&object, "error", eigen->certificate.error);
    ecki_json_put(&object, "certificate", certificate(&eigen->certificate));
    ecki_json_reals(&object, "eigenvalues", eigen->values->data, eigen->values->shape[0]);
    return ecki_json_finish(out, object, err);
}
