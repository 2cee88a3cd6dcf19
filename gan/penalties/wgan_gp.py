"""The gradient penalty of WGAN-GP, between real and generated images (Gulrajani et al. 2017, arXiv:1704.00028, eq. 3)."""

from collections.abc import Callable

import pydantic
import torch
from torch import Tensor

from .. import choices
from ..play import Draw, Judged
from ._gradient import gradient

SIDE = "discriminator"
SMALL: choices.Section = {}


class Config(choices.Config):
    """`weight`: λ; `target`: the gradient norm that costs nothing."""

    weight: float = pydantic.Field(ge=0, default=10.0)
    target: float = pydantic.Field(ge=0, default=1.0)


def penalty(config: Config, real: Judged, fake: Judged, judge: Callable[[Tensor], Tensor], uniform: Draw) -> Tensor:
    """weight · (‖∇D(x̂)‖ − target)² at x̂ = ε x + (1 − ε) G(z), ε uniform an image: (N,).

    `real`, `fake`: images (N, C, H, W) and their logits (N,); `judge`: images -> logits; `uniform`: (purpose, size) -> (N, size).
    """
    share = uniform("epsilon", 1)[:, :, None, None].to(real[0].dtype)
    between = (share * real[0].detach() + (1 - share) * fake[0].detach()).requires_grad_()
    norm = torch.linalg.vector_norm(gradient(between, judge(between)).flatten(1), dim=1)  # slope 0, not NaN, at norm 0
    return config.weight * (norm - config.target).square()
