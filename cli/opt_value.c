// Values of options: numbers with units, parts, words, lists; and what is said when they are wrong.
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nearest.h"
#include "opt.h"

// A plain decimal number at the start of the text; NULL if there is none, else where it ends. No
// blanks, no hexadecimal, no "inf".
static const char *read_decimal(const char *text, double *out)
{
    char *end = NULL;
    const char *const first = text + (*text == '-' || *text == '+');
    if (!(*first >= '0' && *first <= '9') && *first != '.') return NULL;
    if (first[0] == '0' && (first[1] == 'x' || first[1] == 'X')) return NULL;
    *out = strtod(text, &end);
    return end == text ? NULL : end;
}

bool opt_parse_size(const char *text, int64_t *bytes_out)
{
    static const struct {
        const char *name;
        double factor;
    } units[] = { { "", 1 },         { "B", 1 },        { "k", 1e3 },      { "K", 1e3 },
                  { "kB", 1e3 },     { "KB", 1e3 },     { "M", 1e6 },      { "MB", 1e6 },
                  { "G", 1e9 },      { "GB", 1e9 },     { "T", 1e12 },     { "TB", 1e12 },
                  { "KiB", 0x1p10 }, { "MiB", 0x1p20 }, { "GiB", 0x1p30 }, { "TiB", 0x1p40 } };
    double number;
    const char *rest = read_decimal(text, &number);
    if (!rest) return false;
    rest += strspn(rest, " ");
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        if (strcmp(rest, units[i].name) != 0) continue;
        const double bytes = floor(number * units[i].factor);
        if (!(bytes >= 0 && bytes < 0x1p63)) return false;
        *bytes_out = (int64_t)bytes;
        return true;
    }
    return false;
}

bool opt_parse_part(const char *text, double *part_out)
{
    double number;
    const char *const rest = read_decimal(text, &number);
    if (!rest || (*rest && strcmp(rest, "%") != 0)) return false;
    *part_out = *rest ? number / 100 : number;
    return true;
}

// Milliseconds, with or without their unit, or a part: a percentage, or a plain number below 1.
static bool parse_time(const char *text, opt_time *out)
{
    static const struct {
        const char *name;
        double factor;
    } units[] = { { "us", 1e-3 }, { "ms", 1 }, { "s", 1e3 } };
    double number;
    const char *rest = read_decimal(text, &number);
    if (!rest || !(number > 0 && number < 1e12)) return false;
    rest += strspn(rest, " ");
    *out = (opt_time){ -1, -1 };
    if (strcmp(rest, "%") == 0)
        out->part = number / 100;
    else if (*rest == '\0' && number < 1)
        out->part = number;
    else if (*rest == '\0')
        out->milliseconds = number;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(rest, units[i].name) == 0) out->milliseconds = number * units[i].factor;
    return out->part > 0 || out->milliseconds > 0;
}

static bool parse_integer(const char *text, int64_t *out)
{
    const size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 18 || text[digits] != '\0') return false;
    *out = strtoll(text, NULL, 10);
    return true;
}

const char *opt_choice(const char *words, int index, int *length_out)
{
    for (; *words; words += *words == '|') {
        const size_t length = strcspn(words, "|");
        if (index-- == 0) {
            *length_out = (int)length;
            return words;
        }
        words += length;
    }
    return NULL;
}

// What an option takes, in words.
static const char *allowed(const opt_entry *entry)
{
    switch (entry->kind) {
    case OPT_INTEGER:
        return entry->low > 0 ? "a whole number, at least 1" : "a whole number, at least 0";
    case OPT_PART:
        return entry->low > 0 ? "above 0 and at most 1, or a percentage"
                              : "at least 0 and below 1, or a percentage";
    case OPT_NUMBER:
        return "a number, at least 0";
    case OPT_SIZE:
        return "bytes, with K M G T (1000) or KiB MiB GiB TiB (1024)";
    case OPT_SIZE_OR_PART:
        return "bytes, with K M G T (1000) or KiB MiB GiB TiB (1024), or a percentage";
    case OPT_TIME_OR_PART:
        return "milliseconds from 1, a time with us, ms or s, a part below 1, or a percentage";
    case OPT_COUNT_OR_PART:
        return "a count, with K M G T (1000), or a part: above 0 and at most 1, or a percentage";
    case OPT_CHOICE:
        return entry->argument;
    default:
        return "a text that is not empty";
    }
}

