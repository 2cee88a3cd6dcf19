"""Wasserstein distance by its dual (Arjovsky et al. 2017, arXiv:1701.07875, eq. 2–3): D scores, it does not classify.

It bounds the distance only where D's slope is bounded, which a penalty (wgan_gp) or the network (spectral norm) must do.
"""

from torch import Tensor

from .. import choices

PAIRED = False  # the generator's loss does not look at real images
SMALL: choices.Section = {}


class Config(choices.Config):
    """Nothing to set."""


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """D(G(z)) − D(x) of scores (N,): (N,)."""
    return fake_logits - real_logits


def generator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """−D(G(z)) of scores (N,): (N,)."""
    return -fake_logits
