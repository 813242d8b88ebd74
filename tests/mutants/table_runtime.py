"""Mutants of what runs and times layers, and of plans made with times; part of table.py."""

RUNTIME = [
    # ---- runtime
    {
        "name": "a-transposed-chain-is-cut-in-its-first-stage",
        "file": "src/runtime/runner.c",
        "old": "        if (chain->stages[i].kind != ECK_STAGE_CONV_TRANSPOSE) continue;",
        "new": "        if (true) continue;",
        "tests": ["runner"],
    },
    {
        "name": "a-transposed-weight-with-its-outputs-first",
        "file": "src/runtime/onednn.c",
        "old": "        turn[1 - skip] = 2 - skip;\n        turn[2 - skip] = 1 - skip;",
        "new": "",
        "tests": ["runner"],
    },
    {
        "name": "output-padding-left-out",
        "file": "src/runtime/runner.c",
        "old": "w->output[d] = made - padding + more;",
        "new": "w->output[d] = made - padding;",
        "tests": ["runner"],
    },
    {
        "name": "padding-with-the-last-wide-stage-too",
        "file": "src/runtime/runner.c",
        "old": "const bool pads = padding_stage(chain, d) == i;",
        "new": "const bool pads = padding_stage(chain, d) == i || stage->kernel[d] == 1;",
        "tests": ["runner"],
    },
    {
        "name": "dilation-counted-as-onednn-counts-it",
        "file": "src/runtime/onednn.c",
        "old": "out->dilation[d] = w->dilation[d] - 1;",
        "new": "out->dilation[d] = w->dilation[d];",
        "tests": ["runner"],
    },
    {
        "name": "quartiles-of-the-wrong-side",
        "file": "src/runtime/timing.c",
        "old": "quantile(samples, t->options.rounds, 0.25)",
        "new": "quantile(samples, t->options.rounds, 0.75)",
        "tests": ["timing"],
    },
    {
        "name": "a-run-that-leaves-the-ends-out",
        "file": "src/runtime/onednn.c",
        "old": "ECK_TRY(run_steps(net, true, err));",
        "new": "ECK_TRY(run_steps(net, false, err));",
        "tests": ["runner"],
    },
    {
        "name": "times-of-places-taken-away-from-each-other",
        "file": "src/model/bench.c",
        "old": "sums[i] = (eck_timing){ sums[i].median + more[i].median,",
        "new": "sums[i] = (eck_timing){ -sums[i].median - more[i].median,",
        "tests": ["bench"],
    },
    {
        "name": "points-larger-than-the-layer",
        "file": "src/decompose/trial.c",
        "old": "if (point.parameters < size && !twice) points[count++] = point;",
        "new": "if (!twice) points[count++] = point;",
        "tests": ["trial"],
    },
    # ---- plans with times
    {
        "name": "a-layer-that-is-slower-may-be-chosen",
        "file": "src/model/plan.c",
        "old": "return ms >= 0 && (!p->budget->no_slower || ms < ms_of(p, c, NULL));",
        "new": "return ms >= 0;",
        "tests": ["plan"],
    },
    {
        "name": "the-rest-of-the-model-takes-no-time",
        "file": "src/model/plan.c",
        "old": "return allowed < 0 ? -1 : fmax(0, allowed - p->ms_fixed);",
        "new": "return allowed < 0 ? -1 : allowed;",
        "tests": ["plan"],
    },
    {
        "name": "times-of-one-method-for-another",
        "file": "src/model/timings.c",
        "old": "if (t->point.method != point->method) continue;",
        "new": "",
        "tests": ["timings"],
    },
    {
        "name": "a-third-limit-is-forgotten",
        "file": "src/model/knapsack_limits.c",
        "old": "for (int32_t i = 0; i < m->limited; i++) {\n        const int32_t c = m->given[i];\n        const double room",
        "new": "for (int32_t i = 0; i < m->limited && i < 2; i++) {\n        const int32_t c = m->given[i];\n        const double room",
        "tests": ["knapsack_limits"],
    },
]
