/*
 * One file being written: positioned writes, space reserved first, size checked last.
 */
#include "format/output_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/text.h"

eck_status ecki_write_error(eck_error *err, eck_status status, const char *path, const char *detail)
{
    char shown[200];
    ecki_name_escape(shown, sizeof shown, path);
    ecki_error(err, status, -1, "cannot write '%s': %s", shown, detail);
    return ecki_error_where(err, status, path, NULL);
}

eck_status ecki_write_failed(eck_error *err, int number, const char *path)
{
    return ecki_error_system(err, number, "cannot write", path);
}

eck_status ecki_output_create(ecki_output **out, int descriptor, const char *name, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_output *output = NULL;

    ECK_ALLOC(output, 1);
    output->name = ecki_strdup(name);
    ECK_HAVE(output->name);
    output->descriptor = descriptor;
    output->reserved = -1;
    *out = output;
    output = NULL;
done:
    ecki_free(output);
    return status;
}

eck_status ecki_output_write(ecki_output *output, int64_t offset, const void *bytes, int64_t count,
                             eck_error *err)
{
    const char *from = bytes;
    int64_t done = 0;

    while (done < count) {
        const ssize_t put =
            pwrite(output->descriptor, from + done, (size_t)(count - done), offset + done);
        if (put < 0 && errno == EINTR) continue;
        if (put < 0) return ecki_write_failed(err, errno, output->name);
        if (put == 0) return ecki_write_failed(err, ENOSPC, output->name);
        done += put;
    }
    return ECK_OK;
}

eck_status ecki_output_read(const ecki_output *output, int64_t offset, void *out, int64_t count,
                            eck_error *err)
{
    char *const to = out;
    for (int64_t done = 0; done < count;) {
        const ssize_t got =
            pread(output->descriptor, to + done, (size_t)(count - done), offset + done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return ecki_write_failed(err, errno, output->name);
        if (got == 0) return ecki_write_error(err, ECK_E_IO, output->name, "it became shorter");
        done += got;
    }
    return ECK_OK;
}

eck_status ecki_output_reserve(ecki_output *output, int64_t bytes, eck_error *err)
{
    output->reserved = bytes;
    if (bytes == 0) return ECK_OK;
    // not posix_fallocate(): where the file system cannot, the C library would write every block
    while (fallocate(output->descriptor, 0, 0, bytes) != 0) {
        if (errno == EINTR) continue;
        if (errno == EOPNOTSUPP || errno == ENOSYS) return ECK_OK;
        return ecki_write_failed(err, errno, output->name);
    }
    return ECK_OK;
}

eck_status ecki_output_finish(const ecki_output *output, eck_error *err)
{
    struct stat info;
    char detail[100];

    if (fsync(output->descriptor) != 0 || fstat(output->descriptor, &info) != 0)
        return ecki_write_failed(err, errno, output->name);
    if (output->reserved < 0 || info.st_size == output->reserved) return ECK_OK;
    snprintf(detail, sizeof detail, "%lld bytes on the disk of %lld", (long long)info.st_size,
             (long long)output->reserved);
    return ecki_write_error(err, ECK_E_IO, output->name, detail);
}

void ecki_output_close(ecki_output *output)
{
    close(output->descriptor);
    ecki_free(output->name);
    ecki_free(output);
}
