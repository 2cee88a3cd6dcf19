"""Drawn shapes of which the truth is known: sixteen kinds in equal numbers, 32×32 RGB, with no download.

The laws, all independent (so that whatever a generator makes can be held against them):

    kind        number modulo 16, in the order of KINDS
    radius      of the circle around the shape, uniform in [8, 13) pixels
    centre      uniform where that circle stays a pixel away from the border
    angle       uniform in 4,096 steps of a turn, counterclockwise
    ink         hue uniform, saturation uniform in [0.6, 1), value uniform in [0.75, 1)
    ground      red, green and blue each uniform in [0, 0.3)

Drawn by signed distance, a pixel's share of ink being 1/2 − distance in pixels, clipped. Only + − × ÷ √ and comparisons are
used for pixels, which IEEE 754 defines to the last bit, and PNG is written unpacked: the same bytes by all versions of libraries.
"""

import math
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import streams

SIZE = 32  # pixels a side
ANGLES = 4096  # steps of a turn
RADII = 8.0, 13.0  # pixels
MARGIN = 1.0  # pixels

_BLOCK = 256  # pictures drawn at a time


@dataclass(frozen=True)
class Drawing:
    """The truth of N pictures."""

    kinds: np.ndarray  # (N,) int64, places in KINDS
    centres: np.ndarray  # (N, 2) float64, pixels right and down from the upper left corner
    radii: np.ndarray  # (N,) float64, pixels
    angles: np.ndarray  # (N,) int64 in [0, ANGLES)
    inks: np.ndarray  # (N, 3) float64 in [0, 1], red, green, blue
    grounds: np.ndarray  # (N, 3) float64 in [0, 1]


def drawing(seed: int, numbers: np.ndarray) -> Drawing:
    """What the pictures of some numbers (N,) show."""
    draws = streams.uniform(streams.key(seed, "shapes"), numbers, 10).astype(np.float64)
    radii = RADII[0] + draws[:, 0] * (RADII[1] - RADII[0])
    nearest = radii[:, None] + MARGIN
    return Drawing(
        kinds=np.asarray(numbers, np.int64) % len(KINDS),
        centres=nearest + draws[:, 1:3] * (SIZE - 2 * nearest),
        radii=radii,
        angles=(draws[:, 3] * ANGLES).astype(np.int64),
        inks=_colours(hue=6 * draws[:, 4], saturation=0.6 + 0.4 * draws[:, 5], value=0.75 + 0.25 * draws[:, 6]),
        grounds=0.3 * draws[:, 7:10],
    )


def pixels(shown: Drawing) -> np.ndarray:
    """(N, 32, 32, 3) uint8 of N drawings."""
    turned = np.array([_turned(angle / ANGLES) for angle in shown.angles]).reshape(-1, 2, 1, 1)
    places = np.arange(SIZE) + 0.5
    right = places[None, None, :] - shown.centres[:, 0, None, None]
    down = places[None, :, None] - shown.centres[:, 1, None, None]
    cosine, sine, radii = turned[:, 0], turned[:, 1], shown.radii[:, None, None]
    x, y = (cosine * right - sine * down) / radii, -(sine * right + cosine * down) / radii
    distance = np.empty_like(x)
    for kind, law in enumerate(KINDS.values()):
        here = shown.kinds == kind
        distance[here] = law(x[here], y[here])
    share = np.clip(0.5 - distance * radii, 0, 1)[..., None]
    inks, grounds = shown.inks[:, None, None], shown.grounds[:, None, None]
    return np.rint(255 * (grounds + share * (inks - grounds))).astype(np.uint8)


