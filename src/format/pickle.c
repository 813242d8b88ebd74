/*
 * The machine. Values are made and never changed but for containers, which grow; an index stands for a value, so that
 * nothing moves under a reader. Each opcode makes at most a few values, and takes a byte at least: what is held is bounded
 * by the bytes read. A mark is -1 on the stack.
 */
#include "format/pickle.h"

#include <stdarg.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"
#include "format/container.h"
#include "format/input.h"

enum { STREAM_MAX = 1 << 26, TEXT_MAX = 1 << 20, NAME_TEXT = 200, WINDOW = 1 << 14, MARK = -1 };

/** Everything that may be named. */
static const struct {
    const char *module, *name;
    ecki_pickle_name what;
    eck_dtype dtype;
} names[] = {
    { "collections", "OrderedDict", ECKI_NAME_DICT, ECK_DTYPE_NONE },
    { "torch._utils", "_rebuild_tensor_v2", ECKI_NAME_TENSOR, ECK_DTYPE_NONE },
    { "torch._utils", "_rebuild_tensor_v3", ECKI_NAME_TENSOR_TYPED, ECK_DTYPE_NONE },
    { "torch._utils", "_rebuild_parameter", ECKI_NAME_PARAMETER, ECK_DTYPE_NONE },
    { "torch", "Size", ECKI_NAME_SIZE, ECK_DTYPE_NONE },
    { "torch", "DoubleStorage", ECKI_NAME_STORAGE, ECK_DTYPE_F64 },
    { "torch", "FloatStorage", ECKI_NAME_STORAGE, ECK_DTYPE_F32 },
    { "torch", "HalfStorage", ECKI_NAME_STORAGE, ECK_DTYPE_F16 },
    { "torch", "BFloat16Storage", ECKI_NAME_STORAGE, ECK_DTYPE_BF16 },
    { "torch", "LongStorage", ECKI_NAME_STORAGE, ECK_DTYPE_I64 },
    { "torch", "IntStorage", ECKI_NAME_STORAGE, ECK_DTYPE_I32 },
    { "torch", "ShortStorage", ECKI_NAME_STORAGE, ECK_DTYPE_I16 },
    { "torch", "CharStorage", ECKI_NAME_STORAGE, ECK_DTYPE_I8 },
    { "torch", "ByteStorage", ECKI_NAME_STORAGE, ECK_DTYPE_U8 },
    { "torch", "BoolStorage", ECKI_NAME_STORAGE, ECK_DTYPE_BOOL },
    { "torch.storage", "UntypedStorage", ECKI_NAME_BYTES, ECK_DTYPE_U8 },
    { "torch", "float64", ECKI_NAME_DTYPE, ECK_DTYPE_F64 },
    { "torch", "float32", ECKI_NAME_DTYPE, ECK_DTYPE_F32 },
    { "torch", "float16", ECKI_NAME_DTYPE, ECK_DTYPE_F16 },
    { "torch", "bfloat16", ECKI_NAME_DTYPE, ECK_DTYPE_BF16 },
    { "torch", "float8_e4m3fn", ECKI_NAME_DTYPE, ECK_DTYPE_F8_E4M3 },
    { "torch", "float8_e5m2", ECKI_NAME_DTYPE, ECK_DTYPE_F8_E5M2 },
    { "torch", "int64", ECKI_NAME_DTYPE, ECK_DTYPE_I64 },
    { "torch", "int32", ECKI_NAME_DTYPE, ECK_DTYPE_I32 },
    { "torch", "int16", ECKI_NAME_DTYPE, ECK_DTYPE_I16 },
    { "torch", "int8", ECKI_NAME_DTYPE, ECK_DTYPE_I8 },
    { "torch", "uint8", ECKI_NAME_DTYPE, ECK_DTYPE_U8 },
    { "torch", "uint16", ECKI_NAME_DTYPE, ECK_DTYPE_U16 },
    { "torch", "uint32", ECKI_NAME_DTYPE, ECK_DTYPE_U32 },
    { "torch", "uint64", ECKI_NAME_DTYPE, ECK_DTYPE_U64 },
    { "torch", "bool", ECKI_NAME_DTYPE, ECK_DTYPE_BOOL },
};

