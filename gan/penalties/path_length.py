"""Path length: equal steps of the styles are to change the image equally (Karras et al. 2020, arXiv:1912.04958, sec. 3.2)."""

import math

import pydantic
import torch
from torch import Tensor

from .. import choices

SIDE = "generator"
SMALL: choices.Section = {}


class Config(choices.Config):
    """`weight`: of the squared difference from the mean length; `decay`: share of a step's mean that enters the running one."""

    weight: float = pydantic.Field(ge=0, default=2.0)
    decay: float = pydantic.Field(gt=0, le=1, default=0.01)


def penalty(config: Config, images: Tensor, styles: Tensor, normal: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """weight · (‖Jᵀy‖ − a)² (N,), J = ∂ image / ∂ style and y = normal / √(H W), and the new running mean a (0-d).

    `images` (N, C, H, W) made from `styles` (N, Z) or (N, layers, Z), `normal` as images from N(0, 1), `mean` 0-d: a so far.
    Styles of several layers count by the root of their mean square. As in the authors' code, a follows before it is used.
    """
    lengths = path_lengths(images, styles, normal)
    moved = torch.lerp(mean.to(lengths.dtype), lengths.mean(), config.decay)
    return config.weight * (lengths - moved).square(), moved.detach().to(mean.dtype)


def path_lengths(images: Tensor, styles: Tensor, normal: Tensor) -> Tensor:
    """‖Jᵀy‖ of each image (N,), differentiable again."""
    height, width = images.shape[2:]
    (pulled,) = torch.autograd.grad((images * normal).sum() / math.sqrt(height * width), styles, create_graph=True)
    layers = styles[0].numel() // styles.shape[-1]
    return torch.linalg.vector_norm(pulled.flatten(1), dim=1) / math.sqrt(layers)
