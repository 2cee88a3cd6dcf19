"""Pixels brought to the size that a pretrained network wants: two matrix products, whose matrices are the known ones.

`tf1` is TensorFlow 1's bilinear interpolation without anti-aliasing, which the Inception of FID and torch-fidelity's other
extractors were published with. `clean` is Pillow's bicubic, which widens its kernel when it shrinks (Parmar et al. 2022,
arXiv:2104.11222): each channel in float32, not rounded in between, so that values may lie a little outside [0, 255].
"""

from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

Kind = Literal["tf1", "clean"]


def resize(pixels: Tensor, size: int, kind: Kind = "tf1") -> Tensor:
    """(N, C, H, W) uint8 [0, 255] -> (N, C, size, size) float32 of the same range."""
    rows, columns = (_matrix(length, size, kind).to(pixels.device) for length in pixels.shape[2:])
    return rows @ (pixels.float() @ columns.T)


@lru_cache(maxsize=16)
def _matrix(length: int, size: int, kind: Kind) -> Tensor:
    """(size, length) float32: what each of `size` samples takes of `length`."""
    with torch.inference_mode(False):
        return _bilinear(length, size) if kind == "tf1" else _pillow_bicubic(length, size)


def _bilinear(length: int, size: int) -> Tensor:
    """Sample i lies at i * length / size, between its two neighbours; places in float32, as TensorFlow has them."""
    places = torch.arange(size, dtype=torch.float32) * (length / size)
    low = places.long()
    weight = places - low
    matrix, samples = torch.zeros(size, length), torch.arange(size)
    matrix[samples, low] += 1 - weight
    matrix[samples, (low + 1).clamp_max(length - 1)] += weight
    return matrix


def _pillow_bicubic(length: int, size: int) -> Tensor:
    """Pillow's own weights: what it makes of each unit vector."""
    units = Image.fromarray(np.eye(length, dtype=np.float32))
    return torch.from_numpy(np.array(units.resize((length, size), Image.Resampling.BICUBIC)))
