// The matrix of a chain against the chain itself: both are run on the same random signal by
// definition. All numbers are whole and small enough for every sum to be exact, so that both sides
// must agree to the last bit.
#include "chains.h"

/** Runs chain and matrix on one signal. */
static void compare_runs(const eck_chain *chain, const eck_stage *dense, const double *matrix)
{
    int64_t size[3] = { 1, 1, 1 };

    for (int32_t d = 0; d < dense->spatial; d++)
        size[d] = dense->kernel[d] + 1;
    const struct signal input = signal_create(dense->in, size);
    for (int64_t i = 0; i < dense->in * input.points; i++)
        input.value[i] = floor(9.0 * ecki_random_uniform(5, 5, (uint64_t)i)) - 4.0;
    const struct signal direct = run_layer(&input, dense, matrix);
    struct signal now = input;
    for (int32_t i = 0; i < chain->count; i++) {
        double *weight = layer_weight(&chain->stages[i]);
        const struct signal next = run_layer(&now, &chain->stages[i], weight);
        free(now.value);
        now = next;
        free(weight);
    }
    assert_int_equal(now.channels * now.points, direct.channels * direct.points);
    for (int64_t i = 0; i < now.channels * now.points; i++) {
        assert_true(fabs(now.value[i]) < 0x1p53);
        assert_true(now.value[i] == direct.value[i]);
    }
    free(now.value);
    free(direct.value);
}

/** A block read into either type of panel, with room between rows, holds what the whole read holds.
 */
static void check_blocks(const eck_operator *a, const double *whole)
{
    const eck_operator_info *info = eck_operator_get_info(a);

    for (uint64_t n = 0; n < 12; n++) {
        const double *dice =
            (double[]){ ecki_random_uniform(8, n, 0), ecki_random_uniform(8, n, 1),
                        ecki_random_uniform(8, n, 2), ecki_random_uniform(8, n, 3) };
        const int64_t row = (int64_t)(dice[0] * (double)info->rows);
        const int64_t col = (int64_t)(dice[1] * (double)info->cols);
        const int64_t rows = 1 + (int64_t)(dice[2] * (double)(info->rows - row));
        const int64_t cols = 1 + (int64_t)(dice[3] * (double)(info->cols - col));
        const bool narrow = n % 2;
        void *data = calloc((size_t)(rows * (cols + 3)), sizeof(double));
        const eck_panel panel = { data, narrow ? ECK_DTYPE_F32 : ECK_DTYPE_F64, rows, cols,
                                  cols + 3 };
        assert_int_equal(eck_operator_read(a, row, col, panel, NULL), ECK_OK);
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < cols; j++) {
                const int64_t at = i * (cols + 3) + j;
                const double got = narrow ? (double)((float *)data)[at] : ((double *)data)[at];
                const double want = whole[(row + i) * info->cols + col + j];
                assert_true(got == (narrow ? (double)(float)want : want));
            }
        free(data);
    }
}

/** Products with a few vectors, either way, equal those of the whole matrix. */
static void check_products(const eck_operator *a, const double *whole)
{
    enum { VECTORS = 3 };
    const eck_operator_info *info = eck_operator_get_info(a);

    for (int side = 0; side < 2; side++) {
        const int64_t n = side ? info->rows : info->cols, m = side ? info->cols : info->rows;
        double *x = calloc((size_t)(n * VECTORS), sizeof *x),
               *y = calloc((size_t)(m * VECTORS), sizeof *y);
        for (int64_t i = 0; i < n * VECTORS; i++)
            x[i] = floor(9.0 * ecki_random_uniform(6, 6, (uint64_t)i)) - 4.0;
        const eck_panel in = { x, ECK_DTYPE_F64, n, VECTORS, VECTORS },
                        out = { y, ECK_DTYPE_F64, m, VECTORS, VECTORS };
        const eck_status status = side ? eck_operator_apply_transpose(a, 0.5, in, out, NULL, NULL)
                                       : eck_operator_apply(a, 0.5, in, out, NULL, NULL);
        assert_int_equal(status, ECK_OK);
        for (int64_t i = 0; i < m; i++)
            for (int64_t v = 0; v < VECTORS; v++) {
                double sum = 0.0;
                for (int64_t j = 0; j < n; j++)
                    sum +=
                        whole[side ? j * info->cols + i : i * info->cols + j] * x[j * VECTORS + v];
                assert_true(y[i * VECTORS + v] == 0.5 * sum);
            }
        free(x);
        free(y);
    }
}

