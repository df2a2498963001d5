#include "classes.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "errors.h"

namespace catfish {
namespace {

std::string stripped(const std::string& name) {
  const auto first = name.find_first_not_of(" \t\r\n"), last = name.find_last_not_of(" \t\r\n");
  return first == std::string::npos ? "" : name.substr(first, last - first + 1);
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> names;
  std::istringstream stream(text);
  for (std::string name; std::getline(stream, name, ',');) {
    names.push_back(name);
  }
  if (text.ends_with(',')) {
    names.emplace_back();
  }
  return names;
}

std::vector<std::string> listed(const std::string& text) {
  if (!text.starts_with('[')) {
    return split(text);
  }
  try {
    return nlohmann::json::parse(text).get<std::vector<std::string>>();
  } catch (const nlohmann::json::exception&) {
    throw Failure("must be a JSON array of strings, or names with commas between them");
  }
}

}  // namespace

std::vector<std::string> parse_classes(const std::string& text) {
  auto names = listed(text);
  std::transform(names.begin(), names.end(), names.begin(), stripped);
  const auto empty = [](const std::string& name) { return name.empty(); };
  if (names.size() < 2 || std::any_of(names.begin(), names.end(), empty)) {
    throw Failure("must be at least two, none of them empty");
  }
  if (std::set<std::string>(names.begin(), names.end()).size() != names.size()) {
    throw Failure("must not hold a name twice");
  }
  const auto control = [](unsigned char byte) { return byte < 0x20 || byte == 0x7f; };
  for (const auto& name : names) {
    if (std::any_of(name.begin(), name.end(), control)) {
      throw Failure("must hold printable characters only");
    }
  }
  return names;
}

int parse_preprocess(const std::string& text) {
  int size = 0;
  try {
    size = nlohmann::json::parse(text).at("image_size").get<int>();
  } catch (const nlohmann::json::exception&) {
    // as any other size that is none
  }
  if (size < 1 || size > 4096) {
    throw Failure("does not say in its metadata how it prepares its images");
  }
  return size;
}

}  // namespace catfish
