// One run of the command: what it says, where, and how it ends.
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "eckart/report.h"
#include "interrupt.h"
#include "progress.h"

static double clock_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

// Ends the program where nothing sensible is left to do; leaves no temporary, since tables and
// option lists are made before or after the work.
static void die(const char *message)
{
    fprintf(stderr, "eckart: %s\n", message);
    exit(EXIT_COULD_NOT);
}

void *session_alloc(size_t count, size_t size)
{
    void *memory = calloc(count ? count : 1, size);
    if (!memory) die("not enough memory");
    return memory;
}

// A closed descriptor 0, 1 or 2 would be given to the next file opened, and results written into
// it. Its place is taken by one that refuses: writing to it fails with EBADF.
static void guard_descriptors(void)
{
    for (int descriptor = 0; descriptor <= 2; descriptor++) {
        if (fcntl(descriptor, F_GETFD) >= 0 || errno != EBADF) continue;
        const int flags = descriptor == 0 ? O_WRONLY : O_RDONLY;
        const int opened = open("/dev/null", flags);
        if (opened >= 0 && opened != descriptor) {
            dup2(opened, descriptor);
            close(opened);
        }
    }
}

// Colour only where a person sees it and has not said no.
static bool wants_color(void)
{
    const char *const no_color = getenv("NO_COLOR");
    const char *const term = getenv("TERM");
    if (no_color && no_color[0]) return false;
    return isatty(STDERR_FILENO) && !(term && strcmp(term, "dumb") == 0);
}

void session_init(session *run)
{
    memset(run, 0, sizeof *run);
    guard_descriptors();
    signal(SIGPIPE, SIG_IGN);
    run->command = "";
    run->started = clock_now();
    run->terminal = isatty(STDERR_FILENO);
    run->color = wants_color();
    run->error = (eck_error)ECK_ERROR_INIT;
    run->context = (eck_context)ECK_CONTEXT_INIT;
    run->context.progress = progress_report;
    run->context.user = run;
    run->out = open_memstream(&run->out_text, &run->out_length);
    run->held = open_memstream(&run->held_text, &run->held_length);
    if (!run->out || !run->held) die("not enough memory");
}

double session_seconds(const session *run)
{
    return clock_now() - run->started;
}

eck_status session_usage(session *run, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    run->error = (eck_error)ECK_ERROR_INIT;
    vsnprintf(run->error.message, sizeof run->error.message, format, arguments);
    va_end(arguments);
    run->error.status = ECK_E_RANGE;
    run->exit_code = EXIT_USAGE;
    return ECK_E_RANGE;
}

eck_status session_fail(session *run, eck_status status, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    run->error = (eck_error)ECK_ERROR_INIT;
    vsnprintf(run->error.message, sizeof run->error.message, format, arguments);
    va_end(arguments);
    run->error.status = status;
    return status;
}

// A line on a stream.
static void remark(FILE *stream, const char *mark, const char *format, va_list arguments)
{
    if (stream == stderr) progress_erase();
    fprintf(stream, "eckart: %s", mark);
    vfprintf(stream, format, arguments);
    fputc('\n', stream);
}

// Where remarks go: with --json a failure must be one error object alone, so they wait.
static FILE *remarks(session *run)
{
    return run->json ? run->held : stderr;
}

void session_note(session *run, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (!run->quiet) remark(remarks(run), "", format, arguments);
    va_end(arguments);
}

void session_say(session *run, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    remark(remarks(run), "", format, arguments);
    va_end(arguments);
}

void session_hint(session *run, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (!run->quiet) remark(run->held, "", format, arguments);
    va_end(arguments);
}

void session_warn(session *run, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (!run->quiet)
        remark(remarks(run), run->color ? "\033[33mwarning:\033[0m " : "warning: ", format,
               arguments);
    va_end(arguments);
}

void session_take(session *run, char *text)
{
    fputs(text, run->out);
    eck_text_free(text);
}

// One error object with --json, else a sentence.
static void say_error(session *run)
{
    char *text = NULL;
    if (run->json && eck_report_error(&text, &run->error) == ECK_OK) {
        fputs(text, stderr);
        eck_text_free(text);
        return;
    }
    const char *const mark = run->color ? "\033[31m" : "";
    const char *const plain = run->color ? "\033[0m" : "";
    fprintf(stderr, "%seckart%s%s:%s %s\n", mark, run->command[0] ? " " : "", run->command, plain,
            run->error.message);
    if (run->exit_code != EXIT_USAGE) return;
    fprintf(stderr, "eckart: see 'eckart %s%s--help'\n", run->command, run->command[0] ? " " : "");
}

// Writes the results. True if all of it arrived; errno says why not.
static bool write_all(const char *bytes, size_t count)
{
    while (count > 0) {
        const ssize_t written = write(STDOUT_FILENO, bytes, count);
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return false;
        bytes += written;
        count -= (size_t)written;
    }
    return true;
}

// Nobody reads what we write: as if nobody had caught the signal.
static void die_by_pipe(void)
{
    signal(SIGPIPE, SIG_DFL);
    raise(SIGPIPE);
}

static eck_status write_results(session *run)
{
    if (fflush(run->out) != 0 || ferror(run->out))
        return session_fail(run, ECK_E_NOMEM, "not enough memory for the results");
    const bool written = write_all(run->out_text, run->out_length);
    if (written && (run->out_length == 0 || close(STDOUT_FILENO) == 0)) return ECK_OK;
    if (errno == EPIPE) die_by_pipe();
    run->exit_code = EXIT_COULD_NOT;
    return session_fail(run, ECK_E_IO, "cannot write to standard output: %s", strerror(errno));
}

// Shows what was held back because of --json.
static void release_held(session *run)
{
    fflush(run->held);
    fwrite(run->held_text, 1, run->held_length, stderr);
}

static void session_clear(session *run)
{
    fclose(run->out);
    fclose(run->held);
    free(run->out_text);
    free(run->held_text);
}

int session_finish(session *run, eck_status status)
{
    progress_erase();
    if (status == ECK_OK) status = write_results(run);
    if (status == ECK_OK) {
        release_held(run);
    } else {
        say_error(run);
        if (run->exit_code == EXIT_DONE) run->exit_code = EXIT_COULD_NOT;
    }
    const int exit_code = run->exit_code;
    session_clear(run);
    if (status == ECK_E_CANCELLED) interrupt_die();
    return exit_code;
}
