/**
 * One run of the command. Results are written to a stream in memory and reach standard output in
 * one piece when the run succeeded: on failure it stays empty. Everything else goes to standard
 * error.
 */
#ifndef ECKART_CLI_SESSION_H
#define ECKART_CLI_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "eckart/context.h"
#include "eckart/status.h"

enum { EXIT_DONE = 0, EXIT_COULD_NOT = 1, EXIT_USAGE = 2, EXIT_PROMISE = 3 };

typedef struct session {
    const char *command; /**< "svd", or "" before it is known */
    bool json, quiet; /**< --json, --quiet */
    int verbose; /**< how often --verbose */
    bool terminal, color; /**< of standard error */
    double started; /**< seconds of a monotonic clock */
    int exit_code; /**< what to end with; EXIT_DONE also means "EXIT_COULD_NOT if it fails" */
    eck_error error;
    eck_context context; /**< progress and cancelling included */
    FILE *out; /**< results */
    char *out_text;
    size_t out_length;
    FILE *held; /**< what is said after the results: hints, and with --json every remark */
    char *held_text;
    size_t held_length;
} session;

/** Makes everything ready; ends the program if there is no memory for it. */
void session_init(session *run);

/** Writes what is due to stdout and stderr and gives the exit code; does not return after a signal.
 */
int session_finish(session *run, eck_status status);

/** Fails as wrong usage (exit 2): "option '--rank': found 'x', allowed: ...". Returns the status to
 * hand on. */
eck_status session_usage(session *run, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** Fails with a status of the library (exit 1). */
eck_status session_fail(session *run, eck_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** A remark on standard error; nothing with --quiet. */
void session_note(session *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** The same, asked for: --quiet does not silence it. */
void session_say(session *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** A remark said after the results. */
void session_hint(session *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** A remark marked as a warning. */
void session_warn(session *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Adds a text the library returned to the results and frees it. */
void session_take(session *run, char *text);

double session_seconds(const session *run);

/** Zeroed memory, or the end of the program. */
void *session_alloc(size_t count, size_t size);

/** Runs a call that returns eck_status; on failure sets `status` and goes to `done`. */
#define TRY(call) \
    do { \
        status = (call); \
        if (status != ECK_OK) goto done; \
    } while (0)

#endif
