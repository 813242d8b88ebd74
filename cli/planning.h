/** From a model and a budget to a plan, and what people are told of it: shared by plan and
 * compress. */
#ifndef ECKART_CLI_PLANNING_H
#define ECKART_CLI_PLANNING_H

#include "eckart/model.h"
#include "session.h"
#include "settings.h"

/** Analyses and chooses. out owned by the caller, eck_plan_free(). */
eck_status planning_make(eck_plan **out, session *run, const eck_model *model, const settings *from,
                         bool allow_dense);

/** Reads a plan file. out owned by the caller, eck_plan_free(). */
eck_status planning_read(eck_plan **out, session *run, const char *path);

/** Choices and totals. */
void planning_print(session *run, const eck_plan *plan);

/** "layers 0.50, file 0.81, ratio 1.23": the line every plan has. */
void planning_print_totals(session *run, const eck_plan *plan);

/** A warning when the mean relative error is above 0.1, with what that did to real models. */
void planning_warn(session *run, const eck_plan *plan);

// A warning for ranks, of a plan that was edited, at which two factors are larger than the layer.
void planning_warn_larger(session *run, const eck_plan *plan, const eck_model *model);

#endif
