/** A BLAS core tried in a process of its own, so that one that crashes takes nothing with it. */
#ifndef ECKART_CLI_CORE_TRIAL_H
#define ECKART_CLI_CORE_TRIAL_H

#include "eckart/report.h"

/** Runs `eckart doctor --here --json` with OPENBLAS_CORETYPE set to core, or without it if that is "". */
eck_core_trial core_try(const char *core, int32_t threads);

#endif
