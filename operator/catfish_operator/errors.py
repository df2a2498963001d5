"""The operator's errors: the base class says who must act."""


class CatfishError(Exception):
    """Base of every error that the operator raises on purpose."""


class NeedsPerson(CatfishError):
    """Trying again changes nothing: a person must act. Shown in status."""


class InvalidSpec(NeedsPerson):
    """A person must change the object; the text starts with the path of the field, `spec.weights.url: …`."""


class Refused(NeedsPerson):
    """The API server understood an object of ours and refused it: quota, admission, validation.

    Attributes:
        reason: the word for the condition, `QuotaExceeded` or `AdmissionDenied`.
        message: one sentence, safe to show.
    """

    def __init__(self, *, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class NeedsWorld(CatfishError):
    """The world must change: the same call may succeed later. Tried again with back-off."""


class Unreachable(NeedsWorld):
    """No answer from the API server, or one that says "not now": no connection, a timeout, 429, 5xx."""


class NotAllowed(NeedsWorld):
    """The operator itself lacks a right (401, 403 by RBAC): somebody has to mend the installation."""


class NotLeader(NeedsWorld):
    """Another replica of the operator may be the one that writes by now. Met by a leader that was held up."""


class Stale(CatfishError):
    """What the decision was based on is no longer so (409, 404 of a known object): look again."""


class Unsettled(NeedsWorld):
    """What we write is changed again at once by somebody else (a webhook, another controller)."""


class Noted(Stale):
    """Stale, but what is so now was read and taken note of already."""


class NotServed(CatfishError):
    """The API server does not know the kind (yet, or any more): the CRD is not installed."""


class BadSettings(CatfishError):
    """A setting has a value that cannot be used; the text names the environment variable."""
