"""Uniform latents in an interval, independent a coordinate (Radford et al. 2015, arXiv:1511.06434, use [-1, 1])."""

import numpy as np
import pydantic
import torch
from torch import Tensor

from .. import choices, streams

SMALL: choices.Section = {"size": 6}


class Config(choices.Config):
    """`size`: numbers an image is made from; `low` < `high`: the interval."""

    size: int = pydantic.Field(ge=1, strict=True)
    low: float = -1.0
    high: float = 1.0

    @pydantic.model_validator(mode="after")
    def ordered(self) -> "Config":
        if self.low >= self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        return self


def defaults(fit: choices.Fit) -> choices.Section:
    """As every recipe has it, and R3GAN for images of any size (Huang et al. 2024, arXiv:2501.05441)."""
    return {"size": 64}


def sample(config: Config, stream: int, indices: np.ndarray) -> Tensor:
    """Latents (N, size) float32 in (low, high) of the indices (N,) of a stream."""
    share = torch.from_numpy(streams.uniform(stream, indices, config.size))
    return config.low + share * (config.high - config.low)


def interpolate(config: Config, start: Tensor, end: Tensor, share: float) -> Tensor:
    """Linear interpolation of (N, size), which stays in the interval; share in [0, 1]."""
    return torch.lerp(start, end, share)