/** Multiplies a chain out and holds it against the chain; clears it. */
static void check_chain(const char *name, eck_chain chain, const eck_stage *dense)
{
    eck_operator *a = NULL;
    eck_error err = ECK_ERROR_INIT;

    const eck_status status = eck_operator_chain(&a, &chain, dense, &err);
    if (status != ECK_OK) printf("%s: %s\n", name, err.message);
    assert_int_equal(status, ECK_OK);
    const eck_operator_info *info = eck_operator_get_info(a);
    assert_int_equal(info->rows, dense->out);
    assert_int_equal(info->rows * info->cols, eck_stage_parameters(dense));
    double *whole = read_whole(a);
    printf("%-32s %3lld x %lld\n", name, (long long)info->rows, (long long)info->cols);
    compare_runs(&chain, dense, whole);
    check_blocks(a, whole);
    check_products(a, whole);
    free(whole);
    eck_operator_free(a);
    eck_chain_clear(&chain);
}

static const eck_dtype DTYPES[] = { ECK_DTYPE_F64, ECK_DTYPE_F32, ECK_DTYPE_BF16, ECK_DTYPE_F16 };

/** A convolution with random weights; every stage in another storage type. */
static eck_stage conv(int64_t in, int64_t out, int64_t groups, int32_t spatial,
                      const int64_t *kernel)
{
    static uint64_t made;

    made++;
    return random_stage(eck_stage_conv(in, out, groups, spatial, kernel), DTYPES[made % 4], made);
}

static eck_stage linear(int64_t in, int64_t out, eck_stage_kind kind)
{
    static uint64_t made = 1000;
    eck_stage stage = eck_stage_linear(in, out);

    made++;
    stage.kind = kind;
    return random_stage(stage, DTYPES[made % 4], made);
}

#define CHECK(name, dense, ...) \
    do { \
        const eck_stage stages_[] = { __VA_ARGS__ }; \
        const eck_stage dense_ = (dense); \
        check_chain(name, chain_of(stages_, (int32_t)(sizeof stages_ / sizeof *stages_)), \
                    &dense_); \
    } while (0)

static const int64_t ONE[] = { 1, 1, 1 }, K33[] = { 3, 3 }, K31[] = { 3, 1 }, K13[] = { 1, 3 },
                     K24[] = { 2, 4 }, K5[] = { 5 }, K3[] = { 3 }, K353[] = { 3, 5, 3 },
                     K311[] = { 3, 1, 1 }, K151[] = { 1, 5, 1 }, K113[] = { 1, 1, 3 },
                     K55[] = { 5, 5 }, K34[] = { 3, 4 };

static void test_linear(void **state)
{
    (void)state;
    CHECK("linear, two stages", eck_stage_linear(37, 41), linear(37, 5, ECK_STAGE_LINEAR),
          linear(5, 41, ECK_STAGE_LINEAR));
    CHECK("linear, rank 1", eck_stage_linear(3, 2), linear(3, 1, ECK_STAGE_LINEAR),
          linear(1, 2, ECK_STAGE_LINEAR));
    CHECK("linear, four stages", eck_stage_linear(30, 20), linear(30, 7, ECK_STAGE_LINEAR),
          linear(7, 9, ECK_STAGE_LINEAR), linear(9, 4, ECK_STAGE_LINEAR),
          linear(4, 20, ECK_STAGE_LINEAR));
    CHECK("linear, U diag(s) V", eck_stage_linear(30, 20), linear(30, 7, ECK_STAGE_LINEAR),
          linear(7, 7, ECK_STAGE_SCALE), linear(7, 20, ECK_STAGE_LINEAR));
    CHECK("scale, linear, scale", eck_stage_linear(30, 20), linear(30, 30, ECK_STAGE_SCALE),
          linear(30, 20, ECK_STAGE_LINEAR), linear(20, 20, ECK_STAGE_SCALE));
    CHECK("a single linear", eck_stage_linear(30, 20), linear(30, 20, ECK_STAGE_LINEAR));
    CHECK("only a scale", eck_stage_linear(6, 6), linear(6, 6, ECK_STAGE_SCALE));
    CHECK("wide: several tiles", eck_stage_linear(2311, 3), linear(2311, 300, ECK_STAGE_LINEAR),
          linear(300, 3, ECK_STAGE_LINEAR));
    CHECK("tall: several panels", eck_stage_linear(5, 700), linear(5, 600, ECK_STAGE_LINEAR),
          linear(600, 520, ECK_STAGE_LINEAR), linear(520, 700, ECK_STAGE_LINEAR));
}

