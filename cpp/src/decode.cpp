#include "decode.h"

#include <algorithm>
#include <string>

#include "errors.h"
#include "formats.h"
#include "resize.h"

namespace catfish {
namespace {

// The server's MAX_PIXELS, MAX_ASPECT_RATIO and _SPARE_SCALE.
constexpr unsigned long long max_pixels = 25'000'000;
constexpr unsigned long long max_aspect_ratio = 20;
constexpr int spare_scale = 2;

bool begins_with(const Bytes& data, const std::string& magic) {
  return data.size() >= magic.size() && std::equal(magic.begin(), magic.end(), data.begin(),
                                                   [](char a, std::uint8_t b) { return std::uint8_t(a) == b; });
}

Decoded by_format(const Bytes& data, int shorter_side) {
  if (begins_with(data, "\xff\xd8\xff")) {
    return decode_jpeg(data, shorter_side);
  }
  if (begins_with(data, "\x89PNG\r\n\x1a\n")) {
    return decode_png(data);
  }
  throw Failure("is neither JPEG nor PNG");
}

}  // namespace

void check_size(unsigned width, unsigned height) {
  const unsigned long long longer = std::max(width, height), shorter = std::min(width, height);
  const std::string sides = "has " + std::to_string(width) + " x " + std::to_string(height) + " pixels; ";
  if (longer * shorter > max_pixels) {
    throw Failure(sides + "the limit is " + std::to_string(max_pixels) + " in all");
  }
  if (shorter < 1 || longer > max_aspect_ratio * shorter) {
    throw Failure(sides + "sides may differ " + std::to_string(max_aspect_ratio) + " times");
  }
}

Image decode(const Bytes& data, int shorter_side) {
  const Decoded decoded = by_format(data, shorter_side);
  const Image image = upright(decoded.image, decoded.orientation);
  const int factor = std::min(image.width, image.height) / (shorter_side * spare_scale);
  return factor >= spare_scale ? reduced(image, factor) : image;
}

}  // namespace catfish
