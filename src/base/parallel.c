// Threads by OpenMP, and the threads of the BLAS. Always true: while `inside` is set the calling
// thread runs a task of ecki_parallel_for, whose BLAS calls get one thread; when the last of our
// calls has left, the BLAS has the number of threads the host had given it.
//
// An OpenBLAS built on POSIX threads has one number for the whole process, set under a lock. Any
// other BLAS we know (OpenBLAS on OpenMP, MKL, BLIS) follows OpenMP: the number belongs to the
// calling thread and is 1 in a parallel region.
#include "base/parallel.h"

#include <dlfcn.h>
#include <omp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 1024, OPENBLAS_POSIX = 1 };

typedef int get_number(void);
typedef void set_number(int);
typedef char *get_text(void);

// What the BLAS of this process offers; NULL where it does not.
typedef struct blas_control {
    get_number *threads; // only for OpenBLAS on POSIX threads
    set_number *set_threads;
    char description[256];
} blas_control;

static blas_control blas;
static pthread_once_t blas_once = PTHREAD_ONCE_INIT;

static pthread_mutex_t blas_lock = PTHREAD_MUTEX_INITIALIZER;
static int32_t blas_depth; // enters without their leave, under blas_lock
static int32_t blas_host; // the host's number, while blas_depth > 0

static pthread_once_t progress_once = PTHREAD_ONCE_INIT;
static pthread_mutex_t progress_lock;

static _Thread_local bool inside;

// A function of the linked BLAS by name: dlsym sees what the linker would have bound.
static void *find(const char *name)
{
    return dlsym(RTLD_DEFAULT, name);
}

static void describe_blas(void)
{
    // POSIX wants dlsym's pointer copied, since C has no conversion from object to function.
    get_text *config = NULL;
    get_text *core = NULL;
    void *found = find("openblas_get_config");
    memcpy(&config, &found, sizeof config);
    found = find("openblas_get_corename");
    memcpy(&core, &found, sizeof core);
    const char *const name = config ? config() : "unknown";
    if (core && !strstr(name, core()))
        snprintf(blas.description, sizeof blas.description, "%s %s", name, core());
    else
        snprintf(blas.description, sizeof blas.description, "%s", name);
}

static void find_blas(void)
{
    get_number *parallel = NULL;
    void *found = find("openblas_get_parallel");
    memcpy(&parallel, &found, sizeof parallel);
    void *const get = find("openblas_get_num_threads");
    void *const set = find("openblas_set_num_threads");
    if (parallel && get && set && parallel() == OPENBLAS_POSIX) {
        memcpy(&blas.threads, &get, sizeof blas.threads);
        memcpy(&blas.set_threads, &set, sizeof blas.set_threads);
    }
    describe_blas();
}

const char *eck_blas_description(void)
{
    pthread_once(&blas_once, find_blas);
    return blas.description;
}

int32_t ecki_threads(const eck_context *context)
{
    if (context && context->threads > 0)
        return context->threads < THREADS_MAX ? context->threads : THREADS_MAX;
    cpu_set_t allowed;
    const bool known = sched_getaffinity(0, sizeof allowed, &allowed) == 0;
    const long count = known ? CPU_COUNT(&allowed) : sysconf(_SC_NPROCESSORS_ONLN);
    if (count < 1) return 1;
    return count < THREADS_MAX ? (int32_t)count : THREADS_MAX;
}

// Sets the number; returns the one before.
static int32_t blas_set(int32_t threads)
{
    if (!blas.threads) {
        const int32_t saved = omp_get_max_threads();
        omp_set_num_threads(threads);
        return saved;
    }
    pthread_mutex_lock(&blas_lock);
    const int32_t saved = blas.threads();
    if (blas_depth++ == 0) blas_host = saved;
    if (saved != threads) blas.set_threads(threads);
    pthread_mutex_unlock(&blas_lock);
    return saved;
}

static void blas_restore(int32_t saved)
{
    if (!blas.threads) {
        omp_set_num_threads(saved);
        return;
    }
    // Calls of two host threads may overlap, so that `saved` is the other's number: the last one to
    // leave knows better.
    pthread_mutex_lock(&blas_lock);
    const int32_t wanted = --blas_depth == 0 ? blas_host : saved;
    if (blas.threads() != wanted) blas.set_threads(wanted);
    pthread_mutex_unlock(&blas_lock);
}

