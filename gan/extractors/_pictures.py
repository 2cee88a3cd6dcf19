"""Pixels as pretrained networks want them: RGB of one size, the mean taken off, by products of narrow matrices.

`tf1` is TensorFlow 1's bilinear interpolation without anti-aliasing, which the Inception of FID was published with and
which torch-fidelity takes for all its extractors. `clean` is Pillow's bicubic, which widens its kernel when it shrinks
(Parmar et al. 2022, arXiv:2104.11222): each channel in float32, not rounded in between, and cut to [0, 255] at the end, as
clean-fid does.
"""

from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

Resize = Literal["tf1", "clean"]
Triple = tuple[float, float, float]

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # mean and standard deviation of red, green, blue in [0, 1]


def check_channels(shape: tuple[int, int, int], protocol: str) -> None:
    """ValueError where images of shape (C, H, W) are neither grey nor RGB."""
    if shape[0] not in (1, 3):
        raise ValueError(
            f"protocol {protocol} takes 1 or 3 channels, not prepare.channels {shape[0]}; "
            "prepare the images as RGB, or set reference.protocol.name to pretext"
        )


def normalised(pixels: Tensor, size: int, resize_as: Resize, mean: Triple, deviation: Triple) -> Tensor:
    """(N, 1 | 3, H, W) uint8 -> (N, 3, size, size) float32 of these mean and deviation, given for [0, 1]; grey is repeated."""
    resized = resize(pixels, size, resize_as).expand(-1, 3, -1, -1)
    both = torch.tensor((mean, deviation), device=pixels.device)[:, :, None, None]
    return (resized / 255 - both[0]) / both[1]


def resize(pixels: Tensor, size: int, resize_as: Resize) -> Tensor:
    """(N, C, H, W) uint8 [0, 255] -> (N, C, size, size) float32 of the same range."""
    images = pixels
    for length in (pixels.shape[3], pixels.shape[2]):  # each turns the axes round, so that the columns come first
        bands = _bands(length, size, resize_as, pixels.device)
        images = torch.cat([weights @ images.mT[..., taken, :].float() for taken, weights in bands], -2)
    return images.clamp(0, 255) if resize_as == "clean" else images


@lru_cache(maxsize=16)
def _bands(length: int, size: int, resize_as: Resize, device: torch.device) -> list[tuple[slice, Tensor]]:
    """For each 32 of `size` samples: what they take of `length`, which is few that lie together, and their weights (32, few) float32."""
    with torch.inference_mode(False):
        bands = (_bilinear(length, size) if resize_as == "tf1" else _pillow_bicubic(length, size)).split(32)
        used = [band.any(0).nonzero() for band in bands]
        taken = [slice(int(few.min()), int(few.max()) + 1) for few in used]
        return [(few, band[:, few].to(device)) for few, band in zip(taken, bands, strict=True)]


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
