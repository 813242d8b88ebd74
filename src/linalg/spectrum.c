// A spectrum as bytes and back. Layout, little endian, in this order: header (magic, version, byte
// order mark, sizes, storage, stages, scale, squared norm), count values, then d, e and tau of the
// reduction, then its packed numbers (reduce.c), then a sum of all that precedes. Always true: what is
// loaded has sizes that fit the bytes, finite numbers and values in order.
#include "linalg/spectrum.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "tensor/codec.h"

enum { VERSION = 2, ORDER_MARK = 0x01020304 };

typedef struct header {
    char magic[8];
    uint32_t version, order;
    int64_t rows, cols;
    int32_t storage;
    int16_t one_thread, two_stage;
    double scale, norm2_scaled;
} header;

static const char MAGIC[8] = { 'E', 'C', 'K', 'S', 'P', 'E', 'C', '\n' };

// A 64-bit sum of 8-byte words: each is mixed in by a multiplication and a shift.
static uint64_t sum_bytes(const unsigned char *bytes, int64_t count)
{
    uint64_t sum = 0x9e3779b97f4a7c15u ^ (uint64_t)count;
    for (int64_t i = 0; i + 8 <= count; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, 8);
        sum = (sum ^ word) * 0xff51afd7ed558ccdu;
        sum ^= sum >> 32;
    }
    return sum;
}

// Bytes of a spectrum of n values; false when that overflows.
static bool bytes_needed(int64_t n, bool two_stage, int64_t *out)
{
    int64_t room = 0, numbers = 0;
    if (ecki_spectrum_room(&room, n, NULL) != ECK_OK) return false;
    if (!ecki_add(ecki_spectrum_packed(n, two_stage), 4 * n, &numbers)) return false;
    if (!ecki_mul(numbers, (int64_t)sizeof(double), &numbers)) return false;
    return ecki_add(numbers, (int64_t)(sizeof(header) + sizeof(uint64_t)), out);
}

static char *put(char *at, const void *data, int64_t count, size_t size)
{
    if (count > 0) memcpy(at, data, (size_t)count * size);
    return at + count * (int64_t)size;
}

eck_status eck_spectrum_save(char **bytes_out, int64_t *count_out, const eck_spectrum *spectrum,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    char *bytes = NULL;
    int64_t count = 0;
    const int64_t n = spectrum->t.n;
    header h = { .version = VERSION, .order = ORDER_MARK };
    memcpy(h.magic, MAGIC, sizeof h.magic);
    ECK_REQUIRE(spectrum->t.tau && bytes_needed(n, spectrum->two_stage, &count), ECK_E_RANGE, -1,
                "this spectrum keeps no reduction to save");
    h.rows = spectrum->info.rows;
    h.cols = spectrum->info.cols;
    h.storage = (int32_t)spectrum->storage;
    h.one_thread = spectrum->one_thread;
    h.two_stage = spectrum->two_stage;
    h.scale = spectrum->scale;
    h.norm2_scaled = spectrum->norm2;
    ECK_ALLOC_RAW(bytes, count);
    char *at = put(bytes, &h, 1, sizeof h);
    at = put(at, spectrum->values, n, sizeof(double));
    at = put(at, spectrum->t.diagonal, n, sizeof(double));
    at = put(at, spectrum->t.off_diagonal, n, sizeof(double));
    at = put(at, spectrum->t.tau, n, sizeof(double));
    at = put(at, spectrum->packed, ecki_spectrum_packed(n, spectrum->two_stage), sizeof(double));
    const uint64_t sum = sum_bytes((const unsigned char *)bytes, at - bytes);
    put(at, &sum, 1, sizeof sum);
    *bytes_out = bytes;
    *count_out = count;
    bytes = NULL;
done:
    ecki_free(bytes);
    return status;
}

static const char *get(const char *at, double *out, int64_t count)
{
    if (count > 0) memcpy(out, at, (size_t)count * sizeof *out);
    return at + count * (int64_t)sizeof *out;
}

