/**
 * The factors of a module: shapes from its parts, and for LoCon cores, LoHa and LoKr the two thin
 * factors whose product is exactly what those forms stand for.
 *
 *   Tucker   dW[o,(i,k)] = sum_m up[o,m] (sum_n core[m,n,k] down[n,i])
 *   LoHa     (A1 B1) * (A2 B2) elementwise = [A1 rows (x) A2 rows] [B1 cols (x) B2 cols]
 *   LoKr     (L1 F1) (x) (L2 F2) = (L1 (x) L2) (F1 (x) F2)
 */
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"
#include "model/adapter_parts.h"
#include "tensor/codec.h"
#include "tensor/view.h"

/** Numbers an expanded factor may have: a file of a few kilobytes must not make us hold more. */
#define EXPANDED_MAX (INT64_C(1) << 28)

static const ecki_entry *entry_of(const eck_adapter *adapter, const ecki_adapter_module *module,
                                  ecki_part part)
{
    return module->parts[part] < 0 ? NULL : &adapter->container->entries[module->parts[part]];
}

/** Everything after the first `skip` dimensions as one; 1 if there is none. */
static int64_t rest_of(const ecki_entry *e, int32_t skip)
{
    int64_t product = 1;
    for (int32_t i = skip; i < e->ndim; i++)
        product *= e->shape[i];
    return product;
}

/** "[4, 320, 3, 3]" for messages. */
static const char *shape_text(char *out, size_t room, const ecki_entry *e)
{
    ecki_text text = { 0 };
    for (int32_t i = 0; i < e->ndim; i++)
        ecki_text_printf(&text, "%s%lld", i ? ", " : "", (long long)e->shape[i]);
    snprintf(out, room, "[%s]", text.data ? text.data : "");
    ecki_text_clear(&text);
    return out;
}

static eck_status shape_error(const eck_adapter *adapter, const ecki_adapter_module *module,
                              const ecki_entry *a, const ecki_entry *b, eck_error *err)
{
    char left[200], right[200];
    return ecki_error(err, ECK_E_FORMAT, -1,
                      "cannot read adapter '%s': the factors of module '%s' do not fit: %s and %s",
                      adapter->path, module->name, shape_text(left, sizeof left, a),
                      shape_text(right, sizeof right, b));
}

static eck_status need(const eck_adapter *adapter, const ecki_adapter_module *module,
                       ecki_part part, const char *what, eck_error *err)
{
    if (module->parts[part] >= 0) return ECK_OK;
    return ecki_error(err, ECK_E_FORMAT, -1,
                      "cannot read adapter '%s': module '%s' has no %s factor", adapter->path,
                      module->name, what);
}

/** Every part has a type weights are stored in, and no dimension is 0. */
static eck_status check_parts(const eck_adapter *adapter, const ecki_adapter_module *module,
                              eck_error *err)
{
    eck_status status = ECK_OK;

    for (int32_t p = 0; p < ECKI_PARTS; p++) {
        const ecki_entry *e = entry_of(adapter, module, (ecki_part)p);
        if (!e || p == ECKI_PART_ALPHA) continue;
        ECK_REQUIRE(eck_dtype_is_weight(e->dtype), ECK_E_UNSUPPORTED, -1,
                    "cannot read adapter '%s': '%s' is stored as %s", adapter->path, e->name,
                    eck_dtype_name(e->dtype));
        ECK_REQUIRE(e->ndim <= 2 + ECK_SPATIAL_MAX, ECK_E_FORMAT, -1,
                    "cannot read adapter '%s': '%s' has %d dimensions", adapter->path, e->name,
                    e->ndim);
        for (int32_t i = 0; i < e->ndim; i++)
            ECK_REQUIRE(e->shape[i] > 0, ECK_E_FORMAT, -1,
                        "cannot read adapter '%s': '%s' has rank or size 0", adapter->path,
                        e->name);
    }
done:
    return status;
}

/** Linear if `kernel` has two dimensions, else the convolution of its spatial ones. */
static eck_stage dense_of(int64_t in, int64_t out, const ecki_entry *kernel)
{
    if (kernel->ndim <= 2) return eck_stage_linear(in, out);
    return eck_stage_conv(in, out, 1, kernel->ndim - 2, kernel->shape + 2);
}

