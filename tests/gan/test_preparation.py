"""Decoding, resizing, comparing and choosing: of any bytes, exact, and the same whatever stands beside an image."""

import io
import itertools
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image, ImageDraw

from gan.preparation import perceptual, pictures, resampling, selection, store
from gan.preparation.form import Form

PLAIN = {
    "resolution": 16, "channels": 3, "alpha": "black", "fit": "crop", "filter": "lanczos", "jpeg_draft": False, "min_side": 1,
    "max_pixels": 10**6,
}  # fmt: skip


def form(**changes: object) -> Form:
    return Form(**{**PLAIN, **changes})


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    image.save(buffer := io.BytesIO(), kind, **options)
    return buffer.getvalue()


def whole(content: bytes, wanted: Form, name: str = "") -> np.ndarray:
    found = pictures.decode(content, wanted, name)
    assert found.reason is None, found.reason
    assert found.pixels.shape == wanted.shape and found.pixels.dtype == np.uint8
    return found.pixels


ROOM = Image.fromarray(noise(16, 16, 3))  # of the form's own size: nothing is resized


@pytest.mark.parametrize(
    ("picture", "kind"),
    [
        (ROOM, "PNG"), (ROOM, "BMP"), (ROOM, "TIFF"), (ROOM, "PPM"), (ROOM, "TGA"), (ROOM, "QOI"), (ROOM, "SGI"), (ROOM, "PCX"),
        (ROOM.convert("RGBA"), "PNG"), (ROOM.convert("RGBA"), "TIFF"), (ROOM.convert("RGBA"), "ICO"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.mode,
)  # fmt: skip
def test_lossless_formats_give_the_pixels_that_were_saved(picture, kind):
    options = {"sizes": [(16, 16)]} if kind == "ICO" else {}
    assert (whole(encoded(picture, kind, **options), form(), f"a.{kind}") == noise(16, 16, 3).transpose(2, 0, 1)).all()


@pytest.mark.parametrize("kind", ["ICO", "CUR"])
@pytest.mark.parametrize("name", ["", "a.ico", "a.tga"])
def test_an_icon_whose_bytes_could_be_a_targa_is_an_icon(kind, name):
    """Of a 128×128 icon the size of its bitmap stands where a Targa has its depth, and says 1 bit: any bytes may be a Targa."""
    content = encoded(
        picture := Image.fromarray(noise(128, 128, 4) | np.uint8([0, 0, 0, 255])), "ICO", sizes=[(128, 128)], bitmap_format="bmp"
    )
    with Image.open(io.BytesIO(content), formats=["TGA"]) as image:
        assert image.width == 32, "or Pillow reads Targas otherwise now"
    content = content[:2] + bytes([{"ICO": 1, "CUR": 2}[kind]]) + content[3:]  # a hot spot stands where an icon has its planes
    assert (whole(content, form(resolution=128), name) == np.asarray(picture)[..., :3].transpose(2, 0, 1)).all()


def test_a_targa_is_known_by_its_name_alone():
    content = encoded(ROOM, "TGA")
    assert pictures.decode(content, form(), "x/a.bin#1").reason.startswith("cannot be decoded: it is no picture")
    assert all((whole(content, form(), name) == noise(16, 16, 3).transpose(2, 0, 1)).all() for name in ("a.tga", "x/A.TGA", "a.vst"))
    assert (whole(encoded(ROOM), form(), "a.tga") == noise(16, 16, 3).transpose(2, 0, 1)).all(), "a PNG is a PNG"


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "JPEG2000", "GIF"])
def test_lossy_formats_come_near(kind):
    smooth = Image.fromarray(np.add.outer(np.arange(16), np.arange(16)).astype(np.uint8) * 8).convert("RGB")
    found = whole(encoded(smooth, kind), form()).astype(int)
    assert np.abs(found - np.asarray(smooth).transpose(2, 0, 1)).mean() < 8


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("1", "PNG"), ("L", "PNG"), ("LA", "PNG"), ("P", "PNG"), ("RGB", "PNG"), ("RGBA", "PNG"), ("I;16", "PNG"), ("CMYK", "TIFF"),
        ("YCbCr", "TIFF"), ("I", "TIFF"), ("F", "TIFF"),
    ],
)  # fmt: skip
def test_every_mode_becomes_every_number_of_channels(mode, kind, channels):
    if mode == "I;16":
        picture = Image.fromarray(noise(20, 24).astype(np.uint16) << 8)
    else:
        picture = Image.fromarray(noise(20, 24, 3)).convert("L" if mode == "LA" else "RGB").convert(mode)
    levels_named = [0, 255] if mode in ("I", "F") else "auto"
    found = pictures.decode(encoded(picture, kind), form(channels=channels, alpha="keep" if channels == 4 else "black", range=levels_named))
    assert found.reason is None and found.pixels.shape == (channels, 16, 16)
    assert (found.width, found.height, found.mode) == (24, 20, mode)
    assert found.pixels[:3].std() > 5, "something is to be seen"


