"""How the prepared data set differs from the one that the champion was trained on: gan drift"""

import json
import sys
from typing import Annotated

import typer

from apps import answer
from stages import command_line

app = command_line.program()


@app.command(
    epilog=command_line.examples(
        "gan drift               a sentence, and a table of figures",
        "gan drift --json        for machines; ratio is the figure to act on",
        then="ratio is the Fréchet distance between the data of now and the champion's, in the features of the champion's own extractor, "
        "by the distance of the champion's held-out images from its training images, of equally many images: about 1 and less is noise. "
        "Classes: total variation distance of the shares, 0 to 1. Channels: differences in levels of 255.",
    )
)
def drift(as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False) -> None:
    """How artifacts/prepare differs from the data that the champion of register.name was trained on."""
    from stages import params

    name = params.load().register.name
    from stages.registry import drift

    answered = drift.against_champion(name)
    drift.record(answered)
    sentence = drift.sentence(answered)
    if as_json:
        print(json.dumps(answered | {"sentence": sentence}, indent=2, sort_keys=True))
    else:
        print(sentence)
        for figure, value in drift.points(answered).items():
            print(f"  {figure.removeprefix('drift/'):24}{value:12.4g}")


def main(arguments: list[str]) -> int:
    return command_line.run(app, "gan drift", arguments)


if __name__ == "__main__":
    sys.exit(answer.with_sentences("gan drift", main, sys.argv[1:]))
