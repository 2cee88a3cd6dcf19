"""A generator for other programs, checked against the one it was made of: gan export MODEL --format onnx -o generator.onnx"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Literal

import typer

from apps import answer
from stages import artifacts, command_line
from stages.registry import models

Format = Literal["onnx", "safetensors", "torch-export"]  # those of apps/formats.py
app = command_line.program()


@app.command(
    epilog=command_line.examples(
        "gan export digits@champion --format onnx -o digits.onnx             ONNX Runtime, any language",
        "gan export digits/3 --format torch-export -o digits.pt2             torch.export.load, without this code",
        "gan export artifacts/train --format safetensors -o digits/          weights, card and the code that opens them",
        then="latents (N, Z) float32, and labels (N,) int64 where the model has classes, in; images (N, C, H, W) float32 in [-1, +1] out, "
        "for any N. Latents that hold more than the latent space's numbers (noise of a style network) hold them behind those. What was "
        "written is opened again and compared with the model; if it differs by more than the tolerance, nothing is left of it.",
    )
)
def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help=models.HELP)],
    kind: Annotated[Format, typer.Option("--format", help="Who is to open it.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="PATH", help="A file; of safetensors a folder.")],
) -> None:
    """Write a generator in a format that other programs open, and compare the two."""
    if output.exists():
        raise ValueError(f"-o {output} exists already; name a path that does not, or remove it")
    from apps import formats

    folder = models.folder(model)
    product = models.generator(folder)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=output.parent) as temporary:
        unchecked = Path(temporary) / output.name
        opened = formats.FORMATS[kind](product, folder, unchecked)
        differs = formats.difference(product, opened)
        said = formats.difference_in_words(differs)
        if not differs["max_abs_difference"] <= formats.TOLERANCE:
            print(f"gan export: {said}; more than {formats.TOLERANCE:.3g} is refused, so {output} was not kept", file=sys.stderr)
            raise typer.Exit(1)
        artifacts.write_json(unchecked.with_name(f"{output.name}.json"), formats.description(product, kind, unchecked, differs))
        for file in Path(temporary).iterdir():  # large ONNX models have a second file with their weights
            os.replace(file, output.parent / file.name)
    print(f"{output}: {said} (tolerance {formats.TOLERANCE:.3g}); {output}.json describes it")


def main(arguments: list[str]) -> int:
    return command_line.run(app, "gan export", arguments)


if __name__ == "__main__":
    sys.exit(answer.with_sentences("gan export", main, sys.argv[1:]))
