"""One environment variable: what it sets, how it is read, and what is said of a value that cannot be used."""

from collections.abc import Callable
from dataclasses import dataclass

from catfish_server.errors import InvalidSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """One environment variable.

    Attributes:
        name: of the variable.
        attribute: of `Settings` that it sets.
        parse: from the text to the value; a ValueError says what is expected.
        field: of the `CatfishModel` that the operator takes it from, None for what only an image sets.
        flag: of the command line, None without one.
        required: whether a server can start without it.
        echoed: whether a message may repeat a bad value; not where people paste credentials.
    """

    name: str
    attribute: str
    parse: Callable[[str], object]
    field: str | None = None
    flag: str | None = None
    required: bool = False
    echoed: bool = True

    def read(self, text: str) -> object:
        """The value of the text, or InvalidSpec with a sentence that names where it came from."""
        try:
            return self.parse(text)
        except ValueError as error:
            origin = f"{self.field}: " if self.field else ""
            shown = f" is {text[:60]!r}" if self.echoed else ""
            raise InvalidSpec(f"{origin}{error} ({self.name}{shown})") from None
