"""The non-saturating game (Goodfellow et al. 2014, arXiv:1406.2661, sec. 3): as minimax, but G maximises log D(G(z))."""

from torch import Tensor
from torch.nn.functional import softplus

from .. import choices

PAIRED = False  # the generator's loss does not look at real images
SMALL: choices.Section = {}


class Config(choices.Config):
    """Nothing to set."""


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """−log D(x) − log(1 − D(G(z))) of logits (N,): (N,)."""
    return softplus(-real_logits) + softplus(fake_logits)


def generator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """−log D(G(z)) of logits (N,): (N,)."""
    return softplus(-fake_logits)
