// What the processor can do, as the compiler's runtime reads it from the processor and the operating system.
#include "base/cpu.h"

#include <pthread.h>

#include "base/compiler.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/** Conversion of half-precision numbers, leaf 1: clang 14 has no name for it. AVX must be there too. */
static bool has_f16c(void)
{
    unsigned int a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C);
}

/** Tiles of BF16. Their eight KiB of state a thread come on request only (Linux 5.16, arch/x86/xstate); other systems are not
 *  asked. */
static bool has_amx(void)
{
#if defined(SYS_arch_prctl)
    enum { LEAF = 7, TILES = 1 << 24, BF16 = 1 << 22, REQUEST = 0x1023, TILE_DATA = 18 };
    unsigned int a = 0, b = 0, c = 0, d = 0;
    return __get_cpuid_count(LEAF, 0, &a, &b, &c, &d) && (d & TILES) && (d & BF16) &&
           syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
#else
    return false;
#endif
}
#endif

static ecki_cpu found; // once and for all
static pthread_once_t found_once = PTHREAD_ONCE_INIT;

// Asking the processor takes tens of microseconds where it is a virtual one.
static void find(void)
{
    ecki_cpu cpu = { 0 };
#if defined(__x86_64__)
    __builtin_cpu_init();
    cpu.avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
    cpu.avx512 = cpu.avx2 && __builtin_cpu_supports("avx512f") &&
                 __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                 __builtin_cpu_supports("avx512vl");
    cpu.avx512_bf16 = cpu.avx512 && __builtin_cpu_supports("avx512bf16");
    cpu.amx = cpu.avx512 && has_amx();
#elif defined(__aarch64__)
    cpu.neon = true;
#endif
    found = cpu;
}

ecki_cpu ecki_cpu_features(void)
{
    pthread_once(&found_once, find);
    return found;
}

const char *ecki_cpu_name(const ecki_cpu *cpu)
{
    if (cpu->amx) return "avx512-amx";
    if (cpu->avx512_bf16) return "avx512-bf16";
    if (cpu->avx512) return "avx512";
    if (cpu->avx2) return "avx2";
    return cpu->neon ? "neon" : "scalar";
}
