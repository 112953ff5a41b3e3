/*
 * The C library's allocation functions and C++'s operators, as a program sees them when osmem
 * serves them. The suite is linked in three ways (see BUILD): with //malloc, with //malloc as a
 * static program, and with libosmem-malloc.so.
 */
#include "utils/osmem.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <malloc.h>
#include <map>
#include <new>
#include <set>
#include <stack>
#include <stdexcept>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

extern "C" {
void cfree(void *);
void free_sized(void *, size_t);
void free_aligned_sized(void *, size_t alignment, size_t);
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t alignment, size_t);
void *__libc_valloc(size_t);
void *__libc_pvalloc(size_t);
void __libc_free(void *);
int __libc_mallopt(int, int);
struct mallinfo __libc_mallinfo(void);
}

namespace {

/* Sizes that the compiler cannot see through, so that it neither warns nor folds. */
volatile size_t impossible = SIZE_MAX;
volatile size_t too_large = static_cast<size_t>(PTRDIFF_MAX) + 1;
volatile size_t zero = 0;
volatile size_t one = 1;

const size_t PAGE = static_cast<size_t>(sysconf(_SC_PAGESIZE));

bool is_aligned(const void *ptr, size_t alignment) {
    return reinterpret_cast<uintptr_t>(ptr) % alignment == 0;
}

/* Whether osmem knows `ptr` as the start of a live block. */
bool is_live(const void *ptr) {
    auto is_the_block = [](const os_block *block, void *context) -> int {
        bool live = block->kind == OS_BLOCK_USED || block->kind == OS_BLOCK_MAPPED;
        return live && block->address == context;
    };
    return os_heap_walk(is_the_block, const_cast<void *>(ptr)) == 1;
}

/* A live block of osmem's, aligned, every usable byte of it writable. */
::testing::AssertionResult is_block(void *ptr, size_t size, size_t alignment = 16) {
    if (ptr == nullptr)
        return ::testing::AssertionFailure() << "NULL, errno " << errno;
    if (!is_aligned(ptr, alignment))
        return ::testing::AssertionFailure() << ptr << " is not aligned to " << alignment;
    if (malloc_usable_size(ptr) < size)
        return ::testing::AssertionFailure() << malloc_usable_size(ptr) << " usable of " << size;
    if (!is_live(ptr))
        return ::testing::AssertionFailure() << ptr << " does not come from osmem";
    std::memset(ptr, 0xa5, malloc_usable_size(ptr));
    return ::testing::AssertionSuccess();
}

/* `allocate` returns NULL with this errno. */
::testing::AssertionResult fails_with(int error, const std::function<void *()> &allocate) {
    errno = 0;
    void *ptr = allocate();
    int got = errno;
    if (ptr != nullptr)
        return ::testing::AssertionFailure() << "a block at " << ptr;
    if (got != error)
        return ::testing::AssertionFailure() << "errno " << got;
    return ::testing::AssertionSuccess();
}

/* Sizes around every place where the allocator may change its mind. */
const std::vector<size_t> SIZES = {1,     7,     8,      15,     16,     17,      31,     32,
                                   33,    48,    100,    1000,   1023,   1024,    1025,   4096,
                                   10000, 32767, 131055, 131072, 131073, 1 << 20, 5 << 20};

} // namespace

/* ---- C --------------------------------------------------------------------------------------- */

TEST(Malloc, ServesEverySizeFromOsmem) {
    for (size_t size : SIZES) {
        void *ptr = malloc(size);
        EXPECT_TRUE(is_block(ptr, size)) << size;
        free(ptr);
    }
}

TEST(Malloc, GivesEachRequestOfZeroABlockOfItsOwn) {
    std::set<void *> blocks;
    for (int i = 0; i < 100; i++) {
        void *ptr = malloc(zero);
        EXPECT_TRUE(is_block(ptr, 1));
        blocks.insert(ptr);
    }
    EXPECT_EQ(blocks.size(), 100u);
    for (void *ptr : blocks)
        free(ptr);
}

