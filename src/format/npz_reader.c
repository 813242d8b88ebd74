/*
 * The .npz reader. A stored member is checked by one pass over its bytes and then read in place; a
 * deflated one is inflated to memory, after its size was held against its packed size and against
 * what its array needs.
 */
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"
#include "format/container.h"
#include "format/input.h"
#include "format/npy.h"
#include "format/torch.h"
#include "format/zip.h"

static const char ending[] = ".npy";

/** Inflates a member into a file of its own; gives the file's index. */
static eck_status hold_member(int32_t *index_out, ecki_container *container,
                              const ecki_zip_member *member, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_file held = ECKI_FILE_NONE;

    held.name = ecki_strdup(container->files[0].name);
    ECK_HAVE(held.name);
    held.path = ecki_strdup(container->files[0].path);
    ECK_HAVE(held.path);
    held.size = member->size;
    held.memory = ecki_malloc(member->size, 1);
    if (!held.memory) {
        status = ecki_error_memory(err, member->size);
        goto done;
    }
    ECK_TRY(ecki_zip_inflate(held.memory, &container->files[0], member, err));
    ECK_TRY(ecki_container_take_file(index_out, container, &held, err));
done:
    ecki_input_close(&held);
    return status;
}

/** Reads a member's head and holds its array against the member's size. */
static eck_status read_head(ecki_npy_head *head, const ecki_file *file,
                            const ecki_zip_member *member, eck_error *err)
{
    eck_status status = ECK_OK;
    char bytes[ECKI_NPY_HEAD_MAX];
    const int64_t count = ecki_min(member->size, ECKI_NPY_HEAD_MAX);
    const ecki_place place = { file->name, member->name, member->data };

    ECK_TRY(ecki_zip_head(bytes, file, member, count, err));
    ECK_TRY(ecki_npy_parse(head, bytes, count, place, err));
    const int64_t left = member->size - head->start;
    if (head->bytes > left)
        return ecki_place_error(err, ECK_E_FORMAT, place, "%lld bytes missing of %lld",
                                (long long)(head->bytes - left), (long long)head->bytes);
    if (head->bytes < left)
        return ecki_place_error(err, ECK_E_FORMAT, place, "%lld bytes follow the array",
                                (long long)(left - head->bytes));
done:
    return status;
}

/** One array. */
static eck_status add_member(ecki_container *container, const ecki_zip_member *member,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_npy_head head;
    ecki_entry *entry;
    int32_t index = 0;

    ECK_TRY(read_head(&head, &container->files[0], member, err));
    if (member->deflated)
        ECK_TRY(hold_member(&index, container, member, err));
    else
        ECK_TRY(ecki_zip_check(&container->files[0], member, err));
    char *name = ecki_container_string(container, member->name,
                                       (int64_t)(strlen(member->name) - strlen(ending)));
    ECK_HAVE(name);
    ECK_TRY(ecki_container_add_array(&entry, container, name, &head, err));
    entry->file = index;
    if (!member->deflated) entry->offset += member->data;
done:
    return status;
}

/** True if the member is an array with a name. */
static bool is_array(const char *name)
{
    const size_t length = strlen(name), tail = sizeof ending - 1;
    return length > tail && strcmp(name + length - tail, ending) == 0;
}

/** Adds all arrays; members that are none are remarked. */
static eck_status add_members(ecki_container *container, const ecki_zip *zip, eck_error *err)
{
    const char *file = container->files[0].name, *example = NULL;
    int64_t others = 0;
    char shown[200];

    for (int64_t i = 0; i < zip->count; i++) {
        const ecki_zip_member *member = &zip->members[i];
        if (is_array(member->name)) {
            const eck_status status = add_member(container, member, err);
            if (status != ECK_OK) return status;
        } else if (others++ == 0) {
            example = member->name;
        }
    }
    if (others == 0) return ECK_OK;
    ecki_name_escape(shown, sizeof shown, example);
    return ecki_container_warn(container, err, "%lld members of '%s' are no arrays ('%s')",
                               (long long)others, file, shown);
}

/** By the first bytes of a member, or of the end of an empty archive. */
static ecki_match probe(const ecki_head *head)
{
    const bool zip = head->count >= 4 && (memcmp(head->bytes, "PK\3\4", 4) == 0 ||
                                          memcmp(head->bytes, "PK\5\6", 4) == 0);
    if (zip) return ECKI_MATCH_CONTENT;
    return ecki_ends_with(head->path, ".npz") ? ECKI_MATCH_ENDING : ECKI_MATCH_NONE;
}

/** All arrays of a file. */
static eck_status open_file(ecki_container *container, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_zip zip = { 0 };

    ECK_TRY(ecki_zip_open(&zip, &container->files[0], err));
    ECK_TRY(ecki_torch_has_pickle(&zip) ? ecki_torch_open_zip(container, &zip, err)
                                        : add_members(container, &zip, err));
done:
    ecki_zip_clear(&zip);
    return status;
}

const ecki_reader ecki_reader_npz = { "npz", probe, open_file };
