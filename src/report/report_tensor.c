// Decompositions of tensors.
#include "eckart/report.h"
#include "report/json_text.h"

static ecki_json sizes(const int64_t *numbers, int32_t count)
{
    ecki_json array = ecki_json_array();
    for (int32_t i = 0; i < count; i++)
        ecki_json_integer(&array, NULL, numbers[i]);
    return array;
}

// What all three say first and last.
static ecki_json begin(const char *method, const int64_t *shape, int32_t ndim)
{
    ecki_json object = ecki_json_object();
    ecki_json_text(&object, "method", method);
    ecki_json_put(&object, "shape", sizes(shape, ndim));
    return object;
}

static void end(ecki_json *object, const eck_certificate *c, int64_t parameters, double seconds)
{
    ecki_json_integer(object, "parameters", parameters);
    ecki_json_text(object, "dtype", eck_dtype_name(c->stored));
    ecki_json_real(object, "error", c->error);
    ecki_json_real(object, "error_low", c->error_low);
    ecki_json_real(object, "error_high", c->error_high);
    ecki_json_real(object, "floor", c->floor);
    ecki_json_real(object, "seconds", seconds);
}

eck_status eck_report_tucker(char **out, const eck_tucker *t, eck_error *err)
{
    ecki_json object = begin("tucker", t->shape, t->ndim);
    int64_t parameters = eck_array_count(t->core);
    for (int32_t n = 0; n < t->ndim; n++)
        if (t->factors[n]) parameters += eck_array_count(t->factors[n]);
    ecki_json_put(&object, "ranks", sizes(t->ranks, t->ndim));
    ecki_json_reals(&object, "tails", t->tails, t->ndim);
    ecki_json_integer(&object, "sweeps", t->sweeps);
    ecki_json_bool(&object, "converged", t->converged);
    end(&object, &t->certificate, parameters, t->seconds);
    return ecki_json_finish(out, object, err);
}

eck_status eck_report_cp(char **out, const eck_cp *cp, eck_error *err)
{
    ecki_json object = begin("cp", cp->shape, cp->ndim);
    int64_t parameters = cp->rank;
    for (int32_t n = 0; n < cp->ndim; n++)
        parameters += eck_array_count(cp->factors[n]);
    ecki_json_put(&object, "ranks", sizes(&cp->rank, 1));
    ecki_json_reals(&object, "weights", cp->weights->data, cp->rank);
    ecki_json_real(&object, "degeneracy", cp->degeneracy);
    ecki_json_real(&object, "degeneracy_before", cp->degeneracy_before);
    ecki_json_integer(&object, "iterations", cp->iterations);
    ecki_json_bool(&object, "converged", cp->converged);
    ecki_json_integer(&object, "start", cp->start);
    end(&object, &cp->certificate, parameters, cp->seconds);
    return ecki_json_finish(out, object, err);
}

eck_status eck_report_tt(char **out, const eck_tt *tt, eck_error *err)
{
    ecki_json object = begin("tt", tt->shape, tt->ndim);
    int64_t parameters = 0;
    for (int32_t n = 0; n < tt->ndim; n++)
        parameters += eck_array_count(tt->cores[n]);
    ecki_json_put(&object, "ranks", sizes(tt->ranks, tt->ndim - 1));
    ecki_json_reals(&object, "tails", tt->tails, tt->ndim - 1);
    end(&object, &tt->certificate, parameters, tt->seconds);
    return ecki_json_finish(out, object, err);
}
