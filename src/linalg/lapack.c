// Every LAPACK routine the library calls, and nothing else calls LAPACK. Always true: no size
// reaches Fortran that does not fit its 32-bit integer, workspace comes from a formula (never from
// a query), and character arguments carry their length at the end of the list.
#include "linalg/lapack.h"

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"

enum { BLOCK = 64 }; // the largest block size LAPACK chooses for these routines

void dsytrd_(const char *uplo, const int32_t *n, double *a, const int32_t *lda, double *d,
             double *e, double *tau, double *work, const int32_t *lwork, int32_t *info, size_t);
void dstemr_(const char *jobz, const char *range, const int32_t *n, double *d, double *e,
             const double *vl, const double *vu, const int32_t *il, const int32_t *iu, int32_t *m,
             double *w, double *z, const int32_t *ldz, const int32_t *nzc, int32_t *isuppz,
             int32_t *tryrac, double *work, const int32_t *lwork, int32_t *iwork,
             const int32_t *liwork, int32_t *info, size_t, size_t);
void dstedc_(const char *compz, const int32_t *n, double *d, double *e, double *z,
             const int32_t *ldz, double *work, const int32_t *lwork, int32_t *iwork,
             const int32_t *liwork, int32_t *info, size_t);
void dormql_(const char *side, const char *trans, const int32_t *m, const int32_t *n,
             const int32_t *k, double *a, const int32_t *lda, const double *tau, double *c,
             const int32_t *ldc, double *work, const int32_t *lwork, int32_t *info, size_t, size_t);
void dgeqrf_(const int32_t *m, const int32_t *n, double *a, const int32_t *lda, double *tau,
             double *work, const int32_t *lwork, int32_t *info);
void sgeqrf_(const int32_t *m, const int32_t *n, float *a, const int32_t *lda, float *tau,
             float *work, const int32_t *lwork, int32_t *info);
void dorgqr_(const int32_t *m, const int32_t *n, const int32_t *k, double *a, const int32_t *lda,
             const double *tau, double *work, const int32_t *lwork, int32_t *info);
void dormqr_(const char *side, const char *trans, const int32_t *m, const int32_t *n,
             const int32_t *k, double *a, const int32_t *lda, const double *tau, double *c,
             const int32_t *ldc, double *work, const int32_t *lwork, int32_t *info, size_t, size_t);
void dgesdd_(const char *jobz, const int32_t *m, const int32_t *n, double *a, const int32_t *lda,
             double *s, double *u, const int32_t *ldu, double *vt, const int32_t *ldvt,
             double *work, const int32_t *lwork, int32_t *iwork, int32_t *info, size_t);
void dgesvd_(const char *jobu, const char *jobvt, const int32_t *m, const int32_t *n, double *a,
             const int32_t *lda, double *s, double *u, const int32_t *ldu, double *vt,
             const int32_t *ldvt, double *work, const int32_t *lwork, int32_t *info, size_t,
             size_t);
void dgesvj_(const char *joba, const char *jobu, const char *jobv, const int32_t *m,
             const int32_t *n, double *a, const int32_t *lda, double *sva, const int32_t *mv,
             double *v, const int32_t *ldv, double *work, const int32_t *lwork, int32_t *info,
             size_t, size_t, size_t);
void dpotrf_(const char *uplo, const int32_t *n, double *a, const int32_t *lda, int32_t *info,
             size_t);
void dsygst_(const int32_t *itype, const char *uplo, const int32_t *n, double *a,
             const int32_t *lda, const double *b, const int32_t *ldb, int32_t *info, size_t);
void dsytrf_(const char *uplo, const int32_t *n, double *a, const int32_t *lda, int32_t *pivots,
             double *work, const int32_t *lwork, int32_t *info, size_t);
void dpotrs_(const char *uplo, const int32_t *n, const int32_t *nrhs, const double *a,
             const int32_t *lda, double *b, const int32_t *ldb, int32_t *info, size_t);

// Numbers and 32-bit integers for one call.
typedef struct workspace {
    double *work;
    int32_t *integers;
    int32_t lwork, lintegers;
} workspace;

