/* A library for LD_PRELOAD that changes nothing: an allocator that is exactly glibc's. */
void passive_library(void);

void passive_library(void) {}
