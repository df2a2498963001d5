// TorchScript modules, traced, scripted or both, quantized or not, by libTorch.
#include <torch/script.h>

#include <exception>

#include "errors.h"
#include "files.h"
#include "model.h"

namespace catfish {
namespace {

// What torch says of an error in its first line; what follows is a stack, of C++ or of TorchScript.
std::string first_line(const std::exception& error) {
  const std::string text = error.what();
  return text.substr(0, text.find('\n'));
}

std::string first_sentence(const std::exception& error) {
  const std::string line = first_line(error);
  return line.substr(0, line.find(". "));
}

// Torch warns the authors of quantized models that these are deprecated; whoever runs one can do nothing about it.
class Silence : public c10::WarningHandler {
  void process(const c10::Warning&) override {}
};

class TorchModel : public Model {
 public:
  TorchModel(torch::jit::Module module, std::string classes)
      : module_(std::move(module)), classes_(std::move(classes)) {
    module_.eval();
  }

  std::vector<float> operator()(std::vector<float> image, int size) override {
    const c10::InferenceMode guard;
    at::Tensor logits;
    try {
      const auto output = module_.forward({torch::from_blob(image.data(), {1, 3, size, size})});
      if (!output.isTensor()) {
        throw Failure("answers with a " + output.tagKind() + ", not with one tensor");
      }
      logits = output.toTensor().to(torch::kFloat32).contiguous();
    } catch (const Failure&) {
      throw;
    } catch (const std::exception& error) {
      throw Failure("fails on an image of " + std::to_string(size) + " pixels: " + reason(error));
    }
    if (logits.dim() != 2 || logits.size(0) != 1) {
      throw Failure("answers with " + std::to_string(logits.dim()) + " dimensions, not with one row of logits");
    }
    return {logits.data_ptr<float>(), logits.data_ptr<float>() + logits.numel()};
  }

  std::optional<std::string> classes() const override {
    return classes_.empty() ? std::nullopt : std::optional(classes_);
  }

 private:
  // An error in the interpreter begins with where it was, and ends with what it was.
  static std::string reason(const std::exception& error) {
    const std::string text = error.what(), mark = "RuntimeError: ";
    const auto found = text.rfind(mark);
    return found == std::string::npos ? first_line(error)
                                      : text.substr(found + mark.size(), text.find('\n', found) - found - mark.size());
  }

  torch::jit::Module module_;
  std::string classes_;
};

}  // namespace

std::unique_ptr<Model> load(const std::string& path) {
  static Silence silence;
  c10::WarningUtils::set_warning_handler(&silence);
  require(path);
  torch::jit::ExtraFilesMap extra{{"classes", ""}};
  try {
    auto module = torch::jit::load(path, torch::kCPU, extra);
    return std::make_unique<TorchModel>(std::move(module), extra["classes"]);
  } catch (const std::exception& error) {
    throw Failure(path + " is no TorchScript module, or a damaged one: " + first_sentence(error));
  }
}

}  // namespace catfish
