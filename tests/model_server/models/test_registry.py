import pytest
import torch
from torch import nn
from torchvision import models

from catfish_server.errors import ArchitectureMismatch, InvalidSpec
from catfish_server.models import heads, registry
from catfish_server.models.cnnnet import CNNNet

CLASSES = ("cat", "fish")


def book_head(width, hidden=500, outputs=2):
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(), nn.Linear(hidden, outputs))


def resnet(head=None):
    model = models.resnet18(weights=None)
    model.fc = head or nn.Linear(512, 2)
    return model


def same_answers(model, built, size=64):
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(built(images), model.eval()(images))


def squeezenet():
    model = models.squeezenet1_1(weights=None)
    model.classifier[1] = nn.Conv2d(512, 2, kernel_size=1)
    return model


def mobilenet(change):
    model = models.mobilenet_v3_small(weights=None)
    change(model)
    return model


def replace_last(model):
    model.classifier[3] = nn.Linear(1024, 2)


def nest_in_last(model):
    model.classifier[3] = book_head(1024)


def replace_block(model):
    model.classifier = book_head(576)


def replace_block_by_one(model):
    model.classifier = nn.Linear(576, 2)


def dropout_first(model):
    model.classifier = nn.Sequential(nn.Dropout(), nn.Linear(576, 2))


@pytest.mark.parametrize(
    ("architecture", "model"),
    [
        pytest.param("resnet18", resnet, id="linear"),
        pytest.param("resnet18", lambda: resnet(nn.Linear(512, 2, bias=False)), id="no-bias"),
        pytest.param("resnet18", lambda: resnet(book_head(512)), id="the-book's"),
        pytest.param(
            "resnet18",
            lambda: resnet(nn.Sequential(nn.Linear(512, 8), nn.ReLU(), nn.Linear(8, 2))),
            id="no-dropout",
        ),
        pytest.param(
            "resnet18", lambda: resnet(nn.Sequential(nn.Dropout(), nn.Linear(512, 2))), id="dropout-first"
        ),
        pytest.param("mobilenet_v3_small", lambda: mobilenet(replace_last), id="last-of-a-block"),
        pytest.param("mobilenet_v3_small", lambda: mobilenet(nest_in_last), id="nested-in-a-block"),
        pytest.param("mobilenet_v3_small", lambda: mobilenet(replace_block), id="whole-block"),
        pytest.param("mobilenet_v3_small", lambda: mobilenet(replace_block_by_one), id="block-becomes-one"),
        pytest.param("mobilenet_v3_small", lambda: mobilenet(dropout_first), id="block-of-dropout"),
        pytest.param("squeezenet1_1", squeezenet, id="convolution"),
        pytest.param("cnnnet", CNNNet, id="cnnnet"),
    ],
)
def test_a_head_is_read_off_the_weights_and_the_model_answers_as_it_did(architecture, model):
    torch.manual_seed(0)
    original = model()
    built = registry.build(architecture, original.state_dict(), classes=CLASSES)
    same_answers(original, built)
    assert not built.training
    assert not any(parameter.requires_grad for parameter in built.parameters())


def meta_weights(architecture, outputs=3):
    """Names and shapes of the weights of a model with so many outputs; no memory."""
    options = {"init_weights": False} if architecture in registry.AUXILIARY else {}
    with registry._Unfilled():
        model = (
            CNNNet() if architecture == "cnnnet" else models.get_model(architecture, weights=None, **options)
        )
    path, layer = heads.last_layer(model)
    weights = {key: torch.empty_like(value, device="meta") for key, value in model.state_dict().items()}
    for name in ("weight", "bias"):
        if f"{path}.{name}" in weights:
            shape = (outputs, *getattr(layer, name).shape[1:])
            weights[f"{path}.{name}"] = torch.empty(shape, device="meta")
    return weights


@pytest.mark.parametrize("architecture", registry.names())
def test_every_classifier_of_torchvision_takes_its_own_weights(architecture):
    weights = meta_weights(architecture)
    model = registry.build(architecture, weights, classes=("a", "b", "c"))
    assert heads.outputs(model) == 3
    # What is not in the state_dict was never filled with anything and would be garbage.
    assert {name for name, _ in model.named_buffers()} <= set(weights)


@pytest.mark.parametrize("architecture", sorted(registry.AUXILIARY))
def test_weights_with_and_without_the_head_that_only_training_uses_are_taken(architecture):
    weights = meta_weights(architecture)
    prefix = registry.AUXILIARY[architecture].rstrip("1.")
    without = {key: value for key, value in weights.items() if not key.startswith(prefix)}
    assert len(without) < len(weights)
    registry.build(architecture, without, classes=("a", "b", "c"))


