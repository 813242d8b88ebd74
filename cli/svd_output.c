// Files and tables of one decomposed matrix.
#include "svd_output.h"

#include <math.h>
#include <string.h>

#include "eckart/file.h"
#include "eckart/report.h"
#include "figures.h"
#include "table.h"

static eck_status write_arrays(session *run, const eck_named_array *arrays, int64_t count,
                               const svd_file *file)
{
    eck_named_array all[6];
    memcpy(all, arrays, (size_t)count * sizeof *arrays);
    if (file->mean) all[count++] = (eck_named_array){ "mean", file->mean };
    const eck_status status =
        eck_file_write_arrays(file->path, all, count, file->replace, &run->error);
    if (status == ECK_OK && run->verbose > 0) session_note(run, "wrote '%s'", file->path);
    return status;
}

// The first `rank` values; a copy, owned by the caller.
static eck_status kept_values(eck_array **out, session *run, const eck_svd *svd)
{
    const int64_t all = svd->s->shape[0];
    const int64_t kept = svd->rank < all ? svd->rank : all;
    return eck_array_convert(out, eck_view_of(svd->s->data, ECK_DTYPE_F64, 1, &kept), ECK_DTYPE_F64,
                             &run->error);
}

static eck_status transposed_copy(eck_array **out, session *run, const eck_array *matrix)
{
    return eck_array_convert(out, eck_view_transposed(eck_array_view(matrix)), matrix->dtype,
                             &run->error);
}

eck_status svd_write(session *run, const eck_svd *svd, const svd_file *file)
{
    eck_status status = ECK_OK;
    eck_array *values = NULL;
    eck_array *right = NULL;

    TRY(transposed_copy(&right, run, svd->v));
    if (file->compact) {
        const eck_named_array arrays[] = { { "first", right }, { "last", svd->u } };
        TRY(write_arrays(run, arrays, 2, file));
    } else {
        TRY(kept_values(&values, run, svd));
        const eck_named_array arrays[] = { { "U", svd->u }, { "S", values }, { "Vt", right } };
        TRY(write_arrays(run, arrays, 3, file));
    }
done:
    eck_array_free(values);
    eck_array_free(right);
    return status;
}

eck_status svd_write_als(session *run, const eck_als *als, const svd_file *file)
{
    const eck_named_array arrays[] = { { "first", als->first }, { "last", als->last } };
    return write_arrays(run, arrays, 2, file);
}

eck_status svd_write_eigen(session *run, const eck_eigen *eigen, const svd_file *file)
{
    const eck_named_array arrays[] = { { "values", eigen->values }, { "vectors", eigen->vectors } };
    return write_arrays(run, arrays, 2, file);
}

eck_status svd_write_subspaces(session *run, const eck_subspaces *bases, const svd_file *file)
{
    const eck_named_array arrays[] = { { "column", bases->column },
                                       { "left_null", bases->left_null },
                                       { "row", bases->row },
                                       { "null", bases->null } };
    return write_arrays(run, arrays, 4, file);
}

eck_status svd_write_curve(session *run, const eck_svd *svd, const char *path, bool replace)
{
    eck_status status = ECK_OK;
    char *text = NULL;
    TRY(eck_report_curve(&text, svd->s->data, svd->s->shape[0], &run->error));
    TRY(eck_file_write(path, text, (int64_t)strlen(text), replace, &run->error));
done:
    eck_text_free(text);
    return status;
}

// The first eight numbers, and the last if there are more.
static void print_values(session *run, const char *label, const double *values, int64_t count)
{
    enum { SHOWN = 8 };
    char text[SHOWN * 16 + 40] = "";
    size_t length = 0;
    for (int64_t i = 0; i < count && i < SHOWN; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "%s%.4g", i > 0 ? " " : "",
                                   values[i]);
    if (count > SHOWN)
        snprintf(text + length, sizeof text - length, " ... %.4g", values[count - 1]);
    table_line(run->out, label, "%s", text);
}

// The error in words; below the floor there is nothing to tell it from 0.
static void print_error(session *run, const eck_certificate *known)
{
    const char *const stored = eck_dtype_name(known->stored);
    if (known->error_high <= known->floor)
        table_line(run->out, "error",
                   "0 to rounding: below %s, the least that can be claimed in %s",
                   figure_error(known->floor).text, stored);
    else
        table_line(run->out, "error", "%s (relative, Frobenius norm, factors as stored in %s)",
                   figure_upper(known->error).text, stored);
}

// The certificate in words: how the error is known, and how near it is to the best there can be.
static void print_certificate(session *run, const eck_certificate *known, int64_t rank)
{
    static const char *const proofs[] = {
        "the tail of the complete spectrum, and what rounding the factors can add",
        "the residual, computed in f64 from the stored factors",
        "probes of the stored factors' residual",
    };
    table_line(run->out, "known by", "%s", proofs[known->proof]);
    if (known->error_high > known->floor)
        table_line(run->out, "bound", "at most %s and at least %s%s",
                   figure_upper(known->error_high).text, figure_lower(known->error_low).text,
                   known->proof == ECK_PROOF_BOUND ? "" : ", for certain");
    if (known->proof == ECK_PROOF_BOUND)
        table_line(run->out, "", "wrong with probability %s at most",
                   figure_error(known->failure).text);
    if (known->optimum_low > 0 && isfinite(known->excess_high))
        table_line(run->out, "optimum",
                   "no rank %lld can do better than %s: this error is at most %s %% above",
                   (long long)rank, figure_lower(known->optimum_low).text,
                   figure_error(100 * fmax(known->excess_high, 0)).text);
    if (known->failure > 0 && known->proof != ECK_PROOF_BOUND)
        table_line(run->out, "", "which is wrong with probability %s at most",
                   figure_error(known->failure).text);
    if (known->orthogonality >= 0 && run->verbose > 0)
        table_line(run->out, "orthogonality", "max |V^T V - I| = %s",
                   figure_error(known->orthogonality).text);
}

