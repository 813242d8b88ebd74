/**
 * What is in a model and what of it may be factored: inspect_model MODEL.
 */
#include <stdio.h>

#include <eckart/eckart.h>

int main(int argc, char **argv)
{
    eck_error err = ECK_ERROR_INIT;
    eck_model *model = NULL;
    if (argc != 2) {
        fprintf(stderr, "usage: inspect_model MODEL\n");
        return 2;
    }
    if (eck_model_open(&model, argv[1], &err) != ECK_OK) {
        fprintf(stderr, "inspect_model: %s\n", err.message);
        return 1;
    }
    int64_t factorable = 0;
    for (int64_t i = 0; i < eck_model_layer_count(model); i++) {
        const eck_layer *const layer = eck_model_layer(model, i);
        printf("%s: %s\n", layer->name, layer->skipped ? layer->skipped : "may be factored");
        factorable += layer->skipped ? 0 : 1;
    }
    printf("%lld tensors, %lld layers, %lld may be factored\n",
           (long long)eck_model_tensor_count(model), (long long)eck_model_layer_count(model),
           (long long)factorable);
    eck_model_close(model);
    return 0;
}
