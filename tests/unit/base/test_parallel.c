// Every index runs once, in rising order of starting; which failure is returned does not depend on
// timing; the BLAS has one thread inside and the host's number after.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/parallel.h"

enum { COUNT = 1000 };

typedef struct record {
    int64_t fails_from, fails_every; // indices >= fails_from that the divisor divides fail
    int runs[COUNT];
    atomic_int started;
    atomic_int most_at_once, at_once;
} record;

static eck_status visit(void *self, int64_t index, eck_error *err)
{
    record *const seen = self;
    seen->runs[index]++;
    atomic_fetch_add(&seen->started, 1);
    const int now = atomic_fetch_add(&seen->at_once, 1) + 1;
    int most = atomic_load(&seen->most_at_once);
    while (now > most && !atomic_compare_exchange_weak(&seen->most_at_once, &most, now)) {}
    if (index % 100 == 0) usleep(200); // let the others overtake
    atomic_fetch_sub(&seen->at_once, 1);
    if (index >= seen->fails_from && index % seen->fails_every == 0)
        return ecki_error(err, ECK_E_SOLVER, index, "index %d", (int)index);
    return ECK_OK;
}

static void each_index_once(void **state)
{
    (void)state;
    const int32_t threads[] = { -1, 0, 1, 2, 3, 7, 64 };
    const int64_t counts[] = { 0, 1, 2, 5, COUNT };
    for (size_t t = 0; t < sizeof threads / sizeof threads[0]; t++) {
        for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
            record seen = { .fails_from = INT64_MAX, .fails_every = 1 };
            assert_int_equal(ecki_parallel_for(counts[c], threads[t], visit, &seen, NULL), ECK_OK);
            for (int64_t i = 0; i < COUNT; i++)
                assert_int_equal(seen.runs[i], i < counts[c]);
            assert_true(seen.most_at_once <= (threads[t] > 1 ? threads[t] : 1));
        }
    }
}

static void lowest_failure(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        const int32_t threads = 1 + round % 6;
        record seen = { .fails_from = 3 + 7 * round, .fails_every = 1 + round % 2 };
        eck_error err = ECK_ERROR_INIT;
        const int64_t first =
            seen.fails_every == 1 ? seen.fails_from : (seen.fails_from + 1) / 2 * 2;
        assert_int_equal(ecki_parallel_for(COUNT, threads, visit, &seen, &err), ECK_E_SOLVER);
        assert_int_equal(err.status, ECK_E_SOLVER);
        assert_true(err.offset == first);
        char wanted[32];
        snprintf(wanted, sizeof wanted, "index %d", (int)first);
        assert_string_equal(err.message, wanted);
        for (int64_t i = 0; i <= first; i++)
            assert_int_equal(seen.runs[i], 1); // all below have run
        // Indices start in rising order, so none runs with an unvisited one below it.
        const int started = seen.started;
        for (int64_t i = 0; i < COUNT; i++)
            assert_int_equal(seen.runs[i], i < started);
    }
}

static void stops_at_a_failure(void **state)
{
    (void)state;
    record seen = { .fails_from = 0, .fails_every = 1 };
    assert_int_equal(ecki_parallel_for(COUNT, 4, visit, &seen, NULL), ECK_E_SOLVER);
    // Each thread runs at most the task it had when the first failed... and all fail at once here.
    assert_in_range(seen.started, 1, 4);
}

static void an_error_of_success_is_not_handed_on(void **state)
{
    (void)state;
    record seen = { .fails_from = INT64_MAX, .fails_every = 1 };
    eck_error err;
    memset(&err, 'x', sizeof err);
    eck_error before = err;
    assert_int_equal(ecki_parallel_for(COUNT, 3, visit, &seen, &err), ECK_OK);
    assert_memory_equal(&err, &before, sizeof err);
}

typedef struct nest {
    atomic_int wrong, inner;
} nest;

