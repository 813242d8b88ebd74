/** How alike two adapters are: norms, inner products and principal angles, module by module. */
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "model/adapter_parts.h"

typedef struct comparing {
    const eck_adapter *a, *b;
    const eck_context *context;
    int64_t *in_a, *in_b; /**< module of every relation, -1 none */
    eck_adapter_relation *relations;
    int64_t count;
} comparing;

/** The module of that name; across layouts, of a name that says the same. -1 none. */
static int64_t find_alike(const eck_adapter *adapter, const char *name, bool same_layout)
{
    for (int64_t i = 0; i < adapter->module_count; i++) {
        const char *other = adapter->modules[i].name;
        if (same_layout ? strcmp(other, name) == 0 : ecki_module_names_equal(other, name)) return i;
    }
    return -1;
}

static eck_status match(comparing *job, eck_error *err)
{
    eck_status status = ECK_OK;
    const int64_t most = job->a->module_count + job->b->module_count;
    const bool same = job->a->layout == job->b->layout;
    bool *taken = NULL;

    ECK_ALLOC(job->in_a, most);
    ECK_ALLOC(job->in_b, most);
    ECK_ALLOC(job->relations, most);
    ECK_ALLOC(taken, job->b->module_count);
    for (int64_t i = 0; i < job->a->module_count; i++) {
        job->in_a[job->count] = i;
        job->in_b[job->count] = find_alike(job->b, job->a->modules[i].name, same);
        if (job->in_b[job->count] >= 0) taken[job->in_b[job->count]] = true;
        job->relations[job->count++].name = job->a->modules[i].name;
    }
    for (int64_t i = 0; i < job->b->module_count; i++) {
        if (taken[i]) continue;
        job->in_a[job->count] = -1;
        job->in_b[job->count] = i;
        job->relations[job->count++].name = job->b->modules[i].name;
    }
done:
    ecki_free(taken);
    return status;
}

/** The sum of one module; *out stays NULL where there is none. */
static eck_status load(eck_factored **out, double *norm_out, int64_t *rank_out,
                       const eck_adapter *adapter, int64_t index, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_factors factors = { 0 };

    if (index < 0) return ECK_OK;
    ECK_TRY(eck_adapter_load(&factors, adapter, index, err));
    const eck_term term = ecki_factors_term(&factors, 1);
    ECK_TRY(eck_factored_create(out, &term, 1, 0, err));
    *norm_out = eck_factored_get_info(*out)->norm;
    *rank_out = adapter->modules[index].view.rank;
done:
    eck_factors_clear(&factors);
    return status;
}

/** Mean squared cosine, and the largest angle. */
static eck_status angles(double *overlap_out, double *angle_out, const eck_factored *x,
                         const eck_factored *y, eck_side side, eck_error *err)
{
    eck_status status = ECK_OK;
    eck_array *cosines = NULL;

    ECK_TRY(eck_factored_angles(&cosines, x, y, side, err));
    const double *c = cosines->data;
    const int64_t count = cosines->shape[0];
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += c[i] * c[i];
    *overlap_out = count > 0 ? sum / (double)count : 0;
    *angle_out = count > 0 ? acos(c[count - 1]) : 0;
done:
    eck_array_free(cosines);
    return status;
}

static eck_status compare_module(void *self, int64_t index, eck_error *err)
{
    eck_status status = ECK_OK;
    comparing *job = self;
    eck_adapter_relation *r = &job->relations[index];
    eck_factored *x = NULL, *y = NULL;

    ECK_TRY(ecki_progress(job->context, "comparing", index, job->count, err));
    ECK_TRY(load(&x, &r->norm_a, &r->rank_a, job->a, job->in_a[index], err));
    ECK_TRY(load(&y, &r->norm_b, &r->rank_b, job->b, job->in_b[index], err));
    r->distance = 1;
    if (!x || !y) goto done;
    const double most = fmax(r->norm_a, r->norm_b);
    ECK_TRY(eck_factored_inner(&r->inner, x, y, err));
    if (r->norm_a > 0 && r->norm_b > 0)
        r->cosine = fmax(-1, fmin(1, r->inner / r->norm_a / r->norm_b));
    const double square = r->norm_a * r->norm_a - 2 * r->inner + r->norm_b * r->norm_b;
    r->distance = most > 0 ? sqrt(fmax(0, square)) / most : 0;
    ECK_TRY(angles(&r->overlap_left, &r->angle_left, x, y, ECK_SIDE_LEFT, err));
    ECK_TRY(angles(&r->overlap_right, &r->angle_right, x, y, ECK_SIDE_RIGHT, err));
done:
    if (status != ECK_OK) ecki_error_where(err, status, NULL, r->name);
    eck_factored_free(x);
    eck_factored_free(y);
    return status;
}

static void total(eck_adapter_comparison *c)
{
    double a2 = 0, b2 = 0, inner = 0;

    for (int64_t i = 0; i < c->count; i++) {
        const eck_adapter_relation *r = &c->relations[i];
        c->common += r->rank_a > 0 && r->rank_b > 0;
        a2 += r->norm_a * r->norm_a;
        b2 += r->norm_b * r->norm_b;
        inner += r->inner;
    }
    c->norm_a = sqrt(a2);
    c->norm_b = sqrt(b2);
    c->cosine = a2 > 0 && b2 > 0 ? fmax(-1, fmin(1, inner / c->norm_a / c->norm_b)) : 0;
    c->distance = a2 + b2 > 0 ? sqrt(fmax(0, a2 - 2 * inner + b2) / fmax(a2, b2)) : 0;
}

eck_status eck_adapter_compare(eck_adapter_comparison *out, const eck_adapter *a,
                               const eck_adapter *b, const eck_context *context, eck_error *err)
{
    eck_status status = ECK_OK;
    comparing job = { .a = a, .b = b, .context = context };

    ECK_TRY(match(&job, err));
    ECK_TRY(ecki_parallel_for(job.count, ecki_threads(context), compare_module, &job, err));
    eck_adapter_comparison result = { .relations = job.relations, .count = job.count };
    total(&result);
    *out = result;
    job.relations = NULL;
done:
    ecki_free(job.in_a);
    ecki_free(job.in_b);
    ecki_free(job.relations);
    return status;
}

void eck_adapter_comparison_clear(eck_adapter_comparison *comparison)
{
    ecki_free(comparison->relations);
    memset(comparison, 0, sizeof *comparison);
}
