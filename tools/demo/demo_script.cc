#include "tools/demo/demo_script.h"

#include <random>
#include <set>
#include <sstream>

#include "tools/command.h"

namespace osmem {

namespace {

// Larger ones would make the picture of the others too small to see.
constexpr size_t SIZE_MOST = 1 << 20, COUNT_MOST = 5000;

class Parser {
  public:
    explicit Parser(const std::string &file) : file_(file) {}

    std::vector<DemoStep> parse(const std::string &text) {
        std::istringstream lines(text);
        for (std::string line; std::getline(lines, line);) {
            number_++;
            parse_line(line);
        }
        if (steps_.empty())
            throw Failure(file_ + ": no steps");
        return steps_;
    }

  private:
    [[noreturn]] void fail(const std::string &message) const {
        throw Failure(file_ + ":" + std::to_string(number_) + ": " + message);
    }

    void parse_line(const std::string &line) {
        std::istringstream words(line);
        std::string verb;
        if (!(words >> verb) || verb[0] == '#')
            return;
        if (verb == "say") {
            std::string rest;
            std::getline(words >> std::ws, rest);
            say_ += (say_.empty() ? "" : " ") + rest;
            return;
        }
        DemoStep step{line.substr(line.find(verb)), say_, {}};
        say_.clear();
        if (verb == "malloc" || verb == "realloc" || verb == "free")
            step.calls.push_back(parse_call(verb, &words));
        else if (verb == "random")
            step.calls = parse_random(&words);
        else
            fail("'" + verb + "' is none of malloc, realloc, free, random, say");
        std::string more;
        if (words >> more)
            fail("'" + more + "' is too much");
        steps_.push_back(step);
    }

    size_t parse_number(std::istringstream *words, const char *what, size_t most) const {
        std::string word;
        if (!(*words >> word))
            fail(std::string(what) + " is missing");
        if (word.find_first_not_of("0123456789") != std::string::npos || word.size() > 9 ||
            std::stoul(word) < 1 || std::stoul(word) > most)
            fail("'" + word + "': " + what + " is a number from 1 to " + std::to_string(most));
        return std::stoul(word);
    }

    DemoCall parse_call(const std::string &verb, std::istringstream *words) {
        DemoCall call{verb == "malloc" ? DemoCall::MALLOC
                      : verb == "free" ? DemoCall::FREE
                                       : DemoCall::REALLOC,
                      "", 0};
        if (!(*words >> call.name))
            fail("a name is missing");
        if (call.kind != DemoCall::FREE)
            call.size = parse_number(words, "the size", SIZE_MOST);
        if (call.kind == DemoCall::MALLOC && !live_.insert(call.name).second)
            fail("'" + call.name + "' is allocated already");
        if (call.kind == DemoCall::REALLOC && live_.count(call.name) == 0)
            fail("'" + call.name + "' is not allocated");
        if (call.kind == DemoCall::FREE && live_.erase(call.name) == 0)
            fail("'" + call.name + "' is not allocated");
        return call;
    }

    // The blocks have names that no script can give: they stay to its end, or are freed by chance.
    std::vector<DemoCall> parse_random(std::istringstream *words) {
        const size_t count = parse_number(words, "the count", COUNT_MOST);
        const size_t most = parse_number(words, "the largest size", SIZE_MOST);
        std::mt19937_64 random(parse_number(words, "the seed", 999999999));
        std::vector<DemoCall> calls;
        while (calls.size() < count) {
            // About as many live as half of the calls: then malloc and free are in balance.
            if (randoms_.empty() || random() % (count / 2 + 1) >= randoms_.size()) {
                randoms_.push_back("random " + std::to_string(made_++));
                calls.push_back({DemoCall::MALLOC, randoms_.back(), 1 + random() % most});
            } else {
                std::swap(randoms_[random() % randoms_.size()], randoms_.back());
                calls.push_back({DemoCall::FREE, randoms_.back(), 0});
                randoms_.pop_back();
            }
        }
        return calls;
    }

    const std::string file_;
    size_t number_ = 0;
    std::string say_;
    std::set<std::string> live_;
    std::vector<std::string> randoms_;
    size_t made_ = 0;
    std::vector<DemoStep> steps_;
};

} // namespace

std::vector<DemoStep> demo_parse(const std::string &text, const std::string &file) {
    return Parser(file).parse(text);
}

const char DEMO_SCRIPT[] =
    R"(say Blocks are cut off the untouched end while nothing is free. Sizes are whole granules of 16 bytes.
malloc a 200
malloc b 100
malloc c 300
malloc d 150
malloc e 200
malloc f 90

say A free marks the block, and writes nothing into it.
free b
free d

say Best fit: the smallest free block that holds the request. Split: what it does not need stays free.
malloc g 50
malloc h 150

say Coalesce: when no free block holds a request, free neighbours become one before the end is touched.
free g
malloc i 100

say Reallocation in place: a block grows over the free block behind it, no further than needed.
free e
realloc h 250
realloc h 100

say Where the neighbour is in use, it has to move.
realloc c 400

say Policies differ when there is much to choose from: 600 calls of malloc and free.
random 600 400 4
)";

} // namespace osmem
