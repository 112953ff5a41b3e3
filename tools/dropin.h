/*
 * The drop-in library of osmem, libosmem-malloc.so: where it is, and how a library is put in
 * front of a program by LD_PRELOAD.
 */
#ifndef OSMEM_TOOLS_DROPIN_H
#define OSMEM_TOOLS_DROPIN_H

#include <string>

namespace osmem {

// Remembers how the tool was started; to be called before the working directory changes.
void dropin_set_program(const char *argv0);

// The absolute path of a file that comes with the tool, `file` in the repository ("malloc/x.so").
// Looked for in Bazel's runfiles of the tool (beside the program, $RUNFILES_DIR,
// $RUNFILES_MANIFEST_FILE), then next to the program, in ../lib/osmem, as it is installed, and as
// ../`file` of its folder. Failure when it is in none of them.
std::string companion_find(const std::string &file);

// The absolute path of libosmem-malloc.so. Failure as above, or when it is not a library.
std::string dropin_find();

// `path` made absolute, symbolic links resolved. Failure when it is not a shared library that a
// program of this machine can load, or when LD_PRELOAD cannot name it.
std::string preload_library(const std::string &path);

// Puts `library` in front of what LD_PRELOAD names in this process's environment.
void preload_prepend(const std::string &library);

} // namespace osmem

#endif