def test_sixteen_bits_keep_their_high_byte_and_float_shares_become_levels():
    levels = noise(16, 16)
    assert (whole(encoded(Image.fromarray(levels.astype(np.uint16) << 8)), form(channels=1))[0] == levels).all()
    assert (whole(encoded(Image.fromarray(levels.astype(np.uint16) << 8), "PPM"), form(channels=1))[0] == levels).all()
    assert (whole(encoded(Image.fromarray(levels.astype(np.float32) / 255), "TIFF"), form(channels=1))[0] == levels).all()


RAMP = np.arange(256).reshape(16, 16)
DEEP = {  # 256 levels in more than 8 bits, and the range that they lie in
    "12 bits": ((RAMP * 4095 // 255).astype(np.uint16), (0, 4095)),
    "8 bits in 16": (RAMP.astype(np.uint16), (0, 255)),
    "8 bits in 32": (RAMP.astype(np.int32), (0, 255)),
    "32 bits": ((RAMP * 1000).astype(np.int32), (0, 255000)),
    "signed": ((RAMP * 8 - 1024).astype(np.int32), (-1024, 1016)),
    "floats around 0": ((RAMP / 127.5 - 1).astype(np.float32), (-1, 1)),
    "floats as levels": (RAMP.astype(np.float32), (0, 255)),
    "small floats": ((RAMP / 25500).astype(np.float32), (0, 0.01)),
}


@pytest.mark.parametrize("name", DEEP)
def test_levels_of_more_than_eight_bits_survive_by_the_range_that_is_named_or_are_refused_without(name):
    array, (black, white) = DEEP[name]
    content = encoded(Image.fromarray(array), "TIFF")
    named = pictures.decode(content, form(channels=1, range=[black, white]))
    assert (named.pixels[0] == RAMP).all() and (named.lowest, named.highest) == (array.min(), array.max())
    found = pictures.decode(content, form(channels=1))
    assert found.pixels is None and found.reason.startswith(f"has levels from {black} to {white}") and "prepare.range" in found.reason
    assert (found.lowest, found.highest) == (array.min(), array.max())


def test_a_range_means_the_same_in_every_picture_and_cuts_off_what_lies_beyond():
    dark, light = (encoded(Image.fromarray(np.full((16, 16), level, np.uint16)), "TIFF") for level in (100, 5000))
    wanted = form(channels=1, range=[0, 4095])
    assert (whole(dark, wanted) == 6).all(), "100 / 4095 of 255"
    both = np.full((16, 16), 100, np.uint16)
    both[0] = 5000
    assert set(whole(encoded(Image.fromarray(both), "TIFF"), wanted)[0].ravel()) == {6, 255}
    assert "comes out all white by prepare.range [0, 4095]" in pictures.decode(light, wanted).reason
    assert "comes out all black by prepare.range [200, 4095]" in pictures.decode(dark, form(channels=1, range=[200, 4095])).reason
    assert (whole(encoded(Image.fromarray(np.zeros((16, 16), np.uint16)), "TIFF"), form(channels=1)) == 0).all(), (
        "black is black in any range"
    )


def test_values_that_are_no_numbers_are_counted():
    array = np.where(RAMP < 3, np.nan, RAMP / 255).astype(np.float32)
    found = pictures.decode(encoded(Image.fromarray(array), "TIFF"), form(channels=1))
    assert found.reason.startswith("has 3 values that are no numbers") and found.highest == 1


def tiff(bits: int, white_is_zero: bool, strip: bytes, bands: int = 1) -> bytes:
    """A 16×16 TIFF, little-endian, of whole numbers, as Pillow writes none."""
    kind = 2 if bands == 3 else 0 if white_is_zero else 1
    tags = {256: 16, 257: 16, 258: bits, 259: 1, 262: kind, 273: 200, 277: bands, 278: 16, 279: len(strip)}
    entries = b"".join(struct.pack("<HHII", tag, 3 if tag == 258 else 4, bands if tag == 258 else 1, value) for tag, value in tags.items())
    if bands == 3:
        entries = entries.replace(struct.pack("<HHII", 258, 3, 3, bits), struct.pack("<HHII", 258, 3, 3, 180))
    head = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    return head.ljust(180, b"\0") + struct.pack("<3H", bits, bits, bits).ljust(20, b"\0") + strip


def test_a_tiff_says_itself_that_it_has_twelve_bits_and_that_zero_is_white():
    pairs = (RAMP * 4095 // 255).reshape(-1, 2)
    packed = b"".join((one << 12 | other).to_bytes(3) for one, other in pairs.tolist())
    assert (whole(tiff(12, False, packed), form(channels=1))[0] == RAMP).all()
    sixteen = (RAMP * 257).astype("<u2").tobytes()
    assert (whole(tiff(16, False, sixteen), form(channels=1))[0] == RAMP).all()
    assert (whole(tiff(16, True, sixteen), form(channels=1))[0] == 255 - RAMP).all()


def test_sixteen_bit_colour_that_would_come_out_black_is_refused():
    colours = np.repeat(RAMP[..., None], 3, axis=2)
    assert (whole(tiff(16, False, (colours * 257).astype("<u2").tobytes(), 3), form())[0] == RAMP).all()
    dark = pictures.decode(tiff(16, False, (colours * 16).astype("<u2").tobytes(), 3), form())
    assert (
        dark.reason
        == "has levels up to 4095 at most in 16 bits, and would come out black; write it with 8 bits, or with levels up to 65535"
    )
    named = pictures.decode(tiff(16, False, (colours * 16).astype("<u2").tobytes(), 3), form(range=[0, 4095]))
    assert "which prepare.range cannot stretch" in named.reason


@pytest.mark.parametrize("wrong", [[0], [1, 0], [0, 0], [0, float("inf")], ["0", 1], [False, True], "12 bits", 4095])
def test_a_range_is_two_levels_the_lower_first(wrong):
    with pytest.raises(ValueError, match="must be auto, or the levels that are black and white"):
        form(range=wrong)
    assert form(range=[0, 4095.0]).range == (0, 4095) and "range" not in form(range="auto").model_dump(mode="json")


@pytest.mark.parametrize(("alpha", "expected"), [("black", 0), ("white", 255), ("#804020", (128, 64, 32))])
def test_what_is_transparent_shows_the_colour_it_is_laid_on(alpha, expected):
    clear = Image.new("RGBA", (16, 16), (9, 200, 30, 0))
    assert (whole(encoded(clear), form(alpha=alpha)) == np.broadcast_to(expected, (16, 16, 3)).transpose(2, 0, 1)).all()
    palette = Image.new("P", (16, 16), 0)
    palette.putpalette([9, 200, 30] * 256)
    assert (whole(encoded(palette, transparency=0), form(alpha=alpha))[:, 0, 0] == expected).all()


def test_kept_alpha_is_the_fourth_channel_and_hidden_colours_are_none():
    picture = np.dstack([noise(16, 16, 3), np.repeat([[0], [255]], 8, axis=0) * np.ones((1, 16), int)]).astype(np.uint8)
    found = whole(encoded(Image.fromarray(picture)), form(channels=4, alpha="keep"))
    assert (found[3] == picture[..., 3]).all() and (found[:, :8] == 0).all()
    assert (found[:, 8:] == picture.transpose(2, 0, 1)[:, 8:]).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation):
    upright = noise(16, 16, 3)
    turns = {1: 0, 2: 0, 3: 2, 4: 2, 5: 0, 6: 1, 7: 2, 8: 3}[orientation]  # quarter turns, against the clock
    stored = np.rot90(upright, turns)
    stored = stored[:, ::-1] if orientation in (2, 4) else stored.swapaxes(0, 1) if orientation in (5, 7) else stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert (whole(encoded(Image.fromarray(np.ascontiguousarray(stored)), exif=exif), form()) == upright.transpose(2, 0, 1)).all()


def test_the_first_frame_of_an_animation_is_taken_and_said():
    first, second = Image.new("L", (16, 16), 0), Image.new("L", (16, 16), 255)
    found = pictures.decode(encoded(first, "GIF", save_all=True, append_images=[second]), form())
    assert found.frames == 2 and (found.pixels == 0).all()


def layered(count: int) -> bytes:
    """A PSD of 16×16 whose layers, which lie before the picture, are `count` by their number and not to be read."""
    layers = struct.pack(">ih", 2 + 20 * count, count) + b"\xff" * 20 * count
    header = struct.pack(">4sH6xHIIHH", b"8BPS", 1, 3, 16, 16, 8, 3) + bytes(8)
    return header + struct.pack(">I", len(layers)) + layers + bytes(2) + noise(3, 16, 16).tobytes()


def test_of_a_file_cut_behind_its_first_frame_the_first_is_taken():
    frames = [Image.fromarray(noise(16, 16, 3, seed=seed)) for seed in range(3)]
    for kind, options in (("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("GIF", {})):
        one, all_three = encoded(frames[0], kind, **options), encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        found = [pictures.decode(all_three[:end], form()) for end in range(len(one), len(all_three), 16)]
        assert all((part.pixels == whole(one, form())).all() for part in found), kind
        assert {part.frames for part in found} >= {-1} and pictures.decode(all_three, form()).frames == 3
    damaged = pictures.decode(layered(3), form())
    assert (damaged.pixels == noise(3, 16, 16)).all() and damaged.frames == -1
    assert pictures.decode(layered(0), form()).frames == 1


BANDS = np.repeat(np.arange(4, dtype=np.uint8) * 60, 16)[None].repeat(32, axis=0)  # four of 16 columns, 32 high


def fitted(content: bytes, fit: str) -> list[int]:
    """The middle row of the bands in a square of 32."""
    return whole(content, form(fit=fit, filter="box", resolution=32, alpha="white"))[0, 16].tolist()


@pytest.mark.parametrize(
    ("fit", "columns"), [("crop", {60: 16, 120: 16}), ("pad", {0: 8, 60: 8, 120: 8, 180: 8}), ("stretch", {0: 8, 60: 8, 120: 8, 180: 8})]
)
def test_another_aspect_is_fitted_as_asked(fit, columns):
    content = encoded(Image.fromarray(BANDS))
    assert fitted(content, fit) == [level for level, count in columns.items() for _ in range(count)]
    outside = whole(content, form(fit=fit, filter="box", resolution=32, alpha="white"))[:, [0, 7, 24, 31]]
    assert (outside == 255).all() == (fit == "pad")


def test_a_random_crop_is_drawn_by_what_is_seen():
    assert fitted(encoded(Image.fromarray(BANDS)), "random_crop") == fitted(encoded(Image.fromarray(BANDS), "BMP"), "random_crop")
    starts = {fitted(encoded(Image.fromarray(BANDS + np.uint8(shade))), "random_crop")[0] - shade for shade in range(12)}
    assert len(starts) > 1


def test_not_square_is_height_by_width():
    assert whole(encoded(Image.fromarray(noise(40, 40, 3))), form(resolution=(12, 24))).shape == (3, 12, 24)


def test_draft_decoding_is_near_the_exact_one_and_keeps_the_size_in_the_row():
    smooth = Image.fromarray(noise(16, 16, 3)).resize((512, 512), Image.Resampling.BICUBIC)
    content = encoded(smooth, "JPEG", quality=95)
    exact, draft = (pictures.decode(content, form(jpeg_draft=value)) for value in (False, True))
    assert (draft.width, draft.height) == (512, 512)
    assert 0 < np.abs(exact.pixels.astype(int) - draft.pixels).mean() < 2


def png_of_size(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"not an image", "cannot be decoded: it is no picture"),
        (png_of_size(60_000, 60_000), "is too large: 60000×60000 is more than prepare.max_pixels 1000000"),
        (png_of_size(2**31 - 1, 2**31 - 1), "is too large"),
        (png_of_size(100, 100), "cannot be decoded"),
        (encoded(Image.new("L", (3, 9))), "is too small: 3×9 is under prepare.min_side 4"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) print\n", "cannot be decoded: it is no picture"),
    ],
    ids=["empty", "text", "bomb", "huge bomb", "hollow", "small", "program"],
)
def test_what_cannot_be_used_has_a_reason(content, reason):
    found = pictures.decode(content, form(min_side=4))
    assert found.pixels is None and found.reason.startswith(reason)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "TGA", "ICO", "JPEG2000", "AVIF"])