/** first [r,in,k..], last [out,r,1..], core [r,r,k..] or none. */
static eck_status shapes_lora(const eck_adapter *adapter, ecki_adapter_module *module,
                              eck_error *err)
{
    eck_status status = ECK_OK;

    ECK_TRY(need(adapter, module, ECKI_PART_FIRST, "first (A, down)", err));
    ECK_TRY(need(adapter, module, ECKI_PART_LAST, "last (B, up)", err));
    const ecki_entry *first = entry_of(adapter, module, ECKI_PART_FIRST);
    const ecki_entry *last = entry_of(adapter, module, ECKI_PART_LAST);
    const ecki_entry *core = entry_of(adapter, module, ECKI_PART_CORE);
    eck_adapter_module *view = &module->view;

    if (first->ndim < 2 || last->ndim < 2 || rest_of(last, 2) != 1)
        return shape_error(adapter, module, first, last, err);
    if (core && (core->ndim < 3 || core->shape[0] != last->shape[1] ||
                 core->shape[1] != first->shape[0] || rest_of(first, 2) != 1))
        return shape_error(adapter, module, core, first, err);
    ECK_REQUIRE(
        core || first->ndim < 3 || last->shape[1] == first->shape[0] ||
            first->shape[0] % last->shape[1] != 0,
        ECK_E_UNSUPPORTED, -1,
        "cannot read adapter '%s': module '%s' is a convolution in %lld groups, whose change "
        "is no product of two factors",
        adapter->path, module->name, (long long)(first->shape[0] / last->shape[1]));
    if (!core && last->shape[1] != first->shape[0])
        return shape_error(adapter, module, first, last, err);
    view->form = core ? ECK_FORM_TUCKER : ECK_FORM_LORA;
    view->rank = first->shape[0];
    view->width = last->shape[1];
    view->dense = dense_of(first->shape[1], last->shape[0], core ? core : first);
    if (module->spelling == ECKI_SPELLING_EMBEDDING) view->dense.kind = ECK_STAGE_LOOKUP;
    view->dtype = first->dtype;
done:
    return status;
}

/** One product of a LoHa: a [out,r] b [r,in*k], or with core t [r,r,k..] a [r,out] b [r,in]. */
static eck_status check_hada(const eck_adapter *adapter, const ecki_adapter_module *module,
                             const ecki_entry *const abt[3], eck_error *err)
{
    const ecki_entry *a = abt[0], *b = abt[1], *t = abt[2];

    if (a->ndim != 2 || b->ndim != 2) return shape_error(adapter, module, a, b, err);
    if (!t && a->shape[1] != b->shape[0]) return shape_error(adapter, module, a, b, err);
    if (t && (t->ndim < 3 || t->shape[0] != a->shape[0] || t->shape[1] != b->shape[0]))
        return shape_error(adapter, module, t, b, err);
    return ECK_OK;
}

static eck_status shapes_loha(const eck_adapter *adapter, ecki_adapter_module *module,
                              eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_entry *one[3], *two[3];
    eck_adapter_module *view = &module->view;

    for (int32_t p = ECKI_PART_HADA_1A; p <= ECKI_PART_HADA_2B; p++)
        ECK_TRY(need(adapter, module, (ecki_part)p, "hada", err));
    for (int32_t i = 0; i < 2; i++) {
        one[i] = entry_of(adapter, module, (ecki_part)(ECKI_PART_HADA_1A + i));
        two[i] = entry_of(adapter, module, (ecki_part)(ECKI_PART_HADA_2A + i));
    }
    one[2] = entry_of(adapter, module, ECKI_PART_HADA_T1);
    two[2] = entry_of(adapter, module, ECKI_PART_HADA_T2);
    ECK_TRY(check_hada(adapter, module, one, err));
    ECK_TRY(check_hada(adapter, module, two, err));
    const int32_t out = one[2] ? 1 : 0;
    if (!one[2] != !two[2] || one[0]->shape[out] != two[0]->shape[out] ||
        one[1]->shape[1] != two[1]->shape[1] ||
        (one[2] && rest_of(one[2], 2) != rest_of(two[2], 2)))
        return shape_error(adapter, module, one[1], two[1], err);
    view->form = ECK_FORM_LOHA;
    view->rank = one[1]->shape[0];
    view->dense = dense_of(one[1]->shape[1], one[0]->shape[out], one[2] ? one[2] : one[1]);
    const int64_t r1 = one[2] ? one[0]->shape[0] : one[0]->shape[1];
    const int64_t r2 = two[2] ? two[0]->shape[0] : two[0]->shape[1];
    ECK_REQUIRE(ecki_mul(r1, r2, &view->width), ECK_E_FORMAT, -1,
                "cannot read adapter '%s': the ranks of module '%s' are too large", adapter->path,
                module->name);
    view->dtype = one[0]->dtype;
done:
    return status;
}

