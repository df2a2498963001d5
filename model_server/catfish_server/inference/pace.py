"""How long the model takes for batches of each size, learned from the batches that it answers.

The engine asks it how many images are worth a batch and how long those that wait will take. A sweep over the sizes
before the server is ready would cost seconds, and be wrong once neighbours on the machine are busy.
"""

START = 4
"""The size that is tried before anything is known: a common knee of the curve on CPUs."""

TOLERANCE = 1.05
"""A size is as good as the best when it takes at most this many times its time an image: what a larger one would
save is less than what the images in it would wait for each other."""

SMOOTHING = 0.1
LARGEST_STEP = 4.0
"""Of one new time against those before: one stall of the machine must not have the next hundred images refused."""

RETRY_PASSES = 100
"""After so many batches one is a size larger than what is useful: what did not pay once may pay now."""


class Pace:
    """Smoothed times of one model by the size of the batch. The caller guards it with a lock.

    Args:
        largest: images that a batch may hold.
    """

    def __init__(self, *, largest: int) -> None:
        # Powers of two are enough to find the knee; each odd size of its own would be measured too seldom.
        self._sizes = [1 << power for power in range(largest.bit_length()) if 1 << power < largest] + [
            largest
        ]
        self._each: dict[int, float] = {}  # seconds an image, by size; at most `largest` of them
        self._seen = {1: 1}  # batches by size; the warm-up has run those of one
        self._passes = 0

    def record(self, size: int, seconds: float) -> None:
        """Takes in the time of one batch; not that of the first of its size, which allocates and chooses kernels."""
        self._passes += 1
        counted = self._seen.get(size, 0)
        self._seen[size] = counted + 1
        if not counted:
            return
        each, before = seconds / size, self._each.get(size)
        if before:
            share = max(SMOOTHING, 1 / counted)  # at first a plain mean, or the first would weigh for long
            each = (1 - share) * before + share * min(each, LARGEST_STEP * before)
        self._each[size] = each

    def too_large(self, size: int) -> None:
        """No batch is to be as large as this one any more: the model takes none, though its images one by one."""
        self._sizes = [smaller for smaller in self._sizes if smaller < size] or [1]

    @property
    def limit(self) -> int:
        """Images that are worth a batch: the smallest size within 5 % of the best time an image."""
        start = max(size for size in self._sizes if size <= START)
        measured = [size for size in self._sizes if size in self._each]
        if start not in measured:
            return start
        best = min(self._each[size] for size in measured)
        useful = next(size for size in measured if self._each[size] <= TOLERANCE * best)
        if useful == measured[-1] or self._passes % RETRY_PASSES == RETRY_PASSES - 1:
            return next((size for size in self._sizes if size > useful), useful)
        return useful

    def seconds(self, size: int) -> float:
        """Predicted seconds of one batch of a size: by the nearest size that was measured; 0 before the first."""
        if not self._each or not size:
            return 0.0
        return size * self._each[min(self._each, key=lambda measured: abs(measured - size))]

    def work(self, images: int) -> float:
        """Predicted seconds of one thread for so many images in batches of the useful size."""
        full, rest = divmod(images, self.limit)
        return full * self.seconds(self.limit) + self.seconds(rest)
