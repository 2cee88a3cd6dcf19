"""Relativistic pairing loss (Jolicoeur-Martineau 2018, arXiv:1807.00734; R3GAN, Huang et al. 2024, arXiv:2501.05441, eq. 2).

Each generated image is judged against a real one; where classes are given, against one of its own class.
"""

from torch import Tensor
from torch.nn.functional import softplus

from .. import choices

PAIRED = True  # the generator's loss looks at real images too
SMALL: choices.Section = {}


class Config(choices.Config):
    """Nothing to set."""


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """softplus(−(D(x) − D(G(z)))) of paired logits (N,): (N,)."""
    return softplus(fake_logits - real_logits)


def generator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """softplus(−(D(G(z)) − D(x))) of paired logits (N,): (N,)."""
    return softplus(real_logits - fake_logits)