/** One factor of a Kronecker product: whole [rows,cols], or a [rows,r] b [r,cols]. */
typedef struct kron_side {
    const ecki_entry *whole, *a, *b, *t;
    int64_t rows, cols, inner;
} kron_side;

static eck_status kron_side_find(kron_side *out, const eck_adapter *adapter,
                                 const ecki_adapter_module *module, ecki_part whole, eck_error *err)
{
    eck_status status = ECK_OK;
    kron_side s = { entry_of(adapter, module, whole),
                    entry_of(adapter, module, (ecki_part)(whole + 1)),
                    entry_of(adapter, module, (ecki_part)(whole + 2)),
                    whole == ECKI_PART_KRON_2 ? entry_of(adapter, module, ECKI_PART_KRON_T2) : NULL,
                    0,
                    0,
                    0 };

    ECK_REQUIRE(s.whole ? !s.a && !s.b && !s.t : s.a && s.b, ECK_E_FORMAT, -1,
                "cannot read adapter '%s': module '%s' has parts of a LoKr that do not go together",
                adapter->path, module->name);
    if (s.whole) {
        if (s.whole->ndim < 2) return shape_error(adapter, module, s.whole, s.whole, err);
        s.rows = s.whole->shape[0];
        s.cols = rest_of(s.whole, 1);
        s.inner = ecki_min(s.rows, s.cols);
    } else {
        if (s.a->ndim != 2 || s.b->ndim != 2) return shape_error(adapter, module, s.a, s.b, err);
        if (s.t ? s.t->ndim < 3 || s.t->shape[0] != s.a->shape[0] || s.t->shape[1] != s.b->shape[0]
                : s.a->shape[1] != s.b->shape[0])
            return shape_error(adapter, module, s.a, s.b, err);
        s.rows = s.t ? s.a->shape[1] : s.a->shape[0];
        s.inner = s.t ? s.a->shape[0] : s.a->shape[1];
        s.cols = s.b->shape[1] * (s.t ? rest_of(s.t, 2) : 1);
    }
    *out = s;
done:
    return status;
}

static eck_status shapes_lokr(const eck_adapter *adapter, ecki_adapter_module *module,
                              eck_error *err)
{
    eck_status status = ECK_OK;
    eck_adapter_module *view = &module->view;
    kron_side one, two;
    int64_t rows = 0, cols = 0;

    ECK_TRY(kron_side_find(&one, adapter, module, ECKI_PART_KRON_1, err));
    ECK_TRY(kron_side_find(&two, adapter, module, ECKI_PART_KRON_2, err));
    const ecki_entry *kernel = two.whole ? two.whole : two.t ? two.t : two.b;
    ECK_REQUIRE(ecki_mul(one.rows, two.rows, &rows) && ecki_mul(one.cols, two.cols, &cols) &&
                    ecki_mul(one.inner, two.inner, &view->width),
                ECK_E_FORMAT, -1, "cannot read adapter '%s': module '%s' is too large",
                adapter->path, module->name);
    view->form = ECK_FORM_LOKR;
    view->dense = dense_of(cols / (kernel->ndim > 2 ? rest_of(kernel, 2) : 1), rows, kernel);
    view->rank = one.whole && two.whole ? view->width
                 : one.whole            ? two.b->shape[0]
                                        : one.b->shape[0];
    view->dtype = one.whole ? one.whole->dtype : one.a->dtype;
done:
    return status;
}

