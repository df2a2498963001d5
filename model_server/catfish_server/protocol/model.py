"""The one model of a server in the terms of the Open Inference Protocol, for REST and gRPC alike.

Requests are checked here before their elements are read, so that no shape makes the server take more memory than
its limits allow.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from catfish_server.calls import Caller, Encoded
from catfish_server.inference.prediction import UNKNOWN
from catfish_server.protocol.errors import BadInference, NotHere
from catfish_server.protocol.tensors import ANY, BYTES, FP32, Declared, Tensor
from catfish_server.service import Service

IMAGES = "images"
PIXELS = "pixels"
LABEL, PROBABILITY, PROBABILITIES, LOGITS = "label", "probability", "probabilities", "logits"
UUID = "uuid"
"""Of each prediction: what `POST /feedback` joins by. A tensor, as parameters of an answer hold no lists."""

EXTENSIONS = ("binary_tensor_data", "classification")
"""https://github.com/triton-inference-server/server/tree/main/docs/protocol"""

LAPTOP_VERSION = "1"
"""Of a model that has no revision; what clients ask for who have to ask for something."""

_PLATFORMS = {"onnx": "onnx_onnxv1", "torchscript": "pytorch_torchscript", "exported": "pytorch_exported"}
"""`<project>_<format>`, as the protocol's list of platforms has it."""

