// What goes wrong, as one sentence for whoever called the program.
#pragma once

#include <stdexcept>

namespace catfish {

// A file or a model cannot be used; the program ends with 3.
struct Failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The command line is wrong; the program ends with 2.
struct Usage : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace catfish
