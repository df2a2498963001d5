"""Triton's own clients, as its users write them; prints what they got as JSON.

usage: triton_client.py HOST:PORT HOST:GRPC_PORT IMAGE
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tritonclient.grpc
import tritonclient.http
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tritonclient.utils import InferenceServerException

MODEL = "whiskers"
PIXELS = np.linspace(-1, 1, 2 * 3 * 64 * 64, dtype=np.float32).reshape(2, 3, 64, 64)


def of_images(library, encoded):
    tensor = library.InferInput("images", [len(encoded)], "BYTES")
    tensor.set_data_from_numpy(np.array(encoded, dtype=np.object_))
    return [tensor]


def of_pixels(library, **options):
    tensor = library.InferInput("pixels", list(PIXELS.shape), "FP32")
    tensor.set_data_from_numpy(PIXELS, **options)
    return [tensor]


def told(result, *names):
    outputs = {}
    for name in names:
        values = result.as_numpy(name).ravel().tolist()
        outputs[name] = [value.decode() if isinstance(value, bytes) else value for value in values]
    return outputs


def asked(library, address, image, **more):
    """What both clients have in common, which is nearly all."""
    client = library.InferenceServerClient(address)
    outputs = [library.InferRequestedOutput("probabilities", class_count=2)]
    found = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "model": client.is_model_ready(MODEL),
        "server": client.get_server_metadata(**more),
        "metadata": client.get_model_metadata(MODEL, **more),
        "binary": told(
            client.infer(MODEL, of_images(library, [image, image])), "label", "probability", "uuid"
        ),
        "pixels": told(client.infer(MODEL, of_pixels(library), request_id="n1"), "label", "logits", "uuid"),
        "classes": told(client.infer(MODEL, of_pixels(library), outputs=outputs), "probabilities"),
    }
    for name, ask in {
        "refusal": lambda: client.infer(MODEL, of_images(library, [b"no image"])),
        "another": lambda: client.infer("dog", of_images(library, [image])),
        "version": lambda: client.infer(MODEL, of_images(library, [image]), model_version="7"),
    }.items():
        try:
            ask()
        except InferenceServerException as error:
            found[name] = [error.status(), error.message()]
    client.close()
    return found


def many(library, address, image):
    def one(_):
        client = library.InferenceServerClient(address)  # Triton's HTTP client may not be shared by threads
        answer = told(client.infer(MODEL, of_images(library, [image])), "label", "probability")
        client.close()
        return answer

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(one, range(16)))


def as_json(address):
    """The HTTP client without bytes behind the JSON."""
    client = tritonclient.http.InferenceServerClient(address)
    outputs = [
        tritonclient.http.InferRequestedOutput(name, binary_data=False) for name in ("label", "logits")
    ]
    result = client.infer(MODEL, of_pixels(tritonclient.http, binary_data=False), outputs=outputs)
    client.close()
    return told(result, "label", "logits")


def reflected(address):
    import grpc

    with grpc.insecure_channel(address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        services = sorted(database.get_services())
        (service,) = database.FindFileContainingSymbol("inference.GRPCInferenceService").service
        return {"services": services, "methods": [method.name for method in service.method]}


def main(address, grpc_address, path):
    image = Path(path).read_bytes()
    http, remote = tritonclient.http, tritonclient.grpc
    found = {
        "rest": asked(http, address, image) | {"json": as_json(address), "many": many(http, address, image)},
        "grpc": asked(remote, grpc_address, image, as_json=True)
        | {"many": many(remote, grpc_address, image)},
        "reflection": reflected(grpc_address),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
