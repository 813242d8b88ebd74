/**
 * Runners of a layer and of chains that could replace it, timed together. Always true: runners[0] is the dense layer.
 */
#include "eckart/bench.h"

#include "base/memory.h"
#include "base/random.h"

/** Numbers as layers have them, about one over the root of how many are added, so that nothing overflows or dies away. */
static eck_status make_up_weight(eck_stage *stage, eck_error *err)
{
    eck_status status = ECK_OK;
    int64_t shape[ECK_DIMS_MAX];
    const int32_t ndim = eck_stage_shape(stage, shape);

    ECK_TRY(eck_array_create(&stage->weight, ECK_DTYPE_F32, ndim, shape, err));
    float *const numbers = stage->weight->data;
    const int64_t count = eck_array_count(stage->weight);
    for (int64_t i = 0; i < count; i++)
        numbers[i] = (float)(ecki_random_uniform(2, 0, (uint64_t)i) - 0.5);
done:
    return status;
}

static eck_status runner_of_chain(eck_runner **out, eck_chain *chain, const eck_place *place,
                                  const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;

    for (int32_t i = 0; i < chain->count; i++)
        ECK_TRY(make_up_weight(&chain->stages[i], err));
    ECK_TRY(eck_runner_create(out, chain, place, context, err));
done:
    return status;
}

/** A runner of the layer as it is (point NULL) or at a point. */
static eck_status make_runner(eck_runner **out, const eck_bench_layer *layer,
                              const eck_point *point, const eck_place *place,
                              const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_chain chain = { NULL, 0 };

    if (point) {
        ECK_TRY(eck_chain_outline(&chain, layer->dense, point, err));
    } else {
        ECK_ALLOC(chain.stages, 1);
        chain.count = 1;
        chain.stages[0] = *layer->dense;
        chain.stages[0].weight = chain.stages[0].bias = NULL;
    }
    ECK_TRY(runner_of_chain(out, &chain, place, context, err));
done:
    eck_chain_clear(&chain);
    return status;
}

/** Times at one place. */
static eck_status time_place(eck_timing *out, const eck_bench_layer *layer, const eck_place *place,
                             const eck_timing_options *options, const eck_context *context,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    eck_runner **runners = NULL;

    ECK_ALLOC(runners, layer->count + 1);
    for (int64_t i = 0; i <= layer->count; i++)
        ECK_TRY(make_runner(&runners[i], layer, i > 0 ? &layer->points[i - 1] : NULL, place,
                            context, err));
    ECK_TRY(eck_runner_time(out, runners, layer->count + 1, options, context, err));
done:
    for (int64_t i = 0; runners && i <= layer->count; i++)
        eck_runner_free(runners[i]);
    ecki_free(runners);
    return status;
}

eck_status eck_bench_run(eck_timing *out, const eck_bench_layer *layer,
                         const eck_timing_options *options, const eck_context *context,
                         eck_error *err)
{
    eck_status status = ECK_OK;
    eck_timing *sums = NULL, *more = NULL;

    ECK_REQUIRE(layer->place_count >= 1, ECK_E_RANGE, -1, "layer '%s' has no place to be timed at",
                layer->name);
    ECK_ALLOC(sums, layer->count + 1);
    ECK_ALLOC(more, layer->count + 1);
    for (int64_t p = 0; p < layer->place_count; p++) {
        ECK_TRY(time_place(more, layer, &layer->places[p], options, context, err));
        for (int64_t i = 0; i <= layer->count; i++)
            sums[i] = (eck_timing){ sums[i].median + more[i].median, sums[i].low + more[i].low,
                                    sums[i].high + more[i].high, more[i].runs };
    }
    for (int64_t i = 0; i <= layer->count; i++)
        out[i] = sums[i];
done:
    ecki_free(sums);
    ecki_free(more);
    return ecki_error_where(err, status, NULL, status == ECK_OK ? NULL : layer->name);
}
