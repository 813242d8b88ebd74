// Filling eck_error. The caller's object is written whole or not at all, and never through a NULL
// pointer; whatever is too long is cut at a character, never inside one.
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

// Drops the last character of a cut text if its UTF-8 bytes are not all there.
static void trim_cut_character(char *text)
{
    const size_t length = strlen(text);
    size_t start = length;
    while (start > 0 && length - start < 3 && ((unsigned char)text[start - 1] & 0xc0) == 0x80)
        start--;
    if (start == 0) return;
    const unsigned char lead = (unsigned char)text[start - 1];
    const size_t need = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    if (length - (start - 1) < need) text[start - 1] = '\0';
}

eck_status ecki_error(eck_error *err, eck_status status, int64_t offset, const char *format, ...)
{
    if (!err) return status;
    // The arguments may point into *err, so the sentence is written aside first.
    char message[sizeof err->message];
    va_list arguments;
    va_start(arguments, format);
    const int length = ecki_vformat(message, sizeof message, format, arguments);
    va_end(arguments);
    if (length >= (int)sizeof message) trim_cut_character(message);

    err->status = status;
    err->offset = offset;
    err->file[0] = '\0';
    err->tensor[0] = '\0';
    memcpy(err->message, message, sizeof message);
    return status;
}

// True if the sentence already has the name in quotes.
static bool names(const char *message, const char *name)
{
    char quoted[sizeof((eck_error *)0)->file + 2];
    snprintf(quoted, sizeof quoted, "'%s'", name);
    return strstr(message, quoted) != NULL;
}

// Writes "<what> '<name>'<rest>" in front of or into the sentence.
static void prefix_message(eck_error *err, const char *file, const char *tensor)
{
    char message[sizeof err->message];
    int length = 0;
    if (tensor && file)
        length = snprintf(message, sizeof message, "tensor '%s' of '%s': %s", tensor, file,
                          err->message);
    else if (tensor)
        length = snprintf(message, sizeof message, "tensor '%s': %s", tensor, err->message);
    else
        length = snprintf(message, sizeof message, "'%s': %s", file, err->message);
    if (length >= (int)sizeof message) trim_cut_character(message);
    memcpy(err->message, message, sizeof message);
}

eck_status ecki_error_where(eck_error *err, eck_status status, const char *file, const char *tensor)
{
    if (!err || status == ECK_OK) return status;
    const char *new_file = NULL;
    const char *new_tensor = NULL;
    if (file && !err->file[0]) {
        ecki_name_escape(err->file, sizeof err->file, file);
        if (!names(err->message, err->file)) new_file = err->file;
    }
    if (tensor && !err->tensor[0]) {
        ecki_name_escape(err->tensor, sizeof err->tensor, tensor);
        if (!names(err->message, err->tensor)) new_tensor = err->tensor;
    }
    if (new_file || new_tensor) prefix_message(err, new_file, new_tensor);
    return status;
}

eck_status ecki_error_memory(eck_error *err, int64_t bytes)
{
    if (bytes < 0) return ecki_error(err, ECK_E_NOMEM, -1, "not enough memory");
    return ecki_error(err, ECK_E_NOMEM, -1, "not enough memory: %lld bytes", (long long)bytes);
}

// The description of an errno value in English, whatever the locale, safe in threads.
static const char *describe(int number)
{
#ifdef __GLIBC__
    const char *text = strerrordesc_np(number);
#else
    const char *text = strerror(number);
#endif
    return text ? text : "unknown error";
}

eck_status ecki_error_system(eck_error *err, int number, const char *action, const char *file)
{
    const eck_status status = number == EEXIST ? ECK_E_EXISTS : ECK_E_IO;
    char name[sizeof err->file];
    ecki_name_escape(name, sizeof name, file);
    ecki_error(err, status, -1, "%s '%s': %s", action, name, describe(number));
    return ecki_error_where(err, status, file, NULL);
}

const char *eck_status_name(eck_status status)
{
    switch (status) {
    case ECK_OK:
        return "ok";
    case ECK_E_NOMEM:
        return "nomem";
    case ECK_E_CANCELLED:
        return "cancelled";
    case ECK_E_BUDGET:
        return "budget";
    case ECK_E_SHAPE:
        return "shape";
    case ECK_E_RANGE:
        return "range";
    case ECK_E_NONFINITE:
        return "nonfinite";
    case ECK_E_SOLVER:
        return "solver";
    case ECK_E_PROMISE:
        return "promise";
    case ECK_E_NOTHING:
        return "nothing";
    case ECK_E_FORMAT:
        return "format";
    case ECK_E_UNSUPPORTED:
        return "unsupported";
    case ECK_E_IO:
        return "io";
    case ECK_E_EXISTS:
        return "exists";
    }
    return "unknown";
}