/** What opcodes that are not run are called, for messages. */
static const struct {
    unsigned char code;
    const char *name;
} forbidden[] = {
    { 'i', "INST" },         { 'o', "OBJ" },           { 0x81, "NEWOBJ" },
    { 0x92, "NEWOBJ_EX" },   { 0x93, "STACK_GLOBAL" }, { 0x82, "EXT1" },
    { 0x83, "EXT2" },        { 0x84, "EXT4" },         { 'P', "PERSID" },
    { 0x95, "FRAME" },       { 0x94, "MEMOIZE" },      { 0x8c, "SHORT_BINUNICODE" },
    { 0x8d, "BINUNICODE8" }, { 'B', "BINBYTES" },      { 'C', "SHORT_BINBYTES" },
    { 0x8e, "BINBYTES8" },   { 0x96, "BYTEARRAY8" },   { 0x8f, "EMPTY_SET" },
    { 0x90, "ADDITEMS" },    { 0x91, "FROZENSET" },    { 'S', "STRING" },
    { 'V', "UNICODE" },      { 'I', "INT" },           { 'L', "LONG" },
    { 'F', "FLOAT" },        { 'd', "DICT" },          { 'l', "LIST" },
    { 'p', "PUT" },          { 'g', "GET" },           { '0', "POP" },
    { '1', "POP_MARK" },     { '2', "DUP" },           { 0x8b, "LONG4" },
    { 'T', "BINSTRING" },    { 0x97, "NEXT_BUFFER" },  { 0x98, "READONLY_BUFFER" },
};

/** The machine while it runs. */
typedef struct machine {
    ecki_pickle *pickle;
    const ecki_file *file;
    int64_t begin, at, end;
    int64_t opcode_at; /**< byte of the opcode that runs */
    unsigned char *window;
    int64_t window_start, window_count;
    int32_t *stack;
    int64_t depth, room;
    int32_t *memo;
    int64_t memo_room;
    eck_error *err;
} machine;

static eck_status fail(const machine *m, const char *format, ...) ECKI_PRINTF(2, 3);
static eck_status fail(const machine *m, const char *format, ...)
{
    char detail[400];
    va_list arguments;
    va_start(arguments, format);
    ecki_vformat(detail, sizeof detail, format, arguments);
    va_end(arguments);
    return ecki_read_error(m->err, ECK_E_FORMAT, m->opcode_at, m->file->name, "%s", detail);
}

/* ---- bytes -------------------------------------------------------------------------------------------------------- */

/** The next `count` bytes, at most a window of them. */
static eck_status take(const unsigned char **out, machine *m, int64_t count)
{
    if (count > m->end - m->at) return fail(m, "the pickle ends within an opcode");
    if (m->at < m->window_start || m->at + count > m->window_start + m->window_count) {
        const int64_t wanted = ecki_min(WINDOW, m->end - m->at);
        m->window_count = 0;
        const eck_status status = ecki_input_read(m->file, NULL, m->at, m->window, wanted, m->err);
        if (status != ECK_OK) return status;
        m->window_start = m->at;
        m->window_count = wanted;
    }
    *out = m->window + (m->at - m->window_start);
    m->at += count;
    return ECK_OK;
}

/** A little-endian number of `count` bytes. */
static eck_status take_number(uint64_t *out, machine *m, int32_t count)
{
    const unsigned char *bytes;
    const eck_status status = take(&bytes, m, count);
    *out = 0;
    for (int32_t i = count - 1; status == ECK_OK && i >= 0; i--)
        *out = *out << 8 | bytes[i];
    return status;
}

