"""Looks at a folder of pictures and proposes a recipe: python -m apps.propose FOLDER

Prints JSON: `facts`, the recipe that is the `base` and holds the rest, and `settings`, each with its key, its value and its
reason in words. Every number below is a rule of thumb; what suits a network, a penalty or an extractor says its own file
(`defaults`). `gan init` writes what is proposed here into params.yaml.
"""

import json
import math
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from apps import answer
from gan import choices
from gan.preparation import form, levels, pictures, selection
from gan.sources import _splits
from gan.sources import folder as source
from stages import command_line

MOST_LOOKED_AT = 2000  # pictures, evenly over all; shares are then known to about two in a hundred
LOOK = form.Form(  # the small copy that colour and transparency are judged by
    resolution=64, channels=4, alpha="keep", fit="crop", filter="box", jpeg_draft=True, min_side=8, max_pixels=100_000_000
)
GREY_REACH = 12  # of 255, between red, green and blue: what JPEG makes of a grey picture
ALPHA_SHARE = 0.01  # mean share of pixels that are not opaque from which transparency is a part of the pictures
LEAST_IMAGES = 50  # fewer leave ten held-out pictures, and a score of ten says nothing
LEAST_HELDOUT = 10  # pictures of a published test part, for the same reason
MOST_OF_NO_PART = 0.05  # of the pictures, where others have a published part: more were meant to be used
JPEG = b"\xff\xd8"  # how such a file starts
MOSTLY = 0.5  # share of JPEG pictures from which their decoder's own halving is worth its other bytes
MOST_UNUSABLE = 0.5  # a folder of which more cannot be used is not what was meant
CLASS_IMAGES = 50  # a class of fewer is not learnt as one
CLASSIFIER_IMAGES = 1000  # in all; 104 pictures of two shapes taught a classifier no more than guessing (docs/log.md)
LARGEST_SIDE = {"cpu": 32, "cuda": 64}  # from there on, a training of an hour is too short
IMAGES_PER_S = {"cpu": 680, "cuda": 8000}  # at 16×16: cpu from docs/log.md (half at each doubling), cuda guessed
TRAINING_S = 3600
PASSES = 300  # over the pictures; more than that, a small set is learnt by heart (the digits recipe makes 100)
LEAST_KIMG = 20  # below it even digits are blurs (docs/log.md)
TICKS = 30  # quick scores in a training, as in the digits recipe; a half-life of the averaged generator is as long as one
FEW, MANY = 1000, 10_000  # training images: fewer than FEW are learnt by heart without help; MANY need no mirror images
HANDED = 0.02  # `handedness` from which left and right are not alike (docs/log.md)
MIRROR_SIDE = 16  # pixels a side, of the copies that are held against their mirror images
FLIP, DIFFAUGMENT = {"name": "flip", "axes": ["horizontal"]}, {"name": "diffaugment", "policies": ["color", "translation", "cutout"]}
R3GAN_ADAM = {"lr": 2.0e-4, "betas": [0, 0.99]}  # the paper's first values (arXiv:2501.05441)

# What a choice is called here -> its keys in params.yaml.
KEYS = {
    "resolution": ["prepare.resolution"],
    "channels": ["prepare.channels"],
    "heldout": ["prepare.heldout"],
    "alpha": ["prepare.alpha"],
    "range": ["prepare.range"],
    "jpeg_draft": ["prepare.jpeg_draft"],
    "min_class_images": ["prepare.min_class_images"],
    "min_images": ["prepare.min_images"],
    "max_set_aside": ["prepare.max_set_aside"],
    "protocol": ["reference.protocol.name"],
    "min_accuracy": ["reference.protocol.min_accuracy"],
    "device": ["train.device"],
    "conditional": ["train.conditional"],
    "network": ["train.network"],  # as a whole, where it is not the base's
    "network_name": ["train.network.name"],
    "generator_width": ["train.network.generator_width"],
    "discriminator_width": ["train.network.discriminator_width"],
    "lr": ["train.loop.lr"],
    "betas": ["train.loop.betas"],
    "augment": ["train.augment"],
    "gamma": ["train.penalties.0.gamma", "train.penalties.1.gamma"],
    "total_kimg": ["train.loop.total_kimg"],
    "tick_kimg": ["train.loop.tick_kimg"],
    "half_life_kimg": ["train.ema.half_life_kimg"],
    "isc_splits": ["evaluate.isc_splits"],
    "kid_subset_size": ["evaluate.kid_subset_size"],
}
BASE = "digits"  # the recipe that holds what is not proposed
HELDOUT, MIN_IMAGES, MAX_SET_ASIDE, KID_SUBSET_SIZE, ISC_SPLITS = 0.2, 100, 0.1, 100, 10  # its values (a test compares)


