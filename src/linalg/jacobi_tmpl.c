// One-sided Jacobi, every lane of the vectors a matrix of its own; included once per build and type, which define ECK_REAL
// and ECK_BUILD (linalg/lanes.h) and ECK_SOLVE, the name of the one function that leaves the file.
//
// Numbers lie interleaved: element e of all matrices of a block is `groups` vectors, one after the other. Always true: a
// lane that has nothing to do is multiplied by 1 and gets 0 added, so that no matrix feels its neighbours; X J is the
// matrix that came in, up to rounding, and J is orthogonal.
#include "linalg/jacobi.h"
#include "linalg/lanes.h"

#include "base/checked.h"

#define EACH_GROUP _Pragma("GCC unroll 4") for (int g = 0; g < groups; g++)

enum { GROUPS_MAX = 4, SWEEPS_MAX = 30, SUMS = 4 };

// Matrices are worked on with their largest number near 2^RISE, and columns whose squared length is below FROZEN (2^-31
// of that number; F64: 2^-220) are not rotated but made orthogonal one by one at the end. So every square and product of
// squares of what is rotated is a normal number: from 4 EPSILON^2 FROZEN^2 = 2^-88 to (2^(2 RISE + 2) 2^15)^2 = 2^114.
enum { RISE = 20 };
#if ECK_REAL == 32
static const real FROZEN = 0x1p-22f, EPSILON = 0x1p-23f;
#else
static const real FROZEN = 0x1p-400, EPSILON = 0x1p-52;
#endif

// One block on its way.
typedef struct solver {
    const ecki_jacobi_plan *plan;
    int64_t height; // rows of x
    lanes *w; // [n][m] columns of the scaled matrix; by QR: reflectors
    lanes *x; // [n][height] columns being made orthogonal: w, or the transposed triangle
    lanes *j; // [n][n] columns of J; NULL: values only
    lanes *panel; // [kept][m] by QR: Q J
    lanes *norm; // [n] squared lengths, in the end values
    lanes *factor; // [n] of the reflectors, then signs of the vectors
    lanes *back; // [2] powers of two whose product undoes the scaling
    lane_mask rotated[GROUPS_MAX]; // in this sweep
} solver;

// ---- angles

// 1 / sqrt(x) for x in [1/2, 1], to 2e-5 (F64: 4e-10): the parabola of least relative error, 3.2e-3, then Newton's steps.
ECKI_INLINE lanes inverse_root_near_one(lanes x)
{
    lanes y = product_sum(product_sum(lanes_of((real)0.83544913), x, lanes_of((real)-2.06620975)),
                          x, lanes_of((real)2.2339483));
    const lanes half = x * (real)0.5;
    for (int step = 0; step < (ECK_REAL == 32 ? 1 : 2); step++)
        y = y * product_sum(-half * y, y, lanes_of((real)1.5));
    return y;
}

// 1 / sqrt(x) for normal x > 0, to 5e-6 (F64: 4e-11): halves the exponent as Lomont 2003, then Newton's steps.
ECKI_INLINE lanes inverse_root(lanes x)
{
#if ECK_REAL == 32
    const bits magic = 0x5f375a86;
#else
    const bits magic = 0x5fe6eb50c7b537a9;
#endif
    lanes y = (lanes)(magic - ((lane_bits)x >> 1));
    const lanes half = x * (real)0.5;
    for (int step = 0; step < (ECK_REAL == 32 ? 2 : 3); step++)
        y = y * product_sum(-half * y, y, lanes_of((real)1.5));
    return y;
}

// A rotation of two columns and what it does to their squared lengths.
typedef struct rotation {
    lanes c, s, gain;
} rotation;

// The rotation that makes columns of squared lengths a, b and product g orthogonal, the first the longer:
//   r = sqrt((a-b)^2 + 4 g^2), big = sqrt((1 + |a-b|/r) / 2), small = |g| / (r big), c = big or small as a >= b or not;
// r need not be exact, since (c, s) is brought to length 1 afterwards.
ECKI_INLINE rotation rotation_of(lanes a, lanes b, lanes g)
{
    const lanes d = a - b, h = g + g;
    const lanes r = inverse_root(product_sum(d, d, h * h));
    const lanes half = lanes_of((real)0.5);
    const lanes square = product_sum(absolute(d) * r, half, half);
    const lanes root = inverse_root_near_one(square);
    lanes big = square * root, small = absolute(h) * r * (root * half);
    // In this order and by adding, so that small angles, which are many, all round as they should and not to one side.
    const lanes beyond = product_sum(small, small, product_sum(big, big, lanes_of(-1)));
    big = product_sum(big, -half * beyond, big);
    small = product_sum(small, -half * beyond, small);
    const lane_mask ordered = greater(b, a);
    const rotation found = { choose(ordered, small, big), with_sign(choose(ordered, big, small), g),
                             small * root * absolute(g) };
    return found;
}

