"""Scores of the kept generator under the reference's protocol, each beside the same score of held-out real images."""

import sys
from pathlib import Path

from gan import dataset, generator
from stages import appraisal, artifacts, ending, evaluation, guard, numerics, params, score_files, scoring, standard, tracking


def main() -> None:
    guard.die_with_dvc()
    chosen = params.load()
    with tracking.stage("evaluate", chosen):
        numerics.settle(chosen.evaluate.threads)
        measured = standard.standard()
        artifacts.card_of("train")
        folder = artifacts.ROOT / "train"
        trained = generator.load(folder)
        scores = scoring.Scores(measured, *scoring.made(scoring.Trained(trained, measured.device), measured, chosen.evaluate), chosen.evaluate)
        metrics = scores.metrics() | {"discriminator": _discriminator(folder, scores)}
        out = artifacts.start("evaluate")
        evaluation.write(out, f"{trained.card['network']['name']} generator", scores, metrics, trained, folder / "history.csv")
        artifacts.seal("evaluate", {"protocol": metrics["protocol"]["hash"]})
        print(f"evaluate: {evaluation.sentence(metrics)}")
        print(f"evaluate: {appraisal.state(metrics).sentence}")
        for note in metrics["notes"]:
            print(f"evaluate: note: {note}")


def _discriminator(folder: Path, scores: scoring.Scores) -> dict[str, float]:
    """Mean probability of being real that D gives: where training images get more than held-out ones, it has overfitted."""
    judge, found = generator.load_discriminator(folder), {}
    for split in dataset.SPLITS:
        images = dataset.read(artifacts.ROOT / "prepare", split, scores.standard.data["classes"])
        count = min(len(images), standard.MOST_COMPARED)
        found[split] = judge.probability(images.pixels(range(count)), images.labels[:count])
    draw = scores.draws[0]
    found["generated"] = judge.probability(draw.pixels, None if draw.labels is None else draw.labels[: len(draw.pixels)])
    return {name: score_files.rounded(float(probability.mean())) for name, probability in found.items()}


if __name__ == "__main__":
    sys.exit(ending.exit_code(main))
