"""Distances of many pairs of vectors: float32 products bound them from below, float64 differences decide.

With vectors about a centre, ‖a − b‖² = ‖a‖² + ‖b‖² − 2 ab. A product of D float32 numbers, summed in any order, is wrong by
at most D u ‖a‖ ‖b‖ for the unit roundoff u = 2⁻²⁴ (Higham 2002, "Accuracy and Stability of Numerical Algorithms", 3.1), so
subtracting a little more than D u (‖a‖² + ‖b‖²) gives a bound. Only pairs that the bounds leave in doubt are computed again,
directly: copies have distance zero, and a pair has one distance, whichever is first. Pixels are multiplied as 8-bit integers,
without error, where the processor does that faster.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from .frechet import checked

BLOCK = 1000  # vectors a side of a block of pairs; no power of two, whose transpose is slow in a cache
_SPARE = 3  # neighbours kept beyond those that are asked for
_NUMBERS = 2**22  # of a block of vectors, which is narrower where vectors are long
_DIFFERENCES = 2**21  # numbers at a time
_INTEGERS = 2**17 - 1  # products of two 8-bit integers that a 32-bit sum holds


@dataclass(frozen=True)
class Block:
    """Some vectors about the centre (B, D), float32 or int8, and their squared norms (B,) float64."""

    rows: slice
    points: np.ndarray
    squares: np.ndarray
    error: float  # of a squared distance, as a share of the sum of both squared norms

    def lower_bounds(self, other: "Block") -> np.ndarray:
        """Bounds of the squared distances to another block's vectors, (B, C) float32."""
        bounds = _products(self.points, other.points)
        bounds *= -2
        bounds += self._shortened()[:, None]
        bounds += other._shortened()
        return bounds

    def _shortened(self) -> np.ndarray:
        least = self.points.shape[1] * np.finfo(np.float32).tiny  # products below it are lost
        return (self.squares * (1 - self.error) - least).astype(np.float32)


