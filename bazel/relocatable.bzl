"""A library and all that it needs of this project as one object file, for linkers that know nothing of Bazel.

What is hidden in a library in the end becomes local here: a program may have a `conf` or a `parse` of its own.
"""

def _relocatable_object_impl(ctx):
    toolchain = ctx.attr._cc_toolchain[cc_common.CcToolchainInfo]
    objects = []
    for dep in ctx.attr.deps:
        for input in dep[CcInfo].linking_context.linker_inputs.to_list():
            for library in input.libraries:
                # Position-independent ones also serve in a shared library.
                objects += [o for o in library.pic_objects or library.objects if o not in objects]
    output = ctx.actions.declare_file(ctx.label.name)
    merged = ctx.actions.declare_file(ctx.label.name + ".merged")

    # A group that another object may stand in for could not have local names. By the compiler, which knows the linker of
    # the machine that it is for.
    ctx.actions.run(
        executable = toolchain.compiler_executable,
        arguments = ["-r", "-nostdlib", "-Wl,--force-group-allocation", "-o", merged.path] + [o.path for o in objects],
        inputs = depset(objects, transitive = [toolchain.all_files]),
        outputs = [merged],
        mnemonic = "MergeObjects",
        use_default_shell_env = True,
    )
    ctx.actions.run(
        executable = toolchain.objcopy_executable,
        arguments = ["--localize-hidden", merged.path, output.path],
        inputs = depset([merged], transitive = [toolchain.all_files]),
        outputs = [output],
        mnemonic = "HideNames",
    )
    return [DefaultInfo(files = depset([output]))]

relocatable_object = rule(
    implementation = _relocatable_object_impl,
    attrs = {
        "deps": attr.label_list(
            doc = "the libraries",
            mandatory = True,
            providers = [CcInfo],
        ),
        "_cc_toolchain": attr.label(default = "@bazel_tools//tools/cpp:current_cc_toolchain"),
    },
    fragments = ["cpp"],
)
