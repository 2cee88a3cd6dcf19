"""Self-attention over the pixels of features (SAGAN: Zhang et al. 2019, arXiv:1805.08318, sec. 3)."""

from collections.abc import Callable, Sequence
from typing import Annotated

import pydantic
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

Resolutions = list[Annotated[int, pydantic.Field(ge=1, strict=True)]]  # of a Config: shorter sides in pixels, as in [16]


def attended(resolutions: Sequence[int], sizes: Sequence[tuple[int, int]]) -> frozenset[int]:
    """Indices of `sizes` (H, W), those of a network's features, whose shorter side is asked for; ValueError lists them all."""
    sides = [min(size) for size in sizes]
    if unknown := sorted(set(resolutions) - set(sides)):
        raise ValueError(
            f"attention at {', '.join(map(str, unknown))} pixels cannot be had: this network's features for images of this "
            f"size have shorter sides of {', '.join(map(str, sorted(sides)))}; set train.network.attention to some of "
            "these, or to []"
        )
    return frozenset(sides.index(resolution) for resolution in resolutions)


class SelfAttention(nn.Module):
    """x + γ · W_v softmax(f(x)ᵀ g(x)) h(x), eq. 1 to 3 of the paper, γ starting at 0: features (N, C, H, W) -> the same.

    Query f and key g have C / 8 channels, value h has C / 2 (as the authors' code has it), each at least 1. The logits are
    not scaled by the number of channels, as in the paper. `wrap` is put around each convolution (spectral norm).
    """

    def __init__(self, channels: int, wrap: Callable[[nn.Module], nn.Module] = lambda layer: layer):
        super().__init__()
        inner, half = max(1, channels // 8), max(1, channels // 2)
        self.query = wrap(nn.Conv2d(channels, inner, 1, bias=False))
        self.key = wrap(nn.Conv2d(channels, inner, 1, bias=False))
        self.value = wrap(nn.Conv2d(channels, half, 1, bias=False))
        self.output = wrap(nn.Conv2d(half, channels, 1, bias=False))
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, features_NCHW: Tensor) -> Tensor:
        query, key, value = (_pixels(layer(features_NCHW)) for layer in (self.query, self.key, self.value))
        # The other backends have no second derivative, which gradient penalties take; this one repeats its bits, too.
        with sdpa_kernel(SDPBackend.MATH):
            mixed_NPC = nn.functional.scaled_dot_product_attention(query, key, value, scale=1.0)
        mixed = mixed_NPC.transpose(1, 2).unflatten(2, features_NCHW.shape[2:])
        return features_NCHW + self.gain * self.output(mixed)

    def attention_map(self, features_NCHW: Tensor, places: Sequence[tuple[int, int]]) -> Tensor:
        """How much each of P pixels (row, column) looks at every pixel: (N, P, H, W), each map with sum 1.

        `features_NCHW` is what the module is given in a forward pass; a forward hook sees it.
        """
        height, width = features_NCHW.shape[2:]
        query, key = _pixels(self.query(features_NCHW)), _pixels(self.key(features_NCHW))
        chosen = query[:, [row * width + column for row, column in places]]
        return (chosen @ key.transpose(1, 2)).softmax(dim=2).unflatten(2, (height, width))


def _pixels(features_NCHW: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, H·W, C)."""
    return features_NCHW.flatten(2).transpose(1, 2)
