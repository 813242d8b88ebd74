/**
 * Status codes and the error object.
 *
 * Every function that can fail returns an eck_status and fills the caller's eck_error once, at the
 * place where file and tensor are known; layers above hand it on unchanged. On failure no output is
 * written.
 */
#ifndef ECKART_STATUS_H
#define ECKART_STATUS_H

#include <stdint.h>

#include "eckart/export.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Grouped by tens; values are part of the ABI and never change. */
typedef enum eck_status {
    ECK_OK = 0,
    ECK_E_NOMEM = 10, /**< an allocation failed */
    ECK_E_CANCELLED = 11, /**< the progress function returned false */
    /** Cannot be done in the memory allowed; the message names the least that would do. */
    ECK_E_BUDGET = 12,
    ECK_E_SHAPE = 20, /**< dimensions do not fit each other */
    ECK_E_RANGE = 21, /**< an argument or option lies outside what is allowed */
    /** NaN or infinity where a number is needed; offset = flat index of the first. */
    ECK_E_NONFINITE = 22,
    ECK_E_SOLVER = 30, /**< every solver of the retry chain failed */
    ECK_E_PROMISE = 31, /**< a stated error bound does not hold */
    ECK_E_NOTHING = 32, /**< nothing to do pays: no layer gets smaller under these rules */
    ECK_E_FORMAT = 40, /**< a file is not what it says it is; offset = byte where it shows */
    ECK_E_UNSUPPORTED = 41, /**< well formed, but not something this version reads or writes */
    ECK_E_IO = 50, /**< the operating system refused or failed */
    ECK_E_EXISTS = 51 /**< the output exists and may not be replaced */
} eck_status;

/** The caller's own; may be NULL everywhere. */
typedef struct eck_error {
    eck_status status;
    int64_t offset; /**< byte in the file, or flat index of the element; -1 none */
    char file[256]; /**< path as given, shortened in the middle; "" none */
    char tensor[256]; /**< tensor, layer or module, escaped; "" none */
    /** Whole sentence for a person: what failed, file, tensor, found, allowed. */
    char message[1000];
} eck_error;

#define ECK_ERROR_INIT \
    { \
        ECK_OK, -1, "", "", "" \
    }

/** Short name of a status ("format", "io"), for JSON; static, never NULL. */
ECK_API const char *eck_status_name(eck_status status);

#ifdef __cplusplus
}
#endif
#endif