/** rows, cols and both factors stay within what may be held. */
static eck_status check_size(const eck_adapter *adapter, const ecki_adapter_module *module,
                             eck_error *err)
{
    const eck_adapter_module *view = &module->view;
    int64_t cols = view->dense.in, sum = 0, numbers = 0;
    bool fits = true;

    for (int32_t i = 0; i < view->dense.spatial; i++)
        fits = fits && ecki_mul(cols, view->dense.kernel[i], &cols);
    fits = fits && ecki_add(cols, view->dense.out, &sum) && ecki_mul(sum, view->width, &numbers);
    if (fits && (view->form == ECK_FORM_LORA || numbers <= EXPANDED_MAX)) return ECK_OK;
    return ecki_error(err, ECK_E_UNSUPPORTED, -1,
                      "cannot read adapter '%s': module '%s' stands for factors of more than %lld "
                      "numbers",
                      adapter->path, module->name, (long long)EXPANDED_MAX);
}

/** Parts of one form only. */
static eck_status check_mixture(const eck_adapter *adapter, const ecki_adapter_module *module,
                                eck_error *err)
{
    const int64_t *p = module->parts;
    const bool lora = p[ECKI_PART_FIRST] >= 0 || p[ECKI_PART_LAST] >= 0 || p[ECKI_PART_CORE] >= 0;
    bool hada = false, kron = false;

    for (int32_t i = ECKI_PART_HADA_1A; i <= ECKI_PART_HADA_T2; i++)
        hada = hada || p[i] >= 0;
    for (int32_t i = ECKI_PART_KRON_1; i <= ECKI_PART_KRON_T2; i++)
        kron = kron || p[i] >= 0;
    if (lora + hada + kron == 1) return ECK_OK;
    return ecki_error(err, ECK_E_FORMAT, -1, "cannot read adapter '%s': module '%s' has %s",
                      adapter->path, module->name,
                      lora + hada + kron == 0 ? "no factors" : "parts of more than one method");
}

eck_status ecki_adapter_shapes(eck_adapter *adapter, ecki_adapter_module *module, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_adapter_module *view = &module->view;

    ECK_TRY(check_parts(adapter, module, err));
    ECK_TRY(check_mixture(adapter, module, err));
    if (module->parts[ECKI_PART_HADA_1A] >= 0 || module->parts[ECKI_PART_HADA_1B] >= 0)
        ECK_TRY(shapes_loha(adapter, module, err));
    else if (module->parts[ECKI_PART_FIRST] >= 0 || module->parts[ECKI_PART_LAST] >= 0 ||
             module->parts[ECKI_PART_CORE] >= 0)
        ECK_TRY(shapes_lora(adapter, module, err));
    else
        ECK_TRY(shapes_lokr(adapter, module, err));
    ECK_TRY(check_size(adapter, module, err));
    view->dora = module->parts[ECKI_PART_MAGNITUDE] >= 0;
    for (int32_t p = 0; p < ECKI_PARTS; p++) {
        const ecki_entry *e = entry_of(adapter, module, (ecki_part)p);
        if (!e) continue;
        view->bytes += e->bytes;
        view->parameters += p == ECKI_PART_ALPHA ? 0 : e->bytes / (eck_dtype_bits(e->dtype) / 8);
    }
done:
    return status;
}

/* ---- numbers ------------------------------------------------------------------------------- */

void eck_factors_clear(eck_factors *factors)
{
    eck_array_free(factors->first);
    eck_array_free(factors->last);
    memset(factors, 0, sizeof *factors);
}

eck_status ecki_adapter_tensor(eck_array **out, const eck_adapter *adapter, int64_t entry,
                               eck_error *err)
{
    eck_status status = ECK_OK;
    eck_array *array = NULL;
    const ecki_entry *e = &adapter->container->entries[entry];

    ECK_TRY(ecki_array_create_raw(&array, e->dtype, e->ndim, e->shape, err));
    ECK_TRY(ecki_container_read(adapter->container, entry, 0, array->data, e->bytes, err));
    *out = array;
    array = NULL;
done:
    eck_array_free(array);
    return status;
}

