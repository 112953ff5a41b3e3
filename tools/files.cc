#include "tools/files.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>

#include <sys/stat.h>

#include "tools/command.h"

namespace osmem {

std::string read_file(const std::string &path) {
    const auto close = [](FILE *file) { return file == stdin ? 0 : std::fclose(file); };
    const std::unique_ptr<FILE, int (*)(FILE *)> file(
        path == "-" ? stdin : std::fopen(path.c_str(), "re"), close);
    struct stat status;
    if (file && file.get() != stdin && fstat(fileno(file.get()), &status) == 0 &&
        (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode)))
        throw Failure(path + ": is a device"); // which may have no end
    std::string bytes;
    char buffer[64 * 1024];
    size_t size = 0;
    while (file && (size = std::fread(buffer, 1, sizeof buffer, file.get())) > 0)
        bytes.append(buffer, size);
    if (!file || std::ferror(file.get()))
        throw Failure(path + ": " + std::strerror(errno));
    return bytes;
}

OutputFile open_output(const std::string &name) {
    if (name.empty())
        return nullptr;
    OutputFile file(name == "-" ? stdout : std::fopen(name.c_str(), "we"));
    if (!file)
        throw Failure(name + ": " + std::strerror(errno));
    return file;
}

void write_output(const OutputFile &file, const std::string &name, const std::string &text) {
    if (std::fwrite(text.data(), 1, text.size(), file.get()) != text.size() ||
        std::fflush(file.get()) != 0)
        throw Failure((name == "-" ? "standard output" : name) + ": " + std::strerror(errno));
}

void write_file(const std::string &path, const std::vector<std::string> &parts) {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    for (const std::string &part : parts)
        file.write(part.data(), std::streamsize(part.size()));
    file.close();
    if (!file)
        throw Failure(path + ": " + std::strerror(errno));
}

} // namespace osmem
