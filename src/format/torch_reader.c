/*
 * Checkpoints of PyTorch (.pt, .pth, .bin), in both forms:
 *
 *   zip     <top>/data.pkl, a pickle of the object; <top>/data/<key>, the bytes of a storage, stored; <top>/version,
 *           <top>/byteorder
 *   legacy  five pickles: a magic number, a protocol, facts about the system, the object, the keys of storages; then for
 *           each key its count of elements in eight bytes, and they
 *
 * The pickle only describes: dictionaries, and tensors as views of storages (format/pickle.h). Tensors are the entries;
 * their names are the keys on the way to them, joined by dots. A view that lies in order is read in place; any other is gathered into
 * memory when the file is opened.
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"
#include "format/container.h"
#include "format/input.h"
#include "format/pickle.h"
#include "format/torch.h"
#include "format/zip.h"

enum { DEPTH_MAX = 64, VISITS_MAX = 10000000, GATHERED_MAX = 1 << 30, NAME_BYTES = 1024 };

/** The bytes of a storage. */
typedef struct storage {
    const char *key;
    int64_t offset, bytes, count; /**< count of elements as first said; -1 not yet */
    eck_dtype dtype;
    bool used;
} storage;

typedef struct reading {
    ecki_container *container;
    const ecki_file *file;
    ecki_pickle pickle;
    storage *storages; /**< sorted by key */
    int64_t storage_count;
    char name[NAME_BYTES + 2]; /**< keys so far */
    int64_t visits, gathered;
    eck_error *err;
} reading;

/** Fails about a tensor, or the file. */
static eck_status fail(const reading *r, const char *tensor, eck_status status, const char *what)
{
    return ecki_place_error(r->err, status, (ecki_place){ r->file->name, tensor, -1 }, "%s", what);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const storage *)a)->key, ((const storage *)b)->key);
}

static storage *find_storage(const reading *r, const char *key)
{
    const storage wanted = { .key = key };
    if (r->storage_count == 0) return NULL;
    return bsearch(&wanted, r->storages, (size_t)r->storage_count, sizeof *r->storages, by_key);
}

/* ---- tensors ------------------------------------------------------------------------------------------------------ */

/** A tensor as the pickle describes it: elements of a storage. */
typedef struct view {
    storage *storage;
    eck_dtype dtype;
    int64_t offset; /**< in elements */
    int32_t ndim;
    int64_t shape[ECK_DIMS_MAX], stride[ECK_DIMS_MAX];
    int64_t count, last; /**< elements; index of the last one from offset on */
} view;

/** Integers of a tuple. */
static bool read_tuple(int64_t *out, int32_t *count_out, const ecki_pickle *p,
                       const ecki_pickle_value *tuple)
{
    if (!tuple || tuple->kind != ECKI_PICKLE_TUPLE || tuple->count > ECK_DIMS_MAX) return false;
    for (int32_t i = 0; i < tuple->count; i++) {
        const ecki_pickle_value *value = ecki_pickle_item(p, tuple, i);
        if (value->kind != ECKI_PICKLE_INT || value->integer < 0) return false;
        out[i] = value->integer;
    }
    *count_out = tuple->count;
    return true;
}

/** The storage of a persistent id ("storage", type, key, location, count[, view]); the same for every use of a key. */
static eck_status read_storage(view *v, reading *r, const ecki_pickle_value *id)
{
    const ecki_pickle *p = &r->pickle;
    const ecki_pickle_value *type = ecki_pickle_item(p, id, 1), *key = ecki_pickle_item(p, id, 2),
                            *count = ecki_pickle_item(p, id, 4), *part = ecki_pickle_item(p, id, 5);
    int64_t bytes;

    if (type->kind != ECKI_PICKLE_NAME ||
        (type->integer != ECKI_NAME_STORAGE && type->integer != ECKI_NAME_BYTES) ||
        key->kind != ECKI_PICKLE_TEXT || count->kind != ECKI_PICKLE_INT || count->integer < 0)
        return fail(r, r->name, ECK_E_FORMAT, "its storage is not described as one");
    if (part && part->kind != ECKI_PICKLE_NONE)
        return fail(r, r->name, ECK_E_UNSUPPORTED, "its storage is part of another");
    storage *s = find_storage(r, key->text);
    if (!s) return fail(r, r->name, ECK_E_FORMAT, "its storage is missing");
    if (s->used && (s->count != count->integer || s->dtype != type->dtype))
        return fail(r, r->name, ECK_E_FORMAT, "its storage is of another type or size elsewhere");
    if (!ecki_mul(count->integer, eck_dtype_bits(type->dtype) / 8, &bytes) || bytes != s->bytes)
        return fail(r, r->name, ECK_E_FORMAT, "its storage has not as many bytes as it says");
    s->used = true;
    s->count = count->integer;
    s->dtype = type->dtype;
    v->storage = s;
    v->dtype = type->dtype;
    return ECK_OK;
}

