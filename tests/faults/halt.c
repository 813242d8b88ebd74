// Loaded before a program: stops or kills it at a chosen system call, so that a test meets it at that point and need
// not guess how long the way there takes.
//
//     HALT_AT="stop read 20"      before the 20th pread() the program stops, until it is told to go on
//     HALT_AT="kill change 7"     SIGKILL instead of the 7th call that changes a file system; of a write, in its middle
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// How many calls of the chosen kind were made, by all threads together.
static atomic_long calls;

// Counts a call of a kind; true if this one is to die.
static bool is_last(const char *kind)
{
    char verb[8], wanted[8];
    long at;
    const char *const text = getenv("HALT_AT");
    if (!text || sscanf(text, "%7s %7s %ld", verb, wanted, &at) != 3) return false;
    if (strcmp(kind, wanted) != 0 || atomic_fetch_add(&calls, 1) + 1 != at) return false;
    if (strcmp(verb, "kill") == 0) return true;
    kill(getpid(), SIGSTOP);
    return false;
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    pause();
}

// The C library's function of this name, called with these arguments.
#define REAL(result, name, parameters, arguments) \
    result(*real) parameters; \
    void *const found = dlsym(RTLD_NEXT, #name); \
    memcpy(&real, &found, sizeof real); \
    return real arguments

#define CHANGE(result, name, parameters, arguments) \
    result name parameters; \
    result name parameters \
    { \
        if (is_last("change")) die(); \
        REAL(result, name, parameters, arguments); \
    }

CHANGE(int, mkdir, (const char *path, mode_t mode), (path, mode))
CHANGE(int, mkdirat, (int folder, const char *path, mode_t mode), (folder, path, mode))
CHANGE(int, fallocate64, (int file, int mode, off_t offset, off_t size), (file, mode, offset, size))
CHANGE(int, fsync, (int file), (file))
CHANGE(int, unlink, (const char *path), (path))
CHANGE(int, unlinkat, (int folder, const char *path, int flags), (folder, path, flags))
CHANGE(int, renameat, (int from, const char *old, int to, const char *new), (from, old, to, new))
CHANGE(int, renameat2, (int from, const char *old, int to, const char *new, unsigned flags),
       (from, old, to, new, flags))
CHANGE(int, linkat, (int from, const char *old, int to, const char *new, int flags),
       (from, old, to, new, flags))

ssize_t pwrite64(int file, const void *bytes, size_t count, off_t offset);
ssize_t pwrite64(int file, const void *bytes, size_t count, off_t offset)
{
    const bool last = is_last("change");
    if (last) count /= 2;
    ssize_t (*real)(int, const void *, size_t, off_t);
    void *const found = dlsym(RTLD_NEXT, "pwrite64");
    memcpy(&real, &found, sizeof real);
    const ssize_t put = real(file, bytes, count, offset);
    if (last) die();
    return put;
}

ssize_t pread64(int file, void *bytes, size_t count, off_t offset);
ssize_t pread64(int file, void *bytes, size_t count, off_t offset)
{
    if (is_last("read")) die();
    REAL(ssize_t, pread64, (int, void *, size_t, off_t), (file, bytes, count, offset));
}

// The mode is there if the call may create.
static mode_t mode_of(va_list more, int flags)
{
    return flags & O_CREAT ? va_arg(more, mode_t) : 0;
}

int openat64(int folder, const char *path, int flags, ...);
int openat64(int folder, const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    const mode_t mode = mode_of(more, flags);
    va_end(more);
    if (flags & O_CREAT && is_last("change")) die();
    REAL(int, openat64, (int, const char *, int, ...), (folder, path, flags, mode));
}

int open64(const char *path, int flags, ...);
int open64(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    const mode_t mode = mode_of(more, flags);
    va_end(more);
    if (flags & O_CREAT && is_last("change")) die();
    REAL(int, open64, (const char *, int, ...), (path, flags, mode));
}