static void test_lookup(void **state)
{
    (void)state;
    eck_stage dense = eck_stage_linear(97, 12);
    dense.kind = ECK_STAGE_LOOKUP;

    CHECK("lookup, linear", dense, linear(97, 4, ECK_STAGE_LOOKUP),
          linear(4, 12, ECK_STAGE_LINEAR));
    CHECK("lookup, linear, linear", dense, linear(97, 4, ECK_STAGE_LOOKUP),
          linear(4, 6, ECK_STAGE_LINEAR), linear(6, 12, ECK_STAGE_LINEAR));
    CHECK("lookup, scale, linear", dense, linear(97, 4, ECK_STAGE_LOOKUP),
          linear(4, 4, ECK_STAGE_SCALE), linear(4, 12, ECK_STAGE_LINEAR));
    CHECK("a single lookup", dense, linear(97, 12, ECK_STAGE_LOOKUP));
}

static void test_convolutions(void **state)
{
    (void)state;
    CHECK("channel svd", eck_stage_conv(7, 11, 1, 2, K33), conv(7, 3, 1, 2, K33),
          conv(3, 11, 1, 2, ONE));
    CHECK("spatial svd", eck_stage_conv(7, 11, 1, 2, K33), conv(7, 3, 1, 2, K31),
          conv(3, 11, 1, 2, K13));
    CHECK("spatial svd, 2 x 4", eck_stage_conv(5, 6, 1, 2, K24),
          conv(5, 3, 1, 2, (int64_t[]){ 2, 1 }), conv(3, 6, 1, 2, (int64_t[]){ 1, 4 }));
    CHECK("tucker-2", eck_stage_conv(7, 11, 1, 2, K33), conv(7, 3, 1, 2, ONE),
          conv(3, 4, 1, 2, K33), conv(4, 11, 1, 2, ONE));
    CHECK("cp", eck_stage_conv(7, 11, 1, 2, K33), conv(7, 5, 1, 2, ONE), conv(5, 5, 5, 2, K31),
          conv(5, 5, 5, 2, K13), conv(5, 11, 1, 2, ONE));
    CHECK("tensor train", eck_stage_conv(7, 11, 1, 2, K33), conv(7, 3, 1, 2, ONE),
          conv(3, 5, 1, 2, K31), conv(5, 4, 1, 2, K13), conv(4, 11, 1, 2, ONE));
    CHECK("depthwise separable, 1 term", eck_stage_conv(6, 9, 1, 2, K33), conv(6, 6, 6, 2, K33),
          conv(6, 9, 1, 2, ONE));
    CHECK("depthwise separable, 3 terms", eck_stage_conv(6, 9, 1, 2, K33), conv(6, 18, 6, 2, K33),
          conv(18, 9, 1, 2, ONE));
    CHECK("with scales between", eck_stage_conv(6, 9, 1, 2, K33), linear(6, 6, ECK_STAGE_SCALE),
          conv(6, 4, 1, 2, K33), linear(4, 4, ECK_STAGE_SCALE), conv(4, 9, 1, 2, ONE),
          linear(9, 9, ECK_STAGE_SCALE));
    CHECK("3 x 3 after 3 x 3", eck_stage_conv(4, 5, 1, 2, K55), conv(4, 3, 1, 2, K33),
          conv(3, 5, 1, 2, K33));
    CHECK("2 x 4 after 2 x 1", eck_stage_conv(4, 5, 1, 2, K34),
          conv(4, 3, 1, 2, (int64_t[]){ 2, 1 }), conv(3, 5, 1, 2, K24));
    CHECK("one dimension", eck_stage_conv(8, 6, 1, 1, K5), conv(8, 3, 1, 1, K3),
          conv(3, 4, 1, 1, K3), conv(4, 6, 1, 1, ONE));
    CHECK("three dimensions, cp", eck_stage_conv(4, 5, 1, 3, K353), conv(4, 3, 1, 3, ONE),
          conv(3, 3, 3, 3, K311), conv(3, 3, 3, 3, K151), conv(3, 3, 3, 3, K113),
          conv(3, 5, 1, 3, ONE));
    CHECK("1 x 1", eck_stage_conv(9, 8, 1, 2, ONE), conv(9, 3, 1, 2, ONE), conv(3, 8, 1, 2, ONE));
    CHECK("a single convolution", eck_stage_conv(4, 6, 2, 2, K33), conv(4, 6, 2, 2, K33));
    CHECK("many inputs: several tiles", eck_stage_conv(700, 3, 1, 2, K33), conv(700, 90, 1, 2, K31),
          conv(90, 3, 1, 2, K13));
}