TEST(Malloc, RefusesImpossibleSizes) {
    EXPECT_TRUE(fails_with(ENOMEM, [] { return malloc(too_large); }));
    EXPECT_TRUE(fails_with(ENOMEM, [] { return malloc(impossible); }));
}

TEST(Free, AcceptsNullAndKeepsErrno) {
    errno = E2BIG;
    free(nullptr);
    for (size_t size : SIZES) {
        void *ptr = malloc(size);
        errno = E2BIG;
        free(ptr);
        EXPECT_EQ(errno, E2BIG) << size;
    }
}

TEST(Free, EndsTheBlock) {
    void *ptr = malloc(40);
    EXPECT_TRUE(is_live(ptr));
    void *other = ptr;
    free(ptr);
    EXPECT_FALSE(is_live(other));
}

TEST(Cfree, IsFree) {
    void *ptr = malloc(40);
    void *other = ptr;
    cfree(ptr);
    EXPECT_FALSE(is_live(other));
    cfree(nullptr);
}

TEST(Calloc, ClearsMemoryThatWasUsed) {
    for (size_t size : SIZES) {
        std::vector<void *> blocks;
        for (int i = 0; i < 4; i++) {
            blocks.push_back(malloc(size));
            std::memset(blocks.back(), 0xff, size);
        }
        for (void *ptr : blocks)
            free(ptr);
        for (void *&ptr : blocks) {
            ptr = calloc(1, size);
            ASSERT_NE(ptr, nullptr);
            auto *bytes = static_cast<unsigned char *>(ptr);
            EXPECT_EQ(std::count(bytes, bytes + size, 0), static_cast<ptrdiff_t>(size)) << size;
            EXPECT_TRUE(is_block(ptr, size));
        }
        for (void *ptr : blocks)
            free(ptr);
    }
}

TEST(Calloc, GivesABlockWhenAFactorIsZero) {
    void *blocks[] = {calloc(zero, 8), calloc(8, zero), calloc(zero, zero),
                      calloc(zero, impossible), calloc(impossible, zero)};
    for (void *ptr : blocks)
        EXPECT_TRUE(is_block(ptr, 1));
    EXPECT_EQ(std::set<void *>(std::begin(blocks), std::end(blocks)).size(), 5u);
    for (void *ptr : blocks)
        free(ptr);
}

TEST(Calloc, RefusesAnOverflow) {
    EXPECT_TRUE(fails_with(ENOMEM, [] { return calloc(impossible, 2); }));
    EXPECT_TRUE(fails_with(ENOMEM, [] { return calloc(impossible / 2 + 1, 2); }));
    EXPECT_TRUE(fails_with(ENOMEM, [] { return calloc(too_large, 1); }));
}

TEST(Realloc, OfNullIsMalloc) {
    void *ptr = realloc(nullptr, 100);
    EXPECT_TRUE(is_block(ptr, 100));
    free(ptr);
    ptr = realloc(nullptr, zero);
    EXPECT_TRUE(is_block(ptr, 1));
    free(ptr);
}

TEST(Realloc, ToZeroFreesAndReturnsNull) {
    void *ptr = malloc(100);
    void *other = ptr;
    EXPECT_EQ(realloc(ptr, zero), nullptr);
    EXPECT_FALSE(is_live(other));
}

TEST(Realloc, KeepsTheContents) {
    for (size_t from : SIZES) {
        for (size_t to : SIZES) {
            auto *ptr = static_cast<unsigned char *>(malloc(from));
            for (size_t i = 0; i < from; i++)
                ptr[i] = static_cast<unsigned char>(i * 31 + (i >> 8));
            ptr = static_cast<unsigned char *>(realloc(ptr, to));
            ASSERT_NE(ptr, nullptr);
            size_t wrong = 0;
            for (size_t i = 0; i < std::min(from, to); i++)
                wrong += ptr[i] != static_cast<unsigned char>(i * 31 + (i >> 8));
            EXPECT_EQ(wrong, 0u) << from << " to " << to;
            EXPECT_TRUE(is_block(ptr, to));
            free(ptr);
        }
    }
}