static void workspace_clear(workspace *w)
{
    ecki_free(w->work);
    ecki_free(w->integers);
}

// Fails when a size does not fit; allocates the rest.
static eck_status workspace_init(workspace *w, const char *routine, int64_t largest, int64_t work,
                                 int64_t integers, eck_error *err)
{
    eck_status status = ECK_OK;
    memset(w, 0, sizeof *w);
    ECK_REQUIRE(largest <= INT32_MAX && work <= INT32_MAX && integers <= INT32_MAX, ECK_E_SHAPE, -1,
                "size %lld is too large for %s of the linked LAPACK: at most %d",
                (long long)ecki_max(largest, ecki_max(work, integers)), routine, INT32_MAX);
    w->lwork = (int32_t)ecki_max(work, 1);
    w->lintegers = (int32_t)ecki_max(integers, 1);
    ECK_ALLOC_RAW(w->work, w->lwork);
    ECK_ALLOC_RAW(w->integers, w->lintegers);
done:
    return status;
}

// INFO of a routine that has no way to fail but by a wrong argument.
static eck_status require_zero(int32_t info, const char *routine, eck_error *err)
{
    if (info == 0) return ECK_OK;
    return ecki_error(err, ECK_E_SOLVER, -1, "%s refused its arguments: info %d", routine, info);
}

// Hands a positive INFO to the caller.
static eck_status hand_on(int64_t *info_out, int32_t info, const char *routine, eck_error *err)
{
    if (info < 0) return require_zero(info, routine, err);
    *info_out = info;
    return ECK_OK;
}

eck_status ecki_dsytrd(ecki_tridiagonal *t, double *a, eck_error *err)
{
    eck_status status = ECK_OK;
    workspace w = { 0 };
    int32_t info = 0;
    if (t->n == 0) return ECK_OK;
    ECK_TRY(workspace_init(&w, "dsytrd", t->n, t->n * BLOCK, 0, err));
    const int32_t n = (int32_t)t->n;
    dsytrd_("U", &n, a, &n, t->diagonal, t->off_diagonal, t->tau, w.work, &w.lwork, &info, 1);
    status = require_zero(info, "dsytrd", err);
done:
    workspace_clear(&w);
    return status;
}

eck_status ecki_dstemr(double *z, const ecki_tridiagonal *t, ecki_places places, int64_t *info_out,
                       eck_error *err)
{
    eck_status status = ECK_OK;
    workspace w = { 0 };
    double *values = NULL;
    int32_t *support = NULL;
    const double nothing = 0.0;
    int32_t info = 0, found = 0, relative = 1;
    ECK_TRY(workspace_init(&w, "dstemr", t->n, 18 * t->n, 10 * t->n, err));
    ECK_ALLOC_RAW(values, 3 * t->n); // d, e and the values found: the first two are destroyed
    ECK_ALLOC(support, 2 * ecki_max(places.count, 1));
    memcpy(values, t->diagonal, (size_t)t->n * sizeof *values);
    memcpy(values + t->n, t->off_diagonal, (size_t)t->n * sizeof *values);
    const int32_t n = (int32_t)t->n, columns = (int32_t)places.count;
    const int32_t last = (int32_t)(t->n - places.first), first = last - columns + 1;
    dstemr_("V", "I", &n, values, values + t->n, &nothing, &nothing, &first, &last, &found,
            values + 2 * t->n, z, &n, &columns, support, &relative, w.work, &w.lwork, w.integers,
            &w.lintegers, &info, 1, 1);
    ECK_TRY(hand_on(info_out, info, "dstemr", err));
    if (info == 0 && found < columns) *info_out = 1;
done:
    ecki_free(support);
    ecki_free(values);
    workspace_clear(&w);
    return status;
}

