/** A runner from inside: shared by runner.c and timing.c. */
#ifndef ECKI_RUNNER_H
#define ECKI_RUNNER_H

#include "eckart/runtime.h"
#include "runtime/onednn.h"

struct eck_runner {
    ecki_net *net;
    ecki_window front, back; /**< of the first and the last stage */
    int32_t threads; /**< kernels are made for as many as they run on */
};

#endif
