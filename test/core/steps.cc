#include "test/core/steps.h"

#include "test/core/internal.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <semaphore.h>
#include <thread>
#include <ucontext.h>

namespace osmem {

#if defined(__x86_64__)

namespace {

constexpr greg_t TRAP_FLAG = 0x100;

Steps chosen;
size_t count;
greg_t address;
/* One of the two: another thread waits for the stopped one, or the handler itself visits. */
bool hands_over;
std::function<bool()> visit_here;
sem_t stopped, go_on;
bool ended;

bool any_lock_is_held() {
    return load_relaxed(&region_lock.word) != 0 || load_relaxed(&mapped_lock.word) != 0;
}

void wait_for(sem_t *semaphore) {
    while (sem_wait(semaphore) != 0) {
    }
}

void on_trap(int, siginfo_t *, void *context) {
    int saved = errno;
    greg_t *registers = static_cast<ucontext_t *>(context)->uc_mcontext.gregs;
    size_t number = count++;
    address = registers[REG_RIP];
    if (number >= chosen.first && (number - chosen.first) % chosen.stride == 0) {
        if (hands_over && !any_lock_is_held()) {
            sem_post(&stopped);
            wait_for(&go_on);
        } else if (!hands_over && !visit_here()) {
            registers[REG_EFL] &= ~TRAP_FLAG;
        }
    }
    errno = saved;
}

/* The stack pointer is moved past what the compiler may keep below it. */
void start_stepping() {
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\t"
                     "pushfq\n\t"
                     "orq $0x100, (%%rsp)\n\t"
                     "popfq\n\t"
                     "lea 128(%%rsp), %%rsp" ::
                         : "memory", "cc");
}

void prepare(Steps steps, bool by_another) {
    struct sigaction action = {};
    action.sa_sigaction = on_trap;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGTRAP, &action, nullptr);
    chosen = steps;
    count = 0;
    hands_over = by_another;
}

} // namespace

uintptr_t stepped_address() { return static_cast<uintptr_t>(address); }

void stop_stepping() {
    __asm__ volatile("lea -128(%%rsp), %%rsp\n\t"
                     "pushfq\n\t"
                     "andq $~0x100, (%%rsp)\n\t"
                     "popfq\n\t"
                     "lea 128(%%rsp), %%rsp" ::
                         : "memory", "cc");
}

size_t step_other(const std::function<void()> &work, const std::function<void()> &visit,
                  Steps steps) {
    prepare(steps, true);
    sem_init(&stopped, 0, 0);
    sem_init(&go_on, 0, 0);
    ended = false;
    std::thread other([&] {
        start_stepping();
        work();
        stop_stepping();
        ended = true;
        sem_post(&stopped);
    });
    for (wait_for(&stopped); !ended; wait_for(&stopped)) {
        visit();
        sem_post(&go_on);
    }
    other.join();
    return count;
}

size_t step_self(const std::function<void()> &work, const std::function<bool()> &visit,
                 Steps steps) {
    prepare(steps, false);
    visit_here = visit;
    start_stepping();
    work();
    stop_stepping();
    return count;
}

#else

void stop_stepping() { abort(); }
uintptr_t stepped_address() { abort(); }
size_t step_other(const std::function<void()> &, const std::function<void()> &, Steps) { abort(); }
size_t step_self(const std::function<void()> &, const std::function<bool()> &, Steps) { abort(); }

#endif

} // namespace osmem