// || A - factors ||_2, and what it says about values that were not kept.
static void print_spectral(session *run, const eck_svd *svd)
{
    const eck_spectral_proof *const known = &svd->spectral;
    const double largest = svd->s->shape[0] > 0 ? ((const double *)svd->s->data)[0] : 0.0;
    if (known->bound < 0) return;
    table_line(run->out, "spectral norm",
               "of the error at most %s, %s of the largest value, for certain (Cholesky)",
               figure_upper(known->bound).text,
               figure_upper(largest > 0 ? known->bound / largest : 0).text);
    table_line(run->out, "", "%lld singular values lie above it: %s", (long long)known->above,
               known->above == svd->rank ? "none was missed"
                                         : "the others kept are as small as the error");
}

static void print_matrix(session *run, const eck_operator_info *info)
{
    table_line(run->out, "matrix", "%lld x %lld, %s%s%s", (long long)info->rows,
               (long long)info->cols, eck_dtype_name(info->storage),
               info->name && info->name[0] ? ", " : "", info->name ? info->name : "");
}

void svd_print(session *run, const eck_svd *svd, const eck_operator_info *info, bool factors)
{
    print_matrix(run, info);
    if (svd->numerical_rank >= 0)
        table_line(run->out, "numerical rank", "%lld: values above %s",
                   (long long)svd->numerical_rank, figure_number(svd->tolerance).text);
    else
        table_line(run->out, "numerical rank", "unknown: engine %s finds the leading values only",
                   eck_engine_name(svd->engine));
    print_values(run, "singular values", svd->s->data, svd->s->shape[0]);
    if (factors) {
        table_line(run->out, "rank", "%lld: %s numbers in two factors, %s in the matrix",
                   (long long)svd->rank, figure_count(svd->rank * (svd->rows + svd->cols)).text,
                   figure_count(svd->rows * svd->cols).text);
        print_error(run, &svd->certificate);
        table_line(run->out, "energy", "%s", figure_energy(svd->energy).text);
        print_certificate(run, &svd->certificate, svd->rank);
        print_spectral(run, svd);
    }
    table_line(run->out, "engine", "%s (%s), %s%s", eck_engine_name(svd->engine), svd->solver,
               figure_seconds(svd->seconds).text,
               svd->reproducible ? ", same bytes for any number of threads" : "");
}

void svd_note_als(session *run, const eck_als *als)
{
    if (!als->converged)
        session_warn(run, "not converged, iterations done: %lld; --iterations allows more",
                     (long long)als->iterations);
    if (als->empty_rows + als->empty_cols > 0)
        session_warn(
            run,
            "nothing is observed in %lld of the rows and %lld of the columns: their factors are 0",
            (long long)als->empty_rows, (long long)als->empty_cols);
}

void svd_print_als(session *run, const eck_als *als, const eck_operator_info *info)
{
    const bool all = als->observed == als->rows * als->cols;
    print_matrix(run, info);
    if (!all)
        table_line(run->out, "observed", "%s of %s entries: all errors are over these",
                   figure_exact(als->observed).text, figure_exact(als->rows * als->cols).text);
    print_values(run, "singular values", als->values->data, als->rank);
    table_line(run->out, "rank", "%lld: %s numbers in two factors, %s in the matrix",
               (long long)als->rank, figure_count(als->rank * (als->rows + als->cols)).text,
               figure_count(als->rows * als->cols).text);
    print_error(run, &als->certificate);
    print_certificate(run, &als->certificate, als->rank);
    table_line(run->out, "engine",
               "%s, %lld iterations, %s, %s, same bytes for any number of threads",
               eck_engine_name(als->engine), (long long)als->iterations,
               als->converged ? "converged" : "not converged", figure_seconds(als->seconds).text);
}

void svd_print_eigen(session *run, const eck_eigen *eigen, const eck_operator_info *info)
{
    print_matrix(run, info);
    table_line(run->out, "asymmetry", "%s", figure_error(eigen->asymmetry).text);
    print_values(run, "eigenvalues", eigen->values->data, eigen->values->shape[0]);
    table_line(run->out, "rank", "%lld", (long long)eigen->rank);
    print_error(run, &eigen->certificate);
    print_certificate(run, &eigen->certificate, eigen->rank);
    table_line(run->out, "time", "%s", figure_seconds(eigen->seconds).text);
}

void svd_print_subspaces(session *run, const eck_subspaces *bases, const eck_svd *svd)
{
    const long long rank = bases->rank;
    table_line(run->out, "column space", "dimension %lld of %lld", rank, (long long)svd->rows);
    table_line(run->out, "left null space", "dimension %lld of %lld", (long long)svd->rows - rank,
               (long long)svd->rows);
    table_line(run->out, "row space", "dimension %lld of %lld", rank, (long long)svd->cols);
    table_line(run->out, "null space", "dimension %lld of %lld", (long long)svd->cols - rank,
               (long long)svd->cols);
}
