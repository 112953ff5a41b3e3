"""The allocator with other constants, and programs that explore it."""

load("@rules_cc//cc:defs.bzl", "cc_test")
load("//bazel:osmem.bzl", "OSMEM_CXXOPTS", "TEST_WRAP_LINKOPTS", "osmem_library")

def _tiny_sources_impl(ctx):
    prefix = ctx.label.package + "/" + ctx.label.name
    outputs = [ctx.actions.declare_file(ctx.label.name + "/" + source.short_path) for source in ctx.files.srcs]
    arguments = ctx.actions.args()
    arguments.add(prefix)
    arguments.add(ctx.bin_dir.path + "/" + prefix)
    arguments.add_all(["{}={}".format(name, value) for name, value in ctx.attr.constants.items()])
    arguments.add("--")
    arguments.add_all(ctx.files.srcs)
    ctx.actions.run(
        outputs = outputs,
        inputs = ctx.files.srcs,
        executable = ctx.executable._script,
        arguments = [arguments],
        mnemonic = "TinySources",
    )
    headers = [output for output in outputs if output.extension == "h"]
    return [DefaultInfo(files = depset(outputs)), OutputGroupInfo(headers = depset(headers))]

tiny_sources = rule(
    implementation = _tiny_sources_impl,
    attrs = {
        "constants": attr.string_dict(doc = "values of macros that the sources define once"),
        "srcs": attr.label_list(allow_files = True),
        "_script": attr.label(
            allow_single_file = True,
            cfg = "exec",
            default = "tiny.sh",
            executable = True,
        ),
    },
    doc = "Copies sources, with other constants, to a folder named after the target.",
)

# The smallest region there can be; everything else follows from that, or is chosen so that few blocks already fill a
# set, a line or a page.
_TINY = {
    "HEAP_PREALLOCATION": "4 * KIB",
    "LARGE_MIN": "384",
    "MMAP_THRESHOLD": "64 * KIB",
    "OSMEM_REGION_SHIFT": "16",
    "QUICK_BYTES": "32",
    "QUICK_MAX": "4",
    "QUICK_SHARED": "2",
    "REGION_RESERVE": "6 * KIB",
    "SLAB_GRANULES": "(size_t)64",
    "STALE_LIMIT": "2",
    "STALE_SHIFT": "12",
    "SYSTEM_MARGIN": "64",
}

def explore_test(name, options, constants = {}, **kwargs):
    """A program that visits every state of a small heap.

    Args:
      name: as of cc_test
      options: macros of options.h
      constants: of the core, where they are others than _TINY
      **kwargs: as of cc_test
    """
    sources = name + "_sources"
    tiny_sources(
        name = sources,
        testonly = True,
        srcs = [
            "//osmem:sources",
            "//test/core:internal.h",
            "//utils:sources",
        ],
        constants = dict(_TINY, **constants),
    )
    native.filegroup(
        name = name + "_headers",
        testonly = True,
        srcs = [sources],
        output_group = "headers",
    )
    osmem_library(
        name = name + "_core",
        testonly = True,
        srcs = [sources],
        deps = ["//utils:printf"],
    )
    cc_test(
        name = name,
        srcs = [
            "explore.cc",
            "options.h",
            name + "_headers",
        ],
        copts = OSMEM_CXXOPTS,
        linkopts = TEST_WRAP_LINKOPTS,
        linkstatic = True,
        local_defines = [option + "=" + value for option, value in options.items()] + [
            "TINY_INTERNAL_H=\\\"{}/{}/test/core/internal.h\\\"".format(native.package_name(), sources),
        ],
        deps = [name + "_core"],
        **kwargs
    )
