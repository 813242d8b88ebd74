// Bytes as an adapter: a safetensors file of kohya or diffusers; or, where they begin with a brace, adapter_config.json
// up to a zero byte and adapter_model.safetensors behind it. What opens has modules whose shapes hold together, whose
// factors load with those shapes, and which resize to rank 1 with an error that is a number.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "model/adapter_parts.h"
#include "opened.h"

enum { NUMBERS_MAX = 1 << 16 }; // of the factors that are multiplied

static const eck_context one_thread = { 1, 1, 0, NULL, NULL };

// Where the weights begin: behind the configuration's zero byte, or at the start.
static size_t config_length(const uint8_t *bytes, size_t count)
{
    const uint8_t *zero = count > 0 && bytes[0] == '{' ? memchr(bytes, 0, count) : NULL;
    return zero ? (size_t)(zero - bytes) : 0;
}

static eck_status open_config(eck_adapter *adapter, const uint8_t *bytes, size_t length,
                              eck_error *err)
{
    if (length == 0) return ECK_OK;
    char *text = ecki_strndup((const char *)bytes, (int64_t)length);
    promise(text, "memory for the configuration");
    const eck_status status =
        ecki_adapter_config_parse(adapter, text, (int64_t)length, "adapter_config.json", err);
    adapter->layout = ECK_ADAPTER_PEFT;
    ecki_free(text);
    return status;
}

static eck_status open_adapter(eck_adapter **out, const uint8_t *bytes, size_t count,
                               eck_error *err)
{
    eck_adapter *adapter = ecki_calloc(1, sizeof *adapter);
    promise(adapter, "memory for the adapter");
    const size_t length = config_length(bytes, count), skip = length ? length + 1 : 0;
    adapter->path = ecki_strdup("fuzz");
    adapter->container = hold("fuzz.safetensors", bytes + skip, count - skip);
    promise(adapter->path, "memory for a name");
    eck_status status = ecki_reader_safetensors.open(adapter->container, err);
    if (status == ECK_OK) status = ecki_container_finish(adapter->container, err);
    if (status == ECK_OK) status = open_config(adapter, bytes, length, err);
    if (status == ECK_OK) status = ecki_adapter_read(adapter, err);
    *out = adapter; // half read on failure, to be closed all the same
    return status;
}

// The numbers of both factors, or more than may be multiplied.
static int64_t factor_numbers(const eck_adapter_module *m)
{
    const int64_t cols = ecki_stage_columns(&m->dense);
    if (m->width > NUMBERS_MAX || m->dense.out > NUMBERS_MAX || cols > NUMBERS_MAX)
        return NUMBERS_MAX + 1;
    return m->width * (m->dense.out + cols);
}

static void check_module(const eck_adapter *adapter, int64_t index)
{
    const eck_adapter_module *m = eck_adapter_get_module(adapter, index);
    eck_factors factors = { NULL, NULL, 0 };
    eck_error err = ECK_ERROR_INIT;
    promise(m->rank > 0 && m->width > 0 && m->dense.in > 0 && m->dense.out > 0, "sizes above 0");
    promise(isfinite(m->scale) && isfinite(m->alpha), "scales are numbers");
    promise(m->bytes > 0 && m->parameters > 0, "something is stored");
    if (factor_numbers(m) > NUMBERS_MAX) return;
    const eck_status status = eck_adapter_load(&factors, adapter, index, &err);
    promise(status == ECK_OK || (m->dora && status == ECK_E_UNSUPPORTED), "factors load");
    if (status != ECK_OK) return;
    promise(factors.first->ndim == 2 && factors.first->shape[0] == m->width &&
                factors.first->shape[1] == ecki_stage_columns(&m->dense),
            "first is [width, in]");
    promise(factors.last->ndim == 2 && factors.last->shape[0] == m->dense.out &&
                factors.last->shape[1] == m->width,
            "last is [out, width]");
    eck_factors_clear(&factors);
}

static void resize(const eck_adapter *adapter)
{
    eck_adapter_outcome outcome = { 0 };
    eck_adapter_budget budget = ECK_ADAPTER_BUDGET_INIT;
    eck_adapter_write write = ECK_ADAPTER_WRITE_INIT;
    eck_error err = ECK_ERROR_INIT;
    int64_t numbers = 0;
    for (int64_t i = 0; i < eck_adapter_module_count(adapter); i++) {
        const int64_t more = factor_numbers(eck_adapter_get_module(adapter, i));
        numbers = more > NUMBERS_MAX ? more : numbers + more;
        if (numbers > NUMBERS_MAX) return;
    }
    budget.rank = 1;
    write.dry_run = true;
    const eck_status status =
        eck_adapter_resize(&outcome, adapter, &budget, &write, &one_thread, &err);
    promise(status == ECK_OK || err.message[0], "a refusal has words");
    for (int64_t i = 0; status == ECK_OK && i < outcome.count; i++)
        promise(outcome.changes[i].error >= 0 && isfinite(outcome.changes[i].norm),
                "errors and norms are numbers");
    eck_adapter_outcome_clear(&outcome);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t count)
{
    const int64_t before = ecki_memory_now();
    eck_adapter *adapter = NULL;
    eck_error err = ECK_ERROR_INIT;
    if (open_adapter(&adapter, bytes, count, &err) == ECK_OK) {
        for (int64_t i = 0; i < eck_adapter_module_count(adapter); i++)
            check_module(adapter, i);
        resize(adapter);
    } else {
        promise(err.message[0], "an error has words");
        promise(ecki_utf8_valid(err.message, (int64_t)strlen(err.message)), "and they are UTF-8");
    }
    eck_adapter_close(adapter);
    promise(ecki_memory_now() == before, "all memory is given back");
    return 0;
}
