"""Categories instead of numbers: one or several independent factors, one-hot or by a learned embedding.

Latent codes of categories are those of InfoGAN (Chen et al. 2016, arXiv:1606.03657, sec. 7: Cat(K = 10)).
"""

from typing import Annotated

import numpy as np
import pydantic
import torch
from torch import Tensor, nn

from .. import choices, streams
from ._categories import Weights, check_number, draw

SMALL: choices.Section = {"factors": [3, 2], "weights": [[1, 2, 3], [1, 1]], "embedding": 3}

Count = Annotated[int, pydantic.Field(ge=1, strict=True)]


class Config(choices.Config):
    """`factors`: categories of each factor; `weights`: theirs, a list a factor, or None where all are alike.

    `embedding`: learned numbers a factor is turned into, or None, where the network gets the one-hot numbers.
    """

    factors: tuple[Annotated[int, pydantic.Field(ge=2, strict=True)], ...] = pydantic.Field(min_length=1, strict=False)
    weights: Annotated[tuple[Weights, ...], pydantic.Field(strict=False)] | None = None
    embedding: Count | None = None

    @pydantic.model_validator(mode="after")
    def weights_fit(self) -> "Config":
        if self.weights is None:
            return self
        if len(self.weights) != len(self.factors):
            raise ValueError(f"weights are {len(self.weights)} lists for {len(self.factors)} factors; give one for each, or null")
        for weights, count in zip(self.weights, self.factors):
            check_number(weights, count)
        return self

    @property
    def size(self) -> int:
        """Numbers the network gets."""
        return sum(self.factors) if self.embedding is None else len(self.factors) * self.embedding


def defaults(fit: choices.Fit) -> choices.Section:
    """Sixteen million latents, as 64 learned numbers: alone, a space has to have more of them than images are made."""
    return {"factors": [8] * 8, "embedding": 8}


def raw_size(config: Config) -> int:
    """Numbers of a sample: one for each category of each factor."""
    return sum(config.factors)


def sample(config: Config, stream: int, indices: np.ndarray) -> Tensor:
    """One-hot rows of all factors, joined (N, sum of factors) float32, of the indices (N,) of a stream."""
    weights = config.weights or (None,) * len(config.factors)
    drawn = [draw(streams.key(stream, f"factor {number}"), indices, weights[number], count) for number, count in enumerate(config.factors)]
    return torch.cat(drawn, dim=1)


def interpolate(config: Config, start: Tensor, end: Tensor, share: float) -> Tensor:
    """Factor i of F goes from its first category to its last at share (i + ½) / F, so that rows stay one-hot; share in [0, 1]."""
    parts = zip(start.split(config.factors, dim=1), end.split(config.factors, dim=1))
    return torch.cat([pair[share >= (number + 0.5) / len(config.factors)] for number, pair in enumerate(parts)], dim=1)


class Layer(nn.Module):
    """An embedding (category, embedding) for each factor, from N(0, 1); without one the sample goes through as it is."""

    def __init__(self, config: Config):
        super().__init__()
        self.factors = config.factors
        shapes = [] if config.embedding is None else [(count, config.embedding) for count in config.factors]
        self.embeddings = nn.ParameterList(torch.randn(shape) for shape in shapes)

    def forward(self, sample: Tensor) -> Tensor:
        """(N, sum of factors) -> (N, size). A product with one-hot rows, whose gradient needs no scatter."""
        if not len(self.embeddings):
            return sample
        parts = sample.split(self.factors, dim=1)
        return torch.cat([part @ embedding for part, embedding in zip(parts, self.embeddings)], dim=1)