@dataclass(frozen=True)
class Look:
    """One picture."""

    short_side: int  # pixels
    mode: str  # Pillow's
    jpeg: bool
    grey: bool
    transparent: float  # share of pixels that are not opaque
    mirrored: np.ndarray  # (C, MIRROR_SIDE, MIRROR_SIDE): the picture less its mirror image


@dataclass(frozen=True)
class Deep:
    """The pictures with more than 8 bits, where their type does not say what their levels stand for."""

    count: int
    lowest: float
    highest: float
    range: levels.Range  # the levels that are black and white


@dataclass(frozen=True)
class Facts:
    """What a folder holds, as far as it was looked at."""

    files: int
    looked_at: int
    unreadable: list[str]  # name and reason of those looked at
    outside: int  # files beside the class folders
    classes: dict[str, int]  # files of each; of the training part, where a published part is held out
    short_side: dict[str, int]  # pixels: least, tenth (percentile), median, most
    modes: dict[str, int]
    jpeg: float  # share of pictures
    grey: float  # share of pictures
    transparent: float  # mean share of a picture's pixels
    handed: float  # share of what tells pictures from their mirror images that all have in common: 0 none, 1 all
    captions: int = 0  # different labels, where they are too many to be classes
    parts: dict[str | None, int] = field(default_factory=dict)  # files of each published part, those beside the classes aside
    deep: Deep | None = None

    @property
    def unusable(self) -> float:
        """The share of files that the prepare stage will set aside."""
        outside = self.outside / self.files if self.classes else 0.0
        return outside + (1 - outside) * len(self.unreadable) / self.looked_at

    @property
    def images(self) -> int:
        """About how many pictures can be used."""
        return round(self.files * (1 - self.unusable)) if self.published is None else self.training + self.heldout

    @property
    def published(self) -> str | None:
        """The published part that can be held out, if there is one."""
        return published(self.parts)

    @property
    def training(self) -> int:
        """About how many pictures are trained on."""
        return round(self.images * (1 - HELDOUT)) if self.published is None else self._of_part("train")

    @property
    def heldout(self) -> int:
        """About how many pictures are not."""
        return self.images - self.training if self.published is None else self._of_part(self.published)

    def _of_part(self, part: str) -> int:
        return round(self.parts[part] * (1 - len(self.unreadable) / self.looked_at))


@dataclass(frozen=True)
class Choice:
    """A value for what KEYS calls `name`, and why."""

    name: str
    value: object
    reason: str


def published(parts: dict[str | None, int]) -> str | None:
    """Which part to hold out, of files by their published part: test, else val; None where a share of all is better."""
    part = "test" if parts.get("test") else "val"
    enough = parts.get("train", 0) >= LEAST_IMAGES - LEAST_HELDOUT and parts.get(part, 0) >= LEAST_HELDOUT
    return part if enough and parts.get(None, 0) <= MOST_OF_NO_PART * sum(parts.values()) else None


