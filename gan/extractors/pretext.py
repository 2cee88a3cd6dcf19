"""Protocol `pretext`: the same small network, for data without labels, trained to name rotation and crop of each image.

Rotation prediction after Gidaris et al. 2018 (arXiv:1803.07728); the crop is one of the four corners at three quarters of
each side. The 16 pairs of rotation and corner are its targets. An image that is not square is turned by 0 or 180 degrees only,
since a quarter turn would give another shape away: 8 targets.
"""

import pydantic
import torch
from torch import Tensor, nn

from .. import choices, streams
from . import _convnet
from ._fitting import Fitting, Labelled

OWN = ("min_accuracy",)
HAS_SCORE = False  # its logits name views, not contents: an Inception Score of them would mean nothing

SMALL: choices.Section = {"width": 4, "num_features": 6, "total_kimg": 0.05, "batch_size": 10, "lr": 0.001, "min_accuracy": 0.0}


class Config(choices.Config):
    """How large the network is, how long it is trained, and the held-out accuracy below which it refuses itself."""

    width: int = pydantic.Field(ge=1, strict=True)
    num_features: int = pydantic.Field(ge=2, strict=True)
    total_kimg: float = pydantic.Field(gt=0, le=1e9)
    batch_size: int = pydantic.Field(ge=2, strict=True)
    lr: float = pydantic.Field(gt=0)
    min_accuracy: float = pydantic.Field(ge=0, le=1)


def defaults(fit: choices.Fit) -> choices.Section:
    """As of classifier; the accuracy is twice what guessing a view gives, no more: round things look alike when turned."""
    passes = 10 * (fit.num_images or 0) / 1000
    return {
        "width": 32, "num_features": 64, "total_kimg": choices.rounded(min(max(passes, 40), 400)), "batch_size": 64, "lr": 2.0e-3,
        "min_accuracy": 2 / (16 if fit.shape[1] == fit.shape[2] else 8),
    }  # fmt: skip


def build(config: Config, shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """An untrained extractor for images of shape (C, H, W)."""
    return _convnet.Network(shape, config.width, config.num_features, _num_targets(*shape[1:]))


def _num_targets(height: int, width: int) -> int:
    """Pairs of rotation and corner."""
    return 16 if height == width else 8


def views(stream: int, pixels: Tensor, number: int) -> tuple[Tensor, Tensor]:
    """Each image (N, C, H, W) cropped to a corner, enlarged and turned, as (stream, number) say; and which view: (N,)."""
    count, _, height, width = pixels.shape
    num_targets, quarters = _num_targets(height, width), 1 if height == width else 2
    places = torch.arange(number * count, (number + 1) * count).numpy()
    targets = torch.from_numpy(streams.integers(stream, places, num_targets))
    cropped = torch.empty_like(pixels)
    for target in range(num_targets):
        here = targets == target
        corner, turns = target % 4, target // 4 * quarters
        tall, wide = height * 3 // 4, width * 3 // 4
        top, left = (height - tall) * (corner // 2), (width - wide) * (corner % 2)
        part = pixels[here, :, top : top + tall, left : left + wide].float()
        if len(part):
            enlarged = nn.functional.interpolate(part, (height, width), mode="bilinear", align_corners=False)
            cropped[here] = torch.rot90(enlarged.round().to(torch.uint8), turns, (2, 3))
    return cropped, targets


def fit(config: Config, network: _convnet.Network, train: Labelled, heldout: Labelled, seed: int) -> Fitting:
    """Train on `train`, (pixels (N, C, H, W) uint8, labels, not used); yields images seen; returns the protocol's facts."""
    stream, check = streams.key(seed, "extractor/views"), streams.key(seed, "extractor/heldout views")
    yield from _convnet.fit(
        network,
        *train,
        lambda pixels, labels, number: views(stream, pixels, number),
        seed,
        round(config.total_kimg * 1000),
        config.batch_size,
        config.lr,
    )
    accuracy = _convnet.share_right(network, *heldout, lambda pixels, labels, number: views(check, pixels, number))
    if accuracy < config.min_accuracy:
        raise ValueError(
            f"the pretext network names {accuracy:.3f} of the held-out views rightly, below reference.protocol.min_accuracy "
            f"{config.min_accuracy}: its scores would mean little. Raise total_kimg or width, or lower it knowingly"
        )
    return {"heldout_accuracy": accuracy}
