"""SAGAN: residual networks with self-attention, both spectrally normalised (Zhang et al. 2019, arXiv:1805.08318).

Any even height and width from 8 up. With classes, the generator takes the label by conditional batch norm, the
discriminator by projection (Miyato and Koyama 2018, arXiv:1802.05637). The paper trains it with the hinge loss and a
learning rate four times as high for the discriminator.
"""

from .. import choices
from ._attention import Resolutions, attended
from ._layers import Widths, pyramid, usual_widths, widths_of_levels
from ._resnet import ResidualDiscriminator, ResidualGenerator, SpectralProjection
from ._spectral import spectral_norm

SMALL: choices.Section = {"generator_widths": [8], "discriminator_widths": [8]}
OWN = ("attention",)  # without which this would be another network


class Config(choices.Config):
    """Widths are channels from the lowest resolution up, the last repeated; the discriminator's end at half the image's.

    `attention`: shorter sides in pixels; null for the middle one, as in the paper (32 of 128).
    """

    generator_widths: Widths
    discriminator_widths: Widths
    attention: Resolutions | None = None


def defaults(fit: choices.Fit) -> choices.Section:
    """As of sngan."""
    return {"generator_widths": usual_widths(fit, 128, 256), "discriminator_widths": usual_widths(fit, 128, 128)[:-1]}


def _levels(config: Config, sizes: list[tuple[int, int]]) -> frozenset[int]:
    if config.attention is None:
        return frozenset({min(len(sizes) // 2, len(sizes) - 2)})
    return attended(config.attention, sizes[:-1])


class Generator(ResidualGenerator):
    """Latents (N, Z), labels (N,) -> images (N, C, H, W) in [-1, +1]."""

    def __init__(self, config: Config, *, latent_size: int, num_classes: int, shape: tuple[int, int, int]):
        sizes = pyramid(shape)
        widths = widths_of_levels(config.generator_widths, len(sizes))
        super().__init__(latent_size, num_classes, shape[0], sizes, widths, _levels(config, sizes), spectral_norm)


class Discriminator(ResidualDiscriminator):
    """Images (N, C, H, W) in [-1, +1], labels (N,) -> logits (N,)."""

    def __init__(self, config: Config, *, num_classes: int, shape: tuple[int, int, int]):
        sizes = pyramid(shape)
        widths = widths_of_levels(config.discriminator_widths, len(sizes) - 1)
        super().__init__(shape[0], widths, _levels(config, sizes), SpectralProjection(widths[0], num_classes))
