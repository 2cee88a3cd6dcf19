"""Write the embedded example as a folder of images, one sub-folder a class: data/digits, this stage's out."""

import shutil
import sys
from pathlib import Path

from gan.sources import _digits
from stages import guard, params, tracking

FOLDER = Path("data/digits")


def main() -> None:
    guard.die_with_dvc()
    chosen = params.load()
    with tracking.stage("fetch", chosen):
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir(parents=True)
        assert chosen.fetch.name == "digits"  # the only embedded example: the door lets no other name in
        count = _digits.write(FOLDER)
        print(f"fetch: {count} images in {FOLDER}")


if __name__ == "__main__":
    sys.exit(params.answer(main))