// Words of one option that people give to another.
static const char *elsewhere(const opt_entry *entry, const char *value)
{
    const bool engine = strcmp(value, "exact") == 0 || strcmp(value, "golub-kahan") == 0 ||
                        strcmp(value, "deflated") == 0 || strcmp(value, "krylov") == 0 ||
                        strcmp(value, "als") == 0 || strcmp(value, "gradient") == 0;
    const bool method = strcmp(value, "svd") == 0;
    if (strcmp(entry->name, "method") == 0 && engine)
        return "; that is an engine: eckart svd --engine";
    if (strcmp(entry->name, "engine") == 0 && method)
        return "; that is a method: eckart compress --method";
    return "";
}

static eck_status wrong(session *run, const opt_entry *entry, const char *shown, const char *value)
{
    return session_usage(run, "option '%s': found '%s', allowed: %s%s", shown, value,
                         allowed(entry), elsewhere(entry, value));
}

static bool store_choice(int *target, const char *words, const char *value)
{
    int length;
    for (int i = 0;; i++) {
        const char *const word = opt_choice(words, i, &length);
        if (!word) return false;
        if (strlen(value) != (size_t)length || memcmp(word, value, (size_t)length) != 0) continue;
        *target = i;
        return true;
    }
}

// A part if it is a percentage or at most 1, else a count.
static bool store_count_or_part(opt_size *target, const char *value)
{
    double part;
    *target = (opt_size){ -1, -1 };
    if (opt_parse_part(value, &part) && (strchr(value, '%') || part <= 1)) {
        target->part = part;
        return part > 0 && part <= 1;
    }
    return opt_parse_size(value, &target->bytes) && target->bytes > 0;
}

static bool store_number(const opt_entry *entry, void *target, const char *value)
{
    int64_t integer;
    double part;
    const char *rest;
    switch (entry->kind) {
    case OPT_INTEGER:
        if (!parse_integer(value, &integer)) return false;
        if ((double)integer < entry->low || (double)integer > entry->high) return false;
        *(int64_t *)target = integer;
        return true;
    case OPT_PART:
        if (!opt_parse_part(value, &part)) return false;
        if (!(part >= entry->low && part <= entry->high)) return false;
        *(double *)target = part;
        return true;
    case OPT_NUMBER:
        rest = read_decimal(value, &part);
        if (!rest || *rest || !(part >= entry->low && part <= entry->high)) return false;
        *(double *)target = part;
        return true;
    case OPT_TIME_OR_PART:
        return parse_time(value, target);
    case OPT_COUNT_OR_PART:
        return store_count_or_part(target, value);
    case OPT_SIZE:
        return opt_parse_size(value, target) && *(int64_t *)target > 0;
    default: {
        opt_size *const size = target;
        *size = (opt_size){ -1, -1 };
        if (!strchr(value, '%')) return opt_parse_size(value, &size->bytes) && size->bytes > 0;
        return opt_parse_part(value, &size->part) && size->part > 0;
    }
    }
}

static void store_item(opt_list *list, const char *value)
{
    const char **const items = session_alloc((size_t)list->count + 1, sizeof *items);
    for (int64_t i = 0; i < list->count; i++)
        items[i] = list->items[i];
    items[list->count++] = value;
    free(list->items);
    list->items = items;
}

eck_status opt_store(session *run, const opt_entry *entry, void *settings, const char *shown,
                     const char *value)
{
    void *const target = (char *)settings + entry->place;
    bool good = true;
    switch (entry->kind) {
    case OPT_FLAG:
        *(bool *)target = true;
        break;
    case OPT_COUNT:
        ++*(int *)target;
        break;
    case OPT_TEXT:
        good = value[0] != '\0';
        *(const char **)target = value;
        break;
    case OPT_LIST:
        good = value[0] != '\0';
        store_item(target, value);
        break;
    case OPT_CHOICE:
        good = store_choice(target, entry->argument, value);
        break;
    default:
        good = store_number(entry, target, value);
    }
    return good ? ECK_OK : wrong(run, entry, shown, value);
}
