"""How far two files answer alike: the check that stands between making a file and reporting success.

Both are loaded in a fresh process, by the server's own code, and answer the same pictures one by one on one thread.
"""

import math
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from catfish_server.inference.prediction import UNKNOWN, NonFiniteOutput, answer
from catfish_server.models.model import Logits
from catfish_server.tools import answers, asking
from catfish_server.tools.asking import Told
from catfish_server.tools.errors import ToolFailure
from catfish_server.tools.opened import Source
from catfish_server.tools.samples import Samples, Taking

NOTHING_FINITE = "nothing finite"
"""The answer where there is NaN or infinity among the logits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """A picture that is answered otherwise than before.

    Attributes:
        name: of the file.
        before: the class that the reference answers.
        after: that of the candidate; `nothing finite` for NaN.
        label: the class that it shows, None where its directory is named for none.
    """

    name: str
    before: str
    after: str
    label: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """How two models answer the same pictures.

    Attributes:
        n: pictures.
        agreeing: of them that get the same class from both.
        lower_bound_95: what the share of agreeing answers is at least, with 95 % confidence (Wilson, one-sided).
        max_difference: the largest difference of two logits; None where the two have other classes, or another
            order of them.
        max_probability_difference: likewise of two probabilities of a class.
        shares: of the reference's answers, by class.
        seconds_before: processor time of the reference for one image, the median.
        seconds_after: that of the candidate.
        labelled: pictures whose label is a class of either.
        accuracy_before: share of the labelled pictures that the reference answers right; None where there are none.
        accuracy_after: that of the candidate.
        changed: the pictures that get another class.
        not_finite: names of those that the candidate answers with NaN or infinity.
    """

    n: int
    agreeing: int
    lower_bound_95: float
    max_difference: float | None
    max_probability_difference: float | None
    shares: Mapping[str, float]
    seconds_before: float
    seconds_after: float
    labelled: int
    accuracy_before: float | None
    accuracy_after: float | None
    changed: tuple[Changed, ...]
    not_finite: tuple[str, ...]

    @property
    def share(self) -> float:
        """Of pictures that get the same class from both, 0..1."""
        return self.agreeing / self.n

    def facts(self) -> dict[str, int | float | None]:
        """What a verb tells of it: shares in 0..1, times in milliseconds an image, speed after to before."""
        return {
            "n": self.n,
            "agreement": self.share,
            "agreement_lower_bound_95": self.lower_bound_95,
            "max_difference": self.max_difference,
            "accuracy_before": self.accuracy_before,
            "accuracy_after": self.accuracy_after,
            "ms_before": 1000 * self.seconds_before,
            "ms_after": 1000 * self.seconds_after,
            "speed_ratio": self.speedup,
        }

    @property
    def speedup(self) -> float:
        """How many times as fast as the reference the candidate is."""
        return self.seconds_before / max(self.seconds_after, 1e-9)


def measure(
    reference: Source,
    candidate: Source,
    samples: Samples | Taking,
    *,
    candidate_samples: Taking | None = None,
    pictures: Sequence[Path] | None = None,
    unknown_threshold: float | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Agreement:
    """Asks both for every picture.

    Args:
        reference: what is right, or what was served until now.
        candidate: what is to take its place.
        samples: of the size and the normalisation that the reference takes, or what reads them.
        candidate_samples: reads the same pictures in those that the candidate takes, once the others are written and
            let go of: a thousand of 480 pixels are 2.8 GB. None: it takes them as the reference.
        pictures: the files of the samples, for a candidate that is to be given their raw pixels; None: it takes
            samples.
        unknown_threshold: below this probability either answers `unknown`; None: the most probable class always.
        progress: told how many pictures are answered and how many there are.

    Raises:
        ToolFailure: one of them cannot be used.
    """
    with tempfile.TemporaryDirectory(prefix="catfish-agreement-") as folder:
        directory = Path(folder)
        names, labels = asking.write(directory, 0, samples)
        if candidate_samples is not None:
            asking.write(directory, 1, candidate_samples)
        told = asking.ask(directory, (reference, candidate), pictures, progress)
        logits = [np.load(directory / answers.logits_file(number)) for number in range(2)]
    classes = _classes((reference, candidate), [side.classes for side in told], logits)
    return _agreement(told, logits, classes, names=names, labels=labels, unknown_threshold=unknown_threshold)


def _agreement(
    told: Sequence[Told],
    logits: Sequence[Logits],
    classes: Sequence[tuple[str, ...]],
    *,
    names: Sequence[str],
    labels: Sequence[str | None],
    unknown_threshold: float | None,
) -> Agreement:
    """What the logits of both, (n, classes), say of each other."""
    before, after = (
        _answers(rows, known, unknown_threshold) for rows, known in zip(logits, classes, strict=True)
    )
    known = {*classes[0], *classes[1], *(() if unknown_threshold is None else (UNKNOWN,))}
    shown = [label if label in known else None for label in labels]
    changed = tuple(
        Changed(name=name, before=one, after=other, label=label)
        for name, one, other, label in zip(names, before, after, shown, strict=True)
        if one != other
    )
    agreeing, comparable = len(before) - len(changed), classes[0] == classes[1]
    return Agreement(
        n=len(before),
        agreeing=agreeing,
        lower_bound_95=lower_bound(agreeing, len(before)),
        max_difference=_max_difference(logits) if comparable else None,
        max_probability_difference=(
            _max_difference([_probabilities(rows) for rows in logits]) if comparable else None
        ),
        shares={name: before.count(name) / len(before) for name in classes[0]},
        seconds_before=told[0].seconds,
        seconds_after=told[1].seconds,
        labelled=sum(label is not None for label in shown),
        accuracy_before=_accuracy(before, shown),
        accuracy_after=_accuracy(after, shown),
        changed=changed,
        not_finite=tuple(name for name, one in zip(names, after, strict=True) if one == NOTHING_FINITE),
    )


def lower_bound(hits: int, n: int) -> float:
    """What the true share is at least with 95 % confidence: Wilson's score interval, one-sided.

    E. B. Wilson, JASA 22 (1927); of 300 hits in 300 it makes 99.1 %, where the plain formula would make 100 %.
    """
    z = statistics.NormalDist().inv_cdf(0.95)
    share, spread = hits / n, z * z / n
    half = z * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    return (share + spread / 2 - half) / (1 + spread)


def _classes(
    sides: Sequence[Source], named: Sequence[Sequence[str] | None], logits: Sequence[Logits]
) -> list[tuple[str, ...]]:
    """The names of the outputs of both; a file that has none means those of the other, else they are numbers."""
    known = [None if names is None else tuple(names) for names in named]
    found = []
    for side, own, other, rows in zip(sides, known, reversed(known), logits, strict=True):
        count = rows.shape[1]
        names = own or other or tuple(map(str, range(count)))
        if len(names) != count:
            raise ToolFailure(
                f"{side.path} has {count} outputs, and there are {len(names)} classes; see {side.option}classes"
            )
        found.append(names)
    return found


def _answers(logits: Logits, classes: Sequence[str], unknown_threshold: float | None) -> list[str]:
    """What a server would answer."""

    def of(row: Logits) -> str:
        try:
            return answer(row, classes, unknown_threshold=unknown_threshold).label
        except NonFiniteOutput:
            return NOTHING_FINITE

    return [of(row) for row in logits]


def _max_difference(logits: Sequence[Logits]) -> float:
    with np.errstate(invalid="ignore"):
        difference = np.abs(logits[0] - logits[1]).max()
    return float(difference) if np.isfinite(difference) else math.inf


def _probabilities(logits: Logits) -> Logits:
    """NaN where logits are infinite."""
    with np.errstate(invalid="ignore"):
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares: Logits = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _accuracy(found: Sequence[str], shown: Sequence[str | None]) -> float | None:
    """Of the pictures that have a label, and so of the same ones for both models."""
    hits = [one == label for one, label in zip(found, shown, strict=True) if label is not None]
    return sum(hits) / len(hits) if hits else None
