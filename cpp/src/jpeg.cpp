// JPEG by libjpeg, with the choices that Pillow makes: the exact inverse transform, smooth chroma, scaling by the decoder.
#include <algorithm>
#include <csetjmp>
#include <cstdio>  // before jpeglib.h, which uses FILE
#include <cstring>

#include <jerror.h>
#include <jpeglib.h>

#include "errors.h"
#include "formats.h"

namespace catfish {
namespace {

constexpr int exif_marker = JPEG_APP0 + 1;

struct Errors {
  jpeg_error_mgr base;
  std::jmp_buf escape;
};

[[noreturn]] void escape(j_common_ptr info) {
  std::longjmp(reinterpret_cast<Errors*>(info->err)->escape, 1);
}

// Of data that ends early libjpeg only warns, and makes up the rest in grey.
void judge(j_common_ptr info, int level) {
  if (level < 0 && info->err->msg_code == JWRN_JPEG_EOF) {
    escape(info);
  }
}

// libjpeg leaves its functions by longjmp: what calls it here has no object with a destructor.
class Decoder {
 public:
  explicit Decoder(const Bytes& data) {
    info_.err = jpeg_std_error(&errors_.base);
    errors_.base.error_exit = escape;
    errors_.base.emit_message = judge;
    jpeg_create_decompress(&info_);
    jpeg_mem_src(&info_, data.data(), data.size());
  }
  ~Decoder() { jpeg_destroy_decompress(&info_); }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  bool read_header() {
    if (setjmp(errors_.escape)) {
      return false;
    }
    jpeg_save_markers(&info_, exif_marker, 0xFFFF);
    jpeg_read_header(&info_, TRUE);
    // Four components are CMYK, or its like after a transform; Pillow takes one and three as well, and no other.
    info_.out_color_space = info_.num_components == 4 ? JCS_CMYK : JCS_RGB;
    return info_.num_components == 1 || info_.num_components == 3 || info_.num_components == 4;
  }

  bool scale(unsigned denominator) {
    if (setjmp(errors_.escape)) {
      return false;
    }
    info_.scale_num = 1;
    info_.scale_denom = denominator;
    jpeg_calc_output_dimensions(&info_);
    return true;
  }

  // Rows of three or four bytes a pixel.
  bool read_pixels(std::uint8_t* pixels, std::size_t stride) {
    if (setjmp(errors_.escape)) {
      return false;
    }
    jpeg_start_decompress(&info_);
    while (info_.output_scanline < info_.output_height) {
      JSAMPROW row = pixels + info_.output_scanline * stride;
      jpeg_read_scanlines(&info_, &row, 1);
    }
    jpeg_finish_decompress(&info_);
    return true;
  }

  const jpeg_decompress_struct& info() const { return info_; }

 private:
  jpeg_decompress_struct info_;
  Errors errors_;
};

// Pillow's draft(): the largest fraction of 1/8, 1/4 and 1/2 that leaves twice the pixels that are needed.
unsigned fraction(unsigned width, unsigned height, int shorter_side) {
  const double scale = double(std::min(width, height)) / (shorter_side * 2);
  if (scale < 2) {
    return 1;
  }
  const unsigned times = std::min(width / unsigned(width / scale), height / unsigned(height / scale));
  return times >= 8 ? 8 : times >= 4 ? 4 : times >= 2 ? 2 : 1;
}

// Adobe's programs, and after them everybody's, store CMYK inverted: 255 is no ink.
void from_cmyk(const Bytes& cmyk, Image& image) {
  for (std::size_t pixel = 0; pixel < image.pixels.size() / 3; ++pixel) {
    const int light = cmyk[pixel * 4 + 3];
    for (std::size_t channel = 0; channel < 3; ++channel) {
      const int ink = 255 - cmyk[pixel * 4 + channel], product = ink * light + 128;
      image.pixels[pixel * 3 + channel] = std::uint8_t(std::max(0, light - (((product >> 8) + product) >> 8)));
    }
  }
}

bool is_marker(const jpeg_marker_struct* marker, const char* name, std::size_t length) {
  return marker->marker == exif_marker && marker->data_length >= length && !std::memcmp(marker->data, name, length);
}

int orientation(const jpeg_decompress_struct& info) {
  constexpr char exif_name[] = "Exif\0";                       // with the zero that ends it, two zeros
  constexpr char xmp_name[] = "http://ns.adobe.com/xap/1.0/";  // with the zero that ends it
  Bytes exif;
  std::string xmp;
  for (auto marker = info.marker_list; marker != nullptr; marker = marker->next) {
    const auto* data = marker->data;
    if (is_marker(marker, exif_name, sizeof exif_name)) {
      exif.insert(exif.end(), data + sizeof exif_name, data + marker->data_length);
    } else if (is_marker(marker, xmp_name, sizeof xmp_name)) {
      xmp.assign(data + sizeof xmp_name, data + marker->data_length);
    }
  }
  const int told = exif_orientation(exif);
  return told ? told : xmp_orientation(xmp);
}

}  // namespace

Decoded decode_jpeg(const Bytes& data, int shorter_side) {
  Decoder decoder(data);
  const Failure damaged("is truncated or damaged");
  if (!decoder.read_header()) {
    throw damaged;
  }
  const auto& info = decoder.info();
  const int way = orientation(info);  // libjpeg forgets the markers with the last row
  check_size(info.image_width, info.image_height);
  if (!decoder.scale(fraction(info.image_width, info.image_height, shorter_side))) {
    throw damaged;
  }
  Image image(int(info.output_width), int(info.output_height));
  const bool cmyk = info.out_color_space == JCS_CMYK;
  Bytes inks(cmyk ? image.pixels.size() / 3 * 4 : 0);
  if (!decoder.read_pixels(cmyk ? inks.data() : image.pixels.data(), std::size_t(image.width) * (cmyk ? 4 : 3))) {
    throw damaged;
  }
  if (cmyk) {
    from_cmyk(inks, image);
  }
  return {std::move(image), way};
}

}  // namespace catfish
