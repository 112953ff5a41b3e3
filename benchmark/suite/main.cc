/*
 * main.cc - the program that runs one workload.
 *
 *     workload NAME [SCALE [PARAMETER]]
 *     workload --list                      name, group and comment of each, between tabs
 *
 * SCALE (1) multiplies the work. PARAMETER: the threads of those with several (as many as there
 * are processors, two at least), the MiB of heap_size. It prints its highest sum of live bytes as
 * `live_peak_bytes N` where that is known; the curves print their points.
 */
#include <cstring>

#include "benchmark/suite/workload.h"

namespace suite {

namespace {

int usage() {
    std::fputs("usage: workload NAME [SCALE [PARAMETER]]\n       workload --list\n", stderr);
    return 2;
}

std::vector<workload> workloads_all() {
    std::vector<workload> all;
    append_sequential(all);
    append_containers(all);
    append_threaded(all);
    append_curves(all);
    return all;
}

/* Whether all of `text` is a positive number, which is then in *value. */
bool parse(const char *text, double *value) {
    char *end = nullptr;
    *value = std::strtod(text, &end);
    return end != text && *end == '\0' && *value > 0 && *value <= 1e6;
}

int run(int argc, char **argv) {
    double scale = 1, parameter = std::max(2U, std::thread::hardware_concurrency());
    if (argc < 2 || argc > 4 || (argc > 2 && !parse(argv[2], &scale)) ||
        (argc > 3 && !parse(argv[3], &parameter)))
        return usage();
    bool listing = std::strcmp(argv[1], "--list") == 0;
    for (const workload &each : workloads_all()) {
        if (listing) {
            std::printf("%s\t%s\t%s\n", each.name, each.group, each.comment);
        } else if (std::strcmp(argv[1], each.name) == 0) {
            std::size_t live = each.run({scale, static_cast<unsigned>(parameter)});
            if (live != 0)
                std::printf("live_peak_bytes %zu\n", live);
            return 0;
        }
    }
    if (listing)
        return 0;
    std::fprintf(stderr, "workload: no workload is called '%s'\n", argv[1]);
    return 2;
}

} // namespace

} // namespace suite

int main(int argc, char **argv) { return suite::run(argc, argv); }
