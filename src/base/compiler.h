/** The only place with compiler extensions. */
#ifndef ECKI_COMPILER_H
#define ECKI_COMPILER_H

#if defined(__GNUC__) || defined(__clang__)
#define ECKI_PRINTF(text, first) __attribute__((__format__(__printf__, text, first)))
#define ECKI_WEAK __attribute__((weak))
#define ECKI_UNUSED __attribute__((unused))
/** A function built for processors that have these features; called only after ecki_cpu_features() said so. */
#define ECKI_TARGET(features) __attribute__((target(features)))
/** A body that is built once for every processor it is called from. */
#define ECKI_INLINE static inline __attribute__((always_inline))
/** typedef float name ECKI_VECTOR(64): sixteen numbers that are worked on together. */
#define ECKI_VECTOR(bytes) __attribute__((vector_size(bytes)))
/** The same where it need not be aligned as a vector and may be memory of any type. */
#define ECKI_VECTOR_ANYWHERE(bytes, alignment) \
    __attribute__((vector_size(bytes), aligned(alignment), may_alias))
#else
#error "eckart needs GCC or Clang"
#endif

/** The same, with a * b + c in one rounding. */
#if defined(__clang__)
#define ECKI_TARGET_FUSED(features) __attribute__((target(features)))
#else
#define ECKI_TARGET_FUSED(features) __attribute__((target(features), optimize("fp-contract=fast")))
#endif
#define ECKI_AVX2 "avx2,fma,f16c"
#define ECKI_AVX512 "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"

/** A loop that the loader picks for the processor from builds of the same C; what it computes may not depend on the
 * build. Sanitizers start too late for it. */
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define ECKI_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define ECKI_CLONES
#endif

/** Tells the processor that a loop waits for another thread. */
#if defined(__x86_64__)
#define ECKI_REST() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define ECKI_REST() __asm__ volatile("yield")
#else
#define ECKI_REST() ((void)0)
#endif

/** 64 bytes of numbers anywhere in memory; every operation is done lane by lane. */
typedef float ecki_f32x16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef int ecki_i32x16 __attribute__((vector_size(64), aligned(4), may_alias));
typedef double ecki_f64x8 __attribute__((vector_size(64), aligned(8), may_alias));
typedef long long ecki_i64x8 __attribute__((vector_size(64), aligned(8), may_alias));

/** All functions of a file as by ECKI_TARGET(); BEGIN stands before every other include. */
#define ECKI_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define ECKI_TARGET_BEGIN(features) \
    ECKI_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define ECKI_TARGET_END _Pragma("clang attribute pop")
#else
#define ECKI_TARGET_BEGIN(features) _Pragma("GCC push_options") ECKI_PRAGMA(GCC target(features))
#define ECKI_TARGET_END _Pragma("GCC pop_options")
#endif

/** The numbers of two vectors at these places, counted through both; index is a vector of integers as wide. */
#if defined(__clang__)
#define ECKI_SHUFFLE(index, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define ECKI_SHUFFLE(index, a, b, ...) __builtin_shuffle(a, b, (index){ __VA_ARGS__ })
#endif

#endif
