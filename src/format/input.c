/*
 * Opening and reading files we do not trust. A file is opened once; everything said about it later
 * (size, kind, place) is asked of the open descriptor, never of the path, so that nothing can be
 * exchanged between check and use.
 */
#include "format/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"
#include "format/json.h"

/** The sentence of both functions below, from a finished detail. */
static eck_status fill_error(eck_error *err, eck_status status, ecki_place place,
                             const char *detail)
{
    char file[200], tensor[200];

    ecki_name_escape(file, sizeof file, place.file);
    if (!place.tensor || !*place.tensor) {
        ecki_error(err, status, place.offset, "cannot read '%s': %s", file, detail);
        return ecki_error_where(err, status, place.file, NULL);
    }
    ecki_name_escape(tensor, sizeof tensor, place.tensor);
    ecki_error(err, status, place.offset, "cannot read tensor '%s' of '%s': %s", tensor, file,
               detail);
    return ecki_error_where(err, status, place.file, place.tensor);
}

eck_status ecki_place_error(eck_error *err, eck_status status, ecki_place place, const char *format,
                            ...)
{
    char detail[500];
    va_list arguments;
    va_start(arguments, format);
    ecki_vformat(detail, sizeof detail, format, arguments);
    va_end(arguments);
    return fill_error(err, status, place, detail);
}

eck_status ecki_read_error(eck_error *err, eck_status status, int64_t offset, const char *file,
                           const char *format, ...)
{
    char detail[500];
    va_list arguments;
    va_start(arguments, format);
    ecki_vformat(detail, sizeof detail, format, arguments);
    va_end(arguments);
    return fill_error(err, status, (ecki_place){ file, NULL, offset }, detail);
}

/** strerror as "cannot read '<name>': ...". */
static eck_status system_error(eck_error *err, int number, const char *name)
{
    return ecki_error_where(err, ecki_error_system(err, number, "cannot read", name), name, NULL);
}

/** What a file that is no regular file is. */
static const char *kind_of(mode_t mode)
{
    if (S_ISDIR(mode)) return "a directory";
    if (S_ISFIFO(mode)) return "a FIFO";
    if (S_ISSOCK(mode)) return "a socket";
    return "a device";
}

static int64_t nanoseconds(struct timespec time)
{
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/** Fills what fstat tells; refuses all but regular files. */
static eck_status describe(ecki_file *file, eck_error *err)
{
    struct stat info;
    if (fstat(file->descriptor, &info) != 0) return system_error(err, errno, file->name);
    if (!S_ISREG(info.st_mode))
        return ecki_read_error(err, ECK_E_IO, -1, file->name, "it is %s, not a regular file",
                               kind_of(info.st_mode));
    file->size = info.st_size;
    file->device = (int64_t)info.st_dev;
    file->inode = (int64_t)info.st_ino;
    file->modified_ns = nanoseconds(info.st_mtim);
    file->changed_ns = nanoseconds(info.st_ctim);
    return ECK_OK;
}

eck_status ecki_input_open(ecki_file *out, const char *path, const char *name, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_file file = ECKI_FILE_NONE;

    file.name = ecki_strdup(name);
    ECK_HAVE(file.name);
    file.path = ecki_strdup(path);
    ECK_HAVE(file.path);
    // a FIFO must not make us wait, a terminal must not become ours
    file.descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (file.descriptor < 0) {
        status = system_error(err, errno, name);
        goto done;
    }
    ECK_TRY(describe(&file, err));
    *out = file;
    file = ECKI_FILE_NONE;
done:
    ecki_input_close(&file);
    return status;
}

void ecki_input_close(ecki_file *file)
{
    if (file->descriptor >= 0) close(file->descriptor);
    ecki_free(file->name);
    ecki_free(file->path);
    ecki_free(file->memory);
    *file = ECKI_FILE_NONE;
}

char *ecki_path_join(const char *directory, const char *name)
{
    const size_t length = strlen(directory);
    const bool slash = length > 0 && directory[length - 1] == '/';
    return ecki_format("%s%s%s", directory, slash ? "" : "/", name);
}

bool ecki_real_place(char out[PATH_MAX], int descriptor)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    const ssize_t length = readlink(link, out, PATH_MAX - 1);
    if (length <= 0) return false;
    out[length] = '\0';
    return true;
}

