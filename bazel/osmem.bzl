"""The C and C++ standards, the warnings and the link options of this project's targets."""

load("@rules_cc//cc:defs.bzl", "cc_library", "cc_test")

_WARNINGS = [
    "-Wall",
    "-Wextra",
    "-Wundef",
    "-Wshadow",
    "-Wpointer-arith",
    "-Wwrite-strings",
    "-Wvla",
]

# Also for who builds osmem in Bazel's default mode, which does not optimise at all.
_OPTIMISATION = select({
    "//bazel:debug": [],
    "//conditions:default": ["-O2"],
})

# C: the allocator and the drop-in.
OSMEM_COPTS = [
    "-std=gnu11",
    # The compiler must not know what our functions are for: it would turn malloc + memset into a call of calloc, inside
    # calloc itself.
    "-fno-builtin-malloc",
    "-fno-builtin-calloc",
    "-fno-builtin-realloc",
    "-fno-builtin-free",
    # The public headers mark what the shared objects export.
    "-fvisibility=hidden",
    # One instruction instead of a call into the dynamic linker, which might allocate.
    "-ftls-model=initial-exec",
    # Bazel's own toolchain keeps the frame pointer; the fast path is short enough to notice.
    "-fomit-frame-pointer",
    # Two neighbouring words written by the fast path are two stores, not a detour through a vector register.
    "-fno-tree-slp-vectorize",
] + _WARNINGS + [
    "-Wstrict-prototypes",
    "-Wmissing-prototypes",
    "-Wold-style-definition",
] + _OPTIMISATION

# C++: suites, benchmarks and tools.
OSMEM_CXXOPTS = ["-std=c++17"] + _WARNINGS + _OPTIMISATION

# A suite that defines __wrap_sbrk and its like sees, and may refuse, every request to the kernel. It works on static
# libraries only. All five have to be defined by the suite.
TEST_WRAP_LINKOPTS = [
    "-Wl,--wrap=" + call
    for call in [
        "sbrk",
        "mmap",
        "munmap",
        "mremap",
        "madvise",
    ]
]

def osmem_library(name, copts = [], **kwargs):
    """A library in C, always static so that calls in it can be wrapped at link time.

    Args:
      name: as of cc_library
      copts: further options after ours
      **kwargs: as of cc_library
    """
    cc_library(
        name = name,
        copts = OSMEM_COPTS + copts,
        linkstatic = True,
        **kwargs
    )

def osmem_test(name, srcs, deps, copts = [], linkopts = [], wrap = False, **kwargs):
    """A GoogleTest suite in C++ with GoogleTest's main.

    Args:
      name: as of cc_test
      srcs: as of cc_test
      deps: as of cc_test; GoogleTest is added
      copts: further options after ours
      linkopts: further options after ours
      wrap: whether the suite defines __wrap_sbrk, __wrap_mmap, __wrap_munmap, __wrap_mremap and __wrap_madvise
      **kwargs: as of cc_test; for the meaning of tags see .ci/run
    """
    cc_test(
        name = name,
        srcs = srcs,
        copts = OSMEM_CXXOPTS + copts,
        linkopts = (TEST_WRAP_LINKOPTS if wrap else []) + linkopts,
        linkstatic = True,
        deps = deps + ["@com_google_googletest//:gtest_main"],
        **kwargs
    )