def test_no_truncation_and_no_flipped_bit_is_an_exception(kind):
    content = encoded(Image.fromarray(noise(16, 16, 3)), kind)
    random = np.random.default_rng(0)
    name = f"a.{kind.lower()}"
    damaged = [content[: len(content) * part // 40] for part in range(40)]
    for place in random.integers(0, len(content), 60).tolist():
        damaged.append(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
    found = [pictures.decode(one, form(), name) for one in damaged]
    assert all((one.pixels is None) == (one.reason is not None) for one in found)
    assert any(one.reason for one in found)


HEADS = [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"RIFF\0\0\0\0WEBP", b"BM", b"II*\0", b"8BPS\0\1", b"\0\0\1\0\1\0"]


@settings(max_examples=300, deadline=None)
@given(some.sampled_from(HEADS), some.binary(max_size=300), some.sampled_from(["", "a.tga"]))
def test_no_bytes_whatever_are_an_exception(head, body, name):
    found = pictures.decode(head + body, form(), name)
    assert (found.pixels is None) == bool(found.reason)


CASES = itertools.product(
    ("box", "bilinear", "bicubic", "lanczos"), ("crop", "pad", "stretch", "random_crop"), ((28, 28), (16, 16), (13, 47), (100, 64)),
    (16, 32, (12, 40)), (1, 3, 4),
)  # fmt: skip


def test_arrays_become_bit_for_bit_what_pillow_makes_of_each():
    for number, (filter, fit, size, resolution, channels) in enumerate(CASES):
        for given_channels in (1, 2, 3, 4):
            wanted = form(filter=filter, fit=fit, resolution=resolution, channels=channels, alpha="keep" if channels == 4 else "white")
            array = noise(2, *size, given_channels, seed=number)
            expected = [pictures.from_pillow(resampling._to_pillow(picture), wanted) for picture in array]
            assert np.array_equal(resampling.arrays(array, wanted), expected), (filter, fit, size, resolution, channels, given_channels)


def test_pillows_own_way_is_taken_where_ours_is_not_exact(monkeypatch):
    monkeypatch.setattr(resampling, "_passes", lambda *sizes: None)
    wanted, array = form(resolution=32), noise(3, 28, 20, 3)
    assert np.array_equal(resampling.arrays(array, wanted), [pictures.from_pillow(Image.fromarray(one), wanted) for one in array])


def test_a_perceptual_hash_does_not_depend_on_the_images_beside_it():
    pixels = noise(64, 3, 32, 32)
    together, _ = perceptual.hashes(pixels)
    assert together.tolist() == [int(perceptual.hashes(pixels[number : number + 1])[0][0]) for number in range(64)]


def test_images_that_look_alike_have_near_hashes_and_others_do_not():
    smooth = np.stack(
        [np.asarray(Image.fromarray(noise(6, 6, seed=seed)).resize((32, 32), Image.Resampling.BICUBIC)) for seed in range(50)]
    )
    pictures_of = smooth[:, None]
    noisy = (pictures_of.astype(int) + noise(*pictures_of.shape) % 9 - 4).clip(0, 255).astype(np.uint8)
    one, other = perceptual.hashes(pictures_of)[0], perceptual.hashes(noisy)[0]
    assert np.bitwise_count(one ^ other).max() <= 8
    assert np.bitwise_count(one[:, None] ^ one[None])[~np.eye(50, dtype=bool)].min() > 8


def shapes(count: int, colour: tuple[int, int, int], under: int = 0) -> np.ndarray:
    """(count, 4, 32, 32): squares turned by any angle, of a colour, on a transparent ground that hides another."""
    found, random = [], np.random.default_rng(0)
    for _ in range(count):
        angle, centre = random.uniform(0, np.pi), random.uniform(12, 20, 2)
        along = np.array([np.cos(angle), np.sin(angle)])
        corners = [tuple(centre + s * 10 * along + t * 2 * along[::-1] * [-1, 1]) for s, t in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        image = Image.new("RGBA", (32, 32), (under, under, under, 0))
        ImageDraw.Draw(image).polygon(corners, fill=(*colour, 255))
        found.append(np.asarray(image).transpose(2, 0, 1))
    return np.stack(found)


def test_what_is_seen_of_transparent_pictures_decides_whatever_colour_lies_under_it():
    white, colours = perceptual.hashes(shapes(40, (255, 255, 255)))
    assert len(np.unique(white)) >= 36 and (colours[:, :3] == 255).all()
    for level in (0, 1, 127, 128, 200):
        found, shades = perceptual.hashes(shapes(40, (level,) * 3))
        assert np.bitwise_count(found ^ white).max() <= 4, "the shape decides, not its shade"
        assert (shades[:, :3] == level).all() and (shades[:, 3] == colours[:, 3]).all()
        hidden, same = perceptual.hashes(shapes(40, (level,) * 3, under=99))
        assert (hidden == found).all() and (same == shades).all()


def test_equal_shapes_of_other_colours_are_no_near_duplicates_though_they_are_small():
    red, blue = (shapes(1, colour)[:, :, ::2, ::2] for colour in ((200, 0, 0), (0, 0, 200)))
    padded = np.pad(np.concatenate([red, blue, red]), ((0, 0), (0, 0), (24, 24), (24, 24)))
    hashes, colours = perceptual.hashes(padded)
    assert np.abs(padded[0, :3].mean(axis=(1, 2)) - padded[1, :3].mean(axis=(1, 2))).max() < selection.COLOUR_REACH
    assert selection.near_duplicates(hashes, colours, 6).tolist() == [-1, -1, 0]


def test_opaque_pictures_are_hashed_alike_with_and_without_alpha():
    pixels = noise(20, 3, 24, 40)
    opaque = np.concatenate([pixels, np.full((20, 1, 24, 40), 255, np.uint8)], axis=1)
    assert all((one == other).all() for one, other in zip(perceptual.hashes(pixels), perceptual.hashes(opaque)))
    grey = resampling.grey(pixels.transpose(0, 2, 3, 1))[:, None]
    assert (perceptual.hashes(grey)[0] == perceptual.hashes(pixels)[0]).all()


def brute_force(hashes: np.ndarray, colours: np.ndarray, distance: int) -> list[int]:
    found: list[int] = []
    for number, value in enumerate(hashes):
        near = [
            other for other in range(number)
            if found[other] < 0 and int(value ^ hashes[other]).bit_count() <= distance
            and np.abs(colours[number].astype(int) - colours[other]).max() <= selection.COLOUR_REACH
        ]  # fmt: skip
        found.append(near[0] if near else -1)
    return found


@pytest.mark.parametrize("distance", [0, 1, 3, 6])
def test_near_duplicates_are_those_that_comparing_all_finds(distance):
    random = np.random.default_rng(distance)
    centres = random.integers(0, 2**63, 12).astype(np.uint64)
    flips = np.bitwise_or.reduce(np.uint64(1) << random.integers(0, 64, (300, 4)).astype(np.uint64), axis=1)
    hashes = centres[random.integers(0, 12, 300)] ^ np.where(random.random(300) < 0.7, flips, np.uint64(0))
    colours = random.choice(np.array([0, 10, 90], np.uint8), (300, 4))
    colours[:, 1:] = 7
    found, expected = selection.near_duplicates(hashes, colours, distance), brute_force(hashes, colours, distance)
    assert ((found >= 0) == (np.array(expected) >= 0)).all()
    for number in np.flatnonzero(found >= 0).tolist():
        assert found[found[number]] < 0 and int(hashes[number] ^ hashes[found[number]]).bit_count() <= distance
    assert distance == 0 or (found >= 0).sum() > 50


def prints(count: int, seed: int = 0) -> selection.Fingerprints:
    random = np.random.default_rng(seed)
    content = random.integers(0, 2**64, (count, 2), np.uint64)
    return selection.Fingerprints(content, random.integers(0, 2**64, count, np.uint64), np.zeros((count, 4), np.uint8))


def test_the_first_of_equal_images_is_kept():
    images = prints(100)
    images.content[[40, 70, 99]] = images.content[20]
    chosen = selection.select(images, selection.to_heldout(images.content[:, 0], 0.2), None)
    assert chosen.twin[[40, 70, 99]].tolist() == [20, 20, 20] and (chosen.twin >= 0).sum() == 3 and not chosen.near.any()
    assert 5 < selection.to_heldout(images.content[:, 0], 0.2).sum() < 40


def test_no_images_are_no_trouble():
    chosen = selection.select(prints(0), np.zeros(0, bool), 4)
    assert len(chosen.order) == len(chosen.twin) == 0 and selection.shards(np.empty(0, np.uint64), 10) == []


def test_added_images_move_no_other_and_change_only_the_shards_they_fall_into():
    many = prints(5000)
    few = selection.Fingerprints(many.content[:4990], many.perceptual[:4990], many.colour[:4990])
    assert (selection.to_heldout(few.content[:, 0], 0.2) == selection.to_heldout(many.content[:, 0], 0.2)[:4990]).all()

    def cut(images: selection.Fingerprints) -> dict[str, bytes]:
        hashes = np.sort(images.content[:, 0])
        return {bits: hashes[start:stop].tobytes() for bits, start, stop in selection.shards(hashes, 100)}

    before, after = cut(few), cut(many)
    assert len(before) > 50 and sum(after.get(bits) == content for bits, content in before.items()) >= len(before) - 10


def test_shards_hold_every_image_once_and_none_too_many():
    hashes = np.sort(prints(3000).content[:, 0])
    found = selection.shards(hashes, 64)
    assert [start for _, start, _ in found] == [0, *(stop for _, _, stop in found[:-1])] and found[-1][2] == 3000
    for bits, start, stop in found:
        assert 0 < stop - start <= 64 and {format(int(one), "064b")[: len(bits)] for one in hashes[start:stop]} == {bits}


def test_a_shard_of_just_as_many_images_as_it_may_hold_is_not_cut():
    hashes = np.sort(prints(64).content[:, 0])
    assert selection.shards(hashes, 64) == [("", 0, 64)] and len(selection.shards(hashes, 63)) == 2


KNOWN = store.Known(4, 4, "L", 1, 0.0, 4095.0, None, 0, b"c" * 16, b"p" * 8, b"o" * 4)


def test_a_store_gives_back_what_was_added_and_forgets_what_was_never_named(tmp_path):
    first = store.Store(tmp_path, (1, 4, 4))
    pixels = noise(3, 1, 4, 4)
    assert first.records.append(pixels[:2]) == 0
    first.add([b"one"], [KNOWN])
    first.close()  # as a kill would leave it: two records, of which the index names one
    again = store.Store(tmp_path, (1, 4, 4))
    assert again.records.append(pixels[2:]) == 1
    assert (again.records.read(np.array([1, 0])) == pixels[[2, 0]]).all()
    assert store.Reader(tmp_path).find([b"one", b"two"]) == {b"one": KNOWN}
    again.close()


def test_labels_that_are_nearly_as_many_as_images_are_no_classes():
    assert (
        selection.are_classes(500, 1000) and selection.are_classes(2, 1000) and selection.are_classes(0, 0) and selection.are_classes(9, 9)
    )
    assert not selection.are_classes(501, 1000) and not selection.are_classes(10, 10)
