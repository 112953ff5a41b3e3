/*
 * containers.cc - what programs in C++ do without a thought of the heap: new and delete by the
 * strings, vectors and maps of the library.
 */
#include <map>
#include <memory>
#include <string>
#include <unordered_map>

#include "benchmark/suite/workload.h"

namespace suite {

namespace {

/* A result that the compiler must not do without. */
void use(std::size_t value) { static volatile std::size_t sink = sink + value; }

std::string word_of(random_source &random) {
    std::string word = "word" + std::to_string(random.below(100000));
    while (random.one_in(2))
        word += "-" + std::to_string(random.below(1000));
    return word;
}

/* A text is made, cut into words, sorted, replaced in part and joined, again and again. */
std::size_t strings(const setting &work) {
    random_source random(2);
    for (std::size_t round = 0; round < work.times(20); round++) {
        std::string text;
        for (int i = 0; i < 20000; i++)
            text += word_of(random) + " ";
        std::vector<std::string> words;
        for (std::size_t at = 0, next; (next = text.find(' ', at)) != text.npos; at = next + 1)
            words.push_back(text.substr(at, next - at));
        std::sort(words.begin(), words.end());
        for (std::string &word : words) {
            if (random.one_in(4))
                word = "a longer one in place of " + word;
        }
        std::string joined;
        for (const std::string &word : words)
            joined = joined.size() > 64 * KIB ? word : std::move(joined) + word;
        use(joined.size());
    }
    return 0;
}

/* Vectors of vectors that grow by push_back, are copied, moved and thrown away. */
std::size_t vectors(const setting &work) {
    random_source random(3);
    std::vector<std::vector<std::size_t>> rows(2000);
    for (std::size_t i = 0; i < work.times(30000000); i++) {
        std::vector<std::size_t> &row = rows[random.below(rows.size())];
        row.push_back(i);
        if (random.one_in(5000))
            rows[random.below(rows.size())] = row;
        if (random.one_in(1000))
            std::vector<std::size_t>().swap(row);
    }
    use(rows[0].size());
    return 0;
}

/* An index of words: nodes of trees and of hash tables with lists of places and owned objects. */
std::size_t maps(const setting &work) {
    struct entry {
        std::vector<std::size_t> places;
        std::unique_ptr<std::string> note;
    };
    random_source random(4);
    std::unordered_map<std::string, entry> index;
    std::map<std::string, std::size_t> counts;
    for (std::size_t i = 0; i < work.times(700000); i++) {
        std::string word = word_of(random);
        entry &found = index[word];
        found.places.push_back(i);
        if (random.one_in(3))
            found.note = std::make_unique<std::string>(word + " and what is to be said of it");
        counts[word.substr(0, 7)]++;
        if (random.one_in(2))
            index.erase(word_of(random));
        if (random.one_in(50))
            counts.erase(counts.begin(), std::next(counts.begin(), 10 < counts.size() ? 10 : 0));
    }
    use(index.size() + counts.size());
    return 0;
}

} // namespace

void append_containers(std::vector<workload> &all) {
    const workload ours[] = {
        {"strings", "single", "C++ strings: texts are made, cut, sorted, joined", strings},
        {"vectors", "single", "C++ vectors of vectors: pushed to, copied, thrown away", vectors},
        {"maps", "single", "C++ maps and hash maps of strings, with vectors and objects", maps},
    };
    all.insert(all.end(), std::begin(ours), std::end(ours));
}

} // namespace suite
