"""Latents uniform on the sphere of radius √size, N(0, I)'s typical norm (as Karras et al. 2018, arXiv:1710.10196, app. A)."""

import numpy as np
import pydantic
import torch
from torch import Tensor

from .. import choices, streams

SMALL: choices.Section = {"size": 6}


class Config(choices.Config):
    """`size`: numbers an image is made from; two at least, since on a line the sphere is two points."""

    size: int = pydantic.Field(ge=2, strict=True)


def defaults(fit: choices.Fit) -> choices.Section:
    """As every recipe has it, and R3GAN for images of any size (Huang et al. 2024, arXiv:2501.05441)."""
    return {"size": 64}


def sample(config: Config, stream: int, indices: np.ndarray) -> Tensor:
    """Latents (N, size) float32 of norm √size of the indices (N,) of a stream: normal draws by their norm (Muller 1959)."""
    drawn = streams.normal(stream, indices, config.size).astype(np.float64)
    norms = np.sqrt(np.square(drawn).sum(axis=1, keepdims=True))
    return torch.from_numpy((drawn / norms * config.size**0.5).astype(np.float32))


def interpolate(config: Config, start: Tensor, end: Tensor, share: float) -> Tensor:
    """Along the great circle, (N, size) -> (N, size) of the same norm; share in [0, 1].

    Start and end span the circle's plane; exact opposites span none and go by way of the axis that is nearest to a right angle.
    """
    first, last = (torch.nn.functional.normalize(side.double(), dim=1) for side in (start, end))
    cosine = (first * last).sum(dim=1, keepdim=True)
    across = last - cosine * first
    sine = torch.linalg.vector_norm(across, dim=1, keepdim=True)
    axis = (torch.arange(config.size, device=start.device) == first.abs().argmin(dim=1, keepdim=True)).double()
    beside = axis - (axis * first).sum(dim=1, keepdim=True) * first
    direction = torch.nn.functional.normalize(torch.where(sine < 1e-12, beside, across), dim=1, eps=0)
    angle = share * torch.atan2(sine, cosine)
    return ((angle.cos() * first + angle.sin() * direction) * config.size**0.5).to(start.dtype)
