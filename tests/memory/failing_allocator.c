// The allocator of the host, made to fail. It counts the requests of a run, and refuses by number;
// blocks that live are counted so that nothing can stay behind. Threads may allocate at once: which
// of them is refused is then a matter of timing, what must follow is not.
#include "failing_allocator.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eckart/context.h"

enum { MOST = 100000 }; // a scenario that asks more often is too large to be tried so often

char untouched_mark;

static atomic_int_least64_t requests; // in this run
static atomic_int_least64_t refusals; // in this run
static atomic_int_least64_t live; // blocks
static int64_t first_refused, last_refused; // the requests refused: first <= number < last, from 0

// Counts a request; true if it is to be refused.
static bool refuse(void)
{
    const int64_t number = atomic_fetch_add(&requests, 1);
    if (number < first_refused || number >= last_refused) return false;
    atomic_fetch_add(&refusals, 1);
    return true;
}

static void *allocate(void *user, size_t bytes)
{
    (void)user;
    if (refuse()) return NULL;
    void *const memory = malloc(bytes);
    if (!memory) return NULL;
    memset(memory, 0xa7, bytes); // what is read before it is written shows
    atomic_fetch_add(&live, 1);
    return memory;
}

static void *reallocate(void *user, void *memory, size_t bytes)
{
    if (!memory) return allocate(user, bytes);
    return refuse() ? NULL : realloc(memory, bytes);
}

static void release(void *user, void *memory)
{
    (void)user;
    if (!memory) return;
    atomic_fetch_sub(&live, 1);
    free(memory);
}

// Runs the scenario with requests [first, last) refused. Returns true if it asked for none of them.
static bool run(const char *name, memory_scenario scenario, void *self, int64_t first, int64_t last)
{
    first_refused = first;
    last_refused = last;
    atomic_store(&requests, 0);
    atomic_store(&refusals, 0);
    eck_error err = ECK_ERROR_INIT;
    const int64_t before = atomic_load(&live);
    const eck_status status = scenario(self, &err);
    const bool refused = atomic_load(&refusals) > 0;
    const char *const how = last - first == 1 ? "only" : "from";
    const int64_t left = atomic_load(&live) - before;
    if (left != 0)
        fail_msg("%s, %s allocation %lld refused: %lld blocks left", name, how, (long long)first,
                 (long long)left);
    if (!refused && status != ECK_OK) fail_msg("%s fails by itself: %s", name, err.message);
    // Without one of them alone the library may do, where it was not needed; the scenario checks
    // what it got.
    if (refused && status == ECK_OK && last - first == 1) return false;
    if (refused && status != ECK_E_NOMEM)
        fail_msg("%s, %s allocation %lld refused: status '%s' (%s)", name, how, (long long)first,
                 eck_status_name(status), err.message);
    if (refused && (err.status != ECK_E_NOMEM || !err.message[0]))
        fail_msg("%s, %s allocation %lld refused: the error says '%s' (%s)", name, how,
                 (long long)first, eck_status_name(err.status), err.message);
    return !refused;
}

void fail_every_allocation(const char *name, memory_scenario scenario, void *self)
{
    const eck_allocator poor = { 1, allocate, reallocate, release, NULL };
    // Once unharmed, so that what is set up on first use (locales, tables of the JSON reader) is.
    assert_int_equal(eck_allocator_set(&poor), ECK_OK);
    assert_true(run(name, scenario, self, INT64_MAX, INT64_MAX));
    const int64_t asked = atomic_load(&requests);
    int64_t all = 0, one = 0;
    while (!run(name, scenario, self, all, INT64_MAX))
        assert_true(++all < MOST);
    while (!run(name, scenario, self, one, one + 1))
        assert_true(++one < MOST);
    assert_int_equal(eck_allocator_set(NULL), ECK_OK);
    printf("%s: %lld allocations, each refused, with those after it and alone\n", name,
           (long long)asked);
    assert_true(all > 0 && one > 0); // a scenario that asks for nothing shows nothing
}
