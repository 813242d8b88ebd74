/**
 * Transposed convolutions, by the convolutions whose adjoints they are.
 *
 * A transposed convolution holds [in, out/groups, k...]: the very weight of the convolution from its outputs to its inputs,
 * its mirror. The adjoint of a chain is the chain of the adjoints, last stage first. So every method factors the mirror, and
 * what it makes is turned around: a stage that moves along a dimension becomes a transposed convolution with the same
 * numbers, one that only mixes channels a convolution of one tap with its matrices transposed.
 */
#ifndef ECKI_ADJOINT_H
#define ECKI_ADJOINT_H

#include "base/error.h"
#include "eckart/decompose.h"

/** True for a layer that is factored by its mirror. */
bool ecki_is_adjoint(const eck_stage *dense);

/** The convolution that a transposed convolution is the adjoint of; any other stage as it is. */
eck_stage ecki_mirror(const eck_stage *dense);

/** Rows of the matrix in which the weight of a layer is seen: outputs, of a transposed convolution inputs. */
int64_t ecki_stage_rows(const eck_stage *dense);

/** The ranks in the order of the other side. */
void ecki_point_turn(eck_point *point);

/** The stages of a mirror's chain, without numbers, as those of the transposed convolution. */
void ecki_stages_turn(eck_stage *stages, int32_t count);

/** A mirror's chain with its weights as that of the transposed convolution; half turned where memory runs out. */
eck_status ecki_chain_turn(eck_chain *chain, eck_error *err);

/** The mirror's chain of that of a transposed convolution, weights copied. out  owned by the caller, eck_chain_clear() */
eck_status ecki_chain_mirror(eck_chain *out, const eck_chain *chain, eck_error *err);

#endif
