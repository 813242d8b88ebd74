/** What verifying found, for people; shared by verify and compress. */
#ifndef ECKART_CLI_VERDICT_H
#define ECKART_CLI_VERDICT_H

#include "eckart/model.h"
#include "session.h"

/** One line, "every promise holds", or the failures; every layer with --verbose. */
void verdict_print(session *run, const eck_verdict *verdict);

/** Sets the exit code to 3 and warns when a promise does not hold. */
void verdict_judge(session *run, const eck_verdict *verdict);

#endif