// ---- columns

// sums[g] += x . y over count elements, in SUMS chains.
ECKI_INLINE void dot(lanes *out, const lanes *x, const lanes *y, int64_t count, const int groups)
{
    lanes sum[SUMS][GROUPS_MAX] = { { { 0 } } };
    int64_t i = 0;
    for (; i + SUMS <= count; i += SUMS)
        _Pragma("GCC unroll 4") for (int part = 0; part < SUMS; part++) EACH_GROUP sum[part][g] =
            product_sum(x[(i + part) * groups + g], y[(i + part) * groups + g], sum[part][g]);
    for (; i < count; i++)
        EACH_GROUP sum[0][g] = product_sum(x[i * groups + g], y[i * groups + g], sum[0][g]);
    EACH_GROUP out[g] = (sum[0][g] + sum[1][g]) + (sum[2][g] + sum[3][g]);
}

// x, y = c x + s y, c y - s x.
ECKI_INLINE void rotate(lanes *x, lanes *y, int64_t count, const rotation *by, const int groups)
{
    for (int64_t i = 0; i < count; i++)
        EACH_GROUP
        {
            const lanes p = x[i * groups + g], q = y[i * groups + g];
            x[i * groups + g] = product_sum(by[g].s, q, by[g].c * p);
            y[i * groups + g] = product_sum(-by[g].s, p, by[g].c * q);
        }
}

// y += a x.
ECKI_INLINE void add(lanes *y, const lanes *x, const lanes *a, int64_t count, const int groups)
{
    for (int64_t i = 0; i < count; i++)
        EACH_GROUP y[i * groups + g] = product_sum(a[g], x[i * groups + g], y[i * groups + g]);
}

ECKI_INLINE void scale(lanes *x, const lanes *a, int64_t count, const int groups)
{
    for (int64_t i = 0; i < count; i++)
        EACH_GROUP x[i * groups + g] *= a[g];
}

// ---- sweeps

// The rotations of one pair of columns, a group each; none where they are orthogonal already.
typedef struct turn {
    lanes product[GROUPS_MAX];
    rotation by[GROUPS_MAX];
    bool some;
} turn;

// The angles of a pair from t->product, and the squared lengths a and b as they will be.
ECKI_INLINE void find_angles(turn *t, lanes *a, lanes *b, solver *s, real tolerance2,
                             const int groups)
{
    lane_mask active[GROUPS_MAX];
    t->some = false;
    EACH_GROUP
    {
        const lanes least = choose(greater(a[g], b[g]), b[g], a[g]);
        active[g] = greater(t->product[g] * t->product[g], a[g] * tolerance2 * b[g]) &
                    greater(least, lanes_of(FROZEN));
        t->some |= any(active[g]);
        s->rotated[g] |= active[g];
    }
    if (!t->some) return;
    EACH_GROUP
    {
        const rotation found = rotation_of(a[g], b[g], t->product[g]);
        t->by[g].c = choose(active[g], found.c, lanes_of(1));
        t->by[g].s = choose(active[g], found.s, lanes_of(0));
        const lanes gain = choose(active[g], found.gain, lanes_of(0));
        const lane_mask turned = greater(b[g], a[g]) & active[g];
        const lanes longer = choose(turned, b[g], a[g]), shorter = choose(turned, a[g], b[g]);
        a[g] = longer + gain;
        b[g] = shorter - gain;
    }
}

