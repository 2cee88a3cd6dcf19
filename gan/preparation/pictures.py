"""Encoded pictures of any kind -> prepared pixels, by Pillow: every mode, turned upright, fitted, resized with antialiasing."""

import functools
import hashlib
import io
import warnings
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from . import levels
from .form import Form

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
# Raster formats that Pillow decodes by itself, each known by its first bytes. Left out is EPS, which Pillow hands to another program.
FORMATS = (
    "PNG", "JPEG", "GIF", "WEBP", "BMP", "DIB", "TIFF", "PPM", "AVIF", "JPEG2000", "ICO", "ICNS", "CUR", "PCX", "DCX", "SGI", "QOI",
    "DDS", "PSD", "XBM", "XPM", "SUN",
)  # fmt: skip
UNSIGNED = {".tga": "TGA", ".icb": "TGA", ".vda": "TGA", ".vst": "TGA"}  # any bytes may be one: known by the file's name alone, asked last
_MAY_TURN = {"exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"}  # where Pillow finds an orientation
DRAFT_MARGIN = 2  # the decoder halves as long as this many times the wanted size is left for the filter


@dataclass(frozen=True)
class Decoded:
    """What became of one picture."""

    pixels: np.ndarray | None  # (C, H, W) uint8; None: set aside, for `reason`
    reason: str | None = None
    width: int = -1  # as it lies in the file, before turning
    height: int = -1
    mode: str | None = None  # Pillow's
    lowest: float | None = None  # level in the file, where it has more than 8 bits
    highest: float | None = None
    frames: int = -1  # more than one: animated, the first was taken; -1: the file ends before all are counted


def unsigned(name: str) -> str | None:
    """The format that a file's name stands for, where its first bytes cannot tell."""
    return UNSIGNED.get(PurePosixPath(name).suffix.lower())


def decode(content: bytes, form: Form, name: str = "") -> Decoded:
    """A picture's file -> its prepared pixels, or the reason why there are none. Never raises on what the file holds. Of the
    name only what `unsigned` reads from it counts."""
    if not content:
        return Decoded(None, "is empty")
    facts: dict[str, Any] = {}
    known_formats = [*formats(), *filter(None, [unsigned(name)])]
    Image.MAX_IMAGE_PIXELS = None  # the check is ours, and before anything is decoded
    try:
        with Image.open(io.BytesIO(content), formats=known_formats) as image:
            facts = {"width": image.width, "height": image.height, "mode": image.mode}
            if reason := _size_reason(image, form):
                return Decoded(None, reason, **facts)
            Image.MAX_IMAGE_PIXELS = form.max_pixels // 2  # of pictures inside pictures (ICO): Pillow refuses twice as many
            if form.jpeg_draft and image.format in ("JPEG", "MPO"):
                _halve(image, form)
            deep = _deep(image)
            upright = _upright(image)
            if deep:
                upright, reason, more = _in_eight_bits(upright, deep, form)
                facts |= more
                if reason:
                    return Decoded(None, reason, **facts)
            pixels = from_pillow(upright, form)  # before the frames are counted: a file cut off behind the first has it
            return Decoded(pixels, **facts, frames=_frames(image))
    except UnidentifiedImageError:
        return Decoded(None, "cannot be decoded: it is no picture in a format that is known here, or its start is damaged")
    except Image.DecompressionBombError:
        return Decoded(None, f"is too large: more than prepare.max_pixels {form.max_pixels}", **facts)
    except Exception as error:  # every decoder fails in a way of its own
        return Decoded(None, f"cannot be decoded: {str(error)[:200] or type(error).__name__}", **facts)


@functools.cache
def formats() -> list[str]:
    """Those of FORMATS that this Pillow was built with. What Pillow warns of (odd metadata, large sizes) is checked here."""
    warnings.filterwarnings("ignore", module=r"PIL\.")
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


@dataclass(frozen=True)
class _Deep:
    """What the levels of a picture of more than 8 bits stand for."""

    own: levels.Range | None  # None: its type does not say
    inverted: bool = False  # 0 is white
    halved: bool = False  # the decoder hands over the high byte of 16 bits


def _deep(image: ImageFile.ImageFile) -> _Deep | None:
    """None if the picture, not yet decoded, has no more than 8 bits; TIFF's tags are those of TIFF 6.0, p. 29 and 37."""
    tags = image.tag_v2 if isinstance(image, TiffImageFile) else {}
    if image.mode == "F":
        return _Deep((0, 1), tags.get(262) == 0)
    if image.mode.startswith("I;16"):
        return _Deep((0, 4095) if tags.get(258) in (12, (12,)) else (0, 65535), tags.get(262) == 0)
    if image.mode == "I":
        return _Deep((0, 65535) if image.format == "PPM" else None)
    raw = [tile.args if isinstance(tile.args, str) else next(iter(tile.args or ()), "") for tile in image.tile]
    return _Deep((0, 255), halved=True) if any(";16" in str(name) for name in raw) else None