eck_status ecki_dstedc(double *z, const ecki_tridiagonal *t, int64_t *info_out, eck_error *err)
{
    eck_status status = ECK_OK;
    workspace w = { 0 };
    double *copies = NULL;
    int64_t square = 0;
    int32_t info = 0;
    *info_out = 0;
    if (t->n == 0) return ECK_OK;
    ECK_REQUIRE(ecki_mul(t->n, t->n, &square), ECK_E_SHAPE, -1, "size is too large for dstedc");
    ECK_TRY(workspace_init(&w, "dstedc", t->n, 1 + 4 * t->n + square, 3 + 5 * t->n, err));
    ECK_ALLOC_RAW(copies, 2 * t->n);
    memcpy(copies, t->diagonal, (size_t)t->n * sizeof *copies);
    memcpy(copies + t->n, t->off_diagonal, (size_t)t->n * sizeof *copies);
    const int32_t n = (int32_t)t->n;
    dstedc_("I", &n, copies, copies + t->n, z, &n, w.work, &w.lwork, w.integers, &w.lintegers,
            &info, 1);
    status = hand_on(info_out, info, "dstedc", err);
done:
    ecki_free(copies);
    workspace_clear(&w);
    return status;
}

eck_status ecki_dormql(double *c, int64_t ldc, int64_t columns, const ecki_reflectors *h,
                       eck_error *err)
{
    eck_status status = ECK_OK;
    workspace w = { 0 };
    int32_t info = 0;
    if (h->k == 0 || columns == 0) return ECK_OK;
    ECK_TRY(workspace_init(&w, "dormql", ecki_max(h->ld, ecki_max(ldc, columns)),
                           columns * BLOCK + (BLOCK + 1) * BLOCK, 0, err));
    const int32_t m = (int32_t)h->m, n = (int32_t)columns, k = (int32_t)h->k, ld = (int32_t)ldc;
    const int32_t lda = (int32_t)ecki_max(h->ld, h->m);
    dormql_("L", "N", &m, &n, &k, h->v, &lda, h->tau, c, &ld, w.work, &w.lwork, &info, 1, 1);
    status = require_zero(info, "dormql", err);
done:
    workspace_clear(&w);
    return status;
}

eck_status ecki_dgeqrf(double *a, int64_t m, int64_t n, int64_t ld, double *tau, eck_error *err)
{
    eck_status status = ECK_OK;
    workspace w = { 0 };
    int32_t info = 0;
    if (n == 0) return ECK_OK;
    ECK_TRY(workspace_init(&w, "dgeqrf", ecki_max(m, ld), n * BLOCK, 0, err));
    const int32_t rows = (int32_t)m, cols = (int32_t)n, lda = (int32_t)ld;
    dgeqrf_(&rows, &cols, a, &lda, tau, w.work, &w.lwork, &info);
    status = require_zero(info, "dgeqrf", err);
done:
    workspace_clear(&w);
    return status;
}

eck_status ecki_geqrf_f64(double *a, int64_t m, int64_t n, int64_t ld, double *tau, eck_error *err)
{
    return ecki_dgeqrf(a, m, n, ld, tau, err);
}

eck_status ecki_geqrf_f32(float *a, int64_t m, int64_t n, int64_t ld, float *tau, eck_error *err)
{
    eck_status status = ECK_OK;
    workspace w = { 0 };
    int32_t info = 0;
    if (n == 0) return ECK_OK;
    // F64 room holds the floats and keeps their alignment.
    ECK_TRY(workspace_init(&w, "sgeqrf", ecki_max(m, ld), n * BLOCK, 0, err));
    const int32_t rows = (int32_t)m, cols = (int32_t)n, lda = (int32_t)ld;
    sgeqrf_(&rows, &cols, a, &lda, tau, (float *)(void *)w.work, &w.lwork, &info);
    status = require_zero(info, "sgeqrf", err);
done:
    workspace_clear(&w);
    return status;
}

eck_status ecki_dorgqr(double *a, int64_t m, int64_t columns, int64_t k, const double *tau,
                       eck_error *err)
{
    eck_status status = ECK_OK;
    workspace w = { 0 };
    int32_t info = 0;
    if (columns == 0) return ECK_OK;
    ECK_TRY(workspace_init(&w, "dorgqr", m, columns * BLOCK, 0, err));
    const int32_t rows = (int32_t)m, cols = (int32_t)columns, count = (int32_t)k;
    dorgqr_(&rows, &cols, &count, a, &rows, tau, w.work, &w.lwork, &info);
    status = require_zero(info, "dorgqr", err);
done:
    workspace_clear(&w);
    return status;
}