// Makes the columns of a few pairs that share none orthogonal where they are not: all products, all angles, all rotations,
// so that the long chains of one angle run beside those of the next.
ECKI_INLINE void make_orthogonal(solver *s, int64_t begin, int count, real tolerance2,
                                 const int groups)
{
    const int64_t m = s->height, n = s->plan->n;
    const uint8_t *const p = s->plan->first + begin, *const q = s->plan->second + begin;
    turn turns[ECKI_JACOBI_TOGETHER];
    for (int i = 0; i < count; i++)
        dot(turns[i].product, s->x + p[i] * m * groups, s->x + q[i] * m * groups, m, groups);
    for (int i = 0; i < count; i++)
        find_angles(&turns[i], s->norm + p[i] * groups, s->norm + q[i] * groups, s, tolerance2,
                    groups);
    for (int i = 0; i < count; i++) {
        if (!turns[i].some) continue;
        rotate(s->x + p[i] * m * groups, s->x + q[i] * m * groups, m, turns[i].by, groups);
        if (s->j)
            rotate(s->j + p[i] * n * groups, s->j + q[i] * n * groups, n, turns[i].by, groups);
    }
}

// Matrices rotated in the last sweep.
static int64_t count_rotated(const solver *s, const int groups)
{
    int64_t count = 0;
    EACH_GROUP
    {
        const lanes marks = choose(s->rotated[g], lanes_of(1), lanes_of(0));
        for (int i = 0; i < LANES; i++)
            count += marks[i] > 0;
    }
    return count;
}

// Every pair once; true if any lane was rotated.
ECKI_INLINE bool sweep(solver *s, const int groups)
{
    const ecki_jacobi_plan *const plan = s->plan;
    // A dot product of m terms is off by about sqrt(m) roundings of the product of the lengths.
    const real tolerance2 = EPSILON * EPSILON * (real)s->height;
    bool rotated = false;
    memset(s->rotated, 0, sizeof s->rotated);
    for (int64_t j = 0; j < plan->n; j++)
        dot(s->norm + j * groups, s->x + j * s->height * groups, s->x + j * s->height * groups,
            s->height, groups);
    for (int64_t i = 0; i < plan->pairs; i += plan->together[i])
        make_orthogonal(s, i, plan->together[i], tolerance2, groups);
    EACH_GROUP rotated |= any(s->rotated[g]);
    return rotated;
}

// ---- in

// Numbers of every matrix, in order, `step` vectors apart: tiles of LANES matrices by LANES numbers are turned. The last tile
// overlaps the one before; with fewer numbers than LANES it reads into the next matrix, or behind the last, and drops that.
ECKI_INLINE void gather(lanes *out, const real *a, int64_t size, int64_t count)
{
    lanes tile[LANES];
    _Pragma("GCC unroll 16") for (int lane = 0; lane < LANES; lane++) tile[lane] =
        lane < count ? load_lanes(a + lane * size) : (lanes){ 0 };
    transpose_lanes(tile);
    _Pragma("GCC unroll 16") for (int i = 0; i < LANES; i++) out[i] = tile[i];
}

// Lays the matrices of a block between each other, as columns; lanes without a matrix are zero.
ECKI_INLINE void interleave(const solver *s, const ecki_jacobi_block *block, const int groups)
{
    const ecki_jacobi_plan *const plan = s->plan;
    const int64_t size = plan->m * plan->n;
    const int64_t down = plan->flipped ? 1 : plan->m, across = plan->flipped ? plan->m : 1;
    EACH_GROUP
    {
        const real *const a = (const real *)block->a + g * LANES * size;
        int64_t row = 0, col = 0;
        for (int64_t e = 0; e < size; e += LANES) {
            const int64_t fresh = ecki_min(LANES, size - e), old = size < LANES ? 0 : LANES - fresh;
            lanes tile[LANES];
            gather(tile, a + e - old, size, block->count - g * LANES);
            for (int64_t i = 0; i < fresh; i++) {
                s->w[(row * across + col * down) * groups + g] = tile[old + i];
                if (++col == plan->cols) col = 0, row++;
            }
        }
    }
}

// 2^e of every lane, as a normal number.
ECKI_INLINE lanes power_of_two(lane_bits e)
{
    return (lanes)((e + BIAS) << FRACTION);
}

// The larger of two numbers that are not negative, as the integers their bits are: NaN above infinity above the rest.
ECKI_INLINE lane_bits larger(lane_bits a, lane_bits b)
{
    const lane_bits mask = a > b;
    return (a & mask) | (b & ~mask);
}

