"""gRPC's messages: from a request to tensors, and from tensors to an answer."""

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
from numpy.typing import NDArray

from catfish_server.protocol import tensors
from catfish_server.protocol.errors import BadInference
from catfish_server.protocol.generated import open_inference_pb2 as pb
from catfish_server.protocol.model import OpenModel, Wanted
from catfish_server.protocol.tensors import BYTES, Declared, Tensor


def inputs(request: pb.ModelInferRequest, model: OpenModel) -> list[Tensor]:
    """The tensors that a request brings.

    Raises:
        BadInference: they are not for this model, or their elements are missing, too many or given twice.
    """
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        detail = f"There are {len(request.inputs)} inputs, and the raw contents of {len(raw)}."
        raise BadInference(detail, field="raw_input_contents")
    found: list[Tensor] = []
    for number, item in enumerate(request.inputs):
        where = f"inputs[{number}]"
        declared, shape = model.declared(item.name, item.datatype, list(item.shape), field=where)
        if not raw:
            data = _typed(item.contents, declared, shape, f"{where}.contents")
        elif item.HasField("contents"):
            raise BadInference("The elements are there twice, raw and typed.", field=f"{where}.contents")
        else:
            data = _read(raw[number], declared, shape, f"raw_input_contents[{number}]")
        found.append(Tensor(name=declared.name, data=data, shape=shape))
    return found


def wanted(request: pb.ModelInferRequest) -> list[Wanted]:
    """The outputs that a request asks for; none: all.

    Raises:
        BadInference: a parameter has another type than the protocol gives it.
    """
    return [
        Wanted(name=item.name, classification=_classification(item.parameters, f"outputs[{number}]"))
        for number, item in enumerate(request.outputs)
    ]


def answer(
    request: pb.ModelInferRequest, outputs: Sequence[Tensor], model: OpenModel
) -> pb.ModelInferResponse:
    """The answer, with raw contents for who has sent raw contents."""
    response = pb.ModelInferResponse(model_name=model.name, model_version=model.version, id=request.id)
    for tensor in outputs:
        described = response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        if request.raw_input_contents:
            response.raw_output_contents.append(tensor.raw())
        elif isinstance(tensor.data, np.ndarray):
            described.contents.fp32_contents.extend(tensor.data.ravel().tolist())
        else:
            described.contents.bytes_contents.extend(tensor.data)
    return response


def metadata(model: OpenModel) -> pb.ModelMetadataResponse:
    """What the model takes and gives."""
    return pb.ModelMetadataResponse(
        name=model.name,
        versions=[model.version],
        platform=model.platform,
        inputs=[_described(item) for item in model.inputs],
        outputs=[_described(item) for item in model.outputs],
    )


def _described(tensor: Declared) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(
        name=tensor.name, datatype=tensor.datatype, shape=tensor.shape
    )


def _read(
    raw: bytes, declared: Declared, shape: tuple[int, ...], where: str
) -> NDArray[np.float32] | list[bytes]:
    if declared.datatype == BYTES:
        return tensors.elements(memoryview(raw), shape=shape, field=where)
    return tensors.floats(memoryview(raw), shape=shape, field=where)


def _typed(
    contents: pb.InferTensorContents, declared: Declared, shape: tuple[int, ...], where: str
) -> NDArray[np.float32] | list[bytes]:
    given = contents.bytes_contents if declared.datatype == BYTES else contents.fp32_contents
    name = "bytes_contents" if declared.datatype == BYTES else "fp32_contents"
    if len(given) != prod(shape):
        detail = f"The shape has {prod(shape)} elements, and there are {len(given)}."
        raise BadInference(detail, field=f"{where}.{name}")
    if declared.datatype == BYTES:
        return list(contents.bytes_contents)
    return np.fromiter(contents.fp32_contents, np.float32, count=len(given)).reshape(shape)


def _classification(parameters: Mapping[str, pb.InferParameter], where: str) -> int | None:
    if "classification" not in parameters:
        return None
    value = parameters["classification"]
    if value.WhichOneof("parameter_choice") != "int64_param" or value.int64_param < 1:
        raise BadInference(
            "The parameter must be an int64 from 1 on.", field=f"{where}.parameters.classification"
        )
    return value.int64_param
