"""What a `/predict` request asks for, whichever of the accepted forms it comes in."""

import base64
import binascii
from dataclasses import dataclass

from flask import Request
from werkzeug.datastructures import FileStorage

from catfish_server import readers
from catfish_server.errors import RequestError

MAX_FORM_FIELDS = 16
"""Besides the images of a form, and of an urlencoded one in all."""

_URLENCODED = "application/x-www-form-urlencoded"
_FORM_TYPES = frozenset({"multipart/form-data", _URLENCODED})
_ONE = frozenset({"image", "image_url"})
_JSON_FIELDS = _ONE | {"images", "probabilities"}
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
class Item:
    """One image to classify: `url` or `data`.

    Attributes:
        url: where the image is; None when it came along.
        data: the encoded image; None when it is behind `url`.
        field: what an error calls it when there are several, such as `images[3]`; None for a single one.
    """

    url: str | None = None
    data: bytes | None = None
    field: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The images to classify, at least one.

    Attributes:
        items: in the order of the answer.
        many: whether the answer is a list, which may be of one.
        probabilities: whether all of them are wanted.
    """

    items: tuple[Item, ...]
    many: bool = False
    probabilities: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Posted:
    """What a body holds."""

    urls: tuple[str, ...] = ()
    images: tuple[bytes, ...] = ()
    flags: tuple[str, ...] = ()
    several: tuple[Item, ...] | None = None


def parse(request: Request, *, max_images: int, max_brackets: int) -> Asked:
    """What the request asks for.

    Args:
        request: of Flask, its body not read yet.
        max_images: that one call may bring.
        max_brackets: of JSON, besides one for each image.

    Raises:
        BadRequest: no image, more than the limit, or a field of the wrong kind.
        UnsupportedBody: a Content-Type that carries no image.
    """
    queried = tuple(request.args.getlist("image_url"))
    posted = _Posted()
    if request.method == "POST":
        posted = _posted(request, max_images=max_images, max_brackets=max_brackets, expect_body=not queried)
    urls, images = queried + posted.urls, posted.images
    wanted = _flag([*request.args.getlist("probabilities"), *posted.flags])
    if posted.several is not None:
        if urls or images:
            raise BadRequest("Give the images in one field only.", field="images")
        _check_count(len(posted.several), max_images)
        return Asked(items=posted.several, many=True, probabilities=wanted)
    if len(urls) + len(images) > 1:
        raise BadRequest("The request names more than one image.", field="image_url" if urls else "image")
    if urls:
        return Asked(items=(Item(url=urls[0]),), probabilities=wanted)
    if images:
        return Asked(items=(Item(data=_not_empty(images[0], "image")),), probabilities=wanted)
    raise BadRequest("The request names no image: give image_url, or send the image.", field="image_url")


def _posted(request: Request, *, max_images: int, max_brackets: int, expect_body: bool) -> _Posted:
    """Images, URLs and `probabilities` of the body."""
    kind = request.mimetype
    if kind.startswith("image/") or kind == "application/octet-stream":
        return _Posted(images=(request.get_data(cache=False),))
    if kind == "application/json":
        document = document_of(request.get_data(cache=False), max_brackets=max_brackets + max_images)
        return _from_json(document, max_images=max_images)
    # Werkzeug limits the parts of a multipart form only; each of millions of empty fields takes 40 bytes.
    if kind == _URLENCODED and request.get_data().count(b"&") >= MAX_FORM_FIELDS:
        raise BadRequest(f"The form has more than {MAX_FORM_FIELDS} fields.")
    if kind in _FORM_TYPES:
        return _from_form(request, max_images=max_images)
    if request.content_length or expect_body:
        accepted = "image/*, application/octet-stream, application/json, multipart/form-data"
        raise UnsupportedBody(f"Send the image as one of: {accepted}.", field="Content-Type")
    return _Posted()


def _from_form(request: Request, *, max_images: int) -> _Posted:
    """Werkzeug parses on first use; a field `image` is a file, or else base64 as in JSON."""
    files: list[FileStorage] = [
        file for name in ("image", "file", "images") for file in request.files.getlist(name)
    ]
    urls, texts = tuple(request.form.getlist("image_url")), request.form.getlist("image")
    flags = tuple(request.form.getlist("probabilities"))
    if len(files) > 1 or request.files.getlist("images"):
        _check_count(len(files), max_images)
        if texts or urls:
            raise BadRequest("Give the images in one field only.", field="images")
        several = [_item(file.read(), number) for number, file in enumerate(files)]
        return _Posted(several=tuple(several), flags=flags)
    images = [file.read() for file in files] + [_base64(value, "image") for value in texts]
    return _Posted(urls=urls, images=tuple(images), flags=flags)


def _from_json(document: dict[str, object], *, max_images: int) -> _Posted:
    if unknown := sorted(document.keys() - _JSON_FIELDS):
        raise BadRequest("The field is not known here.", field=unknown[0][:64])
    wanted = document.get("probabilities", False)
    if not isinstance(wanted, bool):
        raise BadRequest("The field must be true or false.", field="probabilities")
    url = _text(document, "image_url", "image_url")
    image = _text(document, "image", "image")
    return _Posted(
        urls=() if url is None else (url,),
        images=() if image is None else (_base64(image, "image"),),
        flags=(str(wanted).lower(),) if "probabilities" in document else (),
        several=_several(document["images"], max_images) if "images" in document else None,
    )


def _several(listed: object, max_images: int) -> tuple[Item, ...]:
    """The elements of `images`: base64, or objects with `image` or `image_url`."""
    if not isinstance(listed, list):
        raise BadRequest("The field must be an array.", field="images")
    _check_count(len(listed), max_images)
    return tuple(_element(element, number) for number, element in enumerate(listed))


def _element(element: object, number: int) -> Item:
    field = f"images[{number}]"
    if isinstance(element, str):
        return _item(_base64(element, field), number)
    if not isinstance(element, dict) or len(element) != 1 or not element.keys() <= _ONE:
        expected = 'a base64 string, {"image": base64} or {"image_url": address}'
        raise BadRequest(f"The element must be {expected}.", field=field)
    url = _text(element, "image_url", field)
    if url is not None:
        return Item(url=url, field=field)
    return _item(_base64(_text(element, "image", field) or "", field), number)


def _item(data: bytes, number: int) -> Item:
    field = f"images[{number}]"
    return Item(data=_not_empty(data, field), field=field)


def _check_count(count: int, max_images: int) -> None:
    if not 1 <= count <= max_images:
        raise BadRequest(f"One call takes 1 to {max_images} images; these are {count}.", field="images")


def _not_empty(data: bytes, field: str) -> bytes:
    if not data:
        raise BadRequest("The image is empty.", field=field)
    return data


def _text(document: dict[str, object], name: str, field: str) -> str | None:
    value = document.get(name, "")
    if not isinstance(value, str):
        raise BadRequest("The field must be a string.", field=field)
    return value if name in document else None


def document_of(text: bytes, *, max_brackets: int) -> dict[str, object]:
    """The JSON object of a body.

    Raises:
        BadRequest: it is none, or has more brackets than a request of this API needs.
    """
    try:
        return readers.json_object(text, max_brackets=max_brackets)
    except ValueError as error:
        raise BadRequest(str(error)) from error


def _base64(text: str, field: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest("The field is not base64.", field=field) from error


def _flag(values: list[str]) -> bool:
    if not values:
        return False
    value = _FLAGS.get(values[-1].lower())
    if value is None:
        raise BadRequest("The parameter must be true or false.", field="probabilities")
    return value