/** True if `place` lies in `directory`, both without links. */
static bool lies_in(const char *place, const char *directory)
{
    const size_t length = strlen(directory);
    if (strcmp(directory, "/") == 0) return true;
    return strncmp(place, directory, length) == 0 && place[length] == '/';
}

/** Cuts the last component off a path without links; false if it is not `name` (NULL: any). */
static bool cut_component(char *path, const char *name)
{
    char *slash = strrchr(path, '/');
    if (!slash || (name && strcmp(slash + 1, name) != 0)) return false;
    *slash = '\0';
    return true;
}

/** True if the open file lies in the open directory, or in <root>/blobs of
 * <root>/snapshots/<commit>. */
static bool is_contained(int file, int directory)
{
    char place[PATH_MAX], root[PATH_MAX], blobs[PATH_MAX + 8];

    if (!ecki_real_place(place, file) || !ecki_real_place(root, directory)) return false;
    if (lies_in(place, root)) return true;
    if (!cut_component(root, NULL) || !cut_component(root, "snapshots")) return false;
    snprintf(blobs, sizeof blobs, "%s/blobs", root);
    return lies_in(place, blobs);
}

bool ecki_place_contained(const char *path, const char *directory)
{
    const int place = open(path, O_PATH | O_CLOEXEC);
    const int root = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    const bool contained = place >= 0 && root >= 0 && is_contained(place, root);
    if (place >= 0) close(place);
    if (root >= 0) close(root);
    return contained;
}

/** True if the open file was reached by a symbolic link that leads out of the directory. */
static bool leads_out(const ecki_file *file, const char *directory)
{
    struct stat info;
    // of a name with folders in it, any of them may be a link
    if (!strchr(file->name, '/') && lstat(file->path, &info) == 0 && !S_ISLNK(info.st_mode) &&
        (int64_t)info.st_ino == file->inode && (int64_t)info.st_dev == file->device)
        return false;
    const int root = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    const bool contained = root >= 0 && is_contained(file->descriptor, root);
    if (root >= 0) close(root);
    return !contained;
}

eck_status ecki_input_open_in(ecki_file *out, const char *directory, const char *name,
                              eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_file file = ECKI_FILE_NONE;
    char *path = NULL;

    path = ecki_path_join(directory, name);
    ECK_HAVE(path);
    ECK_TRY(ecki_input_open(&file, path, name, err));
    if (leads_out(&file, directory)) {
        status = ecki_read_error(
            err, ECK_E_IO, -1, path,
            "it is a symbolic link that leaves its directory; name the file itself");
        goto done;
    }
    *out = file;
    file = ECKI_FILE_NONE;
done:
    ecki_input_close(&file);
    ecki_free(path);
    return status;
}

/** ECK_E_IO unless the file still has the size it was opened with. */
static eck_status check_size(const ecki_file *file, const char *tensor, eck_error *err)
{
    struct stat info;
    if (fstat(file->descriptor, &info) != 0) return system_error(err, errno, file->name);
    if (info.st_size == file->size) return ECK_OK;
    return ecki_place_error(err, ECK_E_IO,
                            (ecki_place){ file->name, tensor, ecki_min(info.st_size, file->size) },
                            "the file changed while being read: %lld bytes, %lld when opened",
                            (long long)info.st_size, (long long)file->size);
}

/** Bytes of a file that is held whole. */
static eck_status read_memory(const ecki_file *file, ecki_place place, void *out, int64_t count,
                              eck_error *err)
{
    const int64_t left = ecki_max(file->size - place.offset, 0);
    if (count > left)
        return ecki_place_error(err, ECK_E_IO, place, "%lld bytes missing of %lld",
                                (long long)(count - left), (long long)count);
    if (count > 0) memcpy(out, (const char *)file->memory + place.offset, (size_t)count);
    return ECK_OK;
}

