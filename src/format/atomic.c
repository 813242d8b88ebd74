/*
 * Targets. Until publish nothing but a locked temporary exists; publish is one rename, after
 * everything is on the disk. What stands at the target's name is looked at twice: at the start, so
 * that hours of work are not done for nothing, and in the very step that replaces it.
 */
#include "format/atomic.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"
#include "format/input.h"
#include "format/output_file.h"
#include "format/temporary.h"

struct ecki_target {
    char *path; /**< as given, for messages */
    char *name; /**< last component of path */
    char *marker; /**< NULL: none */
    int parent; /**< the directory it stands in */
    char *temporary; /**< name in parent; NULL before creation and after publish */
    char *temporary_path; /**< the same from where we are */
    int descriptor; /**< holds the temporary's lock; -1 once an output has taken it over */
    bool directory, replace;
    ecki_output *outputs;
};

/** True if a directory, or one it lies in, is the one described. Takes the descriptor over. */
static bool lies_below(int descriptor, const struct stat *wanted)
{
    enum { DEPTH_MAX = 4096 };
    struct stat here, last = { 0 };
    bool found = false;

    for (int32_t depth = 0; depth < DEPTH_MAX && descriptor >= 0; depth++) {
        if (fstat(descriptor, &here) != 0) break;
        found = here.st_dev == wanted->st_dev && here.st_ino == wanted->st_ino;
        const bool root = depth > 0 && here.st_dev == last.st_dev && here.st_ino == last.st_ino;
        if (found || root) break;
        last = here;
        const int above = openat(descriptor, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        close(descriptor);
        descriptor = above;
    }
    if (descriptor >= 0) close(descriptor);
    return found;
}

/** Opens the directory that the input is, or really lies in. -1: it is nowhere. */
static int input_directory(const char *path)
{
    char place[PATH_MAX];
    struct stat info;

    const int descriptor = open(path, O_PATH | O_CLOEXEC);
    if (descriptor < 0 || (fstat(descriptor, &info) == 0 && S_ISDIR(info.st_mode)))
        return descriptor;
    const bool known = ecki_real_place(place, descriptor);
    close(descriptor);
    char *slash = known ? strrchr(place, '/') : NULL;
    if (!slash) return -1;
    slash[slash == place] = '\0';
    return open(place, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/** Refuses a target that is an input, lies in one, or holds one that replacing it would remove. */
static eck_status check_input(const ecki_target *target, const char *input, eck_error *err)
{
    struct stat from, here;
    char shown[200], detail[300];
    const char *relation = NULL;

    if (stat(input, &from) != 0) return ECK_OK;
    // through links: the file itself must not be touched, by whatever name
    const bool exists = fstatat(target->parent, target->name, &here, 0) == 0;
    const int parent = openat(target->parent, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (exists && from.st_dev == here.st_dev && from.st_ino == here.st_ino)
        relation = "it is the input";
    else if (S_ISDIR(from.st_mode) && lies_below(fcntl(parent, F_DUPFD_CLOEXEC, 0), &from))
        relation = "it lies in the input";
    else if (exists && S_ISDIR(here.st_mode) && lies_below(input_directory(input), &here))
        relation = "it holds the input";
    if (parent >= 0) close(parent);
    if (!relation) return ECK_OK;
    ecki_name_escape(shown, sizeof shown, input);
    snprintf(detail, sizeof detail, "%s '%s'", relation, shown);
    return ecki_write_error(err, ECK_E_RANGE, target->path, detail);
}

/** True if the directory `name` of `parent` holds the marker. */
static bool has_marker(int parent, const char *name, const char *marker)
{
    struct stat info;
    if (!marker) return false;
    const int descriptor = openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (descriptor < 0) return false;
    const bool found =
        fstatat(descriptor, marker, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode);
    close(descriptor);
    return found;
}

/** Refuses what stands at the target's name already and may not be replaced. */
static eck_status check_existing(const ecki_target *target, eck_error *err)
{
    struct stat info;
    const char *path = target->path;

    if (fstatat(target->parent, target->name, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? ECK_OK : ecki_write_failed(err, errno, path);
    const bool fits = target->directory ? S_ISDIR(info.st_mode) : S_ISREG(info.st_mode);
    if (S_ISLNK(info.st_mode))
        return ecki_write_error(err, ECK_E_EXISTS, path,
                                "it is a symbolic link; name what it leads to");
    if (!fits)
        return ecki_write_error(err, ECK_E_EXISTS, path,
                                target->directory ? "it exists and is no directory"
                                                  : "it exists and is no regular file");
    if (!target->replace)
        return ecki_write_error(err, ECK_E_EXISTS, path, "it exists and may not be replaced");
    if (target->directory && !has_marker(target->parent, target->name, target->marker))
        return ecki_write_error(err, ECK_E_EXISTS, path,
                                "the directory exists and was not written by eckart");
    return ECK_OK;
}

/** Splits the path and opens the directory the target stands in. */
static eck_status open_parent(ecki_target *target, const char *path, eck_error *err)
{
    eck_status status = ECK_OK;
    char *parent = NULL;

    int64_t end = (int64_t)strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    int64_t begin = end;
    while (begin > 0 && path[begin - 1] != '/')
        begin--;
    target->name = ecki_strndup(path + begin, end - begin);
    ECK_HAVE(target->name);
    if (!*target->name || strcmp(target->name, ".") == 0 || strcmp(target->name, "..") == 0) {
        status = ecki_write_error(err, ECK_E_RANGE, path, "no name that something could be given");
        goto done;
    }
    parent = begin > 0 ? ecki_strndup(path, begin) : ecki_strdup(".");
    ECK_HAVE(parent);
    target->parent = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (target->parent < 0) status = ecki_write_failed(err, errno, path);
done:
    ecki_free(parent);
    return status;
}

/** "<parent>/<temporary>" as seen from where we are. */
static char *path_beside(const char *path, const char *name)
{
    int64_t end = (int64_t)strlen(path);
    while (end > 1 && path[end - 1] == '/')
        end--;
    while (end > 0 && path[end - 1] != '/')
        end--;
    return ecki_format("%.*s%s", (int)end, path, name);
}

eck_status ecki_target_create(ecki_target **out, const ecki_target_options *options, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_target *target = NULL;

    ECK_ALLOC(target, 1);
    target->parent = target->descriptor = -1;
    target->directory = options->directory;
    target->replace = options->replace;
    target->path = ecki_strdup(options->path);
    ECK_HAVE(target->path);
    if (options->marker) {
        target->marker = ecki_strdup(options->marker);
        ECK_HAVE(target->marker);
    }
    ECK_TRY(open_parent(target, options->path, err));
    for (int64_t i = 0; i < options->input_count; i++)
        ECK_TRY(check_input(target, options->inputs[i], err));
    ECK_TRY(check_existing(target, err));
    ecki_temporary_sweep(target->parent, target->name);
    ECK_TRY(ecki_temporary_create(&target->temporary, &target->descriptor, target->parent,
                                  target->name, target->directory, err));
    target->temporary_path = path_beside(target->path, target->temporary);
    ECK_HAVE(target->temporary_path);
    *out = target;
    target = NULL;
done:
    ecki_target_free(target);
    return status;
}

const char *ecki_target_temporary(const ecki_target *target)
{
    return target->temporary_path;
}

/** Every component of a relative name stays in its directory. */
static bool member_valid(const char *name)
{
    char component[256];
    while (true) {
        const char *slash = strchr(name, '/');
        const size_t length = slash ? (size_t)(slash - name) : strlen(name);
        if (length >= sizeof component) return false;
        memcpy(component, name, length);
        component[length] = '\0';
        if (!ecki_component_valid(component)) return false;
        if (!slash) return true;
        name = slash + 1;
    }
}

/** Makes the folders a member's name goes through; one that is there already is fine. */
static bool make_folders(int directory, const char *name)
{
    char folder[4096];
    for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        const size_t length = (size_t)(slash - name);
        if (length >= sizeof folder) {
            errno = ENAMETOOLONG;
            return false;
        }
        memcpy(folder, name, length);
        folder[length] = '\0';
        if (mkdirat(directory, folder, 0777) != 0 && errno != EEXIST) return false;
    }
    return true;
}

/** Opens a new file in the directory being written. */
static eck_status open_member(ecki_output **out, ecki_target *target, const char *name,
                              eck_error *err)
{
    eck_status status = ECK_OK;
    int descriptor = -1;
    char *path = NULL;

    path = ecki_path_join(target->path, name);
    ECK_HAVE(path);
    if (!member_valid(name)) {
        status = ecki_write_error(err, ECK_E_RANGE, path, "not a name of a file in a directory");
        goto done;
    }
    if (!make_folders(target->descriptor, name)) {
        status = ecki_write_failed(err, errno, path);
        goto done;
    }
    descriptor =
        openat(target->descriptor, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_RDWR, 0666);
    if (descriptor < 0) {
        status = ecki_write_failed(err, errno, path);
        goto done;
    }
    ECK_TRY(ecki_output_create(out, descriptor, path, err));
    descriptor = -1;
done:
    if (descriptor >= 0) close(descriptor);
    ecki_free(path);
    return status;
}

eck_status ecki_target_open(ecki_output **out, ecki_target *target, const char *name,
                            eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_output *output = NULL;

    if ((name != NULL) != target->directory || (!target->directory && target->outputs))
        return ecki_write_error(err, ECK_E_RANGE, target->path,
                                "it is one file, or a directory of some");
    if (target->directory) {
        ECK_TRY(open_member(&output, target, name, err));
    } else {
        ECK_TRY(ecki_output_create(&output, target->descriptor, target->path, err));
        target->descriptor = -1;
    }
    output->next = target->outputs;
    target->outputs = output;
    *out = output;
done:
    return status;
}

/** Copies all bytes, a piece at a time. */
static eck_status copy_bytes(ecki_output *output, const ecki_file *file, eck_error *err)
{
    enum { PIECE = 1 << 20 };
    eck_status status = ECK_OK;
    char *piece = NULL;

    ECK_ALLOC_RAW(piece, ecki_min(PIECE, file->size));
    for (int64_t at = 0; at < file->size; at += PIECE) {
        const int64_t count = ecki_min(PIECE, file->size - at);
        ECK_TRY(ecki_input_read(file, NULL, at, piece, count, err));
        ECK_TRY(ecki_output_write(output, at, piece, count, err));
    }
    ECK_TRY(ecki_input_unchanged(file, err));
done:
    ecki_free(piece);
    return status;
}

eck_status ecki_target_copy(ecki_target *target, const char *name, const char *source_path,
                            eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_file file = ECKI_FILE_NONE;
    ecki_output *output;

    ECK_TRY(ecki_input_open(&file, source_path, source_path, err));
    ECK_TRY(ecki_target_open(&output, target, name, err));
    ECK_TRY(ecki_output_reserve(output, file.size, err));
    ECK_TRY(copy_bytes(output, &file, err));
done:
    ecki_input_close(&file);
    return status;
}

/** Brings the names in a directory and in its folders to the disk; some file systems cannot, and need not. */
static bool sync_folders(int directory, int32_t depth)
{
    enum { DEPTH_MAX = 32 };
    bool synced = fsync(directory) == 0 || errno == EINVAL;
    const int listed = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = listed >= 0 ? fdopendir(listed) : NULL;
    if (!list) return false;
    for (const struct dirent *entry; synced && (entry = readdir(list));) {
        if (entry->d_name[0] == '.' || depth == DEPTH_MAX) continue;
        const int folder =
            openat(directory, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (folder < 0) continue; // a file, synced already
        synced = sync_folders(folder, depth + 1);
        close(folder);
    }
    closedir(list);
    return synced;
}

/** Gives the temporary the permissions of what it replaces. */
static void take_mode(const ecki_target *target)
{
    struct stat info;
    if (fstatat(target->parent, target->name, &info, AT_SYMLINK_NOFOLLOW) != 0) return;
    const int descriptor = target->directory ? target->descriptor : target->outputs->descriptor;
    // a file that others may not read must not become one that they may
    (void)fchmod(descriptor, info.st_mode & 0777);
}

/** True if renameat2() failed because the file system does not know the flag. */
static bool lacks_flag(int number)
{
    return number == EINVAL || number == ENOSYS || number == EOPNOTSUPP;
}

/** Renames onto a name that must be free; 0 or errno. */
static int rename_to_free(const ecki_target *target)
{
    const int parent = target->parent;
    if (renameat2(parent, target->temporary, parent, target->name, RENAME_NOREPLACE) == 0) return 0;
    if (!lacks_flag(errno)) return errno;
    // a directory replaces nothing but an empty one; a second link to a file replaces nothing at
    // all
    if (target->directory)
        return renameat(parent, target->temporary, parent, target->name) == 0 ? 0 : errno;
    if (linkat(parent, target->temporary, parent, target->name, 0) != 0) return errno;
    return unlinkat(parent, target->temporary, 0) == 0 ? 0 : errno;
}

/** Exchanges the new directory with the old by two renames, with a moment in which neither is
 * there. */
static int exchange_in_two(ecki_target *target)
{
    char *aside = ecki_temporary_name(target->parent, target->name);
    if (!aside) return ENOMEM;
    int number = 0;
    const int parent = target->parent;
    if (renameat(parent, target->name, parent, aside) != 0) {
        number = errno;
    } else if (renameat(parent, target->temporary, parent, target->name) != 0) {
        number = errno;
        (void)renameat(parent, aside, parent, target->name);
    } else {
        ecki_free(target->temporary);
        target->temporary = aside;
        aside = NULL;
    }
    ecki_free(aside);
    return number;
}

/** Exchanges the new directory with the old, which then has the temporary's name and is removed; 0
 * or errno. */
static int replace_directory(ecki_target *target)
{
    const int parent = target->parent;
    const char *name = target->name, *temporary = target->temporary;
    if (renameat2(parent, temporary, parent, name, RENAME_EXCHANGE) != 0) {
        if (!lacks_flag(errno)) return errno;
        const int number = exchange_in_two(target);
        if (number != 0) return number;
    }
    // what was there may have been exchanged since we looked: it goes back unless it is one of ours
    if (has_marker(parent, target->temporary, target->marker)) {
        ecki_tree_remove(parent, target->temporary);
        return 0;
    }
    if (renameat2(parent, target->temporary, parent, name, RENAME_EXCHANGE) != 0) {
        // not ours to remove, whatever happens
        ecki_free(target->temporary);
        target->temporary = NULL;
    }
    return EEXIST;
}

/** The one step; 0 or errno. */
static int publish_step(ecki_target *target)
{
    const int parent = target->parent;
    const int number = rename_to_free(target);
    if (number != EEXIST && number != ENOTEMPTY) return number;
    if (!target->replace) return EEXIST;
    if (target->directory) return replace_directory(target);
    return renameat(parent, target->temporary, parent, target->name) == 0 ? 0 : errno;
}

eck_status ecki_target_publish(ecki_target *target, eck_error *err)
{
    eck_status status = ECK_OK;

    if (!target->temporary || (!target->directory && !target->outputs))
        return ecki_write_error(err, ECK_E_RANGE, target->path, "nothing was written");
    for (const ecki_output *output = target->outputs; output; output = output->next)
        ECK_TRY(ecki_output_finish(output, err));
    ECK_TRY(check_existing(target, err));
    take_mode(target);
    if (target->directory && !sync_folders(target->descriptor, 0))
        return ecki_write_failed(err, errno, target->path);
    const int number = publish_step(target);
    if (number != 0) return ecki_write_failed(err, number, target->path);
    ecki_free(target->temporary);
    target->temporary = NULL;
    // some file systems cannot sync a directory
    if (fsync(target->parent) != 0 && errno != EINVAL)
        status = ecki_write_failed(err, errno, target->path);
done:
    return status;
}

void ecki_target_free(ecki_target *target)
{
    if (!target) return;
    if (target->temporary) ecki_tree_remove(target->parent, target->temporary);
    for (ecki_output *output = target->outputs, *next; output; output = next) {
        next = output->next;
        ecki_output_close(output);
    }
    if (target->descriptor >= 0) close(target->descriptor);
    if (target->parent >= 0) close(target->parent);
    ecki_free(target->temporary);
    ecki_free(target->temporary_path);
    ecki_free(target->path);
    ecki_free(target->name);
    ecki_free(target->marker);
    ecki_free(target);
}
