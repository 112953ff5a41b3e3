#include "test/schedules/explorer.h"

#include "test/schedules/machine.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <link.h>
#include <sys/mman.h>
#include <ucontext.h>

extern "C" char __data_start, _end; /* the program's variables */

namespace osmem::schedules {

Memory memory;

namespace {

constexpr size_t STACK_BYTES = 256 * 1024;
constexpr size_t ARENA_BYTES = 64 << 20;
constexpr size_t ARENA_ALIGNMENT = 4 << 20;

/* An execution longer than this does not end. */
constexpr size_t LONGEST = 200000;

constexpr int NONE = -1;

enum class Kind { ACCESS, LOCK, FORK };

/* What a thread does next. */
struct Pending {
    Kind kind = Kind::ACCESS;
    const void *address = nullptr;
    size_t size = 0;
    bool writes = false;
};

bool depend(const Pending &one, const Pending &other) {
    return one.kind == Kind::FORK || other.kind == Kind::FORK ||
           (one.address == other.address && (one.writes || other.writes));
}

struct Thread {
    bool lives;
    const void *waits_at; /* in a futex; nullptr: it does not */
    Pending pending;
    Clock seen; /* the last event of each thread that happens before its next one, by number */
    Clock seen_before; /* the same, but for what the event itself depends on */
    int spurious_failures;
    const void *exit_value;
    ucontext_t context;
    char *stack;
    std::vector<char> locals; /* its thread-local variables while it does not run */
};

/* A decision: which thread goes on, or which of `count` values or places it is. */
struct Node {
    bool is_choice;
    size_t chosen, count;
    unsigned enabled, backtrack, done, sleep; /* sets of threads */
};

/* What a thread did at a node. */
struct Event {
    size_t node;
    int thread;
    Pending operation;
    Clock
        seen; /* the last event of each thread that happens before it, itself included, by number */
};

struct Lock {
    int owner = NONE;
    int depth = 0;
    Clock released;
};

struct {
    const Scenario *scenario;
    Weakening weakening;
    bool reduces;
    std::map<Site, int> sites; /* of this scenario */

    Thread threads[THREADS];
    int current = NONE;    /* whose code runs */
    int locals_of = NONE;  /* whose thread-local variables are in place */
    bool is_alone = false; /* no other thread will ever run */
    bool is_starting = false;
    ucontext_t main;

    std::vector<Node> nodes;
    size_t depth;    /* how many of them this execution has come by */
    size_t replayed; /* how many it has in common with the one before */
    unsigned asleep; /* at the next node */
    std::vector<Event> events;
    std::map<const void *, Lock> locks;

    std::vector<Step> steps;

    bool is_repeated; /* broken off */
    std::string failure;
    bool deaths_expected;
    int deaths;
    size_t operations;

