"""Which trial of a sweep is hopeless: the median stopping rule (Golovin et al. 2017, Google Vizier, sec. 3.2.1).

A trial ends early where its best quick score so far is worse than the median of what the others had reached at the same number
of images. Lower is better. Half of the trials are worse than the median at any moment, so the rule waits: for a share of the
training, and for others enough to have a median.
"""

import statistics
from dataclasses import dataclass

WARM_UP = 1 / 3  # share of a training in which nothing is judged: an order of half-trained generators says little
FEWEST_OTHERS = 3

History = dict[int, float]  # images seen -> quick score then


@dataclass(frozen=True)
class Hopeless:
    """Why a trial is stopped."""

    nimg: int
    best: float
    median: float
    others: int

    def __str__(self) -> str:
        return (
            f"hopeless at {self.nimg / 1000:g} kimg: quick score {self.best:.4g} at best, "
            f"against a median of {self.median:.4g} of {self.others} others"
        )


def judge(own: History, others: list[History], total_nimg: float) -> Hopeless | None:
    """Whether a training of `total_nimg` images is to end now, by the last of its scores."""
    nimg = max(own, default=0)
    if nimg < WARM_UP * total_nimg or nimg >= total_nimg:
        return None
    reached = [best_until(other, nimg) for other in others if other and min(other) <= nimg <= max(other)]
    if len(reached) < FEWEST_OTHERS:
        return None
    best, median = best_until(own, nimg), statistics.median(reached)
    return Hopeless(nimg, best, median, len(reached)) if best > median else None


def best_until(history: History, nimg: int) -> float:
    return min(score for seen, score in history.items() if seen <= nimg)
