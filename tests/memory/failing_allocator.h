/**
 * Runs a scenario again and again while its allocations fail: with 0, 1, 2, ... of them granted and
 * all later ones refused, then with only the first, second, third, ... refused, until none is.
 * Every run that was refused something must return ECK_E_NOMEM with the error filled, and give back
 * all it holds; refused one alone, it may also succeed, if that one was not needed (clearing away
 * what others left behind), with the right result. Covered is what goes through the library's
 * allocator: its own memory and that of the JSON reader. BLAS, libcrypto and libzip have theirs.
 */
#ifndef FAILING_ALLOCATOR_H
#define FAILING_ALLOCATOR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eckart/status.h"

/**
 * What is tried. Builds its inputs, calls the library, checks that outputs are untouched unless it
 * succeeded (assert_untouched) and right if it did, frees everything, returns the first failure.
 * May be run any number of times, and must behave alike each time.
 */
typedef eck_status (*memory_scenario)(void *self, eck_error *err);

/** Runs the scenario until it succeeds both ways; fails the cmocka test on any breach, naming the
 * allocation. */
void fail_every_allocation(const char *name, memory_scenario scenario, void *self);

/** What an output pointer holds before the call: memory nobody may touch. */
extern char untouched_mark;
#define UNTOUCHED ((void *)&untouched_mark)

/** After a call: a failed one left the output alone. Sets it to NULL then, so that it can be freed
 * unseen. */
#define assert_untouched(status, output) \
    do { \
        if ((status) != ECK_OK) { \
            assert_ptr_equal((output), UNTOUCHED); \
            (output) = NULL; \
        } \
    } while (0)

#endif
