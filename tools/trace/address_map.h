/*
 * What lies at an address: a hash table with linear probing, for some ten million look-ups a
 * second.
 *
 * Deletion closes the gap that it leaves (Knuth, vol. 3, 6.4, algorithm R), so nothing is ever left
 * behind. Address 0 is an empty place and cannot be a key.
 */
#ifndef OSMEM_TOOLS_TRACE_ADDRESS_MAP_H
#define OSMEM_TOOLS_TRACE_ADDRESS_MAP_H

#include <cstddef>
#include <cstdint>
#include <vector>

namespace osmem {

template <typename Value> class AddressMap {
  public:
    size_t size() const { return size_; }

    // NULL if there is nothing. Valid until the next change.
    Value *find(uint64_t address) {
        const size_t place = place_of(address);
        return places_[place].address == 0 ? nullptr : &places_[place].value;
    }

    // Replaces what is there.
    void put(uint64_t address, const Value &value) {
        if (size_ >= places_.size() / 2)
            grow();
        Place &place = places_[place_of(address)];
        size_ += place.address == 0;
        place = {address, value};
    }

    void remove(uint64_t address) {
        size_t hole = place_of(address);
        if (places_[hole].address == 0)
            return;
        size_--;
        for (size_t next = following(hole); places_[next].address != 0; next = following(next)) {
            const size_t home = home_of(places_[next].address);
            const bool reachable =
                hole <= next ? home > hole && home <= next : home > hole || home <= next;
            if (reachable)
                continue;
            places_[hole] = places_[next];
            hole = next;
        }
        places_[hole].address = 0;
    }

    template <typename Visit> void each(Visit visit) const {
        for (const Place &place : places_)
            if (place.address != 0)
                visit(place.address, place.value);
    }

  private:
    struct Place {
        uint64_t address = 0;
        Value value{};
    };

    size_t home_of(uint64_t address) const { return (address * 0x9e3779b97f4a7c15u) >> shift_; }
    size_t following(size_t place) const { return (place + 1) & (places_.size() - 1); }

    size_t place_of(uint64_t address) const {
        size_t place = home_of(address);
        while (places_[place].address != 0 && places_[place].address != address)
            place = following(place);
        return place;
    }

    void grow() {
        std::vector<Place> before(places_.size() * 2);
        before.swap(places_);
        shift_--;
        for (const Place &place : before)
            if (place.address != 0)
                places_[place_of(place.address)] = place;
    }

    size_t size_ = 0;
    unsigned shift_ = 64 - 10;
    std::vector<Place> places_ = std::vector<Place>(1024);
};

} // namespace osmem

#endif