def png(picture: np.ndarray) -> bytes:
    """(H, W, 3) uint8, under 64 KiB -> a PNG file whose pixels are stored, not deflated (RFC 1950, RFC 1951 3.2.4)."""
    height, width, _ = picture.shape
    rows = np.concatenate([np.zeros((height, 1), np.uint8), picture.reshape(height, -1)], axis=1).tobytes()  # 0: no filter
    assert len(rows) < 2**16
    stored = struct.pack("<BHH", 1, len(rows), 2**16 - 1 - len(rows)) + rows
    packed = b"\x78\x01" + stored + struct.pack(">I", zlib.adler32(rows))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def write(folder: Path, seed: int = 0, count: int = 6000) -> int:
    """Write each picture as folder/<kind>/<number>.png (8-bit RGB) and return how many there are."""
    names = list(KINDS)
    for name in names:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for start in range(0, count, _BLOCK):
        numbers = np.arange(start, min(start + _BLOCK, count))
        shown = drawing(seed, numbers)
        for number, kind, picture in zip(numbers, shown.kinds, pixels(shown), strict=True):
            (folder / names[kind] / f"{number:05d}.png").write_bytes(png(picture))
    return count


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _colours(hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Hue (N,) in [0, 6), saturation and value (N,) in [0, 1] -> red, green, blue (N, 3) in [0, 1]."""
    place = (np.array([5.0, 3.0, 1.0]) + hue[:, None]) % 6
    return value[:, None] * (1 - saturation[:, None] * np.clip(np.minimum(place, 4 - place), 0, 1))


def _turned(share: float) -> tuple[float, float]:
    """Cosine and sine of a share of a turn in steps of 2⁻²⁴, so that mathematical libraries agree on them."""
    angle = 2 * math.pi * share
    return round(math.cos(angle) * 2**24) / 2**24, round(math.sin(angle) * 2**24) / 2**24


# Signed distances, negative inside, of shapes in the unit circle: x to the right, y up, in radii.

Law = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _disc(x: np.ndarray, y: np.ndarray, radius: float = 1.0) -> np.ndarray:
    return np.sqrt(x * x + y * y) - radius


def _ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.abs(_disc(x, y, 0.78)) - 0.22


def _crescent(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(_disc(x, y), -_disc(x - 0.45, y, 0.8))


def _half(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(_disc(x, y), y)


def _sector(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Three quarters of a disc."""
    return np.maximum(_disc(x, y), np.minimum(x, y))


def _drop(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A disc and the tangents to it from a point."""
    radius, centre = 0.6, -0.4
    sine = radius / (1 - centre)
    side, height = radius * math.sqrt(1 - sine * sine), centre + radius * sine
    return np.minimum(_disc(x, y - centre, radius), _polygon((0, 1), (-side, height), (side, height))(x, y))


def _heart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A square on its corner, a half disc on each of its upper sides."""
    half = 0.78  # of the square's diagonal
    square = _polygon((0, -1), (half, half - 1), (0, 2 * half - 1), (-half, half - 1))
    discs = _disc(np.abs(x) - half / 2, y - (1.5 * half - 1), half * math.sqrt(0.5))
    return np.minimum(square(x, y), discs)


def _spiral(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Half circles, each as much wider than the one before: a turn and a half of a line."""
    step, half_width = 0.42, 0.11
    lower, upper = [_arc(x, -y, step / 2, step * size) for size in (0.5, 1.5)], [_arc(x, y, 0.0, step * size) for size in (1, 2)]
    return np.minimum.reduce([*lower, *upper]) - half_width


def _arc(x: np.ndarray, y: np.ndarray, centre: float, radius: float) -> np.ndarray:
    """Distance to the upper half of a circle around (centre, 0)."""
    across = np.abs(x - centre)
    return np.where(y >= 0, np.abs(_disc(across, y, radius)), _disc(across - radius, y, 0.0))


def _polygon(*corners: tuple[float, float]) -> Law:
    """Distance to the nearest side; inside where a ray to the right crosses an odd number of sides."""

    def distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        squares, inside = np.full(x.shape, np.inf), np.zeros(x.shape, bool)
        for (ax, ay), (bx, by) in zip(corners, [*corners[1:], corners[0]], strict=True):
            dx, dy, px, py = bx - ax, by - ay, x - ax, y - ay
            along = np.clip((px * dx + py * dy) / (dx * dx + dy * dy), 0, 1)
            squares = np.minimum(squares, (px - dx * along) ** 2 + (py - dy * along) ** 2)
            if dy:
                inside ^= ((y < ay) != (y < by)) & (px < dx * (py / dy))
        return np.where(inside, -1, 1) * np.sqrt(squares)

    return distance


def _regular(*radii: float, count: int) -> Law:
    """Corners at equal angles from the top, at radii by turns."""
    circle = [_turned(number / count) for number in range(count)]
    return _polygon(*((-sine * radii[number % len(radii)], cosine * radii[number % len(radii)])
                      for number, (cosine, sine) in enumerate(circle)))  # fmt: skip


def _cross() -> Law:
    long, wide = 0.94, 0.3
    quarter = [(wide, long), (wide, wide), (long, wide)]
    half = [*quarter, *((x, -y) for x, y in reversed(quarter))]
    return _polygon(*half, *((-x, -y) for x, y in half))


KINDS: dict[str, Law] = {
    "arrow": _polygon((1, 0), (0.2, 0.75), (0.2, 0.28), (-0.95, 0.28), (-0.95, -0.28), (0.2, -0.28), (0.2, -0.75)),
    "bolt": _polygon((0.3, 0.95), (-0.6, -0.1), (-0.1, -0.1), (-0.3, -0.95), (0.6, 0.1), (0.1, 0.1)),
    "circle": _disc,
    "crescent": _crescent,
    "cross": _cross(),
    "diamond": _polygon((0, 1), (0.5, 0), (0, -1), (-0.5, 0)),
    "drop": _drop,
    "half": _half,
    "heart": _heart,
    "pentagon": _regular(1.0, count=5),
    "ring": _ring,
    "sector": _sector,
    "spiral": _spiral,
    "square": _regular(1.0, count=4),
    "star": _regular(1.0, 0.42, count=10),
    "triangle": _regular(1.0, count=3),
}
