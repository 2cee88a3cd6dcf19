"""Categories with integer weights, which several spaces share."""

from typing import Annotated

import numpy as np
import pydantic
import torch
from torch import Tensor

from .. import streams


def _drawable(weights: tuple[int, ...]) -> tuple[int, ...]:
    if not 1 <= sum(weights) <= 2**31:
        raise ValueError(f"weights {list(weights)} sum to {sum(weights)}; the sum must lie in [1, 2**31]")
    return weights


# Probabilities up to a factor, as integers, so that draws are exact on every machine.
Weights = Annotated[
    tuple[Annotated[int, pydantic.Field(ge=0, strict=True)], ...], pydantic.Field(strict=False), pydantic.AfterValidator(_drawable)
]


def check_number(weights: tuple[int, ...] | None, count: int) -> None:
    """ValueError where there are weights, but not one for each of `count` categories."""
    if weights is not None and len(weights) != count:
        raise ValueError(f"weights {list(weights)} are {len(weights)} numbers for {count} categories; give one for each, or null")


def draw(stream: int, indices: np.ndarray, weights: tuple[int, ...] | None, count: int) -> Tensor:
    """A category of `count` for each index (N,), as one-hot rows (N, count) float32; without weights all are alike."""
    numbers = streams.choice(stream, indices, np.ones(count, np.int64) if weights is None else np.asarray(weights))
    return torch.from_numpy((numbers[:, None] == np.arange(count)).astype(np.float32))
