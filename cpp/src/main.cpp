// catfish-predict MODEL IMAGE…: the class of each image and its probability, one line each.
//
// Ends with 0, with 2 when the command line is wrong, with 3 when a file or the model cannot be used. An image that
// cannot be decoded does not keep the others from their answers.
#include <getopt.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <sstream>

#include "classes.h"
#include "decode.h"
#include "errors.h"
#include "files.h"
#include "model.h"
#include "preprocess.h"

namespace {

using catfish::Failure;
using catfish::Usage;

constexpr const char* help =
    " [OPTION…] MODEL IMAGE…\n"
    "\n"
    "Prints the class of each image (JPEG or PNG) and its probability.\n"
    "\n"
    "  --classes NAMES     of the outputs, with commas between them: for a model that does not hold them\n"
    "  --image-size N      height and width in pixels of what the model takes (224)\n"
    "  --mean R,G,B        of the channels, for values in 0..1 (0.485,0.456,0.406)\n"
    "  --std R,G,B         of the channels, for values in 0..1 (0.229,0.224,0.225)\n"
    "  --help              this text\n";

struct Options {
  std::string classes;
  int image_size = 224;
  catfish::Normalisation normalisation;
  std::string model;
  std::vector<std::string> images;
  bool help = false;
  std::string preparing;  // an option that says how to prepare images, if one was given
};

template <typename Number>
Number number(const std::string& text, const std::string& option) {
  Number value{};
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size()) {
    throw Usage(option + ": '" + text + "' is no number");
  }
  return value;
}

std::array<float, 3> channels(const std::string& text, const std::string& option) {
  std::vector<float> values;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) {
    values.push_back(number<float>(part, option));
  }
  if (values.size() != 3) {
    throw Usage(option + ": needs three numbers with commas between them");
  }
  return {values[0], values[1], values[2]};
}

void set(Options& options, char option, const std::string& value) {
  if (option == 's' || option == 'm' || option == 'd') {
    options.preparing = option == 's' ? "--image-size" : option == 'm' ? "--mean" : "--std";
  }
  switch (option) {
    case 'c':
      options.classes = value;
      break;
    case 's':
      options.image_size = number<int>(value, "--image-size");
      if (options.image_size < 1 || options.image_size > 4096) {
        throw Usage("--image-size: must be 1 to 4096");
      }
      break;
    case 'm':
      options.normalisation.mean = channels(value, "--mean");
      break;
    case 'd':
      options.normalisation.std = channels(value, "--std");
      if (*std::min_element(options.normalisation.std.begin(), options.normalisation.std.end()) <= 0) {
        throw Usage("--std: must be above 0");
      }
      break;
    case 'h':
      options.help = true;
  }
}

Options parse(int argc, char** argv) {
  const option known[] = {{"classes", required_argument, nullptr, 'c'},
                          {"image-size", required_argument, nullptr, 's'},
                          {"mean", required_argument, nullptr, 'm'},
                          {"std", required_argument, nullptr, 'd'},
                          {"help", no_argument, nullptr, 'h'},
                          {nullptr, 0, nullptr, 0}};
  Options options;
  opterr = 0;
  for (int found; (found = getopt_long(argc, argv, ":", known, nullptr)) != -1;) {
    if (found == '?' || found == ':') {
      throw Usage(std::string(argv[optind - 1]) + (found == ':' ? ": needs a value" : ": is no option") + "; see --help");
    }
    set(options, char(found), optarg != nullptr ? optarg : "");
  }
  if (!options.help && argc - optind < 2) {
    throw Usage("a model and at least one image are needed; see --help");
  }
  if (!options.help) {
    options.model = argv[optind];
    options.images.assign(argv + optind + 1, argv + argc);
  }
  return options;
}

std::vector<std::string> classes(const Options& options, const catfish::Model& model) {
  const auto named = model.classes();
  if (!named && options.classes.empty()) {
    throw Usage("--classes: is needed, as " + options.model + " does not name its classes");
  }
  try {
    const auto found = catfish::parse_classes(named.value_or(options.classes));
    if (!options.classes.empty() && catfish::parse_classes(options.classes) != found) {
      throw Usage("--classes: are others, or in another order, than those that " + options.model + " names");
    }
    return found;
  } catch (const Failure& error) {
    throw Failure("the classes " + std::string(named ? "in " + options.model + " " : "") + error.what());
  }
}

// The place of the largest logit, and its probability.
std::pair<std::size_t, double> best(const std::vector<float>& logits, const std::string& model) {
  const auto finite = [](float logit) { return std::isfinite(logit); };
  if (!std::all_of(logits.begin(), logits.end(), finite)) {
    throw Failure(model + " answers with a value that is not finite");
  }
  const auto largest = std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) {
    sum += std::exp(double(logit) - *largest);
  }
  return {std::size_t(largest - logits.begin()), 1 / sum};
}

// Takes the size of images from a model that has its preprocessing inside.
void settle(Options& options, const catfish::Model& model) {
  const auto inside = model.preprocess();
  if (!inside) {
    return;
  }
  if (!options.preparing.empty()) {
    throw Usage(options.preparing + ": " + options.model + " has its preprocessing inside; leave it out");
  }
  try {
    options.image_size = catfish::parse_preprocess(*inside);
  } catch (const Failure& error) {
    throw Failure(options.model + " " + error.what());
  }
}

catfish::Image image(const std::string& path, const Options& options) {
  const auto data = catfish::read(path);
  try {
    return catfish::decode(data, catfish::resized_side(options.image_size));
  } catch (const Failure& error) {
    throw Failure(path + " " + error.what());
  }
}

std::vector<float> logits(catfish::Model& model, const catfish::Image& image, const Options& options,
                          std::size_t outputs) {
  try {
    const auto found =
        model.preprocess()
            ? model(image)
            : model(catfish::preprocess(image, options.image_size, options.normalisation), options.image_size);
    if (found.size() != outputs) {
      throw Failure("has " + std::to_string(found.size()) + " outputs, and " + std::to_string(outputs) + " classes");
    }
    return found;
  } catch (const Failure& error) {
    throw Failure(options.model + " " + error.what());
  }
}

void complain(const std::string& program, const std::exception& error) {
  std::cerr << program << ": " << catfish::one_line(error.what()) << '\n';
}

// What was printed is an answer once it is written: a disk may be full.
void flush() {
  errno = 0;
  if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
    throw Failure(std::string("standard output cannot be written: ") + std::strerror(errno));
  }
}

int run(int argc, char** argv, const std::string& program) {
  Options options = parse(argc, argv);
  if (options.help) {
    std::cout << "usage: " << program << help;
    flush();
    return 0;
  }
  const auto model = catfish::load(options.model);
  settle(options, *model);
  const auto names = classes(options, *model);
  int status = 0;
  for (const auto& path : options.images) {
    try {
      const auto [place, probability] =
          best(logits(*model, image(path, options), options, names.size()), options.model);
      std::printf("%s: %s %.4f\n", path.c_str(), names[place].c_str(), probability);
    } catch (const Failure& error) {
      complain(program, error);
      status = 3;
    }
  }
  flush();
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string path = argc > 0 ? argv[0] : "catfish-predict";
  const std::string program = path.substr(path.rfind('/') + 1);
  try {
    return run(argc, argv, program);
  } catch (const Usage& error) {
    complain(program, error);
    return 2;
  } catch (const std::exception& error) {
    complain(program, error);
    return 3;
  }
}
