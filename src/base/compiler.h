/** The only place with compiler extensions. */
#ifndef ECKI_COMPILER_H
#define ECKI_COMPILER_H

#if defined(__GNUC__) || defined(__clang__)
#define ECKI_PRINTF(text, first) __attribute__((__format__(__printf__, text, first)))
#define ECKI_WEAK __attribute__((weak))
#define ECKI_UNUSED __attribute__((unused))
/** A function built for processors that have these features; called only after ecki_cpu_features() said so. */
#define ECKI_TARGET(features) __attribute__((target(features)))
#else
#error "eckart needs GCC or Clang"
#endif

#endif
