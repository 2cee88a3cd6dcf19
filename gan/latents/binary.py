"""Independent random bits, Bernoulli(probability), as 0 and 1 or as −1 and +1 (Brock et al. 2019, arXiv:1809.11096, app. E)."""

import numpy as np
import pydantic
import torch
from torch import Tensor

from .. import choices, streams

SMALL: choices.Section = {"size": 6}


class Config(choices.Config):
    """`size`: bits an image is made from; `probability`: of a one; `signed`: a zero is −1."""

    size: int = pydantic.Field(ge=1, strict=True)
    probability: float = pydantic.Field(gt=0, lt=1, default=0.5)
    signed: bool = False


def defaults(fit: choices.Fit) -> choices.Section:
    """As every recipe has it, and R3GAN for images of any size (Huang et al. 2024, arXiv:2501.05441)."""
    return {"size": 64}


def sample(config: Config, stream: int, indices: np.ndarray) -> Tensor:
    """Bits (N, size) float32 of the indices (N,) of a stream; the probability is met to 2⁻³³."""
    ones = streams.words(stream, indices, config.size) < round(config.probability * 2**32)
    low = -1 if config.signed else 0
    return torch.from_numpy(np.where(ones, np.float32(1), np.float32(low)))


def interpolate(config: Config, start: Tensor, end: Tensor, share: float) -> Tensor:
    """Bit i of `size` goes from its first value to its last at share (i + ½) / size, so that all stay bits; share in [0, 1]."""
    switched = share >= (torch.arange(config.size, device=start.device) + 0.5) / config.size
    return torch.where(switched, end, start)
