#pragma once

#include <string>

#include "image.h"

namespace catfish {

// The content of a file. Throws Failure when it cannot be read.
Bytes read(const std::string& path);

// Throws Failure unless there is a file that can be opened.
void require(const std::string& path);

}  // namespace catfish
