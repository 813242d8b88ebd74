// Help, from the very tables that parse.
#include <string.h>

#include "opt.h"

// "-o, --output FILE", "    --rank K"
static int spell(char *out, size_t room, const opt_entry *entry)
{
    int length = 0;
    if (entry->letter)
        length = snprintf(out, room, "-%c, ", entry->letter);
    else
        length = snprintf(out, room, "    ");
    length += snprintf(out + length, room - (size_t)length, "--%s", entry->name);
    if (entry->argument)
        length += snprintf(out + length, room - (size_t)length, " %s", entry->argument);
    return length;
}

enum { COLUMN = 22 };

static void put_entry(FILE *stream, const opt_entry *entry)
{
    char spelled[120];
    const int length = spell(spelled, sizeof spelled, entry);
    if (length <= COLUMN)
        fprintf(stream, "  %-*s  %s\n", COLUMN, spelled, entry->help);
    else
        fprintf(stream, "  %s\n  %*s  %s\n", spelled, COLUMN, "", entry->help);
}

// A block of text, indented.
static void put_lines(FILE *stream, const char *text)
{
    while (*text) {
        const size_t length = strcspn(text, "\n");
        if (length > 0) fprintf(stream, "  %.*s", (int)length, text);
        fputc('\n', stream);
        text += length + (text[length] == '\n');
    }
}

void opt_help(session *run, const command *about)
{
    fprintf(run->out, "usage: eckart %s %s\n\n", about->name, about->operands);
    fprintf(run->out, "%s\n\n", about->summary);
    put_lines(run->out, about->about);
    for (const opt_group *group = about->groups; group->title; group++) {
        fprintf(run->out, "\n%s\n", group->title);
        for (const opt_entry *entry = group->entries; entry->name; entry++)
            put_entry(run->out, entry);
    }
    fputs("\nExamples\n", run->out);
    put_lines(run->out, about->examples);
}
