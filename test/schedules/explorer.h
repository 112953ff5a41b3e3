/*
 * explorer.h - runs a few threads of real code under every schedule, and with every value that
 * their atomic loads may return.
 *
 * The code is compiled with -fsanitize=thread, so that it calls a function for each of its memory
 * accesses, atomic ones with their memory order; these functions are ours (hooks.cc) and not
 * ThreadSanitizer's. The threads are coroutines; each stops before each atomic operation, and the
 * explorer says who goes on. What else is between two such operations need not be interleaved: it
 * is checked for data races.
 *
 * An execution is a list of decisions: which thread is next, and which message of memory.h it gets.
 * They are tried depth first, each execution anew from the state that `setup` left. Of schedules
 * that differ only in the order of independent operations one is run: dynamic partial-order
 * reduction by source sets and sleep sets (Abdulla, Aronis, Jonsson, Sagonas, "Optimal Dynamic
 * Partial Order Reduction", POPL 2014).
 */
#ifndef OSMEM_TEST_SCHEDULES_EXPLORER_H
#define OSMEM_TEST_SCHEDULES_EXPLORER_H

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace osmem::schedules {

struct Scenario {
    const char *name;
    /* Sets up what the threads find; alone, and everything it does happens before them. */
    std::function<void()> setup;
    std::vector<std::function<void()>> threads;
    /* Looks at what they leave, in their end; everything they did happens before it. */
    std::function<void()> check;
    /* Whether the lock runs as it is, or is replaced by one that the explorer knows as a whole. */
    bool with_real_lock = false;
};

/* An atomic operation in the code, by the address to which its hook returns; 0: in none. */
using Site = uintptr_t;

struct Step {
    int thread;
    Site site;
};

struct Result {
    size_t executions = 0;     /* run to their end */
    size_t repeated = 0;       /* broken off: an equivalent one was run */
    size_t operations = 0;     /* atomic ones, in all */
    bool complete = false;     /* there are no others */
    std::map<Site, int> sites; /* operations that have an order other than relaxed, and that */
    std::string failure;       /* empty: none */
    std::vector<Step> steps;   /* the execution that failed */
};

/* What is dropped of the memory order of one operation. */
struct Weakening {
    Site site = 0;
    bool acquire = false, release = false;
};

/*
 * Explores all; ends at the first failure, or after `limit` executions if that is not 0. Without
 * `reduces` every schedule is begun, and broken off where sleep sets show that it was run.
 */
Result explore(const Scenario &scenario, const Weakening &weakening = {}, size_t limit = 0,
               bool reduces = true);

/* Prints how much was explored; the steps of the execution that failed, a line each. */
void print(const Scenario &scenario, const Result &result);
std::string describe_steps(const Result &result);

/* ---- for setup, threads and check ------------------------------------------------------------ */

/* Runs `body` with the thread-local variables of a thread; in setup and check. */
void as_thread(int thread, const std::function<void()> &body);

/* The execution fails; the thread goes no further. */
[[noreturn]] void fail(const std::string &text);

/* What a program does with its memory: a write that is not atomic. */
void touch(void *ptr, size_t size);

/* Whether a thread was ended by a message of the allocator; that is a failure unless `expected`. */
void expect_deaths();
int deaths();

/* What the C library does at a thread's end, and in fork(2): the caller goes on as the child. */
void end_thread();
void fork_here();

/* A message between threads of the program, with release and acquire. */
void publish(void **where, void *ptr);
void *receive(void **where);

} // namespace osmem::schedules

#endif