def _in_eight_bits(image: Image.Image, deep: _Deep, form: Form) -> tuple[Image.Image, str | None, dict[str, float]]:
    """A decoded picture of more than 8 bits as one of 8, or the reason why there is none, and its lowest and highest level."""
    array = np.asarray(image)[None]
    if not deep.halved:
        scaled = levels.to_eight_bits(array, deep.own, form.range)
        facts = {"lowest": scaled.lowest[0], "highest": scaled.highest[0]}
        if reason := scaled.reasons[0]:
            return image, reason, facts
        return Image.fromarray(scaled.pixels[0] ^ np.uint8(255 * deep.inverted)), None, facts
    colours = array[..., : len(image.getbands()) - (image.mode in ("LA", "RGBA"))]
    low, high = int(colours.min()) << 8, int(colours.max()) << 8 | 255
    facts = {"lowest": float(low), "highest": float(high)}
    if form.range not in (None, (0, 65535)):
        return (
            image,
            "is of 16 bits in a mode that is read by its high byte, which prepare.range cannot stretch; write it with 8 bits",
            facts,
        )
    if form.range is None and 255 < high < 65536 * levels.LEAST_SHARE:
        return (
            image,
            f"has levels up to {high} at most in 16 bits, and would come out black; write it with 8 bits, or with levels up to 65535",
            facts,
        )
    return image, None, facts


def _frames(image: Image.Image) -> int:
    """How many there are; -1 where the file ends or is damaged before that is known."""
    try:
        return max(1, int(getattr(image, "n_frames", 1)))  # of a PSD: its layers, if it has any
    except Exception:  # every decoder fails in a way of its own
        return -1


def _size_reason(image: Image.Image, form: Form) -> str | None:
    size = f"{image.width}×{image.height}"
    if image.width * image.height > form.max_pixels:
        return f"is too large: {size} is more than prepare.max_pixels {form.max_pixels}"
    if min(image.size) < form.min_side:
        return f"is too small: {size} is under prepare.min_side {form.min_side}"
    return None


def _halve(image: Image.Image, form: Form) -> None:
    """Decode at a half, a quarter or an eighth (libjpeg's own scaling) while more than the wanted size is left."""
    height, width = form.resolution
    if image.getexif().get(0x0112, 1) >= 5:  # lies on its side
        height, width = width, height
    image.draft(None, (width * DRAFT_MARGIN, height * DRAFT_MARGIN))


def _upright(image: Image.Image) -> Image.Image:
    """Turned as EXIF says; unreadable EXIF says nothing."""
    image.load()
    if image.format != "TIFF" and not image.info.keys() & _MAY_TURN:
        return image
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception:  # the picture itself is whole: load() has passed
        return image
    return image


def from_pillow(image: Image.Image, form: Form) -> np.ndarray:
    """Any upright Pillow image -> (C, H, W) uint8 of the form."""
    fitted = _fit(_to_mode(image, form), form)
    array = np.frombuffer(fitted.tobytes(), np.uint8).reshape(*form.resolution, form.channels)
    if form.channels == 4:  # the colour of what nobody sees: nothing to be learnt from
        array = np.where(array[..., 3:] == 0, 0, array).astype(np.uint8)
    return np.ascontiguousarray(array.transpose(2, 0, 1))


def _to_mode(image: Image.Image, form: Form) -> Image.Image:
    if image.mode in ("La", "RGBa"):
        image = image.convert("LA" if image.mode == "La" else "RGBA")
    if form.channels == 4:
        return image.convert("RGBA")
    if image.has_transparency_data:
        opaque = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", opaque.size, form.background), opaque)
    return image if image.mode == MODES[form.channels] else image.convert(MODES[form.channels])


def _fit(image: Image.Image, form: Form) -> Image.Image:
    height, width = form.resolution
    resample = Image.Resampling[form.filter.upper()]
    if form.fit == "pad":
        return _padded(image, form, resample)
    if form.fit != "stretch":
        image = _cropped(image, form)
    return image if image.size == (width, height) else image.resize((width, height), resample)


def crop_size(width: int, height: int, form: Form) -> tuple[int, int]:
    """(width, height) of the largest part of a picture that has the form's aspect."""
    tall, wide = form.resolution
    if width * tall > height * wide:
        return max(1, round(height * wide / tall)), height
    return width, max(1, round(width * tall / wide))


def pad_size(width: int, height: int, form: Form) -> tuple[int, int]:
    """(width, height) of a whole picture made to fit into the form."""
    tall, wide = form.resolution
    if width * tall > height * wide:
        return wide, max(1, round(height * wide / width))
    return max(1, round(width * tall / height)), tall


def _cropped(image: Image.Image, form: Form) -> Image.Image:
    width, height = crop_size(*image.size, form)
    spare_x, spare_y = image.width - width, image.height - height
    left, top = spare_x // 2, spare_y // 2
    if form.fit == "random_crop" and (spare_x or spare_y):
        drawn = int.from_bytes(hashlib.sha256(image.tobytes()).digest()[:8], "big")  # by what is seen: a copy is cut alike
        left, top = drawn % (spare_x + 1), drawn % (spare_y + 1)
    return image if not (spare_x or spare_y) else image.crop((left, top, left + width, top + height))


def _padded(image: Image.Image, form: Form, resample: Image.Resampling) -> Image.Image:
    height, width = form.resolution
    inner = image.resize(pad_size(*image.size, form), resample)
    if inner.size == (width, height):
        return inner
    ground = Image.new("RGBA", (width, height), form.background).convert(MODES[form.channels])
    ground.paste(inner, ((width - inner.width) // 2, (height - inner.height) // 2))
    return ground