TEST(Realloc, LeavesTheBlockWhenItFails) {
    auto *ptr = static_cast<char *>(malloc(100));
    strcpy(ptr, "still here");
    EXPECT_TRUE(fails_with(ENOMEM, [&] { return realloc(ptr, impossible); }));
    EXPECT_STREQ(ptr, "still here");
    EXPECT_TRUE(is_live(ptr));
    free(ptr);
}

TEST(Reallocarray, MultipliesAndRefusesAnOverflow) {
    void *ptr = reallocarray(nullptr, 10, 10);
    EXPECT_TRUE(is_block(ptr, 100));
    EXPECT_TRUE(fails_with(ENOMEM, [&] { return reallocarray(ptr, impossible, 2); }));
    EXPECT_TRUE(is_live(ptr));
    ptr = reallocarray(ptr, 20, 10);
    EXPECT_TRUE(is_block(ptr, 200));
    EXPECT_EQ(reallocarray(ptr, zero, 10), nullptr);
    ptr = reallocarray(nullptr, zero, 10);
    EXPECT_TRUE(is_block(ptr, 1));
    free(ptr);
}

TEST(AlignedAlloc, AlignsToEveryPowerOfTwo) {
    for (size_t alignment = 1; alignment <= 4 << 20; alignment *= 2) {
        for (size_t size : {zero + 0, one * 24, alignment, 3 * alignment + 1}) {
            void *ptr = aligned_alloc(alignment, size);
            EXPECT_TRUE(is_block(ptr, size, alignment)) << alignment << " " << size;
            free(ptr);
        }
    }
}

TEST(AlignedAlloc, GivesEachRequestOfZeroABlockOfItsOwn) {
    void *a = aligned_alloc(64, zero);
    void *b = aligned_alloc(64, zero);
    EXPECT_TRUE(is_block(a, 1, 64));
    EXPECT_TRUE(is_block(b, 1, 64));
    EXPECT_NE(a, b);
    free(a);
    free(b);
}

TEST(AlignedAlloc, RefusesWhatIsNotAPowerOfTwo) {
    for (size_t alignment : {zero + 0, one * 3, one * 24, one * 48, impossible + 0})
        EXPECT_TRUE(fails_with(EINVAL, [&] { return aligned_alloc(alignment, 16); })) << alignment;
}

TEST(AlignedAlloc, RefusesImpossibleSizes) {
    EXPECT_TRUE(fails_with(ENOMEM, [] { return aligned_alloc(64, impossible); }));
    EXPECT_TRUE(fails_with(ENOMEM, [] { return aligned_alloc(64, too_large); }));
    EXPECT_TRUE(fails_with(ENOMEM, [] { return aligned_alloc(too_large, 64); }));
}

TEST(FreeSized, FreesWhatMallocGave) {
    for (size_t size : SIZES) {
        void *ptr = malloc(size);
        void *other = ptr;
        free_sized(ptr, size);
        EXPECT_FALSE(is_live(other)) << size;
        ptr = aligned_alloc(256, size);
        other = ptr;
        free_aligned_sized(ptr, 256, size);
        EXPECT_FALSE(is_live(other)) << size;
    }
    free_sized(malloc(zero), 0);
    free_aligned_sized(aligned_alloc(64, zero), 64, 0);
    free_sized(nullptr, 8);
    free_aligned_sized(nullptr, 8, 8);
}

/* ---- POSIX and BSD --------------------------------------------------------------------------- */

TEST(PosixMemalign, AlignsToEveryPowerOfTwo) {
    for (size_t alignment = sizeof(void *); alignment <= 4 << 20; alignment *= 2) {
        void *ptr = nullptr;
        EXPECT_EQ(posix_memalign(&ptr, alignment, alignment + 40), 0);
        EXPECT_TRUE(is_block(ptr, alignment + 40, alignment)) << alignment;
        free(ptr);
    }
}

