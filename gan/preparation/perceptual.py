"""A 64-bit hash of what an image looks like: near duplicates differ in few bits (pHash; Zauner 2010).

The signs of the lowest 8×8 frequencies of the cosine transform of the grey image, against their median. All numbers are
whole and under 2**53, so the hash of an image does not depend on the machine, nor on the images hashed beside it.
"""

import functools

import numpy as np

from .resampling import grey

_FREQUENCIES = 8
_SCALE = 1024  # of the cosines, rounded to whole numbers


def hashes(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, C, H, W) uint8 -> hashes (N,) uint64 and mean colours (N, 4) uint8 (grey: all alike; alpha 255 where there is none)."""
    seen = _grey(pixels).astype(np.float64)
    spectrum = _cosines(seen.shape[1]) @ seen @ _cosines(seen.shape[2]).T
    spectrum = spectrum.reshape(len(pixels), _FREQUENCIES**2)
    bits = spectrum > np.median(spectrum, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8")[:, 0].astype(np.uint64), _colours(pixels)


def _grey(pixels: np.ndarray) -> np.ndarray:
    if pixels.shape[1] == 1:
        return pixels[:, 0]
    luma = grey(pixels[:, :3].transpose(0, 2, 3, 1))
    return luma if pixels.shape[1] == 3 else luma.astype(np.uint32) * pixels[:, 3] // 255


def _colours(pixels: np.ndarray) -> np.ndarray:
    count = pixels.shape[2] * pixels.shape[3]
    means = (pixels.sum(axis=(2, 3), dtype=np.int64) // count).astype(np.uint8)
    found = np.full((len(pixels), 4), 255, np.uint8)
    found[:, : means.shape[1] if means.shape[1] > 1 else 3] = means
    return found


@functools.lru_cache(maxsize=16)
def _cosines(size: int) -> np.ndarray:
    """(8, size) basis of the cosine transform (DCT-II), whole numbers."""
    frequency, place = np.arange(_FREQUENCIES)[:, None], np.arange(size)[None]
    return np.rint(np.cos(np.pi * frequency * (2 * place + 1) / (2 * size)) * _SCALE)
