"""Standard normal latents, N(0, I) (Goodfellow et al. 2014, arXiv:1406.2661)."""

import numpy as np
import pydantic
import torch
from torch import Tensor

from .. import choices, streams


class Config(choices.Config):
    """`size`: numbers an image is made from."""

    size: int = pydantic.Field(ge=1, strict=True)


def sample(config: Config, stream: int, indices: np.ndarray) -> Tensor:
    """Latents (N, size) float32 of the indices (N,) of a stream."""
    return torch.from_numpy(streams.normal(stream, indices, config.size))


def interpolate(start: Tensor, end: Tensor, share: float) -> Tensor:
    """Spherical interpolation of (N, size), which keeps the norm typical (White 2016, arXiv:1609.04468); share in [0, 1]."""
    cosine = torch.nn.functional.cosine_similarity(start, end, dim=1).clamp(-1, 1)[:, None]
    angle = cosine.acos()
    near = angle.sin() < 1e-4
    weights = torch.sin((1 - share) * angle) / angle.sin(), torch.sin(share * angle) / angle.sin()
    return torch.where(near, torch.lerp(start, end, share), weights[0] * start + weights[1] * end)
