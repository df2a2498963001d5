import base64
import hashlib
import io
import json
import logging
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from catfish_server.errors import Overloaded
from catfish_server.images.source import ImageSource
from catfish_server.service import MAX_FETCHES
from catfish_server.web.app import MAX_QUEUED_SECONDS

URL = "http://pictures.test/cat.jpg"


class Source:
    """Hands out one image for every URL."""

    def __init__(self, data):
        self.data = data
        self.asked = []

    def fetch(self, url):
        self.asked.append(url)
        return self.data


class Failing:
    shorter_side, max_images = 37, 32

    def __init__(self, error):
        self.error = error

    def predict_all(self, _images, *, count):  # noqa: ARG002
        raise self.error


def test_the_root_says_ok_and_nothing_else(client_of):
    response = client_of().get("/")
    assert (response.status_code, response.get_json()) == (200, {"status": "ok"})


def test_every_answer_names_the_revision_and_the_request(client_of):
    headers = client_of().get("/").headers
    assert headers["X-Catfish-Revision"] == "catfish-0123456789"
    assert re.fullmatch(r"[0-9a-f]{32}", headers["X-Request-Id"])


def test_without_a_revision_there_is_no_header_of_it(client_of):
    assert "X-Catfish-Revision" not in client_of(revision=None).get("/").headers


@pytest.mark.parametrize(
    ("given_id", "kept"),
    [("abc-123", True), ("a" * 128, True), ("a" * 129, False), ("a b", False), ("ä", False)],
)
def test_a_sane_request_id_of_the_caller_is_kept(client_of, given_id, kept):
    response = client_of().get("/", headers={"X-Request-Id": given_id})
    assert (response.headers["X-Request-Id"] == given_id) is kept


def by_url(client, **_):
    return client.get("/predict", query_string={"image_url": URL})


def by_url_posted_in_the_query(client, **_):
    return client.post("/predict", query_string={"image_url": URL})


def by_url_in_a_form(client, **_):
    return client.post("/predict", data={"image_url": URL})


def by_url_in_json(client, **_):
    return client.post("/predict", json={"image_url": URL})


@pytest.mark.parametrize("way", [by_url, by_url_posted_in_the_query, by_url_in_a_form, by_url_in_json])
def test_an_image_by_its_url_is_answered_with_that_url(client_of, jpeg, way):
    source = Source(jpeg)
    answer = way(client_of(source=source)).get_json()
    assert source.asked == [URL]
    assert (answer["image"], answer["prediction"] in {"cat", "fish"}) == (URL, True)
    assert sorted(answer) == ["image", "prediction", "probability"]


def as_raw(client, jpeg):
    return client.post("/predict", data=jpeg, content_type="image/jpeg")


def as_octets(client, jpeg):
    return client.post("/predict", data=jpeg, content_type="application/octet-stream")


def as_a_file(client, jpeg):
    return client.post("/predict", data={"image": (io.BytesIO(jpeg), "cat.jpg")})


def as_a_file_of_another_name(client, jpeg):
    return client.post("/predict", data={"file": (io.BytesIO(jpeg), "cat.jpg")})


def as_base64_in_json(client, jpeg):
    return client.post("/predict", json={"image": base64.b64encode(jpeg).decode()})


@pytest.mark.parametrize("way", [as_raw, as_octets, as_a_file, as_a_file_of_another_name, as_base64_in_json])
def test_an_image_that_comes_along_is_answered_with_its_digest(client_of, jpeg, way):
    answer = way(client_of(), jpeg).get_json()
    assert answer["image"] == f"sha256:{hashlib.sha256(jpeg).hexdigest()}"
    assert 0.5 <= answer["probability"] <= 1


def test_all_probabilities_are_given_where_the_model_allows_it_and_the_call_asks(client_of, jpeg):
    client = client_of(return_probabilities=True)
    assert "probabilities" not in as_raw(client, jpeg).get_json()
    answer = client.post("/predict?probabilities=true", data=jpeg, content_type="image/jpeg").get_json()
    assert set(answer["probabilities"]) == {"cat", "fish"}
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("way", [by_url_in_a_form, by_url_in_json, as_base64_in_json, as_a_file])
def test_the_query_may_ask_for_all_probabilities_whatever_the_body_is(client_of, jpeg, way):
    client = client_of(return_probabilities=True, source=Source(jpeg))
    post, client.post = client.post, lambda path, **body: post(f"{path}?probabilities=true", **body)
    answer = way(client, jpeg=jpeg)
    assert set(answer.get_json()["probabilities"]) == {"cat", "fish"}


def test_all_probabilities_are_refused_where_the_model_does_not_allow_it(problem, client_of, jpeg):
    response = client_of().post("/predict?probabilities=true", data=jpeg, content_type="image/jpeg")
    assert problem(response, 403)["field"] == "probabilities"


def test_image_urls_can_be_switched_off(problem, client_of, jpeg):
    source = Source(jpeg)
    response = by_url(client_of(source=source, image_urls_enabled=False))
    assert problem(response, 403)["field"] == "image_url"
    assert source.asked == []


def test_a_method_that_is_not_allowed_is_told_which_are(client_of):
    response = client_of().delete("/predict")
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