/** The type a tensor gives itself, over a storage of bytes. */
static eck_status read_dtype(view *v, reading *r, const ecki_pickle_value *tensor)
{
    const ecki_pickle_value *type = ecki_pickle_item(&r->pickle, tensor, 6);
    if (tensor->integer != ECKI_NAME_TENSOR_TYPED) return ECK_OK;
    if (!type || type->kind != ECKI_PICKLE_NAME || type->integer != ECKI_NAME_DTYPE)
        return fail(r, r->name, ECK_E_FORMAT, "its type is not said");
    v->dtype = type->dtype;
    return ECK_OK;
}

/** Counts, and holds the last element against the storage. */
static eck_status check_view(view *v, const reading *r)
{
    int64_t step, bytes;
    const int64_t size = eck_dtype_bits(v->dtype) / 8;

    if (!ecki_shape_count(v->ndim, v->shape, &v->count))
        return fail(r, r->name, ECK_E_FORMAT, "its shape has too many numbers");
    for (int32_t i = 0; i < v->ndim && v->count > 0; i++)
        if (!ecki_mul(v->shape[i] - 1, v->stride[i], &step) || !ecki_add(v->last, step, &v->last))
            return fail(r, r->name, ECK_E_FORMAT, "its strides lead too far");
    if (v->count == 0) return ECK_OK;
    if (!ecki_add(v->offset, v->last, &step) || !ecki_add(step, 1, &step) ||
        !ecki_mul(step, size, &bytes) || bytes > v->storage->bytes)
        return fail(r, r->name, ECK_E_FORMAT, "it reaches beyond its storage");
    return ECK_OK;
}

static eck_status read_view(view *v, reading *r, const ecki_pickle_value *tensor)
{
    eck_status status = ECK_OK;
    const ecki_pickle *p = &r->pickle;
    const ecki_pickle_value *id = ecki_pickle_item(p, tensor, 0);
    const ecki_pickle_value *offset = ecki_pickle_item(p, tensor, 1);
    int32_t strides = 0;

    *v = (view){ 0 };
    if (id->kind != ECKI_PICKLE_STORAGE || offset->kind != ECKI_PICKLE_INT || offset->integer < 0)
        return fail(r, r->name, ECK_E_FORMAT, "it is not described as a view of a storage");
    v->offset = offset->integer;
    if (!read_tuple(v->shape, &v->ndim, p, ecki_pickle_item(p, tensor, 2)) ||
        !read_tuple(v->stride, &strides, p, ecki_pickle_item(p, tensor, 3)) || strides != v->ndim)
        return fail(r, r->name, ECK_E_FORMAT,
                    "its size and strides are not two tuples of at most 8 numbers");
    ECK_TRY(read_storage(v, r, id));
    ECK_TRY(read_dtype(v, r, tensor));
    ECK_TRY(check_view(v, r));
done:
    return status;
}

/** True if the elements lie in order, the last index fastest. */
static bool lies_in_order(const view *v)
{
    int64_t step = 1;
    for (int32_t d = v->ndim - 1; d >= 0; d--) {
        if (v->shape[d] != 1 && v->stride[d] != step) return false;
        step *= v->shape[d];
    }
    return true;
}

/** Copies a view in order; `from` is its first element. */
static void gather(char *to, const char *from, const view *v, int64_t size)
{
    int64_t index[ECK_DIMS_MAX] = { 0 }, at = 0;

    for (int64_t i = 0; i < v->count; i++) {
        memcpy(to + i * size, from + at * size, (size_t)size);
        for (int32_t d = v->ndim - 1; d >= 0; d--) {
            at += v->stride[d];
            if (++index[d] < v->shape[d]) break;
            at -= v->stride[d] * v->shape[d];
            index[d] = 0;
        }
    }
}

