/** The cache lies where the environment says, in the order documented. */
#include "scene.h"

#include <stdlib.h>
#include <string.h>

static void expect(const char *own, const char *xdg, const char *home, const char *path)
{
    char *found = NULL;
    setenv("ECKART_CACHE", own, 1);
    setenv("XDG_CACHE_HOME", xdg, 1);
    setenv("HOME", home, 1);
    OK(eck_cache_default(&found, err_));
    assert_string_equal(found, path);
    eck_text_free(found);
}

static void order_of_variables(void **state)
{
    (void)state;
    char *found = NULL;
    expect("/own", "/xdg", "/users/me", "/own");
    expect("", "/xdg", "/users/me", "/xdg/eckart");
    expect("", "", "/users/me", "/users/me/.cache/eckart");
    setenv("HOME", "", 1);
    REFUSED(ECK_E_RANGE, "HOME", eck_cache_default(&found, err_));
    assert_null(found);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(order_of_variables) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