/** The next `count` bytes as a text that stays. */
static eck_status take_text(const char **out, machine *m, int64_t count)
{
    char *text = NULL;

    if (count > TEXT_MAX || count > m->end - m->at)
        return fail(m, "a text of %lld bytes; %lld are left, at most %d are read", (long long)count,
                    (long long)(m->end - m->at), TEXT_MAX);
    text = ecki_container_room(m->pickle->container, count + 1);
    if (!text) return ecki_error_memory(m->err, count);
    for (int64_t done = 0; done < count;) {
        const unsigned char *bytes;
        const int64_t piece = ecki_min(WINDOW, count - done);
        const eck_status status = take(&bytes, m, piece);
        if (status != ECK_OK) return status;
        memcpy(text + done, bytes, (size_t)piece);
        done += piece;
    }
    text[count] = '\0';
    *out = text;
    return ECK_OK;
}

/** A line, without its end; for the two names of GLOBAL. */
static eck_status take_line(char out[NAME_TEXT], machine *m)
{
    for (int32_t i = 0; i < NAME_TEXT; i++) {
        const unsigned char *byte;
        const eck_status status = take(&byte, m, 1);
        if (status != ECK_OK) return status;
        out[i] = *byte == '\n' ? '\0' : (char)*byte;
        if (*byte == '\n') return ECK_OK;
    }
    return fail(m, "a name of more than %d bytes", NAME_TEXT - 1);
}

/* ---- values and stack --------------------------------------------------------------------------------------------- */

static eck_status push_index(machine *m, int32_t index)
{
    if (m->depth == m->room) {
        const int64_t room = m->room ? 2 * m->room : 64;
        int32_t *stack = ecki_realloc(m->stack, room, sizeof *stack);
        if (!stack) return ecki_error_memory(m->err, -1);
        m->stack = stack;
        m->room = room;
    }
    m->stack[m->depth++] = index;
    return ECK_OK;
}

/** A new value on the stack. */
static eck_status push(machine *m, ecki_pickle_value value)
{
    ecki_pickle *p = m->pickle;
    ecki_pickle_value *values = ecki_grow(p->values, p->value_count, sizeof *values);
    if (!values) return ecki_error_memory(m->err, -1);
    p->values = values;
    value.first = value.last = -1;
    values[p->value_count++] = value;
    return push_index(m, (int32_t)p->value_count - 1);
}

static eck_status push_kind(machine *m, ecki_pickle_kind kind, int64_t integer)
{
    return push(m, (ecki_pickle_value){ .kind = kind, .integer = integer });
}

/** Takes the top value, which may be no mark. */
static eck_status pop(int32_t *out, machine *m)
{
    if (m->depth == 0 || m->stack[m->depth - 1] == MARK)
        return fail(m, "the stack has too few values");
    *out = m->stack[--m->depth];
    return ECK_OK;
}

/** The value under the top `above` values, of a kind. */
static eck_status under(ecki_pickle_value **out, machine *m, int64_t above, ecki_pickle_kind kind)
{
    const int64_t at = m->depth - 1 - above;
    if (at < 0 || m->stack[at] == MARK) return fail(m, "the stack has too few values");
    *out = &m->pickle->values[m->stack[at]];
    return (*out)->kind == kind
               ? ECK_OK
               : fail(m, "a value of kind %d where %d is needed", (int)(*out)->kind, (int)kind);
}

/** Adds an item to a container. */
static eck_status append(machine *m, int32_t container, int32_t value)
{
    ecki_pickle *p = m->pickle;
    ecki_pickle_cell *cells = ecki_grow(p->cells, p->cell_count, sizeof *cells);
    if (!cells) return ecki_error_memory(m->err, -1);
    p->cells = cells;
    ecki_pickle_value *c = &p->values[container];
    cells[p->cell_count] = (ecki_pickle_cell){ value, -1 };
    if (c->last >= 0)
        cells[c->last].next = (int32_t)p->cell_count;
    else
        c->first = (int32_t)p->cell_count;
    c->last = (int32_t)p->cell_count++;
    c->count++;
    return ECK_OK;
}