// Scales every matrix so that its largest number lies in 2^RISE [1,2), by two powers of two, as one need not be a normal number.
// False if a number is not finite.
ECKI_INLINE bool normalize(solver *s, const int groups)
{
    enum { LIFT = FRACTION + 10 };
    const int64_t count = s->plan->m * s->plan->n;
    lane_bits most[GROUPS_MAX] = { { 0 } }, infinite = { 0 };
    lanes up[2][GROUPS_MAX];
    for (int64_t i = 0; i < count; i++)
        EACH_GROUP most[g] = larger((lane_bits)absolute(s->w[i * groups + g]), most[g]);
    EACH_GROUP
    {
        infinite |= (most[g] >> FRACTION) > 2 * BIAS;
        const lane_mask low = greater(power_of_two((lane_bits){ 0 } - LIFT), (lanes)most[g]);
        const lanes lift = power_of_two((lane_bits){ 0 } + LIFT);
        const lanes lifted = choose(low, (lanes)most[g] * lift, (lanes)most[g]);
        const lane_bits offset = (lane_bits)choose(low, lift, lanes_of(1)) >> FRACTION;
        const lane_bits e = ((lane_bits)lifted >> FRACTION) - offset - RISE, half = e >> 1;
        up[0][g] = power_of_two(-half);
        up[1][g] = power_of_two(half - e);
        s->back[g] = power_of_two(half);
        s->back[groups + g] = power_of_two(e - half);
    }
    for (int64_t i = 0; i < count; i++)
        EACH_GROUP s->w[i * groups + g] = s->w[i * groups + g] * up[0][g] * up[1][g];
    bits all = 0;
    for (int i = 0; i < LANES; i++)
        all |= infinite[i];
    return all == 0;
}

// ---- triangle

// Reflectors H = I - f v v^T that make w upper triangular: v over column k from its diagonal down, f in factor, and the
// triangle by rows into the columns of x. A column that has nearly nothing left is left as it is: what it has is below
// any rounding.
ECKI_INLINE void triangularize(solver *s, const int groups)
{
    const int64_t m = s->plan->m, n = s->plan->n;
    memset(s->x, 0, (size_t)(n * n * groups) * sizeof *s->x);
    for (int64_t k = 0; k < n; k++) {
        lanes *const v = s->w + (k * m + k) * groups;
        lanes square[GROUPS_MAX], product[GROUPS_MAX];
        dot(square, v, v, m - k, groups);
        EACH_GROUP
        {
            const lane_mask some = greater(square[g], lanes_of(FROZEN));
            const lanes length = square_root(square[g]);
            const lanes sum = length * (length + absolute(v[g]));
            s->factor[k * groups + g] =
                choose(some, lanes_of(-1) / choose(some, sum, lanes_of(1)), lanes_of(0));
            s->x[(k * n + k) * groups + g] = choose(some, with_sign(length, -v[g]), v[g]);
            v[g] = choose(some, v[g] + with_sign(length, v[g]), v[g]);
        }
        for (int64_t j = k + 1; j < n; j++) {
            lanes *const y = s->w + (j * m + k) * groups;
            dot(product, v, y, m - k, groups);
            EACH_GROUP product[g] *= s->factor[k * groups + g];
            add(y, v, product, m - k, groups);
            EACH_GROUP s->x[(k * n + j) * groups + g] = y[g];
        }
    }
}

// panel = H_1 .. H_n [J; 0], the first `kept` columns.
ECKI_INLINE void apply_reflectors(solver *s, const int groups)
{
    const int64_t m = s->plan->m, n = s->plan->n;
    memset(s->panel, 0, (size_t)(s->plan->kept * m * groups) * sizeof *s->panel);
    for (int64_t j = 0; j < s->plan->kept; j++) {
        lanes *const y = s->panel + j * m * groups;
        memcpy(y, s->j + j * n * groups, (size_t)(n * groups) * sizeof *y);
        for (int64_t k = n - 1; k >= 0; k--) {
            const lanes *const v = s->w + (k * m + k) * groups;
            lanes product[GROUPS_MAX];
            dot(product, v, y + k * groups, m - k, groups);
            EACH_GROUP product[g] *= s->factor[k * groups + g];
            add(y + k * groups, v, product, m - k, groups);
        }
    }
}

// ---- out

