"""What scores say of a generator, in a sentence each: how far from real its images are, then whether they are copies.

The one place of these rules: the report, `gan evaluate`, the gate and the model card take them from here. docs/scores.md has them in words.
"""

from dataclasses import dataclass

from stages.evaluation.metrics import Interval, Metrics

GOOD, ODD, BAD = "good", "odd", "bad"
HARDLY = 0.1  # share of the held-out images' precision or recall below which next to nothing is left of it
CLOSE, FAR = 2.0, 50.0  # times the held-out images' FID: up to the first close to real, beyond the second far from it
COPYING_Z = -3.0  # of Mann and Whitney's test, below which images lie nearer to the training images than held-out ones


@dataclass(frozen=True)
class Finding:
    """A weight (good, odd, bad) and its sentence, without a full stop."""

    weight: str
    sentence: str


def state(metrics: Metrics) -> Finding:
    """How far from real the images are, by metrics.json; by FID alone where precision and recall were not measured."""
    times, nothing, narrow = _times(metrics.fid), looks_like_nothing(metrics), _hardly(metrics.recall)
    figures = [_fid(metrics.fid, times), *_shares(metrics, narrow and not nothing)]
    words = ", ".join(figures) + (": train longer" if nothing else ": it makes little of what the data show" if narrow else "")
    if nothing or (times is not None and times > FAR):
        return Finding(BAD, f"far from real: {words}")
    if times is None:  # the figures alone, where nothing says what real images get
        return Finding(ODD, words)
    return Finding(GOOD, f"close to real: {words}") if times <= CLOSE and not narrow else Finding(ODD, f"short of real: {words}")


def looks_like_nothing(metrics: Metrics) -> bool:
    """Whether next to none of the images lies among real ones: noise, or the beginning of a training. A copy lies there."""
    return _hardly(metrics.precision)


def copying(metrics: Metrics) -> Finding:
    """What the figures say about repeated training images; BAD: they are copies.

    Copies lie nearer to the training images than held-out ones do, fewer of them are authentic, and they look real. What looks like
    nothing may be near to an outlier among the training images, pixel by pixel, and repeats none.
    """
    if (memory := metrics.memorisation) is None:
        return Finding(ODD, "whether generated images are copies was not measured")
    z, authentic = memory.copying.z, memory.authenticity
    floor = 0.0 if authentic.floor is None else authentic.floor
    near, fewer = z < COPYING_Z, authentic.high < floor
    shares = f"{authentic.mean:.1%} authentic (held-out {floor:.1%})"
    figures = f"z {z:.3g}, distance {memory.ratio:.3g} times that of held-out images, {shares}"
    if looks_like_nothing(metrics) and (near or fewer):
        return Finding(ODD, f"generated images are too far from real to be copies, however near in pixels ({figures})")
    if near and fewer:
        return Finding(
            BAD, f"generated images lie nearer to the training images than held-out ones do, and fewer are authentic: copies ({figures})"
        )
    if near:
        return Finding(
            ODD,
            f"generated images lie nearer to the training images than held-out ones do, without copying any: smooth ones do ({figures})",
        )
    if fewer:
        return Finding(ODD, f"fewer generated images are authentic than held-out ones: look at the closest pairs ({figures})")
    return Finding(GOOD, f"generated images lie no nearer to the training images than held-out ones do ({figures})")


def _hardly(score: Interval | None) -> bool:
    return score is not None and score.floor is not None and score.mean < HARDLY * score.floor


def _times(fid: Interval) -> float | None:
    """FID by that of held-out images; None where that is not above zero, or not known."""
    return fid.mean / fid.floor if fid.floor is not None and fid.floor > 0 else None


def _fid(fid: Interval, times: float | None) -> str:
    if times is None:
        return f"FID {fid.mean:.4g}"
    return f"FID {times:,.0f} times that of held-out images" if times >= 100 else f"FID {times:.3g} times that of held-out images"


def _shares(metrics: Metrics, narrow: bool) -> list[str]:
    shown = {"precision": metrics.precision, "recall": metrics.recall if narrow else None}
    return [f"{name} {score.mean:.2g}" for name, score in shown.items() if score is not None]
