/**
 * Ctrl-C and its kin. While caught, the first signal asks the work to stop at its next report of
 * progress, so that temporaries are removed and the program then dies by the signal; the second one
 * ends it at once.
 */
#ifndef ECKART_CLI_INTERRUPT_H
#define ECKART_CLI_INTERRUPT_H

#include <stdbool.h>

/** Catches SIGINT, SIGTERM and SIGHUP from now on, but for those the caller ignores (nohup). */
void interrupt_catch(void);

/** True once a signal has come. */
bool interrupt_pending(void);

/** Dies by the signal that came; returns only if none did. */
void interrupt_die(void);

#endif
