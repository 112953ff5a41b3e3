// The printf family against the C library's: same characters, same return value, errno where it is
// promised. Comparisons run over generated formats and values; those that are random print their
// seed (OSMEM_TEST_SEED sets it).

#include "utils/printf.h"

#include <cerrno>
#include <cfloat>
#include <climits>
#include <clocale>
#include <csignal>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cwchar>
#include <fcntl.h>
#include <pthread.h>
#include <random>
#include <string>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <thread>
#include <ucontext.h>
#include <unistd.h>
#include <vector>

#include <gtest/gtest.h>

#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"

#if defined(__SANITIZE_ADDRESS__)
#define UNDER_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_SANITIZER 1
#endif
#endif
#ifndef UNDER_SANITIZER
#define UNDER_SANITIZER 0
#endif

// Every call of the C library's allocator in this process is counted, so that a test can demand
// that there was none. (The sanitizer has an allocator of its own.)
static thread_local unsigned long allocations;

#if !UNDER_SANITIZER && defined(__GLIBC__)
extern "C" {
void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *malloc(size_t size) {
    allocations++;
    return __libc_malloc(size);
}
void *calloc(size_t count, size_t size) {
    allocations++;
    return __libc_calloc(count, size);
}
void *realloc(void *block, size_t size) {
    allocations++;
    return __libc_realloc(block, size);
}
}
#endif

