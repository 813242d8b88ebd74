/**
 * Threads: the only place that knows OpenMP or the threads of the BLAS. The host's BLAS thread
 * count is put back.
 */
#ifndef ECKI_PARALLEL_H
#define ECKI_PARALLEL_H

#include <stdint.h>

#include "base/error.h"
#include "eckart/context.h"

/** Threads a context asks for: at least 1; 0 = processors this process may run on. */
int32_t ecki_threads(const eck_context *context);

typedef eck_status (*ecki_task)(void *self, int64_t index, eck_error *err);

/**
 * Runs task(self, 0..count-1), each once, on at most `threads` threads, handed out in rising order.
 * BLAS calls inside run on one thread. After the first failure no new index starts; the failure of
 * the lowest index is returned. Nested calls run on the calling thread alone.
 */
eck_status ecki_parallel_for(int64_t count, int32_t threads, ecki_task task, void *self,
                             eck_error *err);

/**
 * One step of waiting for a task with a lower index, `waited` steps so far: the processor rests a moment; after a
 * thousand steps, some ten microseconds, it is lent to another thread.
 */
void ecki_wait_step(int64_t waited);

/** Threads that a product of the BLAS may use here, and what is done beside it: 1 inside a parallel_for. */
int32_t ecki_crew(void);

/** Lets BLAS use `threads` threads until ecki_blas_leave() gets the returned value back. 1 inside a
 * parallel_for. */
int32_t ecki_blas_enter(int32_t threads);
void ecki_blas_leave(int32_t saved);

/** The same for a library that asks OpenMP how many threads there are. */
int32_t ecki_openmp_enter(int32_t threads);
void ecki_openmp_leave(int32_t saved);

/** Progress, from any thread, one at a time; ECK_E_CANCELLED if the caller says so. context may be
 * NULL. */
eck_status ecki_progress(const eck_context *context, const char *what, int64_t done, int64_t total,
                         eck_error *err);

/** Seconds of a monotonic clock. */
double ecki_clock(void);

#endif
