#include "tools/files.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>

#include "tools/command.h"

namespace osmem {

std::string read_file(const std::string &path) {
    const auto close = [](FILE *file) { return file == stdin ? 0 : std::fclose(file); };
    const std::unique_ptr<FILE, int (*)(FILE *)> file(
        path == "-" ? stdin : std::fopen(path.c_str(), "re"), close);
    std::string bytes;
    char buffer[64 * 1024];
    size_t size = 0;
    while (file && (size = std::fread(buffer, 1, sizeof buffer, file.get())) > 0)
        bytes.append(buffer, size);
    if (!file || std::ferror(file.get()))
        throw Failure(path + ": " + std::strerror(errno));
    return bytes;
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
