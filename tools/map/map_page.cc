#include "tools/map/map_page.h"

#include <cstring>

#include "nlohmann/json.hpp"

namespace osmem {

namespace {

// The page around its data: map_page.html with map_page.css and map_page.js in it.
const char PAGE[] =
#include "tools/map/map_page.inc"
    ;

const char TITLE_MARK[] = "@TITLE@", DATA_MARK[] = "@DATA@";

// Words of 64 bits, without runs of zero: pairs of 32-bit counts, of zeros and of words that follow
// verbatim.
std::string pack(const std::string &bytes) {
    std::vector<uint64_t> words((bytes.size() + 7) / 8);
    std::memcpy(words.data(), bytes.data(), bytes.size());
    std::string packed;
    for (size_t at = 0; at < words.size();) {
        uint32_t counts[2] = {0, 0};
        while (at < words.size() && words[at] == 0)
            at++, counts[0]++;
        const size_t first = at;
        while (at < words.size() && words[at] != 0)
            at++, counts[1]++;
        packed.append(reinterpret_cast<const char *>(counts), sizeof counts);
        packed.append(reinterpret_cast<const char *>(words.data() + first), 8 * counts[1]);
    }
    return packed;
}

std::string base64(const std::string &bytes) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    text.reserve((bytes.size() + 2) / 3 * 4);
    for (size_t at = 0; at < bytes.size(); at += 3) {
        const size_t count = std::min<size_t>(3, bytes.size() - at);
        uint32_t group = 0;
        for (size_t index = 0; index < 3; index++)
            group = group << 8 | (index < count ? uint8_t(bytes[at + index]) : 0);
        for (size_t index = 0; index < 4; index++)
            text += index <= count ? digits[group >> (18 - 6 * index) & 63] : '=';
    }
    return text;
}

// For HTML, in text and in attributes.
std::string escaped(const std::string &text) {
    std::string result;
    for (const char character : text) {
        switch (character) {
        case '<':
            result += "&lt;";
            break;
        case '&':
            result += "&amp;";
            break;
        case '"':
            result += "&quot;";
            break;
        default:
            result += character;
        }
    }
    return result;
}

} // namespace

void MapPage::add(const Snapshot &snapshot) {
    std::vector<size_t> frame;
    for (const std::string &record : snapshot_records(snapshot)) {
        const auto [entry, is_new] = known_.emplace(base64(pack(record)), records_.size());
        if (is_new)
            records_.push_back(&entry->first);
        frame.push_back(entry->second);
    }
    frames_.push_back(frame);
}

std::vector<std::string> MapPage::parts() const {
    const std::string page = PAGE;
    const size_t title = page.find(TITLE_MARK), data = page.find(DATA_MARK);
    std::vector<std::string> parts = {
        page.substr(0, title), escaped(title_),
        page.substr(title + std::strlen(TITLE_MARK), data - title - std::strlen(TITLE_MARK))};
    parts.push_back("{\"frames\":" + nlohmann::json(frames_).dump() + ",\"records\":[");
    for (size_t index = 0; index < records_.size(); index++)
        parts.push_back((index == 0 ? "\"" : ",\"") + *records_[index] + "\"");
    parts.push_back("]}");
    parts.push_back(page.substr(data + std::strlen(DATA_MARK)));
    return parts;
}

} // namespace osmem