    char *arena;
    size_t arena_used;
    void (*exit_function)(void *);
    void (*fork_prepare)(), (*fork_child)();
} machine;

int count_threads() { return static_cast<int>(machine.scenario->threads.size()); }

unsigned bit(int thread) { return 1u << thread; }
int lowest(unsigned set) { return __builtin_ctz(set); }

/* ---- thread-local variables -------------------------------------------------------------------
 */

struct Locals {
    char *start;
    size_t size, initialised;
    const char *image;
};

/* Those of this program itself, which has none but the allocator's. */
const Locals &locals() {
    static Locals found = [] {
        Locals locals{};
        dl_iterate_phdr(
            [](dl_phdr_info *info, size_t, void *context) {
                Locals &to = *static_cast<Locals *>(context);
                for (int i = 0; i < info->dlpi_phnum; i++) {
                    const ElfW(Phdr) &header = info->dlpi_phdr[i];
                    if (header.p_type == PT_TLS)
                        to = {static_cast<char *>(info->dlpi_tls_data), header.p_memsz,
                              header.p_filesz,
                              reinterpret_cast<const char *>(info->dlpi_addr + header.p_vaddr)};
                }
                return 1; /* the program comes first */
            },
            &locals);
        return locals;
    }();
    return found;
}

void reset_locals(Thread &thread) {
    thread.locals.assign(locals().size, 0);
    memcpy(thread.locals.data(), locals().image, locals().initialised);
}

void put_locals(int thread) {
    if (machine.locals_of != NONE)
        memcpy(machine.threads[machine.locals_of].locals.data(), locals().start, locals().size);
    machine.locals_of = thread;
    if (thread != NONE)
        memcpy(locals().start, machine.threads[thread].locals.data(), locals().size);
}

/* ---- whose turn it is -------------------------------------------------------------------------
 */

void go_to(int thread) {
    int from = machine.current;
    if (thread == from)
        return;
    put_locals(thread);
    machine.current = thread;
    swapcontext(from == NONE ? &machine.main : &machine.threads[from].context,
                thread == NONE ? &machine.main : &machine.threads[thread].context);
}

/* Ends the execution, from whatever thread; it goes no further. */
[[noreturn]] void leave() {
    go_to(NONE);
    abort(); /* never gone on with */
}

bool is_enabled(int index) {
    const Thread &thread = machine.threads[index];
    if (!thread.lives || thread.waits_at != nullptr)
        return false;
    return thread.pending.kind != Kind::LOCK || machine.locks[thread.pending.address].owner == NONE;
}

/*
 * A thread's next operation could as well have come before event number `earlier`, on which it
 * depends. What leads there from the node of that event is all that was done since and does not
 * depend on it, and then the operation: one of the threads that can begin with that must be tried.
 */
void reverse(int thread, size_t earlier) {
    const Pending &operation = machine.threads[thread].pending;
    Clock first, before = machine.threads[thread].seen;
    int owner = machine.events[earlier].thread;
    unsigned begin = 0;
    auto begins = [&](int who, const Clock &seen) {
        if (first.at[who] != 0)
            return false;
        for (int i = 0; i < count_threads(); i++) {
            if (i != who && first.at[i] != 0 && seen.at[i] >= first.at[i])
                return false;
        }
        return true;
    };
    for (size_t i = earlier + 1; i < machine.events.size(); i++) {
        const Event &event = machine.events[i];
        if (event.seen.at[owner] > earlier)
            continue;
        if (begins(event.thread, event.seen))
            begin |= bit(event.thread);
        if (first.at[event.thread] == 0)
            first.at[event.thread] = static_cast<uint32_t>(i) + 1;
        if (depend(event.operation, operation))
            before.join(event.seen);
    }
    if (begins(thread, before))
        begin |= bit(thread);
    Node &node = machine.nodes[machine.events[earlier].node];
    begin &= node.enabled;
    if (begin == 0)
        node.backtrack |= node.enabled;
    else if ((begin & (node.backtrack | node.sleep)) == 0)
        node.backtrack |= bit(lowest(begin));
}

void reverse_all(int thread, const std::array<uint32_t, THREADS> &events) {
    for (int i = 0; i < count_threads(); i++) {
        if (i != thread && events[i] > machine.threads[thread].seen.at[i])
            reverse(thread, events[i] - 1);
    }
}

/* Looks for what a thread's next operation could come before. */
void find_races(int thread) {
    const Pending &operation = machine.threads[thread].pending;
    if (operation.kind == Kind::FORK) {
        for (int i = 0; i < count_threads(); i++) {
            uint32_t last = machine.threads[i].seen.at[i];
            if (i != thread && last > machine.threads[thread].seen.at[i])
                reverse(thread, last - 1);
        }
        return;
    }
    const Location &location = memory.location(operation.address, operation.size);
    reverse_all(thread, location.last_write);
    if (operation.writes)
        reverse_all(thread, location.last_read);
}

/* The next thread; NONE: the execution is over, or broken off. */
int pick() {
    unsigned enabled = 0, alive = 0;
    for (int i = 0; i < count_threads(); i++) {
        alive |= machine.threads[i].lives ? bit(i) : 0;
        enabled |= is_enabled(i) ? bit(i) : 0;
    }
    if (enabled == 0) {
        if (alive != 0 && machine.failure.empty())
            machine.failure = "every thread that is left waits";
        return NONE;
    }
    if (machine.depth == machine.nodes.size()) {
        unsigned awake = enabled & ~machine.asleep;
        if (awake == 0) {
            machine.is_repeated = true;
            return NONE;
        }
        int current = machine.current;
        bool goes_on = current != NONE && (awake & bit(current));
        Node node{};
        node.chosen = static_cast<size_t>(goes_on ? current : lowest(awake));
        node.enabled = enabled;
        node.backtrack = machine.reduces ? bit(static_cast<int>(node.chosen)) : enabled;
        node.sleep = machine.asleep;
        machine.nodes.push_back(node);
    }
    const Node &node = machine.nodes[machine.depth++];
    if (node.is_choice || node.enabled != enabled) {
        machine.failure = "an execution does not repeat itself";
        return NONE;
    }
    int chosen = static_cast<int>(node.chosen);
    unsigned asleep = (node.sleep | node.done) & ~bit(chosen);
    machine.asleep = 0;
    for (int i = 0; i < count_threads(); i++) {
        if ((asleep & bit(i)) &&
            !depend(machine.threads[i].pending, machine.threads[chosen].pending))
            machine.asleep |= bit(i);
    }
    return chosen;
}

/* The number of what is to be taken, of `count`. */
size_t choose(size_t count) {
    if (count == 1)
        return 0;
    if (machine.depth == machine.nodes.size()) {
        Node node{};
        node.is_choice = true;
        node.count = count;
        machine.nodes.push_back(node);
    }
    const Node &node = machine.nodes[machine.depth++];
    if (!node.is_choice || node.count != count)
        fail("an execution does not repeat itself");
    return node.chosen;
}

/* The current thread's operation at a location, as an event of the execution. */
void happen(const Pending &operation) {
    Thread &thread = machine.threads[machine.current];
    if (operation.kind == Kind::FORK) {
        machine.nodes[machine.depth - 1].backtrack |= machine.nodes[machine.depth - 1].enabled;
        find_races(machine.current);
        return;
    }
    Location &location = memory.location(operation.address, operation.size);
    if (machine.depth >= machine.replayed)
        find_races(machine.current);
    thread.seen_before = thread.seen;
    thread.seen.join(operation.writes ? location.all : location.writes);
    uint32_t number = static_cast<uint32_t>(machine.events.size()) + 1;
    thread.seen.at[machine.current] = number;
    machine.events.push_back({machine.depth - 1, machine.current, operation, thread.seen});
    (operation.writes ? location.last_write : location.last_read).at(machine.current) = number;
    location.all.join(thread.seen);
    if (operation.writes)
        location.writes.join(thread.seen);
}

/* The current thread is about to do this; returns when it is its turn, and it happens. */
void stop_before(const Pending &operation) {
    machine.threads[machine.current].pending = operation;
    if (machine.is_starting) {
        go_to(NONE);
    } else {
        int next = pick();
        if (next != machine.current)
            go_to(next);
    }
    if (++machine.operations, machine.events.size() > LONGEST)
        fail("an execution does not end");
    happen(operation);
}

bool explores() { return machine.current != NONE && !machine.is_alone; }

void end_of_thread() {
    machine.threads[machine.current].lives = false;
    go_to(machine.is_starting ? NONE : pick());
    abort(); /* never gone on with */
}

void thread_body() {
    machine.scenario->threads[static_cast<size_t>(machine.current)]();
    end_of_thread();
}

/* ---- executions -------------------------------------------------------------------------------
 */

void prepare_thread(int index) {
    Thread &thread = machine.threads[index];
    thread.lives = true;
    thread.waits_at = nullptr;
    thread.seen = Clock{};
    thread.spurious_failures = 0;
    getcontext(&thread.context);
    thread.context.uc_stack.ss_sp = thread.stack;
    thread.context.uc_stack.ss_size = STACK_BYTES;
    thread.context.uc_link = nullptr;
    makecontext(&thread.context, thread_body, 0);
}

/* Runs the check as the thread behind the others, in which all they did is known. */
void run_check() {
    int checker = count_threads();
    for (int i = 0; i < checker; i++)
        memory.clock(checker).join(memory.clock(i));
    machine.threads[checker].lives = true;
    machine.threads[checker].exit_value = nullptr;
    getcontext(&machine.threads[checker].context);
    machine.threads[checker].context.uc_stack.ss_sp = machine.threads[checker].stack;
    machine.threads[checker].context.uc_stack.ss_size = STACK_BYTES;
    makecontext(
        &machine.threads[checker].context,
        +[] {
            machine.scenario->check();
            leave();
        },
        0);
    machine.is_alone = true;
    go_to(checker);
    machine.is_alone = false;
}

void run_execution(const std::vector<char> (&locals_at_start)[THREADS],
                   const void *const (&exit_values)[THREADS]) {
    memory.begin();
    machine.depth = 0;
    machine.asleep = 0;
    machine.events.clear();
    machine.steps.clear();
    machine.locks.clear();
    machine.is_repeated = false;
    machine.is_alone = false;
    machine.deaths = 0;
    machine.deaths_expected = false;
    machine.is_starting = true;
    for (int i = 0; i < THREADS; i++) {
        machine.threads[i].locals = locals_at_start[i];
        machine.threads[i].exit_value = exit_values[i];
        machine.threads[i].lives = false;
    }
    for (int i = 0; i < count_threads(); i++) {
        prepare_thread(i);
        go_to(i);
    }
    machine.is_starting = false;
    if (machine.failure.empty())
        go_to(pick());
    bool is_forked = machine.is_alone;
    machine.is_alone = false;
    if (machine.failure.empty() && !machine.is_repeated && !is_forked && machine.scenario->check)
        run_check();
    if (machine.failure.empty() && machine.deaths != 0 && !machine.deaths_expected)
        machine.failure = "a thread ended with a message";
}

/* Moves on to the next execution; false: there is none. */
bool next_execution() {
    std::vector<Node> &nodes = machine.nodes;
    for (; !nodes.empty(); nodes.pop_back()) {
        Node &node = nodes.back();
        if (node.is_choice) {
            if (++node.chosen < node.count)
                break;
            continue;
        }
        node.done |= 1u << node.chosen;
        unsigned left = node.backtrack & ~node.done & ~node.sleep;
        if (left != 0) {
            node.chosen = static_cast<size_t>(lowest(left));
            break;
        }
    }
    machine.replayed = nodes.size();
    return !nodes.empty();
}

void open_machine() {
    if (machine.arena != nullptr)
        return;
    void *memory_start = mmap(nullptr, ARENA_BYTES + ARENA_ALIGNMENT, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory_start == MAP_FAILED)
        abort();
    uintptr_t start = reinterpret_cast<uintptr_t>(memory_start);
    machine.arena = reinterpret_cast<char *>((start + ARENA_ALIGNMENT - 1) & -ARENA_ALIGNMENT);
    memory.watch(machine.arena, ARENA_BYTES);
    memory.watch(&__data_start, static_cast<size_t>(&_end - &__data_start));
    for (Thread &thread : machine.threads) {
        thread.stack = static_cast<char *>(
            mmap(nullptr, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        reset_locals(thread);
    }
}

} // namespace

Result explore(const Scenario &scenario, const Weakening &weakening, size_t limit, bool reduces) {
    open_machine();
    machine.reduces = reduces;
    machine.scenario = &scenario;
    machine.weakening = weakening;
    machine.failure.clear();
    machine.nodes.clear();
    machine.replayed = 0;
    machine.operations = 0;
    machine.sites.clear();
    size_t before_setup = memory.mark();
    for (Thread &thread : machine.threads) {
        reset_locals(thread);
        thread.exit_value = nullptr;
    }
    scenario.setup();
    size_t before_threads = memory.mark();
    std::vector<char> locals_at_start[THREADS];
    const void *exit_values[THREADS];
    for (int i = 0; i < THREADS; i++) {
        locals_at_start[i] = machine.threads[i].locals;
        exit_values[i] = machine.threads[i].exit_value;
    }
    Result result;
    bool goes_on = true;
    while (goes_on) {
        run_execution(locals_at_start, exit_values);
        memory.roll_back(before_threads);
        (machine.is_repeated ? result.repeated : result.executions)++;
        result.complete = machine.failure.empty() && !next_execution();
        goes_on = machine.failure.empty() && !result.complete &&
                  (limit == 0 || result.executions + result.repeated < limit);
    }
    memory.roll_back(before_setup);
    result.operations = machine.operations;
    result.failure = machine.failure;
    result.sites = machine.sites;
    if (!machine.failure.empty())
        result.steps = machine.steps;
    return result;
}

void print(const Scenario &scenario, const Result &result) {
    printf("%s: %zu executions%s, %zu broken off, %zu atomic operations\n", scenario.name,
           result.executions, result.complete ? ", which are all" : "", result.repeated,
           result.operations);
    fflush(stdout);
}

std::string describe_steps(const Result &result) {
    std::string text;
    for (const Step &step : result.steps) {
        if (step.site != 0)
            text += "\nthread " + std::to_string(step.thread) + ": " + code_name(step.site);
    }
    return text;
}

/* ---- for scenarios ----------------------------------------------------------------------------
 */

void as_thread(int thread, const std::function<void()> &body) {
    int before = machine.locals_of;
    put_locals(thread);
    body();
    put_locals(before);
}

void fail(const std::string &text) {
    if (machine.current == NONE) {
        fprintf(stderr, "%s\n", text.c_str());
        abort();
    }
    if (machine.failure.empty())
        machine.failure = text;
    leave();
}

void touch(void *ptr, size_t size) {
    plain_access(ptr, size, true, reinterpret_cast<uintptr_t>(__builtin_return_address(0)));
    memset(ptr, machine.current, size);
}

void expect_deaths() { machine.deaths_expected = true; }
int deaths() { return machine.deaths; }

void end_thread() {
    const void *value = machine.threads[machine.locals_of].exit_value;
    machine.threads[machine.locals_of].exit_value = nullptr;
    if (value != nullptr)
        machine.exit_function(const_cast<void *>(value));
}

void fork_here() {
    machine.fork_prepare();
    stop_before({Kind::FORK, nullptr, 0, true});
    for (int i = 0; i < count_threads(); i++) {
        if (i != machine.current) {
            machine.threads[i].lives = false;
            memory.clock(machine.current).join(memory.clock(i));
        }
    }
    machine.is_alone = true;
    machine.fork_child();
}

void publish(void **where, void *ptr) {
    atomic_store(where, sizeof *where, reinterpret_cast<uint64_t>(ptr), __ATOMIC_RELEASE, 0);
}

void *receive(void **where) {
    return reinterpret_cast<void *>(atomic_load(where, sizeof *where, __ATOMIC_ACQUIRE, 0));
}

/* ---- for hooks --------------------------------------------------------------------------------
 */

int current_thread() { return machine.current; }

namespace {

struct Order {
    bool acquires, releases;
};

Order order_of(int order, Site site) {
    if (order == __ATOMIC_SEQ_CST || order == __ATOMIC_CONSUME)
        fail("an order that is not modelled");
    if (order != __ATOMIC_RELAXED && site != 0)
        machine.sites[site] = order;
    bool acquires = order == __ATOMIC_ACQUIRE || order == __ATOMIC_ACQ_REL;
    bool releases = order == __ATOMIC_RELEASE || order == __ATOMIC_ACQ_REL;
    if (machine.weakening.site == site && site != 0) {
        acquires = acquires && !machine.weakening.acquire;
        releases = releases && !machine.weakening.release;
    }
    return {acquires, releases};
}

/* Whether an atomic operation is like any other, as nobody else runs. */
bool is_plain(int order, Site site) {
    if (machine.current != NONE)
        order_of(order, site);
    return !explores();
}

uint64_t raw(const void *address, size_t size) {
    uint64_t value = 0;
    memcpy(&value, address, size);
    return value;
}

/* The location of an atomic operation that happens now, checked for races. */
Location &enter(const void *address, size_t size, bool writes, Site site) {
    stop_before({Kind::ACCESS, address, size, writes});
    machine.steps.push_back({machine.current, site});
    Location &location = memory.location(address, size);
    std::string race = memory.access(machine.current, address, size, writes, true, site);
    if (!race.empty())
        fail(race);
    return location;
}

/*
 * Of the messages that the current thread may read, or write behind, those that it has to: what
 * comes later must be known to have been executed before. Else the thread could have been first,
 * and in another execution it is.
 */
Choices necessary(const Choices &choices, const Location &location) {
    const Clock &seen = machine.threads[machine.current].seen_before;
    Choices left;
    for (size_t i = location.messages.size(); i-- > 0;) {
        for (size_t choice : choices) {
            if (choice == i)
                left.push_back(i);
        }
        const Moment &event = location.messages[i].event;
        if (event.time > seen.at[event.thread])
            break;
    }
    return left;
}

/* A write of the current thread, as of its last event. */
void note_event(Message &message) {
    message.event = {machine.current, static_cast<uint32_t>(machine.events.size())};
}

void tick() { memory.clock(machine.current).at[machine.current]++; }

} // namespace

void plain_access(const void *address, size_t size, bool writes, uintptr_t code) {
    if (writes)
        memory.log(address, size);
    if (!explores())
        return; /* everything happens before what is alone */
    std::string race = memory.access(machine.current, address, size, writes, false, code);
    if (!race.empty())
        fail(race);
}

uint64_t atomic_load(const void *address, size_t size, int order, Site site) {
    if (is_plain(order, site))
        return raw(address, size);
    Location &location = enter(address, size, false, site);
    Choices choices = necessary(memory.readable(machine.current, location), location);
    size_t message = choices[choose(choices.size())];
    uint64_t value =
        memory.read(machine.current, location, message, order_of(order, site).acquires);
    tick();
    return value;
}

void atomic_store(void *address, size_t size, uint64_t value, int order, Site site) {
    if (is_plain(order, site)) {
        memory.log(address, size);
        memcpy(address, &value, size);
        return;
    }
    Location &location = enter(address, size, true, site);
    Choices choices = necessary(memory.replaceable(machine.current, location), location);
    size_t behind = choices[choose(choices.size())];
    note_event(memory.write(machine.current, location, behind, value,
                            order_of(order, site).releases, false));
    tick();
}

uint64_t atomic_update(void *address, size_t size, const std::function<uint64_t(uint64_t)> &update,
                       int order, Site site) {
    if (is_plain(order, site)) {
        uint64_t before = raw(address, size), after = update(before);
        memory.log(address, size);
        memcpy(address, &after, size);
        return before;
    }
    Location &location = enter(address, size, true, site);
    Choices choices = necessary(memory.replaceable(machine.current, location), location);
    size_t message = choices[choose(choices.size())];
    Order effect = order_of(order, site);
    uint64_t before = memory.read(machine.current, location, message, effect.acquires);
    note_event(
        memory.write(machine.current, location, message, update(before), effect.releases, true));
    tick();
    return before;
}

bool atomic_replace(void *address, size_t size, uint64_t *expected, uint64_t value, bool weak,
                    int order, int failure_order, Site site) {
    if (is_plain(order, site)) {
        uint64_t before = raw(address, size);
        bool done = before == *expected;
        if (done) {
            memory.log(address, size);
            memcpy(address, &value, size);
        }
        *expected = before;
        return done;
    }
    Location &location = enter(address, size, true, site);
    /* Succeeds with what it expects, where that is not taken; fails with anything else. */
    Choices choices;
    for (size_t message : necessary(memory.readable(machine.current, location), location)) {
        const Message &read = location.messages[message];
        if (read.value != *expected || !read.is_updated)
            choices.push_back(message);
    }
    Thread &thread = machine.threads[machine.current];
    bool may_fail = weak && thread.spurious_failures == 0;
    size_t chosen = choose(choices.size() + may_fail);
    bool fails = chosen == choices.size();
    thread.spurious_failures += fails;
    size_t message = choices[fails ? 0 : chosen];
    bool done = !fails && location.messages[message].value == *expected;
    Order effect = order_of(order, site);
    if (!done)
        effect.acquires = order_of(failure_order, 0).acquires;
    uint64_t before = memory.read(machine.current, location, message, effect.acquires);
    if (done)
        note_event(memory.write(machine.current, location, message, value, effect.releases, true));
    tick();
    *expected = before;
    return done;
}

/* ---- the lock, as a whole ---------------------------------------------------------------------
 */

bool real_lock() { return machine.scenario->with_real_lock; }

void lock(void *address) {
    if (machine.current == NONE)
        return;
    Lock &lock = machine.locks[address];
    if (lock.owner == machine.current) {
        lock.depth++;
        return;
    }
    if (explores())
        stop_before({Kind::LOCK, address, 4, true});
    if (lock.owner != NONE)
        fail("a lock is held for ever");
    lock.owner = machine.current;
    memory.clock(machine.current).join(lock.released);
    tick();
}

void unlock(void *address) {
    if (machine.current == NONE)
        return;
    Lock &lock = machine.locks[address];
    if (lock.depth > 0) {
        lock.depth--;
        return;
    }
    lock.owner = NONE;
    lock.released = memory.clock(machine.current);
    tick();
    if (explores()) {
        Location &location = memory.location(address, 4);
        location.all.join(machine.threads[machine.current].seen);
        location.writes.join(machine.threads[machine.current].seen);
    }
}

/* ---- the kernel -------------------------------------------------------------------------------
 */

/* Atomic with respect to the word; waits only if nothing newer than expected is in memory. */
long futex_wait(uint32_t *word, uint32_t expected) {
    if (!explores())
        return -1;
    stop_before({Kind::ACCESS, word, 4, true});
    if (raw(word, 4) != expected)
        return -1;
    machine.threads[machine.current].waits_at = word;
    go_to(pick());
    return 0;
}

long futex_wake(uint32_t *word) {
    if (!explores())
        return 0;
    stop_before({Kind::ACCESS, word, 4, true});
    std::vector<Thread *> waiting;
    for (Thread &thread : machine.threads) {
        if (thread.lives && thread.waits_at == word)
            waiting.push_back(&thread);
    }
    if (waiting.empty())
        return 0;
    Thread *woken = waiting[choose(waiting.size())];
    woken->waits_at = nullptr;
    woken->seen.join(machine.threads[machine.current].seen);
    return 1;
}

uint32_t thread_id() { return static_cast<uint32_t>(machine.locals_of + 1000); }

bool thread_lives(uint32_t id) {
    return id >= 1000 && id < 1000 + THREADS && machine.threads[id - 1000].lives;
}

void *break_move(intptr_t size) {
    memory.log(&machine.arena_used, sizeof machine.arena_used);
    if (machine.arena_used + static_cast<size_t>(size) > ARENA_BYTES)
        return reinterpret_cast<void *>(-1);
    char *start = machine.arena + machine.arena_used;
    machine.arena_used += static_cast<size_t>(size);
    return start;
}

void set_exit_function(void (*function)(void *)) { machine.exit_function = function; }

void set_exit_value(const void *value) { machine.threads[machine.locals_of].exit_value = value; }

void set_fork_handlers(void (*prepare)(), void (*child)()) {
    machine.fork_prepare = prepare;
    machine.fork_child = child;
}

void die(const std::string &message) {
    machine.deaths++;
    if (!machine.deaths_expected)
        fail(message);
    if (!explores())
        leave();
    end_of_thread();
    abort();
}

} // namespace osmem::schedules
