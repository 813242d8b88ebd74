// See made_graph.h.
#include "made_graph.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/wire.h"

static void put_message(ecki_text *out, int32_t number, ecki_text *message)
{
    ecki_put_bytes(out, number, message->data, message->length);
    ecki_text_clear(message);
}

void made_weight(made_graph *m, const char *name, int64_t rows, int64_t cols, int64_t k)
{
    ecki_text tensor = { 0 };
    const int64_t width = cols * (k ? k * k : 1), bytes = 4 * rows * width;
    float *numbers = malloc((size_t)bytes);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < width; j++)
            numbers[i * width + j] = (float)(cos(0.3 * (double)i) * sin(0.2 * (double)j) +
                                             0.01 * cos(1.7 * (double)(i * i) + 0.9 * (double)j));
    ecki_put_varint(&tensor, 1, (uint64_t)rows);
    ecki_put_varint(&tensor, 1, (uint64_t)cols);
    for (int i = 0; k && i < 2; i++)
        ecki_put_varint(&tensor, 1, (uint64_t)k);
    ecki_put_varint(&tensor, 2, 1);
    ecki_put_string(&tensor, 8, name);
    ecki_put_bytes(&tensor, 9, numbers, bytes);
    put_message(&m->graph, 5, &tensor);
    free(numbers);
}

void made_value(made_graph *m, int32_t field, const char *name)
{
    ecki_text value = { 0 };
    ecki_put_string(&value, 1, name);
    put_message(&m->graph, field, &value);
}

// One or more integers, or a word, as an attribute.
static void put_attribute(ecki_text *node, const char *name, char *value)
{
    ecki_text attribute = { 0 };
    const bool list = strchr(value, ',') != NULL, word = value[0] > '9';
    ecki_put_string(&attribute, 1, name);
    if (word) ecki_put_string(&attribute, 4, value);
    for (char *part = strtok_r(value, ",", &value); part && !word;
         part = strtok_r(NULL, ",", &value))
        ecki_put_varint(&attribute, list ? 8 : 3, (uint64_t)atoll(part));
    ecki_put_varint(&attribute, 20, word ? 3 : list ? 7 : 2);
    put_message(node, 5, &attribute);
}

void made_node(made_graph *m, const char *text)
{
    ecki_text node = { 0 };
    char copy[200], *rest = copy;
    bool outputs = false;
    snprintf(copy, sizeof copy, "%s", text);
    ecki_put_string(&node, 4, strtok_r(rest, " ", &rest));
    for (char *word = strtok_r(NULL, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        char *equals = strchr(word, '=');
        if (strcmp(word, "->") == 0) {
            outputs = true;
        } else if (!equals) {
            ecki_put_string(&node, outputs ? 2 : 1, word);
        } else {
            *equals = '\0';
            put_attribute(&node, word, equals + 1);
        }
    }
    put_message(&m->graph, 1, &node);
}

ecki_text made_model(made_graph *m)
{
    ecki_text model = { 0 }, opset = { 0 };
    ecki_put_varint(&model, 1, (uint64_t)m->ir);
    ecki_put_varint(&opset, 2, (uint64_t)m->opset);
    put_message(&model, 8, &opset);
    put_message(&model, 7, &m->graph);
    return model;
}
