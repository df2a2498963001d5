// Pillow's two ways to make an image smaller, to the last bit: a model sees the pixels that it learned from.
#pragma once

#include "image.h"

namespace catfish {

// Each square of `factor` pixels as their mean; at the right and lower edge, of as many as are left.
Image reduced(const Image& image, int factor);

// The image of another size by the triangle filter, which grows with the scale and so leaves no aliases.
Image resized(const Image& image, int width, int height);

}  // namespace catfish
