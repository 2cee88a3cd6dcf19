"""A 64-bit hash of what an image looks like: near duplicates differ in few bits (pHash; Zauner 2010).

The signs of the lowest 8×8 frequencies of the cosine transform of the grey image, against their median. Where it is
transparent it counts as lying on a ground as far below black as white lies above it: black, grey and white shapes stand out
from it alike, no colour under what is clear counts, and no shade is the one at which the ground would have to change.
All numbers are whole and under 2**53, so the hash of an image does not depend on the machine, nor on the images hashed beside it.
"""

import functools

import numpy as np

from .resampling import grey

_FREQUENCIES = 8
_DEPTH = 255  # of the ground under transparent pictures, in levels below black
_SCALE = 1024  # of the cosines, rounded to whole numbers


def hashes(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, C, H, W) uint8 -> hashes (N,) uint64 and mean colours (N, 4) uint8 (grey: all alike; of what is not transparent; alpha
    255 where there is none)."""
    seen = _seen(pixels).astype(np.float64)
    spectrum = _cosines(seen.shape[1]) @ seen @ _cosines(seen.shape[2]).T
    spectrum = spectrum.reshape(len(pixels), _FREQUENCIES**2)
    bits = spectrum > np.median(spectrum, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8")[:, 0].astype(np.uint64), _colours(pixels)


def _seen(pixels: np.ndarray) -> np.ndarray:
    """(N, H, W) levels from the ground, -255, to white; of opaque pictures their grey."""
    if pixels.shape[1] == 1:
        return pixels[:, 0]
    luma = grey(pixels[:, :3].transpose(0, 2, 3, 1))
    if pixels.shape[1] == 3:
        return luma
    above = luma.astype(np.int32) + _DEPTH
    return above * pixels[:, 3] // 255 - _DEPTH


def _colours(pixels: np.ndarray) -> np.ndarray:
    means = np.full((len(pixels), 4), 255, np.uint8)
    if pixels.shape[1] < 4:
        means[:, :3] = _means(pixels)
        return means
    alpha = pixels[:, 3:].astype(np.int64)
    shown = alpha.sum(axis=(2, 3))
    means[:, :3] = (pixels[:, :3] * alpha).sum(axis=(2, 3)) // np.maximum(shown, 1)
    means[:, 3:] = _means(pixels[:, 3:])
    return means


def _means(pixels: np.ndarray) -> np.ndarray:
    return pixels.sum(axis=(2, 3), dtype=np.int64) // (pixels.shape[2] * pixels.shape[3])


@functools.lru_cache(maxsize=16)
def _cosines(size: int) -> np.ndarray:
    """(8, size) basis of the cosine transform (DCT-II), whole numbers."""
    frequency, place = np.arange(_FREQUENCIES)[:, None], np.arange(size)[None]
    return np.rint(np.cos(np.pi * frequency * (2 * place + 1) / (2 * size)) * _SCALE)