/** A view that lies in no order, gathered into memory of its own. */
static eck_status hold_view(ecki_entry *entry, reading *r, const view *v)
{
    eck_status status = ECK_OK;
    eck_error *err = r->err;
    ecki_file held = ECKI_FILE_NONE;
    const int64_t size = eck_dtype_bits(v->dtype) / 8, span = (v->last + 1) * size;
    char *bytes = NULL;

    if (v->count > v->last + 1 || r->gathered + entry->bytes > GATHERED_MAX)
        return fail(r, r->name, ECK_E_UNSUPPORTED,
                    "a view that repeats elements, or more than a gigabyte of views out of order");
    r->gathered += entry->bytes;
    held.name = ecki_strdup(r->file->name);
    ECK_HAVE(held.name);
    held.path = ecki_strdup(r->file->path);
    ECK_HAVE(held.path);
    held.size = entry->bytes;
    ECK_ALLOC_RAW(bytes, span);
    held.memory = ecki_malloc(entry->bytes, 1);
    ECK_HAVE(held.memory);
    ECK_TRY(
        ecki_input_read(r->file, r->name, v->storage->offset + v->offset * size, bytes, span, err));
    gather(held.memory, bytes, v, size);
    ECK_TRY(ecki_container_take_file(&entry->file, r->container, &held, err));
    entry->offset = 0;
done:
    ecki_free(bytes);
    ecki_input_close(&held);
    return status;
}

static eck_status add_tensor(reading *r, const ecki_pickle_value *tensor)
{
    eck_status status = ECK_OK;
    eck_error *err = r->err;
    ecki_entry entry = { 0 }, *added;
    view v;

    if (!ecki_name_valid(r->name, (int64_t)strlen(r->name)))
        return fail(r, r->name, ECK_E_FORMAT, "its name has control characters or is too long");
    ECK_TRY(read_view(&v, r, tensor));
    entry.dtype = v.dtype;
    entry.ndim = v.ndim;
    memcpy(entry.shape, v.shape, sizeof entry.shape);
    entry.bytes = v.count * (eck_dtype_bits(v.dtype) / 8);
    entry.offset = v.storage->offset + v.offset * (eck_dtype_bits(v.dtype) / 8);
    if (v.count == 0) entry.offset = v.storage->offset;
    if (v.count > 0 && !lies_in_order(&v)) ECK_TRY(hold_view(&entry, r, &v));
    entry.name = ecki_container_string(r->container, r->name, (int64_t)strlen(r->name));
    ECK_HAVE(entry.name);
    ECK_TRY(ecki_container_add_entry(&added, r->container, err));
    *added = entry;
done:
    return status;
}

/* ---- names -------------------------------------------------------------------------------------------------------- */

static eck_status visit(reading *r, const ecki_pickle_value *value, int32_t depth);

/** The values of a dictionary under their keys; keys that are no text are left. */
static eck_status visit_items(reading *r, const ecki_pickle_value *dict, int32_t depth)
{
    const ecki_pickle *p = &r->pickle;
    const size_t length = strlen(r->name);
    eck_status status = ECK_OK;

    for (int32_t cell = dict->first; cell >= 0 && status == ECK_OK;) {
        const ecki_pickle_cell *key = &p->cells[cell];
        if (key->next < 0) break;
        const ecki_pickle_value *name = &p->values[key->value];
        const ecki_pickle_value *value = &p->values[p->cells[key->next].value];
        cell = p->cells[key->next].next;
        if (value->kind != ECKI_PICKLE_DICT && value->kind != ECKI_PICKLE_TENSOR) continue;
        if (name->kind != ECKI_PICKLE_TEXT) continue;
        if (length + (size_t)name->length + 1 > NAME_BYTES ||
            strlen(name->text) != (size_t)name->length)
            return fail(r, r->name, ECK_E_FORMAT,
                        "a name below it is too long or has a zero in it");
        memcpy(r->name + length, length ? "." : "", 1);
        memcpy(r->name + length + (length ? 1 : 0), name->text, (size_t)name->length + 1);
        status = visit(r, value, depth + 1);
        r->name[length] = '\0';
    }
    return status;
}

