// Factors of a matrix larger than memory: the file is laid out when the rank is known, blocks of the long factor are
// written as they come, the short one and the values at the end.
#include "svd_stream.h"

#include <stdlib.h>
#include <string.h>

#include "eckart/file.h"
#include "interrupt.h"

enum {
    LAST,
    FIRST,
    VALUES,
    MEAN
}; // order of the arrays: U or last, Vt or first, then S, then mean

typedef struct stream_file {
    session *run;
    const eck_operator_info *info;
    const svd_file *file;
    eck_array_writer *writer;
    eck_dtype store;
    int64_t rank, element;
    char *turned; // a block of V by columns
    int64_t room; // of it
} stream_file;

bool svd_must_stream(const session *run, const eck_operator_info *info,
                     const eck_svd_options *options, const svd_file *file)
{
    const bool able = info->storage != ECK_DTYPE_F64 && !(options->want & ECK_WANT_FULL) &&
                      !options->spectral_proof &&
                      (options->engine == ECK_ENGINE_AUTO || options->engine == ECK_ENGINE_EXACT);
    const int64_t most = info->rows < info->cols ? info->rows : info->cols;
    const int64_t rank = options->rank > 0 && options->rank < most ? options->rank : most;
    return able && file->path && run->context.memory > 0 &&
           (options->want & ~(uint32_t)ECK_WANT_VALUES) != 0 &&
           eck_svd_memory(info, options, rank) > run->context.memory;
}

// The rank is known: the file is laid out.
static eck_status begin(void *user, int64_t rank, eck_error *err)
{
    stream_file *const s = user;
    const bool compact = s->file->compact;
    eck_array_spec arrays[4] = {
        { compact ? "last" : "U", s->store, 2, { s->info->rows, rank } },
        { compact ? "first" : "Vt", s->store, 2, { rank, s->info->cols } },
        { "S", ECK_DTYPE_F64, 1, { rank } },
    };
    int64_t count = compact ? 2 : 3;
    if (s->file->mean)
        arrays[count++] = (eck_array_spec){ "mean", ECK_DTYPE_F64, 1, { s->info->cols } };
    s->rank = rank;
    s->element = eck_dtype_bits(s->store) / 8;
    interrupt_catch(); // from here a signal must not leave half a file
    return eck_array_writer_create(&s->writer, s->file->path, arrays, count, s->file->replace, err);
}

// Rows of V are columns of Vt: turned, then a piece of every row.
static eck_status take_columns(stream_file *s, int64_t first, int64_t rows, const char *numbers,
                               eck_error *err)
{
    const int64_t element = s->element, cols = s->info->cols;
    eck_status status = ECK_OK;
    if (rows > s->room) {
        free(s->turned);
        s->turned = session_alloc((size_t)(rows * s->rank), (size_t)element);
        s->room = rows;
    }
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < s->rank; j++)
            memcpy(s->turned + (j * rows + i) * element, numbers + (i * s->rank + j) * element,
                   (size_t)element);
    for (int64_t j = 0; j < s->rank && status == ECK_OK; j++)
        status = eck_array_writer_write(s->writer, FIRST, (j * cols + first) * element,
                                        s->turned + j * rows * element, rows * element, err);
    return status;
}

static eck_status take(void *user, int64_t first, int64_t rows, const void *numbers, eck_error *err)
{
    stream_file *const s = user;
    if (s->info->rows < s->info->cols) return take_columns(s, first, rows, numbers, err);
    const int64_t line = s->rank * s->element;
    return eck_array_writer_write(s->writer, LAST, first * line, numbers, rows * line, err);
}

// A whole array, `bytes` long, from its first byte.
static eck_status put_array(stream_file *s, int64_t index, const void *data, int64_t bytes)
{
    return eck_array_writer_write(s->writer, index, 0, data, bytes, &s->run->error);
}

// The short factor, the values, the mean.
static eck_status put_rest(stream_file *s, const eck_svd *svd)
{
    eck_status status = ECK_OK;
    eck_array *turned = NULL;
    int64_t next = VALUES;
    if (svd->v)
        TRY(eck_array_convert(&turned, eck_view_transposed(eck_array_view(svd->v)), s->store,
                              &s->run->error));
    const eck_array *const near = turned ? turned : svd->u;
    TRY(put_array(s, turned ? FIRST : LAST, near->data, eck_array_count(near) * s->element));
    if (!s->file->compact) {
        TRY(put_array(s, next, svd->s->data, s->rank * (int64_t)sizeof(double)));
        next = MEAN;
    }
    if (s->file->mean)
        TRY(put_array(s, next, s->file->mean->data, s->info->cols * (int64_t)sizeof(double)));
    TRY(eck_array_writer_publish(s->writer, &s->run->error));
done:
    eck_array_free(turned);
    return status;
}

eck_status svd_stream(eck_svd **out, session *run, const eck_operator *a,
                      const eck_svd_options *options, const svd_file *file)
{
    eck_status status = ECK_OK;
    eck_svd *svd = NULL;
    const eck_operator_info *const info = eck_operator_get_info(a);
    stream_file s = { .run = run, .info = info, .file = file };
    const eck_svd_sink sink = { &s, begin, take };

    s.store = options->store == ECK_DTYPE_NONE ? ECK_DTYPE_F32 : options->store;
    TRY(eck_svd_stream(&svd, a, options, &sink, &run->context, &run->error));
    TRY(put_rest(&s, svd));
    if (run->verbose > 0) session_note(run, "wrote '%s'", file->path);
    *out = svd;
    svd = NULL;
done:
    free(s.turned);
    eck_array_writer_free(s.writer);
    eck_svd_free(svd);
    return status;
}
