"""Kernel distance (KID): the squared maximum mean discrepancy of features under k(x, y) = (x·y / D + 1)³, without bias.

Bińkowski et al. 2018, "Demystifying MMD GANs", arXiv:1801.01401, 4; the estimator is Gretton et al. 2012's, "A kernel
two-sample test", lemma 6. Unlike FID's, its mean does not depend on the number of images. In float64: it is a small difference
of large sums.
"""

import numpy as np

from .frechet import checked

_SEED = 2020  # of the subsets: torch-fidelity's
_BLOCK = 1000  # images a side of a block of the kernel


def kid(generated: np.ndarray, real: np.ndarray, subsets: int, subset_size: int) -> float:
    """Mean of the distance over random subsets of features (N, D) and (M, D): torch-fidelity's value, on its subsets.

    All subsets are summed in one pass over the whole kernel where that is less work than a kernel a subset.
    """
    smallest = min(len(generated), len(real))
    if not 2 <= subset_size <= smallest:
        raise ValueError(f"kid_subset_size is {subset_size}: take at least 2, and no more than the {smallest} images there are")
    if subsets < 1:
        raise ValueError(f"kid_subsets is {subsets}: take at least 1")
    generated, real = _scaled(generated), _scaled(real)
    random = np.random.RandomState(_SEED)
    draws = [[random.choice(len(one), subset_size, replace=False) for one in (generated, real)] for _ in range(subsets)]
    if len(generated) ** 2 + len(real) ** 2 > 2 * subsets * subset_size**2:
        everyone = np.ones((subset_size, 1))
        return float(np.mean([_distance(generated[first], real[second], everyone, everyone) for first, second in draws]))
    weights = np.zeros((2, max(len(generated), len(real)), subsets))
    for number, (first, second) in enumerate(draws):
        weights[0, first, number] = weights[1, second, number] = 1
    return float(_distance(generated, real, weights[0, : len(generated)], weights[1, : len(real)]).mean())


def unbiased(generated: np.ndarray, real: np.ndarray) -> float:
    """The distance of all of features (N, D) and (M, D), N and M >= 2: may be below zero, is zero on average for equals."""
    _need_two(generated, real)
    return float(_distance(_scaled(generated), _scaled(real), np.ones((len(generated), 1)), np.ones((len(real), 1)))[0])


def deviation(generated: np.ndarray, real: np.ndarray) -> tuple[float, float]:
    """Standard deviations of `unbiased` that are due to the generated (N, D) and to the real sample (M, D), given the other.

    An image's influence, to first order, is twice its mean kernel with its own kind less that with the other (Hoeffding 1948).
    What this leaves out makes it no smaller on average (Efron and Stein 1981): √2 too large where both are of one distribution.
    """
    _need_two(generated, real)
    generated, real = _scaled(generated), _scaled(real)
    variances = []
    for one, other in ((generated, real), (real, generated)):
        own = (_sums(one, one, np.ones((len(one), 1)))[:, 0] - _kernel_of_itself(one)) / (len(one) - 1)
        influence = 2 * (own - _sums(one, other, np.ones((len(other), 1)))[:, 0] / len(other))
        variances.append(float(influence.std(ddof=1) / np.sqrt(len(one))))
    return variances[0], variances[1]


def likeness(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The mean kernel (N,) of each of features (N, D) with all of (M, D)."""
    return _sums(_scaled(one), _scaled(other), np.ones((len(other), 1)))[:, 0] / len(other)


def _need_two(generated: np.ndarray, real: np.ndarray) -> None:
    if (smallest := min(len(generated), len(real))) < 2:
        raise ValueError(f"a kernel distance needs two images on either side, and there are {smallest}; make or keep more")


def _scaled(features: np.ndarray) -> np.ndarray:
    return checked(features).astype(np.float64) / np.sqrt(features.shape[1])


def _kernel_of_itself(features: np.ndarray) -> np.ndarray:
    """k(x, x) (N,) of scaled features (N, D)."""
    return ((features**2).sum(axis=1) + 1) ** 3


def _distance(one: np.ndarray, other: np.ndarray, ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Distances (S,) of S subsets of scaled features (N, D) and (M, D), whose members are marked 1 in (N, S) and (M, S)."""
    within = []
    for features, marks in ((one, ones), (other, others)):
        size = marks.sum(axis=0)
        total = (marks * _sums(features, features, marks)).sum(axis=0) - _kernel_of_itself(features) @ marks
        within.append(total / (size * (size - 1)))
    between = (ones * _sums(one, other, others)).sum(axis=0) / (ones.sum(axis=0) * others.sum(axis=0))
    return within[0] + within[1] - 2 * between


def _sums(one: np.ndarray, other: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Σ_j k(x_i, y_j) w_js: (N, S) of scaled features (N, D), (M, D) and weights (M, S), a block of the kernel at a time."""
    sums = np.zeros((len(one), weights.shape[1]))
    same = one is other  # then each pair is met once
    for start in range(0, len(one), _BLOCK):
        rows = slice(start, start + _BLOCK)
        for first in range(0, start + 1 if same else len(other), _BLOCK):
            columns = slice(first, first + _BLOCK)
            kernel = one[rows] @ other[columns].T
            kernel += 1
            kernel *= kernel * kernel
            sums[rows] += kernel @ weights[columns]
            if same and rows != columns:
                sums[columns] += kernel.T @ weights[rows]
    return sums
