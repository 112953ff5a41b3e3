"""A test, or a program, that is a shell script.

Bazel 4 has sh_test built in, Bazel 9 has it in a module that Bazel 4 cannot load; a rule of our own is shorter than both.
"""

def _script_impl(ctx):
    script = ctx.file.src
    executable = ctx.actions.declare_file(ctx.label.name)
    ctx.actions.symlink(output = executable, target_file = script, is_executable = True)
    runfiles = ctx.runfiles(files = [script] + ctx.files.data)
    for dependency in ctx.attr.data:
        runfiles = runfiles.merge(dependency[DefaultInfo].default_runfiles)
    return [DefaultInfo(executable = executable, runfiles = runfiles)]

_ATTRS = {
    "data": attr.label_list(
        allow_files = True,
        doc = "what the script finds below its working folder, and args may name by $(location …)",
    ),
    "src": attr.label(
        allow_single_file = [".sh"],
        doc = "the script; it has to be executable",
        mandatory = True,
    ),
}

script_test = rule(
    implementation = _script_impl,
    attrs = _ATTRS,
    test = True,
)

# For `bazel run`, which starts it in its runfiles.
script_binary = rule(
    implementation = _script_impl,
    attrs = _ATTRS,
    executable = True,
)
