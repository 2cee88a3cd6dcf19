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
    """Move parameters and floating buffers of `average` towards `network`; other buffers are copied, and so are the
    singular vectors of spectral norm, whose mean is no unit vector."""
    decay = 0.5 ** (batch_size / half_life_nimg) if half_life_nimg else 0.0
    pairs = list(zip(average.state_dict().items(), network.state_dict().values(), strict=True))
    moved = [(ours, theirs) for (name, ours), theirs in pairs if _is_averaged(name, ours)]
    torch._foreach_lerp_([ours for ours, _ in moved], [theirs for _, theirs in moved], 1 - decay)
    for (name, ours), theirs in pairs:
        if not _is_averaged(name, ours):
            ours.copy_(theirs)


def _is_averaged(name: str, tensor: torch.Tensor) -> bool:
    return tensor.is_floating_point() and not name.endswith(("._u", "._v"))
