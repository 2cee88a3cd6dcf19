"""StackedMNIST: three random MNIST digits as red, green and blue, 1,000 modes; counts the modes that a generator finds.

Source: Metz et al. 2016, "Unrolled Generative Adversarial Networks" (arXiv:1611.02163, 3.3.1), with the 128,000 images of
Lin et al. 2018, "PacGAN" (arXiv:1712.04086, 4.2). `path` is MNIST as idx files; only train* is used where there is such a file.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydantic

from .. import choices, streams
from . import _inputs, idx

MAKES_CLASSES = True
_CHANNELS = ("red", "green", "blue")


class Config(choices.Config):
    """Which digits are drawn, and how many images."""

    seed: int = 0
    num_images: pydantic.PositiveInt = 128_000


def recognises(path: Path) -> bool:
    """Never: the files are MNIST's own; chosen by name only."""
    return False


def blocks(config: Config, path: Path) -> Iterator[_inputs.Pixels]:
    """The images; class "307" is a red 3, a green 0 and a blue 7. ValueError if MNIST is not whole and labelled."""
    digits, labels = _digits(path)
    keys = [streams.key(config.seed, f"stacked mnist/{channel}") for channel in _CHANNELS]
    for start in range(0, config.num_images, _inputs.MOST_PICTURES):
        numbers = np.arange(start, min(start + _inputs.MOST_PICTURES, config.num_images))
        drawn = np.stack([streams.integers(key, numbers, len(digits)) for key in keys], axis=-1)  # (n, 3)
        classes = [f"{red}{green}{blue}" for red, green, blue in labels[drawn]]
        array = np.ascontiguousarray(digits[drawn].transpose(0, 2, 3, 1))
        yield _inputs.Pixels([f"stacked#{number}" for number in numbers], classes, array)


def _digits(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(N, H, W) uint8 and (N,) labels 0 to 9: all in memory, since any may be drawn next (47 MB of MNIST)."""
    files = idx.files(path)
    arrays: list[np.ndarray] = []
    labels: list[str | None] = []
    for file in [file for file in files if file.name.startswith("train")] or files:
        for block in idx.blocks_of(file):
            if isinstance(block, _inputs.Pictures):
                reasons = [content.reason for content in block.contents if isinstance(content, _inputs.Refusal)]
                raise ValueError(f"{block.names[0]} in {path} is not whole ({', '.join(reasons)}); fetch it again")
            arrays.append(block.array)
            labels += block.classes
    if not arrays or len({array.shape[1:] for array in arrays}) != 1:
        raise ValueError(f"{path} holds no digits of one size; StackedMNIST is made of MNIST's idx files")
    if strange := set(labels) - set("0123456789"):
        raise ValueError(f"{path} has the labels {sorted(map(str, strange))[:3]}; StackedMNIST needs 0 to 9, as MNIST has them")
    return np.concatenate(arrays), np.array(labels, np.int64)
