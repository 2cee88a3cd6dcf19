"""Seconds, memory and values of our FID, KID, precision and recall beside torch-fidelity's and SciPy's, of the same features.

    python benchmarks/distances.py                                              # one core, a minute
    python benchmarks/distances.py --images 10000 --features 2048 --scores fid kid

Features are Gaussian with a spectrum that falls as those of networks do; generated ones are shifted and spread. Each
computation has a process of one thread to itself; its memory is the peak beyond imports and the features themselves. Compare
figures of one run only: machines are noisy.
"""

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.linalg

from gan.metrics import fidelity, frechet, kernel, manifold

ROOT = Path(__file__).resolve().parents[1]
SUBSETS, SUBSET_SIZE, NEIGHBORHOOD = 20, 1000, 3


def features(count: int, size: int, seed: int) -> np.ndarray:
    """(N, D) float32; the k-th deviation is 1 / √k."""
    found = np.random.default_rng(seed).standard_normal((count, size), dtype=np.float32)
    found *= np.arange(1, size + 1, dtype=np.float32) ** -0.5
    return found


def by_scipy(generated: np.ndarray, real: np.ndarray) -> float:
    one, other = frechet.features_to_statistics(generated), frechet.features_to_statistics(real)
    root = scipy.linalg.sqrtm(one.covariance @ other.covariance).real
    shift = one.mean - other.mean
    return float(shift @ shift + np.trace(one.covariance + other.covariance - 2 * root))


def by_clean_fid(generated: np.ndarray, real: np.ndarray) -> float:
    """clean-fid's distance, which is pytorch-fid's."""
    try:
        from cleanfid.fid import frechet_distance
    except ImportError:
        sys.exit("clean-fid is not installed: pip install --no-deps clean-fid")
    one, other = frechet.features_to_statistics(generated), frechet.features_to_statistics(real)
    return float(frechet_distance(one.mean, one.covariance, other.mean, other.covariance))


def ours_manifold(generated: np.ndarray, real: np.ndarray) -> tuple[float, float]:
    found = manifold.precision_recall(generated, real, NEIGHBORHOOD)
    return found.precision, found.recall


def subset_size(images: np.ndarray) -> int:
    return min(SUBSET_SIZE, len(images))


SCORES: dict[str, dict[str, Callable[[np.ndarray, np.ndarray], float | tuple[float, float]]]] = {
    "fid": {"ours": frechet.distance, "torch-fidelity": fidelity.fid, "SciPy's sqrtm": by_scipy, "clean-fid": by_clean_fid},
    "kid": {
        "ours": lambda one, other: kernel.kid(one, other, SUBSETS, subset_size(one)),
        "torch-fidelity": lambda one, other: fidelity.kid(one, other, SUBSETS, subset_size(one)),
    },
    "precision, recall": {
        "ours": ours_manifold,
        "torch-fidelity": lambda one, other: fidelity.precision_recall(one, other, NEIGHBORHOOD),
    },
}


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)


def measure(score: str, by: str, images: int, size: int) -> None:
    generated, real = features(images, size, seed=0), features(images, size, seed=1)
    generated *= 1.05
    generated += 0.01
    before_mb, started_s = peak_mb(), time.perf_counter()
    value = SCORES[score][by](generated, real)
    duration_s = time.perf_counter() - started_s
    shown = ", ".join(f"{one:.10g}" for one in np.atleast_1d(value))
    print(f"{score:18} {by:15} {duration_s:9.2f} s {peak_mb() - before_mb:8.0f} MB   {shown}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=4000, help="of either set")
    parser.add_argument("--features", type=int, default=512)
    parser.add_argument("--scores", nargs="+", choices=list(SCORES), default=list(SCORES))
    parser.add_argument("--by", help="measure this one only, in this process")
    chosen = parser.parse_args()
    if chosen.by:
        return measure(chosen.scores[0], chosen.by, chosen.images, chosen.features)
    print(f"{chosen.images:,} generated and as many real images of {chosen.features} features", flush=True)
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    for score in chosen.scores:
        for by in SCORES[score]:
            sizes = ["--images", str(chosen.images), "--features", str(chosen.features)]
            subprocess.run([sys.executable, __file__, "--scores", score, "--by", by, *sizes], env=environment, check=by == "ours")


if __name__ == "__main__":
    main()
