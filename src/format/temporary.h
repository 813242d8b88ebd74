/**
 * Temporaries beside a target, named `.NAME.eckart-XXXXXX`. Each is held by a lock as long as its
 * writer lives; one whose lock can be taken was left by a writer that was killed, and may be
 * removed.
 */
#ifndef ECKI_TEMPORARY_H
#define ECKI_TEMPORARY_H

#include <stdbool.h>

#include "base/error.h"

/**
 * Creates a locked file or directory of a new name in the directory `parent`; mode 0666 or 0777
 * less umask. name_out        owned by the caller, ecki_free() descriptor_out  of the caller,
 * close(): it holds the lock; a file's is open for reading and writing name            of the
 * target, for the name and for messages
 */
eck_status ecki_temporary_create(char **name_out, int *descriptor_out, int parent, const char *name,
                                 bool directory, eck_error *err);

/** A name for a temporary of this target, not taken at this moment; owned, ecki_free(), NULL when
 * out of memory. */
char *ecki_temporary_name(int parent, const char *name);

/** Removes what killed writers of this target left behind. What cannot be removed stays. */
void ecki_temporary_sweep(int parent, const char *name);

/** Removes a file, or a directory with all it holds; links are removed, not followed. False if
 * something stays. */
bool ecki_tree_remove(int parent, const char *name);

#endif
