#include "tools/report/pprof.h"

#include <cmath>
#include <map>
#include <vector>

namespace osmem {

namespace {

// A message of protocol buffers in the making.
class Message {
  public:
    Message &number(unsigned field, uint64_t value) {
        varint(field << 3 | 0);
        varint(value);
        return *this;
    }
    Message &bytes(unsigned field, const std::string &value) {
        varint(field << 3 | 2);
        varint(value.size());
        text_ += value;
        return *this;
    }
    Message &message(unsigned field, const Message &value) { return bytes(field, value.text_); }
    Message &packed(unsigned field, const std::vector<uint64_t> &values) {
        Message inner;
        for (const uint64_t value : values)
            inner.varint(value);
        return message(field, inner);
    }
    const std::string &text() const { return text_; }

  private:
    void varint(uint64_t value) {
        for (; value >= 0x80; value >>= 7)
            text_ += char(uint8_t(value | 0x80));
        text_ += char(value);
    }
    std::string text_;
};

// Numbers things from `first` on, in the order in which they come.
class Numbers {
  public:
    explicit Numbers(uint64_t first) : first_(first) {}
    uint64_t of(const std::string &text, bool *is_new = nullptr) {
        const auto [place, inserted] = numbers_.try_emplace(text, first_ + numbers_.size());
        if (inserted)
            texts_.push_back(text);
        if (is_new != nullptr)
            *is_new = inserted;
        return place->second;
    }
    const std::vector<std::string> &texts() const { return texts_; }

  private:
    const uint64_t first_;
    std::map<std::string, uint64_t> numbers_;
    std::vector<std::string> texts_;
};

// The fields of profile.proto.
enum { SAMPLE_TYPE = 1, SAMPLE, MAPPING, LOCATION, FUNCTION, STRING_TABLE };
enum { TIME_NANOS = 9, DURATION_NANOS, PERIOD_TYPE, PERIOD, DEFAULT_SAMPLE_TYPE = 14 };

class Profile {
  public:
    Profile(const TraceReader &trace, const Analysis &analysis, const Symbols &symbols)
        : trace_(trace), symbols_(symbols) {
        strings_.of("");
        for (const auto &[type, unit] : {std::pair("alloc_objects", "count"),
                                         {"alloc_space", "bytes"},
                                         {"inuse_objects", "count"},
                                         {"inuse_space", "bytes"}})
            profile_.message(SAMPLE_TYPE, value_type(type, unit));
        for (const Site &site : analysis.sites)
            add_sample(site);
        // The first is taken for the program.
        for (const bool program : {true, false})
            for (size_t i = 0; i < trace.modules().size(); i++)
                if ((trace.modules()[i].path == trace.info().program) == program)
                    add_mapping(i);
        profile_.number(TIME_NANOS, trace.info().start_realtime_ns);
        profile_.number(DURATION_NANOS, uint64_t(trace.info().duration_s * 1e9));
        profile_.message(PERIOD_TYPE, value_type("space", "bytes"));
        profile_.number(PERIOD, trace.info().sample_bytes);
        profile_.number(DEFAULT_SAMPLE_TYPE, strings_.of("inuse_space"));
        for (const std::string &text : strings_.texts())
            profile_.bytes(STRING_TABLE, text);
    }
    const std::string &text() const { return profile_.text(); }

  private:
    Message value_type(const std::string &type, const std::string &unit) {
        return Message().number(1, strings_.of(type)).number(2, strings_.of(unit));
    }

    void add_sample(const Site &site) {
        const std::vector<uint64_t> *stack = trace_.stack(site.stack);
        if (stack == nullptr)
            return;
        std::vector<uint64_t> locations;
        for (const uint64_t address : *stack)
            locations.push_back(location(address));
        const auto whole = [](double value) { return uint64_t(std::llround(std::fmax(0, value))); };
        profile_.message(SAMPLE,
                         Message()
                             .packed(1, locations)
                             .packed(2, {whole(site.allocated_blocks), whole(site.allocated_bytes),
                                         whole(site.moment_blocks), whole(site.moment_bytes)}));
    }

    uint64_t location(uint64_t address) {
        const auto [place, is_new] = locations_.try_emplace(address, locations_.size() + 1);
        if (!is_new)
            return place->second;
        Message message;
        message.number(1, place->second);
        if (const int module = Symbols::module_of(trace_, address); module >= 0)
            message.number(2, uint64_t(module) + 1);
        message.number(3, address);
        for (const Frame &frame : symbols_.at(address))
            message.message(4, Message().number(1, function(frame)).number(2, frame.line));
        profile_.message(LOCATION, message);
        return place->second;
    }

    uint64_t function(const Frame &frame) {
        bool is_new;
        const uint64_t number = functions_.of(frame.function + '\0' + frame.file, &is_new);
        if (is_new)
            profile_.message(FUNCTION, Message()
                                           .number(1, number)
                                           .number(2, strings_.of(frame.function))
                                           .number(3, strings_.of(frame.function))
                                           .number(4, strings_.of(frame.file)));
        return number;
    }

    void add_mapping(size_t index) {
        const TraceModule &module = trace_.modules()[index];
        profile_.message(MAPPING, Message()
                                      .number(1, index + 1)
                                      .number(2, module.start)
                                      .number(3, module.start + module.size)
                                      .number(4, module.start - module.bias)
                                      .number(5, strings_.of(module.path))
                                      .number(7, 1));
    }

    const TraceReader &trace_;
    const Symbols &symbols_;
    Message profile_;
    Numbers strings_{0}, functions_{1};
    std::map<uint64_t, uint64_t> locations_;
};

} // namespace

std::string pprof_profile(const TraceReader &trace, const Analysis &analysis,
                          const Symbols &symbols) {
    return Profile(trace, analysis, symbols).text();
}

} // namespace osmem
