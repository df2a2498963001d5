// The first program of the book's chapter on C++: whether torch is there and works.
#include <torch/torch.h>

#include <iostream>

int main() {
  const torch::Tensor tensor = torch::ones({2, 2});
  std::cout << tensor << '\n';
}