static eck_status inner_task(void *self, int64_t index, eck_error *err)
{
    (void)index;
    (void)err;
    const pthread_t *const outer = self;
    return pthread_equal(*outer, pthread_self()) ? ECK_OK : ECK_E_RANGE;
}

static eck_status outer_task(void *self, int64_t index, eck_error *err)
{
    nest *const seen = self;
    pthread_t me = pthread_self();
    if (ecki_parallel_for(20, 8, inner_task, &me, err) != ECK_OK) atomic_fetch_add(&seen->wrong, 1);
    atomic_fetch_add(&seen->inner, 1);
    (void)index;
    return ECK_OK;
}

static void nested_calls_stay_on_their_thread(void **state)
{
    (void)state;
    nest seen = { 0, 0 };
    assert_int_equal(ecki_parallel_for(30, 4, outer_task, &seen, NULL), ECK_OK);
    assert_int_equal(seen.wrong, 0);
    assert_int_equal(seen.inner, 30);
}

// Calls a function of the process that takes nothing and returns a number; -1 if there is none of
// that name.
static int ask(const char *name)
{
    int (*get)(void) = NULL;
    void *const found = dlsym(RTLD_DEFAULT, name);
    memcpy(&get, &found, sizeof get);
    return get ? get() : -1;
}

// The thread count of an OpenBLAS as it reports it; -1 if the BLAS is another one.
static int blas_threads(void)
{
    return ask("openblas_get_num_threads");
}

static void set_blas_threads(int threads)
{
    void (*set)(int) = NULL;
    void *const found = dlsym(RTLD_DEFAULT, "openblas_set_num_threads");
    memcpy(&set, &found, sizeof set);
    if (set) set(threads);
}

// True if the linked BLAS is an OpenBLAS with threads of its own, whose count can be read at any
// time.
static bool blas_is_posix(void)
{
    return ask("openblas_get_parallel") == 1;
}

// True if a BLAS call from here would run on this thread alone, by what either kind of BLAS goes
// by.
static bool blas_is_alone(void)
{
    if (blas_is_posix()) return blas_threads() == 1;
    return ask("omp_in_parallel") == 1 || ask("omp_get_max_threads") == 1;
}

static eck_status blas_task(void *self, int64_t index, eck_error *err)
{
    (void)index;
    (void)err;
    atomic_int *const wrong = self;
    if (!blas_is_alone()) atomic_fetch_add(wrong, 1);
    const int32_t saved = ecki_blas_enter(5);
    if (!blas_is_alone()) atomic_fetch_add(wrong, 1);
    ecki_blas_leave(saved);
    if (!blas_is_alone()) atomic_fetch_add(wrong, 1);
    return ECK_OK;
}

static void blas_has_one_thread_inside(void **state)
{
    (void)state;
    printf("BLAS: %s, %s\n", eck_blas_description(),
           blas_is_posix() ? "POSIX threads" : "not on POSIX threads");
    assert_true(strlen(eck_blas_description()) > 0);
    assert_ptr_equal(eck_blas_description(), eck_blas_description());
    set_blas_threads(3);
    const int before = blas_threads();
    const int openmp_before = ask("omp_get_max_threads");
    for (int32_t threads = 1; threads < 4; threads++) {
        atomic_int wrong = 0;
        assert_int_equal(ecki_parallel_for(40, threads, blas_task, &wrong, NULL), ECK_OK);
        assert_int_equal(wrong, 0);
        assert_int_equal(blas_threads(), before);
        assert_int_equal(ask("omp_get_max_threads"), openmp_before);
    }
}

static void blas_threads_are_put_back(void **state)
{
    (void)state;
    set_blas_threads(3);
    const int before = blas_threads();
    const int32_t outer = ecki_blas_enter(2);
    if (blas_is_posix()) assert_int_equal(blas_threads(), 2);
    const int32_t inner = ecki_blas_enter(1);
    if (blas_is_posix()) assert_int_equal(blas_threads(), 1);
    ecki_blas_leave(inner);
    if (blas_is_posix()) assert_int_equal(blas_threads(), 2);
    ecki_blas_leave(outer);
    assert_int_equal(blas_threads(), before);
}

