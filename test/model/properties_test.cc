/*
 * Properties of the parts that can be had without a heap, for sequences and values that rapidcheck
 * chooses and shortens: quick sets, kept mappings, numbers of granules.
 */
#include "test/core/internal.h"

#include <algorithm>
#include <gtest/gtest.h>
#include <map>
#include <numeric>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>
#include <vector>

namespace osmem {
namespace {

/* ---- sizes and numbers ----------------------------------------------------------------------- */

RC_GTEST_PROP(SizeProperties, GranulesHoldTheSizeAndNoMore, ()) {
    const size_t size = *rc::gen::inRange<size_t>(1, PTRDIFF_MAX);
    const size_t bytes = granules_bytes(granules_for(size));
    RC_ASSERT(bytes >= size);
    RC_ASSERT(bytes - size < GRANULE_BYTES);
}

RC_GTEST_PROP(NumberProperties, OfAGranuleLeadBackToIt, ()) {
    region_near.base = *rc::gen::inRange<uintptr_t>(1, 1 << 20) * REGION_BYTES;
    const uint64_t number = *rc::gen::inRange<uint64_t>(0, NEAR_GRANULES);
    auto granule = static_cast<char *>(region_numbered(number));
    RC_ASSERT(region_number(granule) == number);
    RC_ASSERT(region_near_number(granule) == number);
    RC_ASSERT(region_line_number(granule) == number / LINE_GRANULES);
    RC_ASSERT((region_block(region_of(granule), region_granule(granule)) == granule));
    /* No other address has a number in the near zone. */
    RC_ASSERT(region_near_number(granule + *rc::gen::inRange(1, 16)) >= NEAR_GRANULES);
    const char *end = static_cast<char *>(region_numbered(NEAR_GRANULES - 1)) + GRANULE_BYTES;
    RC_ASSERT(region_near_number(end) >= NEAR_GRANULES);
    RC_ASSERT(region_near_number(reinterpret_cast<char *>(region_near.base) - GRANULE_BYTES) >=
              NEAR_GRANULES);
}

/* ---- quick sets ------------------------------------------------------------------------------ */

RC_GTEST_PROP(QuickProperties, ASetIsAStackFromWhichAnyBlockCanBeTaken, ()) {
    const size_t index = *rc::gen::inRange<size_t>(1, QUICK_SETS);
    struct quick quick = {};
    quick.fill = quick_empty(index);
    std::vector<uint32_t> model;
    uint32_t next = 1;
    for (unsigned choice :
         *rc::gen::container<std::vector<unsigned>>(rc::gen::inRange<unsigned>(0, 1000))) {
        if (choice % 3 != 0 && quick_has_room(quick.fill)) {
            quick_push(&quick, next);
            model.push_back(next++);
        } else if (choice % 2 == 0 && !model.empty()) {
            quick_pop(&quick);
            model.pop_back();
        } else if (!model.empty()) {
            const size_t which = choice % model.size();
            quick_remove_at(&quick, quick_find(&quick, index, model[which]));
            model.erase(model.begin() + static_cast<ptrdiff_t>(which));
        }
        RC_ASSERT(quick_count(&quick, index) == model.size());
        RC_ASSERT(model.size() <= quick_capacity(index));
        RC_ASSERT((quick.top == 0) == model.empty());
        for (size_t i = 0; i < model.size(); i++)
            RC_ASSERT(quick_number(&quick, quick_empty(index) + i) == model[i]);
        RC_ASSERT(quick_find(&quick, index, next) == 0u);
    }
}

/* ---- kept mappings --------------------------------------------------------------------------- */

/* Addresses and lengths are multiples of this, so that extents touch often. */
constexpr size_t UNIT = 64 * KIB;

/* What is kept, and the sums that the limits speak of. */
class Kept {
  public:
    ~Kept() { spare_drop(unmap_); }

    void keep(uintptr_t address, size_t length) {
        peak = std::max(peak, live_ + length);
        const size_t count = spare_keep({address, length}, live_, unmap_);
        if (count == 1 && unmap_[0].address == address) {
            RC_ASSERT(unmap_[0].length == length);
        } else {
            evict(count);
            add(address, length);
        }
        expect_within_limits();
    }
    void take(size_t length) {
        const std::vector<size_t> lengths = all_lengths();
        const struct mapping got = spare_take(length);
        auto fits = std::lower_bound(lengths.begin(), lengths.end(), length);
        if (fits != lengths.end()) {
            RC_ASSERT(got.length == length);
            RC_ASSERT(extents_.count(got.address) == 1u);
            RC_ASSERT(extents_[got.address] == *fits);
        } else if (!lengths.empty() && lengths.back() >= length / 2) {
            RC_ASSERT(got.length == lengths.back());
        } else {
            RC_ASSERT(got.length == 0u);
        }
        remove(got.address, got.length);
        live_ += got.length;
        if (got.length < length) {
            evict(spare_make_room(length - got.length, live_, unmap_));
            live_ += length - got.length;
            expect_within_limits();
        }
    }
    void take_at(uintptr_t address, size_t length) {
        const bool is_there = extents_.count(address) != 0 && extents_[address] >= length;
        RC_ASSERT(spare_take_at(address, length) == is_there);
        if (is_there)
            remove(address, length);
    }
    void give_way(size_t length) {
        live_ += length;
        evict(spare_give_way(live_, unmap_));
        expect_within_limits();
    }
    /* Some live mapping is freed, of which nothing else is known here. */
    void end_life(size_t length) { live_ -= std::min(live_, length); }