namespace {

using std::string;

constexpr size_t LONGEST = 25000; // characters of the longest text compared

char expected_text[LONGEST];
char actual_text[LONGEST];

unsigned seed() {
    static const unsigned value = [] {
        const char *chosen = getenv("OSMEM_TEST_SEED");
        unsigned chosen_or_random =
            chosen ? unsigned(strtoul(chosen, nullptr, 0)) : std::random_device{}();
        printf("OSMEM_TEST_SEED=%u\n", chosen_or_random);
        return chosen_or_random;
    }();
    return value;
}

string shown(const char *text, int length) {
    return length < 0 ? "" : string(text, size_t(length) < LONGEST ? size_t(length) : LONGEST - 1);
}

// Both functions print the same. Cheap when they do, because it is called millions of times.
template <typename... Arguments> bool same(const char *format, Arguments... arguments) {
    int expected = snprintf(expected_text, LONGEST, format, arguments...);
    int actual = os_snprintf(actual_text, LONGEST, format, arguments...);
    if (expected == actual &&
        (expected < 0 || memcmp(expected_text, actual_text, size_t(expected) + 1) == 0))
        return true;
    ADD_FAILURE() << "format \"" << format << "\"\nexpected " << expected << " ["
                  << shown(expected_text, expected) << "]\nactual   " << actual << " ["
                  << shown(actual_text, actual) << "]";
    return false;
}

// As same(), for a field ("%-#12.3", no letters yet), a length and a letter. glibc prints "%#g" of
// 999999.5 as "1.e+06", not with the six digits that C demands; so the alternate form of %g is
// composed here from %e and %f, as C defines it.
template <typename Float>
bool same_float(const string &field, const string &length, char letter, Float value) {
    string format = field + length + letter;
    bool general = letter == 'g' || letter == 'G';
    if (!general || field.find('#') == string::npos || !__builtin_isfinite(value))
        return same(format.c_str(), value);
    size_t point = field.find('.');
    int precision = point == string::npos ? 6 : atoi(field.c_str() + point + 1);
    precision = precision == 0 ? 1 : precision;
    static char scientific[LONGEST];
    snprintf(scientific, LONGEST, ("%.*" + length + "e").c_str(), precision - 1, value);
    int exponent = atoi(strchr(scientific, 'e') + 1);
    bool fixed = exponent >= -4 && exponent < precision;
    string composed =
        field.substr(0, point) + ".*" + length + (fixed ? 'f' : char(letter - 'g' + 'e'));
    int expected = snprintf(expected_text, LONGEST, composed.c_str(),
                            fixed ? precision - 1 - exponent : precision - 1, value);
    int actual = os_snprintf(actual_text, LONGEST, format.c_str(), value);
    if (expected == actual && strcmp(expected_text, actual_text) == 0)
        return true;
    ADD_FAILURE() << "format \"" << format << "\"\nexpected [" << expected_text << "]\nactual   ["
                  << actual_text << "]";
    return false;
}

string printed(const char *format, ...) __attribute__((format(printf, 1, 2)));
string printed(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = os_vsnprintf(actual_text, LONGEST, format, arguments);
    va_end(arguments);
    return length < 0 ? "error" : string(actual_text, size_t(length));
}

// Every combination of flags, of which there are 32.
std::vector<string> all_flags() {
    std::vector<string> result;
    for (unsigned set = 0; set < 32; set++) {
        string flags;
        for (unsigned i = 0; i < 5; i++)
            if (set >> i & 1)
                flags += "-+ #0"[i];
        result.push_back(flags);
    }
    return result;
}

const std::vector<string> WIDTHS = {"", "1", "2", "5", "13", "25", "70"};
const std::vector<string> PRECISIONS = {"", ".", ".0", ".1", ".2", ".6", ".12", ".23", ".67"};

template <typename Visitor> void for_each_field(Visitor visit) {
    for (const string &flags : all_flags())
        for (const string &width : WIDTHS)
            for (const string &precision : PRECISIONS)
                if (!visit("%" + flags + width + precision))
                    return;
}

template <typename Type> bool same_integers(const string &field, const char *length) {
    static const int64_t VALUES[] = {0,       1,       -1,        7,         8,         10,
                                     99,      -100,    127,       128,       -128,      255,
                                     256,     32767,   -32768,    65535,     65536,     123456,
                                     INT_MAX, INT_MIN, INT64_MAX, INT64_MIN, UINT32_MAX};
    for (char conversion : {'d', 'i', 'o', 'u', 'x', 'X'}) {
        string format = field + length + conversion;
        for (int64_t value : VALUES)
            if (!same(format.c_str(), Type(value)))
                return false;
    }
    return true;
}

TEST(PrintfInteger, EqualsTheLibraryForEveryCombination) {
    for_each_field([](const string &field) {
        return same_integers<int>(field, "hh") && same_integers<int>(field, "h") &&
               same_integers<int>(field, "") && same_integers<long>(field, "l") &&
               same_integers<long long>(field, "ll") && same_integers<intmax_t>(field, "j") &&
               same_integers<size_t>(field, "z") && same_integers<ptrdiff_t>(field, "t") &&
               same_integers<long long>(field, "L");
    });
}

TEST(PrintfInteger, EqualsTheLibraryForRandomValues) {
    std::mt19937_64 random(seed());
    for (int i = 0; i < 300000; i++) {
        uint64_t value = random() >> random() % 64;
        if (!same("%ld %lu %lx %lo %#lX %+ld", value, value, value, value, value, value))
            break;
    }
}

int print_list(const char *format, ...) __attribute__((format(printf, 1, 2)));
int print_list(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = os_vprintf(format, arguments);
    va_end(arguments);
    return length;
}

TEST(PrintfOutput, OfAnArgumentListGoesToStandardOutput) {
    int ends[2], saved = dup(STDOUT_FILENO);
    fflush(stdout);
    ASSERT_EQ(pipe(ends), 0);
    dup2(ends[1], STDOUT_FILENO);
    int length = print_list("<%d %s>", 42, "text");
    dup2(saved, STDOUT_FILENO);
    char text[20] = {};
    EXPECT_EQ(read(ends[0], text, sizeof text), 9);
    EXPECT_STREQ(text, "<42 text>");
    EXPECT_EQ(length, 9);
    for (int file : {ends[0], ends[1], saved})
        close(file);
}

// What cannot be written ends the call wherever it is noticed: in digits, in padding, in text.
TEST(PrintfOutput, EndsWhereAWriteFails) {
    const string text(3000, 'x');
    for (const char *format : {"%.3000f|%s", "%-3000.1f|%s", "%3000.10e|%s", "%03000.2f%s"}) {
        errno = 0;
        EXPECT_EQ(os_dprintf(-1, format, 1.0 / 3, text.c_str()), -1) << format;
        EXPECT_EQ(errno, EBADF) << format;
    }
    errno = 0;
    EXPECT_EQ(os_dprintf(-1, "%s%lc%s", text.c_str(), wint_t(0xd800), text.c_str()), -1);
    EXPECT_EQ(errno, EBADF) << "the first error counts";
}

TEST(PrintfInteger, TakesWidthAndPrecisionFromArguments) {
    for (int width : {-30, -5, -1, 0, 1, 5, 30})
        for (int precision : {INT_MIN, -2, -1, 0, 1, 8, 20}) {
            same("[%*.*d]", width, precision, -42);
            same("[%0*.*d]", width, precision, 42);
            same("[%-*.*x]", width, precision, 42u);
            same("[%*d|%.*d]", width, 7, precision, 0);
            same("[%*.*s]", width, precision, "characters");
            same("[%*.*f]", width, precision, 2.5);
        }
}

TEST(PrintfPointer, EqualsTheLibrary) {
    for_each_field([](const string &field) {
        string format = field + "p";
        return same(format.c_str(), nullptr) &&
               same(format.c_str(), static_cast<void *>(expected_text)) &&
               same(format.c_str(), reinterpret_cast<void *>(UINTPTR_MAX)) &&
               same(format.c_str(), reinterpret_cast<void *>(1));
    });
}

TEST(PrintfString, EqualsTheLibraryForEveryCombination) {
    for_each_field([](const string &field) {
        for (const char *text : {"", "a", "twelve chars", "\x80\xff bytes", (const char *)nullptr})
            if (!same((field + "s").c_str(), text))
                return false;
        for (int character : {int('a'), 0, 200, -1, 256 + 'b'})
            if (!same((field + "c").c_str(), character))
                return false;
        return same((field + "%|").c_str());
    });
}

TEST(PrintfString, IsNotReadBeyondThePrecision) {
    std::vector<char> unterminated(5, 'x'); // the sanitizer watches its end
    EXPECT_EQ(printed("%.5s|%.3s", unterminated.data(), unterminated.data()), "xxxxx|xxx");
    std::vector<wchar_t> wide = {L'a', L'\u20ac'};
    EXPECT_EQ(printed("%.4ls|%.1ls|%.2ls", wide.data(), wide.data(), wide.data()), "a\u20ac|a|a");
}

class PrintfWide : public testing::Test {
  protected:
    void SetUp() override {
        if (setlocale(LC_CTYPE, "C.UTF-8") == nullptr)
            GTEST_SKIP() << "no UTF-8 locale to compare with";
    }
    void TearDown() override { setlocale(LC_CTYPE, "C"); }
};

TEST_F(PrintfWide, EqualsTheLibraryInUtf8) {
    for_each_field([](const string &field) {
        for (const wchar_t *text :
             {L"", L"ascii", L"\u00e9\u20ac\U0001f600 and more", (const wchar_t *)nullptr})
            if (!same((field + "ls").c_str(), text) || !same((field + "S").c_str(), text))
                return false;
        for (wint_t character :
             {0u, 65u, 0xe9u, 0x7ffu, 0x800u, 0x20acu, 0xffffu, 0x10000u, 0x10ffffu})
            if (!same((field + "lc").c_str(), character) || !same((field + "C").c_str(), character))
                return false;
        return true;
    });
}

TEST_F(PrintfWide, EveryCharacterIsEncodedOrRefused) {
    for (wint_t character = 0; character <= 0x10ffff; character++) {
        errno = 0;
        if (!same("%lc", character))
            break;
        ASSERT_EQ(errno, character >= 0xd800 && character <= 0xdfff ? EILSEQ : 0);
    }
}

TEST(PrintfWideError, IsEilseq) {
    char text[20];
    for (wint_t character : {0xd800u, 0xdfffu, 0x110000u, 0xffffffffu}) {
        errno = 0;
        EXPECT_EQ(os_snprintf(text, sizeof text, "ab%lc", character), -1);
        EXPECT_EQ(errno, EILSEQ);
        EXPECT_STREQ(text, "ab");
    }
    const wchar_t invalid[] = {L'a', wchar_t(0xd800), 0};
    errno = 0;
    EXPECT_EQ(os_snprintf(text, sizeof text, "%ls", invalid), -1);
    EXPECT_EQ(errno, EILSEQ);
    EXPECT_EQ(printed("%.1ls", invalid), "a"); // not reached
}

// A random conversion specification for floating point, without its closing letters.
string random_field(std::mt19937_64 &random, unsigned precision_limit) {
    string field = "%";
    uint64_t bits = random();
    for (unsigned i = 0; i < 5; i++)
        if ((bits >> 3 * i & 7) == 0)
            field += "-+ #0"[i];
    if ((bits >> 15 & 3) == 0)
        field += std::to_string((bits >> 17) % 50 + 1);
    if ((bits >> 30 & 3) != 0)
        field += "." + std::to_string((bits >> 32) % precision_limit);
    return field;
}

double double_of(uint64_t bits) {
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

char random_letter(std::mt19937_64 &random) { return "fegaFEGA"[random() % 8]; }

TEST(PrintfDouble, EqualsTheLibraryForRandomBits) {
    std::mt19937_64 random(seed());
    for (int i = 0; i < 700000; i++) {
        string field = random_field(random, 25);
        char letter = random_letter(random);
        if (!same_float(field, "", letter, double_of(random())))
            break;
    }
}

TEST(PrintfDouble, EqualsTheLibraryForRandomBitsAtLongPrecision) {
    std::mt19937_64 random(seed());
    for (int i = 0; i < 50000; i++) {
        string field = random_field(random, 1200);
        char letter = random_letter(random);
        if (!same_float(field, "", letter, double_of(random())))
            break;
    }
}

TEST(PrintfDouble, EqualsTheLibraryForEverydayValues) {
    std::mt19937_64 random(seed());
    for (int i = 0; i < 700000; i++) {
        string field = random_field(random, 20);
        char letter = random_letter(random);
        double value = double(int64_t(random()) >> random() % 64);
        switch (random() % 4) {
        case 0:
            value /= 1024; // ties abound
            break;
        case 1:
            value /= 1000;
            break;
        case 2:
            value *= 1e-20;
            break;
        default:
            break;
        }
        if (!same_float(field, "", letter, value))
            break;
    }
}

TEST(PrintfDouble, EqualsTheLibraryForEveryPairOfFlagsAndPrecision) {
    static const double VALUES[] = {0.0,
                                    -0.0,
                                    1,
                                    -1,
                                    0.5,
                                    1.5,
                                    2.5,
                                    9.5,
                                    99.5,
                                    0.05,
                                    0.25,
                                    9.9999,
                                    99999.5,
                                    999999.5,
                                    1e5,
                                    1e6,
                                    123456,
                                    1234567,
                                    1e-4,
                                    0.00012345,
                                    1e-5,
                                    1e22,
                                    1e23,
                                    0.1,
                                    1e100,
                                    DBL_MAX,
                                    DBL_MIN,
                                    DBL_TRUE_MIN,
                                    9.5367431640625e-07,
                                    HUGE_VAL,
                                    -HUGE_VAL,
                                    __builtin_nan(""),
                                    -__builtin_nan("")};
    for_each_field([](const string &field) {
        for (char conversion : {'f', 'e', 'g', 'a', 'G', 'A'})
            for (double value : VALUES)
                if (!same_float(field, "", conversion, value))
                    return false;
        return true;
    });
}

TEST(PrintfDouble, EqualsTheLibraryAtEveryPowerOfTwoAndTen) {
    static const char *FORMATS[] = {"%f", "%.0f",  "%e",      "%.0e", "%.16e",
                                    "%g", "%.17g", "%.1100f", "%a",   "%.3a"};
    std::vector<double> values;
    for (int exponent = -1074; exponent <= 1023; exponent++)
        values.push_back(__builtin_ldexp(1, exponent));
    for (int exponent = -323; exponent <= 308; exponent++)
        values.push_back(strtod(("1e" + std::to_string(exponent)).c_str(), nullptr));
    for (double power : values)
        for (double value :
             {power, __builtin_nextafter(power, 0), __builtin_nextafter(power, HUGE_VAL)})
            for (const char *format : FORMATS)
                if (!same(format, value))
                    return;
}

TEST(PrintfDouble, RoundsExactTiesToEvenAtEveryDigit) {
    for (int numerator = 1; numerator < 4096; numerator++)
        for (int digits = 0; digits <= 12; digits++)
            if (!same("%.*f %.*e %.*g", digits, numerator / 4096.0, digits, numerator / 64.0,
                      digits, numerator / 16.0))
                return;
    EXPECT_EQ(printed("%.0f %.0f %.0f %.0f", 0.5, 1.5, 2.5, 3.5), "0 2 2 4");
    EXPECT_EQ(printed("%.0f", 0.50000000000000011), "1");
}

TEST(PrintfDouble, IsExactAtAnyPrecision) {
    for (double value :
         {DBL_TRUE_MIN, DBL_MIN, DBL_MAX, __builtin_nextafter(DBL_MIN, 0), 0.1, -1 / 3.0})
        for (int precision = 0; precision <= 1200; precision++)
            if (!same("%.*f", precision, value) || !same("%.*e", precision, value) ||
                !same("%.*g", precision, value) ||
                !same_float("%#." + std::to_string(precision), "", 'g', value))
                return;
    EXPECT_EQ(printed("%.1100f", DBL_TRUE_MIN).substr(0, 335),
              "0." + string(323, '0') + "4940656458");
}

long double long_double_of(uint64_t mantissa, uint32_t top) {
    long double value = 0;
#if LDBL_MANT_DIG == 64
    mantissa = (top & 0x7fff) == 0 ? mantissa & ~(1ull << 63) : mantissa | 1ull << 63;
    memcpy(&value, &mantissa, sizeof mantissa);
    memcpy(reinterpret_cast<char *>(&value) + 8, &top, 2);
#elif LDBL_MANT_DIG == 113
    uint64_t bits[2] = {mantissa * 0x9e3779b97f4a7c15u, mantissa >> 16 | uint64_t(top) << 48};
    memcpy(&value, bits, sizeof value);
#else
    value = double_of(mantissa);
    (void)top;
#endif
    return value;
}

TEST(PrintfLongDouble, EqualsTheLibraryForRandomBits) {
    std::mt19937_64 random(seed());
    for (int i = 0; i < 40000; i++) {
        string field = random_field(random, 30);
        char letter = random_letter(random);
        if (!same_float(field, "L", letter, long_double_of(random(), uint32_t(random() & 0xffff))))
            break;
    }
    for (int i = 0; i < 500000; i++) { // near one, where the digits are few
        string field = random_field(random, 30);
        char letter = random_letter(random);
        uint32_t top = uint32_t(0x3fff - 70 + random() % 140) | uint32_t(random() & 0x8000);
        if (!same_float(field, "L", letter, long_double_of(random(), top)))
            break;
    }
}

TEST(PrintfLongDouble, EqualsTheLibraryForSpecialValues) {
    static const long double VALUES[] = {0.0L,
                                         -0.0L,
                                         1,
                                         0.5L,
                                         2.5L,
                                         9.5L,
                                         15.9L,
                                         15.99999L,
                                         1e4000L,
                                         1e-4000L,
                                         LDBL_MAX,
                                         LDBL_MIN,
                                         LDBL_TRUE_MIN,
                                         LDBL_MIN - LDBL_TRUE_MIN,
                                         7.9L * LDBL_TRUE_MIN,
                                         __builtin_infl(),
                                         -__builtin_infl(),
                                         __builtin_nanl("")};
    for (const string &flags : all_flags())
        for (const char *size : {"", ".0", ".1", ".14", "25", "25.3"})
            for (char conversion : {'f', 'e', 'g', 'a', 'A'})
                for (long double value : VALUES)
                    if (!same_float("%" + flags + size, "L", conversion, value))
                        return;
}

TEST(PrintfLongDouble, IsExactAtAnyPrecision) {
    for (long double value : {LDBL_TRUE_MIN, LDBL_MIN, LDBL_MAX, LDBL_MIN - LDBL_TRUE_MIN,
                              __builtin_nextafterl(2 * LDBL_MIN, 0), 0.1L})
        for (int precision :
             {0,    1,    17,    100,   1000,  4930,  4931,  4932,  4940,  4950, 4951,
              4952, 5000, 11513, 11514, 16400, 16444, 16445, 16446, 16494, 17000})
            if (!same("%.*Lf", precision, value) || !same("%.*Le", precision, value) ||
                !same("%.*Lg", precision, value))
                return;
}

#if LDBL_MANT_DIG == 64
TEST(PrintfLongDouble, PatternsThatTheProcessorRejectsAreNan) {
    for (uint32_t top : {1u, 0x3fffu, 0x7fffu}) {
        for (uint64_t mantissa : {uint64_t(0), uint64_t(1), UINT64_MAX >> 1}) {
            long double value = 0;
            memcpy(&value, &mantissa, sizeof mantissa);
            memcpy(reinterpret_cast<char *>(&value) + 8, &top, 2);
            EXPECT_EQ(printed("%Lf %La", value, value), "nan nan") << top << " " << mantissa;
        }
    }
    // A pseudo-denormal is worth the same as the normal number with exponent one.
    long double value = 0;
    uint64_t mantissa = uint64_t(1) << 63;
    memcpy(&value, &mantissa, sizeof mantissa);
    EXPECT_EQ(printed("%Le %La", value, value), printed("%Le %La", LDBL_MIN, LDBL_MIN));
}
#endif

TEST(PrintfMemory, TruncatesAtEverySize) {
    const char *format = "%d:%s:%8.3f:%-6x|%lc%%";
    string whole = printed(format, -12345, "some text", 3.14159, 0xabcu, wint_t(0x20ac));
    for (size_t size = 0; size <= whole.size() + 3; size++) {
        std::vector<char> buffer(size + 1, '#'); // the sanitizer watches its end
        int length = os_snprintf(size ? buffer.data() : nullptr, size, format, -12345, "some text",
                                 3.14159, 0xabcu, wint_t(0x20ac));
        ASSERT_EQ(length, int(whole.size()));
        string wanted = size ? whole.substr(0, size - 1) : "";
        if (size > 0) {
            ASSERT_STREQ(buffer.data(), wanted.c_str());
        }
        ASSERT_EQ(buffer[size], '#');
    }
}

TEST(PrintfMemory, SizeMayBeUnbounded) {
    char text[20];
    EXPECT_EQ(os_snprintf(text, SIZE_MAX, "%s%5d", "abc", 7), 8);
    EXPECT_STREQ(text, "abc    7");
}

TEST(PrintfMemory, KeepsErrno) {
    errno = 1234;
    printed("%d %s %f %Lf %lc", 1, "x", 1e300, 1e4000L, wint_t('x'));
    EXPECT_EQ(errno, 1234);
}

TEST(PrintfCount, IsStoredInEveryLength) {
    struct {
        signed char hh = -1;
        short h = -1;
        int plain = -1;
        long l = -1;
        long long ll = -1;
        intmax_t j = -1;
        ssize_t z = -1;
        ptrdiff_t t = -1;
    } count;
    char text[4];
    EXPECT_EQ(os_snprintf(text, sizeof text, "12345678%hhn9%hn0%n1%ln2%lln3%jn4%zn5%tn", &count.hh,
                          &count.h, &count.plain, &count.l, &count.ll, &count.j, &count.z,
                          &count.t),
              15);
    EXPECT_EQ(count.hh, 8);
    EXPECT_EQ(count.h, 9);
    EXPECT_EQ(count.plain, 10);
    EXPECT_EQ(count.l, 11);
    EXPECT_EQ(count.ll, 12);
    EXPECT_EQ(count.j, 13);
    EXPECT_EQ(count.z, 14);
    EXPECT_EQ(count.t, 15);
}

TEST(PrintfFormat, UnknownConversionsArePrintedAsTheLibraryDoes) {
    for (const char *format :
         {"%y", "a%yb", "%5.3ly", "%-05y", "%05y", "%+ #0y", "% y", "%'y", "%.-5d", "%lhd", "%hllx",
          "%lLd", "%5.y", "%!", "%\x80", "%k%%", "% -k"})
        same(format, 3, 4);
    same("%*.*y %d", 7, 3, 4);
    same("%-*y %d", -7, 4);
    same("");
    same("no conversion");
    same("%%");
}

TEST(PrintfFormat, EndingInsideAConversionIsEinval) {
    for (const char *format : {"ab%", "ab%5", "ab%-", "ab%.", "ab%l", "ab%hh", "ab%.*"}) {
        char text[20] = "?";
        errno = 0;
        EXPECT_EQ(os_snprintf(text, sizeof text, format, 1), -1) << format;
        EXPECT_EQ(errno, EINVAL);
        EXPECT_STREQ(text, "ab");
    }
}

TEST(PrintfOverflow, IsEoverflow) {
    struct {
        const char *format;
        int argument;
    } cases[] = {{"%2147483648d", 1},           {"%.2147483648d", 1},
                 {"%99999999999999999999d", 1}, {"%*d", INT_MIN},
                 {"a%2147483647d", 1},          {"%2147483647da", 1},
                 {"%.2147483647x|", 1},         {"%1073741824d%1073741824d", 1}};
    for (auto &one : cases) {
        char text[4];
        errno = 0;
        EXPECT_EQ(os_snprintf(text, sizeof text, one.format, one.argument, 1), -1) << one.format;
        EXPECT_EQ(errno, EOVERFLOW) << one.format;
    }
    char text[4];
    for (const char *format :
         {"%.2147483647f", "%.2147483647e", "%#.2147483647g", "%.2147483647a"}) {
        errno = 0;
        EXPECT_EQ(os_snprintf(text, sizeof text, format, 1.0), -1) << format;
        EXPECT_EQ(errno, EOVERFLOW) << format;
    }
}

TEST(PrintfOverflow, IntMaxItselfIsPrinted) {
    char text[4];
    EXPECT_EQ(os_snprintf(text, sizeof text, "%2147483647d", 1), INT_MAX);
    EXPECT_EQ(os_snprintf(nullptr, 0, "%2147483646da", 1), INT_MAX);
    EXPECT_EQ(os_snprintf(nullptr, 0, "%.2147483645f", 1.0), INT_MAX);
    EXPECT_EQ(os_snprintf(nullptr, 0, "%.2147483640e", 1.0), INT_MAX - 1);
    EXPECT_EQ(os_snprintf(nullptr, 0, "%.2147483647g", 0.25), 4);
}

// A pair of sockets that keeps each write(2) apart.
class PrintfDescriptor : public testing::Test {
  protected:
    int ends[2];
    void SetUp() override { ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0); }
    void TearDown() override {
        close(ends[0]);
        close(ends[1]);
    }
    std::vector<string> writes() {
        std::vector<string> result;
        std::vector<char> buffer(1 << 17);
        ssize_t length;
        while ((length = recv(ends[1], buffer.data(), buffer.size(), MSG_DONTWAIT)) > 0)
            result.emplace_back(buffer.data(), size_t(length));
        return result;
    }
};

TEST_F(PrintfDescriptor, ALineIsOneWrite) {
    EXPECT_EQ(os_dprintf(ends[0], "%s %d %5.2f %c%%\n", "text", 42, 2.5, 'x'), 17);
    EXPECT_EQ(writes(), std::vector<string>{"text 42  2.50 x%\n"});
}

TEST_F(PrintfDescriptor, NothingIsNoWrite) {
    EXPECT_EQ(os_dprintf(ends[0], "%s", ""), 0);
    EXPECT_TRUE(writes().empty());
}

TEST_F(PrintfDescriptor, LongTextIsFewWrites) {
    string text(60000, 'x');
    EXPECT_EQ(os_dprintf(ends[0], "head %s tail", text.c_str()), 60010);
    std::vector<string> pieces = writes();
    EXPECT_LE(pieces.size(), 3u);
    string whole;
    for (const string &piece : pieces)
        whole += piece;
    EXPECT_EQ(whole, "head " + text + " tail");
}

TEST_F(PrintfDescriptor, TextAtTheBoundOfTheBufferIsWhole) {
    for (int width = 1000; width < 1050; width++) {
        EXPECT_EQ(os_dprintf(ends[0], "%*d%s%05d", width, 1, "abc", 2), width + 8);
        string whole;
        std::vector<string> pieces = writes();
        EXPECT_LE(pieces.size(), 2u);
        for (const string &piece : pieces)
            whole += piece;
        ASSERT_EQ(whole, string(size_t(width) - 1, ' ') + "1abc00002");
    }
}

TEST_F(PrintfDescriptor, TextBeforeAnErrorIsWritten) {
    EXPECT_EQ(os_dprintf(ends[0], "before %lc after", wint_t(0xd800)), -1);
    EXPECT_EQ(writes(), std::vector<string>{"before "});
}

TEST_F(PrintfDescriptor, StandardOutputIsDescriptorOne) {
    fflush(stdout);
    int saved = dup(1);
    ASSERT_EQ(dup2(ends[0], 1), 1);
    int length = os_printf("%s-%d", "out", 1);
    dup2(saved, 1);
    close(saved);
    EXPECT_EQ(length, 5);
    EXPECT_EQ(writes(), std::vector<string>{"out-1"});
}

TEST(PrintfWriteError, IsReturnedWithItsErrno) {
    errno = 0;
    EXPECT_EQ(os_dprintf(-1, "x"), -1);
    EXPECT_EQ(errno, EBADF);

    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    fcntl(ends[1], F_SETFL, O_NONBLOCK);
    errno = 0;
    EXPECT_EQ(os_dprintf(ends[1], "%1000000d", 1), -1);
    EXPECT_EQ(errno, EAGAIN);

    close(ends[0]);
    sighandler_t before = signal(SIGPIPE, SIG_IGN);
    errno = 0;
    EXPECT_EQ(os_dprintf(ends[1], "x"), -1);
    EXPECT_EQ(errno, EPIPE);
    signal(SIGPIPE, before);
    close(ends[1]);

    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    if (full >= 0) {
        errno = 0;
        EXPECT_EQ(os_dprintf(full, "%5000d", 1), -1);
        EXPECT_EQ(errno, ENOSPC);
        close(full);
    }
}

void ignore_alarm(int) {}

TEST(PrintfWrite, GoesOnAfterInterruptionAndPartialWrites) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    struct sigaction action = {};
    struct sigaction before;
    action.sa_handler = ignore_alarm; // without SA_RESTART: write(2) ends early or with EINTR
    sigaction(SIGALRM, &action, &before);
    sigset_t alarms;
    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);

    string received;
    pthread_sigmask(SIG_BLOCK, &alarms, nullptr); // for the reader
    std::thread reader([&] {
        char buffer[5000];
        ssize_t length;
        while ((length = read(ends[0], buffer, sizeof buffer)) > 0) {
            received.append(buffer, size_t(length));
            usleep(500);
        }
    });
    pthread_sigmask(SIG_UNBLOCK, &alarms, nullptr);
    itimerval every = {{0, 300}, {0, 300}};
    setitimer(ITIMER_REAL, &every, nullptr);
    string text(1000000, 'y');
    errno = 77;
    int length = os_dprintf(ends[1], "<%s%200000d>", text.c_str(), 5);
    int errno_after = errno;
    itimerval never = {};
    setitimer(ITIMER_REAL, &never, nullptr);
    close(ends[1]);
    reader.join();
    close(ends[0]);
    sigaction(SIGALRM, &before, nullptr);

    EXPECT_EQ(length, 1200002);
    EXPECT_EQ(errno_after, 77);
    EXPECT_TRUE(received == "<" + text + string(199999, ' ') + "5>");
}

