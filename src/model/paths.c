/** Where the cache lies unless told otherwise. */
#include <stdlib.h>

#include "base/memory.h"
#include "eckart/model.h"
#include "format/cache.h"

/** An environment variable, or NULL when unset or empty. */
static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] ? value : NULL;
}

eck_status eck_cache_default(char **out, eck_error *err)
{
    eck_status status = ECK_OK;
    char *path = NULL;
    ecki_cache *cache = NULL;
    const char *own = variable("ECKART_CACHE"), *xdg = variable("XDG_CACHE_HOME"),
               *home = variable("HOME");

    ECK_REQUIRE(own || xdg || home, ECK_E_RANGE, -1,
                "no place for the cache: HOME is not set; name a directory or do without");
    if (own)
        path = ecki_strdup(own);
    else
        path = xdg ? ecki_format("%s/eckart", xdg) : ecki_format("%s/.cache/eckart", home);
    ECK_HAVE(path);
    ECK_TRY(ecki_cache_open(&cache, path, err));
    *out = path;
    path = NULL;
done:
    ecki_cache_close(cache);
    ecki_free(path);
    return status;
}