/** A part as an F64 matrix [rows,cols] in row-major order. */
static eck_status part_wide(double **out, const eck_adapter *adapter, const ecki_entry *e,
                            eck_error *err)
{
    eck_status status = ECK_OK;
    eck_array *array = NULL;
    double *wide = NULL;

    ECK_TRY(ecki_adapter_tensor(&array, adapter, e - adapter->container->entries, err));
    ECK_ALLOC_RAW(wide, eck_array_count(array));
    ecki_widen_f64(array->dtype, array->data, 1, wide, eck_array_count(array));
    *out = wide;
    wide = NULL;
done:
    ecki_free(wide);
    eck_array_free(array);
    return status;
}

/** out [m, in*k] = sum_n core[m,n,k] b[n,in]: for each m and k one row of products. */
static eck_status contract_core(double **out, const double *core, const double *b,
                                const int64_t sizes[4], eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t m = sizes[0], n = sizes[1], in = sizes[2], k = sizes[3];
    double *result = NULL;

    ECK_ALLOC(result, m * in * k);
    for (int64_t a = 0; a < m; a++)
        for (int64_t c = 0; c < n; c++)
            for (int64_t i = 0; i < in; i++) {
                const double x = b[c * in + i];
                const double *from = core + (a * n + c) * k;
                double *to = result + (a * in + i) * k;
                for (int64_t q = 0; q < k; q++)
                    to[q] += from[q] * x;
            }
    *out = result;
done:
    return status;
}

/** An F64 array [rows,cols] that takes over the numbers. */
static eck_status array_take(eck_array **out, double **numbers, int64_t rows, int64_t cols,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    eck_array *array = NULL;

    ECK_TRY(eck_array_create(&array, ECK_DTYPE_F64, 2, (int64_t[]){ rows, cols }, err));
    memcpy(array->data, *numbers, (size_t)(rows * cols) * sizeof **numbers);
    *out = array;
done:
    return status;
}

/** A tensor as stored, its dimensions but the first made one. */
static eck_status load_flat(eck_array **out, const eck_adapter *adapter, const ecki_entry *e,
                            eck_error *err)
{
    eck_status status = ECK_OK;
    eck_array *array = NULL;

    ECK_TRY(ecki_adapter_tensor(&array, adapter, e - adapter->container->entries, err));
    array->shape[1] = rest_of(e, 1);
    array->ndim = 2;
    *out = array;
done:
    return status;
}

static eck_status load_tucker(eck_factors *out, const eck_adapter *adapter,
                              const ecki_adapter_module *module, eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_entry *core = entry_of(adapter, module, ECKI_PART_CORE);
    const ecki_entry *down = entry_of(adapter, module, ECKI_PART_FIRST);
    double *wide_core = NULL, *wide_down = NULL, *first = NULL;
    const int64_t sizes[] = { core->shape[0], core->shape[1], down->shape[1], rest_of(core, 2) };

    ECK_TRY(part_wide(&wide_core, adapter, core, err));
    ECK_TRY(part_wide(&wide_down, adapter, down, err));
    ECK_TRY(contract_core(&first, wide_core, wide_down, sizes, err));
    ECK_TRY(array_take(&out->first, &first, sizes[0], sizes[2] * sizes[3], err));
    ECK_TRY(load_flat(&out->last, adapter, entry_of(adapter, module, ECKI_PART_LAST), err));
done:
    ecki_free(first);
    ecki_free(wide_down);
    ecki_free(wide_core);
    return status;
}

/** A matrix as last [rows,inner] first [inner,cols]. */
typedef struct thin {
    double *last, *first;
    int64_t rows, cols, inner;
} thin;

static void thin_clear(thin *t)
{
    ecki_free(t->last);
    ecki_free(t->first);
}

static eck_status transpose(double **out, const double *x, int64_t rows, int64_t cols,
                            eck_error *err)
{
    eck_status status = ECK_OK;
    double *turned = NULL;

    ECK_ALLOC_RAW(turned, rows * cols);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            turned[j * rows + i] = x[i * cols + j];
    *out = turned;
done:
    return status;
}

