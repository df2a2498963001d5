// The decoders of single formats, for decode.cpp alone.
#pragma once

#include <string>

#include "image.h"

namespace catfish {

// An image as it lies in its file, and how it has to be turned: 1 to 8, as EXIF counts.
struct Decoded {
  Image image;
  int orientation;
};

// Both throw Failure where the data is damaged.
Decoded decode_jpeg(const Bytes& data, int shorter_side);
Decoded decode_png(const Bytes& data);

// Throws Failure for an image of more pixels than the server takes, or of sides that differ too much.
void check_size(unsigned width, unsigned height);

// The orientation that a TIFF header with its first directory holds, with or without "Exif\0\0" before it.
// 0 where it holds none, 1 where it is damaged.
int exif_orientation(const Bytes& exif);

// The orientation that an XMP packet holds, 1 where it holds none.
int xmp_orientation(const std::string& packet);

// The image turned upright.
Image upright(const Image& image, int orientation);

}  // namespace catfish
