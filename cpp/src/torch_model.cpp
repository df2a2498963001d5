// TorchScript modules, traced, scripted or both, quantized or not, by libTorch.
#include <torch/script.h>

#include <exception>

#include "errors.h"
#include "files.h"
#include "model.h"
#include "preprocess.h"

namespace catfish {
namespace {

std::string first_sentence(const std::exception& error) {
  const std::string line = cause(error);
  return line.substr(0, line.find(". "));
}

// Torch warns the authors of quantized models that these are deprecated; whoever runs one can do nothing about it.
class Silence : public c10::WarningHandler {
  void process(const c10::Warning&) override {}
};

class TorchModel : public Model {
 public:
  TorchModel(torch::jit::Module module, std::string classes, std::string preprocess)
      : module_(std::move(module)), classes_(std::move(classes)), preprocess_(std::move(preprocess)) {
    module_.eval();
  }

  std::vector<float> operator()(std::vector<float> image, int size) override {
    return run(torch::from_blob(image.data(), {1, 3, size, size}), std::to_string(size) + " pixels");
  }

  std::vector<float> operator()(const Image& image) override {
    auto pixels = planes(image);
    return run(torch::from_blob(pixels.data(), {1, 3, image.height, image.width}, torch::kUInt8),
               std::to_string(image.width) + " x " + std::to_string(image.height) + " pixels");
  }

  std::optional<std::string> preprocess() const override {
    return preprocess_.empty() ? std::nullopt : std::optional(preprocess_);
  }

  std::optional<std::string> classes() const override {
    return classes_.empty() ? std::nullopt : std::optional(classes_);
  }

 private:
  std::vector<float> run(const at::Tensor& image, const std::string& size) {
    const c10::InferenceMode guard;
    at::Tensor logits;
    try {
      const auto output = module_.forward({image});
      if (!output.isTensor()) {
        throw Failure("answers with a " + output.tagKind() + ", not with one tensor");
      }
      logits = output.toTensor().to(torch::kFloat32).contiguous();
    } catch (const Failure&) {
      throw;
    } catch (const std::exception& error) {
      throw Failure("fails on an image of " + size + ": " + cause(error));
    }
    if (logits.dim() != 2 || logits.size(0) != 1) {
      throw Failure("answers with " + std::to_string(logits.dim()) + " dimensions, not with one row of logits");
    }
    return {logits.data_ptr<float>(), logits.data_ptr<float>() + logits.numel()};
  }

  torch::jit::Module module_;
  std::string classes_, preprocess_;
};

}  // namespace

std::unique_ptr<Model> load(const std::string& path) {
  static Silence silence;
  c10::WarningUtils::set_warning_handler(&silence);
  require(path);
  torch::jit::ExtraFilesMap extra{{"classes", ""}, {"preprocess", ""}};
  try {
    auto module = torch::jit::load(path, torch::kCPU, extra);
    return std::make_unique<TorchModel>(std::move(module), extra["classes"], extra["preprocess"]);
  } catch (const std::exception& error) {
    throw Failure(path + " is no TorchScript module, or a damaged one: " + first_sentence(error));
  }
}

}  // namespace catfish
