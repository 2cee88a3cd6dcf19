"""Random numbers named by (seed, purpose, index): the same whatever the batch, the thread or what was drawn before.

A counter-based generator (Philox4x32-10; Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), so that
training needs no generator state to resume: the number of images seen names every draw.
"""

import hashlib

import numpy as np

_MULTIPLIERS = np.array([0xD2511F53, 0xCD9E8D57], np.uint64)
_WEYL = np.array([0x9E3779B9, 0xBB67AE85], np.uint64)
_LOW = np.uint64(0xFFFFFFFF)


def key(seed: int, purpose: str) -> int:
    """A 64-bit key for one use of a seed, so that two uses never share numbers."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{purpose}".encode()).digest()[:8], "little")


def words(stream: int, indices: np.ndarray, size: int) -> np.ndarray:
    """`size` random 32-bit words for each index (N,) >= 0: (N, size) uint32. `stream` is a `key`."""
    blocks = -(-size // 4)
    index = np.asarray(indices, np.uint64)[:, None]
    counter = np.empty((index.shape[0], blocks, 4), np.uint64)
    counter[..., 0], counter[..., 1] = index & _LOW, index >> np.uint64(32)
    counter[..., 2], counter[..., 3] = np.arange(blocks, dtype=np.uint64), 0
    mangled = np.array([stream & 0xFFFFFFFF, stream >> 32], np.uint64)
    for _ in range(10):
        product0, product1 = counter[..., 0] * _MULTIPLIERS[0], counter[..., 2] * _MULTIPLIERS[1]
        counter = np.stack(
            [
                (product1 >> np.uint64(32)) ^ counter[..., 1] ^ mangled[0],
                product1 & _LOW,
                (product0 >> np.uint64(32)) ^ counter[..., 3] ^ mangled[1],
                product0 & _LOW,
            ],
            axis=-1,
        )
        mangled = (mangled + _WEYL) & _LOW
    return counter.reshape(index.shape[0], blocks * 4)[:, :size].astype(np.uint32)


def uniform(stream: int, indices: np.ndarray, size: int) -> np.ndarray:
    """(N, size) float32 in (0, 1), both ends excluded: 23 bits and a half."""
    return ((words(stream, indices, size) >> 9).astype(np.float32) + np.float32(0.5)) * np.float32(2**-23)


def normal(stream: int, indices: np.ndarray, size: int) -> np.ndarray:
    """(N, size) float32 of N(0, 1), by Box and Muller's transform in float64."""
    half = -(-size // 2)
    bits = words(stream, indices, 2 * half).astype(np.float64)
    radius = np.sqrt(-2 * np.log((bits[:, :half] + 0.5) * 2.0**-32))
    angle = 2 * np.pi * bits[:, half:] * 2.0**-32
    return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], axis=1)[:, :size].astype(np.float32)


def integers(stream: int, indices: np.ndarray, below: int) -> np.ndarray:
    """(N,) int64 in [0, below), below <= 2**31 (bias under below / 2**64)."""
    bits = words(stream, indices, 2).astype(np.uint64)
    high = bits[:, 0] * np.uint64(below) + ((bits[:, 1] * np.uint64(below)) >> np.uint64(32))
    return (high >> np.uint64(32)).astype(np.int64)


def choice(stream: int, indices: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(N,) int64 drawn with probability proportional to integer `weights` (K,)."""
    edges = np.cumsum(np.asarray(weights, np.int64))
    return np.searchsorted(edges, integers(stream, indices, int(edges[-1])), side="right").astype(np.int64)


def permutation(stream: int, size: int) -> np.ndarray:
    """A permutation (size,) int64, by sorting 64 random bits an item."""
    bits = words(stream, np.arange(size), 2).astype(np.uint64)
    return np.argsort((bits[:, 0] << np.uint64(32)) | bits[:, 1], kind="stable")
