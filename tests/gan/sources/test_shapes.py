"""Drawn shapes: the laws that are written down, areas of closed form, and bytes that do not depend on libraries."""

import math
import zlib

import numpy as np
import pytest
from PIL import Image

from gan.sources import _shapes

NUMBERS = np.arange(4000)
AREAS = {  # of the shape in the unit circle
    "circle": math.pi,
    "half": math.pi / 2,
    "sector": 0.75 * math.pi,
    "ring": math.pi * (1 - 0.56**2),
    "square": 2.0,
    "triangle": 3 * math.sqrt(3) / 4,
    "pentagon": 2.5 * math.sin(2 * math.pi / 5),
    "star": 5 * 0.42 * math.sin(math.pi / 5) * 2 / 2,
    "diamond": 1.0,
    "cross": 2 * 1.88 * 0.6 - 0.6**2,
    "heart": 2 * 0.78**2 + math.pi * 0.78**2 / 2,
    "spiral": math.pi * 0.42 * (0.5 + 1 + 1.5 + 2) * 0.22 + math.pi * 0.11**2,
}


@pytest.fixture(scope="module")
def shown():
    return _shapes.drawing(0, NUMBERS)


def fields(drawing: _shapes.Drawing, here) -> _shapes.Drawing:
    return _shapes.Drawing(**{name: values[here] for name, values in vars(drawing).items()})


def test_kinds_come_in_equal_numbers_and_in_the_order_of_their_folders(shown):
    assert (np.bincount(shown.kinds) == len(NUMBERS) / len(_shapes.KINDS)).all() and len(_shapes.KINDS) >= 12
    assert list(_shapes.KINDS) == sorted(_shapes.KINDS)


def test_every_law_is_kept(shown):
    """The mean of a uniform draw of [0, 1) over 4,000 is ½ ± .0046, held to five deviations."""
    room = 32 - 2 * (shown.radii + 1)
    ink, grey = shown.inks.max(axis=1), shown.inks.min(axis=1)
    uniform = {
        "radius": (shown.radii - 8) / 5,
        "centre": ((shown.centres - shown.radii[:, None] - 1) / room[:, None]).ravel(),
        "angle": shown.angles / 4096,
        "value": (ink - 0.75) / 0.25,
        "saturation": (1 - grey / ink - 0.6) / 0.4,
        "ground": (shown.grounds / 0.3).ravel(),
    }
    for name, values in uniform.items():
        assert values.min() >= -1e-9 and values.max() <= 1 + 1e-9, name
        assert values.mean() == pytest.approx(0.5, abs=5 * 0.0046), name
    primary = np.bincount(shown.inks.argmax(axis=1)) / len(NUMBERS)
    assert primary == pytest.approx(1 / 3, abs=5 * 0.0075)


def test_a_picture_is_named_by_seed_and_number_alone(shown):
    few = _shapes.pixels(_shapes.drawing(0, np.array([7, 3000])))
    assert np.array_equal(few, _shapes.pixels(fields(shown, [7, 3000])))
    assert not np.array_equal(few, _shapes.pixels(_shapes.drawing(1, np.array([7, 3000]))))


@pytest.mark.parametrize("kind", AREAS)
def test_a_shape_covers_its_area(kind, shown):
    """White on black, the mean of 64 pictures; a pixel's share of ink is exact but at corners, hence 3 %."""
    here = fields(shown, np.flatnonzero(shown.kinds == list(_shapes.KINDS).index(kind))[:64])
    white = _shapes.Drawing(here.kinds, here.centres, here.radii, here.angles, np.ones((64, 3)), np.zeros((64, 3)))
    areas = _shapes.pixels(white)[..., 0].sum(axis=(1, 2)) / 255 / here.radii**2
    assert areas.mean() == pytest.approx(AREAS[kind], rel=0.03)


@pytest.mark.parametrize("kind", _shapes.KINDS)
def test_a_shape_fits_its_circle_and_leaves_the_border_free(kind, shown):
    angles, radii = np.meshgrid(np.linspace(0, 2 * np.pi, 720), np.linspace(1.01, 2, 20))
    assert (_shapes.KINDS[kind](radii * np.cos(angles), radii * np.sin(angles)) > 0).all()
    here = fields(shown, np.flatnonzero(shown.kinds == list(_shapes.KINDS).index(kind)))
    pictures = _shapes.pixels(here)
    ground = np.rint(255 * here.grounds).astype(np.uint8)[:, None]
    assert (pictures[:, 0] == ground).all() and (pictures[:, :, -1] == ground).all()


def test_all_kinds_differ(shown):
    """Of one size, place, angle and colour, any two differ in more than a twentieth of the larger shape's pixels."""
    count = len(_shapes.KINDS)
    fixed = [np.repeat(values[:1], count, axis=0) for name, values in vars(shown).items() if name != "kinds"]
    pictures = _shapes.pixels(_shapes.Drawing(np.arange(count), *fixed))
    inked = (pictures != pictures[:, :1, :1]).any(axis=-1).reshape(count, -1)
    for one in range(count):
        for other in range(one):
            assert (inked[one] ^ inked[other]).sum() > 0.05 * max(inked[one].sum(), inked[other].sum()), (one, other)


def test_a_turn_turns_the_picture():
    """A quarter of a turn, in the middle of the picture, is NumPy's: counterclockwise."""
    middle, white = np.full((1, 2), 16.0), (np.ones((1, 3)), np.zeros((1, 3)))
    for kind in range(len(_shapes.KINDS)):
        upright, turned = (
            _shapes.pixels(_shapes.Drawing(np.array([kind]), middle, np.array([12.0]), np.array([angle]), *white))[0] for angle in (0, 1024)
        )
        assert np.abs(np.rot90(upright).astype(int) - turned).max() <= 1


def test_files_are_png_that_pillow_reads_back_and_hold_no_packed_byte(tmp_path):
    assert _shapes.write(tmp_path, count=32) == 32
    paths = sorted(tmp_path.glob("*/*.png"))
    assert len(paths) == 32 and {path.parent.name for path in paths} == set(_shapes.KINDS)
    pictures = _shapes.pixels(_shapes.drawing(0, np.arange(32)))
    for path in paths:
        with Image.open(path) as image:
            assert image.mode == "RGB" and np.array_equal(np.asarray(image), pictures[int(path.stem)])
        content = path.read_bytes()
        rows = zlib.decompress(content[41 : content.index(b"IEND") - 8])
        assert rows in content


def test_the_first_pictures_are_those_that_are_documented():
    """Another value here is another data set: every score on it would change its meaning."""
    content = b"".join(map(_shapes.png, _shapes.pixels(_shapes.drawing(0, np.arange(256)))))
    assert zlib.crc32(content) == 420347368
