// ONNX models, float32 and int8, by ONNX Runtime.
#include <onnxruntime_cxx_api.h>

#include <array>
#include <cstdint>

#include "errors.h"
#include "files.h"
#include "model.h"
#include "preprocess.h"

namespace catfish {
namespace {

class OnnxModel : public Model {
 public:
  explicit OnnxModel(const std::string& path)
      : environment_(ORT_LOGGING_LEVEL_FATAL, "catfish"), session_(environment_, path.c_str(), Ort::SessionOptions()) {
    classes_ = said("classes");
    preprocess_ = said("preprocess");
    const auto type = preprocess_.empty() ? ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT : ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;
    if (session_.GetInputCount() != 1 ||
        session_.GetInputTypeInfo(0).GetTensorTypeAndShapeInfo().GetElementType() != type) {
      throw Failure(std::string("it does not take one tensor of ") + (preprocess_.empty() ? "float32" : "uint8"));
    }
    Ort::AllocatorWithDefaultOptions allocator;
    input_ = session_.GetInputNameAllocated(0, allocator).get();
    output_ = session_.GetOutputNameAllocated(0, allocator).get();
  }

  std::vector<float> operator()(std::vector<float> image, int size) override {
    const std::array<std::int64_t, 4> shape{1, 3, size, size};
    const auto input = Ort::Value::CreateTensor<float>(memory(), image.data(), image.size(), shape.data(), shape.size());
    return run(input, std::to_string(size) + " pixels");
  }

  std::vector<float> operator()(const Image& image) override {
    auto pixels = planes(image);
    const std::array<std::int64_t, 4> shape{1, 3, image.height, image.width};
    const auto input =
        Ort::Value::CreateTensor<std::uint8_t>(memory(), pixels.data(), pixels.size(), shape.data(), shape.size());
    return run(input, std::to_string(image.width) + " x " + std::to_string(image.height) + " pixels");
  }

  std::optional<std::string> preprocess() const override {
    return preprocess_.empty() ? std::nullopt : std::optional(preprocess_);
  }

  std::optional<std::string> classes() const override {
    return classes_.empty() ? std::nullopt : std::optional(classes_);
  }

 private:
  static Ort::MemoryInfo memory() { return Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault); }

  // A text of the file's metadata, empty where there is none.
  std::string said(const char* name) {
    Ort::AllocatorWithDefaultOptions allocator;
    const auto text = session_.GetModelMetadata().LookupCustomMetadataMapAllocated(name, allocator);
    return text ? text.get() : "";
  }

  std::vector<float> run(const Ort::Value& input, const std::string& size) {
    const char *from = input_.c_str(), *to = output_.c_str();
    std::vector<Ort::Value> outputs;
    try {
      outputs = session_.Run(Ort::RunOptions(), &from, &input, 1, &to, 1);
    } catch (const Ort::Exception& error) {
      throw Failure("fails on an image of " + size + ": " + one_line(error.what()));
    }
    if (!outputs[0].IsTensor()) {
      throw Failure("answers with something else than one tensor");
    }
    const auto info = outputs[0].GetTensorTypeAndShapeInfo();
    const auto found = info.GetShape();
    if (info.GetElementType() != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT || found.size() != 2 || found[0] != 1) {
      throw Failure("does not answer with one row of logits in float32");
    }
    const auto* logits = outputs[0].GetTensorData<float>();
    return {logits, logits + info.GetElementCount()};
  }

  Ort::Env environment_;
  Ort::Session session_;
  std::string input_, output_, classes_, preprocess_;
};

}  // namespace

std::unique_ptr<Model> load(const std::string& path) {
  if (OrtGetApiBase()->GetApi(ORT_API_VERSION) == nullptr) {
    throw Failure(std::string("ONNX Runtime ") + OrtGetApiBase()->GetVersionString() +
                  " is older than the headers that this program was built with");
  }
  require(path);
  try {
    return std::make_unique<OnnxModel>(path);
  } catch (const std::exception& error) {
    throw Failure(path + " is no ONNX model for images, or a damaged one: " + one_line(error.what()));
  }
}

}  // namespace catfish