// Exchanges columns j and j+1 where the mask says so.
ECKI_INLINE void exchange(lanes *column, int64_t count, const lane_mask *mask, const int groups)
{
    lanes *const next = column + count * groups;
    for (int64_t i = 0; i < count; i++)
        EACH_GROUP
        {
            const lanes x = column[i * groups + g], y = next[i * groups + g];
            column[i * groups + g] = choose(mask[g], y, x);
            next[i * groups + g] = choose(mask[g], x, y);
        }
}

// Brings the columns of x and J into descending order of their norms. Rotations leave them nearly so.
ECKI_INLINE void sort(solver *s, const int groups)
{
    const int64_t n = s->plan->n;
    for (bool changed = true; changed;) {
        changed = false;
        for (int64_t j = 0; j + 1 < n; j++) {
            lane_mask mask[GROUPS_MAX];
            bool some = false;
            EACH_GROUP
            {
                mask[g] = greater(s->norm[(j + 1) * groups + g], s->norm[j * groups + g]);
                some |= any(mask[g]);
            }
            if (!some) continue;
            changed = true;
            exchange(s->norm + j * groups, 1, mask, groups);
            exchange(s->x + j * s->height * groups, s->height, mask, groups);
            if (s->j) exchange(s->j + j * n * groups, n, mask, groups);
        }
    }
}

// Columns of one lane: element i of column j is x[(j * count + i) * step].
typedef struct strided {
    real *x;
    int64_t count, step;
} strided;

static real *column_of(const strided *all, int64_t j)
{
    return all->x + j * all->count * all->step;
}

// The largest absolute value and the length of a column, whose squares need not be in the range of the type.
static double length_of(const strided *all, int64_t j)
{
    const real *const x = column_of(all, j);
    double sum = 0.0, most = 0.0;
    for (int64_t i = 0; i < all->count; i++)
        most = fmax(most, fabs((double)x[i * all->step]));
    if (most == 0.0) return 0.0;
    const int exponent = ilogb(most);
    for (int64_t i = 0; i < all->count; i++) {
        const double part = ldexp((double)x[i * all->step], -exponent);
        sum += part * part;
    }
    return ldexp(sqrt(sum), exponent);
}

static void divide(const strided *all, int64_t j, double length)
{
    real *const x = column_of(all, j);
    const int exponent = ilogb(length);
    const double rest = ldexp(length, -exponent);
    for (int64_t i = 0; i < all->count; i++)
        x[i * all->step] = (real)(ldexp((double)x[i * all->step], -exponent) / rest);
}

// Takes what lies along the first j columns out of column j, of length 1; returns what is left of the length.
static double take_out(const strided *all, int64_t j)
{
    real *const x = column_of(all, j);
    for (int64_t k = 0; k < j; k++) {
        const real *const y = column_of(all, k);
        double along = 0.0;
        for (int64_t i = 0; i < all->count; i++)
            along += (double)x[i * all->step] * (double)y[i * all->step];
        for (int64_t i = 0; i < all->count; i++)
            x[i * all->step] = (real)((double)x[i * all->step] - along * (double)y[i * all->step]);
    }
    return length_of(all, j);
}

// Column j = the unit vector that lies least in the span of the first j.
static void unit_vector(const strided *all, int64_t j)
{
    int64_t best = 0;
    double least = INFINITY;
    for (int64_t i = 0; i < all->count; i++) {
        double sum = 0.0;
        for (int64_t k = 0; k < j; k++) {
            const double part = (double)column_of(all, k)[i * all->step];
            sum += part * part;
        }
        if (sum < least) {
            least = sum;
            best = i;
        }
    }
    for (int64_t i = 0; i < all->count; i++)
        column_of(all, j)[i * all->step] = i == best;
}

// Makes column j orthogonal to those before it and of length 1: its own direction where it has one beside theirs.
static void complete(const strided *all, int64_t j, double length)
{
    if (length > 0.0) divide(all, j, length);
    double left = length > 0.0 ? take_out(all, j) : 0.0;
    if (left < 0x1p-10) {
        unit_vector(all, j);
        left = take_out(all, j);
    }
    divide(all, j, left);
    divide(all, j, take_out(all, j));
}

static void exchange_columns(const strided *all, int64_t j, int64_t k)
{
    real *const x = column_of(all, j), *const y = column_of(all, k);
    for (int64_t i = 0; i < all->count && j != k; i++) {
        const real kept = x[i * all->step];
        x[i * all->step] = y[i * all->step];
        y[i * all->step] = kept;
    }
}

