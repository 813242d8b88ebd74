// Parsing arguments by table: --name value, --name=value, -n value, -nvalue, -qf, operands anywhere
// between, "--" before operands that look like options, "-" as an operand.
#include "opt.h"

#include <stdlib.h>
#include <string.h>

#include "nearest.h"

// What is being parsed.
typedef struct parser {
    session *run;
    const command *about;
    void *settings;
    const char **operands;
    int operand_count;
    char **next; // argument to look at
} parser;

static bool takes_value(const opt_entry *entry)
{
    return entry->kind != OPT_FLAG && entry->kind != OPT_COUNT;
}

// The entry of a long name of `length` bytes, or of a letter when name is NULL.
static const opt_entry *find(const command *about, const char *name, size_t length, char letter)
{
    for (const opt_group *group = about->groups; group->title; group++)
        for (const opt_entry *entry = group->entries; entry->name; entry++) {
            const bool same =
                name ? strlen(entry->name) == length && memcmp(entry->name, name, length) == 0
                     : entry->letter == letter;
            if (same) return entry;
        }
    return NULL;
}

static eck_status unknown_long(parser *parse, const char *name, size_t length)
{
    char word[65];
    snprintf(word, sizeof word, "%.*s", (int)(length < 64 ? length : 64), name);
    nearest search = { word, NULL, 0 };
    for (const opt_group *group = parse->about->groups; group->title; group++)
        for (const opt_entry *entry = group->entries; entry->name; entry++)
            nearest_try(&search, entry->name);
    if (search.best)
        return session_usage(parse->run, "unknown option '--%s', did you mean '--%s'?", word,
                             search.best);
    return session_usage(parse->run, "unknown option '--%s'", word);
}

static eck_status missing_value(parser *parse, const opt_entry *entry)
{
    return session_usage(parse->run, "option '--%s' needs a value: --%s %s", entry->name,
                         entry->name, entry->argument);
}

static eck_status parse_long(parser *parse, const char *argument)
{
    char shown[80];
    const char *const name = argument + 2;
    const size_t length = strcspn(name, "=");
    const char *value = name[length] == '=' ? name + length + 1 : NULL;
    const opt_entry *const entry = find(parse->about, name, length, '\0');
    if (!entry) return unknown_long(parse, name, length);
    snprintf(shown, sizeof shown, "--%s", entry->name);
    if (!takes_value(entry) && value)
        return session_usage(parse->run, "option '%s' takes no value, found '%s'", shown, value);
    if (takes_value(entry) && !value) value = *parse->next ? *parse->next++ : NULL;
    if (takes_value(entry) && !value) return missing_value(parse, entry);
    return opt_store(parse->run, entry, parse->settings, shown, value);
}

// "-qf" are two flags; "-o FILE" and "-oFILE" are one option with its value.
static eck_status parse_letters(parser *parse, const char *argument)
{
    for (const char *letter = argument + 1; *letter; letter++) {
        const char shown[] = { '-', *letter, '\0' };
        const opt_entry *const entry = find(parse->about, NULL, 0, *letter);
        if (!entry) return session_usage(parse->run, "unknown option '-%c'", *letter);
        const char *value = NULL;
        if (takes_value(entry)) {
            value = letter[1] ? letter + 1 : *parse->next ? *parse->next++ : NULL;
            if (!value) return missing_value(parse, entry);
        }
        const eck_status status = opt_store(parse->run, entry, parse->settings, shown, value);
        if (status != ECK_OK || value) return status;
    }
    return ECK_OK;
}

static eck_status add_operand(parser *parse, const char *operand)
{
    const int most =
        parse->about->operand_most > 0 ? parse->about->operand_most : parse->about->operand_count;
    if (parse->operand_count == most)
        return session_usage(parse->run, "unexpected argument '%s' (usage: eckart %s %s)", operand,
                             parse->about->name, parse->about->operands);
    if (operand[0] == '\0') return session_usage(parse->run, "an argument is empty");
    parse->operands[parse->operand_count++] = operand;
    return ECK_OK;
}

eck_status opt_parse(session *run, const command *about, void *settings, const char **operands,
                     char **arguments)
{
    eck_status status = ECK_OK;
    parser parse = { run, about, settings, operands, 0, arguments };
    bool options = true;
    while (*parse.next) {
        const char *const argument = *parse.next++;
        if (options && strcmp(argument, "--") == 0)
            options = false;
        else if (options && strncmp(argument, "--", 2) == 0)
            TRY(parse_long(&parse, argument));
        else if (options && argument[0] == '-' && argument[1])
            TRY(parse_letters(&parse, argument));
        else
            TRY(add_operand(&parse, argument));
    }
    if (parse.operand_count < about->operand_count)
        status = session_usage(run, "an argument is missing (usage: eckart %s %s)", about->name,
                               about->operands);
done:
    return status;
}

bool opt_present(char **arguments, const char *flag)
{
    for (; *arguments && strcmp(*arguments, "--") != 0; arguments++)
        if (strcmp(*arguments, flag) == 0) return true;
    return false;
}