def test_weights_from_before_the_batch_counter_are_taken():
    original = resnet()
    old = {
        key: value for key, value in original.state_dict().items() if not key.endswith("num_batches_tracked")
    }
    same_answers(original, registry.build("resnet18", old, classes=CLASSES))


def test_a_vision_transformer_is_built_for_the_size_of_its_images():
    with registry._Unfilled():
        small = models.vit_b_32(weights=None, image_size=96, num_classes=2)
    weights = {key: torch.empty_like(value, device="meta") for key, value in small.state_dict().items()}
    registry.build("vit_b_32", weights, classes=CLASSES, image_size=96)
    with pytest.raises(
        ArchitectureMismatch, match=r"pos_embedding: expected \[1, 50, 768\], found \[1, 10, 768\]"
    ):
        registry.build("vit_b_32", weights, classes=CLASSES)
    with pytest.raises(InvalidSpec, match=r"^spec\.model\.imageSize: vit_b_32 takes no images of 97 pixels"):
        registry.build("vit_b_32", weights, classes=CLASSES, image_size=97)


def test_other_weights_are_refused_with_the_first_five_differences():
    with pytest.raises(ArchitectureMismatch) as failed:
        registry.build("resnet34", resnet().state_dict(), classes=CLASSES)
    sentence = str(failed.value)
    assert sentence.startswith("spec.model.architecture: these are not the weights of a resnet34: ")
    assert "layer1.2.conv1.weight: expected [64, 64, 3, 3], found nothing" in sentence
    assert sentence.count("expected") == 5
    assert sentence.endswith(" more")


def test_shapes_and_strange_keys_are_named():
    weights = resnet().state_dict() | {"conv1.weight": torch.ones(64, 1, 7, 7), "extra": torch.ones(3)}
    with pytest.raises(ArchitectureMismatch) as failed:
        registry.build("resnet18", weights, classes=CLASSES)
    assert (
        "2 of the keys differ: conv1.weight: expected [64, 3, 7, 7], found [64, 1, 7, 7]; extra: expected nothing"
        in str(failed.value)
    )


def test_whole_numbers_in_the_place_of_weights_are_refused():
    weights = resnet().state_dict()
    weights["conv1.weight"] = torch.ones(64, 3, 7, 7, dtype=torch.int8)
    with pytest.raises(ArchitectureMismatch, match=r"conv1\.weight: expected float32, found int8"):
        registry.build("resnet18", weights, classes=CLASSES)


@pytest.mark.parametrize("shape", [(), (0, 512), (2,), (2, 512, 1)])
def test_a_head_of_an_impossible_shape_is_refused(shape):
    weights = resnet().state_dict() | {"fc.weight": torch.ones(shape)}
    with pytest.raises(ArchitectureMismatch):
        registry.build("resnet18", weights, classes=CLASSES)


def test_as_many_classes_as_outputs_are_needed():
    with pytest.raises(
        ArchitectureMismatch, match=r"^spec\.model\.classes: names 3 classes, and .* 2 outputs$"
    ):
        registry.build("resnet18", resnet().state_dict(), classes=("a", "b", "c"))


@pytest.mark.parametrize(
    ("head", "says"),
    [(book_head(512, hidden=100), "is 500, and .* 100 wide"), (None, "is 500, and .* not there")],
)
def test_a_hidden_layer_that_the_spec_names_must_be_there(head, says):
    with pytest.raises(ArchitectureMismatch, match=rf"^spec\.model\.head\.hidden: {says}"):
        registry.build("resnet18", resnet(head).state_dict(), classes=CLASSES, head_hidden=500)


def test_a_hidden_layer_as_the_spec_names_it_is_taken():
    registry.build("resnet18", resnet(book_head(512)).state_dict(), classes=CLASSES, head_hidden=500)


@pytest.mark.parametrize(
    "name", ["resnet19", "fasterrcnn_resnet50_fpn", "raft_large", "quantized_resnet18", ""]
)
def test_only_classification_models_are_there(name):
    with pytest.raises(InvalidSpec, match=r"^spec\.model\.architecture: there is no"):
        registry.build(name, {}, classes=CLASSES)


def test_the_model_uses_the_tensors_that_it_is_given_and_copies_none():
    weights = resnet().state_dict()
    built = registry.build("resnet18", weights, classes=CLASSES)
    assert built.conv1.weight.data_ptr() == weights["conv1.weight"].data_ptr()
