/*
 * sanitizer.h - which sanitizer this is compiled with.
 */
#ifndef OSMEM_UTILS_SANITIZER_H
#define OSMEM_UTILS_SANITIZER_H

/* Clang's way of telling, and GCC's. */
#if defined(__has_feature)
#define SANITIZER_HAS(feature) __has_feature(feature)
#else
#define SANITIZER_HAS(feature) 0
#endif

#if defined(__SANITIZE_ADDRESS__) || SANITIZER_HAS(address_sanitizer)
#define SANITIZER_ADDRESS 1
#else
#define SANITIZER_ADDRESS 0
#endif

/* Its runtime brings an allocator of its own, without which it sees little. */
#if SANITIZER_ADDRESS || defined(__SANITIZE_THREAD__) || SANITIZER_HAS(thread_sanitizer) ||        \
    SANITIZER_HAS(memory_sanitizer) || SANITIZER_HAS(hwaddress_sanitizer)
#define SANITIZER_ALLOCATES 1
#else
#define SANITIZER_ALLOCATES 0
#endif

#endif
