"""Write an embedded example as a folder of images, one sub-folder a class: data/<fetch.name>, this stage's out."""

import shutil
import sys
from pathlib import Path

from gan.sources import _digits, _shapes
from stages import exit_codes, guard, params
from stages.tracking import mlflow_run

WRITERS = {"digits": _digits.write, "shapes": _shapes.write}  # folder -> number of images; the door lets no other name in


def main() -> None:
    guard.die_with_dvc()
    chosen = params.load()
    with mlflow_run.stage("fetch", chosen):
        folder = Path("data") / chosen.fetch.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        count = WRITERS[chosen.fetch.name](folder)
        print(f"fetch: {count} images in {folder}")


if __name__ == "__main__":
    sys.exit(exit_codes.of_process(main))