    bool overlaps(uintptr_t address, size_t length) const {
        auto next = extents_.lower_bound(address);
        return (next != extents_.end() && next->first < address + length) ||
               (next != extents_.begin() &&
                std::prev(next)->first + std::prev(next)->second > address);
    }

    void expect_agreement() const {
        RC_ASSERT(spare_check() == 0);
        size_t index = 0, sum = 0;
        for (const auto &[address, length] : extents_) {
            const struct mapping extent = spare_extent(index++);
            RC_ASSERT(extent.address == address);
            RC_ASSERT(extent.length == length);
            sum += length;
        }
        RC_ASSERT(spare_extent(index).length == 0u);
        RC_ASSERT(index <= size_t{SPARE_EXTENTS});
        RC_ASSERT(sum <= SPARE_LIMIT);
        const std::vector<size_t> lengths = all_lengths();
        for (size_t length : lengths) {
            RC_ASSERT(spare_holds(length));
            RC_ASSERT(spare_holds(length + 1) == (length < lengths.back()));
        }
    }

  private:
    std::vector<size_t> all_lengths() const {
        std::vector<size_t> lengths;
        for (const auto &extent : extents_)
            lengths.push_back(extent.second);
        std::sort(lengths.begin(), lengths.end());
        return lengths;
    }
    void add(uintptr_t address, size_t length) {
        extents_[address] = length;
        auto next = extents_.find(address + length);
        if (next != extents_.end()) {
            extents_[address] += next->second;
            extents_.erase(next);
        }
        auto here = extents_.find(address);
        if (here != extents_.begin() &&
            std::prev(here)->first + std::prev(here)->second == address) {
            std::prev(here)->second += here->second;
            extents_.erase(here);
        }
    }
    /* Off the front of an extent, or wherever it lies. */
    void remove(uintptr_t address, size_t length) {
        if (length == 0)
            return;
        auto here = std::prev(extents_.upper_bound(address));
        const uintptr_t start = here->first, end = start + here->second;
        RC_ASSERT(start <= address);
        RC_ASSERT(address + length <= end);
        extents_.erase(here);
        if (start < address)
            extents_[start] = address - start;
        if (address + length < end)
            extents_[address + length] = end - address - length;
    }
    /* What is unmapped was kept, the smallest first. */
    void evict(size_t count) {
        for (size_t i = 0; i < count; i++) {
            RC_ASSERT(extents_.count(unmap_[i].address) == 1u);
            RC_ASSERT(extents_[unmap_[i].address] == unmap_[i].length);
            RC_ASSERT(all_lengths().front() == unmap_[i].length);
            extents_.erase(unmap_[i].address);
        }
    }
    void expect_within_limits() const {
        const std::vector<size_t> lengths = all_lengths();
        const size_t sum = std::accumulate(lengths.begin(), lengths.end(), size_t{0});
        const size_t most = std::max(peak, live_);
        RC_ASSERT(sum + live_ <= most + most / 4 + SPARE_BASE);
    }

    std::map<uintptr_t, size_t> extents_;
    struct mapping unmap_[SPARE_EXTENTS + 1];
    size_t live_ = 0;
    static size_t peak; /* is never forgotten */
};
size_t Kept::peak;

RC_GTEST_PROP(SpareProperties, EveryPageIsKeptOrUnmappedOnce, ()) {
    Kept kept;
    const auto choices = *rc::gen::resize(
        400, rc::gen::container<std::vector<uint32_t>>(rc::gen::inRange<uint32_t>(0, 1u << 24)));
    for (uint32_t choice : choices) {
        const uintptr_t address = (100 + choice / 16 % 256) * UNIT;
        const size_t length = (1 + choice / 4096 % 16) * UNIT;
        switch (choice % 16) {
        case 0 ... 6:
            kept.end_life(length);
            if (!kept.overlaps(address, length))
                kept.keep(address, length);
            break;
        case 7 ... 12:
            kept.take(length);
            break;
        case 13:
        case 14:
            kept.take_at(spare_extent(choice / 16 % 8).address, length);
            break;
        default:
            kept.give_way(length);
        }
        kept.expect_agreement();
    }
}

} // namespace
} // namespace osmem