/** a [rows,r] b [r,cols], or with a core a [r,rows], b [r',in], t [r,r',k]. */
static eck_status thin_load(thin *out, const eck_adapter *adapter, const ecki_entry *const abt[3],
                            eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_entry *a = abt[0], *b = abt[1], *t = abt[2];
    double *wide_a = NULL, *wide_b = NULL, *wide_t = NULL;

    ECK_TRY(part_wide(&wide_a, adapter, a, err));
    ECK_TRY(part_wide(&wide_b, adapter, b, err));
    if (!t) {
        *out = (thin){ wide_a, wide_b, a->shape[0], b->shape[1], a->shape[1] };
        wide_a = wide_b = NULL;
        goto done;
    }
    const int64_t sizes[] = { t->shape[0], t->shape[1], b->shape[1], rest_of(t, 2) };
    ECK_TRY(part_wide(&wide_t, adapter, t, err));
    ECK_TRY(transpose(&out->last, wide_a, a->shape[0], a->shape[1], err));
    ECK_TRY(contract_core(&out->first, wide_t, wide_b, sizes, err));
    out->rows = a->shape[1];
    out->inner = a->shape[0];
    out->cols = sizes[2] * sizes[3];
done:
    ecki_free(wide_t);
    ecki_free(wide_b);
    ecki_free(wide_a);
    return status;
}

/** out[i,(p,q)] = x[i,p] y[i,q]: the rows of both, every number with every number. */
static eck_status rows_with_rows(eck_array **out, const double *x, const double *y,
                                 const int64_t sizes[3], eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t rows = sizes[0], p = sizes[1], q = sizes[2];

    ECK_TRY(eck_array_create(out, ECK_DTYPE_F64, 2, (int64_t[]){ rows, p * q }, err));
    double *to = (*out)->data;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t a = 0; a < p; a++)
            for (int64_t b = 0; b < q; b++)
                *to++ = x[i * p + a] * y[i * q + b];
done:
    return status;
}

/** out[(p,q),j] = x[p,j] y[q,j]. */
static eck_status cols_with_cols(eck_array **out, const double *x, const double *y,
                                 const int64_t sizes[3], eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t cols = sizes[0], p = sizes[1], q = sizes[2];

    ECK_TRY(eck_array_create(out, ECK_DTYPE_F64, 2, (int64_t[]){ p * q, cols }, err));
    double *to = (*out)->data;
    for (int64_t a = 0; a < p; a++)
        for (int64_t b = 0; b < q; b++)
            for (int64_t j = 0; j < cols; j++)
                *to++ = x[a * cols + j] * y[b * cols + j];
done:
    return status;
}

static eck_status load_loha(eck_factors *out, const eck_adapter *adapter,
                            const ecki_adapter_module *module, eck_error *err)
{
    eck_status status = ECK_OK;
    thin one = { 0 }, two = { 0 };
    const ecki_entry *const parts_one[] = { entry_of(adapter, module, ECKI_PART_HADA_1A),
                                            entry_of(adapter, module, ECKI_PART_HADA_1B),
                                            entry_of(adapter, module, ECKI_PART_HADA_T1) };
    const ecki_entry *const parts_two[] = { entry_of(adapter, module, ECKI_PART_HADA_2A),
                                            entry_of(adapter, module, ECKI_PART_HADA_2B),
                                            entry_of(adapter, module, ECKI_PART_HADA_T2) };

    ECK_TRY(thin_load(&one, adapter, parts_one, err));
    ECK_TRY(thin_load(&two, adapter, parts_two, err));
    ECK_TRY(rows_with_rows(&out->last, one.last, two.last,
                           (int64_t[]){ one.rows, one.inner, two.inner }, err));
    ECK_TRY(cols_with_cols(&out->first, one.first, two.first,
                           (int64_t[]){ one.cols, one.inner, two.inner }, err));
done:
    thin_clear(&one);
    thin_clear(&two);
    return status;
}

/** A whole matrix as I w or w I, by what is smaller. */
static eck_status thin_whole(thin *out, const eck_adapter *adapter, const kron_side *s,
                             eck_error *err)
{
    eck_status status = ECK_OK;
    const bool wide = s->rows <= s->cols;
    double *identity = NULL, *numbers = NULL;

    ECK_ALLOC(identity, s->inner * s->inner);
    for (int64_t i = 0; i < s->inner; i++)
        identity[i * s->inner + i] = 1;
    ECK_TRY(part_wide(&numbers, adapter, s->whole, err));
    *out =
        (thin){ wide ? identity : numbers, wide ? numbers : identity, s->rows, s->cols, s->inner };
    identity = numbers = NULL;
done:
    ecki_free(identity);
    ecki_free(numbers);
    return status;
}

