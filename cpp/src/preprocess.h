// From a decoded image to the numbers that a model takes, as the model server (catfish_server/inference/preprocess.py).
#pragma once

#include <array>
#include <vector>

#include "image.h"

namespace catfish {

// Mean and standard deviation of red, green and blue, for values in 0..1.
struct Normalisation {
  std::array<float, 3> mean{0.485F, 0.456F, 0.406F};
  std::array<float, 3> std{0.229F, 0.224F, 0.225F};
};

// Pixels of the shorter side before the crop: 256 for 224, and in proportion for others.
int resized_side(int image_size);

// The image as it is: (3, height, width), row by row.
Bytes planes(const Image& image);

// The image resized, its centre cut out, scaled to 0..1 and normalised: (3, image_size, image_size), row by row.
std::vector<float> preprocess(const Image& image, int image_size, const Normalisation& normalisation);

}  // namespace catfish
