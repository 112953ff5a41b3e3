# shellcheck shell=bash
# Sourced: writes a large source file, the same each time, for the tests of compilers.

# generate_c FUNCTIONS
generate_c() {
    awk -v functions="$1" 'BEGIN {
        print "#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>"
        for (f = 0; f < functions; f++) {
            printf "struct s%d { int a[%d]; struct s%d *next; double d; char text[%d]; };\n",
                f, 1 + f % 7, f, 1 + f % 31
            printf "static long f%d(struct s%d *s, int n) {\n    long sum = %d;\n", f, f, f
            printf "    for (int i = 0; i < n; i++) {\n        switch ((i * %d) %% 16) {\n", f + 3
            for (c = 0; c < 12; c++)
                printf "        case %d: sum += s->a[%d] * %d + (long)(s->d * i); break;\n", c, c % (1 + f % 7), c * f + 1
            printf "        default: if (s->next) s = s->next; else sum ^= strlen(s->text);\n        }\n    }\n"
            if (f > 0)
                printf "    struct s%d t = {{1}, 0, sum, \"\"};\n    sum += n > 3 ? f%d(&t, n / 2) : 0;\n", f - 1, f - 1
            print "    return sum;\n}"
        }
        printf "int main(int argc, char **argv) {\n    struct s%d s = {{1}, 0, argc, \"\"};\n", functions - 1
        printf "    printf(\"%%ld\\n\", f%d(&s, 12345));\n    return argv == 0;\n}\n", functions - 1
    }'
}

# generate_cxx TYPES
generate_cxx() {
    awk -v types="$1" 'BEGIN {
        print "#include <algorithm>\n#include <iostream>\n#include <map>\n#include <memory>\n#include <string>\n#include <vector>"
        print "template <int N> struct tower { using below = tower<N - 1>; static constexpr unsigned long value = below::value * 31 + N; };"
        print "template <> struct tower<0> { static constexpr unsigned long value = 1; };"
        for (t = 0; t < types; t++) {
            printf "struct type%d { int key; std::string name; bool operator<(const type%d &o) const { return key < o.key; } };\n", t, t
            printf "unsigned long work%d(int n) {\n    std::map<type%d, std::vector<std::unique_ptr<type%d>>> map;\n", t, t, t
            printf "    for (int i = 0; i < n; i++)\n        map[{i %% %d, \"x\"}].push_back(std::make_unique<type%d>(type%d{i, std::to_string(i)}));\n", t + 2, t, t
            printf "    unsigned long sum = tower<%d>::value;\n    for (auto &entry : map) {\n", 100 + t
            printf "        std::sort(entry.second.begin(), entry.second.end(), [](auto &a, auto &b) { return b->key < a->key; });\n"
            print "        for (auto &item : entry.second) sum = sum * 7 + item->key + static_cast<unsigned long>(item->name.size());\n    }\n    return sum;\n}"
        }
        print "int main() {\n    unsigned long sum = 0;"
        for (t = 0; t < types; t++)
            printf "    sum ^= work%d(%d);\n", t, 100 + t
        print "    std::cout << sum << std::endl;\n}"
    }'
}
