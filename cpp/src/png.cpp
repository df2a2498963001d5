// PNG by libpng: 8 bits a channel, palettes and grey as RGB, what is transparent as the colour that lies under it.
#include <png.h>

#include <csetjmp>
#include <cstring>

#include "errors.h"
#include "formats.h"

namespace catfish {
namespace {

struct Source {
  const Bytes* data;
  std::size_t place;
};

void read(png_structp png, png_bytep target, std::size_t length) {
  auto* source = static_cast<Source*>(png_get_io_ptr(png));
  if (source->data->size() - source->place < length) {
    png_error(png, "it ends early");
  }
  std::memcpy(target, source->data->data() + source->place, length);
  source->place += length;
}

[[noreturn]] void escape(png_structp png, png_const_charp) { png_longjmp(png, 1); }

void ignore(png_structp, png_const_charp) {}

// libpng leaves its functions by longjmp: what calls it here has no object with a destructor.
class Decoder {
 public:
  explicit Decoder(const Bytes& data) : source_{&data, 0} {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, nullptr, escape, ignore);
    info_ = png_ != nullptr ? png_create_info_struct(png_) : nullptr;
    if (info_ == nullptr) {
      throw Failure("cannot be decoded: libpng does not start");
    }
    png_set_read_fn(png_, &source_, read);
  }
  ~Decoder() { png_destroy_read_struct(&png_, &info_, nullptr); }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  bool read_header() {
    if (setjmp(png_jmpbuf(png_))) {
      return false;
    }
    png_set_crc_action(png_, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_set_user_limits(png_, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // decode.cpp has the limit
    png_read_info(png_, info_);
    return true;
  }

  bool read_pixels(std::uint8_t* pixels) {
    if (setjmp(png_jmpbuf(png_))) {
      return false;
    }
    png_set_strip_16(png_);
    png_set_palette_to_rgb(png_);
    png_set_expand_gray_1_2_4_to_8(png_);
    png_set_gray_to_rgb(png_);
    png_set_strip_alpha(png_);
    const int passes = png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    const std::size_t stride = png_get_rowbytes(png_, info_);
    for (int pass = 0; pass < passes; ++pass) {
      for (unsigned row = 0; row < height(); ++row) {
        png_read_row(png_, pixels + row * stride, nullptr);
      }
    }
    return true;
  }

  // What may follow the pixels: an orientation, and nothing that they would need.
  void read_end() {
    if (!setjmp(png_jmpbuf(png_))) {
      png_read_end(png_, info_);
    }
  }

  unsigned width() const { return png_get_image_width(png_, info_); }
  unsigned height() const { return png_get_image_height(png_, info_); }

  Bytes exif() const {
    png_bytep data = nullptr;
    png_uint_32 length = 0;
    return png_get_eXIf_1(png_, info_, &length, &data) ? Bytes(data, data + length) : Bytes();
  }

  std::string text(const char* key) const {
    png_textp texts = nullptr;
    int count = 0;
    png_get_text(png_, info_, &texts, &count);
    for (int number = 0; number < count; ++number) {
      if (!std::strcmp(texts[number].key, key)) {
        return texts[number].text;
      }
    }
    return "";
  }

 private:
  Source source_;
  png_structp png_;
  png_infop info_;
};

int orientation(const Decoder& decoder) {
  const int told = exif_orientation(decoder.exif());
  return told ? told : xmp_orientation(decoder.text("XML:com.adobe.xmp"));
}

}  // namespace

Decoded decode_png(const Bytes& data) {
  Decoder decoder(data);
  const Failure damaged("is truncated or damaged");
  if (!decoder.read_header()) {
    throw damaged;
  }
  check_size(decoder.width(), decoder.height());
  Image image(int(decoder.width()), int(decoder.height()));
  if (!decoder.read_pixels(image.pixels.data())) {
    throw damaged;
  }
  decoder.read_end();
  return {std::move(image), orientation(decoder)};
}

}  // namespace catfish
