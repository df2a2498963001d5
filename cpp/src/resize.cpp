#include "resize.h"

#include <algorithm>
#include <cmath>

namespace catfish {
namespace {

// Weights are whole numbers with 22 bits after the point: 8 of the pixel and 2 to spare fit into 32.
constexpr int precision = 22;

// What one pixel of the result is made of along one side: `weights` of the pixels from `first` on.
struct Window {
  int first;
  std::vector<std::int32_t> weights;
};

std::vector<Window> windows(int from, int to) {
  const double scale = double(from) / to, width = std::max(scale, 1.0);
  std::vector<Window> made;
  for (int place = 0; place < to; ++place) {
    const double centre = (place + 0.5) * scale;
    const int first = std::max(0, int(centre - width + 0.5));
    const int end = std::min(from, int(centre + width + 0.5));
    std::vector<double> weights;
    double sum = 0;
    for (int pixel = first; pixel < end; ++pixel) {
      weights.push_back(std::max(0.0, 1 - std::abs((pixel - centre + 0.5) * (1 / width))));
      sum += weights.back();
    }
    Window window{first, {}};
    for (const double weight : weights) {
      window.weights.push_back(std::int32_t(0.5 + (sum != 0 ? weight / sum : weight) * (1 << precision)));
    }
    made.push_back(std::move(window));
  }
  return made;
}

// The pixel that a window makes, from its first one on, each `step` bytes after the one before.
void blend(const Window& window, const std::uint8_t* from, std::size_t step, std::uint8_t* to) {
  for (int channel = 0; channel < 3; ++channel) {
    std::int32_t sum = 1 << (precision - 1);
    for (std::size_t number = 0; number < window.weights.size(); ++number) {
      sum += from[number * step + channel] * window.weights[number];
    }
    to[channel] = std::uint8_t(std::clamp(sum >> precision, 0, 255));
  }
}

// A quotient as Pillow's reduce() has it: by a factor in float, so that some end one below the exact one.
std::uint32_t reciprocal(std::uint32_t count) {
  return std::uint32_t(4294967296.0F / float(count * 256));
}

void mean(const Image& image, int left, int top, int factor, std::uint8_t* to) {
  const int right = std::min(left + factor, image.width), bottom = std::min(top + factor, image.height);
  const std::uint32_t count = std::uint32_t(right - left) * std::uint32_t(bottom - top);
  std::uint32_t sums[3] = {count / 2, count / 2, count / 2};
  for (int y = top; y < bottom; ++y) {
    const std::uint8_t* pixel = image.at(left, y);
    for (int x = left; x < right; ++x) {
      for (auto& sum : sums) {
        sum += *pixel++;
      }
    }
  }
  for (const auto sum : sums) {
    *to++ = std::uint8_t((sum * reciprocal(count)) >> 24);
  }
}

}  // namespace

Image reduced(const Image& image, int factor) {
  Image made((image.width + factor - 1) / factor, (image.height + factor - 1) / factor);
  for (int y = 0; y < made.height; ++y) {
    for (int x = 0; x < made.width; ++x) {
      mean(image, x * factor, y * factor, factor, made.at(x, y));
    }
  }
  return made;
}

Image resized(const Image& image, int width, int height) {
  Image narrow(width, image.height);
  const auto across = windows(image.width, width), down = windows(image.height, height);
  for (int y = 0; y < narrow.height; ++y) {
    for (int x = 0; x < width; ++x) {
      blend(across[x], image.at(across[x].first, y), 3, narrow.at(x, y));
    }
  }
  Image made(width, height);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      blend(down[y], narrow.at(x, down[y].first), std::size_t{3} * width, made.at(x, y));
    }
  }
  return made;
}

}  // namespace catfish