def _products(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Inner products (B, C) float32 of vectors (B, D) and (C, D), both float32 or both int8."""
    if one.dtype == np.float32:
        return one @ other.T
    parts = zip(torch.from_numpy(one).split(_INTEGERS, dim=1), torch.from_numpy(other).split(_INTEGERS, dim=1), strict=True)
    return sum((torch._int_mm(first, second.T).float() for first, second in parts), torch.zeros(())).numpy()


def fast_integers() -> bool:
    """Whether 8-bit products are faster than float32's: by oneDNN on AVX-512; elsewhere torch may fall back on plain loops."""
    return torch.backends.mkldnn.is_available() and "AVX512" in torch.backends.cpu.get_cpu_capability()


def centre(queries: np.ndarray, references: np.ndarray) -> np.ndarray | None:
    """What distances are best computed about: the references' mean (D,) float64; None for two sets of pixels: 128, as int8."""
    if queries.shape[1] != references.shape[1]:
        raise ValueError(f"vectors of {queries.shape[1]} and {references.shape[1]} numbers have no distance")
    if queries.dtype == references.dtype == np.uint8 and fast_integers():
        return None
    return references.mean(axis=0, dtype=np.float64)


def blocks(vectors: np.ndarray, middle: np.ndarray | None, size: int = BLOCK) -> Iterator[Block]:
    """The vectors (N, D), of any type of number, in blocks about what `centre` says."""
    size = max(min(size, _NUMBERS // vectors.shape[1]), 1)
    if middle is None:
        error = (vectors.shape[1] // _INTEGERS + 8) * 2.0**-23  # of a float32 sum of exact parts
        for start in range(0, len(vectors), size):
            points = (vectors[start : start + size] ^ 128).view(np.int8)  # minus 128, by the bits
            squares = (points.astype(np.float64) ** 2).sum(axis=1)
            yield Block(slice(start, start + len(points)), points, squares, error)
        return
    error = (vectors.shape[1] + 32) * 2.0**-24
    for start in range(0, len(vectors), size):
        points = vectors[start : start + size] - middle
        squares = (points**2).sum(axis=1)
        if squares.max() > np.finfo(np.float32).max / 8:
            raise ValueError(f"image {start + squares.argmax()} has features of up to {np.abs(points).max():.3g}: too large to compare")
        yield Block(slice(start, start + len(points)), points.astype(np.float32), squares, error)


def distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Euclidean distance (...) float64 of vectors (..., D) and (..., D), by their differences."""
    return np.sqrt(((one.astype(np.float64) - other.astype(np.float64)) ** 2).sum(axis=-1))


def pair_distances(one: np.ndarray, rows: np.ndarray, other: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Distances (P,) float64 of the pairs one[rows[p]], other[columns[p]]."""
    distances_of_pairs = np.empty(len(rows))
    step = max(_DIFFERENCES // one.shape[1], 1)
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        distances_of_pairs[part] = distances(one[rows[part]], other[columns[part]])
    return distances_of_pairs


def places(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns where a table is true, as NumPy's `nonzero`, which is slow on tables."""
    return np.divmod(np.flatnonzero(mask), mask.shape[1])


def closest(
    queries: np.ndarray, references: np.ndarray, count: int, block: int = BLOCK, spare: int = _SPARE
) -> tuple[np.ndarray, np.ndarray]:
    """The `count` nearest references (M, D) of queries (N, D): distances (N, count), ascending, and numbers (N, count)."""
    if not 1 <= count <= len(references):
        raise ValueError(f"the {count} nearest are asked for, and there are {len(references)}")
    middle = centre(checked(queries), checked(references))
    best = _Best(len(queries), min(count + spare, len(references)))
    for query in blocks(queries, middle, block):
        for reference in blocks(references, middle, block):
            best.offer(query.rows, reference.rows.start, query.lower_bounds(reference))
    nearest, numbers = best.by_distance(queries, references)
    unsure = best.may_lack(nearest[:, count - 1]) & (best.kept < len(references))
    nearest, numbers = nearest[:, :count], numbers[:, :count]
    if unsure.any():
        nearest[unsure], numbers[unsure] = closest(queries[unsure], references, count, block, 8 * spare)
    return nearest, numbers


def closest_others(vectors: np.ndarray, count: int, block: int = BLOCK) -> tuple[np.ndarray, np.ndarray]:
    """The `count` nearest other ones of each of the vectors (N, D): distances and numbers (N, count). Pairs are met once."""
    if not 1 <= count < len(vectors):
        raise ValueError(f"the {count} nearest others are asked for, and there are {len(vectors) - 1}")
    middle = centre(checked(vectors), vectors)
    best = _Best(len(vectors), min(count + _SPARE, len(vectors) - 1))
    for one in blocks(vectors, middle, block):
        for other in blocks(vectors[: one.rows.stop], middle, block):
            bounds = one.lower_bounds(other)
            if one.rows == other.rows:
                np.fill_diagonal(bounds, np.inf)
            else:
                best.offer(other.rows, one.rows.start, np.ascontiguousarray(bounds.T))
            best.offer(one.rows, other.rows.start, bounds)
    nearest, numbers = best.by_distance(vectors, vectors)
    unsure = best.may_lack(nearest[:, count - 1]) & (best.kept < len(vectors) - 1)
    nearest, numbers = nearest[:, :count], numbers[:, :count]
    if unsure.any():
        near, these = closest(vectors[unsure], vectors, count + 1, block, 8 * _SPARE)
        others = these != np.flatnonzero(unsure)[:, None]
        others[others.all(axis=1), -1] = False  # copies took the place of the image itself
        nearest[unsure], numbers[unsure] = near[others].reshape(-1, count), these[others].reshape(-1, count)
    return nearest, numbers


class _Best:
    """For each query the references of the smallest bounds so far."""

    def __init__(self, queries: int, kept: int):
        self.kept = kept
        self.bounds = np.full((queries, kept), np.inf, np.float32)
        self.numbers = np.zeros((queries, kept), np.int64)

    def offer(self, rows: slice, first: int, bounds: np.ndarray) -> None:
        """Take in the bounds (B, C) of the queries `rows` to the references from number `first` on."""
        limits = self.bounds[rows].max(axis=1)
        if np.isinf(limits).any() and bounds.shape[1] > self.kept:
            columns = np.argpartition(bounds, self.kept - 1, axis=1)[:, : self.kept]
            self._merge(np.arange(rows.start, rows.stop), np.take_along_axis(bounds, columns, axis=1), columns + first)
            return
        hits, columns = places(bounds < limits[:, None])
        touched, starts, counts = np.unique(hits, return_index=True, return_counts=True)
        if not len(touched):
            return
        slots = np.repeat(np.arange(len(touched)), counts), np.arange(len(hits)) - np.repeat(starts, counts)
        offered = np.full((len(touched), counts.max()), np.inf, np.float32)
        numbers = np.zeros(offered.shape, np.int64)
        offered[slots], numbers[slots] = bounds[hits, columns], columns + first
        self._merge(touched + rows.start, offered, numbers)

    def _merge(self, rows: np.ndarray, bounds: np.ndarray, numbers: np.ndarray) -> None:
        bounds = np.concatenate([self.bounds[rows], bounds], axis=1)
        numbers = np.concatenate([self.numbers[rows], numbers], axis=1)
        chosen = np.argpartition(bounds, self.kept - 1, axis=1)[:, : self.kept]
        self.bounds[rows] = np.take_along_axis(bounds, chosen, axis=1)
        self.numbers[rows] = np.take_along_axis(numbers, chosen, axis=1)

    def by_distance(self, queries: np.ndarray, references: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distances (N, kept) and numbers of what is kept, the nearest first, at equal distance the lower number."""
        rows = np.repeat(np.arange(len(queries)), self.kept)
        exact = pair_distances(queries, rows, references, self.numbers.ravel()).reshape(self.numbers.shape)
        exact[np.isinf(self.bounds)] = np.inf
        order = np.lexsort((self.numbers, exact))
        return np.take_along_axis(exact, order, axis=1), np.take_along_axis(self.numbers, order, axis=1)

    def may_lack(self, exact: np.ndarray) -> np.ndarray:
        """Whether a reference that was not kept could be nearer than `found` (N,): (N,) bool."""
        return (exact > 0) & (exact**2 * (1 + 1e-9) > self.bounds.max(axis=1, initial=-np.inf))
