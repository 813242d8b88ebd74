// Error and energy against rank, as a table for other programs.
#include <math.h>

#include "base/memory.h"
#include "base/text.h"
#include "eckart/report.h"

// tails[k] = sum_{i >= k} (s_i / s_0)^2, summed from the smallest up; all 0 when s_0 is.
static void tail_sums(double *tails, const double *values, int64_t count)
{
    tails[count] = 0;
    for (int64_t k = count - 1; k >= 0; k--) {
        const double ratio = values[0] > 0 ? values[k] / values[0] : 0;
        tails[k] = tails[k + 1] + ratio * ratio;
    }
}

eck_status eck_report_curve(char **out, const double *values, int64_t count, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_text text = { NULL, 0, 0, false };
    double *tails = NULL;

    ECK_ALLOC_RAW(tails, count + 1);
    tail_sums(tails, values, count);
    ecki_text_add(&text, "k,sigma,error,energy\n", -1);
    // error(k)^2 = tails[k] / tails[0]; energy = 1 - error^2
    for (int64_t k = 1; k <= count; k++) {
        const double part = tails[0] > 0 ? tails[k] / tails[0] : 0;
        ecki_text_printf(&text, "%lld,%.17g,%.17g,%.17g\n", (long long)k, values[k - 1], sqrt(part),
                         1 - part);
    }
    char *const taken = ecki_text_take(&text);
    ECK_HAVE(taken);
    *out = taken;
done:
    ecki_text_clear(&text);
    ecki_free(tails);
    return status;
}
