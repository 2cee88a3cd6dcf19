"""Standard normal latents of which each number lies in [−bound, +bound] (Brock et al. 2019, arXiv:1809.11096, sec. 3.1).

Brock et al. draw again what falls outside; here the same law is had by the inverse of its distribution function, since a
draw must not depend on how often was drawn before.
"""

import numpy as np
import pydantic
import torch
from torch import Tensor

from .. import choices, streams
from ._arcs import slerp

SMALL: choices.Section = {"size": 6}


class Config(choices.Config):
    """`size`: numbers an image is made from; `bound`: the largest magnitude of each."""

    size: int = pydantic.Field(ge=1, strict=True)
    bound: float = pydantic.Field(gt=0, default=2.0)


def defaults(fit: choices.Fit) -> choices.Section:
    """As every recipe has it, and R3GAN for images of any size (Huang et al. 2024, arXiv:2501.05441)."""
    return {"size": 64}


def sample(config: Config, stream: int, indices: np.ndarray) -> Tensor:
    """Latents (N, size) float32 in [−bound, +bound] of the indices (N,) of a stream."""
    share = torch.from_numpy((streams.words(stream, indices, config.size).astype(np.float64) + 0.5) * 2.0**-32)
    below = torch.special.ndtr(torch.tensor(-config.bound, dtype=torch.float64))  # probability of each tail that is cut off
    return torch.special.ndtri(below + share * (1 - 2 * below)).clamp(-config.bound, config.bound).float()


def interpolate(config: Config, start: Tensor, end: Tensor, share: float) -> Tensor:
    """Spherical interpolation of (N, size), cut at the bound, which a bent way may pass; share in [0, 1]."""
    return slerp(start, end, share).clamp(-config.bound, config.bound)
