/*
 * target.h - what every fuzz target is: a function that takes any bytes for its input. It is driven
 * by libFuzzer (fuzzer.cc) or by a suite that replays the committed corpus (replay_test.cc).
 */
#ifndef OSMEM_TEST_FUZZ_TARGET_H
#define OSMEM_TEST_FUZZ_TARGET_H

#include <cstddef>
#include <cstdint>
#include <functional>

namespace osmem {

/* Decodes and runs one input. What is wrong fails GoogleTest's expectations. */
void fuzz(const uint8_t *data, size_t size);

/* Longer inputs than this are cut off by nobody, but none is made. */
extern const size_t FUZZ_LONGEST;

/* For inputs that need a process in which the allocator was never used: fails if it fails. */
void fuzz_in_child(const std::function<void()> &body);

/* The driver's: a child that ran an input to its end is about to end. */
void fuzz_child_ends();

/* Reads an input from its front; zeros when it is used up. */
class Bytes {
  public:
    Bytes(const uint8_t *data, size_t size) : next_(data), end_(data + size) {}

    bool empty() const { return next_ == end_; }
    unsigned byte() { return next_ == end_ ? 0 : *next_++; }
    unsigned word() {
        unsigned high = byte();
        return high << 8 | byte();
    }
    uint64_t number() {
        uint64_t number = 0;
        for (int i = 0; i < 8; i++)
            number = number << 8 | byte();
        return number;
    }
    template <typename Type, size_t COUNT> const Type &one_of(const Type (&choices)[COUNT]) {
        return choices[byte() % COUNT];
    }

  private:
    const uint8_t *next_, *end_;
};

} // namespace osmem

#endif
