/*
 * Temporaries and their removal. A temporary exists unlocked for the moment between its creation
 * and its lock; a sweeper may take it then. So the writer, once it has the lock, looks whether the
 * name still leads to what it created.
 */
#include "format/temporary.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/random.h"

enum {
    NAME_PART = 200, // of a target's name in a temporary's, so that the whole stays below 255 bytes
    LETTERS = 6,
    ATTEMPTS = 100,
    TREE_DEPTH = 32
};

static const char suffix[] = ".eckart-";

/** ".NAME.eckart-", what all temporaries of a target begin with. */
static char *name_prefix(const char *name)
{
    return ecki_format(".%.*s%s", NAME_PART, name, suffix);
}

/** The attempt's name; differs from process to process and from moment to moment. */
static char *attempt_name(const char *name, int32_t attempt)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    char letters[LETTERS + 1];
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    const uint64_t moment = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
    uint64_t bits = ecki_random_bits((uint64_t)getpid(), moment, (uint64_t)attempt);
    for (int32_t i = 0; i < LETTERS; i++, bits /= 36)
        letters[i] = digits[bits % 36];
    letters[LETTERS] = '\0';
    return ecki_format(".%.*s%s%s", NAME_PART, name, suffix, letters);
}

char *ecki_temporary_name(int parent, const char *name)
{
    struct stat info;
    for (int32_t attempt = 0;; attempt++) {
        char *candidate = attempt_name(name, attempt);
        if (!candidate || attempt == ATTEMPTS) return candidate;
        if (fstatat(parent, candidate, &info, AT_SYMLINK_NOFOLLOW) != 0) return candidate;
        ecki_free(candidate);
    }
}

/** Creates and opens; -1 and errno on failure, EEXIST if another name should be tried. */
static int create_at(int parent, const char *name, bool directory)
{
    if (!directory)
        return openat(parent, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_RDWR, 0666);
    if (mkdirat(parent, name, 0777) != 0) return -1;
    const int descriptor = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (descriptor < 0 && errno == ENOENT) errno = EEXIST; // a sweeper was faster
    return descriptor;
}

/** True if the name leads to the open descriptor. */
static bool is_still(int descriptor, int parent, const char *name)
{
    struct stat opened, named;
    return fstat(descriptor, &opened) == 0 &&
           fstatat(parent, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
}

/** Takes the lock; false if a sweeper was faster. Where nothing can be locked, nothing is swept
 * either. */
static bool lock_fresh(int descriptor, int parent, const char *name)
{
    if (flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) return false;
    return is_still(descriptor, parent, name);
}

eck_status ecki_temporary_create(char **name_out, int *descriptor_out, int parent, const char *name,
                                 bool directory, eck_error *err)
{
    for (int32_t attempt = 0; attempt < ATTEMPTS; attempt++) {
        char *candidate = attempt_name(name, attempt);
        if (!candidate) return ecki_error_memory(err, -1);
        const int descriptor = create_at(parent, candidate, directory);
        const int number = errno;
        if (descriptor >= 0 && lock_fresh(descriptor, parent, candidate)) {
            *name_out = candidate;
            *descriptor_out = descriptor;
            return ECK_OK;
        }
        ecki_free(candidate);
        if (descriptor >= 0)
            close(descriptor);
        else if (number != EEXIST)
            return ecki_error_system(err, number, "cannot write", name);
    }
    return ecki_error_system(err, EEXIST, "cannot write", name);
}

/** The next entry but "." and ".."; NULL at the end. */
static const char *next_entry(DIR *directory)
{
    const struct dirent *entry;
    while ((entry = readdir(directory)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            return entry->d_name;
    return NULL;
}

/** Opens a directory of a directory for listing. */
static DIR *open_directory(int parent, const char *name)
{
    const int descriptor = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (descriptor < 0) return NULL;
    DIR *directory = fdopendir(descriptor);
    if (!directory) close(descriptor);
    return directory;
}

/** ecki_tree_remove() to a depth. */
static bool remove_tree(int parent, const char *name, int32_t depth)
{
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT) return true;
    if (depth == 0) return false;
    DIR *directory = open_directory(parent, name);
    if (!directory) return false;
    bool gone = true;
    for (const char *entry; (entry = next_entry(directory));)
        gone = remove_tree(dirfd(directory), entry, depth - 1) && gone;
    closedir(directory);
    return gone && (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT);
}

bool ecki_tree_remove(int parent, const char *name)
{
    return remove_tree(parent, name, TREE_DEPTH);
}

/** Removes one temporary if no living writer holds it and it is this user's. */
static void sweep_one(int parent, const char *name)
{
    struct stat info;
    const int descriptor = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0) return;
    if (fstat(descriptor, &info) == 0 && info.st_uid == geteuid() &&
        (S_ISREG(info.st_mode) || S_ISDIR(info.st_mode)) &&
        flock(descriptor, LOCK_EX | LOCK_NB) == 0 && is_still(descriptor, parent, name))
        ecki_tree_remove(parent, name);
    close(descriptor);
}

void ecki_temporary_sweep(int parent, const char *name)
{
    char *prefix = name_prefix(name);
    DIR *directory = prefix ? open_directory(parent, ".") : NULL;
    const size_t length = prefix ? strlen(prefix) : 0;

    for (const char *entry; directory && (entry = next_entry(directory));)
        if (strncmp(entry, prefix, length) == 0 && strlen(entry) == length + LETTERS)
            sweep_one(parent, entry);
    if (directory) closedir(directory);
    ecki_free(prefix);
}