def look_at(folder: Path) -> Facts:
    """The facts about a folder; ValueError says why nothing can be made of it."""
    files = list(_files(folder))
    count = min(len(files), MOST_LOOKED_AT)
    chosen = [files[place * len(files) // count] for place in range(count)]
    opened = [_opened(name, content, LOOK) for name, _, content, _ in chosen]
    if deep := _deep([found for found, _ in opened]):
        wanted = LOOK.model_copy(update={"range": deep.range})
        opened = [
            one if one[0].highest is None else _opened(name, content, wanted)
            for one, (name, _, content, _) in zip(opened, chosen, strict=True)
        ]
    looks = [_look(*one) for one in opened]
    unreadable = [f"{name}: {look}" for (name, *_), look in zip(chosen, looks, strict=True) if isinstance(look, str)]
    seen = [look for look in looks if isinstance(look, Look)]
    seen_classes = [class_name for (_, class_name, *_), look in zip(chosen, looks, strict=True) if isinstance(look, Look)]
    if not seen:
        found = f"{len(files)} files, as {unreadable[0]}" if unreadable else "0 files"
        raise ValueError(f"{folder} holds no picture that can be read among {found}; name a folder of pictures")
    labels = Counter(class_name for _, class_name, *_ in files if class_name)
    captions = 0 if selection.are_classes(len(labels), labels.total()) else len(labels)
    classes: dict[str, int] = {} if captions else labels
    parts = Counter(part for _, class_name, _, part in files if class_name or not classes)
    if published(parts):
        trained = Counter(class_name for _, class_name, _, part in files if part == "train")
        classes = {name: trained[name] for name in classes}
    least, tenth, median, most = (int(side) for side in np.percentile([look.short_side for look in seen], [0, 10, 50, 100]))
    facts = Facts(
        files=len(files),
        looked_at=len(looks),
        unreadable=unreadable,
        outside=sum(class_name is None for _, class_name, *_ in files),
        classes=dict(sorted(classes.items())),
        captions=captions,
        short_side={"least": least, "tenth": tenth, "median": median, "most": most},
        modes=dict(Counter(look.mode for look in seen).most_common()),
        jpeg=float(np.mean([look.jpeg for look in seen])),
        grey=float(np.mean([look.grey for look in seen])),
        transparent=float(np.mean([look.transparent for look in seen])),
        deep=deep,
        handed=handedness(np.stack([look.mirrored for look in seen]), np.array([name or "" for name in seen_classes])),
        parts=dict(parts) if set(parts) != {None} else {},
    )
    _refuse_poor(folder, facts)
    return facts


def _files(folder: Path) -> Iterator[tuple[str, str | None, object, str | None]]:
    """Name, class, content and published part of everything that the prepare stage would find there."""
    for block in source.blocks(source.Config(), folder):
        yield from zip(block.names, block.classes, block.contents, block.parts or [None] * len(block.names), strict=True)


def _opened(name: str, content: object, wanted: form.Form) -> tuple[pictures.Decoded, bool]:
    """What becomes of a file, and whether it starts as a JPEG does."""
    if not isinstance(content, str):
        return pictures.Decoded(None, getattr(content, "reason", "cannot be read")), False
    try:
        data = Path(content).read_bytes()
    except OSError as error:
        return pictures.Decoded(None, f"cannot be read: {error.strerror}"), False
    return pictures.decode(data, wanted, name), data.startswith(JPEG)


def _deep(opened: list[pictures.Decoded]) -> Deep | None:
    """What the levels of pictures with more than 8 bits stand for, by all of them; None where there are none, or it is what
    their types say."""
    deep = [one for one in opened if one.highest is not None and (one.mode or "")[:1] in ("I", "F")]
    if not deep:
        return None
    low = min(one.lowest for one in deep if one.lowest is not None)
    high = max(one.highest for one in deep if one.highest is not None)
    floats = any(one.mode == "F" for one in deep)
    reach = _range_of_floats(low, high) if floats else _range_of_whole_numbers(int(low), int(high))
    by_type = reach == ((0, 1) if floats else (0, 65535)) and all(one.pixels is not None for one in deep)
    return None if by_type else Deep(len(deep), low, high, reach)


def _range_of_floats(low: float, high: float) -> levels.Range:
    reach = 1 + levels.ROUNDING
    if high <= reach and low >= -reach:
        return (0 if low >= -levels.ROUNDING else -1), 1
    return (0, 255) if low >= 0 and high <= 255 else (low, high)


def _range_of_whole_numbers(low: int, high: int) -> levels.Range:
    """By the number of bits that hold them, 8 to 16."""
    if low < 0 or high > 65535:
        return min(low, 0), high
    return 0, 2 ** max(8, high.bit_length()) - 1


def _look(picture: pictures.Decoded, jpeg: bool) -> Look | str:
    """A picture, or why it cannot be read."""
    if picture.pixels is None or picture.mode is None:
        return picture.reason or "cannot be read"
    pixels = picture.pixels.astype(int)
    colours, alpha = pixels[:3] * (pixels[3] / 255), pixels[3]
    grey = bool((colours.max(axis=0) - colours.min(axis=0)).max() <= GREY_REACH)
    step = LOOK.shape[1] // MIRROR_SIDE
    small = np.concatenate([colours, alpha[None]]).reshape(-1, MIRROR_SIDE, step, MIRROR_SIDE, step).mean(axis=(2, 4))
    return Look(min(picture.width, picture.height), picture.mode, jpeg, grey, float((alpha < 255).mean()), small - small[:, :, ::-1])


def handedness(mirrored: np.ndarray, classes: np.ndarray) -> float:
    """(N, C, H, W) pictures less their mirror images, and their classes (N,) -> the share of that which the pictures of a class
    have in common, without the part that chance gives: about 0 where a mirror image might as well be one of them.
    """
    common = whole = 0.0
    for name in np.unique(classes):
        own = mirrored[classes == name].reshape(np.sum(classes == name), -1).astype(np.float64)
        if (count := len(own)) > 1:
            mean_square = np.square(own).sum(axis=1).mean()
            common += count * (count * np.square(own.mean(axis=0)).sum() - mean_square) / (count - 1)
            whole += count * mean_square
    return float(np.clip(common / whole, 0, 1)) if whole else 0.0


def _refuse_poor(folder: Path, facts: Facts) -> None:
    """ValueError where too few pictures can be used."""
    if facts.unusable > MOST_UNUSABLE:
        beside = facts.classes and facts.outside > facts.files * MOST_UNUSABLE
        why = f"{facts.outside} lie beside the class folders" if beside else f"such as {facts.unreadable[0]}"
        raise ValueError(
            f"of {facts.files} files in {folder} only about {facts.images} can be used: {why}; keep only pictures there, "
            "all in class folders or none"
        )
    if facts.images < LEAST_IMAGES:
        held = f"{facts.images} picture{'s' * (facts.images != 1)}"
        raise ValueError(f"{folder} holds {held} that can be used; at least {LEAST_IMAGES} are needed")


def propose(facts: Facts, device: str, resolution: int | list[int] | None = None) -> list[Choice]:
    """Every choice that differs between folders; `device`: cpu or cuda; `resolution`: where it is not to be chosen here."""
    size = _resolution(facts, device, resolution)
    sides = size.value if isinstance(size.value, list) else [size.value, size.value]
    channels = _channels(facts)
    fit = choices.Fit(shape=(channels[0].value, *sides), device=device, num_images=facts.training, num_classes=len(facts.classes))
    return [
        size, *channels, *_range(facts), *_draft(facts, min(sides)), *_heldout(facts), *_small_folder(facts),
        *_classes(facts, fit), *_network(fit), *_length(facts, fit.side, device), _augment(facts),
        Choice("gamma", choices.defaults("penalties", "r1", fit)["gamma"], "0.3 at 16 pixels a side, ×4 at each doubling"),
    ]  # fmt: skip


def _resolution(facts: Facts, device: str, size: int | list[int] | None) -> Choice:
    if size is not None:
        return Choice("resolution", size, "as asked")
    tenth, largest = facts.short_side["tenth"], LARGEST_SIDE[device]
    fitting = max(8, 2 ** int(math.log2(tenth)))
    if fitting <= largest:
        why = f"9 in 10 pictures have a short side of {tenth} or more"
    elif device == "cpu":
        why = f"the pictures have {tenth} or more; on a CPU {largest} is what an hour at most can learn, 64 on a GPU"
    else:
        why = f"the pictures have {tenth} or more; {largest} is what an hour at most can learn, raise it for longer trainings"
    return Choice("resolution", min(fitting, largest), why)


def _channels(facts: Facts) -> list[Choice]:
    if facts.transparent > ALPHA_SHARE:
        why = f"RGBA: on average {facts.transparent:.0%} of a picture is not opaque"
        return [Choice("channels", 4, why), Choice("alpha", "keep", "the fourth channel")]
    laid = Choice("alpha", "black", "what little is transparent is laid on it")
    if facts.grey == 1:
        return [Choice("channels", 1, "every picture is grey"), laid]
    return [Choice("channels", 3, f"RGB: {1 - facts.grey:.0%} of the pictures have colours; none has transparency to speak of"), laid]


def _range(facts: Facts) -> list[Choice]:
    if facts.deep is None:
        return []
    lowest, highest = levels.words(facts.deep.lowest), levels.words(facts.deep.highest)
    found = f"{facts.deep.count} pictures with more than 8 bits hold levels from {lowest} to {highest}"
    return [Choice("range", list(facts.deep.range), f"black and white: {found}")]


def _draft(facts: Facts, side: int) -> list[Choice]:
    if facts.jpeg < MOSTLY or facts.short_side["median"] < 2 * pictures.DRAFT_MARGIN * side:
        return []
    return [Choice("jpeg_draft", True, "large JPEG pictures: halved while they are decoded, twice as quick")]


def _heldout(facts: Facts) -> list[Choice]:
    """Where the pictures come in published parts, what becomes of them."""
    if not facts.parts:
        return []
    if facts.published is None:
        counts = ", ".join(f"{facts.parts[part]} {part or 'of none'}" for part in ("train", "val", "test", None) if facts.parts.get(part))
        return [Choice("heldout", HELDOUT, f"a share of all: published are {counts}, no test part large enough beside one to train on")]
    why = f"the part {facts.published}, as others score by; {facts.heldout} pictures"
    if facts.published == "test" and facts.parts.get("val"):
        why += f", and the {facts.parts['val']} of val are not used"
    return [Choice("heldout", "published", why)]


def _small_folder(facts: Facts) -> list[Choice]:
    """What a folder of few pictures, or with some that cannot be used, has to lower."""
    chance = 3 * (facts.images * HELDOUT * (1 - HELDOUT)) ** 0.5  # takes no more of a share
    heldout = facts.heldout if facts.published else int(facts.images * HELDOUT - chance)
    choices = []
    if facts.images * 0.8 < MIN_IMAGES:
        least = int(facts.images * 0.8)
        choices.append(Choice("min_images", least, f"there are about {facts.images}"))
    if facts.unusable > MAX_SET_ASIDE / 2:
        share = math.ceil(facts.unusable * 20 + 1) / 20
        choices.append(Choice("max_set_aside", share, f"about {facts.unusable:.0%} of the files cannot be used"))
    if heldout < KID_SUBSET_SIZE:
        choices.append(Choice("kid_subset_size", max(2, heldout), "the held-out pictures are few"))
    if heldout < 2 * ISC_SPLITS:
        choices.append(Choice("isc_splits", max(1, heldout // 2), "the held-out pictures are few"))
    return choices


def _classes(facts: Facts, fit: choices.Fit) -> list[Choice]:
    smallest = min(facts.classes.items(), key=lambda item: item[1], default=("", 0))
    number = len(facts.classes)
    if facts.captions:
        why = f"{facts.captions:,} different labels are nearly as many as pictures: captions, ids or measurements, not classes"
        return [Choice("conditional", False, why), Choice("min_class_images", 0, "there are no classes"), *_pretext(fit, why)]
    if number >= 2 and smallest[1] >= CLASS_IMAGES:
        of = "training pictures" if facts.published else "pictures"
        conditional = Choice("conditional", True, f"{number} class folders, the smallest of {smallest[1]} {of}")
        if facts.images < CLASSIFIER_IMAGES:
            return [conditional, *_pretext(fit, f"{facts.images} pictures are too few to train a classifier on")]
        least = choices.defaults("extractors", "classifier", fit)["min_accuracy"]
        return [
            conditional,
            Choice("protocol", "classifier", "there are classes to train a classifier on"),
            Choice("min_accuracy", least, f"guessing one of {number} classes gives {1 / number:.2g}"),
        ]
    if number >= 2:
        of = "training pictures" if facts.published else "pictures"
        why = f"the class folder {smallest[0]!r} has {smallest[1]} {of}, fewer than {CLASS_IMAGES}"
    else:
        why = "the pictures lie in one folder" if facts.classes else "there are no class folders"
    unused = Choice("min_class_images", 0, "the classes are not used")
    return [Choice("conditional", False, why), unused, *_pretext(fit, "no classes to train a classifier on")]


def _pretext(fit: choices.Fit, why: str) -> list[Choice]:
    least = choices.defaults("extractors", "pretext", fit)["min_accuracy"]
    return [
        Choice("protocol", "pretext", why),
        Choice("min_accuracy", least, "twice what guessing a view gives; round things look alike when turned"),
    ]


def _network(fit: choices.Fit) -> list[Choice]:
    if fit.device == "cuda":
        return [
            Choice("device", "cuda", "this machine has a GPU"),
            Choice("network", choices.defaults("networks", "r3gan", fit), "the better one, where there is a GPU"),
            *[Choice(name, value, "as r3gan's paper starts") for name, value in R3GAN_ADAM.items()],
        ]
    usual, why = choices.defaults("networks", "dcgan", fit), "half of the digits recipe's at each doubling of the side"
    return [
        Choice("device", "cpu", "this machine has no GPU that torch can use"),
        Choice("network_name", "dcgan", "dcgan is the fast one, for a CPU"),
        *[Choice(name, usual[name], why) for name in ("generator_width", "discriminator_width")],
    ]


def _length(facts: Facts, side: float, device: str) -> list[Choice]:
    images_per_s = IMAGES_PER_S[device] * 16 / max(side, 16)
    in_time, in_passes = TRAINING_S * images_per_s / 1000, PASSES * facts.training / 1000
    total = choices.rounded(max(LEAST_KIMG, min(in_time, in_passes)))
    minutes = max(1, round(total * 1000 / images_per_s / 60))
    passes = f"{PASSES} passes over the pictures" if in_passes > LEAST_KIMG else "the least that shows something"
    limit = "an hour" if in_time <= in_passes else passes
    return [
        Choice("total_kimg", total, f"{limit}: about {minutes} minutes, where {images_per_s:.0f} images/s are trained"),
        Choice("tick_kimg", choices.rounded(total / TICKS), f"{TICKS} quick scores"),
        Choice("half_life_kimg", choices.rounded(total / TICKS), "as in the digits recipe, a thirtieth of the length"),
    ]


def _augment(facts: Facts) -> Choice:
    """What makes few pictures go further."""
    count = facts.training
    flip, reasons = [], []
    if count < MANY and facts.handed < HANDED:
        flip, reasons = [FLIP], ["mirror images look like the pictures (writing will be mirrored too)"]
    if count < FEW:
        return Choice("augment", [*flip, DIFFAUGMENT], "; ".join([f"{count} training pictures are learnt by heart without it", *reasons]))
    if flip:
        return Choice("augment", flip, "; ".join([f"{count:,} training pictures are not many", *reasons]))
    why = f"{count:,} training pictures are enough" if count >= MANY else "left and right differ in these pictures"
    return Choice("augment", [], why)


def device_here() -> str:
    """cuda where torch can use one, else cpu."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


app = command_line.program()


@app.command(epilog=command_line.examples("python -m apps.propose data/birds", "python -m apps.propose data/birds --resolution '[32, 48]'"))
def print_proposal(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Of pictures.")],
    resolution: Annotated[
        Any, typer.Option(metavar="JSON", parser=json.loads, help="Instead of a proposed one: 32, or [32, 48] (height, width).")
    ] = None,
) -> None:
    """Propose a recipe for a folder of pictures: JSON with `facts`, `base` and `settings`."""
    facts, device = look_at(folder), device_here()
    proposed = propose(facts, device, resolution)
    settings = [{"key": key, "value": choice.value, "reason": choice.reason} for choice in proposed for key in KEYS[choice.name]]
    said = {
        "files": facts.files,
        "images": facts.images,
        "looked_at": facts.looked_at,
        "unreadable": facts.unreadable[:3],
        "modes": facts.modes,
        "short_side": facts.short_side,
        "classes": len(facts.classes),
        "parts": [part for part in _splits.WORDS if facts.parts.get(part)],
    }
    print(json.dumps({"facts": said, "base": BASE, "settings": settings}, indent=2))


def main(arguments: list[str]) -> int:
    return command_line.run(app, "python -m apps.propose", arguments)


if __name__ == "__main__":
    sys.exit(answer.with_sentences("gan init", main, sys.argv[1:]))
