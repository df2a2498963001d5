import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_file_in_the_writable_directory_of_the_image_is_never_imported(tmp_path):
    """The working directory is the one that survives a restart of the container."""
    text = (ROOT / "Dockerfile.server").read_text().replace("\\\n", " ")
    variables = dict(re.findall(r"(PYTHON\w+)=(\S+)", " ".join(re.findall(r"(?m)^ENV .*$", text))))
    (tmp_path / "argparse.py").write_text("raise SystemExit('the file of a stranger ran')\n")
    result = subprocess.run(
        [sys.executable, "-m", "catfish_server", "--help"],
        cwd=tmp_path,
        env={**variables, "PYTHONPATH": str(ROOT / "model_server"), "PATH": os.defpath},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
