/*
 * Laying out an edited file. Lengths follow from the innermost message outward: a message grows by what its cuts grow by,
 * by what the messages in it grow by, and by the bytes their lengths need more. A length that stays is not touched, so
 * that what was written in an unusual way stays so.
 */
#include "format/splice.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "base/text.h"
#include "format/container.h"
#include "format/input.h"

enum { PIECE = 1 << 20 };

/** A part of what replaces a cut: bytes of `text`, or a hole. */
typedef struct part {
    int64_t begin, count; /**< in text; of a hole: its place in the output, once laid out */
    bool hole;
} part;

typedef struct cut {
    ecki_span span;
    int32_t frame;
    int64_t order; /**< as they were made */
    int64_t first, parts; /**< in parts */
    int64_t bytes; /**< of all its parts */
} cut;

struct ecki_splice {
    const ecki_file *file;
    const ecki_frame *frames;
    int32_t frame_count;
    cut *cuts;
    int64_t cut_count;
    part *parts;
    int64_t part_count;
    int64_t *holes; /**< index in parts */
    int64_t hole_count;
    ecki_text text;
};

eck_status ecki_splice_create(ecki_splice **out, const ecki_file *file, const ecki_frame *frames,
                              int32_t frame_count, eck_error *err)
{
    eck_status status = ECK_OK;
    ecki_splice *splice = NULL;

    ECK_ALLOC(splice, 1);
    splice->file = file;
    splice->frames = frames;
    splice->frame_count = frame_count;
    *out = splice;
done:
    return status;
}

void ecki_splice_free(ecki_splice *splice)
{
    if (!splice) return;
    ecki_free(splice->cuts);
    ecki_free(splice->parts);
    ecki_free(splice->holes);
    ecki_text_clear(&splice->text);
    ecki_free(splice);
}

eck_status ecki_splice_cut(ecki_splice *splice, int32_t frame, ecki_span span, eck_error *err)
{
    cut *cuts = ecki_grow(splice->cuts, splice->cut_count, sizeof *cuts);
    if (!cuts) return ecki_error_memory(err, -1);
    splice->cuts = cuts;
    cuts[splice->cut_count] = (cut){
        .span = span, .frame = frame, .order = splice->cut_count, .first = splice->part_count
    };
    splice->cut_count++;
    return ECK_OK;
}

/** One more part of the last cut. */
static eck_status add_part(ecki_splice *splice, part fresh, eck_error *err)
{
    part *parts = ecki_grow(splice->parts, splice->part_count, sizeof *parts);
    cut *last = &splice->cuts[splice->cut_count - 1];
    if (!parts) return ecki_error_memory(err, -1);
    splice->parts = parts;
    if (!ecki_add(last->bytes, fresh.count, &last->bytes))
        return ecki_error(err, ECK_E_SHAPE, -1, "the output is too large");
    parts[splice->part_count++] = fresh;
    last->parts++;
    return ECK_OK;
}

eck_status ecki_splice_add(ecki_splice *splice, const void *bytes, int64_t count, eck_error *err)
{
    const int64_t begin = splice->text.length;
    ecki_text_add(&splice->text, bytes, count);
    if (splice->text.failed) return ecki_error_memory(err, count);
    return add_part(splice, (part){ begin, count, false }, err);
}

eck_status ecki_splice_hole(ecki_splice *splice, int64_t count, eck_error *err)
{
    int64_t *holes = ecki_grow(splice->holes, splice->hole_count, sizeof *holes);
    if (!holes) return ecki_error_memory(err, -1);
    splice->holes = holes;
    holes[splice->hole_count++] = splice->part_count;
    return add_part(splice, (part){ -1, count, true }, err);
}

int64_t ecki_splice_place(const ecki_splice *splice, int64_t hole)
{
    return splice->parts[splice->holes[hole]].begin;
}

/* ---- layout ------------------------------------------------------------------------------------------------------- */

