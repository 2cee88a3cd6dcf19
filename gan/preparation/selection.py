"""Which images are kept, in which split and which shard: pure functions of what the images are, never of when they came.

Adding images moves no other image to another split, and changes the bytes of no shard but those they fall into.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

COLOUR_REACH = 12  # levels by which the mean colours of near duplicates may differ
_BLOCK = 2048  # hashes compared with a whole group at a time
_LEAST_LABELLED = 10  # images; of fewer nothing can be told
_MOST_COMPARISONS = 10**12  # some hours; more means that the hash tells these images apart too badly


@dataclass(frozen=True)
class Fingerprints:
    """What images are told apart by; row by row in the order of the inputs."""

    content: np.ndarray  # (N, 2) uint64: the first 128 bits of the SHA-256 of the prepared pixels
    perceptual: np.ndarray  # (N,) uint64
    colour: np.ndarray  # (N, 4) uint8


@dataclass(frozen=True)
class Selection:
    """What became of N images."""

    order: np.ndarray  # (N,) int32: image numbers by content
    twin: np.ndarray  # (N,) int32: the image that makes this one superfluous, -1 where it is kept
    near: np.ndarray  # (N,) bool: the twin looks alike but is not equal


def select(images: Fingerprints, heldout: np.ndarray, distance: int | None) -> Selection:
    """Keep the first of equal images; with a `distance`, the first by content of those within so many bits of each other.

    `heldout` (N,) bool: never trained on. These come before the others, so that no image kept for training is the twin of one.
    """
    order = np.lexsort((~heldout, images.content[:, 1], images.content[:, 0])).astype(np.int32)  # stable: the first of equals first
    in_order = images.content[order]
    fresh = np.r_[True, (in_order[1:] != in_order[:-1]).any(axis=1)][: len(order)]
    del in_order
    starts = np.flatnonzero(fresh)
    copies = np.flatnonzero(~fresh)
    twin = np.full(len(order), -1, np.int32)
    twin[order[copies]] = order[starts[np.searchsorted(starts, copies, side="right") - 1]]
    near = np.zeros(len(order), bool)
    if distance is not None:
        kept = order[fresh]
        kept = kept[np.argsort(~heldout[kept], kind="stable")]
        alike = near_duplicates(images.perceptual[kept], images.colour[kept], distance)
        found = alike >= 0
        twin[kept[found]], near[kept[found]] = kept[alike[found]], True
    return Selection(order, twin, near)


def are_classes(number: int, labelled: int) -> bool:
    """Whether `number` different labels of `labelled` images can be classes; captions, ids and measured values are nearly all
    different.
    """
    return labelled < _LEAST_LABELLED or number <= labelled / 2


def to_heldout(prefixes: np.ndarray, share: float) -> np.ndarray:
    """Which images are never trained on, (N,) bool, by the first 64 bits of their contents (N,) uint64."""
    return prefixes >> np.uint64(12) < np.uint64(math.ceil(share * 2**52))


def near_duplicates(hashes: np.ndarray, colours: np.ndarray, distance: int) -> np.ndarray:
    """Hashes (N,) uint64 and mean colours (N, 4) uint8, the more wanted first -> (N,) int64: the kept image within
    `distance` bits (and COLOUR_REACH levels) of each one that is not kept, -1 for those that are.

    Two hashes within d bits agree in one of d + 1 bands at least, so only images that share a band are compared.
    """
    first = _first_of_equals(hashes, colours)
    alike = np.full(len(hashes), -1, np.int64)
    candidates = np.flatnonzero(first == np.arange(len(hashes)))
    earlier, later = _pairs(hashes[candidates], colours[candidates], distance)
    for one, other in zip(candidates[earlier].tolist(), candidates[later].tolist()):
        if alike[other] < 0 and alike[one] < 0:
            alike[other] = one
    equal = first != np.arange(len(hashes))
    alike[equal] = np.where(alike[first] < 0, first, alike[first])[equal]
    return alike


def _first_of_equals(hashes: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """The first image of the same hash and the same mean colour: (N,) int64."""
    shades = np.ascontiguousarray(colours).view(np.uint32)[:, 0]
    order = np.lexsort((shades, hashes))  # stable: equals stay in their order
    fresh = (hashes[order][1:] != hashes[order][:-1]) | (shades[order][1:] != shades[order][:-1])
    starts = np.flatnonzero(np.r_[True, fresh][: len(order)])
    first = np.empty(len(order), np.int64)
    first[order] = order[np.repeat(starts, np.diff(np.r_[starts, len(order)]))]
    return first


def _same_colour(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.asarray((np.abs(one.astype(np.int16) - other.astype(np.int16)) <= COLOUR_REACH).all(axis=-1))


def _pairs(hashes: np.ndarray, colours: np.ndarray, distance: int) -> tuple[np.ndarray, np.ndarray]:
    """All pairs (earlier, later) within the distance, sorted by the later, then the earlier."""
    edges = np.linspace(0, 64, distance + 2).astype(int)
    bands = [(hashes >> np.uint64(low)) & np.uint64(2 ** int(high - low) - 1) for low, high in zip(edges, edges[1:])]
    _refuse_endless(bands)
    found = [pair for band in bands for pair in _pairs_of_band(band, hashes, colours, distance)]
    pairs = np.unique(np.concatenate([np.empty((0, 2), np.int64), *found]), axis=0)
    pairs = pairs[np.lexsort((pairs[:, 0], pairs[:, 1]))]
    return pairs[:, 0], pairs[:, 1]


def _refuse_endless(bands: list[np.ndarray]) -> None:
    comparisons = sum(int((np.unique(band, return_counts=True)[1].astype(np.float64) ** 2).sum()) for band in bands)
    if comparisons > _MOST_COMPARISONS:
        raise ValueError(
            f"prepare.near_duplicates would compare {comparisons:.1e} pairs: these images look too much alike for a hash of 64 "
            "bits; set it to null, or to a smaller distance"
        )


def _pairs_of_band(band: np.ndarray, hashes: np.ndarray, colours: np.ndarray, distance: int) -> Iterator[np.ndarray]:
    order = np.argsort(band, kind="stable")
    starts = np.flatnonzero(np.r_[True, band[order][1:] != band[order][:-1]][: len(order)])
    for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(order)]):
        members = order[start:stop]  # ascending, since the sort is stable
        for first in range(0, len(members) - 1, _BLOCK):
            here, rest = members[first : first + _BLOCK], members[first + 1 :]
            close = np.bitwise_count(hashes[here][:, None] ^ hashes[rest][None]) <= distance
            one, other = np.nonzero(close)
            one, other = here[one], rest[other]
            good = (one < other) & _same_colour(colours[one], colours[other])
            if good.any():
                yield np.stack([one[good], other[good]], axis=1)


def shards(prefixes: np.ndarray, most: int) -> list[tuple[str, int, int]]:
    """Sorted first 64 bits of contents (N,) uint64 -> [(bits, start, stop)]: ranges of at most `most` images each.

    A shard holds the images whose content starts with its bits; one that grows too large is cut in two by the next bit,
    so the others stay as they are.
    """
    sized: list[tuple[str, int, int]] = []
    waiting = [("", 0, len(prefixes))]
    while waiting:
        bits, start, stop = waiting.pop()
        if stop - start <= most or len(bits) == 64:
            if stop > start:
                sized.append((bits, start, stop))
            continue
        middle = int(bits + "1", 2) << (63 - len(bits))
        cut = start + int(np.searchsorted(prefixes[start:stop], np.uint64(middle)))
        waiting += [(bits + "1", cut, stop), (bits + "0", start, cut)]
    return sized
