/**
 * How a reader builds a container, and the list of readers.
 *
 * A reader adds files, then entries, then hands over; ecki_container_open() closes the container if
 * it fails, and builds the index by name if it does not.
 */
#ifndef ECKI_CONTAINER_H
#define ECKI_CONTAINER_H

#include "base/error.h"
#include "format/format.h"

enum { ECKI_TENSORS_MAX = 1000000, ECKI_HEAD_BYTES = 512 };

/** What is known of an opened file when a reader for it is sought. */
struct ecki_npy_head;

typedef struct ecki_head {
    const char *path;
    char bytes[ECKI_HEAD_BYTES];
    int64_t count; /**< of bytes, fewer if the file is shorter */
    int64_t size; /**< of the file */
} ecki_head;

typedef enum ecki_match {
    ECKI_MATCH_NONE,
    ECKI_MATCH_ENDING, /**< only the name says so */
    ECKI_MATCH_CONTENT /**< the first bytes say so */
} ecki_match;

typedef struct ecki_reader {
    const char *name;
    ecki_match (*probe)(const ecki_head *head);
    /** Adds the entries of files[0], which is open or held in memory. */
    eck_status (*open)(ecki_container *container, eck_error *err);
} ecki_reader;

/** NULL-ended. */
extern const ecki_reader *const ecki_readers[];
extern const ecki_reader ecki_reader_safetensors, ecki_reader_npy, ecki_reader_npz, ecki_reader_csv,
    ecki_reader_mtx, ecki_reader_onnx, ecki_reader_torch;

/** True if the path ends so, in either case. */
bool ecki_ends_with(const char *path, const char *ending);

/** Makes room for one more element behind `count`, by doubling at powers of two; NULL when out of memory, the array is
 * then as it was. */
void *ecki_grow(void *array, int64_t count, size_t size);

eck_status ecki_container_create(ecki_container **out, const char *path, eck_error *err);

/** Moves a file in and gives its index. On failure it is still the caller's. */
eck_status ecki_container_take_file(int32_t *index_out, ecki_container *container, ecki_file *file,
                                    eck_error *err);

/** A zeroed entry, valid until the next is added. */
eck_status ecki_container_add_entry(ecki_entry **out, ecki_container *container, eck_error *err);

/** The entry of a NumPy array of files[0], its numbers right behind the head. name: lives as long
 * as the container. */
eck_status ecki_container_add_array(ecki_entry **out, ecki_container *container, const char *name,
                                    const struct ecki_npy_head *head, eck_error *err);

/** A copy that lives as long as the container; NULL when out of memory. */
char *ecki_container_string(ecki_container *container, const char *bytes, int64_t length);

/** Room for `length` bytes that live as long as the container; NULL when out of memory. */
char *ecki_container_room(ecki_container *container, int64_t length);

eck_status ecki_container_add_metadata(ecki_container *container, const char *key,
                                       const char *value, eck_error *err);

/** One line; readers count alike remarks and make one of them, so that a file cannot make us hold a
 * million. */
eck_status ecki_container_warn(ecki_container *container, eck_error *err, const char *format, ...)
    ECKI_PRINTF(3, 4);

/** The index by name; refuses a name that comes twice, warns of names that differ in case alone. */
eck_status ecki_container_finish(ecki_container *container, eck_error *err);

/** A directory (format/directory.c), or the shards of the index file `index` in it if that is not
 * NULL. */
eck_status ecki_directory_open(ecki_container *container, const char *index, eck_error *err);

/** Why there is nothing at `path`, with what to do; number = errno. */
eck_status ecki_missing_error(eck_error *err, int number, const char *path);

/** Why a directory is no model, with what to do. */
eck_status ecki_nothing_error(eck_error *err, const char *directory);

#endif
