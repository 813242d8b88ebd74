// Files for tests. Failures here are failures of the test, told by cmocka.
#include "scratch.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "format/format.h"

static char directory[256];

static int remove_entry(const char *path, const struct stat *info, int flag, struct FTW *walk)
{
    (void)info, (void)flag, (void)walk;
    return remove(path);
}

int scratch_setup(void **state)
{
    (void)state;
    // in memory where there is such a place: a disk makes a thousand small files wait
    snprintf(directory, sizeof directory, "/dev/shm/eckart-test-XXXXXX");
    return mkdtemp(directory) ? 0 : scratch_setup_on_disk(state);
}

int scratch_setup_on_disk(void **state)
{
    (void)state;
    const char *base = getenv("TMPDIR");
    snprintf(directory, sizeof directory, "%s/eckart-test-XXXXXX", base && *base ? base : "/tmp");
    return mkdtemp(directory) ? 0 : -1;
}

int scratch_teardown(void **state)
{
    (void)state;
    return nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

const char *scratch_path(const char *format, ...)
{
    static char paths[16][1024];
    static int32_t turn;
    char *path = paths[turn++ % 16], name[700];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

void scratch_write(const char *path, const void *bytes, int64_t count)
{
    FILE *file = fopen(path, "wb");
    if (!file) fail_msg("cannot create %s", path);
    assert_int_equal(fwrite(bytes, 1, (size_t)count, file), count);
    assert_int_equal(fclose(file), 0);
}

void scratch_text(const char *path, const char *text)
{
    scratch_write(path, text, (int64_t)strlen(text));
}

char *scratch_read(const char *path, int64_t *count_out)
{
    FILE *file = fopen(path, "rb");
    if (!file) fail_msg("cannot open %s", path);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    const int64_t count = ftell(file);
    rewind(file);
    char *bytes = malloc((size_t)count + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, (size_t)count, file), count);
    bytes[count] = '\0';
    fclose(file);
    if (count_out) *count_out = count;
    return bytes;
}

bool scratch_exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

int32_t scratch_entries(const char *path)
{
    DIR *list = opendir(path);
    if (!list) fail_msg("cannot list %s", path);
    int32_t count = 0;
    for (const struct dirent *entry; (entry = readdir(list));)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    closedir(list);
    return count;
}

void scratch_safetensors(const char *path, const char *header, int64_t count)
{
    const int64_t length = (int64_t)strlen(header);
    char *bytes = calloc(1, (size_t)(8 + length + count));
    assert_non_null(bytes);
    for (int32_t i = 0; i < 8; i++)
        bytes[i] = (char)((uint64_t)length >> 8 * i);
    memcpy(bytes + 8, header, (size_t)length);
    for (int64_t i = 0; i < count; i++)
        bytes[8 + length + i] = (char)(i % 251);
    scratch_write(path, bytes, 8 + length + count);
    free(bytes);
}

void assert_error(const eck_error *err, eck_status status, int64_t offset, const char *part)
{
    if (err->status != status || err->offset != offset || !strstr(err->message, part))
        fail_msg("status %s at %lld: '%s'; wanted %s at %lld with '%s'",
                 eck_status_name(err->status), (long long)err->offset, err->message,
                 eck_status_name(status), (long long)offset, part);
    const bool upper = err->message[0] >= 'A' && err->message[0] <= 'Z';
    if (upper || err->message[strlen(err->message) - 1] == '.')
        fail_msg("not in house form: '%s'", err->message);
}

struct ecki_container *scratch_open(const char *path)
{
    ecki_container *container = NULL;
    eck_error err = ECK_ERROR_INIT;
    if (ecki_container_open(&container, path, &err) != ECK_OK) fail_msg("%s", err.message);
    return container;
}

void assert_refused(const char *path, eck_status status, int64_t offset, const char *part)
{
    ecki_container *container = NULL;
    eck_error err = ECK_ERROR_INIT;
    assert_int_equal(ecki_container_open(&container, path, &err), status);
    assert_null(container);
    assert_error(&err, status, offset, part);
}
