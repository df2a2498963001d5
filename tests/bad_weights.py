"""What can be wrong with weights, a row each: what lies at their address, and what the server then says.

tests/model_server/test_bad_weights.py runs the server on every row; tests/integration/test_bad_weights.py shows that
the sentence of every reason arrives in the status of the model. What the server must not load is only made here.
"""

import gzip
import struct

from tests.bad_keys import KEYS
from tests.spoiled_weights import (
    ARCHITECTURE,
    CLASSES,
    FOUR,
    IS_ONNX,
    SAMPLES,
    SHA256,
    Bad,
    at,
    bare,
    beginning,
    beside,
    changed,
    claimed,
    code,
    compressed,
    content,
    expanded,
    flipped,
    good,
    hungry_onnx,
    onnx_bytes,
    safetensors,
    scripted,
    served,
    status,
    torch_bytes,
    two_pictures,
    vouched,
    whole_model,
    whole_numbers,
    with_value,
    without_end,
    zipped,
)

KINDS = {
    "no such file": Bad(
        reason="WeightsNotFound",
        says="does not exist",
        place=lambda where: {"CATFISH_MODEL_LOCATION": where.directory / "nothing.pt"},
    ),
    "a directory": Bad(
        reason="WeightsNotFound",
        says="is not a file",
        place=lambda where: {"CATFISH_MODEL_LOCATION": where.directory},
    ),
    "status 404": Bad(reason="WeightsNotFound", says="status 404: there is no", place=served(status(404))),
    "status 410": Bad(reason="WeightsNotFound", says="status 410: there is no", place=served(status(410))),
    "status 401": Bad(reason="WeightsForbidden", says="credentialsSecretRef", place=served(status(401))),
    "status 403": Bad(
        reason="WeightsForbidden",
        says="status 403 (AccessDenied): the keys in spec.weights.credentialsSecretRef",
        place=served(status(403, body=b"<Error><Code>AccessDenied</Code></Error>")),
    ),
    "status 500": Bad(reason="WeightsUnreachable", says="status 500", place=served(status(500))),
    "connection refused": Bad(
        reason="WeightsUnreachable", says="connection was refused", place=at("http://127.0.0.1:1/w?a=hunter2")
    ),
    "host unknown": Bad(
        reason="WeightsUnreachable", says="name cannot be resolved", place=at("http://nowhere.invalid/w")
    ),
    "certificate unknown": Bad(
        reason="WeightsUnreachable",
        says="the server's certificate is not trusted",
        place=served(status(200), tls=True),
    ),
    "endless redirect": Bad(
        reason="WeightsUnreachable",
        says="a redirect that leads nowhere, or one too many",
        place=served(status(302, {"Location": "/w"})),
    ),
    "redirect to a file": Bad(
        reason="WeightsUnreachable",
        says="a redirect that leads nowhere, or one too many",
        place=served(status(302, {"Location": "file:///etc/passwd"})),
    ),
    "cut download": Bad(
        reason="WeightsUnreachable",
        says="was cut off after 1000 of 1000000 bytes",
        place=served(beginning(stall=False)),
    ),
    "stalled download": Bad(
        reason="WeightsUnreachable", says="no byte arrived in time", place=served(beginning(stall=True))
    ),
    "larger than the disk": Bad(
        reason="DiskFull",
        says="does not fit: the disk is full",
        place=served(status(200, {"Content-Length": str(2**60)})),
    ),
    "another digest": Bad(
        reason="ChecksumMismatch", says="not to 0000", place=good(CATFISH_MODEL_SHA256="0" * 64), field=SHA256
    ),
    "empty": Bad(reason="DamagedWeights", says="is empty", place=content(lambda: b"")),
    "a web page": Bad(
        reason="WebPage",
        says="is a web page or XML, not weights; is the address that of the file itself?",
        place=served(status(200, body=b"<!doctype html><title>Sign in</title>")),
    ),
    "a Git LFS pointer": Bad(
        reason="UnsupportedFormat",
        says="run git lfs pull",
        place=content(lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0"),
    ),
    "compressed by gzip": Bad(
        reason="UnsupportedFormat", says="unpack it first", place=content(lambda: gzip.compress(b"x" * 99))
    ),
    "neither this nor that": Bad(
        reason="UnsupportedFormat", says="is neither", place=content(lambda: bytes(range(7, 99)))
    ),
    "an error of a store, with status 200": Bad(
        reason="WebPage",
        says="is a web page or XML",
        place=served(status(200, body=b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>")),
    ),
    "truncated archive": Bad(
        reason="DamagedWeights",
        says="is cut short or damaged: an archive with its end missing",
        place=lambda where: where.file(where.good.read_bytes()[:-1000]),
    ),
    "truncated archive with its own digest": Bad(
        reason="DamagedWeights",
        says="is cut short or damaged: an archive with its end missing",
        place=lambda where: vouched(where, where.good.read_bytes()[:-1000]),
    ),
    "truncated pickle": Bad(
        reason="DamagedWeights", says="is cut short or damaged", place=content(lambda: without_end(bare()))
    ),
    "a flipped bit in an archive's pickle": Bad(
        reason="DamagedWeights",
        says="is not what its checksums say, and wants to load",
        place=lambda where: where.file(flipped(where.good.read_bytes(), b"rebuild_tensor")),
    ),
    "truncated TorchScript": Bad(
        reason="DamagedWeights",
        says="is cut short or damaged",
        place=lambda where: vouched(where, without_end(scripted()), CATFISH_ARCHITECTURE="torchscript"),
    ),
    "a flipped bit in TorchScript": Bad(
        reason="DamagedWeights",
        says="is a TorchScript archive that is cut short or damaged",
        place=lambda where: vouched(
            where, flipped(scripted(), b"__torch__.torch"), CATFISH_ARCHITECTURE="torchscript"
        ),
    ),
    "another archive": Bad(
        reason="UnsupportedFormat",
        says="not one that torch.save wrote",
        place=content(lambda: zipped({"a.txt": b"hello"})),
    ),
    "a whole pickled model": Bad(
        reason="PickledModel", says="weights_only=False).state_dict()", place=content(whole_model)
    ),
    "no weights in it": Bad(
        reason="UnsupportedFormat", says="holds no weights at all", place=content(lambda: torch_bytes({}))
    ),
    "truncated safetensors": Bad(
        reason="DamagedWeights",
        says="is a safetensors file that is cut short or damaged",
        place=content(lambda: safetensors(FOUR, b"1234")),
    ),
    "corrupt ONNX": Bad(
        reason="DamagedWeights",
        says="is an ONNX model that is cut short or damaged",
        place=lambda where: where.file(onnx_bytes()[:-100]) | IS_ONNX,
    ),
    "ONNX with weights beside it": Bad(
        reason="UnsupportedFormat", says="with its weights in other files", place=beside
    ),
    "ONNX of another type": Bad(
        reason="UnsupportedFormat",
        says="takes x: tensor(double), not one tensor(float)",
        place=lambda where: where.file(onnx_bytes(kind=11)) | IS_ONNX,
    ),
    "ONNX for a resnet18": Bad(
        reason="UnsupportedFormat",
        says="set spec.model.architecture to onnx",
        place=content(onnx_bytes),
    ),
    "a pickle that runs code": Bad(reason="UnsafeWeights", says="wants to load", place=content(code)),
    "a zip bomb": Bad(reason="UnsafeWeights", says="compressed entries", place=content(compressed)),
    "an expanded tensor": Bad(
        reason="UnsafeWeights", says="claims 4398046511104 bytes of weights", place=content(expanded)
    ),
    "a claim of memory": Bad(
        reason="UnsafeWeights", says="more memory than weights need", place=content(claimed)
    ),
    "a huge safetensors header": Bad(
        reason="UnsafeWeights",
        says="has a header of 1099511627776 bytes",
        place=content(lambda: struct.pack("<Q", 2**40) + b"{"),
    ),
    "ONNX that asks for a petabyte": Bad(
        reason="OutOfMemory",
        says="is not enough to load and run the model; raise it",
        place=lambda where: where.file(hungry_onnx()) | IS_ONNX,
        field="spec.resources.limits.memory",
    ),
    "other keys": Bad(
        reason="ArchitectureMismatch",
        says="layer4.1.conv9.weight",
        place=changed(lambda state: state.update({"layer4.1.conv9.weight": state.pop("conv1.weight")})),
        field=ARCHITECTURE,
    ),
    "another number of classes": Bad(
        reason="ArchitectureMismatch", says="3", place=good(CATFISH_CLASSES="a,b,c"), field=CLASSES
    ),
    "another architecture": Bad(
        reason="ArchitectureMismatch",
        says="not the weights of a resnet50",
        place=good(CATFISH_ARCHITECTURE="resnet50"),
        field=ARCHITECTURE,
    ),
    "another dtype": Bad(
        reason="ArchitectureMismatch",
        says="expected float32, found int32",
        place=changed(whole_numbers),
        field=ARCHITECTURE,
    ),
    "NaN": Bad(reason="NonFiniteWeights", says="'conv1.weight'", place=with_value(float("nan"))),
    "infinity": Bad(reason="NonFiniteWeights", says="'conv1.weight'", place=with_value(float("-inf"))),
    "beyond float32": Bad(
        reason="NonFiniteWeights", says="'conv1.weight'", place=with_value(1e300, double=True)
    ),
    "TorchScript without a digest": Bad(
        reason="InvalidSpec",
        says="is required where spec.model.architecture is torchscript",
        place=good(CATFISH_ARCHITECTURE="torchscript"),
        field=SHA256,
    ),
    "classes that nobody names": Bad(
        reason="InvalidSpec",
        says="the weights do not name their classes",
        place=good(CATFISH_CLASSES="", CATFISH_REVISION="cat-5d8f"),
        field=CLASSES,
    ),
    "wrong answers": Bad(
        reason="VerificationFailed",
        says="1 of 2 golden images were answered right",
        place=two_pictures,
        field=SAMPLES,
    ),
} | KEYS

NAMED = {
    "larger than the disk": 21,
    "status 404": 10,
    "status 403": 11,
    "another digest": 13,
    "other keys": 16,
    "NaN": 17,
    "a pickle that runs code": 15,
    "a web page": 22,
    "a whole pickled model": 23,
    "truncated archive": 24,
}
"""What people meet most: each has an exit code, a reason and a sentence that none of the others has."""