eck_status ecki_dormqr(double *c, int64_t columns, const ecki_reflectors *h, eck_error *err)
{
    eck_status status = ECK_OK;
    workspace w = { 0 };
    int32_t info = 0;
    if (h->k == 0 || columns == 0) return ECK_OK;
    ECK_TRY(workspace_init(&w, "dormqr", ecki_max(h->ld, ecki_max(h->m, columns)),
                           columns * BLOCK + (BLOCK + 1) * BLOCK, 0, err));
    const int32_t m = (int32_t)h->m, n = (int32_t)columns, k = (int32_t)h->k;
    const int32_t lda = (int32_t)ecki_max(h->ld, h->m);
    dormqr_("L", "N", &m, &n, &k, h->v, &lda, h->tau, c, &m, w.work, &w.lwork, &info, 1, 1);
    status = require_zero(info, "dormqr", err);
done:
    workspace_clear(&w);
    return status;
}

const char *ecki_svd_solver_name(ecki_svd_solver solver)
{
    static const char *const names[ECKI_SOLVERS] = { "dgesdd", "dgesvd", "dgesvj" };
    return names[solver];
}

// What the manual pages ask for, plus a block of columns so that the blocked paths run.
int64_t ecki_dgesvx_work(int64_t m, int64_t n, bool vectors, ecki_svd_solver solver)
{
    int64_t square = 0;
    if (!ecki_mul(n, n, &square) || square > INT64_MAX / 8) return INT64_MAX;
    const int64_t block = BLOCK * (m + n);
    if (solver == ECKI_DGESVJ) return ecki_max(6, m + n);
    if (solver == ECKI_DGESVD) return ecki_max(3 * n + m, 5 * n) + block;
    return (vectors ? 4 * square + 7 * n : 3 * n + ecki_max(m, 7 * n)) + block;
}

// dgesvj leaves U in a and V, not V^T, and values to be scaled: puts all in their place.
static void gesvj_finish(ecki_dense_svd *svd, double scale)
{
    for (int64_t i = 0; i < svd->n; i++)
        svd->s[i] *= scale;
    if (!svd->u) return;
    memcpy(svd->u, svd->a, (size_t)(svd->m * svd->n) * sizeof *svd->u);
    for (int64_t i = 0; i < svd->n; i++)
        for (int64_t j = 0; j < i; j++) {
            const double x = svd->vt[i * svd->n + j];
            svd->vt[i * svd->n + j] = svd->vt[j * svd->n + i];
            svd->vt[j * svd->n + i] = x;
        }
}

eck_status ecki_dgesvx(ecki_dense_svd *svd, ecki_svd_solver solver, int64_t *info_out,
                       eck_error *err)
{
    eck_status status = ECK_OK;
    workspace w = { 0 };
    const bool vectors = svd->u != NULL;
    double none = 0.0;
    int32_t info = 0;
    const int64_t work = ecki_dgesvx_work(svd->m, svd->n, vectors, solver);
    ECK_TRY(workspace_init(&w, ecki_svd_solver_name(solver), svd->m, work, 8 * svd->n, err));
    const int32_t m = (int32_t)svd->m, n = (int32_t)svd->n, zero = 0;
    double *const u = vectors ? svd->u : &none, *const vt = vectors ? svd->vt : &none;
    if (solver == ECKI_DGESDD)
        dgesdd_(vectors ? "S" : "N", &m, &n, svd->a, &m, svd->s, u, &m, vt, &n, w.work, &w.lwork,
                w.integers, &info, 1);
    else if (solver == ECKI_DGESVD)
        dgesvd_(vectors ? "S" : "N", vectors ? "S" : "N", &m, &n, svd->a, &m, svd->s, u, &m, vt, &n,
                w.work, &w.lwork, &info, 1, 1);
    else
        dgesvj_("G", vectors ? "U" : "N", vectors ? "V" : "N", &m, &n, svd->a, &m, svd->s, &zero,
                vt, &n, w.work, &w.lwork, &info, 1, 1, 1);
    *info_out = info; // negative when the matrix holds NaN: another way to fail
    if (solver == ECKI_DGESVJ && info >= 0) gesvj_finish(svd, w.work[0]);
done:
    workspace_clear(&w);
    return status;
}

