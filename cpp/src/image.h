// An image in memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace catfish {

using Bytes = std::vector<std::uint8_t>;

// Rows from the top, in each the pixels from the left, of each red, green and blue in 0..255.
struct Image {
  Image(int width, int height)
      : width(width), height(height), pixels(std::size_t{3} * width * height) {}

  std::uint8_t* at(int x, int y) { return pixels.data() + (std::size_t(y) * width + x) * 3; }
  const std::uint8_t* at(int x, int y) const { return pixels.data() + (std::size_t(y) * width + x) * 3; }

  int width;
  int height;
  Bytes pixels;
};

}  // namespace catfish
