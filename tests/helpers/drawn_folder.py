"""Folders of noisy pictures, and what `gan init` would know of one."""

import os
from pathlib import Path

import numpy as np
import small
from PIL import Image

from apps import propose

EMOJI = Path(os.environ.get("GANLINE_DATA", small.ROOT.parent / "shared" / "data")) / "noto-emoji-128.zip"


def draw(folder: Path, counts: dict[str, int], size: tuple[int, int] = (40, 36), mode: str = "RGB") -> Path:
    """`counts` noisy pictures (width, height) in each sub-folder; "" is the folder itself."""
    random = np.random.default_rng(0)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            bands = len(mode)
            array = random.integers(0, 256, (size[1], size[0], bands)).astype(np.uint8)
            Image.fromarray(array.squeeze(), mode if bands > 1 else None).save(folder / name / f"{number:04d}.png")
    return folder


def facts(**changes: object) -> propose.Facts:
    known = {
        "files": 5000, "looked_at": 2000, "unreadable": [], "outside": 5000, "classes": {}, "modes": {"RGB": 2000}, "jpeg": 0.0,
        "grey": 0.0, "transparent": 0.0, "handed": 0.0, "short_side": {"least": 90, "tenth": 100, "median": 200, "most": 900},
    }  # fmt: skip
    return propose.Facts(**(known | changes))