static void *enter_and_leave(void *unused)
{
    (void)unused;
    for (int i = 0; i < 500; i++)
        ecki_blas_leave(ecki_blas_enter(1 + i % 3));
    return NULL;
}

static void threads_of_the_host_may_overlap(void **state)
{
    (void)state;
    set_blas_threads(3);
    const int before = blas_threads();
    pthread_t others[3];
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&others[i], NULL, enter_and_leave, NULL), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(others[i], NULL);
    assert_int_equal(blas_threads(), before);
}

static void thread_counts(void **state)
{
    (void)state;
    eck_context context = ECK_CONTEXT_INIT;
    assert_true(ecki_threads(NULL) >= 1);
    assert_int_equal(ecki_threads(&context), ecki_threads(NULL));
    context.threads = 3;
    assert_int_equal(ecki_threads(&context), 3);
    context.threads = INT32_MAX;
    assert_int_equal(ecki_threads(&context), 1024);
    context.threads = -5;
    assert_int_equal(ecki_threads(&context), ecki_threads(NULL));
}

typedef struct listener {
    const eck_context *context;
    int calls, busy, overlaps; // not atomic: the promise is that they need not be
    int64_t cancel_at, last;
} listener;

static bool listen(void *user, const char *what, int64_t done, int64_t total)
{
    listener *const self = user;
    if (self->busy++) self->overlaps++;
    assert_string_equal(what, "layers");
    assert_true(total == 100);
    self->calls++;
    self->last = done;
    self->busy--;
    return self->calls != self->cancel_at;
}

static eck_status report_task(void *self, int64_t index, eck_error *err)
{
    const listener *const heard = self;
    return ecki_progress(heard->context, "layers", index, 100, err);
}

static void progress_comes_one_at_a_time(void **state)
{
    (void)state;
    listener heard = { .cancel_at = -1 };
    const eck_context context = { 1, 0, 0, listen, &heard };
    heard.context = &context;
    assert_int_equal(ecki_parallel_for(100, 4, report_task, &heard, NULL), ECK_OK);
    assert_int_equal(heard.calls, 100);
    assert_int_equal(heard.overlaps, 0);
}

static void progress_cancels(void **state)
{
    (void)state;
    eck_error err = ECK_ERROR_INIT;
    listener heard = { .cancel_at = 3 };
    const eck_context context = { 1, 0, 0, listen, &heard };
    heard.context = &context;
    assert_int_equal(ecki_parallel_for(100, 1, report_task, &heard, &err), ECK_E_CANCELLED);
    assert_int_equal(heard.calls, 3);
    assert_string_equal(err.message, "cancelled at layers 2 of 100");
    const eck_context silent = ECK_CONTEXT_INIT;
    assert_int_equal(ecki_progress(NULL, "layers", 1, 2, &err), ECK_OK);
    assert_int_equal(ecki_progress(&silent, "layers", 1, 2, &err), ECK_OK);
}

static void the_clock_moves_on(void **state)
{
    (void)state;
    const double start = ecki_clock();
    usleep(2000);
    const double passed = ecki_clock() - start;
    assert_true(passed >= 0.002);
    assert_true(passed < 60.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_index_once),
        cmocka_unit_test(lowest_failure),
        cmocka_unit_test(stops_at_a_failure),
        cmocka_unit_test(an_error_of_success_is_not_handed_on),
        cmocka_unit_test(nested_calls_stay_on_their_thread),
        cmocka_unit_test(blas_has_one_thread_inside),
        cmocka_unit_test(blas_threads_are_put_back),
        cmocka_unit_test(threads_of_the_host_may_overlap),
        cmocka_unit_test(thread_counts),
        cmocka_unit_test(progress_comes_one_at_a_time),
        cmocka_unit_test(progress_cancels),
        cmocka_unit_test(the_clock_moves_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