// The header, if it is ours and fits the count.
static eck_status read_header(header *h, const void *bytes, int64_t count, eck_error *err)
{
    eck_status status = ECK_OK;
    int64_t needed = 0;
    ECK_REQUIRE(count >= (int64_t)sizeof *h, ECK_E_FORMAT, count,
                "a spectrum of %lld bytes is cut short", (long long)count);
    memcpy(h, bytes, sizeof *h);
    ECK_REQUIRE(memcmp(h->magic, MAGIC, sizeof MAGIC) == 0, ECK_E_FORMAT, 0,
                "these bytes are no spectrum");
    ECK_REQUIRE(h->version == VERSION && h->order == ORDER_MARK, ECK_E_FORMAT, 8,
                "spectrum version %u or byte order is not ours", h->version);
    const int64_t order = ecki_min(h->rows, h->cols);
    ECK_REQUIRE(h->rows >= 0 && h->cols >= 0 &&
                    h->two_stage == (order >= ECKI_TWO_STAGE_ORDER ? 1 : 0) &&
                    bytes_needed(order, h->two_stage != 0, &needed) && needed == count,
                ECK_E_FORMAT, 16, "a spectrum of [%lld,%lld] does not take %lld bytes",
                (long long)h->rows, (long long)h->cols, (long long)count);
    const eck_dtype storage = (eck_dtype)h->storage;
    ECK_REQUIRE(eck_dtype_is_weight(storage) && storage != ECK_DTYPE_F64, ECK_E_FORMAT, 32,
                "spectrum storage %d is not one of the exact lane", h->storage);
    int exponent = 0;
    ECK_REQUIRE(isfinite(h->scale) && frexp(h->scale, &exponent) == 0.5, ECK_E_FORMAT, 40,
                "spectrum scale %g is no power of two", h->scale);
    ECK_REQUIRE(isfinite(h->norm2_scaled) && h->norm2_scaled >= 0.0, ECK_E_FORMAT, 48,
                "squared norm %g of a spectrum", h->norm2_scaled);
done:
    return status;
}

// Fails unless all numbers are finite and the values descend to no less than 0.
static eck_status check_numbers(const eck_spectrum *spectrum, eck_error *err)
{
    const int64_t n = spectrum->t.n;
    const ecki_tridiagonal *const t = &spectrum->t;
    bool sound =
        ecki_first_nonfinite(spectrum->values, n) < 0 && ecki_first_nonfinite(t->diagonal, n) < 0 &&
        ecki_first_nonfinite(t->off_diagonal, n) < 0 && ecki_first_nonfinite(t->tau, n) < 0 &&
        ecki_first_nonfinite(spectrum->packed, ecki_spectrum_packed(n, spectrum->two_stage)) < 0;
    for (int64_t i = 0; i < n && sound; i++)
        sound = spectrum->values[i] >= 0.0 &&
                (i == 0 || spectrum->values[i] <= spectrum->values[i - 1]);
    if (sound) return ECK_OK;
    return ecki_error(err, ECK_E_FORMAT, (int64_t)sizeof(header),
                      "a spectrum holds values that are not finite or not in order");
}

eck_status eck_spectrum_load(eck_spectrum **out, const void *bytes, int64_t count, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_spectrum *spectrum = NULL;
    header h;
    uint64_t sum = 0;
    ECK_TRY(read_header(&h, bytes, count, err));
    const int64_t body = count - (int64_t)sizeof sum;
    memcpy(&sum, (const char *)bytes + body, sizeof sum);
    ECK_REQUIRE(sum == sum_bytes(bytes, body), ECK_E_FORMAT, body,
                "the sum of a spectrum's bytes is wrong");
    ECK_TRY(ecki_spectrum_new(&spectrum, h.rows, h.cols, true, err));
    const int64_t n = spectrum->t.n;
    spectrum->two_stage = h.two_stage != 0;
    const int64_t packed = n > 0 ? ecki_spectrum_packed(n, spectrum->two_stage) : 0;
    ECK_ALLOC_RAW(spectrum->packed, packed);
    spectrum->storage = (eck_dtype)h.storage;
    spectrum->scale = h.scale;
    spectrum->one_thread = h.one_thread != 0;
    const char *at = get((const char *)bytes + sizeof h, spectrum->values, n);
    at = get(at, spectrum->t.diagonal, n);
    at = get(at, spectrum->t.off_diagonal, n);
    at = get(at, spectrum->t.tau, n);
    get(at, spectrum->packed, packed);
    ECK_TRY(check_numbers(spectrum, err));
    for (int64_t i = 0; i < n; i++) // exact: values of the exact lane never leave the range
        spectrum->values[i] *= h.scale;
    ecki_spectrum_describe(spectrum, spectrum->values, h.norm2_scaled);
    *out = spectrum;
    spectrum = NULL;
done:
    eck_spectrum_free(spectrum);
    return status;
}
