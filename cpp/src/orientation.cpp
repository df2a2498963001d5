// Which way up: EXIF's tag 0x0112, or XMP's word for it where EXIF has none, as Pillow reads them.
#include <cstddef>
#include <optional>
#include <utility>

#include "formats.h"

namespace catfish {
namespace {

constexpr unsigned orientation_tag = 0x0112, short_type = 3;
constexpr std::size_t entry_size = 12;

// Numbers of a TIFF structure, nothing behind its end.
class Tiff {
 public:
  explicit Tiff(const Bytes& data, std::size_t start) : data_(data), start_(start) {
    const auto mark = number(0, 2, true);
    big_ = mark == 0x4d4d;
    valid_ = (big_ || mark == 0x4949) && number(2, 2) == 42u;
  }

  bool valid() const { return valid_; }
  std::optional<unsigned> number(std::size_t place, int size) const { return number(place, size, big_); }

 private:
  std::optional<unsigned> number(std::size_t place, int size, bool big) const {
    const std::size_t first = start_ + place;
    if (first + size > data_.size()) {
      return std::nullopt;
    }
    unsigned value = 0;
    for (int byte = 0; byte < size; ++byte) {
      value = value << 8 | data_[big ? first + byte : first + size - 1 - byte];
    }
    return value;
  }

  const Bytes& data_;
  std::size_t start_;
  bool big_ = false;
  bool valid_ = false;
};

}  // namespace

int exif_orientation(const Bytes& exif) {
  const std::string name("Exif\0\0", 6);
  const bool named = exif.size() >= 6 && std::string(exif.begin(), exif.begin() + 6) == name;
  if (exif.empty()) {
    return 0;
  }
  const Tiff tiff(exif, named ? 6 : 0);
  const auto directory = tiff.number(4, 4);
  if (!tiff.valid() || !directory) {
    return 1;
  }
  const unsigned count = tiff.number(*directory, 2).value_or(0);
  for (unsigned number = 0; number < count; ++number) {
    const std::size_t entry = std::size_t{*directory} + 2 + number * entry_size;
    if (tiff.number(entry, 2) == orientation_tag && tiff.number(entry + 2, 2) == short_type) {
      return int(tiff.number(entry + 8, 2).value_or(1));
    }
  }
  return 0;
}

int xmp_orientation(const std::string& packet) {
  const std::string name = "tiff:Orientation";
  for (auto at = packet.find(name); at != std::string::npos; at = packet.find(name, at + 1)) {
    for (const std::string before : {"=\"", ">"}) {
      const auto digit = at + name.size() + before.size();
      if (packet.compare(at + name.size(), before.size(), before) == 0 && digit < packet.size() &&
          packet[digit] >= '0' && packet[digit] <= '9') {
        return packet[digit] - '0';
      }
    }
  }
  return 1;
}

Image upright(const Image& image, int orientation) {
  if (orientation < 2 || orientation > 8) {
    return image;
  }
  // Where a pixel of the result comes from, as EXIF 2.32 defines the eight (4.6.4 A, Orientation).
  const bool sideways = orientation >= 5;
  const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  Image turned(sideways ? image.height : image.width, sideways ? image.width : image.height);
  for (int y = 0; y < turned.height; ++y) {
    for (int x = 0; x < turned.width; ++x) {
      const int column = sideways ? y : x, row = sideways ? x : y;
      const auto* from = image.at(from_right ? image.width - 1 - column : column,
                                  from_bottom ? image.height - 1 - row : row);
      std::copy(from, from + 3, turned.at(x, y));
    }
  }
  return turned;
}

}  // namespace catfish
