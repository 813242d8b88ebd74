// Numbers for people: three digits, rounded in the direction that promises less.
#include "figures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A count in units of 1000, three digits.
static figure scaled(double count, const char *const *units, int unit_count)
{
    figure out;
    int unit = 0;
    // 999.5 would be printed as 1000.
    while (count >= 999.5 && unit + 1 < unit_count) {
        count /= 1000;
        unit++;
    }
    const int digits = unit == 0 || count >= 99.95 ? 0 : count >= 9.995 ? 1 : 2;
    snprintf(out.text, sizeof out.text, "%.*f%s%s", digits, count, units[unit][0] ? " " : "",
             units[unit]);
    return out;
}

figure figure_bytes(int64_t bytes)
{
    static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB" };
    return scaled((double)bytes, units, 6);
}

figure figure_count(int64_t count)
{
    static const char *const units[] = { "", "k", "M", "G", "T" };
    return scaled((double)count, units, 5);
}

figure figure_exact(int64_t count)
{
    char digits[32];
    figure out = { "" };
    const int length = snprintf(digits, sizeof digits, "%lld", (long long)count);
    int at = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0 && digits[i - 1] != '-') out.text[at++] = ',';
        out.text[at++] = digits[i];
    }
    out.text[at] = '\0';
    return out;
}

// A number >= 0 to so many digits, to nearest, then one more or less in the last place if that is on
// the wrong side.
static figure directed(double number, int digits, int direction)
{
    figure out;
    if (!isfinite(number) || number < 0) return (figure){ "-" };
    if (number == 0) return (figure){ "0" };
    char text[32];
    snprintf(text, sizeof text, "%.*e", digits - 1, number); // d.dde+xx
    const int exponent = atoi(strchr(text, 'e') + 1) - (digits - 1);
    const double nearest = strtod(text, NULL);
    long mantissa = lround(nearest / pow(10, exponent));
    if (direction > 0 && nearest < number) mantissa++;
    if (direction < 0 && nearest > number) mantissa--;
    snprintf(text, sizeof text, "%lde%d", mantissa, exponent);
    snprintf(out.text, sizeof out.text, "%.*g", digits, strtod(text, NULL));
    return out;
}

figure figure_error(double error)
{
    return directed(error, 3, 1);
}

figure figure_upper(double bound)
{
    return directed(bound, 5, 1);
}

figure figure_lower(double bound)
{
    return directed(bound, 5, -1);
}

figure figure_energy(double energy)
{
    figure out;
    if (!isfinite(energy)) return (figure){ "-" };
    if (energy >= 1) return (figure){ "1" };
    if (energy <= 0) return (figure){ "0" };
    const int nines = (int)floor(-log10(1 - energy));
    const int digits = nines + 3 > 15 ? 15 : nines < 1 ? 4 : nines + 3;
    snprintf(out.text, sizeof out.text, "%.*f", digits, energy);
    const double shown = strtod(out.text, NULL);
    if (shown > energy)
        snprintf(out.text, sizeof out.text, "%.*f", digits, shown - pow(10, -digits));
    return out;
}

figure figure_number(double number)
{
    figure out;
    snprintf(out.text, sizeof out.text, "%.4g", number);
    return out;
}

figure figure_clock(double seconds)
{
    figure out;
    const long long whole = seconds < 1e12 ? (long long)(seconds + 0.5) : 0;
    if (whole >= 3600)
        snprintf(out.text, sizeof out.text, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60,
                 whole % 60);
    else
        snprintf(out.text, sizeof out.text, "%lld:%02lld", whole / 60, whole % 60);
    return out;
}

figure figure_seconds(double seconds)
{
    figure out;
    if (seconds >= 100) return figure_clock(seconds);
    if (seconds < 0.995)
        snprintf(out.text, sizeof out.text, "%.*f ms", seconds < 0.00995 ? 1 : 0, 1000 * seconds);
    else
        snprintf(out.text, sizeof out.text, "%.*f s", seconds < 9.95 ? 2 : 1, seconds);
    return out;
}
