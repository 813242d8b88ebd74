// What the library says of itself.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "eckart/context.h"

static void version(void **state)
{
    (void)state;
    assert_string_equal(eck_version(), ECKI_VERSION);
    assert_ptr_equal(eck_version(), eck_version());
}

static void text_is_freed(void **state)
{
    (void)state;
    const int64_t before = ecki_memory_now();
    eck_text_free(NULL);
    eck_text_free(ecki_strdup("some text"));
    assert_true(ecki_memory_now() == before);
}

static void defaults(void **state)
{
    (void)state;
    const eck_context context = ECK_CONTEXT_INIT;
    assert_int_equal(context.version, 1);
    assert_int_equal(context.threads, 0);
    assert_true(context.memory == 0);
    assert_true(context.progress == NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version),
        cmocka_unit_test(text_is_freed),
        cmocka_unit_test(defaults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
