/*
 * The map of a heap as one self-contained HTML page, and several maps as one with a slider.
 */
#ifndef OSMEM_TOOLS_MAP_MAP_PAGE_H
#define OSMEM_TOOLS_MAP_MAP_PAGE_H

#include <map>
#include <string>
#include <vector>

#include "tools/map/snapshot.h"

namespace osmem {

class MapPage {
  public:
    explicit MapPage(const std::string &title) : title_(title) {}

    // The map of a later moment. Of what did not change since an earlier one nothing is kept twice.
    void add(const Snapshot &snapshot);

    // The file, in parts.
    std::vector<std::string> parts() const;

  private:
    const std::string title_;
    std::map<std::string, size_t> known_;      // records, packed, in base64, and their numbers
    std::vector<const std::string *> records_; // by number
    std::vector<std::vector<size_t>> frames_;  // which records each map consists of
};

} // namespace osmem

#endif
