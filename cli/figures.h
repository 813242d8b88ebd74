/** Numbers for people. A figure lives in the expression that made it: figure_bytes(n).text. */
#ifndef ECKART_CLI_FIGURES_H
#define ECKART_CLI_FIGURES_H

#include <stdint.h>

typedef struct figure {
    char text[64];
} figure;

/** "812 B", "1.23 GB" (G = 1000^3). */
figure figure_bytes(int64_t bytes);

/** "384", "147 k", "22.7 M". */
figure figure_count(int64_t count);

/** "1,234,567". */
figure figure_exact(int64_t count);

/** Three digits, rounded up: an error is never printed smaller than it is. "-" when it is not
 * finite. */
figure figure_error(double error);

/** Five digits, rounded up or down: the bounds of a certificate. */
figure figure_upper(double bound);
figure figure_lower(double bound);

/** Rounded down, with one digit more than the nines it starts with: an energy is never printed
 * larger than it is. */
figure figure_energy(double energy);

/** "%.4g". */
figure figure_number(double number);

/** "1.2 ms", "120 ms", "1.25 s", "75.0 s", "1:02:03". */
figure figure_seconds(double seconds);

/** "0:20", "1:02:03". */
figure figure_clock(double seconds);

#endif