/** Depth of the topmost mark. */
static eck_status find_mark(int64_t *out, machine *m)
{
    int64_t at = m->depth - 1;
    while (at >= 0 && m->stack[at] != MARK)
        at--;
    *out = at;
    return at >= 0 ? ECK_OK : fail(m, "the stack has no mark");
}

/** The values from `from` on become a tuple. */
static eck_status make_tuple(machine *m, int64_t from, int64_t drop_to)
{
    eck_status status = ECK_OK;
    const int64_t end = m->depth;

    ECK_TRY(push_kind(m, ECKI_PICKLE_TUPLE, 0));
    const int32_t tuple = m->stack[m->depth - 1];
    for (int64_t i = from; i < end; i++)
        ECK_TRY(append(m, tuple, m->stack[i]));
    m->depth = drop_to;
    ECK_TRY(push_index(m, tuple));
done:
    return status;
}

/** TUPLE1 to TUPLE3. */
static eck_status short_tuple(machine *m, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (m->depth <= i || m->stack[m->depth - 1 - i] == MARK)
            return fail(m, "the stack has too few values");
    return make_tuple(m, m->depth - count, m->depth - count);
}

/** APPENDS and SETITEMS: what stands above the mark goes into the container under it. */
static eck_status add_items(machine *m, ecki_pickle_kind kind)
{
    eck_status status = ECK_OK;
    ecki_pickle_value *container = NULL;
    int64_t mark;

    ECK_TRY(find_mark(&mark, m));
    ECK_TRY(under(&container, m, m->depth - mark, kind));
    if (kind == ECKI_PICKLE_DICT && (m->depth - mark - 1) % 2 != 0)
        return fail(m, "a key without a value");
    const int32_t index = m->stack[mark - 1];
    for (int64_t i = mark + 1; i < m->depth; i++)
        ECK_TRY(append(m, index, m->stack[i]));
    m->depth = mark;
done:
    return status;
}

/** APPEND and SETITEM. */
static eck_status add_one(machine *m, ecki_pickle_kind kind, int64_t count)
{
    eck_status status = ECK_OK;
    ecki_pickle_value *container = NULL;

    ECK_TRY(under(&container, m, count, kind));
    const int32_t index = m->stack[m->depth - 1 - count];
    for (int64_t i = m->depth - count; i < m->depth; i++) {
        if (m->stack[i] == MARK) return fail(m, "the stack has too few values");
        ECK_TRY(append(m, index, m->stack[i]));
    }
    m->depth -= count;
done:
    return status;
}

/* ---- memo --------------------------------------------------------------------------------------------------------- */

static eck_status memo_put(machine *m, uint64_t index)
{
    // a number takes an opcode to be put: none can be larger than the bytes read
    if (index >= (uint64_t)(m->at - m->begin) || m->depth == 0 || m->stack[m->depth - 1] == MARK)
        return fail(m, "memo %llu cannot be put", (unsigned long long)index);
    if ((int64_t)index >= m->memo_room) {
        const int64_t room = ecki_max(2 * m->memo_room, (int64_t)index + 64);
        int32_t *memo = ecki_realloc(m->memo, room, sizeof *memo);
        if (!memo) return ecki_error_memory(m->err, -1);
        for (int64_t i = m->memo_room; i < room; i++)
            memo[i] = -1;
        m->memo = memo;
        m->memo_room = room;
    }
    m->memo[index] = m->stack[m->depth - 1];
    return ECK_OK;
}

static eck_status memo_get(machine *m, uint64_t index)
{
    if (index >= (uint64_t)m->memo_room || m->memo[index] < 0)
        return fail(m, "memo %llu was never put", (unsigned long long)index);
    return push_index(m, m->memo[index]);
}

/* ---- names and calls ---------------------------------------------------------------------------------------------- */

