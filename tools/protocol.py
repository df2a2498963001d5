"""Writes the Python modules of the server's .proto: `make protocol`."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / "model_server"
PROTO = ROOT / "catfish_server/protocol/generated/open_inference.proto"


def generate(folder: Path) -> None:
    """Writes the module and its types below a folder, at the path of the package.

    Raises:
        subprocess.CalledProcessError: protoc refuses the file, and has said why.
    """
    command = [sys.executable, "-m", "grpc_tools.protoc", f"--proto_path={ROOT}"]
    command += [f"--python_out={folder}", f"--pyi_out={folder}", str(PROTO)]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    generate(ROOT)
