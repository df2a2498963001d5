#include "files.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "errors.h"

namespace catfish {

void require(const std::string& path) {
  errno = 0;
  if (const std::ifstream file(path, std::ios::binary); !file) {
    throw Failure(path + " cannot be read: " + std::strerror(errno));
  }
  if (std::error_code ignored; std::filesystem::is_directory(path, ignored)) {
    throw Failure(path + " is a directory, not a file");
  }
}

Bytes read(const std::string& path) {
  require(path);
  std::ifstream file(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(file), {});
}

}  // namespace catfish