static eck_status push_name(machine *m)
{
    char module[NAME_TEXT], name[NAME_TEXT], shown[NAME_TEXT];
    eck_status status = take_line(module, m);
    if (status == ECK_OK) status = take_line(name, m);
    if (status != ECK_OK) return status;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i].module, module) == 0 && strcmp(names[i].name, name) == 0)
            return push(m, (ecki_pickle_value){ .kind = ECKI_PICKLE_NAME,
                                                .dtype = names[i].dtype,
                                                .integer = names[i].what });
    char *whole = ecki_format("%s.%s", module, name);
    if (!whole) return ecki_error_memory(m->err, -1);
    ecki_name_escape(shown, sizeof shown, whole);
    ecki_free(whole);
    return fail(m, "its pickle asks for '%s', which no tensor needs; nothing was run", shown);
}

/** A copy of the tuple `tuple`, as another kind; the tuple itself may be in the memo. */
static eck_status push_copy(machine *m, int32_t tuple, ecki_pickle_kind kind, int64_t integer)
{
    const ecki_pickle_value from = m->pickle->values[tuple];
    const eck_status status = push(m, from);
    if (status != ECK_OK) return status;
    ecki_pickle_value *made = &m->pickle->values[m->pickle->value_count - 1];
    *made = from;
    made->kind = kind;
    made->integer = integer;
    return ECK_OK;
}

/** REDUCE: a name and a tuple of arguments. */
static eck_status reduce(machine *m)
{
    eck_status status = ECK_OK;
    ecki_pickle_value *name = NULL, *arguments = NULL;
    const ecki_pickle_value *first;
    int32_t top;

    ECK_TRY(under(&arguments, m, 0, ECKI_PICKLE_TUPLE));
    ECK_TRY(under(&name, m, 1, ECKI_PICKLE_NAME));
    top = m->stack[m->depth - 1];
    first = ecki_pickle_item(m->pickle, arguments, 0);
    switch ((ecki_pickle_name)name->integer) {
    case ECKI_NAME_DICT:
        if (arguments->count != 0) return fail(m, "a dictionary made of arguments");
        m->depth -= 2;
        return push_kind(m, ECKI_PICKLE_DICT, 0);
    case ECKI_NAME_TENSOR:
    case ECKI_NAME_TENSOR_TYPED:
        if (arguments->count < 6) return fail(m, "a tensor of %d arguments", arguments->count);
        m->depth -= 2;
        return push_copy(m, top, ECKI_PICKLE_TENSOR, name->integer);
    case ECKI_NAME_PARAMETER:
        if (!first || first->kind != ECKI_PICKLE_TENSOR) return fail(m, "a parameter of no tensor");
        m->depth -= 2;
        return push_index(m, (int32_t)(first - m->pickle->values));
    case ECKI_NAME_SIZE:
        if (!first || first->kind != ECKI_PICKLE_TUPLE) return fail(m, "a size of no tuple");
        m->depth -= 2;
        return push_index(m, (int32_t)(first - m->pickle->values));
    default:
        return fail(m, "it calls a type");
    }
done:
    return status;
}

/** BINPERSID: the id of a storage. */
static eck_status persistent(machine *m)
{
    eck_status status = ECK_OK;
    ecki_pickle_value *id = NULL;

    ECK_TRY(under(&id, m, 0, ECKI_PICKLE_TUPLE));
    const ecki_pickle_value *word = ecki_pickle_item(m->pickle, id, 0);
    if (id->count < 5 || !word || word->kind != ECKI_PICKLE_TEXT ||
        strcmp(word->text, "storage") != 0)
        return fail(m, "a persistent id that is no storage's");
    m->depth--;
    return push_copy(m, m->stack[m->depth], ECKI_PICKLE_STORAGE, 0);
done:
    return status;
}

/** BUILD: state of a dictionary, which is dropped. */
static eck_status build(machine *m)
{
    ecki_pickle_value *dict = NULL;
    int32_t state;
    eck_status status = pop(&state, m);
    if (status != ECK_OK) return status;
    return under(&dict, m, 0, ECKI_PICKLE_DICT);
}

