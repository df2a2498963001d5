// Decoding as the model server does it (catfish_server/images/decode.py), for its two usual formats.
#pragma once

#include "image.h"

namespace catfish {

// The image in RGB, turned upright by its EXIF orientation.
//
// A large image is scaled down by a whole fraction, a JPEG in part by its decoder, as long as its shorter side keeps twice
// the pixels that the caller needs of it. Throws Failure, whose text completes "the file …".
Image decode(const Bytes& data, int shorter_side);

}  // namespace catfish
