/**
 * Names in adapter files: which part of which module a tensor is, and how the other way round. The
 * tables here are all there is to say about spellings.
 */
#include <string.h>

#include "base/memory.h"
#include "model/adapter_parts.h"

/** Suffixes of both halves, by spelling. */
static const struct {
    const char *first, *last;
} spellings[ECKI_SPELLINGS] = {
    [ECKI_SPELLING_AB] = { ".lora_A.weight", ".lora_B.weight" },
    [ECKI_SPELLING_EMBEDDING] = { ".lora_embedding_A", ".lora_embedding_B" },
    [ECKI_SPELLING_KOHYA] = { ".lora_down.weight", ".lora_up.weight" },
    [ECKI_SPELLING_LORA_DOWN] = { ".lora.down.weight", ".lora.up.weight" },
    [ECKI_SPELLING_UNDERSCORE] = { "_lora.down.weight", "_lora.up.weight" },
    [ECKI_SPELLING_LINEAR_LAYER] = { ".lora_linear_layer.down.weight",
                                     ".lora_linear_layer.up.weight" },
};

/** Suffixes of the other parts. */
static const struct {
    const char *suffix;
    ecki_part part;
} suffixes[] = {
    { ".lora_mid.weight", ECKI_PART_CORE },
    { ".alpha", ECKI_PART_ALPHA },
    { ".lora_magnitude_vector", ECKI_PART_MAGNITUDE },
    { ".lora_magnitude_vector.weight", ECKI_PART_MAGNITUDE },
    { ".dora_scale", ECKI_PART_MAGNITUDE },
    { ".lora_B.bias", ECKI_PART_BIAS },
    { ".hada_w1_a", ECKI_PART_HADA_1A },
    { ".hada_w1_b", ECKI_PART_HADA_1B },
    { ".hada_w2_a", ECKI_PART_HADA_2A },
    { ".hada_w2_b", ECKI_PART_HADA_2B },
    { ".hada_t1", ECKI_PART_HADA_T1 },
    { ".hada_t2", ECKI_PART_HADA_T2 },
    { ".lokr_w1", ECKI_PART_KRON_1 },
    { ".lokr_w1_a", ECKI_PART_KRON_1A },
    { ".lokr_w1_b", ECKI_PART_KRON_1B },
    { ".lokr_w2", ECKI_PART_KRON_2 },
    { ".lokr_w2_a", ECKI_PART_KRON_2A },
    { ".lokr_w2_b", ECKI_PART_KRON_2B },
    { ".lokr_t2", ECKI_PART_KRON_T2 },
};

/** Parts of methods that are no sum of thin products, or that are not read. */
static const struct {
    const char *suffix, *what;
} foreign[] = {
    { ".token_adapter.trainable_tokens_delta", "trainable tokens" },
    { ".lora_E", "AdaLoRA" },
    { ".lora_ranknum", "AdaLoRA" },
    { ".on_input", "IA3" },
    { ".diff", "a full difference" },
    { ".diff_b", "a difference of biases" },
    { ".oft_blocks", "OFT" },
    { ".lokr_t1", "LoKr with a core on its small factor" },
    { ".w_norm", "a norm difference" },
    { ".b_norm", "a norm difference" },
    { ".set_weight", "a replaced weight" },
    { ".reshape_weight", "a reshaped weight" },
};

/** Components: kohya's prefix, diffusers' name. The first that fits wins. */
static const struct {
    const char *kohya, *diffusers;
} components[] = {
    { "lora_unet_", "unet." },          { "lora_te1_", "text_encoder." },
    { "lora_te2_", "text_encoder_2." }, { "lora_te3_", "text_encoder_3." },
    { "lora_te_", "text_encoder." },    { "lora_transformer_", "transformer." },
};

static const char peft_prefix[] = "base_model.model.";

enum {
    SUFFIXES = sizeof suffixes / sizeof *suffixes,
    FOREIGN = sizeof foreign / sizeof *foreign,
    COMPONENTS = sizeof components / sizeof *components
};

