#include "errors.h"

#include <algorithm>
#include <cctype>
#include <sstream>

namespace catfish {
namespace {

// Where the name of an error ends at the start of a line, as in "RuntimeError: what"; npos where there is none.
std::size_t after_name(const std::string& line) {
  const auto part = [](unsigned char byte) { return std::isalnum(byte) || byte == '_' || byte == '.'; };
  const auto end = std::find_if_not(line.begin(), line.end(), part);
  const std::string name(line.begin(), end);
  const bool named = name.ends_with("Error") || name.ends_with("Exception");
  return named && line.compare(name.size(), 2, ": ") == 0 ? name.size() + 2 : std::string::npos;
}

}  // namespace

std::string one_line(const std::string& text) {
  std::string line;
  for (const unsigned char byte : text) {
    if (byte >= 0x20 && byte != 0x7f) {
      line += char(byte);
    } else if (!line.empty() && line.back() != ' ') {
      line += ' ';
    }
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

std::string cause(const std::exception& error) {
  const std::string text = error.what();
  const bool interpreted = text.find("Traceback of TorchScript") != std::string::npos;
  std::string found;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const auto place = after_name(line);
    if (interpreted && place != std::string::npos) {
      found = line.substr(place);
    } else if (found.empty() && !interpreted) {
      found = line;
    }
  }
  const auto place = found.starts_with("[enforce fail at ") ? found.find("] . ") : std::string::npos;
  const std::string line = one_line(place == std::string::npos ? found : found.substr(place + 4));
  return line.empty() ? one_line(text) : line;
}

}  // namespace catfish