int32_t ecki_crew(void)
{
    pthread_once(&blas_once, find_blas);
    const int32_t count = inside ? 1 : blas.threads ? blas.threads() : omp_get_max_threads();
    return count < 1 ? 1 : count < THREADS_MAX ? count : THREADS_MAX;
}

int32_t ecki_blas_enter(int32_t threads)
{
    pthread_once(&blas_once, find_blas);
    if (inside) return 0;
    return blas_set(threads > 0 ? threads : 1);
}

void ecki_blas_leave(int32_t saved)
{
    if (saved > 0) blas_restore(saved);
}

int32_t ecki_openmp_enter(int32_t threads)
{
    if (inside) return 0;
    const int32_t saved = omp_get_max_threads();
    omp_set_num_threads(threads > 0 ? threads : 1);
    return saved;
}

void ecki_openmp_leave(int32_t saved)
{
    if (saved > 0) omp_set_num_threads(saved);
}

// What the threads of one ecki_parallel_for share.
typedef struct task_crew {
    int64_t count;
    ecki_task task;
    void *self;
    atomic_int_least64_t next; // the next index to hand out
    atomic_bool failed;
    pthread_mutex_t lock; // guards the three below
    int64_t failed_index;
    eck_status status;
    eck_error error;
} task_crew;

// Keeps the failure of the lowest index.
static void crew_fail(task_crew *crew, int64_t index, eck_status status, const eck_error *error)
{
    atomic_store(&crew->failed, true);
    pthread_mutex_lock(&crew->lock);
    if (index < crew->failed_index) {
        crew->failed_index = index;
        crew->status = status;
        crew->error = *error;
    }
    pthread_mutex_unlock(&crew->lock);
}

// Runs tasks until none is left or one has failed. Indices are handed out in rising order and a
// started task runs to its end, so every index below a failed one has run: which failure is the
// lowest does not depend on timing.
static void crew_work(task_crew *crew)
{
    const bool was_inside = inside;
    inside = true;
    while (!atomic_load(&crew->failed)) {
        const int64_t index = atomic_fetch_add(&crew->next, 1);
        if (index >= crew->count) break;
        eck_error error = ECK_ERROR_INIT;
        const eck_status status = crew->task(crew->self, index, &error);
        if (status != ECK_OK) crew_fail(crew, index, status, &error);
    }
    inside = was_inside;
}

void ecki_wait_step(int64_t waited)
{
    if (waited < 1000)
        ECKI_REST();
    else
        sched_yield();
}

eck_status ecki_parallel_for(int64_t count, int32_t threads, ecki_task task, void *self,
                             eck_error *err)
{
    task_crew crew = { .count = count,
                       .task = task,
                       .self = self,
                       .lock = PTHREAD_MUTEX_INITIALIZER,
                       .failed_index = INT64_MAX,
                       .status = ECK_OK,
                       .error = ECK_ERROR_INIT };
    const int32_t useful = threads < count ? threads : (int32_t)(count > 0 ? count : 1);
    const int32_t saved = ecki_blas_enter(1);
    if (inside || useful <= 1) {
        crew_work(&crew);
    } else {
#pragma omp parallel num_threads(useful)
        crew_work(&crew);
    }
    ecki_blas_leave(saved);
    pthread_mutex_destroy(&crew.lock);
    if (crew.status != ECK_OK && err) *err = crew.error;
    return crew.status;
}

// Recursive, since a progress function may itself call the library.
static void progress_lock_init(void)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&progress_lock, &attributes);
    pthread_mutexattr_destroy(&attributes);
}

eck_status ecki_progress(const eck_context *context, const char *what, int64_t done, int64_t total,
                         eck_error *err)
{
    if (!context || !context->progress) return ECK_OK;
    pthread_once(&progress_once, progress_lock_init);
    pthread_mutex_lock(&progress_lock);
    const bool go_on = context->progress(context->user, what, done, total);
    pthread_mutex_unlock(&progress_lock);
    if (go_on) return ECK_OK;
    return ecki_error(err, ECK_E_CANCELLED, -1, "cancelled at %s %lld of %lld", what,
                      (long long)done, (long long)total);
}

double ecki_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}