TEST(PosixMemalign, ReportsByItsResultAndTouchesNothingElse) {
    int mark = 0;
    void *ptr = &mark;
    errno = E2BIG;
    for (size_t alignment : {zero + 0, one * 1, one * 2, one * 4, one * 12, one * 24})
        EXPECT_EQ(posix_memalign(&ptr, alignment, 16), EINVAL) << alignment;
    EXPECT_EQ(posix_memalign(&ptr, 64, impossible), ENOMEM);
    EXPECT_EQ(posix_memalign(&ptr, 64, too_large), ENOMEM);
    EXPECT_EQ(ptr, &mark);
    EXPECT_EQ(errno, E2BIG);
}

TEST(PosixMemalign, GivesEachRequestOfZeroABlockOfItsOwn) {
    void *a = nullptr;
    void *b = nullptr;
    EXPECT_EQ(posix_memalign(&a, 64, zero), 0);
    EXPECT_EQ(posix_memalign(&b, 64, zero), 0);
    EXPECT_TRUE(is_block(a, 1, 64));
    EXPECT_TRUE(is_block(b, 1, 64));
    EXPECT_NE(a, b);
    free(a);
    free(b);
}

TEST(Memalign, RaisesTheAlignmentToAPowerOfTwo) {
    struct {
        size_t asked, given;
    } cases[] = {{0, 16}, {1, 16}, {3, 16}, {17, 32}, {24, 32}, {100, 128}, {4096, 4096}};
    for (auto &alignment : cases) {
        void *ptr = memalign(alignment.asked, 100);
        EXPECT_TRUE(is_block(ptr, 100, alignment.given)) << alignment.asked;
        free(ptr);
    }
    EXPECT_TRUE(fails_with(EINVAL, [] { return memalign(too_large + 1, 16); }));
    EXPECT_TRUE(fails_with(ENOMEM, [] { return memalign(64, impossible); }));
}

TEST(Valloc, AlignsToPages) {
    for (size_t size : {zero + 0, one * 1, PAGE, PAGE + 1}) {
        void *ptr = valloc(size);
        EXPECT_TRUE(is_block(ptr, size, PAGE)) << size;
        free(ptr);
    }
    EXPECT_TRUE(fails_with(ENOMEM, [] { return valloc(impossible); }));
}

TEST(Pvalloc, GivesWholePages) {
    for (size_t size : {zero + 0, one * 1, PAGE, PAGE + 1}) {
        void *ptr = pvalloc(size);
        size_t pages = size <= PAGE ? 1 : 2;
        EXPECT_TRUE(is_block(ptr, pages * PAGE, PAGE)) << size;
        free(ptr);
    }
    EXPECT_TRUE(fails_with(ENOMEM, [] { return pvalloc(impossible); }));
    EXPECT_TRUE(fails_with(ENOMEM, [] { return pvalloc(too_large - PAGE); }));
}

/* ---- glibc ----------------------------------------------------------------------------------- */

TEST(MallocUsableSize, IsAtLeastWhatWasAskedFor) {
    EXPECT_EQ(malloc_usable_size(nullptr), 0u);
    for (size_t size = 1; size < 5000; size++) {
        void *ptr = malloc(size);
        EXPECT_GE(malloc_usable_size(ptr), size);
        EXPECT_LE(malloc_usable_size(ptr), size + 32);
        free(ptr);
    }
}

TEST(LibcNames, AreTheSameAllocator) {
    void *blocks[] = {__libc_malloc(10),       __libc_calloc(2, 5), __libc_realloc(nullptr, 10),
                      __libc_memalign(64, 10), __libc_valloc(10),   __libc_pvalloc(10)};
    for (void *ptr : blocks) {
        EXPECT_TRUE(is_block(ptr, 10));
        free(ptr);
    }
    void *ptr = malloc(10);
    void *other = ptr;
    __libc_free(ptr);
    EXPECT_FALSE(is_live(other));
    EXPECT_EQ(__libc_mallopt(M_ARENA_MAX, 1), 1);
    EXPECT_GE(__libc_mallinfo().arena, 0);
}

