"""The repositories of others: the files of Debian's packages where they are installed, a pinned download elsewhere."""

def _system_repository_impl(ctx):
    installed = [path for path in ctx.attr.system_paths if ctx.path(path).exists]
    if len(installed) == len(ctx.attr.system_paths):
        for path, link in ctx.attr.system_paths.items():
            ctx.symlink(path, link)
    else:
        # By position: the last parameter's name differs between releases of Bazel.
        ctx.download_and_extract(
            ctx.attr.urls,
            "",
            ctx.attr.sha256,
            "",
            ctx.attr.strip_prefix,
        )

    # A BUILD file of the download is replaced: one of ours fits both sources and all releases of Bazel.
    if ctx.attr.build_file:
        ctx.file("BUILD.bazel", ctx.read(ctx.attr.build_file))

system_repository = repository_rule(
    implementation = _system_repository_impl,
    attrs = {
        "build_file": attr.label(
            allow_single_file = True,
            doc = "becomes the repository's BUILD.bazel; without it, the files bring their own",
        ),
        "sha256": attr.string(mandatory = True),
        "strip_prefix": attr.string(),
        "system_paths": attr.string_dict(
            mandatory = True,
            doc = "absolute paths of the installed package, each with its place in the repository; all or none count",
        ),
        "urls": attr.string_list(mandatory = True),
    },
)

def bazel_4_repositories():
    """The rules that Bazel 4 would download before it builds anything, in the versions that Debian 12 has."""
    java = "/usr/share/bazel/rules/java/"
    system_repository(
        name = "rules_java",
        sha256 = "34b41ec683e67253043ab1a3d1e8b7c61e4e8edefbcad485381328c934d072fe",
        system_paths = {
            java + "BUILD": "BUILD",
            java + "java": "java",
        },
        urls = ["https://github.com/bazelbuild/rules_java/releases/download/4.0.0/rules_java-4.0.0.tar.gz"],
    )

    system_repository(
        name = "rules_proto",
        sha256 = "66bfdf8782796239d3875d37e7de19b1d94301e8972b3cbd2446b332429b4df1",
        strip_prefix = "rules_proto-4.0.0",
        system_paths = {"/usr/share/bazel/rules/proto/proto": "proto"},
        urls = ["https://github.com/bazelbuild/rules_proto/archive/refs/tags/4.0.0.tar.gz"],
    )

    skylib = "/usr/share/bazel/tools/skylib/"
    system_repository(
        name = "bazel_skylib",
        sha256 = "1c531376ac7e5a180e0237938a2536de0c54d93f5c278634818e0efc952dd56c",
        system_paths = {
            skylib + "BUILD": "BUILD",
            skylib + "bzl_library.bzl": "bzl_library.bzl",
            skylib + "lib": "lib",
            skylib + "rules": "rules",
        },
        urls = ["https://github.com/bazelbuild/bazel-skylib/releases/download/1.0.3/bazel-skylib-1.0.3.tar.gz"],
    )

def test_repositories():
    """What the suites, benchmarks and tools are built with, under the names that most projects use."""
    system_repository(
        name = "com_google_googletest",
        build_file = Label("//third_party:googletest.BUILD"),
        sha256 = "81964fe578e9bd7c94dfdb09c8e4d6e6759e19967e397dbea48d1c10e45d0df2",
        strip_prefix = "googletest-release-1.12.1",
        system_paths = {
            "/usr/src/googletest/googlemock": "googlemock",
            "/usr/src/googletest/googletest": "googletest",
        },
        urls = ["https://github.com/google/googletest/archive/refs/tags/release-1.12.1.tar.gz"],
    )

    system_repository(
        name = "com_github_google_benchmark",
        build_file = Label("//third_party:benchmark.BUILD"),
        sha256 = "6430e4092653380d9dc4ccb45a1e2dc9259d581f4866dc0759713126056bc1d7",
        strip_prefix = "benchmark-1.7.1",
        system_paths = {"/usr/include/benchmark": "include/benchmark"},
        urls = ["https://github.com/google/benchmark/archive/refs/tags/v1.7.1.tar.gz"],
    )

    system_repository(
        name = "rapidcheck",
        build_file = Label("//third_party:rapidcheck.BUILD"),
        sha256 = "4b1f727cc942b04d7e0f6bd8500163d870c3e8ed93d24644397c6685b039314b",
        strip_prefix = "rapidcheck-08b505857e32d52a20b2240b5125d937d67a6d86",
        system_paths = {
            "/usr/include/rapidcheck": "include/rapidcheck",
            "/usr/include/rapidcheck.h": "include/rapidcheck.h",
        },
        urls = ["https://github.com/emil-e/rapidcheck/archive/08b505857e32d52a20b2240b5125d937d67a6d86.zip"],
    )

    system_repository(
        name = "nlohmann_json",
        build_file = Label("//third_party:nlohmann_json.BUILD"),
        sha256 = "d69f9deb6a75e2580465c6c4c5111b89c4dc2fa94e3a85fcd2ffcd9a143d9273",
        strip_prefix = "json-3.11.2",
        system_paths = {"/usr/include/nlohmann": "include/nlohmann"},
        urls = ["https://github.com/nlohmann/json/archive/refs/tags/v3.11.2.tar.gz"],
    )
