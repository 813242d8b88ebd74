/**
 * Engine KRYLOV from outside: what it takes, how much room, and the lane itself.
 */
#ifndef ECKI_KRYLOV_LANE_H
#define ECKI_KRYLOV_LANE_H

#include "linalg/svd_job.h"

/** Reads of A after which the lane gives up at the latest. */
enum { ECKI_KRYLOV_READS = 120 };

/** True when the lane can take these options at all: a rule that cuts, factors wanted, room between rank and size. */
bool ecki_krylov_fits(const eck_operator_info *info, const eck_svd_options *options);

/** Columns of a step for a rank, and of the whole basis for a rank in a matrix whose shorter side is `least`. */
int64_t ecki_krylov_block(int64_t rank);
int64_t ecki_krylov_room(int64_t rank, int64_t least);

/** The side whose vectors make the basis. */
eck_side ecki_krylov_side(const eck_operator *a);

/** The copy of A that the lane makes: none where memory is limited and it does not fit, and where nothing is limited and the
 *  lane would hold, on one thread, more than EXACT and more than three times what A is stored in. */
ecki_holding ecki_krylov_holding(const ecki_svd_job *job);

/** Room for the basis within the memory of the context; ECK_E_BUDGET when even the least is too much. */
eck_status ecki_krylov_foresee(int64_t *most_out, const ecki_svd_job *job, eck_error *err);

/** Bytes the lane holds at most when nobody limits it. */
int64_t ecki_krylov_memory(const ecki_svd_job *job);

/** *answered_out false: not converged, or not for this lane; nothing is written then, and no error. */
eck_status ecki_svd_krylov(eck_svd **out, ecki_svd_job *job, bool *answered_out, eck_error *err);

#endif
