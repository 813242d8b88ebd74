/** The names of methods: one vocabulary for option, plan, manifest and report. */
#include <string.h>

#include "base/error.h"
#include "base/text.h"
#include "eckart/decompose.h"

static const char *const NAMES[] = {
    [ECK_METHOD_DENSE] = "dense",     [ECK_METHOD_SVD] = "svd",
    [ECK_METHOD_SPATIAL] = "spatial", [ECK_METHOD_TUCKER1] = "tucker1",
    [ECK_METHOD_TUCKER2] = "tucker2", [ECK_METHOD_CP] = "cp",
    [ECK_METHOD_TT] = "tt",           [ECK_METHOD_DEPTHWISE] = "depthwise",
};

enum { COUNT = sizeof NAMES / sizeof *NAMES };

const char *eck_method_name(eck_method method)
{
    return (int)method >= 0 && (int)method < COUNT ? NAMES[method] : "?";
}

eck_status eck_method_parse(eck_method *out, const char *name, eck_error *err)
{
    char shown[64];

    for (int i = 0; i < COUNT; i++)
        if (strcmp(name, NAMES[i]) == 0) {
            *out = (eck_method)i;
            return ECK_OK;
        }
    ecki_name_escape(shown, sizeof shown, name);
    return ecki_error(err, ECK_E_RANGE, -1,
                      "unknown method '%s', known are dense, svd, spatial, tucker1, tucker2, cp, "
                      "tt and depthwise",
                      shown);
}
