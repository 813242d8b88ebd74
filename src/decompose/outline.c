/**
 * The shapes of the chains the methods make: known from layer and ranks alone, before any number is.
 */
#include "base/memory.h"
#include "eckart/decompose.h"

/** Plain SVD: the layer with `rank` outputs, which keeps kernel, stride and dilation, then a layer of one tap. */
static void outline_svd(eck_stage stages[2], const eck_stage *dense, int64_t rank)
{
    stages[0] = *dense;
    stages[0].out = rank;
    stages[0].weight = stages[0].bias = NULL;
    stages[1] = eck_stage_linear(rank, dense->out);
    if (dense->kind != ECK_STAGE_CONV) return;
    stages[1].kind = ECK_STAGE_CONV;
    stages[1].spatial = dense->spatial;
}

eck_status eck_chain_outline(eck_chain *out, const eck_stage *dense, const eck_point *point,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    eck_stage *stages = NULL;

    ECK_REQUIRE(point->method == ECK_METHOD_SVD, ECK_E_RANGE, -1, "method '%s' makes no chain",
                eck_method_name(point->method));
    ECK_REQUIRE(dense->kind == ECK_STAGE_LINEAR || dense->kind == ECK_STAGE_CONV ||
                    dense->kind == ECK_STAGE_LOOKUP,
                ECK_E_UNSUPPORTED, -1, "plain svd does not factor a layer of this kind (%d)",
                (int)dense->kind);
    ECK_REQUIRE(dense->groups == 1, ECK_E_UNSUPPORTED, -1,
                "plain svd does not factor a convolution of %lld groups", (long long)dense->groups);
    ECK_REQUIRE(point->rank_count == 1 && point->ranks[0] >= 1, ECK_E_RANGE, -1,
                "plain svd has one rank, at least 1; the point has %d, the first %lld",
                point->rank_count, (long long)point->ranks[0]);
    ECK_ALLOC(stages, 2);
    outline_svd(stages, dense, point->ranks[0]);
    out->stages = stages;
    out->count = 2;
done:
    return status;
}