/** Adds the tensors of a value. */
static eck_status visit(reading *r, const ecki_pickle_value *value, int32_t depth)
{
    if (r->visits++ > VISITS_MAX || depth > DEPTH_MAX)
        return fail(r, NULL, ECK_E_UNSUPPORTED,
                    "dictionaries nested more than 64 deep, or in a circle");
    if (value->kind == ECKI_PICKLE_TENSOR) return add_tensor(r, value);
    return visit_items(r, value, depth);
}

/** True if some value of the dictionary is a tensor. */
static bool has_tensors(const ecki_pickle *p, const ecki_pickle_value *dict)
{
    int64_t place = 0;
    for (int32_t cell = dict->first; cell >= 0; cell = p->cells[cell].next)
        if (place++ % 2 == 1 && p->values[p->cells[cell].value].kind == ECKI_PICKLE_TENSOR)
            return true;
    return false;
}

/** The dictionary under a dotted key; NULL if there is none. */
static const ecki_pickle_value *under_key(const ecki_pickle *p, const ecki_pickle_value *root,
                                          const char *key)
{
    char part[NAME_BYTES];
    while (root && root->kind == ECKI_PICKLE_DICT && *key) {
        const ecki_pickle_value *whole = ecki_pickle_get(p, root, key);
        if (whole) return whole;
        const size_t length = strcspn(key, ".");
        if (length >= sizeof part) return NULL;
        memcpy(part, key, length);
        part[length] = '\0';
        root = ecki_pickle_get(p, root, part);
        key += length + (key[length] == '.');
    }
    return root;
}

/** Keys under which a checkpoint keeps the model, the likeliest first. */
static const ecki_pickle_value *find_model(const ecki_pickle *p, const ecki_pickle_value *root)
{
    static const char *const keys[] = { "state_dict", "model_state_dict", "model", "module",
                                        "params_ema", "params",           "net",   "weights" };
    if (has_tensors(p, root)) return root;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const ecki_pickle_value *found = ecki_pickle_get(p, root, keys[i]);
        if (found && found->kind == ECKI_PICKLE_DICT && found->count > 0) return found;
    }
    return root;
}

/** Adds the tensors of the checkpoint. */
static eck_status add_tensors(reading *r)
{
    const ecki_pickle *p = &r->pickle;
    const ecki_pickle_value *root = &p->values[p->root];
    const char *key = r->container->key;

    if (root->kind != ECKI_PICKLE_DICT && root->kind != ECKI_PICKLE_TENSOR)
        return fail(r, NULL, ECK_E_UNSUPPORTED, "its pickle is no dictionary of tensors");
    if (root->kind == ECKI_PICKLE_TENSOR) {
        memcpy(r->name, "tensor", sizeof "tensor");
        return add_tensor(r, root);
    }
    const ecki_pickle_value *model = key ? under_key(p, root, key) : find_model(p, root);
    if (!model || model->kind != ECKI_PICKLE_DICT)
        return ecki_read_error(r->err, ECK_E_RANGE, -1, r->file->name,
                               "it has no dictionary under the key '%s'", key ? key : "");
    const eck_status status = visit(r, model, 0);
    if (status == ECK_OK && r->container->entry_count == 0)
        return fail(r, NULL, ECK_E_UNSUPPORTED, "there is no tensor in it");
    return status;
}

/* ---- zip ---------------------------------------------------------------------------------------------------------- */

/** The member "<top>/data.pkl"; NULL if there is none. */
static const ecki_zip_member *find_pickle(const ecki_zip *zip)
{
    static const char ending[] = "/data.pkl";
    for (int64_t i = 0; i < zip->count; i++) {
        const char *name = zip->members[i].name;
        const size_t length = strlen(name), tail = sizeof ending - 1;
        if (length > tail && strcmp(name + length - tail, ending) == 0 &&
            strchr(name, '/') == name + length - tail)
            return &zip->members[i];
    }
    return NULL;
}

bool ecki_torch_has_pickle(const ecki_zip *zip)
{
    return find_pickle(zip) != NULL;
}

