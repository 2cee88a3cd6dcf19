#!/usr/bin/env bash
# Hugging Face's `datasets` takes one class folder called "test" (or train, val, dev, eval) for a split: the other class folders
# vanish without a word, and so do all labels. Of cat, dog and test with four pictures each, four unlabelled ones are left.
# Exits 0 where that is so, 1 where the library does something else.
set -euo pipefail
where=$(mktemp -d)
trap 'rm -rf "$where"' EXIT
python3 -m venv "$where/venv"
"$where/venv/bin/pip" install --quiet "datasets==3.6.0" "pillow==12.0.0"
HF_HUB_OFFLINE=1 HF_HOME="$where/home" "$where/venv/bin/python" - "$where" <<'PYTHON'
import pathlib
import sys

import datasets
from PIL import Image

datasets.disable_progress_bars()
print("datasets", datasets.__version__)


def split_of(*classes):
    folder = pathlib.Path(sys.argv[1], "-".join(classes))
    for place, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for number in range(4):
            Image.new("RGB", (8, 8), (number * 9, place * 9, 9)).save(folder / name / f"{number}.png")
    found = datasets.load_dataset("imagefolder", data_dir=str(folder), cache_dir=f"{sys.argv[1]}/cache-{len(classes[-1])}")
    said = {name: (part.num_rows, sorted(part.features)) for name, part in found.items()}
    print("folders", classes, "-> split: (pictures, columns)", said)
    return said


plain = split_of("cat", "dog", "bird")
called_test = split_of("cat", "dog", "test")
assert plain == {"train": (12, ["image", "label"])}, "three classes of other names are no longer twelve labelled pictures"
if called_test != {"test": (4, ["image"])}:
    sys.exit("it behaves otherwise: a class folder called test no longer hides the others")
print("confirmed: eight of twelve pictures and every label are gone, without an error")
PYTHON