// The columns of one lane from `first` on were never rotated, being short: their lengths, order and directions.
static void complete_lane(const solver *s, int64_t lane, int64_t first, int64_t width)
{
    const int64_t n = s->plan->n;
    const strided x = { (real *)s->x + lane, s->height, width };
    const strided j = { (real *)s->j + lane, n, width };
    const strided length = { (real *)s->norm + lane, 1, width };
    for (int64_t k = first; k < n; k++)
        *column_of(&length, k) = (real)length_of(&x, k);
    for (int64_t k = first; k < n; k++) {
        int64_t longest = k;
        for (int64_t i = k + 1; i < n; i++)
            if (*column_of(&length, i) > *column_of(&length, longest)) longest = i;
        exchange_columns(&length, k, longest);
        exchange_columns(&x, k, longest);
        if (s->j) exchange_columns(&j, k, longest);
        if (s->j) complete(&x, k, (double)*column_of(&length, k));
    }
}

// Lengths in place of their squares and columns of length 1.
ECKI_INLINE void measure(solver *s, int64_t count, const int groups)
{
    const int64_t n = s->plan->n, width = groups * LANES;
    for (int64_t k = 0; k < n; k++) {
        lanes inverse[GROUPS_MAX];
        EACH_GROUP
        {
            lanes *const norm = &s->norm[k * groups + g];
            const lane_mask some = greater(*norm, lanes_of(FROZEN));
            *norm = choose(some, square_root(*norm), lanes_of(0));
            inverse[g] = lanes_of(1) / choose(some, *norm, lanes_of(1));
        }
        if (s->j) scale(s->x + k * s->height * groups, inverse, s->height, groups);
    }
    // Descending order: where the last has a length, all have.
    bool some = false;
    EACH_GROUP some |= any(greater(lanes_of(FROZEN), s->norm[(n - 1) * groups + g]));
    for (int64_t lane = 0; some && lane < count; lane++) {
        int64_t first = n;
        while (first > 0 && ((real *)s->norm)[(first - 1) * width + lane] == (real)0)
            first--;
        if (first < n) complete_lane(s, lane, first, width);
    }
}

// Gives every pair of columns the sign that makes the largest number of the right one positive, the first on ties; and
// turns every -0 into 0.
ECKI_INLINE void choose_signs(lanes *right, int64_t rows, lanes *left, int64_t other, int64_t kept,
                              const int groups)
{
    for (int64_t k = 0; k < kept; k++) {
        lanes *const x = right + k * rows * groups, *const y = left + k * other * groups;
        lanes most[GROUPS_MAX] = { { 0 } }, sign[GROUPS_MAX];
        EACH_GROUP sign[g] = lanes_of(1);
        for (int64_t i = 0; i < rows; i++)
            EACH_GROUP
            {
                const lane_mask mask = greater(absolute(x[i * groups + g]), most[g]);
                most[g] = choose(mask, absolute(x[i * groups + g]), most[g]);
                sign[g] = choose(mask, with_sign(lanes_of(1), x[i * groups + g]), sign[g]);
            }
        for (int64_t i = 0; i < rows; i++)
            EACH_GROUP x[i * groups + g] = product_sum(x[i * groups + g], sign[g], lanes_of(0));
        for (int64_t i = 0; i < other; i++)
            EACH_GROUP y[i * groups + g] = product_sum(y[i * groups + g], sign[g], lanes_of(0));
    }
}

// The factor of every matrix: columns of `count` numbers, written by rows or one after the other.
typedef struct factor_out {
    real *out; // NULL: not wanted
    int64_t rows, kept;
    bool by_rows;
} factor_out;

// Writes numbers 0 .. LANES-1 of a tile for every lane; what lies beyond `rest`, up to the end, is written over later.
ECKI_INLINE void scatter(real *out, lanes *tile, int64_t size, int64_t fresh, int64_t rest)
{
    transpose_lanes(tile);
    for (int lane = 0; lane < LANES; lane++) {
        const int64_t left = rest - lane * size;
        if (left >= LANES)
            store_lanes(out + lane * size, tile[lane]);
        else if (left > 0)
            memcpy(out + lane * size, &tile[lane], (size_t)ecki_min(fresh, left) * sizeof *out);
    }
}

