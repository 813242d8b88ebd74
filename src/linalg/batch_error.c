// The relative error of one matrix of a batch, from its factors as they are handed out.
#include <math.h>

#include "linalg/batch_job.h"
#include "tensor/codec.h"

int64_t ecki_batch_error_room(const ecki_batch_job *job)
{
    return job->rows * job->cols + job->kept * (job->rows + job->cols + 1) + job->cols;
}

// All is scaled by the power of two that brings A near 1.
double ecki_batch_error(double *room, const ecki_batch_job *job, int64_t index)
{
    const int64_t m = job->rows, n = job->cols, k = job->kept;
    double *const a = room, *const u = a + m * n, *const s = u + m * k, *const vt = s + k;
    double *const row = vt + k * n;
    double most = 0.0, rest = 0.0, norm = 0.0;
    ecki_widen_f64(job->real, ecki_batch_place(job, job->out->u, index, m * k), 1, u, m * k);
    ecki_widen_f64(job->real, ecki_batch_place(job, job->out->s, index, k), 1, s, k);
    ecki_widen_f64(job->real, ecki_batch_place(job, job->out->vt, index, k * n), 1, vt, k * n);
    for (int64_t i = 0; i < m * n; i++)
        most = fmax(most, fabs(a[i]));
    if (most == 0.0) return 0.0;
    const int exponent = -ilogb(most);
    for (int64_t i = 0; i < m; i++) {
        for (int64_t j = 0; j < n; j++) {
            row[j] = ldexp(a[i * n + j], exponent);
            norm += row[j] * row[j];
        }
        for (int64_t p = 0; p < k; p++) {
            const double along = u[i * k + p] * ldexp(s[p], exponent);
            for (int64_t j = 0; j < n; j++)
                row[j] -= along * vt[p * n + j];
        }
        for (int64_t j = 0; j < n; j++)
            rest += row[j] * row[j];
    }
    const double error = sqrt(rest / norm);
    return isfinite(error) ? error : INFINITY; // a value beyond the type is infinity
}
