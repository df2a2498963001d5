// What runs a model; each program is linked with one that does.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "image.h"

namespace catfish {

class Model {
 public:
  virtual ~Model() = default;

  // The logits of one image, (3, size, size). Throws Failure, whose text completes "the model …".
  virtual std::vector<float> operator()(std::vector<float> image, int size) = 0;

  // The same of an image as it was decoded, for a model with a preprocessing inside.
  virtual std::vector<float> operator()(const Image& pixels) = 0;

  // What the file says of a preprocessing inside, as text. Such a model takes nothing but pixels.
  virtual std::optional<std::string> preprocess() const = 0;

  // What the file says of its classes, as text.
  virtual std::optional<std::string> classes() const = 0;
};

// The model of a file, on this processor. Throws Failure.
std::unique_ptr<Model> load(const std::string& path);

}  // namespace catfish
