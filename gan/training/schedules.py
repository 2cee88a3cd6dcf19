"""What changes while training, as functions of images seen: never of time, so that a resumed run is the same run."""

import math

from .config import ScheduleConfig


def factor(config: ScheduleConfig, share: float) -> float:
    """The factor (final <= factor <= 1) at a share [0, 1] of the images."""
    if config.name == "constant":
        return 1.0
    progress = share if config.name == "linear" else (1 - math.cos(math.pi * share)) / 2
    return 1 + (config.final - 1) * progress
