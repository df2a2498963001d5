"""Why a command could not do what it was asked, and the exit code that says so. The text is one line for a person."""

from catfish_operator import errors

DONE, NOT_DONE, USAGE, NO_CLUSTER = 0, 1, 2, 3
"""Exit codes; 2 is argparse's own."""


class NotPossible(errors.NeedsPerson):
    """The cluster was asked, and what was wanted cannot be done: there is no such model, or no such revision."""


class NotConfigured(errors.NeedsPerson):
    """There is no kubeconfig, or it does not say which cluster is meant and as whom."""


def exit_code(error: errors.CatfishError) -> int:
    """The exit code for an error."""
    nobody_asked = isinstance(error, NotConfigured | errors.Unreachable | errors.NotServed)
    return NO_CLUSTER if nobody_asked else NOT_DONE
