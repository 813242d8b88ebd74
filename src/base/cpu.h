/**
 * What the processor can do. Kernels with several builds choose among them by this and by nothing else: never by a
 * timing, so that the same machine gives the same bytes every time.
 */
#ifndef ECKI_CPU_H
#define ECKI_CPU_H

#include <stdbool.h>

/** Groups of instructions, each usable by the operating system too; false on processors that do not know them. */
typedef struct ecki_cpu {
    bool avx2; /**< AVX2, FMA and F16C */
    bool avx512; /**< AVX-512 F, BW, DQ and VL */
    bool avx512_bf16; /**< VDPBF16PS, with all of avx512 */
    bool amx; /**< AMX with BF16, granted by the system, with all of avx512 */
    bool neon; /**< AArch64 */
} ecki_cpu;

ecki_cpu ecki_cpu_features(void);

/** "avx512-amx", "avx512-bf16", "avx512", "avx2", "neon" or "scalar": the best of them; static. */
const char *ecki_cpu_name(const ecki_cpu *cpu);

#endif
