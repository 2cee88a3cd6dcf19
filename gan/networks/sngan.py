"""SNGAN: residual networks, the discriminator spectrally normalised (Miyato et al. 2018, arXiv:1802.05957).

Any even height and width from 8 up. With classes, the generator takes the label by conditional batch norm, the
discriminator by projection (Miyato and Koyama 2018, arXiv:1802.05637) or it tells the classes apart itself (auxiliary; Odena
et al. 2017, arXiv:1610.09585). The paper trains it with the hinge loss and several discriminator steps a step.
"""

from typing import Literal

from .. import choices
from ._attention import Resolutions, attended
from ._layers import Widths, pyramid, usual_widths, widths_of_levels
from ._resnet import ResidualDiscriminator, ResidualGenerator, SpectralAuxiliary, SpectralProjection, plain

SMALL: choices.Section = {"generator_widths": [8], "discriminator_widths": [8]}


class Config(choices.Config):
    """Widths are channels from the lowest resolution up, the last repeated; the discriminator's end at half the image's."""

    generator_widths: Widths
    discriminator_widths: Widths
    label: Literal["projection", "auxiliary"] = "projection"
    attention: Resolutions = []


def defaults(fit: choices.Fit) -> choices.Section:
    """On a GPU about the paper's for CIFAR-10 (256 and 128), on a CPU what it trains in the time of a small DCGAN."""
    return {"generator_widths": usual_widths(fit, 128, 256), "discriminator_widths": usual_widths(fit, 128, 128)[:-1]}


class Generator(ResidualGenerator):
    """Latents (N, Z), labels (N,) -> images (N, C, H, W) in [-1, +1]."""

    def __init__(self, config: Config, *, latent_size: int, num_classes: int, shape: tuple[int, int, int]):
        sizes = pyramid(shape)
        levels = attended(config.attention, sizes[:-1])
        widths = widths_of_levels(config.generator_widths, len(sizes))
        super().__init__(latent_size, num_classes, shape[0], sizes, widths, levels, plain)


class Discriminator(ResidualDiscriminator):
    """Images (N, C, H, W) in [-1, +1], labels (N,) -> logits (N,); (N, 1 + K) with class logits where label is auxiliary."""

    def __init__(self, config: Config, *, num_classes: int, shape: tuple[int, int, int]):
        sizes = pyramid(shape)[:-1]
        widths = widths_of_levels(config.discriminator_widths, len(sizes))
        head = SpectralAuxiliary if config.label == "auxiliary" else SpectralProjection
        super().__init__(shape[0], widths, attended(config.attention, sizes), head(widths[0], num_classes))
