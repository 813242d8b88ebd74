/** What compress and restore wrote, for people and as JSON. */
#ifndef ECKART_CLI_WRITTEN_H
#define ECKART_CLI_WRITTEN_H

#include "eckart/model.h"
#include "session.h"

typedef struct written {
    const char *path;
    const eck_outcome *outcome;
    const eck_verdict *verdict; /**< or NULL */
    bool dry_run, restored;
} written;

eck_status written_print(session *run, const written *result);

#endif
