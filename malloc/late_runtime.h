/* late_runtime.h - looking for a C++ runtime that came after the program's start. */
#ifndef OSMEM_MALLOC_LATE_RUNTIME_H
#define OSMEM_MALLOC_LATE_RUNTIME_H

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The address of a symbol of libstdc++, NULL if that is not loaded. Weak: absent where the linker
 * was not given it. May allocate; called only when a large allocation has failed.
 */
__attribute__((weak)) void *late_runtime_symbol(const char *name);

#ifdef __cplusplus
}
#endif

#endif
