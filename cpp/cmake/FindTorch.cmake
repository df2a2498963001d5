# Torch for C++, from one of two places:
#
#   cmake -DLIBTORCH=/path/to/libtorch …     libTorch, found by its own TorchConfig.cmake
#   cmake -DPython3_EXECUTABLE=…/python …    the wheel that pip installed for this Python (default: the python3 on PATH)
#
# The wheel holds the same headers and libraries, and a TorchConfig.cmake as well, which cannot be used: PyPI's wheel for
# Linux is made for CUDA, and its config stops on a machine without the CUDA toolkit, though nothing here needs it.
#
# Sets Torch_FOUND and TORCH_LIBRARIES, as Torch's own config does.

set(LIBTORCH "" CACHE PATH "An unpacked libTorch; empty: the wheel of Python3_EXECUTABLE")

if(LIBTORCH)
  find_package(Torch CONFIG QUIET PATHS "${LIBTORCH}" NO_DEFAULT_PATH)
  if(NOT TORCH_LIBRARIES) # what Torch_FOUND says here is lost: the inner call has set it already
    message(FATAL_ERROR "there is no libTorch in LIBTORCH=${LIBTORCH}")
  endif()
else()
  find_package(Python3 QUIET COMPONENTS Interpreter)
  # Only looked for: to import it takes seconds.
  execute_process(
    COMMAND "${Python3_EXECUTABLE}" -c
      "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '', end='')"
    OUTPUT_VARIABLE torch_wheel ERROR_QUIET)
  if(torch_wheel)
    set(torch_paths "${torch_wheel}/lib" NO_DEFAULT_PATH NO_CACHE)
    find_library(torch_library torch PATHS ${torch_paths})
    find_library(torch_cpu_library torch_cpu PATHS ${torch_paths})
    find_library(c10_library c10 PATHS ${torch_paths})
  endif()
  include(FindPackageHandleStandardArgs)
  find_package_handle_standard_args(Torch
    REQUIRED_VARS torch_wheel torch_library torch_cpu_library c10_library
    REASON_FAILURE_MESSAGE
      "Python3_EXECUTABLE=${Python3_EXECUTABLE} has no torch: `pip install torch` for it, or give -DLIBTORCH=/path/to/libtorch")
  if(Torch_FOUND AND NOT TARGET torch)
    add_library(torch INTERFACE IMPORTED)
    set_target_properties(torch PROPERTIES
      INTERFACE_INCLUDE_DIRECTORIES "${torch_wheel}/include;${torch_wheel}/include/torch/csrc/api/include"
      INTERFACE_LINK_LIBRARIES "${torch_library};${torch_cpu_library};${c10_library}")
  endif()
  set(TORCH_LIBRARIES torch)
endif()
