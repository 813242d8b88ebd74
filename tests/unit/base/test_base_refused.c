// What base allocates for others, each request for memory refused in turn.
#include "memory/failing_allocator.h"

#include <string.h>

#include "base/hash.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/text.h"

static eck_status text_scenario(void *self, eck_error *err)
{
    (void)self;
    eck_status status = ECK_OK;
    ecki_text text = { 0 };
    char *copy = NULL;
    char *made = NULL;
    char *whole = NULL;

    copy = ecki_strdup("copied");
    ECK_HAVE(copy);
    made = ecki_format("%s %d", copy, 5);
    ECK_HAVE(made);
    for (int i = 0; i < 200; i++)
        ecki_text_printf(&text, "%s %d, ", made, i);
    ecki_text_add(&text, "end", -1);
    whole = ecki_text_take(&text);
    ECK_HAVE(whole);
    assert_string_equal(whole + strlen(whole) - 3, "end");
done:
    ecki_text_clear(&text);
    ecki_free(copy);
    ecki_free(made);
    ecki_free(whole);
    return status;
}

static void text(void **state)
{
    (void)state;
    fail_every_allocation("text", text_scenario, NULL);
}

static eck_status hash_scenario(void *self, eck_error *err)
{
    (void)self;
    ecki_hash *hash = UNTOUCHED;
    const eck_status status = ecki_hash_create(&hash, err);
    assert_untouched(status, hash);
    ecki_hash_free(hash);
    return status;
}

static void hash(void **state)
{
    (void)state;
    fail_every_allocation("hash", hash_scenario, NULL);
}

static eck_status allocating_task(void *self, int64_t index, eck_error *err)
{
    (void)self;
    eck_status status = ECK_OK;
    double *first = NULL;
    double *second = NULL;

    ECK_ALLOC(first, 10 + index);
    ECK_ALLOC_RAW(second, 1000);
    second[999] = first[index];
done:
    ecki_free(first);
    ecki_free(second);
    return status;
}

static eck_status tasks_scenario(void *self, eck_error *err)
{
    const int32_t *const threads = self;
    return ecki_parallel_for(8, *threads, allocating_task, NULL, err);
}

static void tasks(void **state)
{
    (void)state;
    int32_t threads = 1;
    fail_every_allocation("tasks on one thread", tasks_scenario, &threads);
    threads = 3;
    fail_every_allocation("tasks on three threads", tasks_scenario, &threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text),
        cmocka_unit_test(hash),
        cmocka_unit_test(tasks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