eck_status ecki_input_read(const ecki_file *file, const char *tensor, int64_t offset, void *out,
                           int64_t count, eck_error *err)
{
    char *bytes = out;
    int64_t done = 0;

    if (file->memory)
        return read_memory(file, (ecki_place){ file->name, tensor, offset }, out, count, err);
    while (done < count) {
        const ssize_t got =
            pread(file->descriptor, bytes + done, (size_t)(count - done), offset + done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return system_error(err, errno, file->name);
        if (got == 0)
            return ecki_place_error(
                err, ECK_E_IO, (ecki_place){ file->name, tensor, offset + done },
                "%lld bytes missing of %lld", (long long)(count - done), (long long)count);
        done += got;
    }
    return check_size(file, tensor, err);
}

eck_status ecki_input_unchanged(const ecki_file *file, eck_error *err)
{
    struct stat info;
    if (fstat(file->descriptor, &info) != 0) return system_error(err, errno, file->name);
    bool same = info.st_size == file->size && nanoseconds(info.st_mtim) == file->modified_ns;
    // the name must still lead to the file that was read
    same = same && stat(file->path, &info) == 0 && (int64_t)info.st_ino == file->inode &&
           (int64_t)info.st_dev == file->device;
    if (same) return ECK_OK;
    return ecki_read_error(err, ECK_E_IO, -1, file->name, "the file changed while being read");
}

eck_status ecki_input_drain(char **out, int64_t *length_out, int descriptor, const char *name,
                            int64_t limit, eck_error *err)
{
    enum { FIRST_ROOM = 1 << 16 };
    eck_status status = ECK_OK;
    int64_t room = FIRST_ROOM, length = 0;
    char *text = NULL;

    ECK_ALLOC_RAW(text, room + 1);
    for (;;) {
        const ssize_t got = read(descriptor, text + length, (size_t)(room - length));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            status = system_error(err, errno, name);
            goto done;
        }
        if (got == 0) break;
        length += got;
        if (length > limit) {
            status = ecki_read_error(err, ECK_E_UNSUPPORTED, limit, name, "more than %lld bytes",
                                     (long long)limit);
            goto done;
        }
        if (length < room) continue;
        char *more = ecki_realloc(text, 2 * room + 1, 1);
        ECK_HAVE(more);
        text = more;
        room *= 2;
    }
    text[length] = '\0';
    *out = text;
    *length_out = length;
    text = NULL;
done:
    ecki_free(text);
    return status;
}

eck_status ecki_input_check_pointer(const char *head, int64_t length, const char *name,
                                    eck_error *err)
{
    static const char mark[] = "version https://git-lfs";
    const int64_t size = (int64_t)sizeof mark - 1;
    if (length < size || memcmp(head, mark, (size_t)size) != 0) return ECK_OK;
    return ecki_read_error(
        err, ECK_E_FORMAT, 0, name,
        "it is a git-lfs pointer, not the file itself; run 'git lfs pull' where it was cloned");
}

eck_status ecki_read_file_if_there(char **out, int64_t *length_out, const char *path, int64_t limit,
                                   eck_error *err)
{
    struct stat here;
    if (lstat(path, &here) != 0 && errno == ENOENT) {
        *out = NULL;
        *length_out = 0;
        return ECK_OK;
    }
    return ecki_read_file(out, length_out, path, limit, err);
}

eck_status ecki_read_file(char **out, int64_t *length_out, const char *path, int64_t limit,
                          eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_file file = ECKI_FILE_NONE;
    char *text = NULL;

    ECK_TRY(ecki_input_open(&file, path, path, err));
    if (file.size > limit) {
        status = ecki_read_error(err, ECK_E_UNSUPPORTED, limit, path, "%lld bytes, more than %lld",
                                 (long long)file.size, (long long)limit);
        goto done;
    }
    ECK_ALLOC_RAW(text, file.size + 1);
    ECK_TRY(ecki_input_read(&file, NULL, 0, text, file.size, err));
    ECK_TRY(ecki_input_check_pointer(text, file.size, path, err));
    text[file.size] = '\0';
    *out = text;
    *length_out = file.size;
    text = NULL;
done:
    ecki_free(text);
    ecki_input_close(&file);
    return status;
}
