"""Truncation: images nearer to the model's mean, less varied and more typical.

Where the network has styles, they are drawn to their mean (Karras et al. 2019, arXiv:1812.04948, app. B); else latents to
theirs, which is 0 (Brock et al. 2019, arXiv:1809.11096, sec. 3.1).
"""

import functools
import weakref
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from gan import choices, streams
from gan.generator import Generator
from gan.tasks._latent import Styled

CENTRED = ("normal", "truncated_normal")  # latent spaces whose mean is 0 and whose numbers may be scaled
NUM_STYLES = 10_000  # that the mean style is taken of
_AT_ONCE = 1_000
_MEANS: weakref.WeakKeyDictionary[nn.Module, dict[int | None, Tensor]] = weakref.WeakKeyDictionary()


def untruncatable(product: Generator) -> str | None:
    """Why truncation means nothing to a generator, or None."""
    name = product.card.latent["name"]
    if isinstance(product.network, Styled) or name in CENTRED:
        return None
    return f"truncation scales latents, which leaves the space {name!r} of this model; leave it out"


def truncated(product: Generator, psi: float) -> Generator:
    """The generator with psi in (0, 1] of the way from the mean kept (1: its own images). ValueError where that means nothing."""
    if reason := untruncatable(product):
        raise ValueError(reason)
    styled = isinstance(product.network, Styled)
    return product.replaced(generator=_Pulled(product, psi) if styled else _Scaled(product.network, psi))


class _Scaled(nn.Module):
    """A network whose latents are scaled."""

    def __init__(self, network: nn.Module, psi: float):
        super().__init__()
        self.network, self.psi = network, psi

    def forward(self, latents: Tensor, labels_N: Tensor | None = None) -> Tensor:
        return self.network(latents * self.psi, labels_N)


class _Pulled(nn.Module):
    """A network whose styles are drawn to the mean of their class: that of all would make another class of an image."""

    def __init__(self, product: Generator, psi: float):
        super().__init__()
        self.made, self.psi = product, psi
        self.network = product.network  # registered, so that its device is found

    def draws(self, *given: Any) -> Tensor:
        return cast(Styled, self.network).draws(*given)

    def forward(self, latents: Tensor, labels_N: Tensor | None = None) -> Tensor:
        styles_NLS = cast(Styled, self.network).to_styles(latents, labels_N)
        if labels_N is None:
            means = mean_style(self.made, None)[None, None]
        else:
            means = torch.stack([mean_style(self.made, label) for label in labels_N.tolist()])[:, None]
        return cast(Styled, self.network).from_styles(torch.lerp(means, styles_NLS, self.psi), latents)


def mean_style(product: Generator, label: int | None) -> Tensor:
    """The mean (S,) of a class's styles, by latents of a fixed stream: a function of the weights alone, computed once."""
    known = _MEANS.setdefault(product.network, {})
    if label not in known:
        device = next(product.network.parameters()).device
        room, config = choices.module("latents", product.card.latent["name"]), choices.config("latents", product.card.latent)
        sums = []
        for first in range(0, NUM_STYLES, _AT_ONCE):
            latents = room.sample(config, streams.key(0, "truncation/mean"), np.arange(first, first + _AT_ONCE)).to(device)
            labels = None if label is None else torch.full((_AT_ONCE,), label, device=device)
            sums.append(cast(Styled, product.network).to_styles(latents, labels)[:, 0].double().sum(dim=0))
        known[label] = (functools.reduce(torch.add, sums) / NUM_STYLES).to(next(product.network.parameters()).dtype)
    return known[label]
