"""The report of a prepared data set as one HTML file (stages/page.py)."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from stages import page
from stages.page import visible

THUMBNAIL = 64  # pixels, the longer side at most
_LONGEST_REASON, _LONGEST_NOTE = 200, 500  # characters shown
_MOST_CLASSES = 60  # bars; of more classes the largest and the smallest are shown
_MOST_KINDS = 12


def data_uri(pixels: np.ndarray) -> str:
    """(C, H, W) uint8 -> a PNG in a data URI, made smaller where it is larger than a thumbnail."""
    from gan import images  # opens torch, which the workers of prepare do without

    picture = images.to_pillow(pixels)
    share = THUMBNAIL / max(picture.size)
    if share < 1:
        picture = picture.resize([max(1, round(side * share)) for side in picture.size], Image.Resampling.BOX)
    picture.save((buffer := io.BytesIO()), "PNG", compress_level=9)
    return page.png_uri(buffer.getvalue())


def html(content: dict, pictures: dict) -> str:
    """`content` of report.json; `pictures`: {examples: {row or path: (own, twin)}, montage: [(class, data URIs)]}."""
    filters: dict[str, Callable[..., Any]] = {
        "share": share,
        "bytes": in_bytes,
        "reason": lambda text: visible(text, _LONGEST_REASON),
        "curve": curve,
    }
    return page.template("stages/preparation/report_page.html.j2", **filters).render(
        content=content, pictures=pictures, source=_source(content["source"]), findings=findings(content),
        classes=_classes(content["classes"]), form=_form(content["form"]), heat=_heat(content["sizes"]["octaves"]), most_kinds=_MOST_KINDS,
    )  # fmt: skip


def share(part: int, whole: int) -> str:
    """0.4 % of a whole; never 0 % of something, never 100 % of less than all."""
    if part == whole or not whole:
        return "100 %" if whole else "–"
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "< 0.1 %"
    return "> 99.9 %" if percent > 99.9 else f"{percent:.1f} %" if percent else "0 %"


def in_bytes(size: float) -> str:
    """1,536 -> 1.5 kB."""
    if size < 1000:
        return f"{size} bytes"
    for unit in ("kB", "MB", "GB", "TB"):
        size /= 1000
        if size < 999.5 or unit == "TB":
            break
    return f"{size:.3g} {unit}"


def curve(levels: list[int]) -> str:
    """A histogram of 256 levels as the points of an SVG polygon, 256 wide and 100 high, by the root of the counts."""
    bins = [sum(levels[start : start + 4]) for start in range(0, 256, 4)]
    highest = max(bins) or 1
    tops = [f"{100 - 100 * (count / highest) ** 0.5:.1f}" for count in bins]
    steps = [f"{4 * place},{top} {4 * place + 4},{top}" for place, top in enumerate(tops)]
    return " ".join(["0,100", *steps, "256,100"])


def findings(content: dict) -> list[tuple[str, str]]:
    """What a person should look at, the gravest first: (bad, odd or good; a sentence)."""
    counts, named = content["counts"], [one for one in content["classes"] if one["name"] is not None]
    sentences = []
    if leaks := content["twins"]["leaks"]:
        sentences.append(("bad", f"{leaks:,} {'image has a near duplicate' if leaks == 1 else 'images have near duplicates'} in the "
                             "other split, so the held-out images are not new to what was trained"))  # fmt: skip
    if leaks := content["twins"]["set_aside"]:
        sentences.append(("odd", f"{leaks:,} {'input' if leaks == 1 else 'inputs'} would have leaked from one split into the other, "
                             "and so were set aside"))  # fmt: skip
    sentences += [("odd", visible(note, _LONGEST_NOTE)) for note in content.get("notes", [])]
    if counts["set_aside"] > 0.05 * counts["inputs"]:
        sentences.append(("odd", f"{share(counts['set_aside'], counts['inputs'])} of the inputs were set aside"))
    if "levels" in content:
        sentences += _levels(content["levels"], content["form"].get("range"))
    sizes = [one["train"] for one in named]
    if named and min(sizes) * 10 < max(sizes):
        smallest = min(named, key=lambda one: one["train"])
        sentences.append(("odd", f"the classes are far from balanced: {visible(smallest['name'])!r} has {min(sizes):,} training "
                             f"{'image' if min(sizes) == 1 else 'images'}, the largest class {max(sizes):,}"))  # fmt: skip
    if missing := sum(one["heldout"] == 0 for one in named):
        sentences.append(("odd", f"{missing:,} of {len(named):,} classes have no held-out image"))
    if any(one["part"] and one["part"] != "train" and one["train"] for one in content["published"]):
        parts = " and ".join(one["part"] for one in content["published"] if one["part"])
        sentences.append(("odd", f"the data came as {parts}, of which all may be trained on here; prepare.heldout: published keeps the "
                             "published test part apart"))  # fmt: skip
    if smaller := content["sizes"]["smaller_than_prepared"]:
        sentences.append(("odd", f"{smaller:,} {'input is' if smaller == 1 else 'inputs are'} smaller than the prepared images"))
    if content["transparent_share"] == 0:
        sentences.append(("odd", "no pixel is wholly transparent: three channels may do"))
    return sentences or [("good", "nothing stands out")]


def _levels(deep: dict, named: list[float] | None) -> list[tuple[str, str]]:
    """What became of inputs with more than 8 bits, and whether that is odd."""
    low, high = (f"{deep[end]:.6g}" for end in ("lowest", "highest"))
    inputs = f"{deep['count']:,} {'input has' if deep['count'] == 1 else 'inputs have'} more than 8 bits, with levels from {low} to {high}"
    if named is None:
        sentences = [("good", f"{inputs}, taken as their type says: 16 bits from 0 to 65535, floats from 0 or -1 to 1")]
        if 1 < deep["highest"] < 2**15:
            sentences.append(
                (
                    "odd",
                    f"no level is above {high}, so that they are dark, or have fewer than 16 bits: prepare.range says which level is white",
                )
            )
        return sentences
    black, white = (f"{end:.6g}" for end in named)
    share = (min(deep["highest"], named[1]) - max(deep["lowest"], named[0])) / (named[1] - named[0])
    sentences = [("good", f"{inputs}, and prepare.range takes {black} as black and {white} as white")]
    if deep["clipped"]:
        sentences.append(
            (
                "odd",
                f"{deep['clipped']:,} of them {'has' if deep['clipped'] == 1 else 'have'} levels beyond prepare.range, which were cut off",
            )
        )
    if share < 0.5:
        sentences.append(
            ("odd", f"they fill {max(share, 0):.1%} of prepare.range, so that they keep {max(share, 0) * 256:.0f} of 256 levels")
        )
    return sentences


def _classes(classes: list[dict]) -> dict:
    """The bars: all classes, or the largest and the smallest; and the longest bar."""
    named = [one for one in classes if one["name"] is not None]
    shown, hidden = classes, 0
    if len(named) > _MOST_CLASSES:
        ordered = sorted(named, key=lambda one: (-one["train"] - one["heldout"], one["name"]))
        half = _MOST_CLASSES // 2
        shown, hidden = [*ordered[:half], *ordered[-half:]], len(named) - _MOST_CLASSES
    return {
        "number": len(named), "shown": shown, "hidden": hidden, "gap": _MOST_CLASSES // 2,
        "longest": max([one["train"] + one["heldout"] for one in shown], default=0) or 1,
    }  # fmt: skip


def _source(source: str | dict) -> str:
    """Where the inputs came from."""
    return source if isinstance(source, str) else source["path"]


def _form(form: dict) -> list[tuple[str, str]]:
    """Settings in words, in the order of _SETTINGS; one that is not known there as it is."""
    order = [*(name for name in _SETTINGS if name in form), *sorted(form.keys() - _SETTINGS.keys())]
    return [(_setting(name)[0], visible(_setting(name)[1](form[name]), _LONGEST_REASON)) for name in order]


def _setting(name: str) -> tuple:
    return _SETTINGS.get(name) or (visible(name).replace("_", " "), lambda value: value)


_FITS = {
    "crop": "the largest centred part of the wanted aspect is taken",
    "random_crop": "a part of the wanted aspect is taken, its place drawn by the picture's content",
    "pad": "the whole picture, the rest filled",
    "stretch": "the whole picture, stretched",
}
_SETTINGS = {  # of gan/preparation/form.py: how it is called here, and its value in words
    "resolution": ("size", lambda value: f"{value[1]} × {value[0]} pixels" if isinstance(value, list) else f"{value} pixels"),
    "channels": ("channels", lambda value: {1: "1, grey", 3: "3, RGB", 4: "4, RGBA"}.get(value, value)),
    "alpha": ("transparency", lambda value: "kept as a channel" if value == "keep" else f"laid on {value}"),
    "fit": ("another aspect", lambda value: _FITS.get(value, value)),
    "filter": ("resizing", lambda value: f"{value}, antialiased"),
    "range": ("more than 8 bits", lambda value: f"{value[0]:g} is black, {value[1]:g} is white"),
    "jpeg_draft": ("large JPEGs", lambda value: "halved by their decoder first" if value else "decoded whole"),
    "min_side": ("set aside if shorter", lambda value: f"than {value} pixels in width or height"),
    "max_pixels": ("set aside if larger", lambda value: f"than {value:,} pixels, width × height" if isinstance(value, int) else value),
}


def _heat(octaves: list[dict]) -> dict | None:
    """A table of widths by heights in octaves; None where one size class says it all."""
    if len(octaves) < 2:
        return None
    counts = {(one["width"], one["height"]): one["count"] for one in octaves}
    widths, heights = (_doubles({size[side] for size in counts}) for side in (0, 1))
    most = max(counts.values())
    rows = [
        (height, [(counts.get((width, height), 0), round(100 * (counts.get((width, height), 0) / most) ** 0.5)) for width in widths])
        for height in reversed(heights)
    ]
    return {"widths": widths, "rows": rows}


def _doubles(numbers: set[int]) -> list[int]:
    """Every power of two from the least to the greatest."""
    return [2**power for power in range(min(numbers).bit_length() - 1, max(numbers).bit_length())]
