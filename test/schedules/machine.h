/*
 * machine.h - the explorer as the hooks see it: an atomic operation of the current thread, and what
 * the allocator asks of the C library and the kernel.
 */
#ifndef OSMEM_TEST_SCHEDULES_MACHINE_H
#define OSMEM_TEST_SCHEDULES_MACHINE_H

#include "test/schedules/explorer.h"
#include "test/schedules/memory.h"

#include <cstdint>

namespace osmem::schedules {

extern Memory memory;

/* The thread whose code runs: a scenario's, the one behind them that checks, or -1: setup. */
int current_thread();

/* Notes an access that is not atomic. */
void plain_access(const void *address, size_t size, bool writes, uintptr_t code);

uint64_t atomic_load(const void *address, size_t size, int order, Site site);
void atomic_store(void *address, size_t size, uint64_t value, int order, Site site);
uint64_t atomic_update(void *address, size_t size, const std::function<uint64_t(uint64_t)> &update,
                       int order, Site site);
bool atomic_replace(void *address, size_t size, uint64_t *expected, uint64_t value, bool weak,
                    int order, int failure_order, Site site);

/* ---- C library and kernel -------------------------------------------------------------------- */

bool real_lock();
void lock(void *address);
void unlock(void *address);

long futex_wait(uint32_t *word, uint32_t expected);
long futex_wake(uint32_t *word);
uint32_t thread_id();
bool thread_lives(uint32_t id);

void *break_move(intptr_t size);

void set_exit_function(void (*function)(void *));
void set_exit_value(const void *value);
void set_fork_handlers(void (*prepare)(), void (*child)());

/* The allocator ends the program with a message. */
[[noreturn]] void die(const std::string &message);

} // namespace osmem::schedules

#endif
