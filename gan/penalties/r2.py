"""R2: the zero-centred gradient penalty on generated images (Mescheder et al. 2018, arXiv:1801.04406, eq. 10)."""

from collections.abc import Callable

import pydantic
from torch import Tensor

from .. import choices
from ..play import Draw, Judged
from ._gradient import squared_gradient_norm

SIDE = "discriminator"
SMALL: choices.Section = {"gamma": 0.1}


class Config(choices.Config):
    """`gamma`: its weight; the loss gets gamma / 2 times the squared norm."""

    gamma: float = pydantic.Field(ge=0)


def defaults(fit: choices.Fit) -> choices.Section:
    """The digits recipe's at 16 pixels a side, four times as much at each doubling, as StyleGAN2-ADA has it."""
    return {"gamma": choices.rounded(0.3 * (fit.side / 16) ** 2)}


def penalty(config: Config, real: Judged, fake: Judged, judge: Callable[[Tensor], Tensor], uniform: Draw) -> Tensor:
    """gamma / 2 · ‖∇D(G(z))‖² at each generated image: (N,). `real`, `fake`: images (N, C, H, W) and their logits (N,)."""
    return config.gamma / 2 * squared_gradient_norm(*fake)
