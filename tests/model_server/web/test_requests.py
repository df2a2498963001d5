import tracemalloc

import pytest

JSON = "application/json"


@pytest.mark.parametrize(
    ("asked", "status", "field"),
    [
        pytest.param(("GET", "/predict", b"", None), 400, "image_url", id="no image"),
        pytest.param(("POST", "/predict", b"", None), 415, "Content-Type", id="no body"),
        pytest.param(("GET", "/predict?image_url=", b"", None), 400, "image_url", id="empty URL"),
        pytest.param(("GET", "/predict?image_url=cat.jpg", b"", None), 400, "image_url", id="no URL"),
        pytest.param(
            ("GET", "/predict?image_url=http://127.0.0.1/", b"", None), 422, "image_url", id="private"
        ),
        pytest.param(
            ("GET", "/predict?image_url=http://a.test&image_url=http://b.test", b"", None),
            400,
            "image_url",
            id="two URLs",
        ),
        pytest.param(
            ("GET", "/predict?image_url=http://a.test/&probabilities=maybe", b"", None),
            400,
            "probabilities",
            id="odd flag",
        ),
        pytest.param(
            ("POST", "/predict?image_url=http://a.test/", b"x", "image/png"), 400, "image_url", id="both"
        ),
        pytest.param(("POST", "/predict", b"", "image/png"), 400, "image", id="empty image"),
        pytest.param(("POST", "/predict", b"hello", "text/plain"), 415, "Content-Type", id="text"),
        pytest.param(
            ("POST", "/predict", b"hello", "image/png"), 415, None, id="text that calls itself an image"
        ),
        pytest.param(("POST", "/predict", b"{", JSON), 400, None, id="broken JSON"),
        pytest.param(("POST", "/predict", b"\xff\xfe", JSON), 400, None, id="JSON that is not text"),
        pytest.param(("POST", "/predict", b"[]", JSON), 400, None, id="JSON array"),
        pytest.param(("POST", "/predict", b"null", JSON), 400, None, id="JSON null"),
        pytest.param(("POST", "/predict", b"[" * 100_000, JSON), 400, None, id="deep JSON"),
        pytest.param(
            ("POST", "/predict", b'{"a":' * 65 + b"1" + b"}" * 65, JSON), 400, None, id="deep object"
        ),
        pytest.param(("POST", "/predict", b"{}", JSON), 400, "image_url", id="empty object"),
        pytest.param(("POST", "/predict", b'{"image": 1}', JSON), 400, "image", id="image is a number"),
        pytest.param(("POST", "/predict", b'{"image": "***"}', JSON), 400, "image", id="not base64"),
        pytest.param(
            ("POST", "/predict", b'{"image_url": ["x"]}', JSON), 400, "image_url", id="URL is a list"
        ),
        pytest.param(("POST", "/predict", b'{"imageUrl": "x"}', JSON), 400, "imageUrl", id="unknown field"),
        pytest.param(
            ("POST", "/predict", b'{"image_url": "http://a.test/", "probabilities": 1}', JSON),
            400,
            "probabilities",
            id="flag is a number",
        ),
        pytest.param(
            ("POST", "/predict", b"x", "multipart/form-data"), 400, "image_url", id="multipart, no boundary"
        ),
        pytest.param(
            ("POST", "/predict", b"image_url=%00", "application/x-www-form-urlencoded"),
            400,
            "image_url",
            id="NUL",
        ),
        pytest.param(
            ("POST", "/predict", b"a&" * 1000, "application/x-www-form-urlencoded"),
            400,
            None,
            id="many fields",
        ),
        pytest.param(("GET", "/nothing", b"", None), 404, None, id="no such path"),
        pytest.param(("GET", "/predict/../../etc/passwd", b"", None), 404, None, id="path traversal"),
        pytest.param(("PUT", "/predict", b"", None), 405, None, id="no such method"),
        pytest.param(("POST", "/", b"", None), 405, None, id="POST to the root"),
        pytest.param(("BREW", "/predict", b"", None), 405, None, id="invented method"),
    ],
)
def test_a_bad_request_gets_a_problem_that_names_the_field(problem, client_of, asked, status, field):
    method, target, body, kind = asked
    response = client_of().open(target, method=method, data=body, content_type=kind)
    assert problem(response, status).get("field") == field


def test_a_form_of_nothing_but_fields_is_not_taken_apart(problem, client_of):
    client, body = client_of(), b"a&" * 1_000_000
    tracemalloc.start()
    try:
        response = client.post("/predict", data=body, content_type="application/x-www-form-urlencoded")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "more than 16 fields" in problem(response, 400)["detail"]
    assert peak < 10 * len(body)
