// The command: its table, its help, its version, and the way to a command and back.
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "eckart/context.h"
#include "nearest.h"
#include "session.h"

static const command *const commands[] = {
    &command_svd,      &command_inspect, &command_analyze, &command_plan,
    &command_compress, &command_verify,  &command_restore, &command_lora,
    &command_doctor,   &command_tensor,  &command_bench,
};

enum { COMMANDS = sizeof commands / sizeof *commands };

static const command *find_command(const char *name)
{
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i]->name, name) == 0) return commands[i];
    return NULL;
}

static void print_overview(session *run)
{
    fputs(
        "usage: eckart COMMAND [options]\n"
        "\n"
        "eckart makes trained neural networks smaller by low-rank factorisation, and proves what\n"
        "it did: every error is measured from the stored numbers.\n"
        "\n"
        "Commands\n",
        run->out);
    for (int i = 0; i < COMMANDS; i++)
        fprintf(run->out, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\n"
          "Options\n"
          "  -h, --help     print this help; eckart COMMAND --help: that of a command\n"
          "      --version  print the version\n"
          "\n"
          "A first look at a model, and a smaller one\n"
          "  eckart inspect MODEL\n"
          "  eckart plan MODEL\n"
          "  eckart compress MODEL -o OUT --keep 0.7\n"
          "  eckart verify MODEL OUT\n"
          "\n"
          "Exit status: 0 done; 1 could not; 2 wrong usage; 3 a promise does not hold.\n",
          run->out);
}

static eck_status unknown_command(session *run, const char *name)
{
    nearest search = { name, NULL, 0 };
    for (int i = 0; i < COMMANDS; i++)
        nearest_try(&search, commands[i]->name);
    if (name[0] == '-') return session_usage(run, "unknown option '%s' before a command", name);
    if (search.best)
        return session_usage(run, "unknown command '%s', did you mean '%s'?", name, search.best);
    return session_usage(run, "unknown command '%s'", name);
}

// The part a command is followed by ("lora resize"), or the command itself if none is asked for.
static eck_status find_part(session *run, const command **out, char **arguments)
{
    const command *const whole = *out;
    const char *const name = arguments[0];
    nearest search = { name, NULL, 0 };
    if (!whole->parts || !name || name[0] == '-') return ECK_OK;
    for (const command *const *part = whole->parts; *part; part++) {
        const char *const last = strrchr((*part)->name, ' ') + 1;
        nearest_try(&search, last);
        if (strcmp(last, name) == 0) *out = *part;
    }
    if (*out != whole) return ECK_OK;
    if (search.best)
        return session_usage(run, "unknown command '%s %s', did you mean '%s'?", whole->name, name,
                             search.best);
    return session_usage(run, "unknown command '%s %s'", whole->name, name);
}

static bool is_help(const char *argument)
{
    return strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0;
}

// `eckart help` and `eckart help COMMAND`.
static eck_status run_help(session *run, char **arguments)
{
    const command *about = arguments[0] ? find_command(arguments[0]) : NULL;
    if (arguments[0] && !about) return unknown_command(run, arguments[0]);
    if (about && find_part(run, &about, arguments + 1) != ECK_OK) return run->error.status;
    if (about)
        opt_help(run, about);
    else
        print_overview(run);
    return ECK_OK;
}

static eck_status run_command(session *run, char **arguments)
{
    const char *const name = arguments[0];
    if (!name) return session_usage(run, "a command is missing");
    if (is_help(name) || strcmp(name, "help") == 0) return run_help(run, arguments + 1);
    if (strcmp(name, "--version") == 0) {
        fprintf(run->out, "eckart %s\n", eck_version());
        return ECK_OK;
    }
    const command *found = find_command(name);
    if (!found) return unknown_command(run, name);
    const command *const whole = found;
    run->command = found->name;
    const eck_status status = find_part(run, &found, arguments + 1);
    if (status != ECK_OK) return status;
    run->command = found->name;
    if (found != whole) arguments++;
    if (opt_present(arguments + 1, "--help") || opt_present(arguments + 1, "-h")) {
        opt_help(run, found);
        return ECK_OK;
    }
    return found->run(run, arguments + 1);
}

int main(int argc, char **argv)
{
    session run;
    session_init(&run);
    // Known before anything can go wrong, so that errors have the right form.
    run.json = argc > 0 && opt_present(argv + 1, "--json");
    return session_finish(&run, run_command(&run, argc > 0 ? argv + 1 : argv));
}
