"""Each import happens in a process of its own: this one has imported everything already."""

import subprocess
import sys
import textwrap


def run(program):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(program)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_the_compiler_is_not_imported_and_is_there_for_who_needs_it():
    program = """
        import sys
        from catfish_server.models.vision import models
        assert not [name for name in sys.modules if name.startswith("torch._dynamo")]
        import torch
        module, image = models.resnet18(num_classes=2).eval(), torch.ones(1, 3, 64, 64)
        plain = module(image)
        assert torch.allclose(torch.export.export(module, (image,)).module()(image), plain, atol=1e-4)
        print(sys.modules["torch._dynamo"].__file__)
    """
    [found] = run(program)
    assert found.endswith("torch/_dynamo/__init__.py")


def test_a_torchvision_that_wants_more_of_the_compiler_is_imported_as_usual():
    program = """
        import importlib.abc, sys
        class Wanting(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path, target=None):
                if name == "torchvision.ops":
                    from torch._dynamo.utils import counters
        sys.meta_path.insert(0, Wanting())
        from catfish_server.models.vision import models
        print(sys.modules["torch._dynamo"].__file__, models.resnet18(num_classes=2).fc.out_features)
    """
    file, outputs = run(program)
    assert file.endswith("torch/_dynamo/__init__.py")
    assert outputs == "2"


def test_building_a_model_around_its_weights_does_not_import_it_either():
    program = """
        import sys
        from catfish_server.models import registry
        from catfish_server.models.vision import models
        for name in ("resnet18", "mobilenet_v3_small", "efficientnet_b0", "convnext_tiny", "vit_b_32", "swin_t"):
            weights = models.get_model(name, num_classes=2).state_dict()
            registry.build(name, weights, classes=("cat", "fish"), image_size=224, head_hidden=None)
            print(name, *(module for module in sys.modules if module == "torch._dynamo"))
    """
    assert "torch._dynamo" not in run(program)