/* ---- opcodes ------------------------------------------------------------------------------------------------------ */

static eck_status push_text(machine *m, int32_t length_bytes)
{
    uint64_t length;
    const char *text = NULL;
    eck_status status = take_number(&length, m, length_bytes);
    if (status == ECK_OK) status = take_text(&text, m, (int64_t)length);
    if (status != ECK_OK) return status;
    return push(m, (ecki_pickle_value){
                       .kind = ECKI_PICKLE_TEXT, .text = text, .length = (int32_t)length });
}

static eck_status push_integer(machine *m, int32_t bytes, bool is_signed)
{
    uint64_t value;
    const eck_status status = take_number(&value, m, bytes);
    if (status != ECK_OK) return status;
    return push_kind(m, ECKI_PICKLE_INT, is_signed ? (int64_t)(int32_t)value : (int64_t)value);
}

/** LONG1: two's complement of up to 255 bytes. */
static eck_status push_long(machine *m)
{
    uint64_t count, value = 0;
    const char *bytes = NULL;
    eck_status status = take_number(&count, m, 1);
    if (status == ECK_OK) status = take_text(&bytes, m, (int64_t)count);
    if (status != ECK_OK) return status;
    if (count > 8)
        return push(m, (ecki_pickle_value){
                           .kind = ECKI_PICKLE_LONG, .text = bytes, .length = (int32_t)count });
    for (int32_t i = (int32_t)count - 1; i >= 0; i--)
        value = value << 8 | (unsigned char)bytes[i];
    if (count > 0 && count < 8 && (bytes[count - 1] & 0x80)) value |= ~UINT64_C(0) << (8 * count);
    return push_kind(m, ECKI_PICKLE_INT, (int64_t)value);
}

/** BINFLOAT: its value does not matter here. */
static eck_status push_float(machine *m)
{
    uint64_t bits;
    const eck_status status = take_number(&bits, m, 8);
    return status == ECK_OK ? push_kind(m, ECKI_PICKLE_FLOAT, 0) : status;
}

/** PROTO: 2, or what reads as 2. */
static eck_status protocol(machine *m)
{
    uint64_t version;
    const eck_status status = take_number(&version, m, 1);
    if (status != ECK_OK) return status;
    return version <= 3 ? ECK_OK
                        : fail(m, "a pickle of protocol %llu, at most 3 is read",
                               (unsigned long long)version);
}

static eck_status refuse(const machine *m, unsigned char code)
{
    for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++)
        if (forbidden[i].code == code)
            return fail(m, "its pickle has the opcode %s, which no tensor needs; nothing was run",
                        forbidden[i].name);
    return fail(m, "0x%02x is no opcode of a pickle", (unsigned)code);
}

static eck_status memo_number(machine *m, int32_t bytes, bool put)
{
    uint64_t index;
    const eck_status status = take_number(&index, m, bytes);
    if (status != ECK_OK) return status;
    return put ? memo_put(m, index) : memo_get(m, index);
}

/** TUPLE: from the mark on. */
static eck_status marked_tuple(machine *m)
{
    int64_t mark;
    const eck_status status = find_mark(&mark, m);
    return status == ECK_OK ? make_tuple(m, mark + 1, mark) : status;
}

/** Opcodes that make values of what follows them. */
static eck_status run_value(machine *m, unsigned char code)
{
    switch (code) {
    case 'N':
        return push_kind(m, ECKI_PICKLE_NONE, 0);
    case 0x88:
    case 0x89:
        return push_kind(m, ECKI_PICKLE_BOOL, code == 0x88);
    case 'J':
        return push_integer(m, 4, true);
    case 'K':
        return push_integer(m, 1, false);
    case 'M':
        return push_integer(m, 2, false);
    case 0x8a:
        return push_long(m);
    case 'G':
        return push_float(m);
    case 'X':
        return push_text(m, 4);
    case 'U':
        return push_text(m, 1);
    case 'c':
        return push_name(m);
    case ')':
        return push_kind(m, ECKI_PICKLE_TUPLE, 0);
    case ']':
        return push_kind(m, ECKI_PICKLE_LIST, 0);
    case '}':
        return push_kind(m, ECKI_PICKLE_DICT, 0);
    default:
        return refuse(m, code);
    }
}

