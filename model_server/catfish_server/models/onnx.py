"""ONNX models, float32 and int8 (QDQ), run by ONNX Runtime instead of torch."""

import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidProtobuf

from catfish_server.errors import DamagedWeights, StartupFailure, UnsupportedFormat
from catfish_server.models.model import Images, Loaded, Logits, NotOneTensor
from catfish_server.models.pixels import PREPROCESS
from catfish_server.weights import exhausted

FATAL_ONLY = 4
"""On the scale of ONNX Runtime's `log_severity_level`: its errors are raised as well, and told by who catches them."""


_EXTERNAL_DIRECTORY = "session.model_external_initializers_file_folder_path"
"""onnxruntime_session_options_config_keys.h; for a model that is loaded from bytes."""


class Session:
    """One ONNX model on the thread that calls it.

    Args:
        path: of the file.
        optimized: whether the graph is rewritten into what is fast on this processor.

    Raises:
        UnsupportedFormat: it cannot be loaded; the text completes "the file …".
        DamagedWeights: it is cut short or damaged.
        OutOfMemory: it asks for more than there is.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path, *, optimized: bool) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # the engine has the threads
        options.log_severity_level = FATAL_ONLY
        level = onnxruntime.GraphOptimizationLevel
        options.graph_optimization_level = level.ORT_ENABLE_ALL if optimized else level.ORT_DISABLE_ALL
        try:
            # From bytes, and with a directory that is empty: weights in files beside it are in no digest.
            with exhausted.told(), tempfile.TemporaryDirectory() as nothing:
                options.add_session_config_entry(_EXTERNAL_DIRECTORY, nothing)
                content, providers = path.read_bytes(), ["CPUExecutionProvider"]
                self._session = onnxruntime.InferenceSession(content, options, providers=providers)
            # It keeps the file's bytes, as large as the weights, to begin anew with other providers.
            self._session._model_bytes = None
        except (OSError, StartupFailure):
            raise
        except InvalidProtobuf as error:
            raise DamagedWeights("is an ONNX model that is cut short or damaged; upload it again") from error
        except Exception as error:  # its classes have no base of their own
            raise UnsupportedFormat(
                "is an ONNX model with its weights in other files, one for another ONNX Runtime, or a damaged one"
            ) from error
        inputs = self._session.get_inputs()
        kind = "tensor(uint8)" if self.metadata.get(PREPROCESS) else "tensor(float)"
        if len(inputs) != 1 or inputs[0].type != kind:
            told = ", ".join(f"{taken.name[:40]}: {taken.type[:40]}" for taken in inputs[:4])
            raise UnsupportedFormat(f"is a model that takes {told or 'nothing'}, not one {kind}")
        self._input = inputs[0].name
        self._output = self._session.get_outputs()[0].name

    def __call__(self, batch: Images, /) -> Logits:
        """The first output for a batch.

        Raises:
            NotOneTensor: it is no tensor.
        """
        (logits,) = self._session.run([self._output], {self._input: np.ascontiguousarray(batch)})
        if not isinstance(logits, np.ndarray):  # a sequence or a map, as of classifiers that are no networks
            raise NotOneTensor(f"a {type(logits).__name__}")
        return logits.astype(np.float32, copy=False)

    @property
    def metadata(self) -> dict[str, str]:
        """What the file says of itself."""
        return dict(self._session.get_modelmeta().custom_metadata_map)


def load(path: Path) -> Loaded:
    """The model, with the same in unchanged operators as the reference.

    Raises:
        StartupFailure: it cannot be used.
    """
    session = Session(path, optimized=True)
    plain = Session(path, optimized=False)
    classes, preprocess = (session.metadata.get(name) or None for name in ("classes", PREPROCESS))
    return Loaded(
        model=session, reference=plain, classes=classes, engine="onnxruntime", preprocess=preprocess
    )
