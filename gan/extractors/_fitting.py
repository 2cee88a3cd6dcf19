"""What an extractor is: a file of this room, fitted to a data set once, the facts of which are part of its protocol."""

from collections.abc import Generator
from typing import Any, Protocol

import numpy as np
from torch import nn

Labelled = tuple[np.ndarray, np.ndarray]  # pixels (N, C, H, W) uint8 and labels (N,) int64, -1 where there is none
Fitting = Generator[int, None, dict[str, object]]  # yields images seen, returns the facts of the protocol


class Extractor(Protocol):
    """A file of this room; `config` is its Config."""

    HAS_SCORE: bool  # its logits are classes, so that the Inception Score means something

    def build(self, config: Any, shape: tuple[int, int, int], num_classes: int) -> nn.Module:
        """A network for pixels (N, C, H, W) uint8 that gives features (N, D) and logits (N, K), not yet fitted."""
        ...

    def fit(self, config: Any, network: Any, train: Labelled, heldout: Labelled, seed: int) -> Fitting:
        """Fit what `build` gave: train it, or find its weights, check and read them."""
        ...
