// The command, once more, with another core: its document is read back from a pipe.
#include "core_trial.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

// Longer than that no core takes: one that hangs is ended.
enum { PATIENCE_MS = 120000, ROOM = 16384 };

// The environment with another core; owned, the strings but the first borrowed.
static char **environment_with(char *setting)
{
    static const char name[] = "OPENBLAS_CORETYPE=";
    size_t count = 0, kept = 0;
    while (environ[count])
        count++;
    char **const out = calloc(count + 2, sizeof *out);
    if (!out) return NULL;
    if (setting[sizeof name - 1]) out[kept++] = setting;
    for (size_t i = 0; i < count; i++)
        if (strncmp(environ[i], name, sizeof name - 1) != 0) out[kept++] = environ[i];
    return out;
}

// Starts the command with its output in a pipe; -1 if that fails.
static pid_t start(const char *core, int32_t threads, int pipe_out[2])
{
    char setting[100], count[20];
    char self[] = "/proc/self/exe", doctor[] = "doctor", here[] = "--here", json[] = "--json",
         quiet[] = "-q", threads_option[] = "--threads";
    char *const arguments[] = { self, doctor, here, json, quiet, threads_option, count, NULL };
    posix_spawn_file_actions_t actions;
    pid_t child = -1;
    snprintf(setting, sizeof setting, "OPENBLAS_CORETYPE=%s", core);
    snprintf(count, sizeof count, "%d", (int)threads);
    char **const environment = environment_with(setting);
    if (!environment || posix_spawn_file_actions_init(&actions) != 0) {
        free(environment);
        return -1;
    }
    posix_spawn_file_actions_adddup2(&actions, pipe_out[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", 1, 0);
    posix_spawn_file_actions_addclose(&actions, pipe_out[0]);
    if (posix_spawn(&child, self, &actions, NULL, arguments, environment) != 0) child = -1;
    posix_spawn_file_actions_destroy(&actions);
    free(environment);
    return child;
}

// Everything the child prints, or what it printed until patience ended.
static void read_all(char *text, int descriptor)
{
    size_t length = 0;
    struct pollfd wait = { descriptor, POLLIN, 0 };
    while (length < ROOM - 1) {
        const int ready = poll(&wait, 1, PATIENCE_MS);
        if (ready < 0 && errno == EINTR) continue;
        if (ready <= 0) break;
        const ssize_t got = read(descriptor, text + length, ROOM - 1 - length);
        if (got <= 0) break;
        length += (size_t)got;
    }
    text[length] = '\0';
}

// A number of the document, whose members stand one a line; -1 if it is not there.
static double number_of(const char *text, const char *name)
{
    char key[40];
    snprintf(key, sizeof key, "\n  \"%s\": ", name);
    const char *const found = strstr(text, key);
    return found ? strtod(found + strlen(key), NULL) : -1;
}

eck_core_trial core_try(const char *core, int32_t threads)
{
    eck_core_trial trial = { core, false, 0, 0, 0, 0 };
    char text[ROOM];
    int pipe_ends[2], status = 0;
    if (pipe(pipe_ends) != 0) return trial;
    const pid_t child = start(core, threads, pipe_ends);
    close(pipe_ends[1]);
    if (child > 0) {
        read_all(text, pipe_ends[0]);
        kill(child, SIGKILL); // it has ended, or hangs
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            continue;
        trial.gemm_f64 = number_of(text, "gemm_f64");
        trial.gemm_f32 = number_of(text, "gemm_f32");
        trial.check_f64 = number_of(text, "check_f64");
        trial.check_f32 = number_of(text, "check_f32");
        trial.ran = trial.gemm_f64 > 0 && trial.gemm_f32 > 0 && trial.check_f64 >= 0 &&
                    trial.check_f32 >= 0;
    }
    close(pipe_ends[0]);
    if (!trial.ran) trial = (eck_core_trial){ core, false, 0, 0, 0, 0 };
    return trial;
}
