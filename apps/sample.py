"""Images from a trained generator, by seed: gan sample MODEL -n 64 --seed 0 -o grid.png"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from apps import answer, shards, truncation
from stages.registry import models

EXAMPLES = """examples:
  gan sample artifacts/train -n 64 -o grid.png
  gan sample digits@champion -n 100 --label 7 --columns 10 -o sevens.png
  gan sample digits@champion --truncation 0.7      more typical, less varied
  gan sample models:/digits/3 -n 10000 --seed 5000 -o images/     one file an image
  gan sample digits@champion -n 1000000 -o made/ --shards         a data set: images.npy, labels.npy, manifest.json

An image is named by its seed (and label): the same seed is the same image in any batch, grid or folder. --shards writes one
array shard by shard: killed, the same command goes on after the last whole one; prepare.source.path reads the folder."""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="gan sample",
        description="Make the images of seeds SEED to SEED + N - 1.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("model", metavar="MODEL", help=models.HELP)
    made.add_argument("-n", type=answer.count, default=64, metavar="N", help="how many images (64)")
    made.add_argument("--seed", type=answer.natural, default=0, help="the first image's (0)")
    made.add_argument("--label", help="the class of all, by name or number; else as frequent as in the data")
    made.add_argument("--truncation", type=answer.share, metavar="PSI", help="0 to 1: nearer to the mean, more typical")
    made.add_argument("--columns", type=answer.count, help="of the grid; a square without it")
    made.add_argument("-o", "--output", default="grid.png", help="a .png file for a grid, a folder/ for one file an image (grid.png)")
    made.add_argument("--shards", action="store_true", help="a data set into the folder -o, of any size; goes on where it was killed")
    made.add_argument(
        "--shard-size", type=answer.count, default=shards.SIZE, metavar="N", help=f"images between two safe points ({shards.SIZE})"
    )
    return made


def main(arguments: list[str]) -> int:
    asked = parser().parse_args(arguments)
    to_folder = asked.shards or asked.output.endswith(("/", "\\")) or Path(asked.output).is_dir()
    if not to_folder and Path(asked.output).suffix.lower() != ".png":
        raise ValueError(f"-o {asked.output} is neither a .png file nor a folder; end a folder's name with /")
    made = models.generator(models.folder(asked.model))
    if asked.truncation is not None:
        if asked.shards:
            raise ValueError("--truncation is for pictures to look at, --shards for the model's own images as data: leave one out")
        made = truncation.truncated(made, asked.truncation)
    label = None if asked.label is None else models.label_number(asked.label, made.card)
    if asked.shards:
        return _write_shards(Path(asked.output), made, shards.Order(asked.seed, asked.n, label, asked.shard_size))
    seeds = np.arange(asked.seed, asked.seed + asked.n)
    blocks = _with_progress(made.blocks(seeds, None if label is None else np.full(asked.n, label)), asked.n)
    if to_folder:
        _write_folder(Path(asked.output), blocks, asked.seed)
    else:
        _write_grid(Path(asked.output), blocks, asked.columns)
    print(f"{asked.n} images of seeds {asked.seed} to {asked.seed + asked.n - 1}: {asked.output}")
    return 0


def _write_shards(folder: Path, made, order: shards.Order) -> int:
    from stages import progress

    with progress.bar("sample", order.count, "images") as bar:
        kept = shards.write(folder, made, order, bar.update)
    went_on = f", {kept} of them there before" if kept else ""
    print(f"{order.count} images of seeds {order.first_seed} to {order.first_seed + order.count - 1}{went_on}: {folder}")
    return 0


def _with_progress(blocks: Iterator[np.ndarray], total: int) -> Iterator[np.ndarray]:
    from stages import progress

    with progress.bar("sample", total, "images") as bar:
        yield from progress.counted(blocks, bar)


def _write_grid(path: Path, blocks: Iterator[np.ndarray], columns: int | None) -> None:
    from gan import images

    path.parent.mkdir(parents=True, exist_ok=True)
    images.grid(np.concatenate(list(blocks)), columns).save(path)


def _write_folder(folder: Path, blocks: Iterator[np.ndarray], seed: int) -> None:
    """<seed>.png each, as they are made: any number of images takes no more memory than a block."""
    from gan import images

    folder.mkdir(parents=True, exist_ok=True)
    for block in blocks:
        for pixels in block:
            images.to_pillow(pixels).save(folder / f"{seed:09d}.png")
            seed += 1


if __name__ == "__main__":
    sys.exit(answer.with_sentences("gan sample", main, sys.argv[1:]))
