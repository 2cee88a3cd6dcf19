"""A mixture of normal laws, z = μ_k + σ_k · ε, fixed or learned (DeLiGAN: Gurumurthy et al. 2017, arXiv:1706.02071).

A sample is the component k, one-hot, and the noise ε; `Layer` makes z of them, so that μ and σ can be learned with the generator.
DeLiGAN adds λ · (1 − σ)² to the generator's loss to keep σ from vanishing; that term is not part of the space.
"""

import numpy as np
import pydantic
import torch
from torch import Tensor, nn

from .. import choices, streams
from ._arcs import slerp
from ._categories import Weights, check_number, draw

SMALL: choices.Section = {"components": 3, "size": 6, "spread": 3.0, "deviation": 0.5, "learned": True}


class Config(choices.Config):
    """`size`: numbers an image is made from; `weights`: of the `components`, None where all are alike.

    The means lie on a sphere of radius `spread`, drawn by `seed`; `deviation`: σ. Where `learned`, they are the start.
    """

    components: int = pydantic.Field(ge=1, strict=True)
    size: int = pydantic.Field(ge=2, strict=True)  # on a line only two means would differ
    spread: float = pydantic.Field(ge=0)
    deviation: float = pydantic.Field(gt=0)
    learned: bool
    weights: Weights | None = None
    seed: int = pydantic.Field(ge=0, lt=2**32, strict=True, default=0)

    @pydantic.model_validator(mode="after")
    def weights_fit(self) -> "Config":
        check_number(self.weights, self.components)
        return self


def defaults(fit: choices.Fit) -> choices.Section:
    """A component a class; means and σ so that each of 64 numbers has variance one: spread² / 64 + σ² = 1."""
    return {"components": fit.num_classes or 10, "size": 64, "spread": 6.9, "deviation": 0.5, "learned": True}


def raw_size(config: Config) -> int:
    """Numbers of a sample: one for each component, then the noise."""
    return config.components + config.size


def sample(config: Config, stream: int, indices: np.ndarray) -> Tensor:
    """One-hot components and standard normal noise, joined (N, components + size) float32, of the indices (N,) of a stream."""
    component = draw(streams.key(stream, "component"), indices, config.weights, config.components)
    noise = torch.from_numpy(streams.normal(streams.key(stream, "noise"), indices, config.size))
    return torch.cat([component, noise], dim=1)


def interpolate(config: Config, start: Tensor, end: Tensor, share: float) -> Tensor:
    """Samples (N, components + size): the noise goes along an arc, the component changes at share ½; share in [0, 1].

    Between two components z therefore jumps once. A straight way would lead where the law has hardly any images.
    """
    sizes = (config.components, config.size)
    (first, start_noise), (last, end_noise) = start.split(sizes, dim=1), end.split(sizes, dim=1)
    return torch.cat([last if share >= 0.5 else first, slerp(start_noise, end_noise, share)], dim=1)


def starting_means(config: Config) -> Tensor:
    """The means (components, size) float32 on the sphere of radius `spread`, by the config alone."""
    drawn = streams.normal(streams.key(config.seed, "mixture/means"), np.arange(config.components), config.size).astype(np.float64)
    norms = np.sqrt(np.square(drawn).sum(axis=1, keepdims=True))
    return torch.from_numpy((drawn / norms * config.spread).astype(np.float32))


class Layer(nn.Module):
    """Means and deviations (components, size): parameters where learned, else constants that no file of weights holds."""

    def __init__(self, config: Config):
        super().__init__()
        self.sizes = (config.components, config.size)
        means = starting_means(config)
        deviations = torch.full_like(means, config.deviation)
        if config.learned:
            self.means, self.deviations = nn.Parameter(means), nn.Parameter(deviations)
        else:
            self.register_buffer("means", means, persistent=False)
            self.register_buffer("deviations", deviations, persistent=False)

    def forward(self, sample: Tensor) -> Tensor:
        """(N, components + size) -> z (N, size). A product with one-hot rows, whose gradient needs no scatter."""
        component, noise = sample.split(self.sizes, dim=1)
        return component @ self.means + (component @ self.deviations) * noise
