"""Relativistic average loss, RaSGAN (Jolicoeur-Martineau 2018, arXiv:1807.00734, sec. 4.2).

Each image is judged against the mean of the other kind in the batch: C(x) − mean C(G(z)) for a real one, and the other way round.
"""

from torch import Tensor
from torch.nn.functional import softplus

from .. import choices

PAIRED = True  # the generator's loss looks at real images too
SMALL: choices.Section = {}


class Config(choices.Config):
    """Nothing to set."""


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """softplus(−(C(x) − mean C(G(z)))) + softplus(C(G(z)) − mean C(x)) of logits (N,), means over N: (N,)."""
    return softplus(fake_logits.mean() - real_logits) + softplus(fake_logits - real_logits.mean())


def generator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """softplus(C(x) − mean C(G(z))) + softplus(−(C(G(z)) − mean C(x))) of logits (N,), means over N: (N,)."""
    return softplus(real_logits - fake_logits.mean()) + softplus(real_logits.mean() - fake_logits)
