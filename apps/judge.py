"""How real images look to a trained discriminator: gan judge MODEL IMAGES"""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from apps import answer
from stages import command_line
from stages.registry import models

if TYPE_CHECKING:
    from apps.judgement import Judged

BATCH = 256  # images judged at a time
app = command_line.program()


@app.command(
    epilog=command_line.examples(
        "gan judge artifacts/train photo.png",
        "gan judge digits@champion data/digits/3/            classes by the folders' names",
        "gan judge digits@champion --label 3 scans/ --json",
        then="1 is certainly real, 0 certainly made. A model with classes judges an image as one of a class: the one asked for, else that "
        "of its folder's name, else the one that it looks most real as. Exit code 1 if an image could not be read.",
    )
)
def judge(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=models.HELP)],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES", help="Image files, or folders of them.")],
    label: Annotated[str | None, typer.Option(help="The class of all of them, by name or number.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """The discriminator's probability, for each image, that it is a real one."""
    from apps import judgement

    paths = list(judgement.files(images))
    discriminator = models.discriminator(models.folder(model))
    number = None if label is None else models.label_number(label, discriminator.card)
    judged: list[Judged] = []
    skipped: list[dict[str, str]] = []
    for start in range(0, len(paths), BATCH):
        batch, unreadable = judgement.read(paths[start : start + BATCH], discriminator.card)
        judged += judgement.judged(discriminator, batch, number)
        skipped += unreadable
    _print(judged, skipped, as_json)
    raise typer.Exit(1 if skipped else 0)


def main(arguments: list[str]) -> int:
    return command_line.run(app, "gan judge", arguments)


def _print(judged: "list[Judged]", skipped: list[dict[str, str]], as_json: bool) -> None:
    if as_json:
        print(json.dumps({"judged": [asdict(one) for one in judged], "skipped": skipped}, indent=2))
    else:
        for verdict in judged:
            as_class = "" if verdict.label is None else f"  as {verdict.label}"
            print(f"{verdict.probability:.4f}  {verdict.image}{as_class}")
    for left_out in skipped:
        print(f"skipped {left_out['image']}: {left_out['reason']}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(answer.with_sentences("gan judge", main, sys.argv[1:]))
