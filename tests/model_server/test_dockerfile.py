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


def stage(name):
    """The instructions of a stage of the Dockerfile."""
    text = (ROOT / "Dockerfile.server").read_text().replace("\\\n", " ")
    (found,) = re.findall(rf"(?ms)^FROM \w+ AS {name}$(.*?)(?=^FROM |\Z)", text)
    return [" ".join(line.split()) for line in found.splitlines() if line and not line.startswith("#")]


def test_both_images_of_the_server_are_run_alike():
    settings = ("ENV", "EXPOSE", "USER", "WORKDIR", "STOPSIGNAL", "ENTRYPOINT")
    one, other = (
        [line for line in stage(name) if line.startswith(settings)] for name in ("server", "server-onnx")
    )
    assert one == [line.replace("CATFISH_ARCHITECTURE=onnx ", "") for line in other]
    assert one != other  # its one default of its own: what it serves
    assert len(one) == len(settings)


def test_the_image_without_torch_is_made_before_any_stage_with_it():
    text = (ROOT / "Dockerfile.server").read_text()
    assert text.index(" AS server-onnx") < text.index(" AS torch")


def test_the_image_without_torch_has_the_versions_of_the_one_with_it():
    both, fewer = (
        set(re.findall(r"(?m)^([\w.-]+==\S+)", (ROOT / "requirements" / name).read_text()))
        for name in ("server.txt", "server-onnx.txt")
    )
    assert fewer < both
    assert {name.partition("==")[0] for name in both - fewer} >= {"onnx", "onnxscript", "sympy", "networkx"}
    assert not [name for name in fewer if name.startswith(("torch", "nvidia", "sympy"))]
