"""What `gan judge` does: pictures read as the model's training images were, and how real each looks to its discriminator."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gan.card import Card
from gan.preparation import form, pictures
from gan.sources import folder as source

if TYPE_CHECKING:
    from gan.generator import Discriminator


@dataclass
class Judged:
    """One image: the probability that it is real, and the class that it was judged as."""

    image: str
    probability: float
    label: str | None


def files(named: Sequence[Path]) -> Iterator[Path]:
    for path in named:
        if path.is_dir():
            for block in source.blocks(source.Config(), path):
                yield from (Path(content) for content in block.contents if isinstance(content, str))
        elif path.exists():
            yield path
        else:
            raise FileNotFoundError(f"{path} does not exist")


def read(paths: Sequence[Path], card: Card) -> tuple[list[tuple[Path, np.ndarray]], list[dict]]:
    """(path, pixels (C, H, W)) of what can be decoded, in the form of the training images; {image, reason} of what cannot."""
    wanted = form.Form.model_validate(card.form)
    read, skipped = [], []
    for path in paths:
        try:
            picture = pictures.decode(path.read_bytes(), wanted, path.name)
        except OSError as error:
            picture = pictures.Decoded(None, str(error).replace(f" '{path}'", ""))
        if picture.pixels is None:
            skipped.append({"image": str(path), "reason": picture.reason})
        else:
            read.append((path, picture.pixels))
    return read, skipped


def judged(judge: "Discriminator", batch: list[tuple[Path, np.ndarray]], label: int | None) -> list[Judged]:
    if not batch:
        return []
    pixels = np.stack([one for _, one in batch])
    names = [str(path) for path, _ in batch]
    if not judge.card.conditional:
        return [Judged(name, float(value), None) for name, value in zip(names, judge.probability(pixels), strict=True)]
    classes = judge.card.classes
    by_class = np.stack([judge.probability(pixels, np.full(len(pixels), number)) for number in range(len(classes))])
    verdicts = []
    for place, (path, _) in enumerate(batch):
        by_folder = classes.index(path.parent.name) if path.parent.name in classes else int(by_class[:, place].argmax())
        number = by_folder if label is None else label
        verdicts.append(Judged(str(path), float(by_class[number, place]), classes[number]))
    return verdicts