def test_a_body_over_the_limit_is_refused(problem, client_of):
    response = client_of(max_body_bytes=1000).post("/predict", data=b"x" * 1001, content_type="image/png")
    problem(response, 413)


def test_an_image_over_the_limit_of_pixels_is_refused(problem, client_of, jpeg):
    problem(as_raw(client_of(max_pixels=1000), jpeg), 413)


def test_a_truncated_image_is_refused(problem, client_of, jpeg):
    problem(client_of().post("/predict", data=jpeg[:300], content_type="image/jpeg"), 422)


def test_overload_says_when_to_come_back_and_is_counted(problem, client_of, jpeg):
    client = client_of(classifies=Failing(Overloaded("Busy.", reason="queue", retry_after_seconds=3)))
    response = as_raw(client, jpeg)
    problem(response, 503)
    assert response.headers["Retry-After"] == "3"
    assert b'catfish_rejections_total{reason="queue"} 1.0' in client.metrics.text()


class Stuck:
    """Hands out nothing until it is let go."""

    def __init__(self, data):
        self.data, self.go, self.entered = data, threading.Event(), threading.Semaphore(0)

    def fetch(self, _url):
        self.entered.release()
        assert self.go.wait(20)
        return self.data


def test_slow_hosts_do_not_take_all_threads_and_leave_nothing_taken(client_of, jpeg, problem):
    source = Stuck(jpeg)
    client = client_of(source=source)
    ask = client.application.test_client
    with ThreadPoolExecutor(MAX_FETCHES) as pool:
        fetching = [pool.submit(by_url, ask()) for _ in range(MAX_FETCHES)]
        for _ in fetching:
            assert source.entered.acquire(timeout=20)
        problem(by_url(client), 503)
        assert as_raw(client, jpeg).status_code == 200
        source.go.set()
        assert [future.result(timeout=20).status_code for future in fetching] == [200] * MAX_FETCHES
    assert by_url(client).status_code == 200


def test_a_request_that_waited_too_long_for_a_thread_is_refused(problem, client_of):
    response = client_of().get("/", environ_overrides={"catfish.queued_seconds": MAX_QUEUED_SECONDS + 0.5})
    problem(response, 503)
    assert response.headers["Retry-After"] == "1"


def test_a_failure_of_the_model_shows_nothing_of_the_inside(problem, client_of, jpeg, caplog):
    caplog.set_level(logging.INFO)
    response = as_raw(client_of(classifies=Failing(RuntimeError("secret\nat /srv/model.py"))), jpeg)
    document = problem(response, 500)
    assert "secret" not in response.text
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [f"Request {document['request_id']} failed: RuntimeError: secret"]
    assert caplog.records[0].exc_info is None


def test_an_error_is_one_line_of_the_log_and_a_success_is_none(client_of, jpeg, caplog):
    caplog.set_level(logging.INFO)
    client = client_of()
    as_raw(client, jpeg)
    assert caplog.records == []
    response = client.get("/predict", query_string={"image_url": "http://h.test:22/?token=secret\n\x1b[31m"})
    assert [record.getMessage() for record in caplog.records] == [
        f"Request {response.headers['X-Request-Id']} answered 400: {response.get_json()['detail']}"
    ]
    assert "secret" not in caplog.text


def test_head_and_options_are_answered_without_a_body(client_of):
    client = client_of()
    assert (client.head("/").status_code, client.head("/").data) == (200, b"")
    options = client.options("/predict")
    assert (options.status_code, options.data) == (200, b"")
    assert set(options.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


def test_requests_are_counted_by_status_and_none_stays_in_flight(client_of, jpeg):
    client = client_of()
    as_raw(client, jpeg)
    client.get("/predict")
    text = client.metrics.text()
    assert b'catfish_requests_total{code="200",path="/predict"} 1.0' in text
    assert b'catfish_requests_total{code="400",path="/predict"} 1.0' in text
    assert b"catfish_requests_in_flight 0.0" in text


def test_every_format_and_size_is_answered(client_of):
    client = client_of()
    for kind in ("JPEG", "PNG", "WEBP", "GIF", "BMP"):
        for size in ((1, 1), (3, 2), (640, 480)):
            buffer = io.BytesIO()
            Image.new("RGB", size, "teal").save(buffer, kind)
            assert as_raw(client, buffer.getvalue()).status_code == 200, (kind, size)


def resolves_nothing(_host, _port):
    raise socket.gaierror("no such name")


# st.text() alone makes no lone surrogates, which JSON can carry and UTF-8 cannot.
texts = st.text(st.characters(), max_size=20)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | texts.map("http://h.test/{}".format),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
bodies = json_values | st.dictionaries(
    st.sampled_from(["image", "image_url", "probabilities", "x"]), json_values, max_size=4
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=bodies)
def test_any_json_is_answered_with_a_problem_and_never_with_a_failure(problem, client_of, body):
    client = client_of(source=ImageSource(resolve=resolves_nothing))
    response = client.post("/predict", data=json.dumps(body), content_type="application/json")
    if response.status_code != 200:
        problem(response, response.status_code)
    assert response.status_code in {200, 400, 403, 415, 422}
