"""The embedded example: scikit-learn's handwritten digits, 1,797 grey images of 8×8 in ten classes, with no download.

Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI (1998), CC BY 4.0; the test part.
"""

from pathlib import Path

import numpy as np
from PIL import Image


def write(folder: Path) -> int:
    """Write each image as folder/<class>/<number>.png (8-bit grey) and return how many there are."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)  # given as 0..16
    for number, (image, label) in enumerate(zip(pixels, digits.target, strict=True)):
        path = folder / str(label) / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return len(pixels)