// One call of each kind, for the tests of what they use up.
void print_small(int descriptor) {
    os_dprintf(descriptor, "%-+30ld|%#.20x|%s|%ls|%p|%%", LONG_MIN, 77u, "text", L"wide\u20ac",
               "pointer");
}
void print_double(int descriptor) {
    os_dprintf(descriptor, "%.1100f %.800e %.800g %a", DBL_TRUE_MIN, DBL_MAX, -DBL_MIN, 0.1);
    os_dprintf(descriptor, "%f %.1100g", DBL_MAX, __builtin_nextafter(2 * DBL_MIN, 0));
}
void print_long_double(int descriptor) {
    os_dprintf(descriptor, "%.17000Lf %.12000Le %La", LDBL_TRUE_MIN,
               __builtin_nextafterl(2 * LDBL_MIN, 0), 0.1L);
    os_dprintf(descriptor, "%Lf %.5000Lg", LDBL_MAX, LDBL_MAX);
}

TEST(PrintfHeap, IsNeverTouched) {
    if (UNDER_SANITIZER)
        GTEST_SKIP() << "the sanitizer's allocator is not counted";
    int sink = open("/dev/null", O_WRONLY | O_CLOEXEC);
    unsigned long before = allocations;
    void *volatile block = malloc(1); // volatile: or the compiler drops the pair
    free(block);
    ASSERT_EQ(allocations, before + 1) << "allocations are not counted";
    before = allocations;
    print_small(sink);
    print_double(sink);
    print_long_double(sink);
    os_snprintf(actual_text, LONGEST, "%.17000Lf %10000s", LDBL_MAX, "x");
    EXPECT_EQ(allocations, before);
    close(sink);
}

