"""Protocol `classifier`: a small classifier trained on the data set's own labels, for digits-like data without network."""

import pydantic
from torch import Tensor, nn

from .. import choices, streams
from . import _convnet
from ._fitting import Fitting, Labelled

OWN = ("min_accuracy",)
HAS_SCORE = True  # its logits are classes of the data, so the Inception Score means something

SMALL: choices.Section = {"width": 4, "num_features": 6, "total_kimg": 0.05, "batch_size": 10, "lr": 0.001, "min_accuracy": 0.0}


class Config(choices.Config):
    """How large the classifier is, how long it is trained, and the held-out accuracy below which it refuses itself."""

    width: int = pydantic.Field(ge=1, strict=True)
    num_features: int = pydantic.Field(ge=2, strict=True)
    total_kimg: float = pydantic.Field(gt=0, le=1e9)
    batch_size: int = pydantic.Field(ge=2, strict=True)
    lr: float = pydantic.Field(gt=0)
    min_accuracy: float = pydantic.Field(ge=0, le=1)


def defaults(fit: choices.Fit) -> choices.Section:
    """The digits recipe's, longer for more images: ten passes, up to ten times as long. See also `least_accuracy`."""
    passes = 10 * (fit.num_images or 0) / 1000
    return {
        "width": 32, "num_features": 64 if (fit.num_classes or 0) <= 10 else 128,
        "total_kimg": choices.rounded(min(max(passes, 40), 400)), "batch_size": 64, "lr": 2.0e-3,
        "min_accuracy": least_accuracy(fit.num_classes),
    }  # fmt: skip


def least_accuracy(num_classes: int | None) -> float:
    """A quarter of the way from guessing to certainty; below it the network has learnt nothing to judge by."""
    chance = 1 / num_classes if num_classes else 0.0
    return round(chance + 0.25 * (1 - chance), 3)


def build(config: Config, shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """An untrained extractor for images of shape (C, H, W)."""
    return _convnet.Network(shape, config.width, config.num_features, num_classes)


def fit(config: Config, network: _convnet.Network, train: Labelled, heldout: Labelled, seed: int) -> Fitting:
    """Train on `train`, (pixels (N, C, H, W) uint8, labels (N,)); yields images seen; returns the facts of the protocol."""
    stream = streams.key(seed, "extractor/shift")
    for _, labels in (train, heldout):
        if (labels < 0).any():
            raise ValueError(
                f"{int((labels < 0).sum())} of {len(labels)} images have no label, and protocol classifier needs labels; "
                "put images into sub-folders, one a class, or set reference.protocol.name: pretext"
            )

    def moved(pixels: Tensor, labels: Tensor, number: int) -> tuple[Tensor, Tensor]:
        return _convnet.shifted(pixels, stream, number), labels

    yield from _convnet.fit(network, *train, moved, seed, round(config.total_kimg * 1000), config.batch_size, config.lr)
    accuracy = _convnet.share_right(network, *heldout, lambda pixels, labels, number: (pixels, labels))
    if accuracy < config.min_accuracy:
        raise ValueError(
            f"the classifier names {accuracy:.3f} of the held-out images rightly, below reference.protocol.min_accuracy "
            f"{config.min_accuracy}: its scores would mean little. Raise total_kimg or width, or use protocol pretext"
        )
    return {"heldout_accuracy": accuracy}
