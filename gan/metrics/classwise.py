"""Fréchet distance within each class (intra-FID; Miyato and Koyama 2018, arXiv:1802.05637, 4)."""

import numpy as np

from . import frechet


def intra(
    generated: np.ndarray, labels: np.ndarray, real: np.ndarray, real_labels: np.ndarray, num_classes: int
) -> dict[str, float | None | dict[int, float | None]]:
    """Distances of features (N, D) and (M, D) by labels (N,) and (M,) in [0, K): {"mean", "of": {class number: value or None}}.

    A class with fewer than two images on either side is None and left out of the mean, which is None if no class is left.
    """
    labels, real_labels = np.asarray(labels), np.asarray(real_labels)
    for features, given in ((generated, labels), (real, real_labels)):
        if len(given) != len(features):
            raise ValueError(f"there are {len(given)} labels for {len(features)} images; each image needs its own")
        if len(given) and given.max() >= num_classes:
            raise ValueError(f"class {given.max()} is none of {num_classes}; they are numbered from 0")
    of_class: dict[int, float | None] = {}
    for number in range(num_classes):
        one, other = generated[labels == number], real[real_labels == number]
        of_class[number] = frechet.distance(one, other) if min(len(one), len(other)) >= 2 else None
    known = [value for value in of_class.values() if value is not None]
    return {"mean": float(np.mean(known)) if known else None, "of": of_class}
