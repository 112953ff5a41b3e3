/*
 * Whole files, for commands that take or make one.
 */
#ifndef OSMEM_TOOLS_FILES_H
#define OSMEM_TOOLS_FILES_H

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

namespace osmem {

// All bytes of a file, of standard input for "-". Failure with its name if it cannot be read.
std::string read_file(const std::string &path);

// Makes a file of the parts, one behind the other. Failure with its name if that is not possible.
void write_file(const std::string &path, const std::vector<std::string> &parts);

struct FileCloser {
    void operator()(FILE *file) const {
        if (file != stdout)
            std::fclose(file);
    }
};
using OutputFile = std::unique_ptr<FILE, FileCloser>;

// "-" is standard output, "" nothing. Failure if the file cannot be written.
OutputFile open_output(const std::string &name);

// Writes all of `text`, now. Failure if that is not possible.
void write_output(const OutputFile &file, const std::string &name, const std::string &text);

} // namespace osmem

#endif
