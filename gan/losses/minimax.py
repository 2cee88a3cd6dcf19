"""The minimax game (Goodfellow et al. 2014, arXiv:1406.2661, eq. 1): D maximises log D(x) + log(1 − D(G(z))), G minimises it."""

from torch import Tensor
from torch.nn.functional import softplus

from .. import choices

PAIRED = False  # the generator's loss does not look at real images
SMALL: choices.Section = {}


class Config(choices.Config):
    """Nothing to set."""


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """−log D(x) − log(1 − D(G(z))) of logits (N,): (N,); softplus(−l) = −log sigmoid(l)."""
    return softplus(-real_logits) + softplus(fake_logits)


def generator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """log(1 − D(G(z))) of logits (N,): (N,). Its gradient vanishes where D is sure: see nonsaturating."""
    return -softplus(fake_logits)
