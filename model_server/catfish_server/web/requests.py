"""What a `/predict` request asks for, whichever of the accepted forms it comes in."""

import base64
import binascii
import json
from dataclasses import dataclass

from flask import Request

from catfish_server.errors import RequestError

MAX_JSON_DEPTH = 32
MAX_FORM_FIELDS = 16

_URLENCODED = "application/x-www-form-urlencoded"
_FORM_TYPES = frozenset({"multipart/form-data", _URLENCODED})
_JSON_FIELDS = frozenset({"image", "image_url", "probabilities"})
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


class BadRequest(RequestError):
    """The request does not say which image it means, or not in a way that is understood."""

    status = 400
    title = "Bad Request"


class UnsupportedBody(RequestError):
    """The body has a type that carries no image."""

    status = 415
    title = "Unsupported Media Type"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One image to classify.

    Attributes:
        url: where the image is; None when it came along.
        data: the encoded image; None when it is behind `url`.
        probabilities: whether all of them are wanted.
    """

    url: str | None = None
    data: bytes | None = None
    probabilities: bool = False


def parse(request: Request) -> Asked:
    """What the request asks for.

    Raises:
        BadRequest: no image, more than one, or a field of the wrong kind.
        UnsupportedBody: a Content-Type that carries no image.
    """
    urls = request.args.getlist("image_url")
    images: list[bytes] = []
    flags = request.args.getlist("probabilities")
    if request.method == "POST":
        posted_urls, images, posted_flags = _posted(request, expect_body=not urls)
        urls, flags = urls + posted_urls, flags + posted_flags
    if len(urls) + len(images) > 1:
        raise BadRequest("The request names more than one image.", field="image_url" if urls else "image")
    wanted = _flag(flags)
    if urls:
        return Asked(url=urls[0], probabilities=wanted)
    if images:
        if not images[0]:
            raise BadRequest("The image is empty.", field="image")
        return Asked(data=images[0], probabilities=wanted)
    raise BadRequest("The request names no image: give image_url, or send the image.", field="image_url")


def _posted(request: Request, *, expect_body: bool) -> tuple[list[str], list[bytes], list[str]]:
    """URLs, images and `probabilities` of the body."""
    kind = request.mimetype
    if kind.startswith("image/") or kind == "application/octet-stream":
        return [], [request.get_data(cache=False)], []
    if kind == "application/json":
        return _from_json(request.get_data(cache=False))
    # Werkzeug limits the parts of a multipart form only; each of millions of empty fields takes 40 bytes.
    if kind == _URLENCODED and request.get_data().count(b"&") >= MAX_FORM_FIELDS:
        raise BadRequest(f"The form has more than {MAX_FORM_FIELDS} fields.")
    if kind in _FORM_TYPES:
        # Werkzeug parses on first use; a field `image` is a file, or else base64 as in JSON.
        images = [file.read() for name in ("image", "file") for file in request.files.getlist(name)]
        images += [_base64(value) for value in request.form.getlist("image")]
        return request.form.getlist("image_url"), images, request.form.getlist("probabilities")
    if request.content_length or expect_body:
        accepted = "image/*, application/octet-stream, application/json, multipart/form-data"
        raise UnsupportedBody(f"Send the image as one of: {accepted}.", field="Content-Type")
    return [], [], []


def _from_json(text: bytes) -> tuple[list[str], list[bytes], list[str]]:
    document = document_of(text)
    if unknown := sorted(document.keys() - _JSON_FIELDS):
        raise BadRequest("The field is not known here.", field=unknown[0][:64])
    for name in ("image", "image_url"):
        if name in document and not isinstance(document[name], str):
            raise BadRequest("The field must be a string.", field=name)
    wanted = document.get("probabilities", False)
    if not isinstance(wanted, bool):
        raise BadRequest("The field must be true or false.", field="probabilities")
    urls = [str(document["image_url"])] if "image_url" in document else []
    images = [_base64(str(document["image"]))] if "image" in document else []
    return urls, images, [str(wanted).lower()] if "probabilities" in document else []


def document_of(text: bytes) -> dict[str, object]:
    """The JSON object of a body.

    Raises:
        BadRequest: it is none.
    """
    # The parser is recursive. Brackets inside strings count too: none of the fields needs this many of them.
    if text.count(b"{") + text.count(b"[") > MAX_JSON_DEPTH:
        raise BadRequest(f"The JSON has more than {MAX_JSON_DEPTH} brackets.")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise BadRequest("The body is not JSON.") from error
    if not isinstance(document, dict):
        raise BadRequest("The body must be a JSON object.")
    return document


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest("The field is not base64.", field="image") from error


def _flag(values: list[str]) -> bool:
    if not values:
        return False
    value = _FLAGS.get(values[-1].lower())
    if value is None:
        raise BadRequest("The parameter must be true or false.", field="probabilities")
    return value
