"""Counts of a number of trials over categories: a multinomial law, as of words in a document."""

from typing import Literal

import numpy as np
import pydantic
import torch
from torch import Tensor

from .. import choices, streams
from ._categories import Weights, check_number, draw

SMALL: choices.Section = {"size": 6, "trials": 10}


class Config(choices.Config):
    """`size`: categories, and numbers an image is made from; `trials`: sum of the counts; `weights`: None where all are alike.

    `scale`: "shares" divides counts by trials, so that they sum to one; "standard" gives each mean 0 and variance 1.
    """

    size: int = pydantic.Field(ge=2, strict=True)
    trials: int = pydantic.Field(ge=1, le=10_000, strict=True)
    weights: Weights | None = None
    scale: Literal["shares", "standard"] = "standard"

    @pydantic.model_validator(mode="after")
    def weights_fit(self) -> "Config":
        check_number(self.weights, self.size)
        if self.weights is not None and self.scale == "standard" and (0 in self.weights or sum(self.weights) in self.weights):
            raise ValueError(f"weights {list(self.weights)} hold a count that never varies; scale: shares takes them")
        return self


def defaults(fit: choices.Fit) -> choices.Section:
    """As many numbers as the other spaces have, each about one, none, two or three."""
    return {"size": 64, "trials": 64}


def _centre_and_unit(config: Config, like: Tensor) -> tuple[Tensor, Tensor]:
    """What counts (N, size) are moved and divided by, each (size,) float64."""
    weights = torch.tensor(config.weights or (1,) * config.size, dtype=torch.float64, device=like.device)
    probability = weights / weights.sum()
    if config.scale == "shares":
        return torch.zeros_like(probability), torch.full_like(probability, config.trials)
    return config.trials * probability, (config.trials * probability * (1 - probability)).sqrt()


def sample(config: Config, stream: int, indices: np.ndarray) -> Tensor:
    """Scaled counts (N, size) float32 of the indices (N,) of a stream."""
    trials = (streams.key(stream, f"trial {number}") for number in range(config.trials))
    drawn = (draw(trial, indices, config.weights, config.size).double() for trial in trials)
    counts = sum(drawn, torch.zeros((), dtype=torch.float64))
    centre, unit = _centre_and_unit(config, counts)
    return ((counts - centre) / unit).float()


def interpolate(config: Config, start: Tensor, end: Tensor, share: float) -> Tensor:
    """The counts (N, size) nearest to the straight way whose sum is `trials` (by largest remainders); share in [0, 1]."""
    centre, unit = _centre_and_unit(config, start)
    first, last = ((scaled.double() * unit + centre).round() for scaled in (start, end))
    way = torch.lerp(first, last, share)
    whole = way.floor()
    missing = config.trials - whole.sum(dim=1, keepdim=True)
    rank = (whole - way).argsort(dim=1, stable=True).argsort(dim=1, stable=True)  # 0: the largest remainder
    return ((whole + (rank < missing) - centre) / unit).to(start.dtype)
