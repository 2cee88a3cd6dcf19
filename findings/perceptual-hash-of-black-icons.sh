#!/usr/bin/env bash
# ImageHash looks at an image's grey and not at its alpha: black shapes on transparent ground, as most icons are, all have the same
# hash, so near-duplicate removal keeps one of them. The same shapes in white, whose ground is black under the alpha, are told apart.
# Exits 0 where that is so, 1 where the library does something else.
set -euo pipefail
where=$(mktemp -d)
trap 'rm -rf "$where"' EXIT
python3 -m venv "$where/venv"
"$where/venv/bin/pip" install --quiet "imagehash==4.3.2" "pillow==12.0.0" "numpy==2.3.4" "scipy==1.16.3"
"$where/venv/bin/python" - <<'PYTHON'
import sys

import imagehash
from PIL import Image, ImageDraw

print("imagehash", imagehash.__version__)


def different(level):
    found = set()
    for number in range(40):
        image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
        corner = 4 + number
        ImageDraw.Draw(image).polygon([(corner, 8), (60, corner), (32, 60)], fill=(level, level, level, 255))
        found.add(str(imagehash.phash(image)))
    print(f"40 shapes of level {level} on transparent ground: {len(found)} different hashes")
    return len(found)


black, white = different(0), different(255)
sys.exit(0 if black == 1 and white > 20 else 1)
PYTHON
