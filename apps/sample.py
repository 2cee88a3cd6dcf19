"""Images from a trained generator, by seed: gan sample MODEL -n 64 --seed 0 -o grid.png"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from apps import answer
from stages import command_line
from stages.registry import models

if TYPE_CHECKING:
    import numpy as np

    from apps import shards
    from gan.generator import Generator

SHARD_SIZE = 8192  # images between two safe points
app = command_line.program()


@app.command(
    epilog=command_line.examples(
        "gan sample artifacts/train -n 64 -o grid.png",
        "gan sample digits@champion -n 100 --label 7 --columns 10 -o sevens.png",
        "gan sample digits@champion --truncation 0.7      more typical, less varied",
        "gan sample models:/digits/3 -n 10000 --seed 5000 -o images/     one file an image",
        "gan sample digits@champion -n 1000000 -o made/ --shards         a data set: images.npy, labels.npy, manifest.json",
        then="An image is named by its seed (and label): the same seed is the same image in any batch, grid or folder. --shards writes one "
        "array shard by shard: killed, the same command goes on after the last whole one; prepare.source.path reads the folder.",
    )
)
def sample(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=models.HELP)],
    count: Annotated[int, typer.Option("-n", metavar="N", parser=command_line.whole(1), help="How many images.")] = 64,
    seed: Annotated[int, typer.Option(metavar="SEED", parser=command_line.whole(0), help="The first image's.")] = 0,
    label: Annotated[str | None, typer.Option(help="The class of all, by name or number; else as frequent as in the data.")] = None,
    psi: Annotated[
        float | None,
        typer.Option("--truncation", metavar="PSI", parser=answer.share, help="0 to 1: nearer to the mean, more typical."),
    ] = None,
    columns: Annotated[
        int | None, typer.Option(metavar="N", parser=command_line.whole(1), help="Of the grid; a square without it.")
    ] = None,
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="PATH", help="A .png file for a grid, a folder/ for one file an image.")
    ] = "grid.png",
    to_shards: Annotated[
        bool, typer.Option("--shards", help="A data set into the folder -o, of any size; goes on where it was killed.")
    ] = False,
    shard_size: Annotated[
        int, typer.Option(metavar="N", parser=command_line.whole(1), help="Images between two safe points.")
    ] = SHARD_SIZE,
) -> None:
    """Make the images of seeds SEED to SEED + N - 1."""
    to_folder = to_shards or output.endswith(("/", "\\")) or Path(output).is_dir()
    if not to_folder and Path(output).suffix.lower() != ".png":
        raise ValueError(f"-o {output} is neither a .png file nor a folder; end a folder's name with /")
    import numpy as np

    from apps import shards, truncation

    product = models.generator(models.folder(model))
    if psi is not None:
        if to_shards:
            raise ValueError("--truncation is for pictures to look at, --shards for the model's own images as data: leave one out")
        product = truncation.truncated(product, psi)
    number = None if label is None else models.label_number(label, product.card)
    if to_shards:
        _write_shards(Path(output), product, shards.Order(seed, count, number, shard_size))
        return
    blocks = _with_progress(product.blocks(np.arange(seed, seed + count), None if number is None else np.full(count, number)), count)
    if to_folder:
        _write_folder(Path(output), blocks, seed)
    else:
        _write_grid(Path(output), blocks, columns)
    print(f"{count} images of seeds {seed} to {seed + count - 1}: {output}")


def main(arguments: list[str]) -> int:
    return command_line.run(app, "gan sample", arguments)


def _write_shards(folder: Path, product: "Generator", order: "shards.Order") -> None:
    from apps import shards
    from stages import progress

    with progress.bar("sample", order.count, "images") as bar:
        kept = shards.write(folder, product, order, bar.update)
    went_on = f", {kept} of them there before" if kept else ""
    print(f"{order.count} images of seeds {order.first_seed} to {order.first_seed + order.count - 1}{went_on}: {folder}")


def _with_progress(blocks: Iterator["np.ndarray"], total: int) -> Iterator["np.ndarray"]:
    from stages import progress

    with progress.bar("sample", total, "images") as bar:
        yield from progress.counted(blocks, bar)


def _write_grid(path: Path, blocks: Iterator["np.ndarray"], columns: int | None) -> None:
    import numpy as np

    from gan import images

    path.parent.mkdir(parents=True, exist_ok=True)
    images.grid(np.concatenate(list(blocks)), columns).save(path)


def _write_folder(folder: Path, blocks: Iterator["np.ndarray"], seed: int) -> None:
    """<seed>.png each, as they are made: any number of images takes no more memory than a block."""
    from gan import images

    folder.mkdir(parents=True, exist_ok=True)
    for block in blocks:
        for pixels in block:
            images.to_pillow(pixels).save(folder / f"{seed:09d}.png")
            seed += 1


if __name__ == "__main__":
    sys.exit(answer.with_sentences("gan sample", main, sys.argv[1:]))