/** One opcode but STOP. */
static eck_status run(machine *m, unsigned char code)
{
    switch (code) {
    case 0x80:
        return protocol(m);
    case '(':
        return push_index(m, MARK);
    case 't':
        return marked_tuple(m);
    case 0x85:
    case 0x86:
    case 0x87:
        return short_tuple(m, code - 0x84);
    case 'a':
        return add_one(m, ECKI_PICKLE_LIST, 1);
    case 'e':
        return add_items(m, ECKI_PICKLE_LIST);
    case 's':
        return add_one(m, ECKI_PICKLE_DICT, 2);
    case 'u':
        return add_items(m, ECKI_PICKLE_DICT);
    case 'q':
        return memo_number(m, 1, true);
    case 'r':
        return memo_number(m, 4, true);
    case 'h':
        return memo_number(m, 1, false);
    case 'j':
        return memo_number(m, 4, false);
    case 'Q':
        return persistent(m);
    case 'R':
        return reduce(m);
    case 'b':
        return build(m);
    default:
        return run_value(m, code);
    }
}

eck_status ecki_pickle_read(ecki_pickle *out, ecki_container *container, const ecki_file *file,
                            ecki_span span, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_pickle pickle = { .container = container };
    machine m = { .pickle = &pickle,
                  .file = file,
                  .begin = span.begin,
                  .at = span.begin,
                  .end = ecki_min(span.end, span.begin + STREAM_MAX),
                  .err = err };
    const unsigned char *code;

    ECK_ALLOC_RAW(m.window, WINDOW);
    for (;;) {
        m.opcode_at = m.at;
        ECK_TRY(take(&code, &m, 1));
        const unsigned char opcode = *code;
        if (opcode == '.') break;
        ECK_TRY(run(&m, opcode));
    }
    ECK_TRY(pop(&pickle.root, &m));
    if (m.depth != 0) ECK_TRY(fail(&m, "%lld values are left over", (long long)m.depth));
    pickle.end = m.at;
    *out = pickle;
    pickle = (ecki_pickle){ 0 };
done:
    ecki_free(m.window);
    ecki_free(m.stack);
    ecki_free(m.memo);
    ecki_pickle_clear(&pickle);
    return status;
}

void ecki_pickle_clear(ecki_pickle *pickle)
{
    ecki_free(pickle->values);
    ecki_free(pickle->cells);
    *pickle = (ecki_pickle){ 0 };
}

const ecki_pickle_value *ecki_pickle_item(const ecki_pickle *pickle, const ecki_pickle_value *value,
                                          int64_t index)
{
    int32_t cell = value->first;
    for (int64_t i = 0; i < index && cell >= 0; i++)
        cell = pickle->cells[cell].next;
    return cell >= 0 ? &pickle->values[pickle->cells[cell].value] : NULL;
}

const ecki_pickle_value *ecki_pickle_get(const ecki_pickle *pickle, const ecki_pickle_value *dict,
                                         const char *key)
{
    for (int32_t cell = dict->first; cell >= 0;) {
        const ecki_pickle_cell *name = &pickle->cells[cell];
        const ecki_pickle_value *text = &pickle->values[name->value];
        if (name->next < 0) return NULL;
        const ecki_pickle_cell *value = &pickle->cells[name->next];
        if (text->kind == ECKI_PICKLE_TEXT && strcmp(text->text, key) == 0)
            return &pickle->values[value->value];
        cell = value->next;
    }
    return NULL;
}
