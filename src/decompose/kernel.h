/**
 * A convolution's kernel as the tensor its methods take apart: for every group [out, in, first, rest] in F64, where `first`
 * is the first dimension with more than one tap and `rest` all after it.
 */
#ifndef ECKI_KERNEL_H
#define ECKI_KERNEL_H

#include "base/error.h"
#include "decompose/multilinear_parts.h"
#include "decompose/outline.h"
#include "decompose/tucker_parts.h"
#include "eckart/decompose.h"

typedef struct ecki_kernel {
    const eck_stage *dense;
    double *data; /**< [groups][out][in][first][rest] */
    int64_t groups, out, in; /**< channels of one group */
    int64_t taps, first, rest;
    int32_t wide; /**< dimensions with more than one tap */
    int64_t size[ECK_SPATIAL_MAX]; /**< taps of each */
    eck_dtype storage; /**< of the weight: decides the engine's lane */
    double scale; /**< data is scale times the weight; a power of two */
    double norm2; /**< squared norm of data */
    int64_t multiple; /**< ranks that are listed are multiples of it; 0 as 1 */
    ecki_tucker_work *channels; /**< [groups], ecki_kernel_find_channels(); NULL before */
} ecki_kernel;

void ecki_kernel_clear(ecki_kernel *kernel);

/** Reads the weight of a convolution that some method applies to. */
eck_status ecki_kernel_init(ecki_kernel *out, const eck_operator *w, const eck_stage *dense,
                            const eck_context *context, eck_error *err);

/** Every group in the full bases of its channels' unfoldings, modes out, in, taps..: what TUCKER2, TT and the curve of CP begin
 *  with. Found once. */
eck_status ecki_kernel_find_channels(ecki_kernel *kernel, const eck_context *context,
                                     eck_error *err);

/** Numbers of one group. */
const double *ecki_kernel_group(const ecki_kernel *kernel, int64_t group);

/** One group as a view [out, in, first, rest]. */
eck_view ecki_kernel_view(const ecki_kernel *kernel, int64_t group);

/** One group as a view [out, in, wide dimensions..]. */
eck_view ecki_kernel_tensor(const ecki_kernel *kernel, int64_t group);

/** One group as a subject for tensor decompositions; view is one of the two above. */
ecki_subject ecki_kernel_subject(const ecki_kernel *kernel, eck_view view);

// ---- curves and fits, one file for each family

/** Candidates of one method: ranks and squared error (of data), not in any order. */
typedef struct ecki_candidate {
    int64_t ranks[ECK_RANKS_MAX];
    int64_t parameters;
    double error2;
    double degeneracy; /**< of the terms: what rounding them costs; 0 stands for 1 */
    bool estimated;
} ecki_candidate;

typedef struct ecki_candidates {
    ecki_candidate *list;
    int64_t count, room;
} ecki_candidates;

void ecki_candidates_clear(ecki_candidates *candidates);
eck_status ecki_candidates_add(ecki_candidates *candidates, const ecki_candidate *candidate,
                               eck_error *err);

/** True if so many channels a group make a rank that is to be listed. */
static inline bool ecki_kernel_lists(const ecki_kernel *kernel, int64_t rank)
{
    return kernel->multiple < 2 || rank * kernel->groups % kernel->multiple == 0;
}

/** Keeps those that no other with fewer parameters equals, by rising parameters, and of them at most `most`, evenly. */
void ecki_candidates_prune(ecki_candidates *candidates, int64_t most);

/** kernel_pairs.c: SVD of groups, SPATIAL, TUCKER1, DEPTHWISE. */
eck_status ecki_pairs_curve(ecki_candidates *out, const ecki_kernel *kernel, eck_method method,
                            const eck_context *context, eck_error *err);

/** F64 weights of the stages of a chain outlined already, of scale times the weight. */
eck_status ecki_pairs_fit(double **weights, const ecki_kernel *kernel, const eck_point *point,
                          eck_split split, const eck_context *context, eck_error *err);

/** kernel_tucker.c: TUCKER2 and TT. */
eck_status ecki_tucker_curve(ecki_candidates *out, const ecki_kernel *kernel, eck_method method,
                             const eck_context *context, eck_error *err);
eck_status ecki_tucker_fit(double **weights, const ecki_kernel *kernel, const eck_point *point,
                           const eck_context *context, eck_error *err);

/** kernel_cp.c. */
eck_status ecki_cp_curve(ecki_candidates *out, const ecki_kernel *kernel,
                         const eck_context *context, eck_error *err);
eck_status ecki_cp_fit_kernel(double **weights, const ecki_kernel *kernel, const eck_point *point,
                              const eck_context *context, eck_error *err);

#endif