/** Notes a member: a storage, or what speaks against reading. top: bytes of "<top>/". */
static eck_status note_member(reading *r, const ecki_zip_member *member, const char *top,
                              size_t length)
{
    char order[4] = "";
    const char *name = member->name + length;

    if (strncmp(member->name, top, length) != 0)
        return fail(r, member->name, ECK_E_FORMAT, "a member beside the archive's one folder");
    if (strcmp(name, "constants.pkl") == 0)
        return fail(r, member->name, ECK_E_UNSUPPORTED,
                    "it is a program (TorchScript); save the state_dict");
    if (strcmp(name, "byteorder") == 0) {
        const eck_status status =
            ecki_zip_head(order, r->file, member, ecki_min(member->size, 3), r->err);
        if (status != ECK_OK) return status;
        if (strcmp(order, "big") == 0)
            return fail(r, member->name, ECK_E_UNSUPPORTED, "its numbers are big-endian");
    }
    if (strncmp(name, "data/", 5) != 0) return ECK_OK;
    if (member->deflated)
        return fail(r, member->name, ECK_E_UNSUPPORTED, "a storage that is compressed");
    r->storages[r->storage_count++] =
        (storage){ .key = name + 5, .offset = member->data, .bytes = member->size, .count = -1 };
    return ECK_OK;
}

eck_status ecki_torch_open_zip(ecki_container *container, const ecki_zip *zip, eck_error *err)
{
    eck_status status = ECK_OK;
    // a copy: the container's files may move when gathered views join them
    const ecki_file file = container->files[0];
    reading r = { .container = container, .file = &file, .err = err };
    const ecki_zip_member *pickle = find_pickle(zip);
    const size_t top = strlen(pickle->name) - strlen("data.pkl");

    container->format = "torch";
    ECK_ALLOC(r.storages, zip->count);
    for (int64_t i = 0; i < zip->count; i++)
        ECK_TRY(note_member(&r, &zip->members[i], pickle->name, top));
    qsort(r.storages, (size_t)r.storage_count, sizeof *r.storages, by_key);
    if (pickle->deflated) {
        status = fail(&r, pickle->name, ECK_E_UNSUPPORTED, "a pickle that is compressed");
        goto done;
    }
    ECK_TRY(ecki_zip_check(&file, pickle, err));
    ECK_TRY(ecki_pickle_read(&r.pickle, container, &file,
                             (ecki_span){ pickle->data, pickle->data + pickle->size }, err));
    if (r.pickle.end != pickle->data + pickle->size) {
        status = fail(&r, pickle->name, ECK_E_FORMAT, "bytes follow the end of its pickle");
        goto done;
    }
    ECK_TRY(add_tensors(&r));
done:
    ecki_pickle_clear(&r.pickle);
    ecki_free(r.storages);
    return status;
}

/* ---- legacy ------------------------------------------------------------------------------------------------------- */

/** Bytes of an element, by the persistent ids of the object, for each key; 0 where none names it. */
static eck_status legacy_sizes(reading *r, const ecki_pickle *object)
{
    for (int64_t i = 0; i < object->value_count; i++) {
        const ecki_pickle_value *id = &object->values[i];
        if (id->kind != ECKI_PICKLE_STORAGE) continue;
        const ecki_pickle_value *type = ecki_pickle_item(object, id, 1);
        const ecki_pickle_value *key = ecki_pickle_item(object, id, 2);
        storage *s = key->kind == ECKI_PICKLE_TEXT ? find_storage(r, key->text) : NULL;
        if (s && type->kind == ECKI_PICKLE_NAME) s->dtype = type->dtype;
    }
    return ECK_OK;
}