/** By place, then as they were made, what inserts before what replaces. */
static int compare_cuts(const void *a, const void *b)
{
    const cut *x = a, *y = b;
    const bool inserts = x->span.end == x->span.begin, other = y->span.end == y->span.begin;
    if (x->span.begin != y->span.begin) return x->span.begin < y->span.begin ? -1 : 1;
    if (inserts != other) return inserts ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

/** How much each message grows; lengths that change become cuts of their own, in the message around. */
static eck_status grow_frames(ecki_splice *splice, eck_error *err)
{
    eck_status status = ECK_OK;
    unsigned char digits[10];
    int64_t *more = NULL;
    const int64_t cuts = splice->cut_count;

    ECK_ALLOC(more, splice->frame_count);
    for (int64_t i = 0; i < cuts; i++) {
        const cut *c = &splice->cuts[i];
        more[c->frame] += c->bytes - (c->span.end - c->span.begin);
    }
    for (int32_t i = splice->frame_count - 1; i > 0; i--) {
        const ecki_frame *frame = &splice->frames[i];
        if (more[i] == 0) continue;
        const int64_t size = frame->content.end - frame->content.begin + more[i];
        const ecki_span length = { frame->length_at, frame->content.begin };
        const int32_t count = ecki_varint_put(digits, (uint64_t)size);
        more[frame->parent] += more[i] + count - (length.end - length.begin);
        ECK_TRY(ecki_splice_cut(splice, frame->parent, length, err));
        ECK_TRY(ecki_splice_add(splice, digits, count, err));
    }
done:
    ecki_free(more);
    return status;
}

eck_status ecki_splice_lay_out(int64_t *size_out, ecki_splice *splice, eck_error *err)
{
    eck_status status = ECK_OK;
    int64_t input = 0, output = 0;

    ECK_TRY(grow_frames(splice, err));
    if (splice->cut_count > 0)
        qsort(splice->cuts, (size_t)splice->cut_count, sizeof *splice->cuts, compare_cuts);
    for (int64_t i = 0; i < splice->cut_count; i++) {
        const cut *c = &splice->cuts[i];
        ECK_REQUIRE(c->span.begin >= input && c->span.end <= splice->file->size, ECK_E_FORMAT,
                    c->span.begin, "two changes of '%s' overlap", splice->file->name);
        output += c->span.begin - input;
        for (int64_t k = c->first; k < c->first + c->parts; k++) {
            if (splice->parts[k].hole) splice->parts[k].begin = output;
            ECK_REQUIRE(ecki_add(output, splice->parts[k].count, &output), ECK_E_SHAPE, -1,
                        "the output is too large");
        }
        input = c->span.end;
    }
    *size_out = output + splice->file->size - input;
done:
    return status;
}

/* ---- output ------------------------------------------------------------------------------------------------------- */

/** Hands on bytes of the input. */
static eck_status emit_span(const ecki_splice *splice, ecki_span span, int64_t output,
                            ecki_splice_sink sink, void *self, eck_error *err)
{
    eck_status status = ECK_OK;
    char *piece = NULL;

    ECK_ALLOC_RAW(piece, ecki_max(1, ecki_min(PIECE, span.end - span.begin)));
    for (int64_t at = span.begin; at < span.end; at += PIECE) {
        const int64_t count = ecki_min(PIECE, span.end - at);
        ECK_TRY(ecki_input_read(splice->file, NULL, at, piece, count, err));
        ECK_TRY(sink(self, output + at - span.begin, piece, count, err));
    }
done:
    ecki_free(piece);
    return status;
}

eck_status ecki_splice_emit(const ecki_splice *splice, ecki_splice_sink sink, void *self,
                            eck_error *err)
{
    eck_status status = ECK_OK;
    int64_t input = 0, output = 0;

    for (int64_t i = 0; i < splice->cut_count; i++) {
        const cut *c = &splice->cuts[i];
        ECK_TRY(emit_span(splice, (ecki_span){ input, c->span.begin }, output, sink, self, err));
        output += c->span.begin - input;
        for (int64_t k = c->first; k < c->first + c->parts; k++) {
            const part *p = &splice->parts[k];
            if (!p->hole && p->count > 0)
                ECK_TRY(sink(self, output, splice->text.data + p->begin, p->count, err));
            output += p->count;
        }
        input = c->span.end;
    }
    ECK_TRY(emit_span(splice, (ecki_span){ input, splice->file->size }, output, sink, self, err));
done:
    return status;
}
