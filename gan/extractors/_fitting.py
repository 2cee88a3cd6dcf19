"""What an extractor is fitted to, and what comes of it."""

from collections.abc import Generator

import numpy as np

Labelled = tuple[np.ndarray, np.ndarray]  # pixels (N, C, H, W) uint8 and labels (N,) int64, -1 where there is none
Fitting = Generator[int, None, dict[str, object]]  # yields images seen, returns the facts of the protocol
