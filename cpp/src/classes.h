// What a model's file says in its metadata: the names of its outputs, and a preprocessing inside.
#pragma once

#include <string>
#include <vector>

namespace catfish {

// Names as the server reads them: a JSON array of strings, or with commas between them.
// Throws Failure, whose text completes "the classes …".
std::vector<std::string> parse_classes(const std::string& text);

// Height and width in pixels that the preprocessing inside cuts out, of the text that `catfish export
// --with-preprocess` writes. Throws Failure, whose text completes "the model …".
int parse_preprocess(const std::string& text);

}  // namespace catfish
