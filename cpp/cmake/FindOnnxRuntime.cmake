# ONNX Runtime's C++ API:
#
#   headers   of the distribution (Debian 13: libonnxruntime-dev), or below -DONNXRUNTIME_ROOT=/path/to/onnxruntime
#   library   below ONNXRUNTIME_ROOT, else of the wheel that pip installed for Python3_EXECUTABLE, else of the distribution
#
# The wheel holds the library and no headers. The API is versioned: a library serves the headers of every older release.
#
# Sets OnnxRuntime_FOUND and makes the target OnnxRuntime::OnnxRuntime.

set(ONNXRUNTIME_ROOT "" CACHE PATH "An unpacked release of ONNX Runtime, or its headers alone in include/")

find_path(OnnxRuntime_INCLUDE_DIR onnxruntime_cxx_api.h
  HINTS "${ONNXRUNTIME_ROOT}" PATH_SUFFIXES include include/onnxruntime usr/include/onnxruntime onnxruntime)
find_library(OnnxRuntime_LIBRARY onnxruntime PATHS "${ONNXRUNTIME_ROOT}" PATH_SUFFIXES lib NO_DEFAULT_PATH)
if(NOT OnnxRuntime_LIBRARY)
  find_package(Python3 QUIET COMPONENTS Interpreter)
  execute_process(
    COMMAND "${Python3_EXECUTABLE}" -c
      "import importlib.util as u; s = u.find_spec('onnxruntime'); print(s.submodule_search_locations[0] if s else '', end='')"
    OUTPUT_VARIABLE onnxruntime_wheel ERROR_QUIET)
  file(GLOB in_wheel "${onnxruntime_wheel}/capi/libonnxruntime.so.*")
  if(in_wheel)
    # A program asks for it by its soname, and in the wheel it lies under its whole version alone.
    list(GET in_wheel 0 in_wheel)
    file(MAKE_DIRECTORY "${CMAKE_BINARY_DIR}/onnxruntime")
    set(link "${CMAKE_BINARY_DIR}/onnxruntime/libonnxruntime.so.1")
    file(CREATE_LINK "${in_wheel}" "${link}" SYMBOLIC)
    set(OnnxRuntime_LIBRARY "${link}" CACHE FILEPATH "" FORCE)
  endif()
endif()
find_library(OnnxRuntime_LIBRARY onnxruntime)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(OnnxRuntime
  REQUIRED_VARS OnnxRuntime_INCLUDE_DIR OnnxRuntime_LIBRARY
  REASON_FAILURE_MESSAGE "catfish-predict-onnx is left out (see cmake/FindOnnxRuntime.cmake)")
if(OnnxRuntime_FOUND AND NOT TARGET OnnxRuntime::OnnxRuntime)
  add_library(OnnxRuntime::OnnxRuntime UNKNOWN IMPORTED)
  set_target_properties(OnnxRuntime::OnnxRuntime PROPERTIES
    IMPORTED_LOCATION "${OnnxRuntime_LIBRARY}"
    INTERFACE_INCLUDE_DIRECTORIES "${OnnxRuntime_INCLUDE_DIR}")
endif()
mark_as_advanced(OnnxRuntime_INCLUDE_DIR OnnxRuntime_LIBRARY)
