#include "test/model/random.h"

#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace osmem {

static uint64_t choose_seed() {
    const char *given = getenv("OSMEM_TEST_SEED");
    uint64_t seed = given != nullptr ? strtoull(given, nullptr, 0) : std::random_device{}();
    printf("OSMEM_TEST_SEED=%" PRIu64 "\n", seed);
    return seed;
}

uint64_t test_seed() {
    static const uint64_t seed = choose_seed();
    return seed;
}

} // namespace osmem