/** Places of the storages, which follow the last pickle in the order of the keys. */
static eck_status legacy_storages(reading *r, const ecki_pickle *keys, const ecki_pickle *object)
{
    eck_status status = ECK_OK;
    eck_error *err = r->err;
    const ecki_pickle_value *list = &keys->values[keys->root];
    int64_t at = keys->end;
    unsigned char head[8];

    if (list->kind != ECKI_PICKLE_LIST)
        return fail(r, NULL, ECK_E_FORMAT, "its keys of storages are no list");
    ECK_ALLOC(r->storages, list->count);
    for (int32_t c = list->first; c >= 0; c = keys->cells[c].next) {
        const ecki_pickle_value *key = &keys->values[keys->cells[c].value];
        if (key->kind != ECKI_PICKLE_TEXT)
            return fail(r, NULL, ECK_E_FORMAT, "a key of a storage is no text");
        r->storages[r->storage_count++] = (storage){ .key = key->text, .count = -1 };
    }
    qsort(r->storages, (size_t)r->storage_count, sizeof *r->storages, by_key);
    ECK_TRY(legacy_sizes(r, object));
    for (int32_t c = list->first; c >= 0; c = keys->cells[c].next) {
        storage *s = find_storage(r, keys->values[keys->cells[c].value].text);
        uint64_t count = 0;
        ECK_TRY(ecki_input_read(r->file, NULL, at, head, sizeof head, err));
        for (int32_t i = 7; i >= 0; i--)
            count = count << 8 | head[i];
        const int64_t size = eck_dtype_bits(s->dtype) / 8;
        if (size == 0) return fail(r, s->key, ECK_E_FORMAT, "a storage that no tensor names");
        if (count > (uint64_t)(r->file->size - at - 8) / (uint64_t)size)
            return fail(r, s->key, ECK_E_FORMAT, "a storage longer than the file");
        s->offset = at + 8;
        s->bytes = (int64_t)count * size;
        at = s->offset + s->bytes;
    }
    if (at != r->file->size) status = fail(r, NULL, ECK_E_FORMAT, "bytes follow its last storage");
done:
    return status;
}

/** The first three pickles say that it is one of PyTorch's, for a machine like ours. */
static eck_status check_legacy(const reading *r, const ecki_pickle pickles[5])
{
    static const char magic[] = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
    const ecki_pickle_value *number = &pickles[0].values[pickles[0].root],
                            *version = &pickles[1].values[pickles[1].root],
                            *system = &pickles[2].values[pickles[2].root];

    if (number->kind != ECKI_PICKLE_LONG || number->length != 10 ||
        memcmp(number->text, magic, 10) != 0)
        return fail(r, NULL, ECK_E_UNSUPPORTED, "it is a Python pickle, but none of PyTorch's");
    if (version->kind != ECKI_PICKLE_INT || version->integer != 1001 ||
        system->kind != ECKI_PICKLE_DICT)
        return fail(r, NULL, ECK_E_UNSUPPORTED, "an unknown version of PyTorch's old format");
    const ecki_pickle_value *little = ecki_pickle_get(&pickles[2], system, "little_endian");
    if (!little || little->kind != ECKI_PICKLE_BOOL || little->integer == 0)
        return fail(r, NULL, ECK_E_UNSUPPORTED, "its numbers are big-endian");
    return ECK_OK;
}

static eck_status open_legacy(ecki_container *container, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_file file = container->files[0];
    reading r = { .container = container, .file = &file, .err = err };
    ecki_pickle pickles[5] = { { 0 } };
    int64_t at = 0;

    for (int32_t i = 0; i < 5; i++) {
        ECK_TRY(ecki_pickle_read(&pickles[i], container, &file, (ecki_span){ at, file.size }, err));
        at = pickles[i].end;
        if (i == 2) ECK_TRY(check_legacy(&r, pickles));
    }
    ECK_TRY(legacy_storages(&r, &pickles[4], &pickles[3]));
    r.pickle = pickles[3];
    ECK_TRY(add_tensors(&r));
done:
    for (int32_t i = 0; i < 5; i++)
        ecki_pickle_clear(&pickles[i]);
    ecki_free(r.storages);
    return status;
}

/** By the first bytes: a pickle of protocol 2 that begins with PyTorch's number. */
static ecki_match probe(const ecki_head *head)
{
    const bool pickle = head->count > 2 && (unsigned char)head->bytes[0] == 0x80 &&
                        (head->bytes[1] == 2 || head->bytes[1] == 3);
    const bool named = ecki_ends_with(head->path, ".pt") || ecki_ends_with(head->path, ".pth") ||
                       ecki_ends_with(head->path, ".bin");
    if (pickle && (unsigned char)head->bytes[2] == 0x8a && head->bytes[3] == 10)
        return ECKI_MATCH_CONTENT;
    return pickle && named ? ECKI_MATCH_CONTENT : ECKI_MATCH_NONE;
}

const ecki_reader ecki_reader_torch = { "torch", probe, open_legacy };