static void test_groups(void **state)
{
    (void)state;
    CHECK("grouped: svd in every group", eck_stage_conv(8, 12, 4, 2, K33), conv(8, 4, 4, 2, K33),
          conv(4, 12, 4, 2, ONE));
    CHECK("grouped: tucker-2", eck_stage_conv(8, 12, 2, 2, K33), conv(8, 4, 2, 2, ONE),
          conv(4, 6, 2, 2, K33), conv(6, 12, 2, 2, ONE));
    CHECK("grouped: cp", eck_stage_conv(8, 12, 2, 2, K33), conv(8, 6, 2, 2, ONE),
          conv(6, 6, 6, 2, K31), conv(6, 6, 6, 2, K13), conv(6, 12, 2, 2, ONE));
    CHECK("more grouped than the layer", eck_stage_conv(8, 12, 2, 2, K33), conv(8, 12, 4, 2, K33),
          conv(12, 12, 4, 2, ONE));
    CHECK("groups of 4 and 6 share 2", eck_stage_conv(12, 12, 2, 2, K33), conv(12, 12, 4, 2, K31),
          conv(12, 12, 6, 2, K13));
    CHECK("groups of 6, 4, 10", eck_stage_conv(12, 20, 2, 1, K5), conv(12, 12, 6, 1, K3),
          conv(12, 20, 4, 1, K3), conv(20, 20, 10, 1, ONE));
    CHECK("depthwise", eck_stage_conv(6, 6, 6, 2, K33), conv(6, 6, 6, 2, K31),
          conv(6, 6, 6, 2, K13));
    CHECK("depthwise, multiplier 2", eck_stage_conv(6, 12, 6, 2, K33), conv(6, 12, 6, 2, K31),
          conv(12, 12, 12, 2, K13));
    CHECK("grouped linear", eck_stage_conv(8, 12, 2, 0, NULL), conv(8, 4, 2, 0, NULL),
          conv(4, 12, 2, 0, NULL));
}

// ---- rounding

/** out [o,i,p] = the ungrouped kernel of a stage of any kind, in long double. */
static long double *spread_stage(const eck_stage *stage, int64_t taps)
{
    const int64_t groups = stage->kind == ECK_STAGE_SCALE ? stage->out : stage->groups;
    const int64_t seen = stage->in / groups;
    double *weight = layer_weight(stage);
    long double *full = calloc((size_t)(stage->out * stage->in * taps), sizeof *full);

    for (int64_t o = 0; o < stage->out; o++)
        for (int64_t i = 0; i < seen; i++)
            for (int64_t p = 0; p < taps; p++)
                full[(o * stage->in + o / (stage->out / groups) * seen + i) * taps + p] =
                    weight[(o * seen + i) * taps + p];
    free(weight);
    return full;
}

/** Adds w [q taps] after t [p taps] to out [p + q taps]. */
static void compose_taps(long double *out, const long double *w, int64_t taps_w,
                         const long double *t, int64_t taps_t)
{
    for (int64_t q = 0; q < taps_w; q++)
        for (int64_t p = 0; p < taps_t; p++)
            out[p + q] += w[q] * t[p];
}

/** One-dimensional kernels composed by definition: w [o,c,q] after t [c,i,p]. */
static long double *compose(const long double *w, const int64_t shape_w[3], const long double *t,
                            const int64_t shape_t[3])
{
    const int64_t taps = shape_t[2] + shape_w[2] - 1, in = shape_t[1];
    long double *out = calloc((size_t)(shape_w[0] * in * taps), sizeof *out);

    for (int64_t o = 0; o < shape_w[0]; o++)
        for (int64_t c = 0; c < shape_w[1]; c++)
            for (int64_t i = 0; i < in; i++)
                compose_taps(out + (o * in + i) * taps, w + (o * shape_w[1] + c) * shape_w[2],
                             shape_w[2], t + (c * in + i) * shape_t[2], shape_t[2]);
    return out;
}

/** Distance of what the operator reads from the product in long double, which errs 2^-11 as much.
 */
