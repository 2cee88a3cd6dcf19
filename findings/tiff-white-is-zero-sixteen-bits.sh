#!/usr/bin/env bash
# Pillow turns an 8-bit TIFF whose tag says WhiteIsZero (262 = 0) the right way round, and hands over a 16-bit one as a negative: the
# same grey picture, black in the one and white in the other, without a word. Whoever reads 16-bit scans has to look at the tag.
# Exits 0 where that is so, 1 where the library does something else.
set -euo pipefail
where=$(mktemp -d)
trap 'rm -rf "$where"' EXIT
python3 -m venv "$where/venv"
"$where/venv/bin/pip" install --quiet "pillow==12.0.0"
"$where/venv/bin/python" - <<'PYTHON'
import io
import struct
import sys

import PIL
from PIL import Image

print("pillow", PIL.__version__)


def read(bits, white_is_zero):
    """The mean level, as a share of white, of a 4x4 TIFF whose samples are all 0."""
    strip = bytes(16 * bits // 8)
    tags = {256: 4, 257: 4, 258: bits, 259: 1, 262: 0 if white_is_zero else 1, 273: 122, 277: 1, 278: 4, 279: len(strip)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    content = struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + bytes(4)
    with Image.open(io.BytesIO(content.ljust(122, b"\0") + strip)) as image:
        share = image.getextrema()[1] / (2**bits - 1)
        print(f"{bits} bits, {'WhiteIsZero' if white_is_zero else 'BlackIsZero'}, all samples 0: mode {image.mode}, {share:.0%} of white")
        return share


seen = [read(bits, white) for bits in (8, 16) for white in (False, True)]
sys.exit(0 if seen == [0, 1, 0, 0] else 1)
PYTHON
