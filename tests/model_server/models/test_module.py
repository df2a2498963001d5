import threading

import numpy as np
import pytest
import torch
from torch import nn

from catfish_server.models.model import NotOneTensor
from catfish_server.models.module import TorchModel


class Seen(nn.Module):
    """Keeps what it was called with and in which state of torch."""

    def __init__(self, answer=lambda batch: batch.mean(dim=(2, 3))):
        super().__init__()
        self.answer = answer

    def forward(self, batch):
        self.batch = batch
        self.state = (torch.is_inference_mode_enabled(), torch.get_num_threads())
        return self.answer(batch)


def array(shape=(2, 4, 5, 3)):
    """Images as preprocessing makes them: channels last in memory."""
    return np.random.default_rng(7).standard_normal(shape, dtype=np.float32).transpose(0, 3, 1, 2)


def test_a_batch_is_neither_copied_nor_laid_out_anew():
    seen, batch = Seen(), array()
    answer = TorchModel(seen)(batch)
    assert seen.batch.data_ptr() == batch.ctypes.data
    assert seen.batch.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_allclose(answer, batch.mean(axis=(2, 3)), rtol=1e-5, atol=1e-6)
    assert (answer.dtype, answer.shape) == (np.float32, (2, 3))


@pytest.mark.parametrize(
    "view",
    [
        pytest.param(lambda batch: batch[:, :, ::-1], id="upside-down"),
        pytest.param(lambda batch: batch[:, ::-1], id="bgr"),
        pytest.param(lambda batch: batch[::2, :, 1:, 1:], id="cut-out"),
        pytest.param(lambda batch: np.broadcast_to(batch[:1], batch.shape), id="one-for-all"),
        pytest.param(
            lambda batch: np.frombuffer(batch.tobytes(), np.float32).reshape(2, 3, 4, 5), id="read-only"
        ),
        pytest.param(lambda batch: np.rec.fromarrays([batch, batch.astype(np.int8)])["f0"], id="odd-strides"),
    ],
)
def test_a_batch_in_any_memory_is_taken_as_it_reads(view):
    batch = view(array())
    seen = Seen()
    TorchModel(seen)(batch)
    np.testing.assert_array_equal(seen.batch.numpy(), batch)


def test_each_thread_that_computes_is_one_thread_of_torch_without_gradients():
    seen = Seen()
    model = TorchModel(seen)
    thread = threading.Thread(target=model, args=(array(),))
    thread.start()
    thread.join()
    assert seen.state == (True, 1)


def test_answers_in_half_precision_become_float32():
    answer = TorchModel(Seen(lambda batch: batch.mean(dim=(2, 3)).bfloat16()))(array())
    assert answer.dtype == np.float32


def test_what_is_no_tensor_is_named():
    with pytest.raises(NotOneTensor, match=r"^a tuple$"):
        TorchModel(Seen(lambda batch: (batch, batch)))(array())


def test_the_weights_of_convolutions_are_laid_out_channels_last():
    convolution = nn.Conv2d(3, 8, kernel_size=3)
    TorchModel.channels_last(convolution)
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last)
