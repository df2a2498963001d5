"""The modules in the repository are what protoc makes of the .proto beside them."""

import subprocess
import sys

import pytest

from catfish_server.protocol.generated import open_inference_pb2
from tools import protocol


def test_the_modules_are_those_of_the_proto(tmp_path):
    protocol.generate(tmp_path)
    folder = protocol.PROTO.parent
    made = sorted((tmp_path / folder.relative_to(protocol.ROOT)).iterdir())
    assert [file.name for file in made] == ["open_inference_pb2.py", "open_inference_pb2.pyi"]
    for file in made:
        assert file.read_text() == (folder / file.name).read_text(), f"{file.name}: run `make protocol`"


def test_the_service_has_the_methods_that_are_answered():
    from catfish_server.protocol.calls import SERVICE, Calls

    (service,) = open_inference_pb2.DESCRIPTOR.services_by_name.values()
    assert service.full_name == SERVICE
    answered = Calls(None, None, revision=None)._methods
    assert set(answered) == {f"/{SERVICE}/{method.name}" for method in service.methods}
    for method in service.methods:
        assert answered[f"/{SERVICE}/{method.name}"].request.DESCRIPTOR is method.input_type


@pytest.mark.process
def test_grpc_is_imported_only_where_its_port_is_on():
    code = "import sys, catfish_server.web.server, catfish_server.web.app; assert 'grpc' not in sys.modules"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