static double distance_from_exact(const eck_operator *a, const eck_chain *chain)
{
    const eck_stage *first = &chain->stages[0];
    int64_t shape[3] = { first->out, first->in, first->spatial ? first->kernel[0] : 1 };
    long double sum = 0.0L;
    double *whole = read_whole(a);

    long double *exact = spread_stage(first, shape[2]);
    for (int32_t s = 1; s < chain->count; s++) {
        const eck_stage *stage = &chain->stages[s];
        const int64_t next[3] = { stage->out, stage->in, stage->spatial ? stage->kernel[0] : 1 };
        long double *weight = spread_stage(stage, next[2]);
        long double *product = compose(weight, next, exact, shape);
        free(weight);
        free(exact);
        exact = product;
        shape[0] = next[0];
        shape[2] += next[2] - 1;
    }
    for (int64_t i = 0; i < shape[0] * shape[1] * shape[2]; i++)
        sum += (exact[i] - whole[i]) * (exact[i] - whole[i]);
    free(exact);
    free(whole);
    return (double)sqrtl(sum);
}

/** A stage of F64 weights uniform in -1 .. 1. */
static eck_stage rough(eck_stage stage)
{
    static uint64_t made;
    const eck_stage whole = random_stage(stage, ECK_DTYPE_F64, 1);
    double *data = whole.weight->data;

    made++;
    for (int64_t i = 0; i < eck_array_count(whole.weight); i++)
        data[i] = 2.0 * ecki_random_uniform(21, made, (uint64_t)i) - 1.0;
    return whole;
}

/** The stated bound of rounding errors holds. It is for the worst signs; random ones leave about
 *  1 / n of it for sums of n products, since the bound also takes every product at its largest. */
static void check_rounding(const char *name, eck_chain chain, const eck_stage *dense)
{
    eck_operator *a = NULL;

    assert_int_equal(eck_operator_chain(&a, &chain, dense, NULL), ECK_OK);
    const double measured = distance_from_exact(a, &chain);
    const double bound = eck_operator_get_info(a)->read_error;
    printf("rounding, %-20s %.2e, bound %.2e\n", name, measured, bound);
    assert_true(measured > 0.0 && measured <= bound);
    eck_operator_free(a);
    eck_chain_clear(&chain);
}

static void test_read_error(void **state)
{
    (void)state;
    const eck_stage two[] = { rough(eck_stage_linear(60, 300)), rough(eck_stage_linear(300, 50)) };
    const eck_stage three[] = { rough(eck_stage_linear(40, 70)), rough(eck_stage_linear(70, 90)),
                                rough(eck_stage_linear(90, 30)) };
    const eck_stage cp[] = { rough(eck_stage_conv(20, 8, 1, 1, ONE)),
                             rough(eck_stage_conv(8, 8, 8, 1, K5)),
                             rough(eck_stage_conv(8, 8, 8, 1, K3)),
                             rough(eck_stage_conv(8, 20, 1, 1, ONE)) };
    const eck_stage wide[] = { rough(eck_stage_conv(12, 16, 1, 1, K5)),
                               rough(eck_stage_conv(16, 10, 1, 1, K5)) };
    const int64_t seven = 7, nine = 9;
    const eck_stage layers[] = { eck_stage_linear(60, 50), eck_stage_linear(40, 30),
                                 eck_stage_conv(20, 20, 1, 1, &seven),
                                 eck_stage_conv(12, 10, 1, 1, &nine) };

    check_rounding("two matrices", chain_of(two, 2), &layers[0]);
    check_rounding("three matrices", chain_of(three, 3), &layers[1]);
    check_rounding("cp", chain_of(cp, 4), &layers[2]);
    check_rounding("5 after 5", chain_of(wide, 2), &layers[3]);
}

// ---- refusals

/** The chain is refused with this status and these words; clears it. */
static void refuse(eck_chain chain, const eck_stage *dense, eck_status expected, const char *words)
{
    eck_operator *a = NULL;
    eck_error err = ECK_ERROR_INIT;

    assert_int_equal(eck_operator_chain(&a, &chain, dense, &err), expected);
    assert_null(a);
    if (!strstr(err.message, words)) fail_msg("'%s' not in '%s'", words, err.message);
    eck_chain_clear(&chain);
}

#define REFUSE(dense, expected, words, ...) \
    do { \
        const eck_stage stages_[] = { __VA_ARGS__ }; \
        const eck_stage dense_ = (dense); \
        refuse(chain_of(stages_, (int32_t)(sizeof stages_ / sizeof *stages_)), &dense_, expected, \
               words); \
    } while (0)

static eck_stage striding(eck_stage stage, int64_t stride, int64_t dilation)
{
    for (int32_t d = 0; d < stage.spatial; d++) {
        stage.stride[d] = stride;
        stage.dilation[d] = dilation;
    }
    return stage;
}

