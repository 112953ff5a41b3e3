/*
 * steps.h - code that is stopped before each of its instructions, by the trap flag of the
 * processor: what another thread or a signal handler could see of it at its worst moment, at every
 * moment in turn and not by chance. Only where STEPS_WORK.
 */
#ifndef OSMEM_TEST_CORE_STEPS_H
#define OSMEM_TEST_CORE_STEPS_H

#include <cstddef>
#include <cstdint>
#include <functional>

namespace osmem {

/* On x86-64, and where nothing instruments each access with a runtime of its own. */
constexpr bool STEPS_WORK =
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
    true;
#else
    false;
#endif

/* Which steps: number `first` and every `stride`-th behind it. */
struct Steps {
    size_t first = 0;
    size_t stride = 1;
};

/*
 * Runs `work` in another thread that stands still at each of the steps while `visit` runs here,
 * except where it holds a lock of the allocator. Returns how many steps there were in all. `work`
 * and its thread's end up to `stop_stepping` are stepped.
 */
size_t step_other(const std::function<void()> &work, const std::function<void()> &visit,
                  Steps steps = {});

/*
 * Runs `work` here; `visit` is called in a signal handler at each of the steps. When it returns
 * false, the steps end: `work` then runs to its end undisturbed. Returns how many there were.
 */
size_t step_self(const std::function<void()> &work, const std::function<bool()> &visit,
                 Steps steps = {});

/* For `visit`: the address of the instruction that is stepped next. */
uintptr_t stepped_address();

/* For code that is stepped: the rest of it is not. */
void stop_stepping();

} // namespace osmem

#endif
