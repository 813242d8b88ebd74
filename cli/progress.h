/** One line on a terminal that says how far the work is, how fast it goes and how long it will
 * take. */
#ifndef ECKART_CLI_PROGRESS_H
#define ECKART_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "session.h"

/** The progress function of the session's context; false once a signal asked to stop. */
bool progress_report(void *user, const char *what, int64_t done, int64_t total);

/** Takes the line away, before anything else is written and at the end. */
void progress_erase(void);

#endif
