"""Ways to break adapters and sums of thin products; table.py says what a row means."""

ADAPTERS = [
    {
        "name": "a-module-carried-whole-without-its-unchanged-tensors",
        "file": "src/model/adapter_extract_rest.c",
        "old": "        if (is_saved(job, module))\n            ECK_TRY(extra_add(",
        "new": "        if (is_saved(job, module) && strstr(tensor, \".weight\"))\n            ECK_TRY(extra_add(",
        "tests": ["adapter_whole"],
    },
    {
        "name": "a-tied-head-written-twice",
        "file": "src/model/adapter_vocabulary.c",
        "old": "        if (own >= 0 && own != extra)",
        "new": "        if (own >= 0 && own == extra)",
        "tests": ["adapter_whole"],
    },
    {
        "name": "the-error-of-a-cut-sum-is-its-rounding-alone",
        "file": "src/decompose/factored.c",
        "old": "*out = sqrt(tail * tail +",
        "new": "*out = sqrt(0 * tail +",
        "tests": ["adapters"],
    },
    {
        "name": "a-sum-without-its-weights",
        "file": "src/decompose/factored_panels.c",
        "old": "const double factor = term->weight * panels->f->scale[ECK_SIDE_LEFT];",
        "new": "const double factor = panels->f->scale[ECK_SIDE_LEFT];",
        "tests": ["factored", "factors"],
    },
    {
        "name": "far-factors-are-scaled-but-not-the-values",
        "file": "src/decompose/factored_panels.c",
        "old": "    f->unit *= ldexp(1, exponent - 1);",
        "new": "    f->unit *= ldexp(1, exponent);",
        "tests": ["factored"],
    },
    {
        "name": "values-that-are-not-looked-for-count-as-zeros",
        "file": "src/decompose/factored_grams.c",
        "old": "return k < a->t.n ? fmax(rest2, 0) : 0;",
        "new": "return 0;",
        "tests": ["factored"],
    },
    {
        "name": "grams-serve-where-terms-cancel",
        "file": "src/decompose/factored_grams.c",
        "old": "static const double gram_rounding = 64;",
        "new": "static const double gram_rounding = 0;",
        "tests": ["factored"],
    },
    {
        "name": "the-reflectors-of-a-wider-matrix-are-read-as-packed",
        "file": "src/linalg/lapack.c",
        "old": "    dormql_(\"L\", \"N\", &m, &n, &k, h->v, &lda,",
        "new": "    dormql_(\"L\", \"N\", &m, &n, &k, h->v, lda > m ? &m : &lda,",
        "tests": ["lapack"],
    },
    {
        "name": "what-float32-cannot-hold-of-a-difference-is-not-counted",
        "file": "src/model/difference.c",
        "old": "        sum += off * off;",
        "new": "        sum += 0 * off;",
        "tests": ["difference"],
    },
    {
        "name": "the-noise-is-that-of-the-base-alone",
        "file": "src/model/difference.c",
        "old": "const double ulp = one > other ? one : other;",
        "new": "const double ulp = one > 0 * other ? one : other;",
        "tests": ["difference"],
    },
]
