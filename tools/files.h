/*
 * Whole files, for commands that take or make one.
 */
#ifndef OSMEM_TOOLS_FILES_H
#define OSMEM_TOOLS_FILES_H

#include <string>
#include <vector>

namespace osmem {

// All bytes of a file, of standard input for "-". Failure with its name if it cannot be read.
std::string read_file(const std::string &path);

// Makes a file of the parts, one behind the other. Failure with its name if that is not possible.
void write_file(const std::string &path, const std::vector<std::string> &parts);

} // namespace osmem

#endif
