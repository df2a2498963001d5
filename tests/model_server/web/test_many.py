"""Several images in one call of `/predict`."""

import base64
import io

import pytest
from PIL import Image

from catfish_server.images.source import FetchFailed, ImageSource
from catfish_server.inference import classifier as classifying
from catfish_server.web import app as application
from tests.model_server.web.test_app import Source

URL = "http://pictures.test/{}.jpg"


def picture(colour):
    buffer = io.BytesIO()
    Image.new("RGB", (40, 40), colour).save(buffer, "PNG")
    return buffer.getvalue()


PICTURES = [picture(colour) for colour in ("red", "green", "blue")]


def text(data):
    return base64.b64encode(data).decode()


def in_json(client, pictures, **more):
    return client.post("/predict", json={"images": [text(data) for data in pictures], **more})


def in_objects(client, pictures):
    return client.post("/predict", json={"images": [{"image": text(data)} for data in pictures]})


def as_files(client, pictures):
    return client.post("/predict", data={"image": [(io.BytesIO(data), "a.png") for data in pictures]})


def as_files_called_images(client, pictures):
    return client.post("/predict", data={"images": [(io.BytesIO(data), "a.png") for data in pictures]})


WAYS = [in_json, in_objects, as_files, as_files_called_images]


@pytest.mark.parametrize("way", WAYS)
def test_the_answers_come_in_the_order_of_the_images_and_are_those_of_single_calls(client_of, way):
    client = client_of()
    alone = [client.post("/predict", data=data, content_type="image/png").get_json() for data in PICTURES]
    assert way(client, PICTURES).get_json() == {"predictions": alone}
    assert way(client, PICTURES[::-1]).get_json() == {"predictions": alone[::-1]}


@pytest.mark.parametrize("way", [in_json, in_objects, as_files_called_images])
def test_a_list_of_one_is_answered_with_a_list_of_one(client_of, way):
    assert len(way(client_of(), PICTURES[:1]).get_json()["predictions"]) == 1


def test_addresses_and_images_may_be_mixed(client_of):
    source = Source(PICTURES[1])
    images = [text(PICTURES[0]), {"image_url": URL.format(1)}, {"image_url": URL.format(2)}]
    answer = client_of(source=source).post("/predict", json={"images": images}).get_json()
    assert source.asked == [URL.format(1), URL.format(2)]
    assert [one["image"] for one in answer["predictions"]][1:] == source.asked


def test_all_probabilities_come_for_each(client_of):
    answer = in_json(client_of(return_probabilities=True), PICTURES, probabilities=True).get_json()
    assert [set(one["probabilities"]) for one in answer["predictions"]] == [{"cat", "fish"}] * 3


@pytest.mark.parametrize(
    ("images", "status", "field"),
    [
        pytest.param([], 400, "images", id="none"),
        pytest.param("x", 400, "images", id="not a list"),
        pytest.param(None, 400, "images", id="null"),
        pytest.param([text(PICTURES[0])] * 5, 400, "images", id="too many"),
        pytest.param([text(PICTURES[0]), "***"], 400, "images[1]", id="not base64"),
        pytest.param([text(PICTURES[0]), ""], 400, "images[1]", id="empty"),
        pytest.param([text(PICTURES[0]), 7], 400, "images[1]", id="a number"),
        pytest.param([{}], 400, "images[0]", id="an empty object"),
        pytest.param([{"image": 1}], 400, "images[0]", id="a number inside"),
        pytest.param([{"image": "", "image_url": ""}], 400, "images[0]", id="both"),
        pytest.param([{"url": "http://a.test/"}], 400, "images[0]", id="another name"),
        pytest.param([{"image_url": "cat.jpg"}], 400, "images[0]", id="no address"),
        pytest.param([{"image_url": "http://127.0.0.1/"}], 422, "images[0]", id="a private address"),
        pytest.param([text(PICTURES[0]), text(b"hello")], 415, "images[1]", id="no image"),
        pytest.param([text(PICTURES[0]), text(PICTURES[0][:60])], 422, "images[1]", id="a damaged image"),
    ],
)
def test_an_error_names_the_image_that_is_to_blame(problem, client_of, images, status, field):
    response = client_of(max_images=4).post("/predict", json={"images": images})
    assert problem(response, status)["field"] == field


