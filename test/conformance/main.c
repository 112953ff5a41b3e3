/* main.c - the rules in C. */
#include "test/conformance/rule.h"

int main(int argc, char **argv) {
    static const struct rule *const tables[] = {c_rules, posix_rules, glibc_rules, NULL};
    return rules_main(argc, argv, tables);
}
