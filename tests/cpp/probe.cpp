// What the tests ask of the parts of catfish-predict: floats, as they lie in memory, on standard output.
//
//   probe image IMAGE SIZE        the tensor that an image becomes, (3, SIZE, SIZE)
//   probe logits MODEL SIZE       the logits of each tensor (3, SIZE, SIZE) on standard input
#include <cstdio>
#include <iostream>
#include <string>

#include "decode.h"
#include "files.h"
#include "model.h"
#include "preprocess.h"

namespace {

void write(const std::vector<float>& values) { std::fwrite(values.data(), sizeof(float), values.size(), stdout); }

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    return 2;
  }
  const int size = std::stoi(argv[3]);
  try {
    if (std::string(argv[1]) == "image") {
      const auto image = catfish::decode(catfish::read(argv[2]), catfish::resized_side(size));
      write(catfish::preprocess(image, size, {}));
      return 0;
    }
    const auto model = catfish::load(argv[2]);
    std::vector<float> tensor(std::size_t{3} * size * size);
    while (std::fread(tensor.data(), sizeof(float), tensor.size(), stdin) == tensor.size()) {
      write((*model)(tensor, size));
    }
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 3;
  }
}
