// eckart lora resize, combine, convert: adapters in, an adapter out.
#include <stdlib.h>
#include <string.h>

#include "interrupt.h"
#include "lora_text.h"

// ---- resize ------------------------------------------------------------------------------------

static const opt_group resizing[] = {
    { "Ranks", lora_budget_options },
    { "Output", lora_output_options },
    { "Every command", run_options },
    { NULL, NULL },
};

static eck_status cmd_resize(session *run, char **arguments)
{
    eck_status status = ECK_OK;
    const char *path = NULL;
    eck_adapter *adapter = NULL;
    eck_adapter_outcome outcome = { 0 };
    eck_adapter_write options;
    lora_settings from;

    lora_settings_init(&from);
    TRY(settings_parse(run, &command_lora_resize, &from.all, &path, arguments));
    if (!settings_has_budget(&from.all))
        TRY(session_usage(run, "to what? give --rank, --energy, --error or --size"));
    TRY(lora_write_options(&options, run, &from));
    TRY(lora_open(&adapter, run, path));
    interrupt_catch();
    lora_keep_memory();
    const eck_adapter_budget budget = lora_budget(&from);
    TRY(eck_adapter_resize(&outcome, adapter, &budget, &options, &run->context, &run->error));
    TRY(lora_print(run, &from, &outcome));
done:
    eck_adapter_outcome_clear(&outcome);
    eck_adapter_close(adapter);
    lora_settings_clear(&from);
    return status;
}

const command command_lora_resize = {
    .name = "lora resize",
    .run = cmd_resize,
    .summary = "smaller ranks for an adapter",
    .operands = "ADAPTER -o OUT BUDGET [options]",
    .about =
        "The best approximation of every change, from the factors alone: exact, and in seconds. "
        "OUT\n"
        "has the container and the names of ADAPTER; scales become part of the factors. A module\n"
        "that is small enough already keeps its bytes. LoHa and LoKr modules become plain LoRA.",
    .groups = resizing,
    .examples = "eckart lora resize ADAPTER -o OUT --rank 8\n"
                "eckart lora resize style.safetensors -o small.safetensors --size 20%",
    .operand_count = 1,
};

// ---- combine -----------------------------------------------------------------------------------

static const opt_entry combine_options[] = {
    { OPT_INTEGER, '\0', "rank", "K", offsetof(lora_settings, all.rank), 1, 1e15,
      "the best of rank K; default: all factors side by side, exactly" },
    { 0 }
};

static const opt_group combining[] = {
    { "Ranks", combine_options },
    { "Output", lora_output_options },
    { "Every command", run_options },
    { NULL, NULL },
};

static eck_status cmd_combine(session *run, char **arguments)
{
    eck_status status = ECK_OK;
    const char *paths[OPERANDS_MANY + 1] = { NULL };
    lora_terms terms = { 0 };
    eck_adapter_outcome outcome = { 0 };
    eck_adapter_write options;
    lora_settings from;

    lora_settings_init(&from);
    TRY(settings_parse(run, &command_lora_combine, &from.all, paths, arguments));
    TRY(lora_write_options(&options, run, &from));
    TRY(lora_terms_open(&terms, run, paths));
    interrupt_catch();
    lora_keep_memory();
    const eck_adapter_sum sum = { terms.terms, terms.count };
    TRY(eck_adapter_combine(&outcome, &sum, from.all.rank > 0 ? from.all.rank : 0, &options,
                            &run->context, &run->error));
    TRY(lora_print(run, &from, &outcome));
done:
    eck_adapter_outcome_clear(&outcome);
    lora_terms_clear(&terms);
    lora_settings_clear(&from);
    return status;
}

const command command_lora_combine = {
    .name = "lora combine",
    .run = cmd_combine,
    .summary = "a weighted sum of adapters",
    .operands = "A[=WEIGHT] [B[=WEIGHT] ...] -o OUT [--rank K] [options]",
    .about =
        "One adapter whose change is the weighted sum of those given; weights default to 1 and "
        "may\n"
        "be negative. With --rank the sum is cut to its best approximation of that rank, from the\n"
        "stacked factors. OUT has the layout of A; adapters of other layouts are converted first.",
    .groups = combining,
    .examples = "eckart lora combine A B -o OUT --rank 32\n"
                "eckart lora combine A=0.7 B=-0.3 -o OUT",
    .operand_count = 1,
    .operand_most = OPERANDS_MANY,
};