def test_as_many_images_as_the_limit_are_taken(client_of):
    client = client_of(max_images=64)
    assert len(in_objects(client, PICTURES[:1] * 64).get_json()["predictions"]) == 64
    assert len(as_files(client, PICTURES[:1] * 64).get_json()["predictions"]) == 64


@pytest.mark.parametrize("way", [in_json, as_files])
def test_one_more_than_the_limit_is_refused(problem, client_of, way):
    document = problem(way(client_of(max_images=3), PICTURES[:1] * 4), 400)
    assert (document["field"], "1 to 3" in document["detail"]) == ("images", True)


@pytest.mark.parametrize("name", ["image", "image_url"])
def test_one_image_and_several_at_once_are_refused(problem, client_of, name):
    response = client_of().post("/predict", json={"images": [text(PICTURES[0])], name: text(PICTURES[0])})
    assert problem(response, 400)["field"] == "images"


def test_files_and_an_address_at_once_are_refused(problem, client_of):
    files = {"images": (io.BytesIO(PICTURES[0]), "a.png"), "image_url": URL.format(1)}
    assert problem(client_of().post("/predict", data=files), 400)["field"] == "images"


def test_a_damaged_file_is_named_too(problem, client_of):
    assert problem(as_files(client_of(), [PICTURES[0], b"hello"]), 415)["field"] == "images[1]"


def test_fetched_images_may_take_no_more_memory_than_a_body(problem, client_of, jpeg):
    source = Source(jpeg)
    client = client_of(source=source, max_body_bytes=2 * len(jpeg) + 1)
    response = client.post("/predict", json={"images": [{"image_url": URL.format(n)} for n in range(6)]})
    assert problem(response, 413)["field"] == "images[2]"
    assert len(source.asked) == 3


def test_slow_addresses_end_the_call_after_a_while(problem, client_of, monkeypatch):
    monkeypatch.setattr(application, "FETCHING_SECONDS", -1.0)
    response = client_of(source=Source(PICTURES[0])).post(
        "/predict", json={"images": [text(PICTURES[0]), {"image_url": URL.format(1)}]}
    )
    assert (problem(response, 422)["field"], response.get_json(force=True)["title"]) == (
        "images[1]",
        FetchFailed.title,
    )


def test_each_image_is_counted_and_the_call_is_timed_once(client_of):
    client = client_of()
    in_json(client, PICTURES)
    lines = client.metrics.text().decode().splitlines()
    assert "catfish_images_total 3.0" in lines
    assert "catfish_request_duration_seconds_count 1.0" in lines
    for stage, count in (("decode", 3), ("infer", 3), ("queue", 3), ("total", 1), ("fetch", 0)):
        assert f'catfish_request_stage_seconds_count{{stage="{stage}"}} {count}.0' in lines


def test_the_unknown_are_counted_beside_all(client_of, classifier, monkeypatch):
    monkeypatch.setattr(classifier, "_unknown_threshold", 1.0)
    client = client_of(unknown_threshold=1.0, source=ImageSource())
    in_json(client, PICTURES)
    lines = client.metrics.text().decode().splitlines()
    assert {"catfish_images_total 3.0", "catfish_images_unknown_total 3.0"} <= set(lines)


def test_images_of_a_call_are_decoded_one_at_a_time(client_of, monkeypatch):
    events = []
    original = classifying.preprocess

    def preprocess(image, **how):
        events.append("shrunk")
        return original(image, **how)

    monkeypatch.setattr(classifying, "preprocess", preprocess)
    service = client_of().application.view_functions["predict"].service
    decoded = service._decoded
    object.__setattr__(service, "_decoded", lambda image: (events.append("decoded"), decoded(image))[1])
    from catfish_server.calls import Caller, Encoded

    service.classify([Encoded.of(data) for data in PICTURES], caller=Caller(request_id="r"))
    assert events == ["decoded", "shrunk"] * 3
