// How much better than the Krylov space's best the optimum can be. Two steps (docs/methods/krylov.md): probes drawn
// after the space bound, but for a probability, the largest eigenvalue mu of what the space leaves out; from mu, the
// projected matrix T and the coupling C follows a bound of the sum of the k largest eigenvalues of M.
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "linalg/krylov.h"
#include "linalg/op.h"
#include "tensor/codec.h"

// P(chi^2_p < c) = exp(-c/2) sum_{i >= p/2} (c/2)^i / i!, p even.
static double below(int64_t p, double c)
{
    double term = exp(-0.5 * c), sum = 0.0;
    for (int64_t i = 1; i < p / 2 + 400; i++) {
        term *= 0.5 * c / (double)i;
        if (i >= p / 2) sum += term;
    }
    return sum;
}

double ecki_chi_square_low(int64_t p, double failure)
{
    double low = 0.0, high = (double)p;
    for (int i = 0; i < 200; i++) {
        const double middle = 0.5 * (low + high);
        if (below(p, middle) > failure)
            high = middle;
        else
            low = middle;
    }
    return low;
}

// sum_{j <= count} p_j(x)^2 of the orthonormal polynomials of the measure behind the coefficients; negative where some
// p_j(x) is: then x is not right of every zero.
static double polynomial_sum(const double *alpha, const double *beta, int64_t count, double x)
{
    double before = 0.0, now = 1.0, sum = 1.0;
    for (int64_t j = 0; j < count && sum < 1e300; j++) {
        const double next = ((x - alpha[j]) * now - (j > 0 ? beta[j - 1] * before : 0.0)) / beta[j];
        if (!(next > 0.0)) return -1.0;
        before = now;
        now = next;
        sum += now * now;
    }
    return sum;
}

double ecki_lanczos_bound(const double *alpha, const double *beta, int64_t count, double ratio)
{
    double size = 0.0;
    bool ended = false;
    for (int64_t j = 0; j < count; j++) {
        size = fmax(size, fabs(alpha[j]) + beta[j] + (j > 0 ? beta[j - 1] : 0.0));
        ended = ended || !(beta[j] > 0.0);
    }
    // An invariant space of the probes: nothing is outside of it, and Gershgorin bounds what is inside.
    if (ended || !(size > 0.0)) return size;
    // Right of every zero the sum grows: down from where it is at least the ratio to where it is not, or to the zeros.
    double high = 2.0 * size;
    while (polynomial_sum(alpha, beta, count, high) < ratio)
        high *= 2.0;
    for (double x = high; polynomial_sum(alpha, beta, count, x) >= ratio; x *= 1.0 - 1.0 / 512.0)
        high = x;
    return high;
}

// sum_{i<k} max(lambda_i(T + C^T C / t), mu + t) for one t.
static eck_status bound_at(double *out, const ecki_krylov *s, int64_t k, const double at[2],
                           eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t l = s->length, b = s->block;
    double *matrix = NULL, *values = NULL, sum = 0.0;
    ECK_ALLOC_RAW(matrix, l * l);
    ECK_ALLOC_RAW(values, l);
    for (int64_t i = 0; i < l; i++)
        memcpy(matrix + i * l, s->t + i * s->most, (size_t)l * sizeof *matrix);
    for (int64_t q = 0; q < b; q++) {
        const double *const row = s->c + q * s->most;
        for (int64_t i = 0; i < l; i++) {
            const double x = row[i] / at[1];
            for (int64_t j = 0; x != 0.0 && j < l; j++)
                matrix[i * l + j] += x * row[j];
        }
    }
    ECK_TRY(ecki_small_eigen(values, NULL, matrix, l, 0, err));
    for (int64_t i = 0; i < k; i++)
        sum += fmax(values[i], at[0] + at[1]);
    *out = sum;
done:
    ecki_free(values);
    ecki_free(matrix);
    return status;
}

// The better of *best and the bound for one t; *better_out tells which.
static eck_status try_bound(double *best, bool *better_out, const ecki_krylov *s, int64_t k,
                            const double at[2], eck_error *err)
{
    double sum = 0.0;
    const eck_status status = bound_at(&sum, s, k, at, err);
    *better_out = status == ECK_OK && sum < *best;
    if (*better_out) *best = sum;
    return status;
}

