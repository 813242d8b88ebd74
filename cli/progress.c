// Progress. The work on a model reports by phases ("analyzing" 12 of 74 layers), and inside them
// the engine reports on one matrix: that is shown only where the matrix is all there is.
#include "progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "figures.h"
#include "interrupt.h"

// Phases of the work on a model, and what they count.
static const struct {
    const char *what, *unit;
} phases[] = { { "reading", "tensors" },  { "analyzing", "layers" }, { "compressing", "layers" },
               { "copying", "tensors" },  { "verifying", "layers" }, { "restoring", "layers" },
               { "comparing", "tensors" } };

// What the line shows; one program, one terminal, one line.
static struct {
    char what[32];
    bool phase; // a phase of a model was seen
    bool shown; // there is a line to erase
    double start, last; // seconds: of the phase, of the last line
    int64_t first; // done when the phase started
} line;

static const char *unit_of(const char *what)
{
    for (size_t i = 0; i < sizeof phases / sizeof *phases; i++)
        if (strcmp(phases[i].what, what) == 0) return phases[i].unit;
    return NULL;
}

static int terminal_width(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20) return size.ws_col;
    return 80;
}

// "analyzing 12/74 layers, 16 %, 3.1/s, 0:20 left"
static void show(int64_t done, int64_t total, const char *unit, double now)
{
    char text[200];
    const double elapsed = now - line.start;
    const double rate = elapsed > 0 ? (double)(done - line.first) / elapsed : 0;
    int length = snprintf(text, sizeof text, "%s", line.what);
    if (unit && total > 0)
        length += snprintf(text + length, sizeof text - (size_t)length, " %lld/%lld %s,",
                           (long long)done, (long long)total, unit);
    if (total > 0)
        length += snprintf(text + length, sizeof text - (size_t)length, " %.0f %%",
                           100.0 * (double)done / (double)total);
    if (unit && rate > 0)
        length += snprintf(text + length, sizeof text - (size_t)length, ", %.3g/s", rate);
    if (rate > 0 && total > done && elapsed > 0.5)
        snprintf(text + length, sizeof text - (size_t)length, ", %s left",
                 figure_clock((double)(total - done) / rate).text);
    fprintf(stderr, "\r\033[K%.*s", terminal_width() - 1, text);
    fflush(stderr);
    line.shown = true;
}

bool progress_report(void *user, const char *what, int64_t done, int64_t total)
{
    session *const run = user;
    if (interrupt_pending()) return false;
    if (!run->terminal || run->quiet) return true;
    const char *const unit = unit_of(what);
    if (line.phase && !unit) return true;
    line.phase = line.phase || unit;
    const double now = session_seconds(run);
    if (strncmp(line.what, what, sizeof line.what - 1) != 0) {
        snprintf(line.what, sizeof line.what, "%s", what);
        line.start = now;
        line.first = done;
        line.last = 0;
    }
    if (now - line.last < 0.1) return true;
    line.last = now;
    show(done, total, unit, now);
    return true;
}

void progress_erase(void)
{
    if (!line.shown) return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    line.shown = false;
}
