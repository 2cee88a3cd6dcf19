"""Spherical interpolation, which several spaces share."""

import torch
from torch import Tensor


def slerp(start: Tensor, end: Tensor, share: float) -> Tensor:
    """Spherical interpolation of (N, size), which keeps the norm typical (White 2016, arXiv:1609.04468); share in [0, 1]."""
    cosine = torch.nn.functional.cosine_similarity(start, end, dim=1).clamp(-1, 1)[:, None]
    angle = cosine.acos()
    near = angle.sin() < 1e-4
    weights = torch.sin((1 - share) * angle) / angle.sin(), torch.sin(share * angle) / angle.sin()
    return torch.where(near, torch.lerp(start, end, share), weights[0] * start + weights[1] * end)
