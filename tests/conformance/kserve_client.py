"""KServe's own clients, as its users write them; prints what they got as JSON.

usage: kserve_client.py URL HOST:PORT IMAGE [MODEL [PIXELS]]

MODEL is the model's name, PIXELS the height and the width that it takes.
"""

import asyncio
import base64
import json
import sys
from pathlib import Path

import grpc
import httpx
import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest, RESTConfig

MODEL = sys.argv[4] if len(sys.argv) > 4 else "whiskers"
SIDE = int(sys.argv[5]) if len(sys.argv) > 5 else 64
PIXELS = np.linspace(-1, 1, 2 * 3 * SIDE * SIDE, dtype=np.float32).reshape(2, 3, SIDE, SIDE)


def of_images(encoded, *, binary=True, **options):
    if binary:
        tensor = InferInput("images", [len(encoded)], "BYTES")
        tensor.set_data_from_numpy(np.array(encoded, dtype=np.object_))
    else:
        data = [base64.b64encode(one).decode() for one in encoded]
        tensor = InferInput("images", [len(encoded)], "BYTES", data=data)
    return InferRequest(MODEL, [tensor], request_id="n1", **options)


def of_pixels(*, binary, **options):
    tensor = InferInput("pixels", list(PIXELS.shape), "FP32")
    tensor.set_data_from_numpy(PIXELS, binary_data=binary)
    return InferRequest(MODEL, [tensor], request_id="n1", **options)


def told(response):
    outputs = {}
    for output in response.outputs:
        values = output.as_numpy()
        if output.datatype == "BYTES":
            outputs[output.name] = [
                one.decode() if isinstance(one, bytes) else str(one) for one in values.ravel()
            ]
        else:
            outputs[output.name] = [float(value) for value in values.ravel()]
    return {"id": response.id, "model": response.model_name, "outputs": outputs}


async def rest(url, image):
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:

        async def infer(request):
            return told(await client.infer(url, request, model_name=MODEL))

        found = {
            "live": await client.is_server_live(url),
            "ready": await client.is_server_ready(url),
            "model": await client.is_model_ready(url, MODEL),
            "another": await client.is_model_ready(url, "dog"),
            "json": await infer(of_images([image, image], binary=False)),
            "binary": await infer(of_images([image, image])),
            "binary output": await infer(of_images([image], parameters={"binary_data_output": True})),
            "pixels": await infer(of_pixels(binary=False)),
            "binary pixels": await infer(of_pixels(binary=True)),
            "many": await asyncio.gather(*[infer(of_images([image])) for _ in range(16)]),
        }
        try:
            await infer(of_images([b"no image"]))
        except httpx.HTTPStatusError as error:
            found["refusal"] = [error.response.status_code, str(error)]
        return found


async def remote(address, image):
    async with InferenceGRPCClient(address) as client:

        async def infer(request):
            return told(await client.infer(request))

        found = {
            "live": await client.is_server_live(),
            "ready": await client.is_server_ready(),
            "model": await client.is_model_ready(MODEL),
            "binary": await infer(of_images([image, image])),
            "pixels": await infer(of_pixels(binary=False)),
            "binary pixels": await infer(of_pixels(binary=True)),
            "many": await asyncio.gather(*[infer(of_images([image])) for _ in range(16)]),
        }
        try:
            await infer(of_images([b"no image"]))
        except grpc.RpcError as error:
            found["refusal"] = [error.code().name, error.details()]
        return found


async def main(url, address, image):
    print(json.dumps({"rest": await rest(url, image), "grpc": await remote(address, image)}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]).read_bytes()))