eck_status ecki_krylov_bound(double *out, const ecki_krylov *s, int64_t k, double kth, double mu,
                             eck_error *err)
{
    // Parts of kth; the bound falls to its least and grows from there, or nearly so: from FIRST on to one side or the other.
    static const double parts[] = { 1e-5, 1e-4, 1e-3, 0.01, 0.1, 0.5 };
    enum { FIRST = 4, COUNT = 6 };
    eck_status status = ECK_OK;
    double best = INFINITY;
    bool better = true;
    // With a gap t = theta_k^2 - mu costs nothing in the maximum; without one only trying tells.
    const double gap = kth - mu;
    if (gap > 0.0) ECK_TRY(try_bound(&best, &better, s, k, (double[2]){ mu, gap }, err));
    if (gap > 0.05 * kth || !(kth > 0.0)) goto done;
    ECK_TRY(try_bound(&best, &better, s, k, (double[2]){ mu, parts[FIRST] * kth }, err));
    for (int i = FIRST + 1; i < COUNT; i++)
        ECK_TRY(try_bound(&best, &better, s, k, (double[2]){ mu, parts[i] * kth }, err));
    for (int i = FIRST - 1; i >= 0 && !better; i--) {
        ECK_TRY(try_bound(&best, &better, s, k, (double[2]){ mu, parts[i] * kth }, err));
        better = !better; // on while it falls
    }
done:
    *out = best;
    return status;
}

static ecki_block narrow(const ecki_krylov *s, float *data)
{
    return (ecki_block){ data, s->n, s->block, s->block };
}

static double norm_of(const ecki_krylov *s, const float *x)
{
    double sum = 0.0;
    for (int64_t i = 0; i < s->n; i++) {
        double row = 0.0;
        for (int64_t j = 0; j < s->block; j++)
            row += (double)x[i * s->block + j] * (double)x[i * s->block + j];
        sum += row;
    }
    return sqrt(sum);
}

void ecki_deflated_clear(ecki_deflated *p)
{
    ecki_free(p->x);
    ecki_free(p->before);
    ecki_free(p->z);
    ecki_free(p->h);
    memset(p, 0, sizeof *p);
}

eck_status ecki_deflated_init(ecki_deflated *p, ecki_krylov *s, double failure, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t count = s->n * s->block;
    memset(p, 0, sizeof *p);
    ECK_ALLOC_RAW(p->x, count);
    ECK_ALLOC(p->before, count);
    ECK_ALLOC_RAW(p->z, count);
    ECK_ALLOC_RAW(p->h, s->length * s->block);
    ECK_TRY(ecki_krylov_draw(s, p->x, s->block, err));
    const double length = norm_of(s, p->x);
    p->ratio = length * length / ecki_chi_square_low(s->block, failure);
    for (int64_t i = 0; i < count && length > 0.0; i++)
        p->x[i] = (float)((double)p->x[i] / length);
    p->mu = INFINITY;
done:
    return status;
}

// z = (I - P) M x, then the three terms: z = alpha x + beta_before before + beta after.
eck_status ecki_deflated_step(ecki_deflated *p, ecki_krylov *s, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t count = s->n * s->block;
    const ecki_block basis = { s->basis, s->n, s->length, s->most + s->block };
    double alpha = 0.0;
    const eck_panel panels[2] = { ecki_panel(p->x, ECK_DTYPE_F32, s->n, s->block),
                                  ecki_panel(p->z, ECK_DTYPE_F32, s->n, s->block) };
    ECK_TRY(ecki_operator_normal(s->a, s->side, s->scale, panels, s->context, &s->room, err));
    s->passes++;
    for (int pass = 0; pass < 2; pass++)
        ECK_TRY(ecki_block_project(p->h, basis, narrow(s, p->z), ecki_threads(s->context), err));
    for (int64_t i = 0; i < count; i++)
        alpha += (double)p->x[i] * (double)p->z[i];
    const double old = p->count > 0 ? p->beta[p->count - 1] : 0.0;
    for (int64_t i = 0; i < count; i++)
        p->z[i] = (float)((double)p->z[i] - alpha * (double)p->x[i] - old * (double)p->before[i]);
    const double beta = norm_of(s, p->z);
    float *const free_block = p->before;
    p->before = p->x;
    p->x = p->z;
    p->z = free_block;
    for (int64_t i = 0; i < count && beta > 0.0; i++)
        p->x[i] = (float)((double)p->x[i] / beta);
    p->alpha[p->count] = alpha;
    p->beta[p->count++] = beta;
    p->mu = ecki_lanczos_bound(p->alpha, p->beta, p->count, p->ratio);
done:
    return status;
}