// Takes the first `count` matrices of the block apart again, in order, so that a tile may spill into the next matrix.
ECKI_INLINE void hand_out(const factor_out *to, const lanes *from, int64_t count, const int groups)
{
    const int64_t size = to->rows * to->kept, across = to->by_rows ? to->kept : to->rows;
    const int64_t down = to->by_rows ? to->rows : 1, over = to->by_rows ? 1 : to->rows;
    EACH_GROUP if (to->out)
    {
        real *const out = to->out + g * LANES * size;
        for (int64_t e = 0; e < size; e += LANES) {
            const int64_t first = size < LANES ? 0 : ecki_min(e, size - LANES);
            lanes tile[LANES] = { { 0 } };
            int64_t slow = first / across, fast = first % across;
            for (int64_t i = 0; i < ecki_min(LANES, size); i++) {
                tile[i] = from[(fast * down + slow * over) * groups + g];
                if (++fast == across) fast = 0, slow++;
            }
            scatter(out + first, tile, size, ecki_min(LANES, size),
                    (count - g * LANES) * size - first);
        }
    }
}

// Order, lengths, signs, and out with it.
ECKI_INLINE void finish(solver *s, const ecki_jacobi_block *block, const int groups)
{
    const ecki_jacobi_plan *const plan = s->plan;
    const int64_t kept = plan->kept;
    const factor_out values = { block->s, 1, kept, false };
    const factor_out u = { block->u, plan->rows, kept, true },
                     vt = { block->vt, plan->cols, kept, false };
    sort(s, groups);
    measure(s, block->count, groups);
    for (int64_t k = 0; k < kept; k++)
        EACH_GROUP s->norm[k * groups + g] =
            s->norm[k * groups + g] * s->back[g] * s->back[groups + g];
    hand_out(&values, s->norm, block->count, groups);
    if (!s->j) return;
    if (plan->by_qr) apply_reflectors(s, groups);
    lanes *const longer = plan->by_qr ? s->panel : s->x, *const shorter = plan->by_qr ? s->x : s->j;
    lanes *const right = plan->flipped ? longer : shorter, *const left =
                                                               plan->flipped ? shorter : longer;
    choose_signs(right, plan->cols, left, plan->rows, kept, groups);
    hand_out(&u, left, block->count, groups);
    hand_out(&vt, right, block->count, groups);
}

// ---- a block

// Parts of the workspace; ecki_jacobi_work() counts them.
ECKI_INLINE solver lay_out(const ecki_jacobi_plan *plan, lanes *work, const int groups)
{
    const int64_t m = plan->m, n = plan->n;
    solver s = { .plan = plan, .height = plan->by_qr ? n : m };
    s.w = work;
    s.norm = s.w + m * n * groups;
    s.factor = s.norm + n * groups;
    s.back = s.factor + n * groups;
    s.x = s.w;
    lanes *end = s.back + 2 * groups;
    if (plan->by_qr) {
        s.x = end;
        end += n * n * groups;
    }
    if (!plan->vectors) return s;
    s.j = end;
    s.panel = end + n * n * groups;
    return s;
}

ECKI_INLINE void solve(const ecki_jacobi_plan *plan, ecki_jacobi_block *block, const int groups)
{
    const int64_t n = plan->n;
    solver s = lay_out(plan, block->work, groups);
    interleave(&s, block, groups);
    block->unconverged = 0;
    block->finite = normalize(&s, groups);
    if (!block->finite) return;
    if (plan->by_qr) triangularize(&s, groups);
    if (s.j) memset(s.j, 0, (size_t)(n * n * groups) * sizeof *s.j);
    for (int64_t k = 0; s.j && k < n; k++)
        EACH_GROUP s.j[(k * n + k) * groups + g] = lanes_of(1);
    bool rotated = true;
    for (int step = 0; rotated && step < SWEEPS_MAX; step++)
        rotated = sweep(&s, groups);
    if (rotated) block->unconverged = count_rotated(&s, groups);
    finish(&s, block, groups);
}

void ECK_SOLVE(const ecki_jacobi_plan *plan, ecki_jacobi_block *block)
{
    if (plan->groups == GROUPS_MAX)
        solve(plan, block, GROUPS_MAX);
    else if (plan->groups == 2)
        solve(plan, block, 2);
    else
        solve(plan, block, 1);
}
