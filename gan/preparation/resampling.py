"""Pictures that are arrays already, brought into the form many at a time: bit for bit what Pillow makes of each."""

import functools
import math
from collections.abc import Callable

import numpy as np
from PIL import Image

from . import pictures
from .form import Form

_BITS = 22  # Pillow's fixed point: 32 bits less 8 of a pixel, less 2 to spare
_AT_A_TIME = 1 << 20  # pixels; times 8 bytes while they are computed
_SUPPORT = {"box": 0.5, "bilinear": 1.0, "bicubic": 2.0, "lanczos": 3.0}  # source pixels on each side, at scale 1


def arrays(array: np.ndarray, form: Form) -> np.ndarray:
    """(N, H, W) or (N, H, W, 1 to 4) uint8 -> (N, C, H', W') uint8 of the form."""
    if array.ndim == 3:
        array = array[..., None]
    if array.shape[3] in (2, 4) or form.channels == 4 or form.fit == "random_crop":  # alpha, or a place drawn for each
        return np.stack([pictures.from_pillow(_to_pillow(picture), form) for picture in array])
    planes = np.ascontiguousarray(_channels(array, form.channels).transpose(0, 3, 1, 2))
    step = max(1, _AT_A_TIME // math.prod(planes.shape[1:]))
    return np.concatenate([_fit(planes[start : start + step], form) for start in range(0, len(planes), step)])


def _to_pillow(picture: np.ndarray) -> Image.Image:
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[picture.shape[2]]
    return Image.fromarray(picture[..., 0] if mode == "L" else np.ascontiguousarray(picture), mode)


def _channels(array: np.ndarray, channels: int) -> np.ndarray:
    if array.shape[3] == channels:
        return array
    return grey(array)[..., None] if channels == 1 else np.repeat(array, 3, axis=3)


def grey(array: np.ndarray) -> np.ndarray:
    """RGB (..., 3) uint8 -> luma (...) uint8, as Pillow rounds ITU-R 601-2."""
    red, green, blue = (array[..., channel].astype(np.uint32) for channel in range(3))
    return ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).astype(np.uint8)


def _fit(planes: np.ndarray, form: Form) -> np.ndarray:
    """(N, C, H, W) -> (N, C, H', W')."""
    height, width = form.resolution
    if form.fit == "pad":
        inner_width, inner_height = pictures.pad_size(planes.shape[3], planes.shape[2], form)
        inner = _resize(planes, inner_height, inner_width, form.filter)
        ground = np.asarray(Image.new("RGBA", (1, 1), form.background).convert(pictures.MODES[form.channels]), np.uint8)
        padded = np.empty((*planes.shape[:2], height, width), np.uint8)
        padded[:] = ground.reshape(1, form.channels, 1, 1)
        top, left = (height - inner_height) // 2, (width - inner_width) // 2
        padded[:, :, top : top + inner_height, left : left + inner_width] = inner
        return padded
    if form.fit == "crop":
        wide, tall = pictures.crop_size(planes.shape[3], planes.shape[2], form)
        top, left = (planes.shape[2] - tall) // 2, (planes.shape[3] - wide) // 2
        planes = planes[:, :, top : top + tall, left : left + wide]
    return _resize(planes, height, width, form.filter)


def _resize(planes: np.ndarray, height: int, width: int, filter: str) -> np.ndarray:
    """(N, C, H, W) -> (N, C, height, width), rounded to 8 bits between the two directions as Pillow does."""
    passes = _passes(planes.shape[2], planes.shape[3], height, width, filter)
    if passes is not None:
        for along in passes:
            planes = along(planes, height, width, filter)
        return planes
    resized = [_by_pillow(plane, height, width, filter) for plane in planes.reshape(-1, *planes.shape[2:])]
    return np.stack(resized).reshape(*planes.shape[:2], height, width)


def _by_pillow(plane: np.ndarray, height: int, width: int, filter: str) -> np.ndarray:
    return np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling[filter.upper()]))


def _along_rows(planes: np.ndarray, height: int, width: int, filter: str) -> np.ndarray:
    return planes if planes.shape[-1] == width else _rounded(planes.astype(np.float64) @ _weights(planes.shape[-1], width, filter).T)


def _along_columns(planes: np.ndarray, height: int, width: int, filter: str) -> np.ndarray:
    return planes if planes.shape[-2] == height else _rounded(_weights(planes.shape[-2], height, filter) @ planes.astype(np.float64))


_Pass = Callable[[np.ndarray, int, int, str], np.ndarray]


@functools.lru_cache(maxsize=64)
def _passes(height: int, width: int, new_height: int, new_width: int, filter: str) -> tuple[_Pass, _Pass] | None:
    """The order of directions by which the Pillow that is installed resizes, found by trying; None: by neither of the two."""
    noise = np.random.default_rng(0).integers(0, 256, (height, width)).astype(np.uint8)
    wanted = _by_pillow(noise, new_height, new_width, filter)
    for passes in ((_along_rows, _along_columns), (_along_columns, _along_rows)):
        resized = noise
        for along in passes:
            resized = along(resized, new_height, new_width, filter)
        if np.array_equal(resized, wanted):
            return passes
    return None


def _rounded(sums: np.ndarray) -> np.ndarray:
    """Whole numbers under 2**53, so float64 holds them exactly, whatever the order they were added in."""
    return np.floor((sums + 2.0 ** (_BITS - 1)) * 2.0**-_BITS).clip(0, 255).astype(np.uint8)


@functools.lru_cache(maxsize=64)
def _weights(size: int, new_size: int, filter: str) -> np.ndarray:
    """(new_size, size) weights in fixed point: whole numbers as float64."""
    scale = size / new_size
    stretch = max(scale, 1.0)
    reach = _SUPPORT[filter] * stretch
    weights = np.zeros((new_size, size))
    for place in range(new_size):
        centre = (place + 0.5) * scale
        first, last = max(int(centre - reach + 0.5), 0), min(int(centre + reach + 0.5), size)
        row = np.array([_kernel(filter, (x - centre + 0.5) / stretch) for x in range(first, last)])
        row = row / row.sum() * 2**_BITS
        weights[place, first:last] = np.trunc(row + np.where(row < 0, -0.5, 0.5))
    return weights


def _kernel(filter: str, x: float) -> float:
    if filter == "box":
        return 1.0 if -0.5 < x <= 0.5 else 0.0
    if filter == "bilinear":
        return max(0.0, 1.0 - abs(x))
    if filter == "bicubic":  # Keys 1981, a = -1/2
        x = abs(x)
        return ((1.5 * x - 2.5) * x) * x + 1 if x < 1 else (((-0.5 * x + 2.5) * x - 4) * x + 2 if x < 2 else 0.0)
    return _sinc(x) * _sinc(x / 3) if -3 <= x < 3 else 0.0


def _sinc(x: float) -> float:
    return 1.0 if x == 0 else math.sin(x * math.pi) / (x * math.pi)
