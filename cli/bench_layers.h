/** What bench times: layers, where they stand, ways to store them, and the times found. */
#ifndef ECKART_CLI_BENCH_LAYERS_H
#define ECKART_CLI_BENCH_LAYERS_H

#include "eckart/bench.h"
#include "eckart/model.h"
#include "opt.h"
#include "session.h"

typedef struct bench_layer {
    eck_bench_layer what; /**< its places and points are owned by this struct */
    eck_place *places;
    eck_curve points; /**< points that are tried */
    eck_point made; /**< or the one of the factored model */
    eck_timing *times; /**< dense, then the points; NULL: not timed yet */
} bench_layer;

typedef struct bench_layers {
    bench_layer *list;
    int64_t count;
} bench_layers;

typedef struct bench_wish {
    const eck_model *model, *after; /**< after: the factored model, or NULL */
    bool graph; /**< the model is one: it knows its sizes or says why not */
    const opt_list *shapes; /**< GLOB=SIZES, for layers of files without a graph */
    uint32_t methods;
    int64_t multiple;
    eck_timing_options timing;
} bench_wish;

/** The selected linear layers and convolutions, each with its places and points. */
eck_status bench_find(bench_layers *out, session *run, const bench_wish *wish);

/** Times them all; layers that look alike once. */
eck_status bench_time(bench_layers *layers, session *run, const bench_wish *wish);

void bench_clear(bench_layers *layers);

#endif
