"""Golden images: what a model must answer right before a request may reach it.

Start-up calls it once, after the warm-up and before the server is ready.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from catfish_server.errors import InvalidSpec, NonFiniteWeights, Overloaded, RequestError, VerificationFailed
from catfish_server.images.decode import FORMATS
from catfish_server.inference.classifier import Classifier, classify
from catfish_server.inference.prediction import NonFiniteOutput
from catfish_server.lifecycle import Score

LISTED = 5
SHOWN = 80
"""Wrong answers that a message names, and characters of each name in it: 2 KiB are enough for all."""

NO_ANSWER = "no answer in time"


def verify(
    classifier: Classifier,
    samples: Sequence[tuple[str, str]],
    *,
    directory: Path,
    min_accuracy: float,
    max_pixels: int,
    formats: Sequence[str] = FORMATS,
    progress: Callable[[int, int], None],
) -> Score:
    """Asks the classifier for every golden image, as a request would.

    Args:
        classifier: warmed up.
        samples: names of files and the classes that they show.
        directory: where the files lie.
        min_accuracy: share of them that must be answered right, 0..1.
        max_pixels: of an image, as for requests.
        formats: that an image may have, as for requests.
        progress: told how many are answered and how many there are.

    Raises:
        InvalidSpec: an image is missing or none, or shows what this model cannot answer.
        NonFiniteWeights: the model answers NaN or infinity.
        VerificationFailed: too few are answered right.
    """
    _check_classes(samples, classifier.labels)
    wrong: list[str] = []
    for done, (name, expected) in enumerate(samples):
        progress(done, len(samples))
        found = _answer(classifier, directory, name, max_pixels=max_pixels, formats=formats)
        if found != expected:
            wrong.append(f"{name[:SHOWN]}: {found[:SHOWN]}, expected {expected[:SHOWN]}")
    progress(len(samples), len(samples))
    score = Score(right=len(samples) - len(wrong), total=len(samples))
    if score.right / score.total < min_accuracy:
        raise VerificationFailed(_sentence(score, wrong, min_accuracy))
    return score


def _check_classes(samples: Sequence[tuple[str, str]], known: Sequence[str]) -> None:
    for name, expected in samples:
        if expected not in known:
            raise InvalidSpec(
                f"spec.verification.samples: {name[:SHOWN]} is to show {expected[:SHOWN]!r}, which is no class of "
                "this model"
            )


def not_finite(name: str) -> str:
    """What is said of a picture whose answer is NaN or infinity."""
    return f"the model answers {name[:SHOWN]} with NaN or infinity"


def _answer(
    classifier: Classifier, directory: Path, file: str, *, max_pixels: int, formats: Sequence[str]
) -> str:
    """The class of one golden image, or that there is none."""
    name, data = file[:SHOWN], directory / file
    try:
        return classify(classifier, data.read_bytes(), max_pixels=max_pixels, formats=formats).label
    except OSError as error:
        raise InvalidSpec(f"spec.verification.samples: {name} cannot be read: {error.strerror}") from error
    except NonFiniteOutput as error:
        raise NonFiniteWeights(f"spec.weights.url: {not_finite(file)}") from error
    except Overloaded:
        return NO_ANSWER
    except RequestError as error:
        raise InvalidSpec(
            f"spec.verification.samples: {name} is not an image that is taken: {error.detail}"
        ) from error


def _sentence(score: Score, wrong: Sequence[str], min_accuracy: float) -> str:
    more = len(wrong) - LISTED
    listed = "; ".join(wrong[:LISTED]) + (f"; and {more} more" if more > 0 else "")
    asked = f", and minAccuracy is {min_accuracy:g}" if min_accuracy < 1 else ""
    return f"spec.verification: {score.right} of {score.total} golden images were answered right ({listed}){asked}"
