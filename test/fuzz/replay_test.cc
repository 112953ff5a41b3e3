/*
 * The fuzz targets without libFuzzer: the committed corpus, and a short random run. The first
 * argument is the folder of the corpus, the second the number of random inputs.
 */
#include "test/core/isolated.h"
#include "test/fuzz/target.h"
#include "test/model/random.h"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <string>
#include <vector>

namespace osmem {

void fuzz_child_ends() {}

namespace {

std::string folder;
size_t random_inputs;

using Input = std::vector<uint8_t>;

std::vector<std::filesystem::path> corpus() {
    std::vector<std::filesystem::path> files;
    for (const auto &entry : std::filesystem::directory_iterator(folder))
        files.push_back(entry.path());
    std::sort(files.begin(), files.end());
    return files;
}

Input read(const std::filesystem::path &path) {
    std::ifstream file(path, std::ios::binary);
    return Input(std::istreambuf_iterator<char>(file), {});
}

/* Where Bazel keeps what a test leaves, so that it can be given to a fuzzer. */
void leave(const Input &input) {
    const char *where = getenv("TEST_UNDECLARED_OUTPUTS_DIR");
    std::string path = std::string(where != nullptr ? where : ".") + "/failed_input";
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char *>(input.data()),
               static_cast<std::streamsize>(input.size()));
    printf("the input is in %s\n", path.c_str());
}

TEST(Fuzz, EveryInputOfTheCorpusIsSurvived) {
    size_t count = 0;
    for (const auto &path : corpus()) {
        Input input = read(path);
        fuzz(input.data(), input.size());
        ASSERT_FALSE(HasFailure()) << path;
        count++;
    }
    EXPECT_GT(count, 10u) << "the corpus is not there";
}

TEST(Fuzz, RandomInputsAreSurvived) {
    Random random(test_seed());
    for (size_t i = 0; i < scaled(random_inputs); i++) {
        Input input(random.spread(4, FUZZ_LONGEST));
        for (uint8_t &byte : input)
            byte = static_cast<uint8_t>(random.next());
        fuzz(input.data(), input.size());
        if (HasFailure()) {
            leave(input);
            return;
        }
    }
}

} // namespace
} // namespace osmem

int main(int count, char **arguments) {
    testing::InitGoogleTest(&count, arguments);
    if (count != 3)
        return 2;
    osmem::folder = arguments[1];
    osmem::random_inputs = strtoull(arguments[2], nullptr, 10);
    return RUN_ALL_TESTS();
}
