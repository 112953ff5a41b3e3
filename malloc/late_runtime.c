/*
 * late_runtime.c - the C++ runtime of a program that loaded it after its start, as interpreters do
 * with extensions. Only in the shared object: a program that is linked with //malloc knows its
 * runtime when it is linked, and a static one should not link dlopen.
 */
#include "malloc/late_runtime.h"

#include <dlfcn.h>
#include <stddef.h>

void *late_runtime_symbol(const char *name) {
    void *runtime = dlopen("libstdc++.so.6", RTLD_LAZY | RTLD_NOLOAD);
    return runtime == NULL ? NULL : dlsym(runtime, name);
}
