// Signals become a flag; the flag becomes a cancelled computation, and that the signal again.
#include "interrupt.h"

#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t caught;

static void remember(int number)
{
    caught = number;
}

void interrupt_catch(void)
{
    static const int numbers[] = { SIGINT, SIGTERM, SIGHUP };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction old;
        if (sigaction(numbers[i], NULL, &old) != 0 || old.sa_handler == SIG_IGN) continue;
        struct sigaction action = { .sa_flags = SA_RESTART | (int)SA_RESETHAND };
        action.sa_handler = remember;
        sigemptyset(&action.sa_mask);
        sigaction(numbers[i], &action, NULL);
    }
}

bool interrupt_pending(void)
{
    return caught != 0;
}

void interrupt_die(void)
{
    if (!caught) return;
    signal(caught, SIG_DFL);
    raise(caught);
}