/** True if the name ends so and something stands before it. */
static bool ends_with(const char *name, size_t length, const char *suffix)
{
    const size_t tail = strlen(suffix);
    return length > tail && memcmp(name + length - tail, suffix, tail) == 0;
}

bool ecki_part_parse(ecki_part_name *out, const char *name)
{
    const size_t length = strlen(name);

    for (int32_t i = 0; i < ECKI_SPELLINGS; i++)
        for (int32_t half = 0; half < 2; half++) {
            const char *suffix = half == 0 ? spellings[i].first : spellings[i].last;
            if (!ends_with(name, length, suffix)) continue;
            *out = (ecki_part_name){ half == 0 ? ECKI_PART_FIRST : ECKI_PART_LAST, (ecki_spelling)i,
                                     (int64_t)(length - strlen(suffix)) };
            return true;
        }
    for (int32_t i = 0; i < SUFFIXES; i++) {
        if (!ends_with(name, length, suffixes[i].suffix)) continue;
        *out = (ecki_part_name){ suffixes[i].part, ECKI_SPELLING_KOHYA,
                                 (int64_t)(length - strlen(suffixes[i].suffix)) };
        return true;
    }
    return false;
}

bool ecki_part_foreign(const char **what_out, const char *name)
{
    const size_t length = strlen(name);

    for (int32_t i = 0; i < FOREIGN; i++) {
        if (!ends_with(name, length, foreign[i].suffix)) continue;
        *what_out = foreign[i].what;
        return true;
    }
    return false;
}

char *ecki_part_spell(eck_adapter_layout layout, ecki_spelling spelling, ecki_part part,
                      const char *module)
{
    const char *prefix = layout == ECK_ADAPTER_PEFT ? peft_prefix : "";
    const char *suffix =
        part == ECKI_PART_FIRST ? spellings[spelling].first : spellings[spelling].last;

    for (int32_t i = 0; part != ECKI_PART_FIRST && part != ECKI_PART_LAST && i < SUFFIXES; i++)
        if (suffixes[i].part == part) {
            suffix = suffixes[i].suffix;
            break;
        }
    return ecki_format("%s%s%s", prefix, module, suffix);
}

const char *ecki_module_stem(const char *name)
{
    for (int32_t i = 0; i < COMPONENTS; i++) {
        const size_t kohya = strlen(components[i].kohya), other = strlen(components[i].diffusers);
        if (strncmp(name, components[i].kohya, kohya) == 0) return name + kohya;
        if (strncmp(name, components[i].diffusers, other) == 0) return name + other;
    }
    return name;
}

const char *ecki_module_component(const char *name)
{
    static const char *const names[COMPONENTS] = { "unet",           "text_encoder",
                                                   "text_encoder_2", "text_encoder_3",
                                                   "text_encoder",   "transformer" };

    for (int32_t i = 0; i < COMPONENTS; i++)
        if (strncmp(name, components[i].kohya, strlen(components[i].kohya)) == 0 ||
            strncmp(name, components[i].diffusers, strlen(components[i].diffusers)) == 0)
            return names[i];
    return NULL;
}

const char *ecki_kohya_prefix(const char *component, bool several)
{
    if (strcmp(component, "unet") == 0 || strcmp(component, "transformer") == 0) return "lora_unet";
    if (strcmp(component, "text_encoder") == 0) return several ? "lora_te1" : "lora_te";
    if (strcmp(component, "text_encoder_2") == 0) return "lora_te2";
    if (strcmp(component, "text_encoder_3") == 0) return "lora_te3";
    return NULL;
}

bool ecki_module_names_equal(const char *a, const char *b)
{
    for (a = ecki_module_stem(a), b = ecki_module_stem(b); *a && *b; a++, b++) {
        const bool both = (*a == '.' || *a == '_') && (*b == '.' || *b == '_');
        if (*a != *b && !both) return false;
    }
    return !*a && !*b;
}
