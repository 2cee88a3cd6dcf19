"""Scores of the kept generator under the reference's protocol, each beside the same score of held-out real images."""

import hashlib
import json
import math
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.stats
import torch_fidelity

from gan import choices, dataset, generator, images
from gan.metrics import fidelity, modes, nearest
from stages import artifacts, guard, numerics, params, progress, protocol, tracking

_EXTRACTOR = "ganline"


def main() -> None:
    guard.die_with_dvc()
    chosen = params.load()
    with tracking.stage("evaluate", chosen):
        numerics.settle(chosen.evaluate.threads)
        evaluation = Evaluation(chosen.evaluate)
        metrics = evaluation.metrics()
        out = artifacts.start("evaluate")
        artifacts.write_json(out / "metrics.json", metrics)
        evaluation.show(out)
        artifacts.seal("evaluate", {"protocol": metrics["protocol"]["hash"]})
        fid = metrics["fid"]
        print(f"evaluate: FID {fid['mean']:.4g} ({fid['low']:.4g} to {fid['high']:.4g}), held-out images {fid['floor']:.4g}")


class Evaluation:
    """A generator, the real images, and draws of generated ones: everything that scores are computed from."""

    def __init__(self, config: params.Evaluate):
        self.config = config
        data = artifacts.card_of("prepare")
        self.protocol = protocol.read()
        self.extractor = choices.module("extractors", self.protocol["name"])
        fidelity.register(_EXTRACTOR, protocol.extractor(self.protocol, data))
        self.real = protocol.real_features()
        splits = {split: dataset.read(artifacts.ROOT / "prepare", split, data["classes"]) for split in dataset.SPLITS}
        self.pixels = {split: images_.pixels(np.arange(len(images_))) for split, images_ in splits.items()}
        self.labels = {split: images_.labels for split, images_ in splits.items()}
        artifacts.card_of("train")
        self.folder = artifacts.ROOT / "train"
        self.generator = generator.load(self.folder)
        self.size = len(self.labels["heldout"])  # of each draw: scores at unequal n cannot be compared
        self.draws = [self._draw(number) for number in self._progress(range(config.draws))]

    def _progress(self, numbers: range):
        with progress.bar("evaluate", len(numbers), "draws") as bar:
            for number in numbers:
                yield number
                bar.update()

    def _draw(self, number: int) -> dict[str, np.ndarray]:
        """Generated images with their asked labels, features and logits; seeds far from those that people look at.

        Asked for are the held-out images' own labels: a draw and the floor then differ in nothing but where the images are
        from. Labels drawn at random add their own noise, as large as what is measured at a few hundred images.
        """
        first = 2**40 * (1 + self.config.seed) + number * self.size
        labels = self.labels["heldout"] if self.generator.card["conditional"] else None
        pixels = self.generator.sample(np.arange(first, first + self.size), labels)
        features, logits = fidelity.extract(_EXTRACTOR, pixels, self.protocol["batch_size"])
        return {"pixels": pixels, "features": features, "logits": logits, "labels": labels}

    def metrics(self) -> dict:
        """All scores, nested; each with mean, 95 % interval over draws, and its value for held-out real images."""
        found = {"protocol": self._protocol(), "num_images": self.size, "draws": self.config.draws}
        real, heldout = self.real["train.features"], self.real["heldout.features"]
        config = self.config
        found["fid"] = self._over_draws(lambda draw: fidelity.fid(draw["features"], real), fidelity.fid(heldout, real))
        found["kid"] = self._over_draws(
            lambda draw: fidelity.kid(draw["features"], real, config.kid_subsets, config.kid_subset_size),
            fidelity.kid(heldout, real, config.kid_subsets, config.kid_subset_size),
        )
        if self.extractor.HAS_SCORE:
            found["inception_score"] = self._over_draws(
                lambda draw: fidelity.inception_score(draw["logits"], config.isc_splits),
                fidelity.inception_score(self.real["heldout.logits"], config.isc_splits),
            )
        floor = fidelity.precision_recall(heldout, real, config.neighborhood)
        shares = [fidelity.precision_recall(draw["features"], real, config.neighborhood) for draw in self.draws]
        for place, name in enumerate(("precision", "recall")):
            found[name] = interval([pair[place] for pair in shares], most=1.0) | {"floor": rounded(floor[place])}
        return found | self._classes() | {"memorisation": self._memorisation(), "discriminator": self._discriminator()}

    def _protocol(self) -> dict:
        """Name and hash of everything that decides a score: the reference's protocol, sizes, and this stage's settings."""
        settings = self.config.model_dump(mode="json") | {
            "num_images": self.size,
            "labels": "held-out" if self.generator.card["conditional"] else "none",
            "torch_fidelity": torch_fidelity.__version__,
        }
        content = json.dumps([self.protocol["hash"], settings], sort_keys=True).encode()
        return {"name": self.protocol["name"], "hash": hashlib.sha256(content).hexdigest(), "reference": self.protocol["hash"]}

    def _over_draws(self, score, floor: float, most: float = math.inf) -> dict[str, float]:
        return interval([score(draw) for draw in self.draws], most) | {"floor": rounded(floor)}

    def _classes(self) -> dict:
        """Where the extractor names the data's classes: agreement with the asked label, histogram, coverage."""
        card = self.generator.card
        if self.protocol["name"] != "classifier":
            return {}
        size = len(card["classes"])
        named = [modes.counts(draw["logits"].argmax(axis=1), size) for draw in self.draws]
        heldout = modes.counts(self.real["heldout.logits"].argmax(axis=1), size)
        counts, real = np.sum(named, axis=0), 1 + np.array(card["class_counts"])  # 1: never from what cannot occur
        found = {"classes": {
            "covered": modes.covered(counts), "of": size,
            "divergence": interval([modes.divergence(one, real) for one in named])
            | {"floor": rounded(modes.divergence(heldout, real))},
        }}  # fmt: skip
        if card["conditional"]:
            right = self.real["heldout.logits"].argmax(axis=1) == self.labels["heldout"]
            found["agreement"] = self._over_draws(
                lambda draw: float((draw["logits"].argmax(axis=1) == draw["labels"]).mean()), float(right.mean()), most=1.0
            )
        found["classes"]["histogram"] = {name: int(count) for name, count in zip(card["classes"], counts, strict=True)}
        return found

    def _memorisation(self) -> dict:
        """Median distance to the nearest training image (root mean square a pixel, [0, 255]), and its ratio to held-out's."""
        floor = float(np.median(self._nearest(self.pixels["heldout"])[0]))
        distance = self._over_draws(lambda draw: float(np.median(self._nearest(draw["pixels"])[0])), floor)
        return {"distance": distance, "ratio": rounded(distance["mean"] / floor) if floor else 0.0}

    def _nearest(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        train = self.pixels["train"].reshape(len(self.pixels["train"]), -1)
        distance, number = nearest.nearest(pixels.reshape(len(pixels), -1), train)
        return distance / math.sqrt(train.shape[1]), number

    def _discriminator(self) -> dict[str, float]:
        """Mean probability of being real that D gives: where training images get more than held-out ones, it has overfitted."""
        judge = generator.load_discriminator(self.folder)
        found = {split: judge.probability(self.pixels[split], self.labels[split]) for split in dataset.SPLITS}
        found["generated"] = judge.probability(self.draws[0]["pixels"], self.draws[0]["labels"])
        return {name: rounded(probability.mean()) for name, probability in found.items()}

    def show(self, out: Path) -> None:
        """grid.png, nearest.png (generated images above their nearest training images), classes.csv."""
        card = self.generator.card
        columns = min(len(card["classes"]), 20) if card["conditional"] else 10
        labels = np.tile(np.arange(columns), 8) if card["conditional"] else None
        images.grid(self.generator.sample(np.arange(8 * columns), labels), columns).save(out / "grid.png")
        made = self.draws[0]["pixels"][:16]
        images.grid(np.concatenate([made, self.pixels["train"][self._nearest(made)[1]]]), len(made)).save(out / "nearest.png")
        histogram = self._classes().get("classes", {}).get("histogram", {})
        total = sum(histogram.values()) or 1
        real = np.bincount(self.labels["train"].clip(min=0), minlength=len(histogram)) / len(self.labels["train"])
        rows = [(name, count / total, real[place]) for place, (name, count) in enumerate(histogram.items())]
        pd.DataFrame(rows, columns=["class", "generated", "real"]).to_csv(out / "classes.csv", index=False)


def interval(values: list[float], most: float = math.inf) -> dict[str, float]:
    """Mean and 95 % confidence interval of independent draws by Student's t, cut off at `most`: {mean, low, high}."""
    mean = float(np.mean(values))
    reach = float(scipy.stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values)))
    return {"mean": rounded(mean), "low": rounded(mean - reach), "high": rounded(min(mean + reach, most))}


def rounded(value: float) -> float:
    """Six significant digits: the rest differs between processors that agree on every image."""
    return float(f"{value:.6g}")


if __name__ == "__main__":
    sys.exit(params.answer(main))
