"""Least squares (Mao et al. 2017, arXiv:1611.04076, eq. 9): D is to say 1 of real and 0 of generated images, G wants 1.

Of the paper's two codings this is the 0-1 one, a = 0 and b = c = 1, with its factor ½.
"""

from torch import Tensor

from .. import choices

PAIRED = False  # the generator's loss does not look at real images
SMALL: choices.Section = {}


class Config(choices.Config):
    """Nothing to set."""


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """½ (D(x) − 1)² + ½ D(G(z))² of logits (N,): (N,)."""
    return ((real_logits - 1).square() + fake_logits.square()) / 2


def generator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """½ (D(G(z)) − 1)² of logits (N,): (N,)."""
    return (fake_logits - 1).square() / 2