eck_status ecki_dpotrf(double *g, int64_t n, int64_t *info_out, eck_error *err)
{
    eck_status status = ECK_OK;
    workspace w = { 0 };
    int32_t info = 0;
    *info_out = 0;
    if (n == 0) return ECK_OK;
    ECK_TRY(workspace_init(&w, "dpotrf", n, 0, 0, err));
    const int32_t order = (int32_t)n;
    // Lower and row-major is upper and column-major.
    dpotrf_("U", &order, g, &order, &info, 1);
    status = hand_on(info_out, info, "dpotrf", err);
done:
    workspace_clear(&w);
    return status;
}

eck_status ecki_dsygst(double *a, const double *lower, int64_t n, eck_error *err)
{
    if (n == 0) return ECK_OK;
    if (n > INT32_MAX)
        return ecki_error(err, ECK_E_SHAPE, -1, "size %lld is too large for dsygst: at most %d",
                          (long long)n, INT32_MAX);
    const int32_t order = (int32_t)n, type = 2;
    int32_t info = 0;
    // U A U^T for LAPACK's upper U = L^T.
    dsygst_(&type, "U", &order, a, &order, lower, &order, &info, 1);
    return require_zero(info, "dsygst", err);
}

// Positive eigenvalues of the blocks of D, diagonal and superdiagonal of a column-major matrix; a pivot below 0 is one
// half of a 2 x 2 block, whose eigenvalues have two signs.
static int64_t count_positive(const double *a, int64_t n, const int32_t *pivots)
{
    int64_t positive = 0;
    for (int64_t i = 0; i < n; i++) {
        if (pivots[i] > 0)
            positive += a[i * n + i] > 0.0;
        else {
            const double p = a[i * n + i], q = a[(i + 1) * n + i + 1], off = a[(i + 1) * n + i];
            const double det = p * q - off * off;
            positive += det < 0.0 ? 1 : p + q > 0.0 ? 2 : 0;
            i++;
        }
    }
    return positive;
}

eck_status ecki_inertia(int64_t *positive_out, double *g, int64_t n, eck_error *err)
{
    eck_status status = ECK_OK;
    workspace w = { 0 };
    int32_t info = 0;
    *positive_out = 0;
    if (n == 0) return ECK_OK;
    ECK_TRY(workspace_init(&w, "dsytrf", n, n * BLOCK, n, err));
    const int32_t order = (int32_t)n;
    // A singular D has an exact zero in it, which is not positive: info > 0 is no failure here.
    dsytrf_("U", &order, g, &order, w.integers, w.work, &w.lwork, &info, 1);
    if (info < 0) ECK_TRY(require_zero(info, "dsytrf", err));
    *positive_out = count_positive(g, n, w.integers);
done:
    workspace_clear(&w);
    return status;
}

eck_status ecki_dpotrs(double *x, int64_t rows, const double *lower, int64_t n, eck_error *err)
{
    if (n == 0 || rows == 0) return ECK_OK;
    if (ecki_max(n, rows) > INT32_MAX)
        return ecki_error(err, ECK_E_SHAPE, -1, "size %lld is too large for dpotrs: at most %d",
                          (long long)ecki_max(n, rows), INT32_MAX);
    const int32_t order = (int32_t)n, count = (int32_t)rows;
    int32_t info = 0;
    // X G = B for rows of X is G X^T = B^T, and a row-major X is LAPACK's X^T.
    dpotrs_("U", &order, &count, lower, &order, x, &order, &info, 1);
    return require_zero(info, "dpotrs", err);
}
