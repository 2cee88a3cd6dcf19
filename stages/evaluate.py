"""Scores of the kept generator under the reference's protocol, each beside the same score of held-out real images."""

import sys
from pathlib import Path

import numpy as np

from gan import dataset, generator
from stages import artifacts, exit_codes, guard, numerics, params
from stages.evaluation import appraisal, reference_set, report, score_files, scoring
from stages.tracking import mlflow_run


def main() -> None:
    guard.die_with_dvc()
    chosen = params.load()
    with mlflow_run.stage("evaluate", chosen):
        numerics.settle(chosen.evaluate.threads)
        measured = reference_set.read()
        artifacts.card_of("train")
        folder = artifacts.ROOT / "train"
        trained = generator.load(folder)
        scores = scoring.Scores(
            measured, *scoring.made(scoring.Trained(trained, measured.device), measured, chosen.evaluate), chosen.evaluate
        )
        metrics = scores.metrics().judged(_discriminator(folder, scores))
        out = artifacts.start("evaluate")
        report.write(out, f"{trained.card.network['name']} generator", scores, metrics, trained, folder / "history.csv")
        artifacts.seal("evaluate", {"protocol": metrics.protocol.hash})
        print(f"evaluate: {report.sentence(metrics)}")
        print(f"evaluate: {appraisal.state(metrics).sentence}")
        for note in metrics.notes:
            print(f"evaluate: note: {note}")


def _discriminator(folder: Path, scores: scoring.Scores) -> dict[str, float]:
    """Mean probability of being real that D gives: where training images get more than held-out ones, it has overfitted."""
    judge, means = generator.load_discriminator(folder), {}
    for split in dataset.SPLITS:
        images = dataset.read(artifacts.ROOT / "prepare", split, scores.reference.data["classes"])
        count = min(len(images), reference_set.MOST_COMPARED)
        means[split] = judge.probability(images.pixels(np.arange(count)), images.labels[:count])
    draw = scores.draws[0]
    means["generated"] = judge.probability(draw.pixels, None if draw.labels is None else draw.labels[: len(draw.pixels)])
    return {name: score_files.rounded(float(probability.mean())) for name, probability in means.items()}


if __name__ == "__main__":
    sys.exit(exit_codes.of_process(main))