// The stack that a call uses, measured on a painted stack of its own.
ucontext_t outside, inside;
void (*measured_call)(int);
int measured_descriptor;

void measured_entry() { measured_call(measured_descriptor); }

size_t stack_used(void (*call)(int), int descriptor) {
    static uint64_t stack[8192];
    constexpr uint64_t PAINT = 0x5bd1e995a5a5a5a5;
    call(descriptor); // the dynamic linker has resolved what it must
    for (uint64_t &word : stack)
        word = PAINT;
    measured_call = call;
    measured_descriptor = descriptor;
    getcontext(&inside);
    inside.uc_stack.ss_sp = stack;
    inside.uc_stack.ss_size = sizeof stack;
    inside.uc_link = &outside;
    makecontext(&inside, measured_entry, 0);
    swapcontext(&outside, &inside);
    size_t untouched = 0;
    while (stack[untouched] == PAINT)
        untouched++;
    return sizeof stack - untouched * sizeof stack[0];
}

TEST(PrintfStack, StaysWithinTheBounds) {
    if (UNDER_SANITIZER)
        GTEST_SKIP() << "the sanitizer's frames are larger";
    int sink = open("/dev/null", O_WRONLY | O_CLOEXEC);
    size_t small = stack_used(print_small, sink);
    size_t with_double = stack_used(print_double, sink);
    size_t with_long_double = stack_used(print_long_double, sink);
    close(sink);
    printf("stack: integers and strings %zu, double %zu, long double %zu bytes\n", small,
           with_double, with_long_double);
    // Unoptimised code has larger frames than the header speaks of.
    EXPECT_LE(small, 2048u + 1024u);
    EXPECT_LE(with_double, 3 * 1024u + 1024u);
    EXPECT_LE(with_long_double, 10 * 1024u + 1024u);
}

TEST(PrintfThread, WorksOnTheSmallestStack) {
    if (UNDER_SANITIZER)
        GTEST_SKIP() << "the sanitizer's frames are larger";
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    ASSERT_EQ(pthread_attr_setstacksize(&attributes, size_t(PTHREAD_STACK_MIN)), 0);
    pthread_t thread;
    auto body = [](void *) -> void * {
        int sink = open("/dev/null", O_WRONLY | O_CLOEXEC);
        print_small(sink);
        print_double(sink);
        close(sink);
        return nullptr;
    };
    ASSERT_EQ(pthread_create(&thread, &attributes, body, nullptr), 0);
    pthread_join(thread, nullptr);
    pthread_attr_destroy(&attributes);
}

} // namespace