static void test_refusals(void **state)
{
    (void)state;
    const eck_stage l = eck_stage_linear(6, 8), c = eck_stage_conv(6, 8, 1, 2, K33);
    eck_stage transposed = c, lookup = l;
    transposed.kind = ECK_STAGE_CONV_TRANSPOSE;
    lookup.kind = ECK_STAGE_LOOKUP;

    refuse((eck_chain){ NULL, 0 }, &l, ECK_E_SHAPE, "no stage");
    REFUSE(l, ECK_E_SHAPE, "stage 1 takes 4 channels, it is given 3",
           linear(6, 3, ECK_STAGE_LINEAR), linear(4, 8, ECK_STAGE_LINEAR));
    REFUSE(l, ECK_E_SHAPE, "stage 0 takes 5", linear(5, 8, ECK_STAGE_LINEAR));
    REFUSE(l, ECK_E_SHAPE, "makes 9 channels, the layer 8", linear(6, 9, ECK_STAGE_LINEAR));
    REFUSE(l, ECK_E_RANGE, "no weight", eck_stage_linear(6, 8));
    REFUSE(l, ECK_E_UNSUPPORTED, "stage 0", linear(6, 8, ECK_STAGE_LOOKUP));
    REFUSE(lookup, ECK_E_UNSUPPORTED, "stage 1", linear(6, 6, ECK_STAGE_LOOKUP),
           linear(6, 8, ECK_STAGE_LOOKUP));
    REFUSE(lookup, ECK_E_UNSUPPORTED, "stage 0", linear(6, 8, ECK_STAGE_LINEAR));
    REFUSE(transposed, ECK_E_UNSUPPORTED, "kind", conv(6, 8, 1, 2, K33));
    REFUSE(c, ECK_E_SHAPE, "kernel of 1 in dimension 0, the layer has 3", conv(6, 8, 1, 2, ONE));
    REFUSE(c, ECK_E_SHAPE, "dimension 0", conv(6, 4, 1, 2, K33), conv(4, 8, 1, 2, K33));
    REFUSE(c, ECK_E_UNSUPPORTED, "stage 0", conv(6, 8, 1, 1, K3));
    REFUSE(c, ECK_E_UNSUPPORTED, "stage 1", conv(6, 4, 1, 2, K33), linear(4, 8, ECK_STAGE_LINEAR));
    REFUSE(eck_stage_conv(6, 8, 2, 2, K33), ECK_E_SHAPE, "mixes the 2 groups",
           conv(6, 4, 1, 2, K33), conv(4, 8, 2, 2, ONE));
    eck_stage wrong = conv(6, 8, 1, 2, K33);
    wrong.kernel[1] = 2;
    REFUSE(eck_stage_conv(6, 8, 1, 2, (int64_t[]){ 3, 2 }), ECK_E_SHAPE,
           "dimension 3 of the weight", wrong);
    wrong = linear(6, 8, ECK_STAGE_LINEAR);
    wrong.groups = 0;
    REFUSE(l, ECK_E_SHAPE, "groups", wrong);
}

static void test_steps(void **state)
{
    (void)state;
    const eck_stage plain = striding(eck_stage_conv(6, 8, 1, 2, K33), 1, 1);
    const eck_stage strided = striding(plain, 2, 1), dilated = striding(plain, 1, 2);

    REFUSE(strided, ECK_E_SHAPE, "after a stride of 2", striding(conv(6, 4, 1, 2, ONE), 2, 1),
           striding(conv(4, 8, 1, 2, K33), 1, 1));
    REFUSE(plain, ECK_E_SHAPE, "stride by 2, the layer by 1",
           striding(conv(6, 8, 1, 2, K33), 2, 1));
    REFUSE(dilated, ECK_E_SHAPE, "dilated by 1, the layer by 2",
           striding(conv(6, 8, 1, 2, K33), 1, 1));
    CHECK("stride after the kernel", strided, striding(conv(6, 4, 1, 2, K33), 2, 1),
          striding(conv(4, 8, 1, 2, ONE), 1, 1));
    CHECK("dilated", dilated, striding(conv(6, 4, 1, 2, K31), 1, 2),
          striding(conv(4, 8, 1, 2, K13), 1, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),       cmocka_unit_test(test_lookup),
        cmocka_unit_test(test_convolutions), cmocka_unit_test(test_groups),
        cmocka_unit_test(test_read_error),   cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_steps),
    };
    return cmocka_run_group_tests(tests, NULL, no_leak);
}
