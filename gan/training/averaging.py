"""The exponential moving average of a network (EMA), with a half-life in images (Karras et al. 2018, arXiv:1710.10196, sec. 4)."""

import torch
from torch import nn

from .config import AverageConfig


def half_life_nimg(config: AverageConfig, nimg: int) -> float:
    """The half-life after `nimg` images; a ramp keeps it short while the generator changes most (arXiv:2006.06676, sec. E)."""
    full = config.half_life_kimg * 1000
    return full if config.ramp is None else min(full, config.ramp * nimg)


@torch.no_grad()
def update(average: nn.Module, network: nn.Module, batch_size: int, half_life_nimg: float) -> None:
    """Move parameters and floating buffers of `average` towards `network`; integer buffers are copied."""
    decay = 0.5 ** (batch_size / half_life_nimg) if half_life_nimg else 0.0
    ours, theirs = list(average.state_dict().values()), list(network.state_dict().values())
    floating = [tensor.is_floating_point() for tensor in ours]
    torch._foreach_lerp_(
        [tensor for tensor, is_float in zip(ours, floating, strict=True) if is_float],
        [tensor for tensor, is_float in zip(theirs, floating, strict=True) if is_float],
        1 - decay,
    )
    for tensor, source, is_float in zip(ours, theirs, floating, strict=True):
        if not is_float:
            tensor.copy_(source)