TEST(Mallinfo, AddsUp) {
    struct mallinfo2 before = mallinfo2();
    EXPECT_EQ(before.arena, before.uordblks + before.fordblks);
    EXPECT_LE(before.keepcost, before.fordblks);

    constexpr size_t COUNT = 1000, SIZE = 64, MAPPED = 64 << 20;
    std::vector<void *> blocks(COUNT);
    struct mallinfo2 empty = mallinfo2();
    for (void *&ptr : blocks)
        ptr = malloc(SIZE);
    void *mapped = malloc(MAPPED);
    struct mallinfo2 full = mallinfo2();
    EXPECT_EQ(full.arena, full.uordblks + full.fordblks);
    EXPECT_GE(full.uordblks, empty.uordblks + COUNT * SIZE);
    EXPECT_LE(full.uordblks, empty.uordblks + COUNT * (SIZE + 16) + (full.arena - empty.arena));
    EXPECT_EQ(full.hblks, empty.hblks + 1);
    EXPECT_GE(full.hblkhd, empty.hblkhd + MAPPED);
    EXPECT_EQ(full.smblks + full.fsmblks + full.usmblks, 0u);

    free(mapped);
    for (void *ptr : blocks)
        free(ptr);
    struct mallinfo2 after = mallinfo2();
    EXPECT_EQ(after.arena, after.uordblks + after.fordblks);
    EXPECT_EQ(after.hblks, empty.hblks);
    EXPECT_LE(after.uordblks, full.uordblks - COUNT * SIZE);
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
TEST(Mallinfo, IsTheSameInTheOldWidth) {
    struct mallinfo2 wide = mallinfo2();
    struct mallinfo narrow = mallinfo();
    EXPECT_EQ(narrow.arena, static_cast<int>(wide.arena));
    EXPECT_EQ(narrow.ordblks, static_cast<int>(wide.ordblks));
    EXPECT_EQ(narrow.uordblks, static_cast<int>(wide.uordblks));
    EXPECT_EQ(narrow.fordblks, static_cast<int>(wide.fordblks));
    EXPECT_EQ(narrow.keepcost, static_cast<int>(wide.keepcost));
}
#pragma GCC diagnostic pop

TEST(Mallopt, KnowsTheParametersOfGlibc) {
    for (int parameter :
         {M_MXFAST, M_NLBLKS, M_GRAIN, M_KEEP, M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD,
          M_MMAP_MAX, M_CHECK_ACTION, M_PERTURB, M_ARENA_TEST, M_ARENA_MAX})
        EXPECT_EQ(mallopt(parameter, 1), 1) << parameter;
    EXPECT_EQ(mallopt(-100, 1), 0);
    EXPECT_EQ(mallopt(100, 1), 0);
    void *ptr = malloc(10);
    EXPECT_TRUE(is_block(ptr, 10));
    free(ptr);
}

TEST(MallocTrim, ReturnsABooleanAndKeepsErrno) {
    void *ptr = malloc(100 << 10);
    std::memset(ptr, 1, 100 << 10);
    free(ptr);
    errno = E2BIG;
    int result = malloc_trim(0);
    EXPECT_TRUE(result == 0 || result == 1) << result;
    EXPECT_EQ(errno, E2BIG);
}

TEST(MallocStats, WritesATableToStandardError) {
    testing::internal::CaptureStderr();
    malloc_stats();
    std::string table = testing::internal::GetCapturedStderr();
    for (const char *word : {"allocated", "free", "heap", "mapped", "resident"})
        EXPECT_NE(table.find(word), std::string::npos) << word << " in:\n" << table;
    EXPECT_EQ(table.back(), '\n');
}

namespace {

/*
 * Elements and attributes of what malloc_info writes; fails the test where it is not well-formed.
 */
struct element {
    std::string name;
    std::map<std::string, std::string> attributes;
    std::vector<element> children;

    size_t number(const char *attribute) const { return std::stoull(attributes.at(attribute)); }

    /* The first child of that name whose attribute `type` is `type`. */
    const element &of_type(const std::string &child, const std::string &type) const {
        for (const element &candidate : children) {
            auto it = candidate.attributes.find("type");
            if (candidate.name == child && it != candidate.attributes.end() && it->second == type)
                return candidate;
        }
        throw std::runtime_error("no <" + child + " type=\"" + type + "\">");
    }
};

element parse_xml(const std::string &text) {
    element root;
    std::stack<element *> open;
    open.push(&root);
    size_t at = 0;
    auto expect = [&](bool condition, const char *what) {
        if (!condition)
            throw std::runtime_error(std::string(what) + " at " + text.substr(at, 40));
    };
    auto skip_space = [&] {
        while (at < text.size() && isspace(text[at]))
            at++;
    };
    auto word = [&] {
        size_t start = at;
        while (at < text.size() && isalpha(text[at]))
            at++;
        expect(at > start, "a name is missing");
        return text.substr(start, at - start);
    };
    for (skip_space(); at < text.size(); skip_space()) {
        expect(text[at++] == '<', "text outside of tags");
        if (text[at] == '/') {
            at++;
            expect(word() == open.top()->name, "another element ends");
            expect(text[at++] == '>', "a tag does not end");
            open.pop();
            continue;
        }
        open.top()->children.push_back({word(), {}, {}});
        element &current = open.top()->children.back();
        for (skip_space(); isalpha(text[at]); skip_space()) {
            std::string name = word();
            expect(text.compare(at, 2, "=\"") == 0, "an attribute has no value");
            size_t end = text.find('"', at += 2);
            expect(end != std::string::npos, "a value does not end");
            expect(current.attributes.emplace(name, text.substr(at, end - at)).second, "twice");
            at = end + 1;
        }
        if (text[at] == '/')
            at++;
        else
            open.push(&current);
        expect(text[at++] == '>', "a tag does not end");
    }
    expect(open.size() == 1 && root.children.size() == 1, "elements are left open");
    return root.children.front();
}

std::string malloc_info_text() {
    char *text = nullptr;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    EXPECT_EQ(malloc_info(0, stream), 0);
    fclose(stream);
    std::string result(text, length);
    free(text);
    return result;
}

} // namespace

TEST(MallocInfo, WritesXmlInTheSchemaOfGlibc) {
    std::thread([] { free(malloc(1000)); }).join();
    void *mapped = malloc(64 << 20);
    std::string text = malloc_info_text();
    element root;
    ASSERT_NO_THROW(root = parse_xml(text)) << text;
    free(mapped);

    EXPECT_EQ(root.name, "malloc");
    EXPECT_EQ(root.attributes.at("version"), "1");
    size_t heaps = 0, size = 0, free_bytes = 0;
    for (const element &heap : root.children) {
        if (heap.name != "heap")
            continue;
        EXPECT_EQ(heap.number("nr"), heaps++);
        size += heap.of_type("system", "current").number("size");
        const element &rest = heap.of_type("total", "rest");
        free_bytes += rest.number("size");
        ASSERT_EQ(heap.children.front().name, "sizes");
        size_t listed = 0;
        for (const element &range : heap.children.front().children) {
            EXPECT_EQ(range.name, "size");
            EXPECT_GE(range.number("total"), range.number("from") * range.number("count"));
            EXPECT_LE(range.number("total"), range.number("to") * range.number("count"));
            listed += range.number("count");
        }
        EXPECT_LE(listed, rest.number("count"));
    }
    EXPECT_GE(heaps, 1u);
    EXPECT_EQ(root.of_type("system", "current").number("size"), size);
    EXPECT_EQ(root.of_type("total", "rest").number("size"), free_bytes);
    EXPECT_GE(root.of_type("total", "mmap").number("size"), 64u << 20);
    EXPECT_GE(root.of_type("total", "mmap").number("count"), 1u);
}

TEST(MallocInfo, AcceptsNoOptions) { EXPECT_EQ(malloc_info(1, stdout), EINVAL); }

/* ---- operators ------------------------------------------------------------------------------- */

namespace {

constexpr std::align_val_t ALIGN{256};

struct operator_new {
    const char *name;
    void *(*allocate)(size_t size);
    size_t alignment;
    bool throws;
};

const operator_new NEWS[] = {
    {"new", [](size_t n) { return ::operator new(n); }, 16, true},
    {"new[]", [](size_t n) { return ::operator new[](n); }, 16, true},
    {"new nothrow", [](size_t n) { return ::operator new(n, std::nothrow); }, 16, false},
    {"new[] nothrow", [](size_t n) { return ::operator new[](n, std::nothrow); }, 16, false},
    {"new align", [](size_t n) { return ::operator new(n, ALIGN); }, 256, true},
    {"new[] align", [](size_t n) { return ::operator new[](n, ALIGN); }, 256, true},
    {"new align nothrow", [](size_t n) { return ::operator new(n, ALIGN, std::nothrow); }, 256,
     false},
    {"new[] align nothrow", [](size_t n) { return ::operator new[](n, ALIGN, std::nothrow); }, 256,
     false},
};

struct operator_delete {
    const char *name;
    void (*release)(void *ptr, size_t size);
};

const operator_delete DELETES[] = {
    {"delete", [](void *p, size_t) { ::operator delete(p); }},
    {"delete[]", [](void *p, size_t) { ::operator delete[](p); }},
    {"delete nothrow", [](void *p, size_t) { ::operator delete(p, std::nothrow); }},
    {"delete[] nothrow", [](void *p, size_t) { ::operator delete[](p, std::nothrow); }},
    {"delete sized", [](void *p, size_t n) { ::operator delete(p, n); }},
    {"delete[] sized", [](void *p, size_t n) { ::operator delete[](p, n); }},
    {"delete align", [](void *p, size_t) { ::operator delete(p, ALIGN); }},
    {"delete[] align", [](void *p, size_t) { ::operator delete[](p, ALIGN); }},
    {"delete align nothrow", [](void *p, size_t) { ::operator delete(p, ALIGN, std::nothrow); }},
    {"delete[] align nothrow",
     [](void *p, size_t) { ::operator delete[](p, ALIGN, std::nothrow); }},
    {"delete sized align", [](void *p, size_t n) { ::operator delete(p, n, ALIGN); }},
    {"delete[] sized align", [](void *p, size_t n) { ::operator delete[](p, n, ALIGN); }},
};

/* Restores the new-handler when a test ends. */
struct with_handler {
    explicit with_handler(std::new_handler handler) : previous(std::set_new_handler(handler)) {}
    ~with_handler() { std::set_new_handler(previous); }
    std::new_handler previous;
};

int handler_calls;

} // namespace

TEST(OperatorNew, ServesEveryFormFromOsmem) {
    for (const operator_new &form : NEWS) {
        for (size_t size : SIZES) {
            void *ptr = form.allocate(size);
            EXPECT_TRUE(is_block(ptr, size, form.alignment)) << form.name << " " << size;
            free(ptr);
        }
    }
}

TEST(OperatorNew, GivesEachRequestOfZeroABlockOfItsOwn) {
    for (const operator_new &form : NEWS) {
        void *a = form.allocate(zero);
        void *b = form.allocate(zero);
        EXPECT_TRUE(is_block(a, 1, form.alignment)) << form.name;
        EXPECT_TRUE(is_block(b, 1, form.alignment)) << form.name;
        EXPECT_NE(a, b);
        free(a);
        free(b);
    }
}

TEST(OperatorNew, ThrowsBadAllocOrReturnsNull) {
    for (const operator_new &form : NEWS) {
        for (size_t size : {too_large + 0, impossible + 0}) {
            if (form.throws)
                EXPECT_THROW(form.allocate(size), std::bad_alloc) << form.name;
            else
                EXPECT_EQ(form.allocate(size), nullptr) << form.name;
        }
    }
}

TEST(OperatorNew, AsksTheHandlerUntilItIsGone) {
    for (const operator_new &form : NEWS) {
        handler_calls = 0;
        with_handler handler([] {
            if (++handler_calls == 3)
                std::set_new_handler(nullptr);
        });
        if (form.throws)
            EXPECT_THROW(form.allocate(impossible), std::bad_alloc) << form.name;
        else
            EXPECT_EQ(form.allocate(impossible), nullptr) << form.name;
        EXPECT_EQ(handler_calls, 3) << form.name;
    }
}

TEST(OperatorNew, LetsTheHandlersExceptionPassUnlessNothrow) {
    struct special : std::bad_alloc {};
    with_handler handler([] { throw special(); });
    for (const operator_new &form : NEWS) {
        if (form.throws)
            EXPECT_THROW(form.allocate(impossible), special) << form.name;
        else
            EXPECT_EQ(form.allocate(impossible), nullptr) << form.name;
    }
}

TEST(OperatorNew, UnwindsThroughTheCaller) {
    struct set_at_end {
        bool *flag;
        ~set_at_end() { *flag = true; }
    };
    bool ended = false;
    try {
        set_at_end at_end = {&ended};
        std::vector<char> huge;
        huge.reserve(too_large / 2 - 1);
        huge.reserve(too_large - 1);
        FAIL() << "there is no such memory";
    } catch (const std::bad_alloc &) {
    }
    EXPECT_TRUE(ended);
}

TEST(OperatorDelete, FreesInEveryForm) {
    for (const operator_delete &form : DELETES) {
        for (size_t size : SIZES) {
            void *ptr = ::operator new(size, ALIGN);
            void *other = ptr;
            EXPECT_TRUE(is_live(ptr));
            form.release(ptr, size);
            EXPECT_FALSE(is_live(other)) << form.name << " " << size;
        }
        form.release(nullptr, 8);
    }
}

/* ---- the whole ------------------------------------------------------------------------------- */

TEST(DropInDeathTest, NamesTheFunctionThatTheProgramCalled) {
    void *volatile ptr = malloc(40);
    EXPECT_DEATH(
        {
            free(ptr);
            free(ptr);
        },
        "osmem: free\\(\\): block 0x[0-9a-f]+ ");
    EXPECT_DEATH(static_cast<void>(!realloc(static_cast<char *>(ptr) + 16, 8)),
                 "osmem: realloc\\(\\): block 0x[0-9a-f]+ ");
    int local = 0;
    void *volatile stack = &local;
    EXPECT_DEATH(::operator delete(stack), "osmem: free\\(\\): block 0x[0-9a-f]+ ");
    free(ptr);
}

TEST(DropIn, ServesTheLibrariesToo) {
    char *copy = strdup("copied by the C library");
    EXPECT_TRUE(is_live(copy));
    free(copy);
    char *text = nullptr;
    EXPECT_GT(asprintf(&text, "%s %d", "formatted by the C library", 1), 0);
    EXPECT_TRUE(is_live(text));
    free(text);
    std::string string(100, 'x');
    EXPECT_TRUE(is_live(string.data()));
}

TEST(DropIn, ServesContainersInManyThreads) {
    std::vector<std::thread> threads;
    std::vector<size_t> sums(8);
    for (size_t index = 0; index < sums.size(); index++) {
        threads.emplace_back([&sums, index] {
            std::map<std::string, std::vector<size_t>> map;
            for (size_t i = 0; i < 20000; i++) {
                map[std::to_string(i % 1000) + " is a key of some length"].push_back(i);
                if (i % 3 == 0)
                    map.erase(std::to_string((i * 7) % 1000) + " is a key of some length");
            }
            for (auto &entry : map)
                for (size_t value : entry.second)
                    sums[index] += value;
        });
    }
    for (std::thread &thread : threads)
        thread.join();
    for (size_t sum : sums)
        EXPECT_EQ(sum, sums[0]);
    EXPECT_EQ(os_heap_check(), 0);
}

TEST(DropIn, ServesTheChildOfAFork) {
    std::string before(1000, 'b');
    std::thread busy([] {
        for (int i = 0; i < 100000; i++)
            free(malloc(static_cast<size_t>(i) % 1000));
    });
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        ASSERT_GE(child, 0);
        if (child == 0) {
            before.clear();
            before.shrink_to_fit();
            std::map<int, std::string> map;
            for (int j = 0; j < 1000; j++)
                map[j] = std::string(static_cast<size_t>(j), 'x');
            _exit(map.size() == 1000 ? 0 : 1);
        }
        int status = 0;
        ASSERT_EQ(waitpid(child, &status, 0), child);
        EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
    }
    busy.join();
}
