"""The server's errors: what ends the process, and what answers one request with a problem.

The base class is the verdict. A `StartupFailure` ends start-up with the exit code and the termination message
of docs/contract.md; its text is one public sentence, written for the person who wrote the `CatfishModel`. A
`RequestError` concerns one caller; its subclasses live beside the code that raises them, but for `Overloaded`,
which is raised wherever something runs out.
"""

from typing import ClassVar


class StartupFailure(Exception):
    """The server cannot start with what it was given; the text is the sentence that the user reads.

    Attributes:
        reason: the CamelCase word of docs/contract.md.
        exit_code: of the process.
        retriable: whether the same try may succeed later with nothing changed by a person.
    """

    reason: ClassVar[str]
    exit_code: ClassVar[int]
    retriable: ClassVar[bool] = False


class WeightsNotFound(StartupFailure):
    """There is nothing at the address of the weights."""

    reason = "WeightsNotFound"
    exit_code = 10


class WeightsForbidden(StartupFailure):
    """The store refuses to hand out the weights."""

    reason = "WeightsForbidden"
    exit_code = 11


class WeightsUnreachable(StartupFailure):
    """The weights could not be brought here, for a reason that may pass."""

    reason = "WeightsUnreachable"
    exit_code = 12
    retriable = True


class ChecksumMismatch(StartupFailure):
    """The bytes are not those that the spec names."""

    reason = "ChecksumMismatch"
    exit_code = 13


class UnsupportedFormat(StartupFailure):
    """The file is whole, and does not hold weights in a form that is read here."""

    reason = "UnsupportedFormat"
    exit_code = 14


class UnsafeWeights(StartupFailure):
    """Loading the file asked for more memory, time or types than weights need."""

    reason = "UnsafeWeights"
    exit_code = 15


class ArchitectureMismatch(StartupFailure):
    """The weights belong to another model than the spec describes."""

    reason = "ArchitectureMismatch"
    exit_code = 16


class NonFiniteWeights(StartupFailure):
    """There is NaN or infinity among the values."""

    reason = "NonFiniteWeights"
    exit_code = 17


class InvalidSpec(StartupFailure):
    """A setting has a value that cannot be used."""

    reason = "InvalidSpec"
    exit_code = 18


class VerificationFailed(StartupFailure):
    """The model does not answer the golden images as it should."""

    reason = "VerificationFailed"
    exit_code = 19


class OutOfMemory(StartupFailure):
    """Loading or running the model took more memory than was left, which others may give back."""

    reason = "OutOfMemory"
    exit_code = 20
    retriable = True


class DiskFull(StartupFailure):
    """The weights do not fit on the disk, which others may leave more of."""

    reason = "DiskFull"
    exit_code = 21
    retriable = True


class WebPage(StartupFailure):
    """What lies at the address is a web page or XML: of a login, of an error, of a viewer of the file."""

    reason = "WebPage"
    exit_code = 22


class PickledModel(StartupFailure):
    """The file is a whole pickled model, which is code, and not its weights."""

    reason = "PickledModel"
    exit_code = 23


class DamagedWeights(StartupFailure):
    """The file is empty, cut short or damaged."""

    reason = "DamagedWeights"
    exit_code = 24


class RequestError(Exception):
    """One request cannot be answered; it becomes a problem of RFC 9457.

    Attributes:
        status: the HTTP status.
        title: the kind of problem, the same for every one of its kind.
        detail: what is wrong with this request, a public sentence.
        field: the part of the request that is wrong, None when it is the whole of it.
    """

    status: ClassVar[int]
    title: ClassVar[str]

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field


class Overloaded(RequestError):
    """The server has more to do than it can finish in time.

    Attributes:
        retry_after_seconds: whole seconds after which another try makes sense; sent as `Retry-After`.
        reason: the label of the rejection in the metrics.
    """

    status = 503
    title = "Overloaded"

    def __init__(self, detail: str, *, reason: str, retry_after_seconds: int = 1) -> None:
        super().__init__(detail)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds
