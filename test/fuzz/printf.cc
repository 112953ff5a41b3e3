/*
 * The printf family against the C library's: any two conversions with text around them and values
 * of the types that they take, into buffers of any size. An input is
 *
 *   2 bytes   the size of the buffer
 *   16 bytes  for each conversion: flags, width, precision, length and letter, a value; text behind
 */
#include "utils/printf.h"

#include "test/fuzz/target.h"

#include <cerrno>
#include <clocale>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <gtest/gtest.h>
#include <string>
#include <variant>
#include <vector>

#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-security"

namespace osmem {

const size_t FUZZ_LONGEST = 2 + 2 * 16;

namespace {

using Value =
    std::variant<int, long, long long, double, long double, const char *, const wchar_t *, void *>;

struct Conversion {
    std::string text; /* as in a format */
    Value value;
};

/*
 * Where glibc does not do as C says: "%#g" of 999999.5 prints "1.e+06", without the zeros that the
 * flag demands. test/utils compares that form with one composed of %e and %f.
 */
bool differs_in_glibc(const std::string &flags, char letter) {
    return (letter == 'g' || letter == 'G') && flags.find('#') != std::string::npos;
}

Value text_of(Bytes &bytes, bool is_wide) {
    static const char *const TEXTS[] = {"", "a", "twelve chars", "\x80\xff bytes", nullptr};
    static const wchar_t *const WIDE[] = {L"", L"ascii", L"\u00e9\u20ac\U0001f600 and more",
                                          L"a\xd800", nullptr};
    return is_wide ? Value(bytes.one_of(WIDE)) : Value(bytes.one_of(TEXTS));
}

/* A value whose bits come from the input, or one that is near a power of ten or two. */
long double number_of(Bytes &bytes, bool is_long) {
    unsigned kind = bytes.byte();
    uint64_t bits = bytes.number();
    int exponent = static_cast<int>(kind / 4) * 10 - 320;
    long double value;
    double plain;
    switch (kind % 4) {
    case 0:
        memcpy(&plain, &bits, sizeof plain);
        return plain;
    case 1:
        return static_cast<long double>(static_cast<int64_t>(bits) >> kind / 4) / 1024;
    case 2:
        value = powl(10, exponent) * static_cast<long double>(bits % 2000);
        break;
    default:
        value = ldexpl(static_cast<long double>(bits), is_long ? exponent * 50 : exponent * 3);
    }
    return is_long ? value : static_cast<double>(value);
}

Conversion conversion(Bytes &bytes) {
    static const char *const PRECISIONS[] = {"", "", ".", ".0", ".1", ".2", ".6", ".17"};
    static const char *const LENGTHS[] = {"", "", "hh", "h", "l", "ll", "j", "z", "t", "L"};
    static const char LETTERS[] = "diouxXcspfFeEgGaA%SCm";
    std::string flags;
    unsigned bits = bytes.byte(), width = bytes.byte(), precision = bytes.byte();
    for (unsigned i = 0; i < 5; i++)
        if (bits >> i & 1)
            flags += "-+ #0"[i];
    std::string length = bytes.one_of(LENGTHS);
    char letter = LETTERS[bytes.byte() % (sizeof LETTERS - 1)];
    if (letter == 'm')
        letter = 'd'; /* %m is glibc's own */
    if (differs_in_glibc(flags, letter))
        letter = 'e';
    std::string text = "%" + flags;
    if (width % 3 == 0)
        text += std::to_string(width % 2 ? width : width * 40);
    text +=
        precision < 200 ? PRECISIONS[precision % 8] : "." + std::to_string(precision * 7 - 1400);
    bool is_float = strchr("fFeEgGaA", letter) != nullptr;
    if (is_float)
        length = length == "L" ? "L" : length == "l" ? "l" : "";
    else if (strchr("csSCp%", letter) != nullptr)
        length = length == "l" && (letter == 'c' || letter == 's') ? "l" : "";
    /* glibc encodes wide characters beyond Unicode, which are an error here. */
    bool is_wide = length == "l" || letter == 'S' || letter == 'C';
    Conversion result = {text + length + letter, 0};
    if (is_float && length == "L")
        result.value = number_of(bytes, true);
    else if (is_float)
        result.value = static_cast<double>(number_of(bytes, false));
    else if (letter == 's' || letter == 'S')
        result.value = text_of(bytes, is_wide);
    else if (letter == 'c' || letter == 'C')
        result.value = static_cast<int>(bytes.number() % (is_wide ? 0x110000 : 0x1000));
    else if (letter == 'p')
        result.value = reinterpret_cast<void *>(bytes.number());
    else if (length == "ll" || length == "L")
        result.value = static_cast<long long>(bytes.number());
    else if (length == "l" || length == "j" || length == "z" || length == "t")
        result.value = static_cast<long>(bytes.number());
    else
        result.value = static_cast<int>(bytes.number());
    return result;
}

struct Printed {
    int length;
    int error;
    std::string text; /* the buffer, as far as it may be written */
};

std::ostream &operator<<(std::ostream &out, const Printed &printed) {
    return out << printed.length << ", errno " << printed.error << ", \"" << printed.text << "\"";
}

bool operator==(const Printed &a, const Printed &b) {
    return a.length == b.length && a.error == b.error && a.text == b.text;
}

using Function = int (*)(char *, size_t, const char *, ...);

template <typename... Values>
Printed print(Function function, size_t size, const char *format, Values... values) {
    std::vector<char> buffer(size, '\x7f');
    errno = 0;
    int length = function(buffer.data(), size, format, values...);
    int error = length < 0 ? errno : 0;
    /* What stands in the buffer after an error is nobody's promise. */
    return {length, error, length < 0 ? "" : std::string(buffer.begin(), buffer.end())};
}

} // namespace

void fuzz(const uint8_t *data, size_t size) {
    static const bool has_utf8 = setlocale(LC_CTYPE, "C.UTF-8") != nullptr;
    Bytes bytes(data, size);
    size_t room = bytes.word() % 3000;
    Conversion first = conversion(bytes), second = conversion(bytes);
    bool is_wide = (first.text + second.text).find_first_of("lSC") != std::string::npos;
    if (is_wide && !has_utf8)
        return;
    std::string format = "<" + first.text + "|" + second.text + ">";
    /* %% takes no argument. */
    if (first.text.back() == '%')
        std::swap(first, second);
    std::visit(
        [&](auto a, auto b) {
            Printed expected = print(snprintf, room, format.c_str(), a, b);
            Printed actual = print(os_snprintf, room, format.c_str(), a, b);
            EXPECT_EQ(actual, expected) << format;
        },
        first.value, second.value);
}

} // namespace osmem
