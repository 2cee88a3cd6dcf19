"""Random amounts from uniform numbers, which augmentations share."""

from collections.abc import Callable

import torch
from torch import Tensor

Uniform = Callable[[str, int], Tensor]  # (purpose, size) -> (N, size) in (0, 1), named by the step's images


def normal(uniforms: Tensor, within: float | None = None) -> Tensor:
    """Uniform (0, 1) -> N(0, 1) by the inverse of its distribution; `within`: of the normal cut off at ± so many sigmas."""
    if within is not None:
        tail = torch.special.ndtr(uniforms.new_tensor(-within))
        uniforms = tail + uniforms * (1 - 2 * tail)
    return torch.special.ndtri(uniforms)


def whole(uniforms: Tensor, lowest: int, highest: int) -> Tensor:
    """Uniform (0, 1) -> whole numbers in [lowest, highest], equally often, as floats."""
    return (lowest + (uniforms * (highest - lowest + 1)).floor()).clamp(max=highest)


def per_image(values: Tensor) -> Tensor:
    """(N,) -> (N, 1, 1, 1), to go with images."""
    return values[:, None, None, None]


def num_colors(channels: int) -> int:
    """Channels that colour changes act on: not on the fourth, alpha."""
    return 3 if channels == 4 else channels