_MAX_NAME = 64  # characters of a name that an error repeats


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An output that a request asks for.

    Attributes:
        name: of the output.
        classification: how many of the best classes to give instead of the tensor; None: the tensor.
    """

    name: str
    classification: int | None = None


class OpenModel:
    """Describes the model and answers for it; safe to use from every thread.

    Args:
        service: what is behind all protocols.
        ready: whether an inference would be answered right now.
    """

    def __init__(self, service: Service, *, ready: Callable[[], bool]) -> None:
        self.service = service
        self._settings = service.settings
        self.ready = ready
        side = self._settings.image_size
        self.inputs = (
            Declared(name=IMAGES, datatype=BYTES, shape=(ANY,)),
            Declared(name=PIXELS, datatype=FP32, shape=(ANY, 3, side, side)),
        )

    @property
    def name(self) -> str:
        """Of the model."""
        return self._settings.model_name

    @property
    def version(self) -> str:
        """The only one there is: the revision that the operator rolled out."""
        return self._settings.revision or LAPTOP_VERSION

    @property
    def platform(self) -> str:
        """What the weights came as."""
        return _PLATFORMS.get(self._settings.architecture, "pytorch_state_dict")

    @property
    def runtime(self) -> dict[str, str]:
        """What runs the model at this moment."""
        now = self.service.classifier.runtime
        return {"engine": now.engine, "device": now.device, "instruction_set": now.instruction_set}

    @property
    def outputs(self) -> tuple[Declared, ...]:
        """What may be asked for, as the model's owner allows."""
        classes = len(self.service.classifier.classes)
        told = [
            Declared(name=LABEL, datatype=BYTES, shape=(ANY,)),
            Declared(name=PROBABILITY, datatype=FP32, shape=(ANY,)),
        ]
        if self._settings.return_probabilities:
            told.append(Declared(name=PROBABILITIES, datatype=FP32, shape=(ANY, classes)))
            told.append(Declared(name=LOGITS, datatype=FP32, shape=(ANY, classes)))
        if self.service.journal.log is not None:
            told.append(Declared(name=UUID, datatype=BYTES, shape=(ANY,)))
        return tuple(told)

    @property
    def max_images(self) -> int:
        """Of one call."""
        return self._settings.max_images

    def require(self, name: str, version: str) -> None:
        """Checks that this is the model that is asked for; an empty version is any.

        Raises:
            NotHere: it is another one.
        """
        if name != self.name:
            raise NotHere(f"There is no model {name[:_MAX_NAME]!r} here; this is {self.name!r}.")
        if version not in {"", self.version}:
            raise NotHere(
                f"There is no version {version[:_MAX_NAME]!r} of the model here; this is {self.version!r}."
            )

    def declared(
        self, name: object, datatype: object, shape: object, *, field: str
    ) -> tuple[Declared, tuple[int, ...]]:
        """The input that a request means, and the shape that its elements have.

        Raises:
            BadInference: the model has no such input, or it is of another type or shape.
        """
        found = next((item for item in self.inputs if item.name == name), None)
        if found is None:
            raise BadInference(f"The model's inputs are {IMAGES} or {PIXELS}.", field=f"{field}.name")
        if datatype != found.datatype:
            raise BadInference(f"The datatype of {name} is {found.datatype}.", field=f"{field}.datatype")
        if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
            raise BadInference("The shape must be a list of sizes.", field=f"{field}.shape")
        expected = found.shape
        if (
            found.name == IMAGES and len(shape) == 2
        ):  # a batch of one image each, as some clients send everything
            expected = (ANY, 1)
        if len(shape) != len(expected) or any(
            want not in {ANY, got} for want, got in zip(expected, shape, strict=True)
        ):
            raise BadInference(f"The shape of {name} is {list(found.shape)}.", field=f"{field}.shape")
        if not 1 <= shape[0] <= self._settings.max_images:
            limit = self._settings.max_images
            raise BadInference(f"A call takes 1 to {limit} images, not {shape[0]}.", field=f"{field}.shape")
        return found, tuple(shape)

    def infer(self, inputs: Sequence[Tensor], wanted: Sequence[Wanted], *, caller: Caller) -> list[Tensor]:
        """The outputs that are wanted, or all there are; the inputs have been checked by `declared`.

        Raises:
            RequestError: there is no such output, not exactly one input, or the images cannot be answered.
        """
        if len(inputs) != 1:
            raise BadInference(f"Send one input: {IMAGES} or {PIXELS}.", field="inputs")
        (tensor,) = inputs
        asked = self._asked(wanted, pixels=tensor.name == PIXELS)
        if isinstance(tensor.data, np.ndarray):
            available = self._from_pixels(tensor.data, caller)
        else:
            available = self._from_images(tensor.data, caller)
        return [self._output(available, item) for item in asked]

    def _asked(self, wanted: Sequence[Wanted], *, pixels: bool) -> Sequence[Wanted]:
        """The outputs that are wanted, none of which can fail any more."""
        known = {item.name for item in self.outputs} - (set() if pixels else {LOGITS})
        if not wanted:
            return [Wanted(name=item.name) for item in self.outputs if item.name in known]
        for number, item in enumerate(wanted):
            field = f"outputs[{number}]"
            if item.name in {PROBABILITIES, LOGITS}:
                self.service.require_probabilities()
            if item.name == LOGITS and not pixels:
                raise BadInference(f"There are {LOGITS} for the input {PIXELS} alone.", field=f"{field}.name")
            if item.name not in known:
                raise BadInference(
                    f"The model's outputs are {', '.join(sorted(known))}.", field=f"{field}.name"
                )
            if item.classification is not None and item.name in {LABEL, PROBABILITY, UUID}:
                detail = f"Classes are told of {PROBABILITIES} and {LOGITS} alone."
                raise BadInference(detail, field=f"{field}.parameters.classification")
        names = [item.name for item in wanted]
        if len(set(names)) != len(names):
            raise BadInference("An output is asked for twice.", field="outputs")
        return wanted

    def _from_images(self, images: Sequence[bytes], caller: Caller) -> dict[str, Tensor]:
        answers = self.service.classify([Encoded.of(image) for image in images], caller=caller)
        predictions = [answer.prediction for answer in answers]
        rows = [list(prediction.probabilities.values()) for prediction in predictions]
        return _tensors(
            labels=[prediction.label for prediction in predictions],
            best=np.array([prediction.probability for prediction in predictions], np.float32),
            probabilities=np.array(rows, np.float32),
            uuids=[answer.uuid for answer in answers],
        )

    def _from_pixels(self, batch: NDArray[np.float32], caller: Caller) -> dict[str, Tensor]:
        if not np.isfinite(batch).all():
            raise BadInference("There is NaN or infinity among the values.", field="inputs[0].data")
        logits, uuids = self.service.infer(batch, caller=caller)
        if not np.isfinite(logits).all():
            raise BadInference("The model's answer to these values is not finite.", field="inputs[0].data")
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)
        best = probabilities.max(axis=1)
        threshold = self._settings.unknown_threshold
        names = self.service.classifier.classes
        labels = [
            UNKNOWN if threshold is not None and top < threshold else names[index]
            for index, top in zip(probabilities.argmax(axis=1), best, strict=True)
        ]
        found = _tensors(labels=labels, best=best, probabilities=probabilities, uuids=uuids)
        return found | {LOGITS: Tensor(name=LOGITS, data=logits, shape=logits.shape)}

    def _output(self, available: dict[str, Tensor], wanted: Wanted) -> Tensor:
        tensor = available[wanted.name]
        if wanted.classification is None or not isinstance(tensor.data, np.ndarray):
            return tensor
        count = min(wanted.classification, tensor.data.shape[1])
        names = self.service.classifier.classes
        told = [
            f"{row[index]:f}:{index}:{names[index]}".encode()
            for row in tensor.data
            for index in np.argsort(-row, kind="stable")[:count]
        ]
        return Tensor(name=tensor.name, data=told, shape=(len(tensor.data), count))


def _tensors(
    *,
    labels: Sequence[str],
    best: NDArray[np.float32],
    probabilities: NDArray[np.float32],
    uuids: Sequence[str],
) -> dict[str, Tensor]:
    return {
        LABEL: _texts(LABEL, labels),
        UUID: _texts(UUID, uuids),
        PROBABILITY: Tensor(name=PROBABILITY, data=best, shape=best.shape),
        PROBABILITIES: Tensor(name=PROBABILITIES, data=probabilities, shape=probabilities.shape),
    }


def _texts(name: str, texts: Sequence[str]) -> Tensor:
    return Tensor(name=name, data=[text.encode() for text in texts], shape=(len(texts),))
