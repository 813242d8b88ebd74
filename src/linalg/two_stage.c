// Where the reflectors of the two stages lie.
#include "linalg/two_stage.h"

#include "base/checked.h"

// Numbers of the explicit V of all panels: panel p has n - (p+1) b rows of b.
static int64_t panel_numbers(int64_t n)
{
    int64_t count = 0;
    for (int64_t first = ECKI_BAND; first < n; first += ECKI_BAND)
        count += (n - first) * ECKI_BAND;
    return count;
}

int64_t ecki_chase_blocks(int64_t n)
{
    return (n + ECKI_BAND - 1) / ECKI_BAND;
}

ecki_two_stage_layout ecki_two_stage_layout_of(int64_t n)
{
    ecki_two_stage_layout l;
    const int64_t blocks = ecki_chase_blocks(n);
    l.panels = 0;
    l.panel_t = panel_numbers(n);
    l.sweeps = l.panel_t + blocks * ECKI_BAND * ECKI_BAND;
    l.sweep_tau = l.sweeps + n * (n - 1) / 2;
    l.count = l.sweep_tau + n * blocks;
    return l;
}

bool ecki_two_stage_count(int64_t n, int64_t *out)
{
    int64_t square = 0;
    if (n < 0 || !ecki_mul(n, n, &square) || !ecki_mul(square, 4, &square)) return false;
    *out = ecki_two_stage_layout_of(n).count;
    return true;
}
