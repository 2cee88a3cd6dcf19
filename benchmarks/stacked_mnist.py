"""Modes of 1,000 that generators of StackedMNIST find, and KL(generated ‖ real), counted by a classifier of MNIST's digits.

    python benchmarks/stacked_mnist.py data/mnist artifacts/train [FOLDER...]      # two minutes, then one a folder

Each folder is one that the train stage wrote for recipes/stacked-mnist.yaml. The classifier is trained on MNIST's train* files,
at the generator's size, and its accuracy is that on the t10k* files; a channel at a time, it names the digits of 25,600 images
(Metz et al. 2016, arXiv:1611.02163, 3.3.1; Lin et al. 2018, arXiv:1712.04086, 4.2). What is real is known: each digit is drawn by
MNIST's own counts. The row of real images says what a perfect generator would get. Published, R3GAN: 1,000 modes, KL 0.029, of
50,000 or 25,600 images (KL falls with their number).
"""

import argparse
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from gan import generator, streams
from gan.card import Card
from gan.extractors import classifier
from gan.metrics import modes
from gan.preparation import resampling
from gan.preparation.form import Form
from gan.sources import _inputs, idx, stacked_mnist
from stages import numerics

Classify = Callable[[np.ndarray], np.ndarray]  # digits (N, 1, H, W) uint8 -> their numbers (N,) in [0, 10)

SEED = 2**40  # of the first image: far from those that people look at, and from those that evaluate draws
BATCH_SIZE = 256


def digits(path: Path, form: Form, test: bool) -> tuple[np.ndarray, np.ndarray]:
    """MNIST's test or training digits (N, 1, H, W) uint8 in a form of one channel, and their labels (N,)."""
    found = [file for file in idx.files(path) if file.name.startswith("t10k") == test]
    if not found:
        missing = "t10k" if test else "train"
        raise FileNotFoundError(f"{path} has no {missing}-images-idx3-ubyte; recipes/mnist.yaml says which files")
    blocks = [block for file in found for block in idx.blocks_of(file)]
    if not all(isinstance(block, _inputs.Pixels) for block in blocks):
        raise ValueError(f"{path} holds files that are not whole; fetch them again")
    pixels = np.concatenate([resampling.arrays(block.array, form) for block in blocks])
    return pixels, np.array([label for block in blocks for label in block.classes], np.int64)


def form_of_digits(card: Card) -> Form:
    """The form of one channel of a generator's images."""
    if card.shape[0] != 3:
        raise ValueError(f"the generator makes {card.shape[0]} channels; StackedMNIST has 3, a digit each")
    return Form.model_validate(card.form | {"channels": 1})


def trained(config: classifier.Config, train: tuple, heldout: tuple, seed: int) -> tuple[Classify, float]:
    """A classifier of digits and its held-out accuracy."""
    torch.manual_seed(streams.key(seed, "digits") % 2**63)
    network = classifier.build(config, train[0].shape[1:], 10)
    training = classifier.fit(config, network, train, heldout, seed)
    while True:
        try:
            next(training)
        except StopIteration as finished:
            accuracy = finished.value["heldout_accuracy"]
            break

    @torch.inference_mode()
    def classify(pixels: np.ndarray) -> np.ndarray:
        parts = [pixels[start : start + BATCH_SIZE] for start in range(0, len(pixels), BATCH_SIZE)]
        return np.concatenate([network(torch.from_numpy(part))[1].argmax(dim=1).numpy() for part in parts])

    return classify, accuracy


def stacked_classes(classify: Classify, blocks: Iterable[np.ndarray]) -> np.ndarray:
    """Images (n, 3, H, W) uint8 in blocks -> their classes (N,) in [0, 1000): 307 is a red 3, a green 0 and a blue 7."""
    found = []
    for pixels in blocks:
        named = classify(pixels.reshape(-1, 1, *pixels.shape[2:])).reshape(-1, 3)
        found.append(named @ np.array([100, 10, 1]))
    return np.concatenate(found)


def expected(labels: np.ndarray) -> np.ndarray:
    """The weight of each of 1,000 classes (1000,), three digits being drawn independently by labels' counts."""
    share = np.bincount(labels, minlength=10) / len(labels)
    return np.einsum("r,g,b->rgb", share, share, share).ravel()


def real_blocks(path: Path, form: Form, count: int) -> Iterator[np.ndarray]:
    """Real images that no generator was trained on: another seed of the source."""
    config = stacked_mnist.Config(seed=1, num_images=count)
    for block in stacked_mnist.blocks(config, path):
        yield resampling.arrays(block.array, form.model_copy(update={"channels": 3}))


def row(name: str, classes: np.ndarray, weights: np.ndarray) -> str:
    """A line of the table."""
    counts = modes.counts(classes, 1000)
    return f"{name:48} {modes.covered(counts):6} {modes.divergence(counts, weights):8.4f}"


def arguments() -> argparse.Namespace:
    made = argparse.ArgumentParser(description="Modes of StackedMNIST that generators find.")
    made.add_argument("mnist", type=Path, help="folder of MNIST's idx files, packed or not")
    made.add_argument("folders", nargs="*", type=Path, metavar="FOLDER", help="what the train stage wrote, as artifacts/train")
    made.add_argument("--images", type=int, default=25_600, help="generated by each (25,600)")
    made.add_argument("--kimg", type=float, default=180, help="thousand digits that the classifier sees (180: three passes)")
    made.add_argument("--resolution", type=int, default=32, help="pixels a side where no folder is given (32)")
    made.add_argument("--threads", type=int, default=1, help="of the classifier; another number may give other bits (1)")
    return made.parse_args()


def main() -> None:
    options = arguments()
    numerics.settle(options.threads)
    settings = {"alpha": "black", "fit": "pad", "filter": "lanczos", "jpeg_draft": False, "min_side": 8, "max_pixels": 10**8}
    bare = Form.model_validate(settings | {"resolution": options.resolution, "channels": 1})
    opened = {folder: generator.load(folder) for folder in options.folders}
    forms = {folder: form_of_digits(made.card) for folder, made in opened.items()}
    config = classifier.Config(width=16, num_features=64, total_kimg=options.kimg, batch_size=64, lr=2e-3, min_accuracy=0.97)
    for form in dict.fromkeys(forms.values()) or [bare]:
        train, heldout = digits(options.mnist, form, test=False), digits(options.mnist, form, test=True)
        classify, accuracy = trained(config, train, heldout, seed=0)
        weights = expected(train[1])
        print(f"classifier of digits of {'×'.join(map(str, form.resolution))}: held-out accuracy {accuracy:.4f}")
        print(f"{f'{options.images:,} images of':48} {'modes':>6} {'KL':>8}")
        real = stacked_classes(classify, real_blocks(options.mnist, form, options.images))
        print(row("StackedMNIST itself", real, weights), flush=True)
        seeds = np.arange(SEED, SEED + options.images)
        for folder in (folder for folder in opened if forms[folder] == form):
            print(row(str(folder), stacked_classes(classify, opened[folder].blocks(seeds)), weights), flush=True)


if __name__ == "__main__":
    main()
