/**
 * The curve of plain SVD. Always true of a curve made here: ranks 1, 2, ... below break-even, so
 * parameters rise from point to point, and the dense layer, with error 0, is the last and largest.
 */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "decompose/adjoint.h"
#include "eckart/decompose.h"

void eck_curve_clear(eck_curve *curve)
{
    if (!curve) return;
    ecki_free(curve->points);
    memset(curve, 0, sizeof *curve);
}

// Rounding x = f 2^e, 1 <= f < 2, to nearest with unit roundoff u adds an error spread evenly over
// -u 2^e .. u 2^e, of mean square u^2 x^2 / (3 f^2). With the logarithm of f spread evenly,
//     mean of 1 / f^2 = integral of f^-3 / ln 2 over 1 .. 2 = 3 / (8 ln 2).
// Both factors L, F of a product are rounded and errors are independent, so
//     || dL F ||^2 + || L dF ||^2 = 2 u^2 / 3 * 3 / (8 ln 2) * sum of s_j^2
// however the singular values s_j are shared out. Relative to || L F ||:
//     floor = u / (2 sqrt(ln 2)) = 0.6006 u.
double eck_storage_floor(eck_dtype store)
{
    const double roundoff = 0.5 * eck_dtype_epsilon(store);

    return roundoff / (2.0 * sqrt(M_LN2));
}

/** Whether SVD makes two shorter layers of this one. */
static bool has_two_factors(const eck_stage *dense)
{
    return eck_method_applies(ECK_METHOD_SVD, dense);
}

/** Parameters that one more rank costs: a row of the first factor and a column of the last, of one
 * group. */
static int64_t parameters_per_rank(const eck_stage *dense)
{
    const int64_t rows = ecki_stage_rows(dense);

    return eck_stage_parameters(dense) / rows + rows / dense->groups;
}

int64_t eck_break_even_rank(const eck_stage *dense)
{
    const int64_t parameters = eck_stage_parameters(dense);

    if (!has_two_factors(dense) || parameters < 1 || parameters == INT64_MAX) return 0;
    const int64_t rank = (parameters - 1) / parameters_per_rank(dense);
    return rank - rank % dense->groups; // every group has the same
}

/** A point of one rank. */
static eck_point point_of(const eck_stage *dense, const eck_spectrum_info *spectrum, int64_t rank,
                          eck_dtype store)
{
    eck_point point = { .method = ECK_METHOD_SVD, .rank_count = 1, .ranks = { rank } };

    // A matrix of zeros has factors of zeros, which every type holds.
    // tails[0] is 1 unless the layer is zero; the squared norm itself may have left the range.
    if (spectrum->tails[0] > 0.0)
        point.error = hypot(spectrum->tails[rank], eck_storage_floor(store));
    point.damage = point.error * point.error;
    point.parameters = rank * parameters_per_rank(dense);
    point.bytes = point.parameters * (eck_dtype_bits(store) / 8);
    // Strides stay with the first stage, of a transposed convolution with the last, so both stages
    // run once for each output, or input; a lookup only copies.
    point.macs = dense->kind == ECK_STAGE_LOOKUP ? rank * dense->out : point.parameters;
    return point;
}

static eck_point dense_point(const eck_stage *dense, eck_dtype original)
{
    eck_point point = { .method = ECK_METHOD_DENSE };

    point.parameters = eck_stage_parameters(dense);
    point.bytes = point.parameters * (eck_dtype_bits(original) / 8);
    point.macs = dense->kind == ECK_STAGE_LOOKUP ? 0 : point.parameters;
    return point;
}

/** Sizes fit each other and can be counted. */
static eck_status check_curve(const eck_stage *dense, const eck_spectrum_info *spectrum,
                              eck_dtype original, eck_dtype store, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t parameters = eck_stage_parameters(dense);

    ECK_REQUIRE(dense->out >= 1 && parameters >= 1 && parameters <= INT64_MAX / 8, ECK_E_SHAPE, -1,
                "a layer of %lld parameters has no curve", (long long)parameters);
    ECK_REQUIRE(eck_dtype_is_weight(store), ECK_E_RANGE, -1, "factors cannot be stored as %s",
                eck_dtype_name(store));
    ECK_REQUIRE(eck_dtype_bits(original) >= 8, ECK_E_RANGE, -1, "a layer cannot be stored as %s",
                eck_dtype_name(original));
    if (!has_two_factors(dense) || dense->groups > 1) goto done;
    const int64_t rows = ecki_stage_rows(dense);
    ECK_REQUIRE(spectrum->rows == rows && spectrum->cols == parameters / rows, ECK_E_SHAPE, -1,
                "the spectrum is of a matrix [%lld,%lld], the layer's is [%lld,%lld]",
                (long long)spectrum->rows, (long long)spectrum->cols, (long long)rows,
                (long long)(parameters / rows));
done:
    return status;
}

eck_status eck_curve_svd(eck_curve *out, const eck_stage *dense, const eck_spectrum_info *spectrum,
                         eck_dtype original, eck_dtype store, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_curve curve = { NULL, 0 };

    ECK_TRY(check_curve(dense, spectrum, original, store, err));
    // a grouped convolution is one matrix a group, whose spectra are not this one
    const int64_t ranks = dense->groups > 1 ? 0 : eck_break_even_rank(dense);
    ECK_ALLOC_RAW(curve.points, ranks + 1);
    for (int64_t rank = 1; rank <= ranks; rank++)
        curve.points[curve.count++] = point_of(dense, spectrum, rank, store);
    curve.points[curve.count++] = dense_point(dense, original);
    *out = curve;
    curve.points = NULL;
done:
    eck_curve_clear(&curve);
    return status;
}
