// The names of a model's outputs.
#pragma once

#include <string>
#include <vector>

namespace catfish {

// Names as the server reads them: a JSON array of strings, or with commas between them.
// Throws Failure, whose text completes "the classes …".
std::vector<std::string> parse_classes(const std::string& text);

}  // namespace catfish
