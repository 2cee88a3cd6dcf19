"""How real images look to a trained discriminator: gan judge MODEL IMAGES"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from apps import answer
from gan.card import Card
from gan.preparation import form, pictures
from gan.sources import folder as source
from stages.registry import models

BATCH = 256  # images judged at a time
EXAMPLES = """examples:
  gan judge artifacts/train photo.png
  gan judge digits@champion data/digits/3/            classes by the folders' names
  gan judge digits@champion --label 3 scans/ --json

1 is certainly real, 0 certainly made. A model with classes judges an image as one of a class: the one asked for, else that
of its folder's name, else the one that it looks most real as. Exit code 1 if an image could not be read."""


@dataclass
class Judged:
    """One image: the probability that it is real, and the class that it was judged as."""

    image: str
    probability: float
    label: str | None


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="gan judge",
        description="The discriminator's probability, for each image, that it is a real one.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("model", metavar="MODEL", help=models.HELP)
    made.add_argument("images", metavar="IMAGES", nargs="+", type=Path, help="image files, or folders of them")
    made.add_argument("--label", help="the class of all of them, by name or number")
    made.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return made


def main(arguments: list[str]) -> int:
    asked = parser().parse_args(arguments)
    paths = list(_files(asked.images))
    judge = models.discriminator(models.folder(asked.model))
    label = None if asked.label is None else models.label_number(asked.label, judge.card)
    judged, skipped = [], []
    for start in range(0, len(paths), BATCH):
        batch, unreadable = _read(paths[start : start + BATCH], judge.card)
        judged += _judge(judge, batch, label)
        skipped += unreadable
    _print(judged, skipped, asked.json)
    return 1 if skipped else 0


def _files(named: Sequence[Path]) -> Iterator[Path]:
    for path in named:
        if path.is_dir():
            for block in source.blocks(source.Config(), path):
                yield from (Path(content) for content in block.contents if isinstance(content, str))
        elif path.exists():
            yield path
        else:
            raise FileNotFoundError(f"{path} does not exist")


def _read(paths: Sequence[Path], card: Card) -> tuple[list[tuple[Path, np.ndarray]], list[dict]]:
    """(path, pixels (C, H, W)) of what can be decoded, in the form of the training images; {image, reason} of what cannot."""
    wanted = form.Form.model_validate(card.form)
    read, skipped = [], []
    for path in paths:
        try:
            found = pictures.decode(path.read_bytes(), wanted, path.name)
        except OSError as error:
            found = pictures.Decoded(None, str(error).replace(f" '{path}'", ""))
        if found.pixels is None:
            skipped.append({"image": str(path), "reason": found.reason})
        else:
            read.append((path, found.pixels))
    return read, skipped


def _judge(judge, batch: list[tuple[Path, np.ndarray]], label: int | None) -> list[Judged]:
    if not batch:
        return []
    pixels = np.stack([one for _, one in batch])
    names = [str(path) for path, _ in batch]
    if not judge.card.conditional:
        return [Judged(name, float(value), None) for name, value in zip(names, judge.probability(pixels), strict=True)]
    classes = judge.card.classes
    by_class = np.stack([judge.probability(pixels, np.full(len(pixels), number)) for number in range(len(classes))])
    judged = []
    for place, (path, _) in enumerate(batch):
        by_folder = classes.index(path.parent.name) if path.parent.name in classes else int(by_class[:, place].argmax())
        number = by_folder if label is None else label
        judged.append(Judged(str(path), float(by_class[number, place]), classes[number]))
    return judged


def _print(judged: list[Judged], skipped: list[dict], as_json: bool) -> None:
    if as_json:
        print(json.dumps({"judged": [asdict(one) for one in judged], "skipped": skipped}, indent=2))
    else:
        for one in judged:
            as_class = "" if one.label is None else f"  as {one.label}"
            print(f"{one.probability:.4f}  {one.image}{as_class}")
    for one in skipped:
        print(f"skipped {one['image']}: {one['reason']}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(answer.with_sentences("gan judge", main, sys.argv[1:]))
