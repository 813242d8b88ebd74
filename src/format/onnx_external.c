/*
 * Files that external data names. A location is untrusted: it must stay in the model's directory, by its text and by
 * where it really leads; a link may go to the blobs of the hub's cache whose snapshot the directory is, as for shards.
 */
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "format/input.h"
#include "format/onnx.h"

enum { FILES_MAX = 1000, COMPONENT_MAX = 255 };

/** Every component is one, none leads up; "_ORT_MEM_ADDR_", a runtime's mark for a bare pointer, is no file. */
static bool location_valid(const char *location)
{
    char component[COMPONENT_MAX + 1];
    const char *at = location;

    if (strstr(location, "_ORT_MEM_ADDR_")) return false;
    do {
        const size_t length = strcspn(at, "/");
        if (length == 0 || length > COMPONENT_MAX) return false;
        memcpy(component, at, length);
        component[length] = '\0';
        if (!ecki_component_valid(component)) return false;
        at += length;
    } while (*at++ == '/');
    return true;
}

/** Index of a file that is open already, or -1. */
static int32_t find_open(const ecki_container *container, const char *location)
{
    for (int32_t i = container->file_count - 1; i > 0; i--)
        if (container->files[i].descriptor >= 0 && strcmp(container->files[i].name, location) == 0)
            return i;
    return -1;
}

eck_status ecki_onnx_open_external(int32_t *out, ecki_onnx_reading *r, const char *tensor,
                                   const char *location)
{
    eck_status status = ECK_OK;
    eck_error *err = r->wire.err;
    const ecki_place place = { r->wire.file->name, tensor, -1 };
    ecki_file file = ECKI_FILE_NONE;
    char shown[200];

    ecki_name_escape(shown, sizeof shown, location);
    if (!location_valid(location))
        return ecki_place_error(err, ECK_E_FORMAT, place,
                                "external data in '%s', which is no file below the model's "
                                "directory",
                                shown);
    if (!r->directory)
        return ecki_place_error(err, ECK_E_UNSUPPORTED, place,
                                "external data in '%s', and the model comes from no directory",
                                shown);
    *out = find_open(r->container, location);
    if (*out >= 0) return ECK_OK;
    if (r->container->file_count >= FILES_MAX)
        return ecki_place_error(err, ECK_E_UNSUPPORTED, place,
                                "more than %d files of external data", FILES_MAX);
    ECK_TRY(ecki_input_open_in(&file, r->directory, location, err));
    ECK_TRY(ecki_container_take_file(out, r->container, &file, err));
done:
    ecki_input_close(&file);
    return status;
}
