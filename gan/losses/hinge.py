"""Hinge loss (Lim and Ye 2017, arXiv:1705.02894; Miyato et al. 2018, arXiv:1802.05957, eq. 16–17)."""

from torch import Tensor
from torch.nn.functional import relu

from .. import choices

PAIRED = False  # the generator's loss does not look at real images
SMALL: choices.Section = {}


class Config(choices.Config):
    """Nothing to set."""


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """max(0, 1 − D(x)) + max(0, 1 + D(G(z))) of logits (N,): (N,)."""
    return relu(1 - real_logits) + relu(1 + fake_logits)


def generator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """−D(G(z)) of logits (N,): (N,)."""
    return -fake_logits
