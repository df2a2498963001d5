// What goes wrong, as one sentence for whoever called the program.
#pragma once

#include <exception>
#include <stdexcept>
#include <string>

namespace catfish {

// A file or a model cannot be used; the program ends with 3.
struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The command line is wrong; the program ends with 2.
struct Usage : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The text without what would begin another line, or be obeyed by a terminal.
std::string one_line(const std::string& text);

// What a library says went wrong, in one line. The interpreter of TorchScript says where first and what last; elsewhere
// the first line says it, and a stack of C++ follows.
std::string cause(const std::exception& error);

}  // namespace catfish
