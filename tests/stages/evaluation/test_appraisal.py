"""What scores say in words: the state of a generator first, and whether it copies by one rule."""

import pytest

from stages.evaluation import appraisal
from stages.evaluation.metrics import Copying, Interval, Memorisation, Metrics, Protocol


def scores(
    fid: float = 3.0, precision: float | None = 0.8, recall: float | None = 0.9, floor: float | None = 2.8, **more: object
) -> Metrics:
    shares = {"precision": precision, "recall": recall}
    return Metrics(
        protocol=Protocol(name="classifier", hash="a" * 64), num_images=100, draws=2,
        fid=Interval(mean=fid, low=fid - 1, high=fid + 1, floor=floor),
        **{name: Interval(mean=value, low=value, high=value, floor=0.92) for name, value in shares.items() if value is not None},
        **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "weight", "sentence"),
    [
        (scores(4718.0, 0.0, 0.0), "bad", "far from real: FID 1,685 times that of held-out images, precision 0: train longer"),
        (scores(6.0, 0.05), "bad", "far from real: FID 2.14 times that of held-out images, precision 0.05: train longer"),
        (
            scores(680.0, 1.0, 0.0007),
            "bad",
            "far from real: FID 243 times that of held-out images, precision 1, recall 0.0007: it makes little of what the data show",
        ),
        (scores(15.2), "odd", "short of real: FID 5.43 times that of held-out images, precision 0.8"),
        (
            scores(3.0, recall=0.05),
            "odd",
            "short of real: FID 1.07 times that of held-out images, precision 0.8, recall 0.05: it makes little of what the data show",
        ),
        (scores(2.924, 0.7922), "good", "close to real: FID 1.04 times that of held-out images, precision 0.79"),
        (scores(2.924, None, None), "good", "close to real: FID 1.04 times that of held-out images"),
        (scores(3.0, floor=None), "odd", "FID 3, precision 0.8"),
        (scores(3.0, floor=0.0), "odd", "FID 3, precision 0.8"),
    ],
)
def test_the_state_of_a_generator_is_told_by_what_real_images_get(found, weight, sentence):
    assert appraisal.state(found) == appraisal.Finding(weight, sentence)


@pytest.mark.parametrize(
    ("z", "authentic", "precision", "weight"),
    [
        (2.0, 0.6, 0.8, "good"), (-40.0, 0.9, 0.8, "odd"), (-40.0, 0.1, 0.8, "bad"), (0.0, 0.1, 0.8, "odd"),
        (-40.0, 0.1, 0.0, "odd"), (2.0, 0.9, 0.0, "good"), (-40.0, 0.1, None, "bad"),
    ],
)  # fmt: skip
def test_copies_are_near_not_authentic_and_look_real(z, authentic, precision, weight):
    """Smooth images are near to all training images, and copies of none; so are those that look like nothing."""
    share = Interval(mean=authentic, low=authentic - 0.02, high=authentic + 0.02, floor=0.55)
    memory = Memorisation(copying=Copying(z=z, p=0.5), ratio=0.9, authenticity=share)
    said = appraisal.copying(scores(precision=precision, memorisation=memory))
    assert said.weight == weight and said.sentence.partition(" (")[0].endswith(": copies") == (weight == "bad")


def test_what_was_not_measured_is_no_copying():
    assert appraisal.copying(scores()).sentence.endswith("was not measured")
