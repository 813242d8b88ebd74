/**
 * Turning chains around. Always true of a turned chain: some stage is a transposed convolution, if only the last one, with
 * one tap, so that whoever runs it finds where strides and paddings go.
 */
#include "decompose/adjoint.h"

#include <string.h>

#include "base/checked.h"
#include "base/memory.h"

bool ecki_is_adjoint(const eck_stage *dense)
{
    return dense->kind == ECK_STAGE_CONV_TRANSPOSE;
}

/** The stage from the outputs to the inputs, its kind and numbers left as they are. */
static eck_stage reversed(const eck_stage *stage)
{
    eck_stage turned = *stage;

    turned.in = stage->out;
    turned.out = stage->in;
    return turned;
}

eck_stage ecki_mirror(const eck_stage *dense)
{
    if (!ecki_is_adjoint(dense)) return *dense;
    eck_stage mirror = reversed(dense);
    mirror.kind = ECK_STAGE_CONV;
    return mirror;
}

int64_t ecki_stage_rows(const eck_stage *dense)
{
    return ecki_is_adjoint(dense) ? dense->in : dense->out;
}

void ecki_point_turn(eck_point *point)
{
    for (int32_t i = 0, j = point->rank_count - 1; i < j; i++, j--) {
        const int64_t rank = point->ranks[i];
        point->ranks[i] = point->ranks[j];
        point->ranks[j] = rank;
    }
}

/** True if the stage does more than mix channels. */
static bool moves(const eck_stage *stage)
{
    for (int32_t d = 0; d < stage->spatial; d++)
        if (stage->kernel[d] > 1 || stage->stride[d] > 1) return true;
    return false;
}

void ecki_stages_turn(eck_stage *stages, int32_t count)
{
    bool found = false;

    for (int32_t i = 0, j = count - 1; i < j; i++, j--) {
        const eck_stage stage = stages[i];
        stages[i] = stages[j];
        stages[j] = stage;
    }
    for (int32_t i = 0; i < count; i++) {
        stages[i] = reversed(&stages[i]);
        if (stages[i].kind != ECK_STAGE_CONV || !moves(&stages[i])) continue;
        stages[i].kind = ECK_STAGE_CONV_TRANSPOSE;
        found = true;
    }
    if (!found) stages[count - 1].kind = ECK_STAGE_CONV_TRANSPOSE;
}

/** Of every group [rows,cols] in, [cols,rows] out, elements of `size` bytes. */
static void turn_groups(char *out, const char *in, int64_t groups, int64_t rows, int64_t cols,
                        size_t size)
{
    for (int64_t g = 0; g < groups; g++)
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < cols; j++)
                memcpy(out + (size_t)((g * cols + j) * rows + i) * size,
                       in + (size_t)((g * rows + i) * cols + j) * size, size);
}

/** The weight of a stage, and of its adjoint: one that mixes channels has its matrices transposed, all others keep theirs. */
static eck_status weight_turned(eck_array **out, const eck_array *weight, bool mixes,
                                int64_t groups, eck_error *err)
{
    eck_status status = ECK_OK;
    int64_t shape[ECK_DIMS_MAX];
    const size_t size = (size_t)eck_dtype_bits(weight->dtype) / 8;

    memcpy(shape, weight->shape, sizeof shape);
    const int64_t rows = weight->shape[0] / groups;
    if (mixes) {
        shape[0] = weight->shape[1] * groups;
        shape[1] = rows;
    }
    ECK_TRY(eck_array_create(out, weight->dtype, weight->ndim, shape, err));
    if (mixes)
        turn_groups((*out)->data, weight->data, groups, rows, weight->shape[1], size);
    else
        memcpy((*out)->data, weight->data, (size_t)eck_array_count(weight) * size);
done:
    return status;
}

eck_status ecki_chain_turn(eck_chain *chain, eck_error *err)
{
    eck_status status = ECK_OK;

    ecki_stages_turn(chain->stages, chain->count);
    for (int32_t i = 0; i < chain->count; i++) {
        eck_stage *stage = &chain->stages[i];
        eck_array *turned = NULL;
        if (stage->kind != ECK_STAGE_CONV) continue;
        ECK_TRY(weight_turned(&turned, stage->weight, true, stage->groups, err));
        eck_array_free(stage->weight);
        stage->weight = turned;
    }
done:
    return status;
}

eck_status ecki_chain_mirror(eck_chain *out, const eck_chain *chain, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_chain mirror = { NULL, 0 };

    ECK_ALLOC(mirror.stages, chain->count);
    for (int32_t i = 0; i < chain->count; i++) {
        const eck_stage *from = &chain->stages[chain->count - 1 - i];
        eck_stage *stage = &mirror.stages[mirror.count++];
        *stage = reversed(from);
        stage->weight = stage->bias = NULL;
        if (from->kind == ECK_STAGE_CONV_TRANSPOSE) stage->kind = ECK_STAGE_CONV;
        ECK_TRY(weight_turned(&stage->weight, from->weight, from->kind == ECK_STAGE_CONV,
                              from->groups, err));
    }
    *out = mirror;
    mirror = (eck_chain){ NULL, 0 };
done:
    eck_chain_clear(&mirror);
    return status;
}
