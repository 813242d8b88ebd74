// Runs a target over every file of a directory, as an ordinary test.
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "opened.h"

static void replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) {
        fprintf(stderr, "cannot read '%s'\n", path);
        exit(1);
    }
    const long size = ftell(file);
    rewind(file);
    uint8_t *bytes = malloc((size_t)size + 1);
    if (!bytes || fread(bytes, 1, (size_t)size, file) != (size_t)size) exit(1);
    fclose(file);
    LLVMFuzzerTestOneInput(bytes, (size_t)size);
    free(bytes);
}

int main(int argc, char **argv)
{
    char path[4096];
    int count = 0;
    DIR *list = argc == 2 ? opendir(argv[1]) : NULL;
    if (!list) {
        fprintf(stderr, "a directory of inputs is missing\n");
        return 2;
    }
    for (const struct dirent *entry; (entry = readdir(list));) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        replay(path);
        count++;
    }
    closedir(list);
    printf("%d inputs\n", count);
    return count > 0 ? 0 : 1; // a corpus that is not there proves nothing
}
