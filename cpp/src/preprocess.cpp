#include "preprocess.h"

#include <cmath>

#include "resize.h"

namespace catfish {

// Python's round() takes a half to the even neighbour, and so does nearbyint().
int resized_side(int image_size) { return int(std::nearbyint(image_size * 256 / 224.0)); }

Bytes planes(const Image& image) {
  const std::size_t size = std::size_t(image.width) * image.height;
  Bytes made(3 * size);
  for (std::size_t pixel = 0; pixel < size; ++pixel) {
    for (std::size_t channel = 0; channel < 3; ++channel) {
      made[channel * size + pixel] = image.pixels[3 * pixel + channel];
    }
  }
  return made;
}

std::vector<float> preprocess(const Image& image, int image_size, const Normalisation& normalisation) {
  const int shorter = resized_side(image_size);
  const bool is_upright = image.width <= image.height;
  // The longer side is cut down, not rounded: that is what torchvision does.
  const int longer = is_upright ? int(double(shorter) * image.height / image.width)
                                : int(double(shorter) * image.width / image.height);
  const Image small = is_upright ? resized(image, shorter, longer) : resized(image, longer, shorter);
  const int left = int(std::nearbyint((small.width - image_size) / 2.0));
  const int top = int(std::nearbyint((small.height - image_size) / 2.0));
  std::vector<float> made;
  made.reserve(std::size_t{3} * image_size * image_size);
  for (int channel = 0; channel < 3; ++channel) {
    for (int y = 0; y < image_size; ++y) {
      for (int x = 0; x < image_size; ++x) {
        const float value = float(small.at(left + x, top + y)[channel]) / 255.0F;
        made.push_back((value - normalisation.mean[channel]) / normalisation.std[channel]);
      }
    }
  }
  return made;
}

}  // namespace catfish
