/**
 * Ranks from a model of noise: a matrix of low rank plus independent noise of one variance. Weights are no such matrices;
 * the rules are offered, never a default (docs/methods/rank-rules.md).
 */
#ifndef ECKI_NOISE_H
#define ECKI_NOISE_H

#include <stdint.h>

#include "eckart/svd.h"

/** tau of empirical variational Bayes: root of Phi(t) + Phi(t / alpha) = 0, Phi(z) = log(1 + z) / z - 1/2; 0 < alpha <=
 *  1 is the ratio of the sides. */
double ecki_evb_tau(double alpha);

/** Values above the threshold of empirical variational Bayes, the noise found by minimising the free energy. */
int64_t ecki_rank_evbmf(const eck_spectrum_info *spectrum);

/** Threshold over median singular value that minimises the asymptotic squared error, 0 < beta <= 1 the ratio of the
 *  sides: 2.858 for a square matrix. */
double ecki_hard_threshold(double beta);

/** Values above the optimal hard threshold for unknown noise. */
int64_t ecki_rank_hard_threshold(const eck_spectrum_info *spectrum);

#endif
