/*
 * crashing_library.c - for the test: preloaded, it ends every program as a broken allocator would.
 */
#include <stdlib.h>

__attribute__((constructor)) static void crash(void) { abort(); }
