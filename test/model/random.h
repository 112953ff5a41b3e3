/* random.h - a fast generator, and a seed that is printed and can be given: OSMEM_TEST_SEED. */
#ifndef OSMEM_TEST_MODEL_RANDOM_H
#define OSMEM_TEST_MODEL_RANDOM_H

#include <cstddef>
#include <cstdint>

namespace osmem {

/* The environment's OSMEM_TEST_SEED, else a random one; printed when it is asked for first. */
uint64_t test_seed();

/* Vigna's splitmix64. */
class Random {
  public:
    explicit Random(uint64_t seed) : state_(seed) {}

    uint64_t next() {
        uint64_t value = state_ += 0x9e3779b97f4a7c15u;
        value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
        value = (value ^ value >> 27) * 0x94d049bb133111ebu;
        return value ^ value >> 31;
    }

    /* 0 … end - 1 */
    size_t below(size_t end) { return next() % end; }

    /* first … last */
    size_t between(size_t first, size_t last) { return first + below(last - first + 1); }

    bool one_in(size_t count) { return below(count) == 0; }

    /* first … last, every doubling as likely as the next. */
    size_t spread(size_t first, size_t last) {
        size_t high = first;
        while (high < last && !one_in(3))
            high = high * 2 < last ? high * 2 : last;
        return between(first, high);
    }

  private:
    uint64_t state_;
};

} // namespace osmem

#endif
