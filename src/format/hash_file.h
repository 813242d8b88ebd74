/** SHA-256 of an opened file, whole. */
#ifndef ECKI_HASH_FILE_H
#define ECKI_HASH_FILE_H

#include "base/hash.h"
#include "format/format.h"

/** Reads with pread what the container has open; a file that shrank meanwhile is ECK_E_IO. */
eck_status ecki_file_hash(char hex[ECKI_HASH_HEX], const ecki_file *file, eck_error *err);

#endif
