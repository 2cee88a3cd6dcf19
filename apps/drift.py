"""How the prepared data set differs from the one that the champion was trained on: gan drift"""

import argparse
import json
import sys

from apps import answer
from stages import params

EXAMPLES = """examples:
  gan drift               a sentence, and a table of figures
  gan drift --json        for machines; ratio is the figure to act on

ratio is the Fréchet distance between the data of now and the champion's, in the features of the champion's own extractor, by
the distance of the champion's held-out images from its training images, of equally many images: about 1 and less is noise. Classes: total variation distance of the shares, 0 to 1. Channels: differences in levels of 255."""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="gan drift",
        description="How artifacts/prepare differs from the data that the champion of register.name was trained on.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return made


def main(arguments: list[str]) -> int:
    asked = parser().parse_args(arguments)
    name = params.load().register.name
    from stages.registry import drift

    found = drift.against_champion(name)
    drift.record(found)
    sentence = drift.sentence(found)
    if asked.json:
        print(json.dumps(found | {"sentence": sentence}, indent=2, sort_keys=True))
    else:
        print(sentence)
        for figure, value in drift.points(found).items():
            print(f"  {figure.removeprefix('drift/'):24}{value:12.4g}")
    return 0


if __name__ == "__main__":
    sys.exit(answer.with_sentences("gan drift", main, sys.argv[1:]))
