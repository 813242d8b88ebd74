// What is found must be what /proc/cpuinfo says, and each group must contain the one below it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cpu.h"

// True when the kernel lists the flag among those of the first processor.
static bool kernel_lists(const char *flag)
{
    char line[16384], word[64];
    FILE *const file = fopen("/proc/cpuinfo", "r");
    bool found = false;
    snprintf(word, sizeof word, " %s ", flag);
    while (file && !found && fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = ' ';
        found = strncmp(line, "flags", 5) == 0 && strstr(line, word);
    }
    if (file) fclose(file);
    return found;
}

static void as_the_kernel_says(void **state)
{
    (void)state;
    const ecki_cpu cpu = ecki_cpu_features();
    const bool avx2 = kernel_lists("avx2") && kernel_lists("fma") && kernel_lists("f16c");
    const bool avx512 = avx2 && kernel_lists("avx512f") && kernel_lists("avx512bw") &&
                        kernel_lists("avx512dq") && kernel_lists("avx512vl");
    assert_int_equal(cpu.avx2, avx2);
    assert_int_equal(cpu.avx512, avx512);
    assert_int_equal(cpu.avx512_bf16, avx512 && kernel_lists("avx512_bf16"));
    assert_int_equal(cpu.amx, avx512 && kernel_lists("amx_tile") && kernel_lists("amx_bf16"));
}

static void names(void **state)
{
    (void)state;
    ecki_cpu cpu = { 0 };
    assert_string_equal(ecki_cpu_name(&cpu), "scalar");
    cpu.neon = true;
    assert_string_equal(ecki_cpu_name(&cpu), "neon");
    cpu = (ecki_cpu){ .avx2 = true };
    assert_string_equal(ecki_cpu_name(&cpu), "avx2");
    cpu.avx512 = true;
    assert_string_equal(ecki_cpu_name(&cpu), "avx512");
    cpu.avx512_bf16 = true;
    assert_string_equal(ecki_cpu_name(&cpu), "avx512-bf16");
    cpu.amx = true;
    assert_string_equal(ecki_cpu_name(&cpu), "avx512-amx");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_the_kernel_says),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
