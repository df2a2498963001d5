"""Takes typed values out of raw JSON. Called by `model.read` alone."""

from typing import Any

from catfish_operator.errors import InvalidSpec
from catfish_operator.model.names import Json


class Reader:
    """One mapping and its path; a value of a wrong type is an InvalidSpec that names the path."""

    def __init__(self, value: Json, path: str = "") -> None:
        self.value = value
        self.path = path

    def part(self, name: str) -> "Reader":
        """The object of that name; an empty one if there is none."""
        return Reader(self._get(name, dict, "an object", {}), self._path(name))

    def parts(self, name: str) -> list["Reader"]:
        """The objects of a list, each with its path."""
        items = self._get(name, list, "a list", [])
        if not all(isinstance(item, dict) for item in items):
            raise InvalidSpec(f"{self._path(name)}: must be a list of objects")
        return [Reader(item, f"{self._path(name)}[{index}]") for index, item in enumerate(items)]

    def text(self, name: str) -> str:
        """A string that must be there."""
        text = self.text_or_none(name)
        if not text:
            raise InvalidSpec(f"{self._path(name)}: is required")
        return text

    def text_or_none(self, name: str) -> str | None:
        """A string."""
        text: str | None = self._get(name, str, "a string", None)
        return text

    def choice(self, name: str, choices: tuple[str, ...]) -> str | None:
        """A string that is one of the choices."""
        text = self.text_or_none(name)
        if text is not None and text not in choices:
            raise InvalidSpec(f"{self._path(name)}: must be one of {', '.join(choices)}")
        return text

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings."""
        items = self._get(name, list, "a list", [])
        if not all(isinstance(item, str) for item in items):
            raise InvalidSpec(f"{self._path(name)}: must be a list of strings")
        return tuple(items)

    def texts_by_name(self, name: str) -> dict[str, str]:
        """An object that holds strings."""
        items: dict[str, str] = self._get(name, dict, "an object", {})
        if not all(isinstance(item, str) for item in items.values()):
            raise InvalidSpec(f"{self._path(name)}: must hold strings")
        return items

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        return bool(self._get(name, bool, "true or false", default))

    def whole(self, name: str, default: int) -> int:
        """A whole number from 0 on."""
        value = self.whole_or_none(name)
        return default if value is None else value

    def whole_or_none(self, name: str) -> int | None:
        """A whole number from 0 on."""
        value: int | None = self._get(name, int, "a whole number", None)
        if value is not None and (isinstance(value, bool) or not 0 <= value < 2**31):
            raise InvalidSpec(f"{self._path(name)}: must be a whole number from 0 on")
        return value

    def number_or_none(self, name: str) -> float | None:
        """A number."""
        value: float | None = self._get(name, int | float, "a number", None)
        if isinstance(value, bool):
            raise InvalidSpec(f"{self._path(name)}: must be a number")
        return value

    def number(self, name: str, default: float) -> float:
        """A number."""
        value = self.number_or_none(name)
        return default if value is None else value

    def three_numbers(self, name: str) -> tuple[float, ...] | None:
        """A list of three numbers."""
        items = self._get(name, list, "a list", None)
        if items is None:
            return None
        if len(items) != 3 or not all(isinstance(item, int | float) for item in items):
            raise InvalidSpec(f"{self._path(name)}: must be three numbers")
        return tuple(items)

    def _get(self, name: str, kind: Any, words: str, default: Any) -> Any:  # noqa: ANN401 - raw JSON
        value = self.value.get(name)
        if value is None:
            return default
        if not isinstance(value, kind):
            raise InvalidSpec(f"{self._path(name)}: must be {words}")
        return value

    def _path(self, name: str) -> str:
        return f"{self.path}.{name}" if self.path else name
