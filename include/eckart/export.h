/** Marks what the shared library exports; everything else is hidden. */
#ifndef ECKART_EXPORT_H
#define ECKART_EXPORT_H

#if defined(__GNUC__) || defined(__clang__)
#define ECK_API __attribute__((visibility("default")))
#else
#define ECK_API
#endif

#endif
