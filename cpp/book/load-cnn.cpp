// The book's second program: loads its CNNNet, which Python saved as TorchScript, and lets it answer once.
//
//   load-cnn MODEL
//
// The image is random as in the book; `catfish-predict` is the program that takes pictures.
#include <torch/script.h>

#include <exception>
#include <iostream>

#include "errors.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "load-cnn: one model is needed: load-cnn MODEL\n";
    return 2;
  }
  try {
    torch::jit::Module module = torch::jit::load(argv[1], torch::kCPU);
    module.eval();
    const c10::InferenceMode guard;
    const at::Tensor output = module.forward({torch::rand({1, 3, 224, 224})}).toTensor();
    std::cout << output << '\n';
  } catch (const std::exception& error) {
    std::cerr << "load-cnn: " << argv[1] << ": " << catfish::cause(error) << '\n';
    return 3;
  }
}
