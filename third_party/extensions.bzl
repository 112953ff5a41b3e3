"""The repositories of WORKSPACE for MODULE.bazel; a file of its own because Bazel 4 does not know module extensions."""

load(":repositories.bzl", _declare = "test_repositories")

test_repositories = module_extension(implementation = lambda _module_ctx: _declare())