// ---- convert -----------------------------------------------------------------------------------

static const opt_entry convert_options[] = {
    { OPT_CHOICE, '\0', "to", "peft|kohya|diffusers", offsetof(lora_settings, layout), 0, 0,
      "the layout of OUT; default peft" },
    { OPT_LIST, '\0', "base", "[COMPONENT=]MODEL", offsetof(lora_settings, bases), 0, 0,
      "a model whose layer names say where dots belong in kohya's names; may be repeated" },
    { OPT_TEXT, '\0', "component", "NAME", offsetof(lora_settings, component), 0, 0,
      "unet, transformer, text_encoder, text_encoder_2: what PEFT's names are put under; to peft: "
      "which to take" },
    { 0 }
};

static const opt_group converting[] = {
    { "Layout", convert_options },
    { "Output", lora_output_options },
    { "Every command", run_options },
    { NULL, NULL },
};

// The bases as the library takes them; models are closed by the caller.
static eck_status open_bases(eck_adapter_base *bases, eck_model **models, char **components,
                             session *run, const opt_list *list)
{
    eck_status status = ECK_OK;
    for (int64_t i = 0; i < list->count; i++) {
        const char *const item = list->items[i];
        const char *const sign = strchr(item, '=');
        if (sign) {
            components[i] = session_alloc((size_t)(sign - item) + 1, 1);
            memcpy(components[i], item, (size_t)(sign - item));
        }
        TRY(eck_model_open(&models[i], sign ? sign + 1 : item, &run->error));
        bases[i] = (eck_adapter_base){ components[i], models[i] };
    }
done:
    return status;
}

static eck_status cmd_convert(session *run, char **arguments)
{
    eck_status status = ECK_OK;
    const char *path = NULL;
    eck_adapter *adapter = NULL;
    eck_adapter_outcome outcome = { 0 };
    eck_convert_options options = ECK_CONVERT_OPTIONS_INIT;
    eck_adapter_base bases[OPERANDS_MANY];
    eck_model *models[OPERANDS_MANY] = { NULL };
    char *components[OPERANDS_MANY] = { NULL };
    lora_settings from;

    lora_settings_init(&from);
    TRY(settings_parse(run, &command_lora_convert, &from.all, &path, arguments));
    if (from.bases.count > OPERANDS_MANY)
        TRY(session_usage(run, "at most %d bases", OPERANDS_MANY));
    TRY(lora_write_options(&options.write, run, &from));
    TRY(lora_open(&adapter, run, path));
    TRY(open_bases(bases, models, components, run, &from.bases));
    options.layout = (eck_adapter_layout)(from.layout + 1);
    options.bases = bases;
    options.base_count = from.bases.count;
    options.component = from.component;
    interrupt_catch();
    TRY(eck_adapter_convert(&outcome, adapter, &options, &run->error));
    TRY(lora_print(run, &from, &outcome));
done:
    eck_adapter_outcome_clear(&outcome);
    eck_adapter_close(adapter);
    for (int i = 0; i < OPERANDS_MANY; i++) {
        eck_model_close(models[i]);
        free(components[i]);
    }
    lora_settings_clear(&from);
    return status;
}

const command command_lora_convert = {
    .name = "lora convert",
    .run = cmd_convert,
    .summary = "the same changes in another layout",
    .operands = "ADAPTER -o OUT --to LAYOUT [options]",
    .about =
        "Renames and, where a layout cannot state a scale, puts it into the factors; all other\n"
        "factors keep their bytes. Names of kohya have lost their dots: to get them back, a base\n"
        "model with the wanted names is needed.",
    .groups = converting,
    .examples = "eckart lora convert ADAPTER -o style.safetensors --to kohya --component unet\n"
                "eckart lora convert style.safetensors -o OUT --to peft --base MODEL",
    .operand_count = 1,
};
