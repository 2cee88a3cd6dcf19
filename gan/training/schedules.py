"""What changes while training, as functions of images seen: never of time, so that a resumed run is the same run."""

import math

from .config import ScheduleConfig


def factor(config: ScheduleConfig, nimg: int, total_nimg: int) -> float:
    """The factor (final <= factor <= 1) after `nimg` images of a training of `total_nimg`."""
    if config.name == "constant":
        return 1.0
    over_nimg = total_nimg if config.over_kimg is None else config.over_kimg * 1000
    share = min(1.0, nimg / over_nimg)
    progress = share if config.name == "linear" else (1 - math.cos(math.pi * share)) / 2
    return 1 + (config.final - 1) * progress


def knows_the_end(config: ScheduleConfig) -> bool:
    """Whether a longer training would have gone another way from its start."""
    return config.name != "constant" and config.over_kimg is None
