// Rank rules that assume noise. Both depend on the values' ratios alone: values are scaled by the largest first, so that
// no square leaves the range.
#include "linalg/noise.h"

#include <math.h>

#include "base/checked.h"

// ---- empirical variational Bayes (Nakajima, Sugiyama, Babacan and Tomioka 2013; Nakajima et al. 2015)

static double phi(double z)
{
    // log(1 + z) / z = 1 - z/2 + z^2/3 for small z.
    return (z < 1e-8 ? 1.0 - 0.5 * z : log1p(z) / z) - 0.5;
}

double ecki_evb_tau(double alpha)
{
    double low = 0.0, high = 8.0; // phi(8) < 0 and alpha <= 1, so that the sum is negative there

    for (int i = 0; i < 200 && low < high; i++) {
        const double middle = 0.5 * (low + high);
        if (middle <= low || middle >= high) break;
        if (phi(middle) + phi(middle / alpha) > 0.0)
            low = middle;
        else
            high = middle;
    }
    return 0.5 * (low + high);
}

// Values, scaled, and what their free energy needs.
typedef struct evb {
    const double *values;
    double scale; // 1 over the largest value
    int64_t known, short_side, long_side;
    double alpha, edge; // edge: x above which a value is kept
} evb;

static double square_of(const evb *e, int64_t h)
{
    const double g = e->values[h] * e->scale;
    return g * g / (double)e->long_side;
}

// tau(x) = (x - (1 + alpha) + sqrt((x - (1 + alpha))^2 - 4 alpha)) / 2, of a value that is kept.
static double tau_of(double x, double alpha)
{
    const double a = x - (1.0 + alpha);
    return 0.5 * (a + sqrt(fmax(a * a - 4.0 * alpha, 0.0)));
}

// sum_{x <= edge} (x - log x) + sum_{x > edge} (x - tau + log((tau + 1) / x) + alpha log(tau / alpha + 1)) + (L - H) log
// sigma^2, x = gamma^2 / (M sigma^2). Values of 0 tell no more than those that are unknown.
static double free_energy(const evb *e, double noise)
{
    double sum = (double)(e->short_side - e->known) * log(noise);

    for (int64_t h = 0; h < e->known; h++) {
        const double x = square_of(e, h) / noise;
        if (x <= e->edge) {
            sum += x - log(x);
            continue;
        }
        const double tau = tau_of(x, e->alpha);
        sum += x - tau + log((tau + 1.0) / x) + e->alpha * log(tau / e->alpha + 1.0);
    }
    return sum;
}

// The interval the minimum lies in.
static void noise_interval(double *low_out, double *high_out, const evb *e)
{
    const double count = ceil((double)e->short_side / (1.0 + e->alpha));
    const int64_t kept = ecki_min((int64_t)count - 1, e->known);
    double rest = 0.0, all = 0.0;

    for (int64_t h = e->known - 1; h >= 0; h--) {
        all += square_of(e, h);
        if (h >= kept) rest += square_of(e, h);
    }
    const double next = kept < e->known ? square_of(e, kept) / e->edge : 0.0;
    *low_out = fmax(next, rest / (double)ecki_max(e->short_side - kept, 1));
    *high_out = all / (double)e->short_side;
}

// Least free energy between two noises: a grid, since there may be several minima, then golden sections.
static double best_noise(const evb *e, double low, double high)
{
    enum { GRID = 64, SECTIONS = 90 };
    const double golden = 0.61803398874989485;
    const double step = log(high / low) / GRID;
    int best = 0;
    double least = INFINITY;

    for (int i = 0; i <= GRID; i++) {
        const double energy = free_energy(e, low * exp(step * i));
        if (energy < least) {
            least = energy;
            best = i;
        }
    }
    double a = step * fmax(best - 1, 0), b = step * fmin(best + 1, GRID);
    for (int i = 0; i < SECTIONS; i++) {
        const double c = b - golden * (b - a), d = a + golden * (b - a);
        if (free_energy(e, low * exp(c)) <= free_energy(e, low * exp(d)))
            b = d;
        else
            a = c;
    }
    return low * exp(0.5 * (a + b));
}

int64_t ecki_rank_evbmf(const eck_spectrum_info *s)
{
    evb e = { .values = s->values,
              .short_side = s->count,
              .long_side = ecki_max(s->rows, s->cols),
              .alpha = 1.0 };
    double low, high;
    int64_t rank = 0;

    if (s->count == 0 || !(s->values[0] > 0.0)) return 0;
    // What rounding left of values that are not there is no noise to learn from.
    e.known = ecki_max(s->numerical_rank, 1);
    e.scale = 1.0 / s->values[0];
    e.alpha = (double)e.short_side / (double)e.long_side;
    const double tau = ecki_evb_tau(e.alpha);
    e.edge = (1.0 + tau) * (1.0 + e.alpha / tau);
    noise_interval(&low, &high, &e);
    if (!(low > 0.0)) return s->numerical_rank; // no noise at all
    const double noise = low < high ? best_noise(&e, low, high) : high;
    while (rank < e.known && square_of(&e, rank) > noise * e.edge)
        rank++;
    return rank;
}

// ---- optimal hard threshold (Gavish and Donoho 2014)

// Marchenko-Pastur with x = 1 + beta + 2 sqrt(beta) cos t: the density is 2 sin^2 t / (pi x) dt, smooth in t.
static double density(double t, double beta)
{
    const double c = cos(t), root = sqrt(beta);
    const double x = (1.0 - root) * (1.0 - root) + 2.0 * root * (1.0 + c);
    return x > 0.0 ? 2.0 * (1.0 - c) * (1.0 + c) / (M_PI * x) : 2.0 / M_PI;
}

// Mass between t and pi, by Simpson's rule.
static double mass_above(double t, double beta)
{
    enum { INTERVALS = 2000 };
    const double h = (M_PI - t) / INTERVALS;
    double sum = density(t, beta) + density(M_PI, beta);

    for (int i = 1; i < INTERVALS; i++)
        sum += (i % 2 ? 4.0 : 2.0) * density(t + i * h, beta);
    return sum * h / 3.0;
}

// lambda / sqrt(median of Marchenko-Pastur), lambda = sqrt(2 (b + 1) + 8 b / ((b + 1) + sqrt(b^2 + 14 b + 1))).
double ecki_hard_threshold(double beta)
{
    const double lambda = sqrt(2.0 * (beta + 1.0) +
                               8.0 * beta / (beta + 1.0 + sqrt(beta * beta + 14.0 * beta + 1.0)));
    double low = 0.0, high = M_PI; // x falls as t rises, so that the mass below x is that above t

    for (int i = 0; i < 60; i++) {
        const double middle = 0.5 * (low + high);
        if (mass_above(middle, beta) > 0.5)
            low = middle;
        else
            high = middle;
    }
    return lambda / sqrt(1.0 + beta + 2.0 * sqrt(beta) * cos(0.5 * (low + high)));
}

int64_t ecki_rank_hard_threshold(const eck_spectrum_info *s)
{
    int64_t rank = 0;

    if (s->count == 0) return 0;
    const double median = 0.5 * (s->values[s->count / 2] + s->values[(s->count - 1) / 2]);
    const double beta = (double)s->count / (double)ecki_max(s->rows, s->cols);
    const double threshold = fmax(ecki_hard_threshold(beta) * median, s->tolerance);
    while (rank < s->count && s->values[rank] > threshold)
        rank++;
    return rank;
}