/** out [r1 r2, c1 c2] = x (x) y. */
static eck_status kron(eck_array **out, const double *x, const int64_t xs[2], const double *y,
                       const int64_t ys[2], eck_error *err)
{
    eck_status status = ECK_OK;

    ECK_TRY(
        eck_array_create(out, ECK_DTYPE_F64, 2, (int64_t[]){ xs[0] * ys[0], xs[1] * ys[1] }, err));
    double *to = (*out)->data;
    for (int64_t row = 0; row < xs[0] * ys[0]; row++) {
        const double *from_x = x + row / ys[0] * xs[1], *from_y = y + row % ys[0] * ys[1];
        for (int64_t i = 0; i < xs[1]; i++)
            for (int64_t j = 0; j < ys[1]; j++)
                *to++ = from_x[i] * from_y[j];
    }
done:
    return status;
}

static eck_status load_lokr(eck_factors *out, const eck_adapter *adapter,
                            const ecki_adapter_module *module, eck_error *err)
{
    eck_status status = ECK_OK;
    thin t[2] = { { 0 }, { 0 } };

    for (int32_t i = 0; i < 2; i++) {
        kron_side s;
        ECK_TRY(kron_side_find(&s, adapter, module, i ? ECKI_PART_KRON_2 : ECKI_PART_KRON_1, err));
        const ecki_entry *const abt[] = { s.a, s.b, s.t };
        if (s.whole)
            ECK_TRY(thin_whole(&t[i], adapter, &s, err));
        else
            ECK_TRY(thin_load(&t[i], adapter, abt, err));
    }
    ECK_TRY(kron(&out->last, t[0].last, (int64_t[]){ t[0].rows, t[0].inner }, t[1].last,
                 (int64_t[]){ t[1].rows, t[1].inner }, err));
    ECK_TRY(kron(&out->first, t[0].first, (int64_t[]){ t[0].inner, t[0].cols }, t[1].first,
                 (int64_t[]){ t[1].inner, t[1].cols }, err));
done:
    thin_clear(&t[0]);
    thin_clear(&t[1]);
    return status;
}

eck_status ecki_adapter_factors(eck_factors *out, const eck_adapter *adapter, int64_t index,
                                eck_error *err)
{
    eck_status status = ECK_OK;
    const ecki_adapter_module *module = &adapter->modules[index];
    eck_factors factors = { NULL, NULL, module->view.scale };

    switch (module->view.form) {
    case ECK_FORM_TUCKER:
        ECK_TRY(load_tucker(&factors, adapter, module, err));
        break;
    case ECK_FORM_LOHA:
        ECK_TRY(load_loha(&factors, adapter, module, err));
        break;
    case ECK_FORM_LOKR:
        ECK_TRY(load_lokr(&factors, adapter, module, err));
        break;
    default:
        ECK_TRY(
            load_flat(&factors.first, adapter, entry_of(adapter, module, ECKI_PART_FIRST), err));
        ECK_TRY(load_flat(&factors.last, adapter, entry_of(adapter, module, ECKI_PART_LAST), err));
    }
    *out = factors;
    memset(&factors, 0, sizeof factors);
done:
    if (status != ECK_OK) ecki_error_where(err, status, adapter->path, module->name);
    eck_factors_clear(&factors);
    return status;
}

eck_status eck_adapter_load(eck_factors *out, const eck_adapter *adapter, int64_t index,
                            eck_error *err)
{
    if (index < 0 || index >= adapter->module_count)
        return ecki_error(err, ECK_E_RANGE, -1, "no module %lld in '%s': it has %lld",
                          (long long)index, adapter->path, (long long)adapter->module_count);
    const eck_status status = ecki_adapter_plain(adapter, index, err);
    return status == ECK_OK ? ecki_adapter_factors(out, adapter, index, err) : status;
}

eck_term ecki_factors_term(const eck_factors *factors, double weight)
{
    return (eck_term){ weight * factors->scale, eck_array_view(factors->first),
                       eck_array_view(factors->last) };
}
