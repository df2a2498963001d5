#!/usr/bin/env bash
# Writes the hash-pinned lock files from pyproject.toml's extras: `make lock`. Needs uv (in the dev extra).
set -euo pipefail
cd "$(dirname "$0")/.."
export UV_CUSTOM_COMPILE_COMMAND="make lock"
compile() { # compile OUTPUT ARGS...
    local output=requirements/$1
    shift
    uv pip compile --quiet --generate-hashes --python-version 3.11 --no-emit-index-url --no-emit-find-links --no-annotate \
        "$@" --output-file "$output"
}
# torch, its vision half and the CUDA libraries of PyPI's wheel are installed from torch.txt (see there).
heavy=$(uv pip compile --quiet --python-version 3.11 --no-header --no-annotate --extra server pyproject.toml |
    sed -n 's/^\(torch\|torchvision\|triton\|nvidia-[a-z0-9-]*\|cuda-[a-z0-9-]*\)==.*/--no-emit-package \1/p')
compile operator.txt --extra operator pyproject.toml
# shellcheck disable=SC2086 # one flag a word, on purpose
compile server.txt --extra server --extra tracing $heavy pyproject.toml
# The versions of server.txt, so that both images of the server run the same code.
compile server-onnx.txt --extra server-onnx --extra tracing --constraint requirements/server.txt pyproject.toml
# shellcheck disable=SC2086
compile dev.txt --extra operator --extra server --extra tracing --extra dev $heavy pyproject.toml
compile conformance.txt requirements/conformance.in
